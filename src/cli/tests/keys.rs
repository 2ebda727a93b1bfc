//! Commands about keys.

use super::*;

#[test]
fn set() {
    let reply = |changed, previous| {
        Answer::Reply(Reply::Set(SetReply { revision: 2, changed, lease: 0, previous }))
    };
    check(
        "set a -5",
        [reply(true, None)],
        expect![[r#"
        > Set(SetRequest { key: "a", value: "-5", lease: 0, ttl: None, only_if_changed: true, return_previous: false })
        revision 2
        exit 0
    "#]],
    );
    check(
        "set a 1 --always --ttl 1500ms --previous",
        [reply(true, None)],
        expect![[r#"
        > Set(SetRequest { key: "a", value: "1", lease: 0, ttl: Some(1.5s), only_if_changed: false, return_previous: true })
        revision 2
        no previous
        exit 0
    "#]],
    );
    check(
        "set a 1 --lease 7 --previous",
        [reply(false, Some(kv("a", "1", 2)))],
        expect![[r#"
        > Set(SetRequest { key: "a", value: "1", lease: 7, ttl: None, only_if_changed: true, return_previous: true })
        revision 2 (unchanged)
        previous 1
        exit 0
    "#]],
    );
    check(
        "set a 1 --json",
        [reply(false, None)],
        expect![[r#"
            > Set(SetRequest { key: "a", value: "1", lease: 0, ttl: None, only_if_changed: true, return_previous: false })
            {"revision":2,"changed":false,"lease":"0","previous":null,"durability":null}
            exit 0
        "#]],
    );
    check(
        "set a 1 --json --previous",
        [reply(true, Some(kv("a", "0", 2)))],
        expect![[r#"
            > Set(SetRequest { key: "a", value: "1", lease: 0, ttl: None, only_if_changed: true, return_previous: true })
            {"revision":2,"changed":true,"lease":"0","previous":{"key":"a","value":"0","create_revision":2,"mod_revision":2,"version":1,"lease":"0"},"durability":null}
            exit 0
        "#]],
    );
}

#[test]
fn d9_a_write_asks_and_json_says_what_it_got() {
    let set = Reply::Set(SetReply { revision: 2, changed: true, lease: 0, previous: None });
    check(
        "set a 1 --durability fsync --json",
        [Answer::Reply(set.clone())],
        expect![[r#"
            > Set(SetRequest { key: "a", value: "1", lease: 0, ttl: None, only_if_changed: true, return_previous: false }) as Fsync
            {"revision":2,"changed":true,"lease":"0","previous":null,"durability":"fsync"}
            exit 0
        "#]],
    );
    check(
        "set a 1 --durability interval",
        [Answer::Reply(set)],
        expect![[r#"
        > Set(SetRequest { key: "a", value: "1", lease: 0, ttl: None, only_if_changed: true, return_previous: false }) as Interval
        revision 2
        exit 0
    "#]],
    );
    let deleted = DeleteReply { revision: 4, deleted: 1, previous: vec![] };
    check(
        "del a --durability fsync --json",
        [Answer::Reply(Reply::Delete(deleted.clone()))],
        expect![[r#"
            > Delete(DeleteRequest { range: Key("a"), return_previous: false }) as Fsync
            {"revision":4,"deleted":1,"previous":[],"durability":"fsync"}
            exit 0
        "#]],
    );
    let txn = TxnReply { revision: 5, succeeded: true, results: vec![] };
    check(
        "txn --durability interval --delete a --json",
        [Answer::Reply(Reply::Txn(txn))],
        expect![[r#"
            > Txn(TxnRequest { compares: [], success: [Delete(DeleteRequest { range: Key("a"), return_previous: false })], failure: [] }) as Interval
            {"revision":5,"succeeded":true,"results":[],"durability":"interval"}
            exit 0
        "#]],
    );
    let granted = LeaseReply { revision: 3, id: 42, ttl: Duration::from_secs(30) };
    check(
        "lease grant 30s --durability fsync --json",
        [Answer::Reply(Reply::LeaseGrant(granted))],
        expect![[r#"
            > LeaseGrant(LeaseGrantRequest { id: 0, ttl: 30s }) as Fsync
            {"revision":3,"id":"42","ttl_ms":30000,"durability":"fsync"}
            exit 0
        "#]],
    );
    check(
        "lease revoke 42 --durability fsync --json",
        [Answer::Reply(Reply::LeaseRevoke(deleted))],
        expect![[r#"
            > LeaseRevoke(42) as Fsync
            {"revision":4,"deleted":1,"previous":[],"durability":"fsync"}
            exit 0
        "#]],
    );
}

#[test]
fn get() {
    let reply = |kv| Answer::Reply(Reply::Get(GetReply { revision: 9, kv }));
    check(
        "get a",
        [reply(Some(kv("a", "1\n2", 3)))],
        expect![[r#"
        > Get(GetRequest { key: "a", revision: 0 })
        1
        2
        exit 0
    "#]],
    );
    check(
        "get a --raw --revision 5",
        [reply(Some(kv("a", "1\n", 3)))],
        expect![[r#"
        > Get(GetRequest { key: "a", revision: 5 })
        1
        exit 0
    "#]],
    );
    check(
        "get a --json",
        [reply(Some(kv("a", "1", 3)))],
        expect![[r#"
            > Get(GetRequest { key: "a", revision: 0 })
            {"revision":9,"kv":{"key":"a","value":"1","create_revision":2,"mod_revision":3,"version":2,"lease":"0"}}
            exit 0
        "#]],
    );
    check(
        "get a",
        [reply(None)],
        expect![[r#"
        > Get(GetRequest { key: "a", revision: 0 })
        error: no key `a` at revision 9; set it, or wait for it with `wakeful wait KEY --exists`
        exit 3
    "#]],
    );
    check(
        "get a --json",
        [reply(None)],
        expect![[r#"
        > Get(GetRequest { key: "a", revision: 0 })
        {"error":{"code":"NotFound","message":"no key `a` at revision 9; set it, or wait for it with `wakeful wait KEY --exists`"}}
        exit 3
    "#]],
    );
}

#[test]
fn del() {
    let reply = |deleted, previous| {
        [Answer::Reply(Reply::Delete(DeleteReply { revision: 4, deleted, previous }))]
    };
    check(
        "del a",
        reply(1, vec![]),
        expect![[r#"
        > Delete(DeleteRequest { range: Key("a"), return_previous: false })
        1
        exit 0
    "#]],
    );
    check(
        "del a --prefix --previous",
        reply(2, vec![kv("a", "1", 2)]),
        expect![[r#"
        > Delete(DeleteRequest { range: Prefix("a"), return_previous: true })
        2
        a	1
        exit 0
    "#]],
    );
    check(
        "del a --range-end c --json",
        reply(0, vec![]),
        expect![[r#"
            > Delete(DeleteRequest { range: Range { from: "a", to: "c" }, return_previous: false })
            {"revision":4,"deleted":0,"previous":[],"durability":null}
            {"error":{"code":"NotFound","message":"nothing deleted: no key `[a, c)`"}}
            exit 3
        "#]],
    );
    check(
        "del a --json --previous",
        reply(1, vec![kv("a", "1", 2)]),
        expect![[r#"
            > Delete(DeleteRequest { range: Key("a"), return_previous: true })
            {"revision":4,"deleted":1,"previous":[{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1,"lease":"0"}],"durability":null}
            exit 0
        "#]],
    );
    check(
        "del --all",
        reply(0, vec![]),
        expect![[r#"
        > Delete(DeleteRequest { range: Prefix(""), return_previous: false })
        0
        error: nothing deleted: no key `*`
        exit 3
    "#]],
    );
}

#[test]
fn range_pages_are_of_one_revision() {
    let pages = || {
        [
            page(9, vec![kv("a", "1", 2), kv("b", "2\t", 3)], true),
            page(12, vec![kv("c", "3", 4)], false),
        ]
    };
    check(
        "range",
        pages(),
        expect![[r#"
        > Range(RangeRequest { range: Prefix(""), revision: 0, limit: 0, order: Ascending, keys_only: false, count_only: false, after: None })
        > Range(RangeRequest { range: Prefix(""), revision: 9, limit: 0, order: Ascending, keys_only: false, count_only: false, after: Some("b") })
        a	1
        b	2\t
        c	3
        exit 0
    "#]],
    );
    check(
        "range a --to d --json",
        pages(),
        expect![[r#"
            > Range(RangeRequest { range: Range { from: "a", to: "d" }, revision: 0, limit: 0, order: Ascending, keys_only: false, count_only: false, after: None })
            > Range(RangeRequest { range: Range { from: "a", to: "d" }, revision: 9, limit: 0, order: Ascending, keys_only: false, count_only: false, after: Some("b") })
            {"revision":9,"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1,"lease":"0"}
            {"revision":9,"key":"b","value":"2\t","create_revision":2,"mod_revision":3,"version":2,"lease":"0"}
            {"revision":9,"key":"c","value":"3","create_revision":2,"mod_revision":4,"version":3,"lease":"0"}
            exit 0
        "#]],
    );
    check(
        "range --all --limit 3 --descending --keys-only",
        pages(),
        expect![[r#"
        > Range(RangeRequest { range: Prefix(""), revision: 0, limit: 3, order: Descending, keys_only: true, count_only: false, after: None })
        > Range(RangeRequest { range: Prefix(""), revision: 9, limit: 1, order: Descending, keys_only: true, count_only: false, after: Some("b") })
        a
        b
        c
        exit 0
    "#]],
    );
    check(
        "range a --prefix --limit 1 --revision 5",
        pages(),
        expect![[r#"
        > Range(RangeRequest { range: Prefix("a"), revision: 5, limit: 1, order: Ascending, keys_only: false, count_only: false, after: None })
        a	1
        exit 0
    "#]],
    );
    let counted = RangeReply { revision: 9, kvs: vec![], more: false, count: 7, next: None };
    check(
        "range --count-only",
        [Answer::Reply(Reply::Range(counted))],
        expect![[r#"
        > Range(RangeRequest { range: Prefix(""), revision: 0, limit: 0, order: Ascending, keys_only: false, count_only: true, after: None })
        7
        exit 0
    "#]],
    );
}

#[test]
fn txn() {
    let reply = |succeeded, results| {
        [Answer::Reply(Reply::Txn(TxnReply { revision: 5, succeeded, results }))]
    };
    let set = Reply::Set(SetReply { revision: 5, changed: true, lease: 0, previous: None });
    let got = |kv| Reply::Get(GetReply { revision: 5, kv });
    let deleted = Reply::Delete(DeleteReply { revision: 5, deleted: 1, previous: vec![] });
    check(
        "txn --if-absent a --set a 1",
        reply(true, vec![set.clone()]),
        expect![[r#"
            > Txn(TxnRequest { compares: [Compare { range: Key("a"), op: Equal, target: Version(0) }], success: [Set(SetRequest { key: "a", value: "1", lease: 0, ttl: None, only_if_changed: true, return_previous: false })], failure: [] })
            succeeded (revision 5)
            set a
            exit 0
        "#]],
    );
    check(
        "txn --if-value a 1 --if-revision a 4 --set a 2 --delete b --get a --else-get a --json",
        reply(true, vec![set, deleted, got(Some(kv("a", "2", 5)))]),
        expect![[r#"
            > Txn(TxnRequest { compares: [Compare { range: Key("a"), op: Equal, target: Value("1") }, Compare { range: Key("a"), op: Equal, target: ModRevision(4) }], success: [Set(SetRequest { key: "a", value: "2", lease: 0, ttl: None, only_if_changed: true, return_previous: false }), Delete(DeleteRequest { range: Key("b"), return_previous: false }), Get(GetRequest { key: "a", revision: 0 })], failure: [Get(GetRequest { key: "a", revision: 0 })] })
            {"revision":5,"succeeded":true,"results":[{"Set":{"revision":5,"changed":true,"lease":"0","previous":null}},{"Delete":{"revision":5,"deleted":1,"previous":[]}},{"Get":{"revision":5,"kv":{"key":"a","value":"2","create_revision":2,"mod_revision":5,"version":4,"lease":"0"}}}],"durability":null}
            exit 0
        "#]],
    );
    check(
        "txn --if-exists a --get b --else-get a",
        reply(false, vec![got(None)]),
        expect![[r#"
            > Txn(TxnRequest { compares: [Compare { range: Key("a"), op: Greater, target: Version(0) }], success: [Get(GetRequest { key: "b", revision: 0 })], failure: [Get(GetRequest { key: "a", revision: 0 })] })
            failed (revision 5)
            get a: no such key
            exit 3
        "#]],
    );
    check(
        "txn --if-revision a x --set a 2",
        [],
        expect![[r#"
        error: --if-revision: `x` is not a revision
        exit 2
    "#]],
    );
}

#[test]
fn a_limit_may_be_more_than_a_page_of_the_server() {
    check(
        "range --limit 2 --keys-only",
        [
            Answer::Refusal(Error::new(ErrorCode::LimitExceeded, "pages have one key")),
            page(9, vec![kv("a", "", 2)], true),
            Answer::Refusal(Error::new(ErrorCode::LimitExceeded, "pages have one key")),
            page(9, vec![kv("b", "", 2)], true),
        ],
        expect![[r#"
            > Range(RangeRequest { range: Prefix(""), revision: 0, limit: 2, order: Ascending, keys_only: true, count_only: false, after: None })
            > Range(RangeRequest { range: Prefix(""), revision: 0, limit: 0, order: Ascending, keys_only: true, count_only: false, after: None })
            > Range(RangeRequest { range: Prefix(""), revision: 9, limit: 1, order: Ascending, keys_only: true, count_only: false, after: Some("a") })
            > Range(RangeRequest { range: Prefix(""), revision: 9, limit: 0, order: Ascending, keys_only: true, count_only: false, after: Some("a") })
            a
            b
            exit 0
        "#]],
    );
}

#[test]
fn a_delete_of_an_empty_variable_is_refused() {
    for line in ["del '' --prefix", "del '' --to ''", "del '' --to b", "del ''"] {
        check(
            line,
            [],
            expect![[r#"
                error: KEY is empty (an unset variable?); --all deletes every key
                exit 2
            "#]],
        );
    }
}

fn too_many() -> Answer {
    let name = "store.revision_events_max".to_owned();
    let error = Error::new(ErrorCode::LimitExceeded, "too many keys for one revision");
    Answer::Refusal(error.with_details(Details::Limit { name, value: 2 }))
}

#[test]
fn what_is_too_much_for_one_revision_is_deleted_in_parts_only_when_asked_for() {
    check(
        "del a --prefix",
        [too_many()],
        expect![[r#"
        > Delete(DeleteRequest { range: Prefix("a"), return_previous: false })
        error: too many keys for one revision; --yes deletes them in parts, each a revision of its own
        exit 1
    "#]],
    );
    let deleted = |revision, deleted| {
        Answer::Reply(Reply::Delete(DeleteReply { revision, deleted, previous: vec![] }))
    };
    let count = Answer::Reply(Reply::Range(RangeReply {
        revision: 9,
        kvs: vec![],
        more: false,
        next: None,
        count: 5,
    }));
    check(
        "del a --prefix --yes",
        [
            too_many(),
            page(9, vec![kv("a5", "", 2)], true),
            count,
            page(9, vec![kv("a1", "", 2), kv("a2", "", 2), kv("a3", "", 2)], true),
            too_many(),
            page(9, vec![kv("a1", "", 2)], true),
            deleted(10, 1),
            page(10, vec![kv("a2", "", 2)], true),
            deleted(11, 1),
            page(11, vec![kv("a3", "", 2)], false),
            deleted(12, 2),
            deleted(13, 1),
        ],
        expect![[r#"
            > Delete(DeleteRequest { range: Prefix("a"), return_previous: false })
            > Range(RangeRequest { range: Prefix("a"), revision: 0, limit: 1, order: Descending, keys_only: true, count_only: false, after: None })
            > Range(RangeRequest { range: Prefix("a"), revision: 0, limit: 0, order: Ascending, keys_only: false, count_only: true, after: None })
            > Range(RangeRequest { range: Range { from: "a", to: "a5" }, revision: 0, limit: 0, order: Ascending, keys_only: true, count_only: false, after: None })
            > Delete(DeleteRequest { range: Range { from: "a1", to: "a3" }, return_previous: false })
            > Range(RangeRequest { range: Range { from: "a", to: "a5" }, revision: 0, limit: 1, order: Ascending, keys_only: true, count_only: false, after: None })
            > Delete(DeleteRequest { range: Key("a1"), return_previous: false })
            > Range(RangeRequest { range: Range { from: "a", to: "a5" }, revision: 0, limit: 1, order: Ascending, keys_only: true, count_only: false, after: Some("a1") })
            > Delete(DeleteRequest { range: Key("a2"), return_previous: false })
            > Range(RangeRequest { range: Range { from: "a", to: "a5" }, revision: 0, limit: 1, order: Ascending, keys_only: true, count_only: false, after: Some("a2") })
            > Delete(DeleteRequest { range: Range { from: "a3", to: "a5" }, return_previous: false })
            > Delete(DeleteRequest { range: Key("a5"), return_previous: false })
            5
            exit 0
        "#]],
    );
}
