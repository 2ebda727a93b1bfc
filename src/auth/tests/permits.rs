//! Requests against a naive model of grants.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Access, Action, Pattern, Role};
use crate::model::*;

/// The objects of a request, listed by hand; the model is that each must match a pattern.
#[derive(Debug, Clone)]
enum Touch {
    Name(Action, Vec<u8>),
    Keys(Action, KeyRange),
    /// Either of the two.
    Sight(Vec<u8>),
    Any(&'static [Action]),
    Admin,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(255)], 1..4)
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        key().prop_map(KeyRange::key),
        key().prop_map(KeyRange::prefix),
        (key(), key())
            .prop_filter("not empty", |(from, to)| from < to)
            .prop_map(|(from, to)| KeyRange::range(from, to)),
    ]
}

fn set() -> impl Strategy<Value = (SetRequest, Vec<Touch>)> {
    (key(), any::<bool>(), any::<bool>()).prop_map(|(key, return_previous, only_if_changed)| {
        let set =
            SetRequest { return_previous, only_if_changed, ..SetRequest::new(key.clone(), "v") };
        let mut touches = vec![Touch::Name(Action::Write, key.clone())];
        if return_previous || only_if_changed {
            touches.push(Touch::Name(Action::Read, key));
        }
        (set, touches)
    })
}

fn delete() -> impl Strategy<Value = (DeleteRequest, Vec<Touch>)> {
    (range(), any::<bool>()).prop_map(|(range, return_previous)| {
        let mut touches = vec![Touch::Keys(Action::Write, range.clone())];
        if return_previous {
            touches.push(Touch::Keys(Action::Read, range.clone()));
        }
        (DeleteRequest { range, return_previous }, touches)
    })
}

fn op() -> impl Strategy<Value = (TxnOp, Vec<Touch>)> {
    prop_oneof![
        set().prop_map(|(set, touches)| (TxnOp::Set(set), touches)),
        delete().prop_map(|(delete, touches)| (TxnOp::Delete(delete), touches)),
        key().prop_map(|key| {
            let get = GetRequest { key: key.clone().into(), revision: 0 };
            (TxnOp::Get(get), vec![Touch::Name(Action::Read, key)])
        }),
        range().prop_map(|range| {
            let touches = vec![Touch::Keys(Action::Read, range.clone())];
            (TxnOp::Range(RangeRequest::new(range)), touches)
        }),
    ]
}

fn txn() -> impl Strategy<Value = (KvRequest, Vec<Touch>)> {
    let ops = || proptest::collection::vec(op(), 0..3);
    (proptest::collection::vec(range(), 0..3), ops(), ops()).prop_map(|(ranges, one, other)| {
        let mut touches: Vec<Touch> =
            ranges.iter().map(|range| Touch::Keys(Action::Read, range.clone())).collect();
        let compares = ranges.into_iter().map(|range| Compare {
            range,
            op: CompareOp::Equal,
            target: CompareTarget::Version(0),
        });
        let compares = compares.collect();
        let mut take = |ops: Vec<(TxnOp, Vec<Touch>)>| -> Vec<TxnOp> {
            ops.into_iter()
                .map(|(op, touched)| {
                    touches.extend(touched);
                    op
                })
                .collect()
        };
        let txn = TxnRequest { compares, success: take(one), failure: take(other) };
        (KvRequest::Txn(txn), touches)
    })
}

