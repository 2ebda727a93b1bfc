//! The bytes of records, as documented in `docs/journal.md`: later versions must read them too.

use std::fmt::Write;
use std::sync::Arc;

use expect_test::expect;

use super::*;
use crate::model::{DeleteReply, GetReply, LeaseReply, RangeReply, SetReply, TxnReply};
use crate::store::change::StoreChange;

/// Returns the payload of a record with one change.
fn payload(change: StoreChange) -> Vec<u8> {
    record_at(300, change)
}

/// Returns the record of a change in a new store.
pub(crate) fn first_record_of(change: StoreChange) -> Vec<u8> {
    let is_event = matches!(change, StoreChange::Put { .. } | StoreChange::Delete { .. });
    record_at(if is_event { 2 } else { 1 }, change)
}

fn record_at(revision: Revision, change: StoreChange) -> Vec<u8> {
    let mut state = roomy();
    state.revision = revision;
    state.changes.push(change);
    let mut out = Vec::new();
    assert!(state.take_record(70_000, &mut out));
    out
}

fn kv(key: &str, value: &str) -> Arc<KeyValue> {
    Arc::new(KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: 2,
        mod_revision: 300,
        version: 3,
        lease: 9,
    })
}

fn remembered(reply: Reply) -> StoreChange {
    let once = IdempotentWrite { key: 1 << 100, client: ClientId::Process };
    StoreChange::Remembered { once, fingerprint: 0x0102_0304_0506_0708, reply }
}

fn replies() -> Vec<(&'static str, Reply)> {
    let set = SetReply { revision: 300, changed: true, lease: 9, previous: Some(kv("k", "v")) };
    let set_without = SetReply { previous: None, changed: false, lease: 0, ..set.clone() };
    let get = GetReply { revision: 300, kv: Some(kv("k", "v")) };
    let get_without = GetReply { revision: 300, kv: None };
    let next = Some("k".into());
    let page = RangeReply { revision: 300, kvs: vec![kv("k", "")], more: true, count: 1, next };
    let delete = DeleteReply { revision: 300, deleted: 2, previous: vec![kv("k", "v")] };
    let results = vec![
        Reply::Set(set_without),
        Reply::Get(get),
        Reply::Get(get_without),
        Reply::Range(page),
        Reply::Delete(delete.clone()),
    ];
    let grant = LeaseReply { revision: 300, id: 9, ttl: Duration::from_secs(60) };
    let revoke = DeleteReply { revision: 300, deleted: 5, previous: Vec::new() };
    vec![
        ("set", Reply::Set(set)),
        ("delete", Reply::Delete(delete)),
        ("txn", Reply::Txn(TxnReply { revision: 300, succeeded: true, results })),
        ("lease grant", Reply::LeaseGrant(grant)),
        ("lease revoke", Reply::LeaseRevoke(revoke)),
    ]
}

/// Returns one change of each kind.
pub(crate) fn changes() -> Vec<(&'static str, StoreChange)> {
    let second = SECOND;
    let mut changes = vec![
        ("put", StoreChange::Put { key: "key".into(), value: "value".into(), lease: 0 }),
        (
            "put",
            StoreChange::Put { key: "k".into(), value: vec![b'v'; 251].into(), lease: u64::MAX },
        ),
        ("delete", StoreChange::Delete { key: "key".into() }),
        ("lease granted", StoreChange::LeaseGranted { id: 9, ttl: second, private: true }),
        ("lease renewed", StoreChange::LeaseRenewed { id: 9, ttl: 1 << 32 }),
        ("lease ended", StoreChange::LeaseEnded { id: 250 }),
        ("compacted", StoreChange::Compacted { revision: 251 }),
        ("began", StoreChange::Began { oldest: 251, revision: 250, keys: 3 }),
        ("kept", StoreChange::Kept { kv: kv("k", "v") }),
        ("lease kept", StoreChange::LeaseKept { id: 9, ttl: second, deadline: 300, private: true }),
    ];
    changes.extend(replies().into_iter().map(|(name, reply)| (name, remembered(reply))));
    if let StoreChange::Remembered { fingerprint, reply, .. } = remembered(replies().remove(4).1) {
        let of = |client| IdempotentWrite { key: 1 << 100, client };
        let once = of(ClientId::Connection(300));
        let of_connection = StoreChange::Remembered { once, fingerprint, reply: reply.clone() };
        changes.push(("of a client", of_connection));
        let once = of(ClientId::User(300));
        changes.push(("of a user", StoreChange::Remembered { once, fingerprint, reply }));
    }
    changes
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(32) {
        let line: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{}", line.join(" ")).unwrap();
    }
    out
}

