//! Permissions on leases of many keys, compared with examining every key each time.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::actor::lease_guard::LeaseGuard;
use crate::actor::message::Task;
use crate::auth::{Access, Action, Pattern, Role};
use crate::config::Config;
use crate::config::auth::{JUDGED_AT_ONCE, JUDGED_KEYS_MAX, VERDICTS_MAX};
use crate::model::{
    DeleteRequest, KeyRange, KvRequest, LeaseGrantRequest, LeaseId, SetRequest, TxnOp, TxnRequest,
};
use crate::store::StoreState;

/// Enough keys for the verdict on a lease to be remembered.
const MANY: usize = JUDGED_KEYS_MAX + 4;

#[derive(Debug, Clone)]
enum Step {
    /// A user binds a key to a lease, if permitted.
    Bind {
        who: usize,
        key: String,
        lease: LeaseId,
    },
    /// A user binds two keys at once.
    BindTwo {
        who: usize,
        keys: [String; 2],
        leases: [LeaseId; 2],
    },
    KeepAlive {
        who: usize,
        lease: LeaseId,
    },
    List {
        who: usize,
        lease: LeaseId,
    },
    /// The unrestricted user deletes keys.
    Delete {
        key: String,
    },
    /// The lease ends, and another gets its id and as many keys, bound by the unrestricted user.
    Again {
        lease: LeaseId,
        others: usize,
    },
}

fn key() -> impl Strategy<Value = String> {
    (prop_oneof![3 => Just('a'), 1 => Just('b')], 0..2 * MANY)
        .prop_map(|(of, n)| format!("{of}/{n}"))
}

fn step() -> impl Strategy<Value = Step> {
    let lease = || 1..=2_u64;
    prop_oneof![
        4 => (0..3_usize, key(), lease())
            .prop_map(|(who, key, lease)| Step::Bind { who, key, lease }),
        2 => (0..3_usize, key(), key(), lease(), lease()).prop_map(|(who, one, other, a, b)| {
            Step::BindTwo { who, keys: [one, other], leases: [a, b] }
        }),
        4 => (0..3_usize, lease()).prop_map(|(who, lease)| Step::KeepAlive { who, lease }),
        2 => (0..3_usize, lease()).prop_map(|(who, lease)| Step::List { who, lease }),
        2 => key().prop_map(|key| Step::Delete { key }),
        1 => (lease(), 0..2_usize).prop_map(|(lease, others)| Step::Again { lease, others }),
    ]
}

/// Returns a user who may read and write `a/*`, one who may do so for everything used here, and the
/// unrestricted one.
fn people() -> [Option<Arc<Access>>; 3] {
    let of = |patterns: &[&str]| {
        let mut role = Role::default();
        for pattern in patterns {
            role.grant(Action::Write, Pattern::parse(pattern).unwrap());
            role.grant(Action::Read, Pattern::parse(pattern).unwrap());
        }
        Some(Arc::new(Access::new([&role])))
    };
    [of(&["a/*"]), of(&["a/*", "b/*"]), None]
}

struct Model {
    state: StoreState,
    guard: LeaseGuard,
    people: [Option<Arc<Access>>; 3],
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            state: StoreState::new(Config::new().store),
            guard: LeaseGuard::default(),
            people: people(),
        };
        (1..=2).for_each(|lease| model.again(lease, 0));
        model
    }

    fn apply(&mut self, request: KvRequest) {
        // The result does not matter.
        let _ = self.state.apply(0, None, request);
    }

    fn set(key: &str, lease: LeaseId) -> SetRequest {
        SetRequest { lease, ..SetRequest::new(key, "") }
    }

    fn again(&mut self, lease: LeaseId, others: usize) {
        self.apply(KvRequest::LeaseRevoke(lease));
        let ttl = Duration::from_secs(60);
        self.apply(KvRequest::LeaseGrant(LeaseGrantRequest { id: lease, ttl }));
        for n in 0..MANY {
            let of = if n < others { 'b' } else { 'a' };
            let n = n + (lease as usize - 1) * MANY;
            self.apply(KvRequest::Set(Self::set(&format!("{of}/{n}"), lease)));
        }
    }

    /// Executes a request from which no lease is hidden, and checks that none should have been.
    fn ask(
        &mut self,
        who: usize,
        leases: &[LeaseId],
        request: KvRequest,
    ) -> Result<(), TestCaseError> {
        let access = self.people[who].clone();
        let permitted = access.as_ref().is_none_or(|access| {
            let mut keys = leases.iter().flat_map(|lease| self.state.lease_keys(*lease));
            keys.all(|key| access.has(Action::Write, key))
        });
        let task = Task::store(Default::default(), request.clone().into());
        let hidden = self.guard.hidden(access.as_ref(), &self.state, &task);
        prop_assert_eq!(hidden.is_empty(), permitted, "{} asks {:?}", who, request);
        if hidden.is_empty() {
            self.apply(request);
        }
        Ok(())
    }

    /// Returns whether a user may write keys, which is judged before.
    fn writes(&self, who: usize, keys: &[String]) -> bool {
        let access = self.people[who].as_ref();
        access.is_none_or(|it| keys.iter().all(|key| it.has(Action::Write, key.as_bytes())))
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Bind { who, key, lease } if self.writes(who, std::slice::from_ref(&key)) => {
                self.ask(who, &[lease], KvRequest::Set(Self::set(&key, lease)))
            }
            Step::BindTwo { who, keys, leases } if self.writes(who, &keys) => {
                let sets = keys.iter().zip(leases);
                let success = sets.map(|(key, lease)| TxnOp::Set(Self::set(key, lease))).collect();
                let txn = TxnRequest { compares: Vec::new(), success, failure: Vec::new() };
                self.ask(who, &leases, KvRequest::Txn(txn))
            }
            Step::KeepAlive { who, lease } => {
                self.ask(who, &[lease], KvRequest::LeaseKeepAlive(lease))
            }
            Step::List { who, lease } => self.ask(who, &[lease], KvRequest::LeaseTimeToLive(lease)),
            Step::Delete { key } => {
                let range = KeyRange::key(key);
                self.apply(KvRequest::Delete(DeleteRequest { range, return_previous: false }));
                Ok(())
            }
            Step::Again { lease, others } => {
                self.again(lease, others);
                Ok(())
            }
            Step::Bind { .. } | Step::BindTwo { .. } => Ok(()),
        }
    }
}