fn job() -> impl Strategy<Value = (JobRequest, Vec<Touch>)> {
    (key(), key(), 0..26_u32).prop_map(|(topic, other, which)| {
        let blob = || Blob::from(topic.clone());
        let index = || JobRef::Index { topic: blob(), index: "i".into() };
        let reservation = Reservation { id: 1, epoch: 1 };
        let push = |topic: &[u8]| PushRequest::new(topic, "p");
        let one = |action| vec![Touch::Name(action, topic.clone())];
        let sight = || vec![Touch::Sight(topic.clone())];
        let any = |actions: &'static [Action]| vec![Touch::Any(actions)];
        let admin = || vec![Touch::Admin];
        const SIGHT: &[Action] = &[Action::Push, Action::Work];
        match which {
            0 => {
                let jobs = vec![push(&topic), push(&other)];
                let touches = vec![
                    Touch::Name(Action::Push, topic.clone()),
                    Touch::Name(Action::Push, other),
                ];
                (JobRequest::Push { jobs, wait: Duration::ZERO }, touches)
            }
            1 => (JobRequest::Reserve(ReserveRequest::new(blob())), one(Action::Work)),
            2 => (JobRequest::Settle(Vec::new()), any(&[Action::Work])),
            3 => {
                let touch = JobRequest::Touch { reservations: vec![reservation], visibility: None };
                (touch, any(&[Action::Work]))
            }
            4 => (JobRequest::Progress { reservation, progress: blob() }, any(&[Action::Work])),
            5 => (JobRequest::Revoked { wait: None }, any(&[Action::Work])),
            6 => (JobRequest::Get(index()), sight()),
            7 => (JobRequest::Get(JobRef::Id(1)), any(SIGHT)),
            8 => (JobRequest::Await { job: index(), wait: None }, sight()),
            9 => (JobRequest::Await { job: JobRef::Id(1), wait: None }, any(SIGHT)),
            10 => {
                let outcomes =
                    JobRequest::Outcomes { topic: blob(), after: None, limit: 0, wait: None };
                (outcomes, sight())
            }
            11 => {
                let state = JobState::Ready;
                (JobRequest::List { topic: blob(), state, after: 0, limit: 0 }, sight())
            }
            12 => (JobRequest::Cancel(index()), one(Action::Push)),
            13 => (JobRequest::Cancel(JobRef::Id(1)), any(&[Action::Push])),
            14 => (JobRequest::Replay { topic: blob(), id: None }, admin()),
            15 => {
                let settings = Box::default();
                (JobRequest::SetTopic { topic: blob(), settings }, admin())
            }
            16 => (JobRequest::PauseTopic { topic: blob(), paused: true }, admin()),
            17 => (JobRequest::ClearTopic(blob()), admin()),
            18 => (JobRequest::Topic(blob()), sight()),
            19 => (JobRequest::Topics { after: blob(), limit: 0 }, admin()),
            20 => (JobRequest::RemoveSchedule(blob()), admin()),
            21 => (JobRequest::Resume(vec![reservation]), any(&[Action::Work])),
            22 => (JobRequest::DeleteDead { topic: blob(), id: Some(1) }, admin()),
            23 => (JobRequest::DeleteTopic { topic: blob(), force: false }, admin()),
            24 => {
                let free = JobRequest::FreeIndex { topic: blob(), index: "i".into() };
                (free, one(Action::Push))
            }
            _ => (JobRequest::Schedules, admin()),
        }
    })
}

fn other() -> impl Strategy<Value = (Request, Vec<Touch>)> {
    (key(), 0..18_u32).prop_map(|(key, which)| {
        fn admin(request: impl Into<Request>) -> (Request, Vec<Touch>) {
            (request.into(), vec![Touch::Admin])
        }
        let leases = vec![Touch::Any(&[Action::Write])];
        match which {
            0 => {
                let touches = vec![Touch::Name(Action::Read, key.clone())];
                (KvRequest::Get(GetRequest { key: key.into(), revision: 0 }).into(), touches)
            }
            1 => {
                let ttl = Duration::from_secs(1);
                (KvRequest::LeaseGrant(LeaseGrantRequest { id: 0, ttl }).into(), leases)
            }
            2 => (KvRequest::LeaseKeepAlive(1).into(), leases),
            3 => (KvRequest::LeaseRevoke(1).into(), leases),
            4 => (KvRequest::LeaseTimeToLive(1).into(), vec![Touch::Any(&[Action::Read])]),
            5 => admin(KvRequest::LeaseList { after: 0, limit: 0 }),
            6 => admin(KvRequest::Compact(1)),
            7 => admin(HubRequest::Status),
            16 => admin(NodeRequest::Gauges),
            8 => admin(HubRequest::Watchers { after: 0, limit: 0 }),
            9 => admin(HubRequest::EndWatcher(1)),
            10 => admin(FilesRequest::Snapshot),
            11 => admin(FilesRequest::ReadSnapshot { id: 0, offset: 0, limit: 0 }),
            14 => {
                let request = KvRequest::LeaseKeys { id: 1, after: Blob::default(), limit: 0 };
                (request.into(), vec![Touch::Any(&[Action::Read])])
            }
            15 => (NodeRequest::Limits.into(), Vec::new()),
            12 => (NodeRequest::Services.into(), vec![Touch::Any(&[Action::Call])]),
            13 => {
                let method = "ab.Method".to_owned();
                let invocation = Invocation { method, argument: Payload::Json("1".into()) };
                (Request::Invoke(invocation), vec![Touch::Name(Action::Call, b"ab".to_vec())])
            }
            _ => {
                let invocation = Invocation {
                    method: "no method".to_owned(),
                    argument: Payload::Json("1".into()),
                };
                (Request::Invoke(invocation), vec![Touch::Name(Action::Call, Vec::new())])
            }
        }
    })
}

fn request() -> impl Strategy<Value = (Request, Vec<Touch>)> {
    prop_oneof![
        set().prop_map(|(set, touches)| (KvRequest::Set(set).into(), touches)),
        delete().prop_map(|(delete, touches)| (KvRequest::Delete(delete).into(), touches)),
        range().prop_map(|range| {
            let touches = vec![Touch::Keys(Action::Read, range.clone())];
            (KvRequest::Range(RangeRequest::new(range)).into(), touches)
        }),
        txn().prop_map(|(txn, touches)| (txn.into(), touches)),
        job().prop_map(|(job, touches)| (Request::Job(job), touches)),
        other(),
    ]
}