#[test]
fn the_bytes_of_every_change_stay_as_they_are() {
    let mut out = String::new();
    for (name, change) in changes() {
        let bytes = payload(change.clone());
        writeln!(out, "{name}").unwrap();
        out.push_str(&hex(&bytes));
        let at = bytes.len() - encoded(&change).len();
        let (read, rest) = StoreChange::decode(&bytes[at..]).unwrap();
        assert_eq!((read, rest), (change, &[][..]));
    }
    expect![[r#"
        put
        01 01 fc 70 11 01 00 fb 2c 01 01 00 03 6b 65 79 05 76 61 6c 75 65 00
        put
        01 01 fc 70 11 01 00 fb 2c 01 01 00 01 6b fb fb 00 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76 76
        76 76 76 76 76 76 76 76 76 76 76 76 fd ff ff ff ff ff ff ff ff
        delete
        01 01 fc 70 11 01 00 fb 2c 01 01 01 03 6b 65 79
        lease granted
        01 01 fc 70 11 01 00 fb 2c 01 01 02 09 fc 40 42 0f 00 01
        lease renewed
        01 01 fc 70 11 01 00 fb 2c 01 01 03 09 fd 00 00 00 00 01 00 00 00
        lease ended
        01 01 fc 70 11 01 00 fb 2c 01 01 04 fa
        compacted
        01 01 fc 70 11 01 00 fb 2c 01 01 05 fb fb 00
        began
        01 01 fc 70 11 01 00 fb 2c 01 01 07 fb fb 00 fa 03
        kept
        01 01 fc 70 11 01 00 fb 2c 01 01 08 01 6b 01 76 02 fb 2c 01 03 09
        lease kept
        01 01 fc 70 11 01 00 fb 2c 01 01 09 09 fc 40 42 0f 00 fb 2c 01 01
        set
        01 01 fc 70 11 01 00 fb 2c 01 01 06 fe 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 fd 08 07
        06 05 04 03 02 01 00 00 fb 2c 01 01 09 01 01 6b 01 76 02 fb 2c 01 03 09
        delete
        01 01 fc 70 11 01 00 fb 2c 01 01 06 fe 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 fd 08 07
        06 05 04 03 02 01 00 03 fb 2c 01 02 01 01 6b 01 76 02 fb 2c 01 03 09
        txn
        01 01 fc 70 11 01 00 fb 2c 01 01 06 fe 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 fd 08 07
        06 05 04 03 02 01 01 fb 2c 01 01 05 00 fb 2c 01 00 00 00 01 fb 2c 01 01 01 6b 01 76 02 fb 2c 01
        03 09 01 fb 2c 01 00 02 fb 2c 01 01 01 6b 00 02 fb 2c 01 03 09 01 01 03 fb 2c 01 02 01 01 6b 01
        76 02 fb 2c 01 03 09
        lease grant
        01 01 fc 70 11 01 00 fb 2c 01 01 06 fe 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 fd 08 07
        06 05 04 03 02 01 02 fb 2c 01 09 fc 00 87 93 03
        lease revoke
        01 01 fc 70 11 01 00 fb 2c 01 01 06 fe 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 fd 08 07
        06 05 04 03 02 01 03 fb 2c 01 05
        of a client
        01 01 fc 70 11 01 00 fb 2c 01 01 0a fb 2c 01 fe 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00
        fd 08 07 06 05 04 03 02 01 03 fb 2c 01 05
        of a user
        01 01 fc 70 11 01 00 fb 2c 01 01 0b fb 2c 01 fe 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00
        fd 08 07 06 05 04 03 02 01 03 fb 2c 01 05
    "#]].assert_eq(&out);
}

fn encoded(change: &StoreChange) -> Vec<u8> {
    let mut out = Vec::new();
    change.encode(&mut out);
    out
}

#[test]
fn the_example_in_the_documents_is_what_is_written() {
    let document = include_str!("../../../docs/journal.md");
    let lines =
        document.lines().skip_while(|line| !line.ends_with("the store's record, version 1"));
    let example = lines.take_while(|line| !line.starts_with("```"));
    let bytes = example.flat_map(|line| line.split("  ").next().unwrap().split(' '));
    let bytes: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let put = StoreChange::Put { key: "key".into(), value: "value".into(), lease: 0 };
    assert_eq!(bytes, first_record_of(put));
    roomy().replay(&bytes).unwrap();
}

#[test]
fn a_record_of_another_version_is_refused() {
    let good = payload(StoreChange::Delete { key: "key".into() });
    for other in [[1, 0], [1, 2], [0, 1], [2, 1]] {
        let record = [&other, &good[2..]].concat();
        let refusal = roomy().replay(&record).unwrap_err();
        assert!(refusal.contains("another version"), "{refusal}");
    }
}
