//! `watch` and `wait`.

use super::*;

#[test]
fn watch() {
    let items = || {
        let event = Event { previous: Some(kv("a", "1", 2)), ..put("a", "2", 4) };
        [Answer::Watch(vec![
            Ok(WatchItem::Snapshot { revision: 3, kvs: vec![kv("a", "1", 2)] }),
            Ok(WatchItem::SnapshotEnd { revision: 3 }),
            Ok(WatchItem::Events { revision: 4, events: vec![event], skipped: 0 }),
            Ok(WatchItem::Progress { revision: 4 }),
            Ok(WatchItem::Events {
                revision: 6,
                events: vec![delete("a", 5), put("b", "x y\n", 6)],
                skipped: 2,
            }),
        ])]
    };
    check(
        "watch",
        items(),
        expect![[r#"
        > WatchRequest { range: Prefix(""), from: Now, puts: true, deletes: true, previous: false, keys_only: false, progress: None, delivery: All }
        snapshot a 1 (revision 2)
        synced (revision 3)
        put a 2 (revision 4)
        progress (revision 4)
        skipped 2 (revision 6)
        delete a (revision 5)
        put b x y\n (revision 6)
        error: the watch ended without a reason; watch again
        exit 5
    "#]],
    );
    check(
        "watch a --prefix --from 3 --count 2 --previous",
        items(),
        expect![[r#"
            > WatchRequest { range: Prefix("a"), from: Revision(3), puts: true, deletes: true, previous: true, keys_only: false, progress: None, delivery: All }
            snapshot a 1 (revision 2)
            synced (revision 3)
            put a 2 (revision 4, previous 1)
            progress (revision 4)
            skipped 2 (revision 6)
            delete a (revision 5)
            exit 0
        "#]],
    );
    check(
        "watch a --snapshot --count 3 --json --previous",
        items(),
        expect![[r#"
            > WatchRequest { range: Key("a"), from: Snapshot, puts: true, deletes: true, previous: true, keys_only: false, progress: None, delivery: All }
            {"type":"snapshot","revision":2,"kv":{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1,"lease":"0"}}
            {"type":"snapshot_end","revision":3}
            {"type":"put","revision":4,"kv":{"key":"a","value":"2","create_revision":2,"mod_revision":4,"version":3,"lease":"0"},"previous":{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1,"lease":"0"}}
            {"type":"progress","revision":4}
            {"type":"skipped","revision":6,"skipped":2}
            {"type":"delete","revision":5,"kv":{"key":"a","value":"","create_revision":0,"mod_revision":5,"version":0,"lease":"0"},"previous":null}
            {"type":"put","revision":6,"kv":{"key":"b","value":"x y\n","create_revision":2,"mod_revision":6,"version":5,"lease":"0"},"previous":null}
            exit 0
        "#]],
    );
    check(
        "watch a --to c --keys-only --latest --progress 5s --puts-only --count 3",
        items(),
        expect![[r#"
            > WatchRequest { range: Range { from: "a", to: "c" }, from: Now, puts: true, deletes: false, previous: false, keys_only: true, progress: Some(5s), delivery: Latest }
            snapshot a (revision 2)
            synced (revision 3)
            put a (revision 4)
            progress (revision 4)
            skipped 2 (revision 6)
            delete a (revision 5)
            put b (revision 6)
            exit 0
        "#]],
    );
}

#[test]
fn wait() {
    let met = |revision, event| [Answer::Wait(WaitOutcome::Met { revision, event })];
    check(
        "wait a",
        met(3, Some(put("a", "1", 3))),
        expect![[r#"
        > WaitRequest { range: Key("a"), condition: Changed, after: None, timeout: None }
        a
        exit 0
    "#]],
    );
    check(
        "wait --after 4 --timeout 1m --json",
        met(5, Some(delete("b", 5))),
        expect![[r#"
            > WaitRequest { range: Prefix(""), condition: Changed, after: Some(4), timeout: Some(60s) }
            {"met":true,"revision":5,"event":{"kv":{"key":"b","value":"","create_revision":0,"mod_revision":5,"version":0,"lease":"0"},"previous":null}}
            exit 0
        "#]],
    );
    check(
        "wait a --equals 1 --json",
        met(9, Some(put("a", "1", 3))),
        expect![[r#"
            > WaitRequest { range: Key("a"), condition: Equals("1"), after: None, timeout: None }
            {"met":true,"revision":9,"event":{"kv":{"key":"a","value":"1","create_revision":2,"mod_revision":3,"version":2,"lease":"0"},"previous":null}}
            exit 0
        "#]],
    );
    check(
        "wait a --absent",
        met(9, None),
        expect![[r#"
        > WaitRequest { range: Key("a"), condition: Absent, after: None, timeout: None }
        a
        exit 0
    "#]],
    );
    check(
        "wait a --prefix --absent",
        met(9, None),
        expect![[r#"
        > WaitRequest { range: Prefix("a"), condition: Absent, after: None, timeout: None }
        exit 0
    "#]],
    );
    check(
        "wait a --absent --json",
        met(9, None),
        expect![[r#"
            > WaitRequest { range: Key("a"), condition: Absent, after: None, timeout: None }
            {"met":true,"revision":9,"event":null}
            exit 0
        "#]],
    );
    check(
        "wait a --mod-above 3",
        met(4, Some(put("a", "", 4))),
        expect![[r#"
        > WaitRequest { range: Key("a"), condition: ModRevisionAbove(3), after: None, timeout: None }
        a
        exit 0
    "#]],
    );
    check(
        "wait a --differs ''",
        met(4, Some(put("a", "x", 4))),
        expect![[r#"
        > WaitRequest { range: Key("a"), condition: Differs(""), after: None, timeout: None }
        a
        exit 0
    "#]],
    );
    let timeout = || [Answer::Wait(WaitOutcome::Timeout { revision: 7 })];
    check(
        "wait a --exists",
        timeout(),
        expect![[r#"
        > WaitRequest { range: Key("a"), condition: Exists, after: None, timeout: None }
        exit 4
    "#]],
    );
    check(
        "wait a --exists --json",
        timeout(),
        expect![[r#"
            > WaitRequest { range: Key("a"), condition: Exists, after: None, timeout: None }
            {"met":false,"revision":7,"event":null}
            exit 4
        "#]],
    );
}
