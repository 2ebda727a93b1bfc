//! [`fingerprint`]: distinguishes different writes under one idempotency key.
//!
//! Fingerprints are written to the journal, so they must never change: no derived `Hash` and no hasher
//! of the standard library, both of which may change with the compiler.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use crate::fair::ClientId;
use crate::model::{
    Compare, CompareOp, CompareTarget, DeleteRequest, GetRequest, KeyRange, KvRequest,
    LeaseGrantRequest, RangeOrder, RangeRequest, SetRequest, TxnOp, TxnRequest,
};

/// Returns the SipHash-2-4, with a key of zeros, of an unambiguous encoding of a write: a tag for each
/// choice, byte strings with their length, numbers with 8 bytes. Returns `None` for requests that take
/// no idempotency key.
///
/// The tags and the order of the fields are part of the journal's format.
pub(super) fn fingerprint(request: &KvRequest) -> Option<u64> {
    let mut print = FingerprintHasher(SipHasher24::new());
    match request {
        KvRequest::Set(set) => print.tag(1).set(set),
        KvRequest::Delete(delete) => print.tag(2).delete(delete),
        KvRequest::Txn(txn) => print.tag(3).txn(txn),
        KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl }) => {
            print.tag(4).number(*id).duration(*ttl);
        }
        KvRequest::LeaseRevoke(id) => {
            print.tag(5).number(*id);
        }
        // These requests take no key; the model in the tests states which ones do.
        _ => return None,
    }
    Some(print.0.finish())
}

/// Returns the client id of a user, which is the same for all connections and after a restart.
pub(crate) fn client_of_user(user: &str) -> ClientId {
    let mut print = FingerprintHasher(SipHasher24::new());
    print.tag(6).bytes(user.as_bytes());
    // 0 stands for no user.
    ClientId::User(print.0.finish().max(1))
}

struct FingerprintHasher(SipHasher24);

impl FingerprintHasher {
    fn set(&mut self, set: &SetRequest) {
        let SetRequest { key, value, lease, ttl, only_if_changed, return_previous } = set;
        self.bytes(key).bytes(value).number(*lease);
        match ttl {
            None => self.tag(0),
            Some(ttl) => self.tag(1).duration(*ttl),
        };
        self.flag(*only_if_changed).flag(*return_previous);
    }

    fn get(&mut self, GetRequest { key, revision }: &GetRequest) {
        self.bytes(key).number(*revision);
    }

    fn range(&mut self, request: &RangeRequest) {
        let RangeRequest { range, revision, limit, order, keys_only, count_only, after } = request;
        self.keys(range).number(*revision).number(*limit as u64);
        self.tag(match order {
            RangeOrder::Ascending => 0,
            RangeOrder::Descending => 1,
        });
        self.flag(*keys_only).flag(*count_only);
        match after {
            None => self.tag(0),
            Some(after) => self.tag(1).bytes(after),
        };
    }

    fn delete(&mut self, DeleteRequest { range, return_previous }: &DeleteRequest) {
        self.keys(range).flag(*return_previous);
    }

    fn txn(&mut self, TxnRequest { compares, success, failure }: &TxnRequest) {
        self.number(compares.len() as u64);
        for compare in compares {
            self.compare(compare);
        }
        for ops in [success, failure] {
            self.number(ops.len() as u64);
            for op in ops {
                match op {
                    TxnOp::Set(set) => self.tag(1).set(set),
                    TxnOp::Get(get) => self.tag(2).get(get),
                    TxnOp::Range(range) => self.tag(3).range(range),
                    TxnOp::Delete(delete) => self.tag(4).delete(delete),
                }
            }
        }
    }

    fn compare(&mut self, Compare { range, op, target }: &Compare) {
        self.keys(range);
        self.tag(match op {
            CompareOp::Equal => 1,
            CompareOp::NotEqual => 2,
            CompareOp::Less => 3,
            CompareOp::Greater => 4,
        });
        match target {
            CompareTarget::Value(value) => self.tag(1).bytes(value),
            CompareTarget::Version(version) => self.tag(2).number(*version),
            CompareTarget::CreateRevision(revision) => self.tag(3).number(*revision),
            CompareTarget::ModRevision(revision) => self.tag(4).number(*revision),
            CompareTarget::Lease(lease) => self.tag(5).number(*lease),
        };
    }