proptest! {
    #[test]
    fn a2_what_is_remembered_of_a_lease_is_what_its_keys_say(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.step(step)?;
        }
    }
}

/// Regression: each list of a lease examined all its keys, for a user who may not read everything.
#[test]
fn s10_the_keys_of_a_large_lease_are_judged_in_slices_and_once() {
    const KEYS: usize = 10_000;
    let mut model = Model::new();
    let ttl = Duration::from_secs(60);
    model.apply(KvRequest::LeaseGrant(LeaseGrantRequest { id: 7, ttl }));
    for n in 0..KEYS {
        model.apply(KvRequest::Set(Model::set(&format!("a/{n:05}"), 7)));
    }
    let access = model.people[0].clone();
    let task = |request: KvRequest| Task::store(Default::default(), request.into());
    let slices = |model: &mut Model, request: KvRequest| {
        let task = task(request);
        let mut slices = 1;
        let judge = |model: &mut Model| {
            let before = model.state.steps_taken();
            let known = model.guard.judge_some(access.as_ref(), &model.state, &task);
            assert!(model.state.steps_taken() - before <= JUDGED_AT_ONCE as u64);
            known
        };
        while !judge(model) {
            slices += 1;
        }
        let before = model.state.steps_taken();
        let hidden = model.guard.hidden(access.as_ref(), &model.state, &task);
        assert_eq!(model.state.steps_taken(), before, "it is known");
        (slices, hidden)
    };
    for request in [KvRequest::LeaseTimeToLive(7), KvRequest::LeaseKeepAlive(7)] {
        assert_eq!(slices(&mut model, request.clone()), (KEYS.div_ceil(JUDGED_AT_ONCE), vec![]));
        assert_eq!(slices(&mut model, request), (1, vec![]), "not again");
    }
    model.apply(KvRequest::Set(Model::set("b/0", 7)));
    for request in [KvRequest::LeaseTimeToLive(7), KvRequest::LeaseRevoke(7)] {
        assert_eq!(slices(&mut model, request.clone()), (1, vec![7]), "only the new key is judged");
        assert_eq!(slices(&mut model, request), (1, vec![7]));
    }
}

/// Judges a slice of a piece of work; returns whether all is known, and checks that the slice is one.
fn judge_some(model: &mut Model, access: &Option<Arc<Access>>, task: &Task) -> bool {
    let before = model.state.steps_taken();
    let is_known = model.guard.judge_some(access.as_ref(), &model.state, task);
    let steps = model.state.steps_taken() - before;
    assert!(steps <= JUDGED_AT_ONCE as u64, "{steps} steps in one turn");
    is_known
}

