//! Requests about one key whose bytes are borrowed, against the same requests with bytes of their own.

use proptest::prelude::*;

use super::*;
use crate::model::{KeyAction, KeyView, KvCall};

#[derive(Debug, Clone)]
enum Step {
    Key(KeyAction, u8, usize),
    /// A set with a time to live, which later sets and deletes of the key end.
    Fleeting(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![
        any::<(bool, bool)>().prop_map(|(only_if_changed, return_previous)| KeyAction::Set {
            only_if_changed,
            return_previous
        }),
        (0_u64..12).prop_map(|revision| KeyAction::Get { revision }),
        any::<bool>().prop_map(|return_previous| KeyAction::Delete { return_previous }),
    ];
    prop_oneof![
        9 => (action, 0_u8..4, 0_usize..6).prop_map(|(action, key, size)| Step::Key(action, key, size)),
        1 => (0_u8..4).prop_map(Step::Fleeting),
    ]
}

proptest! {
    #![proptest_config(cases(256))]
    /// Replies, refusals and records are the same, also at every limit of a set.
    #[test]
    fn s1_a_request_whose_bytes_are_borrowed_does_the_same(
        steps in prop::collection::vec(step(), 1..40),
        journaled: bool,
    ) {
        let new = || {
            let mut store = store_with(|config| {
                (config.keys_max, config.key_bytes_max, config.value_bytes_max) = (2, 2, 4);
                (config.total_bytes_max, config.history_revisions_max) = (8, 5);
            });
            store.set_journaled(journaled);
            store
        };
        let (mut borrowed, mut owned) = (new(), new());
        for step in steps {
            match step {
                Step::Key(action, key, size) => {
                    let (key, value) = (vec![b'k'; key as usize], vec![b'v'; size]);
                    let value = if matches!(action, KeyAction::Set { .. }) { &value[..] } else { &[] };
                    let view = KeyView { action, key: &key, value };
                    let reply = borrowed.begin(0, None, KvCall::Key(view));
                    prop_assert_eq!(reply, owned.begin(0, None, view.to_owned().into()));
                }
                Step::Fleeting(key) => {
                    let ttl = Some(Duration::from_secs(60));
                    let set = SetRequest { ttl, ..SetRequest::new(vec![b'k'; key as usize], "f") };
                    let reply = borrowed.begin(0, None, KvRequest::Set(set.clone()).into());
                    prop_assert_eq!(reply, owned.begin(0, None, KvRequest::Set(set).into()));
                }
            }
            let records = [&mut borrowed, &mut owned].map(|store| {
                let mut record = Vec::new();
                store.take_record(0, &mut record).then_some(record)
            });
            prop_assert_eq!(&records[0], &records[1]);
        }
        prop_assert_eq!(borrowed.status(), owned.status());
    }
}
