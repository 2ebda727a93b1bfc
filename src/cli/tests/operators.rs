//! Leases, and the requests of operators.

use super::*;
use crate::{GaugeInfo, LimitInfo};

#[test]
fn lease() {
    let reply = LeaseReply { revision: 3, id: 42, ttl: Duration::from_secs(30) };
    let granted = || [Answer::Reply(Reply::LeaseGrant(reply.clone()))];
    check(
        "lease grant 30s",
        granted(),
        expect![[r#"
        > LeaseGrant(LeaseGrantRequest { id: 0, ttl: 30s })
        42
        exit 0
    "#]],
    );
    check(
        "lease grant 30s --id 42 --json",
        granted(),
        expect![[r#"
            > LeaseGrant(LeaseGrantRequest { id: 42, ttl: 30s })
            {"revision":3,"id":"42","ttl_ms":30000,"durability":null}
            exit 0
        "#]],
    );
    let kept = || [Answer::Reply(Reply::LeaseKeepAlive(reply.clone()))];
    check(
        "lease keep-alive 42 --once",
        kept(),
        expect![[r#"
        > LeaseKeepAlive(42)
        lease 42 ttl 30s
        exit 0
    "#]],
    );
    let quick = LeaseReply { ttl: Duration::from_millis(30), ..reply.clone() };
    check(
        "lease keep-alive 42",
        [
            Answer::Reply(Reply::LeaseKeepAlive(quick.clone())),
            Answer::Reply(Reply::LeaseKeepAlive(quick)),
            Answer::Refusal(Error::new(ErrorCode::LeaseNotFound, "no lease 42")),
        ],
        expect![[r#"
            > LeaseKeepAlive(42)
            > LeaseKeepAlive(42)
            > LeaseKeepAlive(42)
            lease 42 ttl 30ms
            lease 42 ttl 30ms
            error: no lease 42
            exit 3
        "#]],
    );
    let deleted = DeleteReply { revision: 4, deleted: 2, previous: vec![] };
    check(
        "lease revoke 42",
        [Answer::Reply(Reply::LeaseRevoke(deleted))],
        expect![[r#"
        > LeaseRevoke(42)
        2
        exit 0
    "#]],
    );
    let left = || {
        [Answer::Reply(Reply::LeaseTimeToLive(LeaseTimeToLiveReply {
            revision: 3,
            id: 42,
            granted: Duration::from_secs(30),
            remaining: Duration::from_millis(28_500),
            keys: vec![Blob::from("a"), Blob::from(b"\xff")],
        }))]
    };
    check(
        "lease ttl 42",
        left(),
        expect![[r#"
        > LeaseTimeToLive(42)
        remaining 28500ms of 30s
        exit 0
    "#]],
    );
    let more = |key: &str, more| {
        let page = LeaseKeysReply { revision: 3, keys: vec![key.into()], more };
        Answer::Reply(Reply::LeaseKeys(page))
    };
    let all = || left().into_iter().chain([more("b", true), more("c", false)]);
    check(
        "lease ttl 42 --keys",
        all(),
        expect![[r#"
        > LeaseTimeToLive(42)
        > LeaseKeys { id: 42, after: "\xff", limit: 0 }
        > LeaseKeys { id: 42, after: "b", limit: 0 }
        remaining 28500ms of 30s
        a
        \xff
        b
        c
        exit 0
    "#]],
    );
    check(
        "lease ttl 42 --keys --json",
        all(),
        expect![[r#"
            > LeaseTimeToLive(42)
            > LeaseKeys { id: 42, after: "\xff", limit: 0 }
            > LeaseKeys { id: 42, after: "b", limit: 0 }
            {"revision":3,"id":"42","granted_ms":30000,"remaining_ms":28500,"keys":["a",{"base64":"/w=="},"b","c"]}
            exit 0
        "#]],
    );
    let list = |leases, more| {
        Answer::Reply(Reply::LeaseList(LeaseListReply { revision: 3, leases, more }))
    };
    check(
        "lease list",
        [list(vec![1, 2], true), list(vec![42], false)],
        expect![[r#"
        > LeaseList { after: 0, limit: 0 }
        > LeaseList { after: 2, limit: 0 }
        1
        2
        42
        exit 0
    "#]],
    );
}

#[test]
fn watchers() {
    let watcher = |id, kind, range| WatcherInfo {
        id,
        kind,
        owner: "127.0.0.1:5000 wakeful watch".into(),
        range,
        behind: 0,
    };
    let list = |watchers, more| {
        Answer::Reply(Reply::Watchers(WatchersReply { revision: 3, watchers, more }))
    };
    let pages = || {
        [
            list(vec![watcher(1, WatcherKind::Wait, KeyRange::key("a"))], true),
            list(vec![watcher(17, WatcherKind::Watch, KeyRange::range("a", "c"))], false),
        ]
    };
    check(
        "watchers",
        pages(),
        expect![[r#"
            > Watchers { after: 0, limit: 0 }
            > Watchers { after: 1, limit: 0 }
            ID  KIND  BEHIND  KEYS  OWNER
             1  wait       0  a     127.0.0.1:5000 wakeful watch
            17  watch       0  [a, c)  127.0.0.1:5000 wakeful watch
            exit 0
        "#]],
    );
    check(
        "watchers list --json",
        pages(),
        expect![[r#"
            > Watchers { after: 0, limit: 0 }
            > Watchers { after: 1, limit: 0 }
            {"revision":3,"id":"1","watch":false,"owner":"127.0.0.1:5000 wakeful watch","range":{"Key":"a"},"behind":0}
            {"revision":3,"id":"17","watch":true,"owner":"127.0.0.1:5000 wakeful watch","range":{"Range":{"from":"a","to":"c"}},"behind":0}
            exit 0
        "#]],
    );
    check(
        "watchers list",
        [list(vec![], false)],
        expect![[r#"
        > Watchers { after: 0, limit: 0 }
        exit 0
    "#]],
    );
    check(
        "watchers end 17",
        [Answer::Reply(Reply::EndWatcher)],
        expect![[r#"
        > EndWatcher(17)
        ended 17
        exit 0
    "#]],
    );
}

#[test]
fn compact_and_status() {
    let compacted = CompactReply { revision: 9, oldest: 5 };
    check(
        "compact 5",
        [Answer::Reply(Reply::Compact(compacted))],
        expect![[r#"
        > Compact(5)
        oldest 5 (revision 9)
        exit 0
    "#]],
    );
    let status = || {
        [
            Answer::Reply(Reply::Status(Box::new(StatusReply {
                revision: 9,
                oldest: 5,
                store_id: 0xabcdef,
                server_version: "0.1.0".into(),
                uptime: Duration::from_millis(12_345),
                ..StatusReply::default()
            }))),
            Answer::Reply(Reply::Gauges(
                [("rpc.total_output_bytes", 100), ("log.lines_dropped", 7)]
                    .map(|(name, value)| GaugeInfo { name: name.into(), value })
                    .into(),
            )),
            Answer::Reply(Reply::Limits(vec![LimitInfo {
                name: "rpc.total_output_bytes_max".into(),
                value: 1_000,
            }])),
        ]
    };
    check(
        "status",
        status(),
        expect![[r#"
            > Status
            > Gauges
            > Limits
            revision     9 (oldest 5)
            keys         0 (0 bytes)
            history      0 events (0 bytes)
            leases       0
            waits        0
            watches      0 (on 0 streams)
            connections  0
            requests     0
            output       100 bytes not yet read by clients (of 1000)
            log          7 lines dropped
            journal      none (in memory)
            store        0000000000abcdef
            version      0.1.0
            uptime       12s
            exit 0
        "#]],
    );
    check(
        "status --json",
        status(),
        expect![[r#"
            > Status
            > Gauges
            > Limits
            {"revision":9,"oldest":5,"store_id":"0000000000abcdef","server_version":"0.1.0","uptime_ms":12345,"keys":0,"bytes":0,"history_events":0,"history_bytes":0,"leases":0,"waits":0,"watches":0,"streams":0,"connections":0,"requests":0,"journal_records":0,"journal_commits":0,"journal_bytes":0,"journal_sync_us":0,"durable_revision":0,"snapshot_bytes":0,"log_bytes":0,"output_bytes":100,"output_bytes_max":1000,"log_lines_dropped":7}
            exit 0
        "#]],
    );
}