/// Regression: a key bound between two slices made the next turn judge all keys.
#[test]
fn s10_a_lease_that_others_bind_keys_to_all_the_time_is_judged_all_the_same() {
    const KEYS: usize = 10_000;
    let mut model = Model::new();
    let ttl = Duration::from_secs(60);
    model.apply(KvRequest::LeaseGrant(LeaseGrantRequest { id: 7, ttl }));
    for n in 0..KEYS {
        model.apply(KvRequest::Set(Model::set(&format!("a/{n:05}"), 7)));
    }
    let access = model.people[0].clone();
    for request in [KvRequest::LeaseTimeToLive(7), KvRequest::LeaseRevoke(7)] {
        let task = Task::store(Default::default(), request.clone().into());
        let mut turns = 1;
        // Half of them sort before all that is judged already.
        while !judge_some(&mut model, &access, &task) {
            turns += 1;
            assert!(turns < 10, "it begins again and again");
            for name in ["+", "~"] {
                model.apply(KvRequest::Set(Model::set(&format!("a/{name}{turns}"), 7)));
            }
        }
        assert_eq!(turns, KEYS.div_ceil(JUDGED_AT_ONCE));
        assert!(model.guard.hidden(access.as_ref(), &model.state, &task).is_empty());
        // What is bound later is judged, and nothing else.
        model.apply(KvRequest::Set(Model::set("b/0", 7)));
        let before = model.state.steps_taken();
        assert!(judge_some(&mut model, &access, &task));
        assert_eq!(model.guard.hidden(access.as_ref(), &model.state, &task), [7]);
        assert_eq!(model.state.steps_taken(), before + 1, "{request:?}");
        model.apply(KvRequest::Delete(DeleteRequest {
            range: KeyRange::key("b/0"),
            return_previous: false,
        }));
    }
}

/// Returns a transaction that binds a key to each lease.
fn binds_to(leases: impl Iterator<Item = LeaseId>) -> Task {
    let success = leases.map(|id| TxnOp::Set(Model::set(&format!("a/+{id}"), id))).collect();
    let request = KvRequest::Txn(TxnRequest { success, ..Default::default() });
    Task::store(Default::default(), request.into())
}

/// Regression: a lease that was judged as a whole let those after it be judged as a whole too.
#[test]
fn s10_of_many_leases_none_is_judged_as_a_whole() {
    let mut model = Model::new();
    let ttl = Duration::from_secs(60);
    for (id, name) in [(7, "a"), (8, "b")] {
        model.apply(KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl }));
        for n in 0..10_000 {
            model.apply(KvRequest::Set(Model::set(&format!("a/{name}{n:05}"), id)));
        }
    }
    let access = model.people[0].clone();
    let task = binds_to([7, 8].into_iter());
    assert!(!judge_some(&mut model, &access, &task));
    model.apply(KvRequest::Set(Model::set("a/-", 7)));
    let mut turns = 2;
    while !judge_some(&mut model, &access, &task) {
        turns += 1;
    }
    assert_eq!(turns, 20_001_usize.div_ceil(JUDGED_AT_ONCE));
}

/// Regression: a transaction that names many leases of few keys each judged all of them in one turn, and
/// again at each use.
#[test]
fn s10_many_leases_of_few_keys_are_judged_in_slices_and_once() {
    const LEASES: u64 = 1_024;
    let mut model = Model::new();
    let ttl = Duration::from_secs(60);
    for id in 10..10 + LEASES {
        model.apply(KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl }));
        let keys = if id % 2 == 0 { 8 } else { JUDGED_KEYS_MAX };
        for n in 0..keys {
            model.apply(KvRequest::Set(Model::set(&format!("a/{id}/{n}"), id)));
        }
    }
    let access = model.people[0].clone();
    let task = binds_to(10..10 + LEASES);
    for _ in 0..2 {
        while !judge_some(&mut model, &access, &task) {}
        let before = model.state.steps_taken();
        assert!(model.guard.hidden(access.as_ref(), &model.state, &task).is_empty());
        assert!(model.state.steps_taken() - before <= JUDGED_AT_ONCE as u64);
        // Others cannot make it forget all this.
        for other in 0..VERDICTS_MAX as u64 / 4 {
            let id = 10 + 2 * (other % (LEASES / 2)) + 1;
            model.apply(KvRequest::Set(Model::set(&format!("a/{id}/more"), id)));
            let request = KvRequest::LeaseKeepAlive(id).into();
            let task = Task::store(Default::default(), request);
            let who = model.people[1].clone();
            assert!(judge_some(&mut model, &who, &task));
        }
        let before = model.state.steps_taken();
        while !judge_some(&mut model, &access, &task) {}
        let again = (model.state.steps_taken() - before) as usize;
        assert!(again <= 2 * JUDGED_AT_ONCE, "{again} keys are judged again");
    }
    // A key that is not permitted is found, in a lease of few keys and in one of many.
    for id in [LEASES, LEASES + 1] {
        model.apply(KvRequest::Set(Model::set("b/0", id)));
        while !judge_some(&mut model, &access, &task) {}
        assert_eq!(model.guard.hidden(access.as_ref(), &model.state, &task), [id]);
    }
}