type Grants = Vec<(Action, Pattern)>;

fn grants() -> impl Strategy<Value = Grants> {
    let pattern = prop_oneof![
        4 => (proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b')], 0..3))
            .prop_map(|prefix| Pattern::Prefix(prefix.into())),
        2 => key().prop_map(|name| Pattern::One(name.into())),
        1 => Just(Pattern::all()),
    ];
    proptest::collection::vec((proptest::sample::select(&Action::ALL[..]), pattern), 0..12)
}

/// Returns names that distinguish ranges of such keys: all of up to four of the letters that keys
/// consist of, and their neighbours.
fn names() -> Vec<Vec<u8>> {
    let letters = [0, b'a', b'b', b'c', 254, 255];
    let mut names: Vec<Vec<u8>> = vec![Vec::new()];
    let mut last = names.clone();
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|name| letters.map(|letter| [name.as_slice(), &[letter]].concat()))
            .collect();
        names.extend(last.clone());
    }
    names
}

fn naive(grants: &Grants, admin: bool, touch: &Touch, names: &[Vec<u8>]) -> bool {
    let has = |action: Action, name: &[u8]| {
        grants.iter().any(|(granted, pattern)| *granted == action && pattern.matches(name))
    };
    admin
        || match touch {
            Touch::Name(action, name) => has(*action, name),
            Touch::Keys(action, range) => {
                names.iter().filter(|name| range.contains(name)).all(|name| has(*action, name))
            }
            Touch::Sight(topic) => has(Action::Push, topic) || has(Action::Work, topic),
            Touch::Any(actions) => grants.iter().any(|(granted, _)| actions.contains(granted)),
            Touch::Admin => false,
        }
}

fn access(grants: &Grants, admin: bool) -> Access {
    let mut roles = [Role { admin, ..Role::default() }, Role::default()];
    for (at, (action, pattern)) in grants.iter().enumerate() {
        roles[at % 2].grant(*action, pattern.clone());
    }
    Access::new(&roles)
}

/// Returns the same request about one key as a connection hands it on.
fn about_one_key(request: &Request) -> Option<(KeyRequest, KeyBuffer)> {
    let Request::Store(StoreRequest::Kv(request)) = request else { return None };
    let (action, key) = match request {
        KvRequest::Get(get) => (KeyAction::Get { revision: get.revision }, &get.key),
        KvRequest::Set(set) => {
            let SetRequest { only_if_changed, return_previous, .. } = *set;
            (KeyAction::Set { only_if_changed, return_previous }, &set.key)
        }
        KvRequest::Delete(DeleteRequest { range: KeyRange::Key(key), return_previous }) => {
            (KeyAction::Delete { return_previous: *return_previous }, key)
        }
        _ => return None,
    };
    let mut keys = KeyBuffer::default();
    keys.push(None, KeyView { action, key, value: b"" }).map(|request| (request, keys))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a2_a_request_is_permitted_if_all_it_touches_is_granted(
        grants in grants(),
        admin in proptest::bool::weighted(0.1),
        (request, touches) in request(),
    ) {
        let names = names();
        let expected = touches.iter().all(|touch| naive(&grants, admin, touch, &names));
        let access = access(&grants, admin);
        prop_assert_eq!(access.permits(&request).is_ok(), expected);
        if let Some((request, keys)) = about_one_key(&request) {
            prop_assert_eq!(access.permits_key(&request, &keys).is_ok(), expected);
        }
    }

    #[test]
    fn a2_a_wait_and_a_watch_are_permitted_on_what_may_be_watched(
        grants in grants(),
        range in range(),
        snapshot: bool,
    ) {
        let names = names();
        let may = |action| naive(&grants, false, &Touch::Keys(action, range.clone()), &names);
        let access = access(&grants, false);
        let watched = may(Action::Watch);
        prop_assert_eq!(access.permits_wait(&WaitRequest::new(range.clone())).is_ok(), watched);
        let from = if snapshot { WatchFrom::Snapshot } else { WatchFrom::Now };
        let watch = WatchRequest { from, ..WatchRequest::new(range.clone()) };
        let expected = watched && (!snapshot || may(Action::Read));
        prop_assert_eq!(access.permits_watch(&watch).is_ok(), expected);
    }
}

#[test]
fn a2_a_refusal_says_what_is_missing_and_not_what_is_there() {
    let nobody = Access::new(&[]);
    let get =
        |key: &str| Request::from(KvRequest::Get(GetRequest { key: key.into(), revision: 0 }));
    let [one, other] = [get("a"), get("b")].map(|it| nobody.permits(&it).unwrap_err());
    assert_eq!(one, other);
    let error = crate::Error::from(one);
    assert_eq!(error.code, crate::ErrorCode::PermissionDenied);
    assert!(error.message.contains("`read`"), "{error}");
    assert_eq!(error.details, crate::Details::None);
}