    fn keys(&mut self, range: &KeyRange) -> &mut Self {
        match range {
            KeyRange::Key(key) => self.tag(1).bytes(key),
            KeyRange::Prefix(prefix) => self.tag(2).bytes(prefix),
            KeyRange::Range { from, to } => self.tag(3).bytes(from).bytes(to),
        }
    }

    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.write(&[tag]);
        self
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.tag(u8::from(flag))
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.write(&number.to_le_bytes());
        self
    }

    fn duration(&mut self, duration: Duration) -> &mut Self {
        self.number(duration.as_secs()).number(u64::from(duration.subsec_nanos()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).0.write(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> SetRequest {
        SetRequest::new("key", "value")
    }

    /// Returns every kind of request, operation, range, compare and option.
    fn requests() -> Vec<(&'static str, KvRequest)> {
        let get = GetRequest { key: "g".into(), revision: 7 };
        let page = RangeRequest {
            revision: 3,
            limit: 2,
            order: RangeOrder::Descending,
            keys_only: true,
            count_only: true,
            after: Some("c".into()),
            ..RangeRequest::new(KeyRange::range("b", "d"))
        };
        let delete = DeleteRequest { range: KeyRange::prefix("p"), return_previous: true };
        let targets = [
            (CompareOp::Equal, CompareTarget::Value("v".into())),
            (CompareOp::NotEqual, CompareTarget::Version(1)),
            (CompareOp::Less, CompareTarget::CreateRevision(2)),
            (CompareOp::Greater, CompareTarget::ModRevision(3)),
            (CompareOp::Equal, CompareTarget::Lease(4)),
        ];
        let compares = targets
            .into_iter()
            .map(|(op, target)| Compare { range: KeyRange::key("k"), op, target })
            .collect();
        let txn = TxnRequest {
            compares,
            success: vec![TxnOp::Set(set()), TxnOp::Get(get), TxnOp::Range(page)],
            failure: vec![TxnOp::Delete(delete.clone())],
        };
        let ttl = Duration::from_millis(1_500);
        vec![
            ("set", KvRequest::Set(set())),
            (
                "set with all",
                KvRequest::Set(SetRequest {
                    lease: u64::MAX,
                    ttl: Some(ttl),
                    only_if_changed: true,
                    return_previous: true,
                    ..set()
                }),
            ),
            ("delete", KvRequest::Delete(delete)),
            ("txn", KvRequest::Txn(txn)),
            ("grant", KvRequest::LeaseGrant(LeaseGrantRequest { id: 5, ttl })),
            ("revoke", KvRequest::LeaseRevoke(5)),
        ]
    }

    /// A changed fingerprint would invalidate the replies remembered in every existing journal.
    #[test]
    fn fingerprints_are_the_same_for_ever() {
        let prints: String = requests()
            .iter()
            .map(|(name, request)| format!("{:016x} {name}\n", fingerprint(request).unwrap()))
            .collect();
        expect_test::expect![[r#"
            e4ebca5924ec5618 set
            3dbb7ec9ea9b53af set with all
            7871b655fc6f9640 delete
            0742198157774e40 txn
            809fd00de9e17632 grant
            1f22447540fe091b revoke
        "#]]
        .assert_eq(&prints);
    }

    #[test]
    fn requests_that_differ_in_one_field_have_other_fingerprints() {
        let with = |change: &dyn Fn(&mut SetRequest)| {
            let mut set = set();
            change(&mut set);
            KvRequest::Set(set)
        };
        let txn = |success: &[&str], failure: &[&str]| {
            let sets = |keys: &[&str]| {
                keys.iter().map(|key| TxnOp::Set(SetRequest::new(*key, ""))).collect()
            };
            let (success, failure) = (sets(success), sets(failure));
            KvRequest::Txn(TxnRequest { success, failure, ..TxnRequest::default() })
        };
        let delete = |range| KvRequest::Delete(DeleteRequest::new(range));
        let mut all = vec![
            with(&|_| {}),
            with(&|set| (set.key, set.value) = ("keyv".into(), "alue".into())),
            with(&|set| set.lease = 1),
            with(&|set| set.ttl = Some(Duration::ZERO)),
            with(&|set| set.ttl = Some(Duration::from_secs(1))),
            with(&|set| set.ttl = Some(Duration::from_nanos(1))),
            with(&|set| set.only_if_changed = true),
            with(&|set| set.return_previous = true),
            txn(&["a", "b"], &[]),
            txn(&["a"], &["b"]),
            txn(&[], &["a", "b"]),
            txn(&["ab"], &[]),
            delete(KeyRange::key("a")),
            delete(KeyRange::prefix("a")),
            delete(KeyRange::range("a", "")),
            delete(KeyRange::range("", "a")),
        ];
        all.extend(requests().into_iter().skip(1).map(|(_, request)| request));
        let mut prints: Vec<u64> = all.iter().filter_map(fingerprint).collect();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), all.len());
    }
}
