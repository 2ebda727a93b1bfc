//! [`Probe`]: a request about a thing, and the roles that may learn whether it exists.

use std::time::Duration;

use super::world::{LEASE, STATES, config};
use crate::auth::{Action, Credentials};
use crate::model::RpcCall;
use crate::model::*;

use JobRequest as J;
use Request::Job;

/// Requests that name nothing that may exist or not, or whose answers to an admin differ anyway.
pub(super) const NAMES_NOTHING: &[&str] = &[
    "Compact",
    "Status",
    "EndWatcher",
    "Watchers",
    "Snapshot",
    "ReadSnapshot",
    "Limits",
    "Gauges",
    "StreamOpen",
    "WatchAdd",
    "WatchCancel",
    "Login",
    "JobRevoked",
    // There is nothing to resume for any role: another user holds the jobs.
    "JobResume",
    // Sets the same schedule, whatever existed before.
    "JobSetSchedule",
];

/// A request about a thing that may exist or not.
pub(super) struct Probe {
    pub(super) call: RpcCall,
    told: Told,
}

/// The roles whose answer may reveal whether the thing exists.
#[derive(Clone, Copy)]
enum Told {
    /// Admins.
    Admins,
    /// Roles with one of these grants on the thing.
    Granted(&'static [Action]),
    /// Roles with this grant on anything: the id that a client chooses for a lease must be free.
    Anybody(Action),
}

const READ: Told = Told::Granted(&[Action::Read]);
const WRITE: Told = Told::Granted(&[Action::Write]);
const WATCH: Told = Told::Granted(&[Action::Watch]);
const CALL: Told = Told::Granted(&[Action::Call]);
const PUSH: Told = Told::Granted(&[Action::Push]);
const WORK: Told = Told::Granted(&[Action::Work]);
const SEE: Told = Told::Granted(&[Action::Push, Action::Work]);

impl Probe {
    /// Returns whether these grants, each on the thing or on the role's own names, reveal whether the
    /// thing exists.
    pub(super) fn is_told(&self, grants: &[(Action, bool)]) -> bool {
        grants.iter().any(|(action, asked_about)| match self.told {
            Told::Admins => false,
            Told::Granted(actions) => *asked_about && actions.contains(action),
            Told::Anybody(any) => *action == any,
        })
    }

    /// Returns whether the answer may take long if the thing exists.
    pub(super) fn parks(&self) -> bool {
        matches!(&self.call, RpcCall::Store { request: Job(job), .. } if job.parks())
    }
}

/// Returns the request sent beside each probe: its answer comes before or after that of the probe.
pub(super) fn beside() -> RpcCall {
    job(J::List { topic: "mine".into(), state: JobState::Delayed, after: 0, limit: 0 })
}

fn job(request: JobRequest) -> RpcCall {
    RpcCall::from(Job(request))
}

/// Returns all probes, about the jobs and leases with these ids.
pub(super) fn probes(jobs: [JobId; 6], leases: [LeaseId; 2]) -> Vec<Probe> {
    let mut probes = Vec::new();
    let mut add = |told: Told, call: RpcCall| probes.push(Probe { call, told });
    keys(&mut add);
    leases.iter().for_each(|lease| of_lease(&mut add, *lease));
    lease_ids(&mut add);
    watches(&mut add);
    services(&mut add);
    for (id, state) in jobs.into_iter().zip(STATES) {
        of_job(&mut add, id, state);
    }
    topics(&mut add);
    admins(&mut add);
    probes
}

fn keys(add: &mut impl FnMut(Told, RpcCall)) {
    let set = || SetRequest::new("taken/k", "w");
    let mut store = |told, request: KvRequest| add(told, request.into());
    store(WRITE, KvRequest::Set(set()));
    store(WRITE, KvRequest::Set(SetRequest { return_previous: true, ..set() }));
    store(
        WRITE,
        KvRequest::Set(SetRequest { only_if_changed: true, ..SetRequest::new("taken/k", "v") }),
    );
    store(READ, KvRequest::Get(GetRequest { key: "taken/k".into(), revision: 0 }));
    store(READ, KvRequest::Get(GetRequest { key: "taken/k".into(), revision: 1 }));
    for range in [KeyRange::prefix("taken/"), KeyRange::key("taken/k"), KeyRange::prefix("")] {
        let counted = RangeRequest { count_only: true, ..RangeRequest::new(range.clone()) };
        store(READ, KvRequest::Range(counted.clone()));
        store(READ, KvRequest::Scan(Box::new(counted)));
        store(READ, KvRequest::Range(RangeRequest::new(range.clone())));
        store(
            WRITE,
            KvRequest::Delete(DeleteRequest { return_previous: true, range: range.clone() }),
        );
        store(WRITE, KvRequest::Delete(DeleteRequest::new(range.clone())));
        let compare = Compare {
            range: range.clone(),
            op: CompareOp::Greater,
            target: CompareTarget::Version(0),
        };
        let txn = TxnRequest { compares: vec![compare], ..TxnRequest::default() };
        store(READ, KvRequest::Txn(txn));
        let delete = TxnOp::Delete(DeleteRequest::new(range));
        store(WRITE, KvRequest::Txn(TxnRequest { failure: vec![delete], ..TxnRequest::default() }));
    }
    // Of the role's own keys, which are beside those of others.
    store(Told::Admins, KvRequest::Range(RangeRequest::new(KeyRange::prefix("mine/"))));
}

fn of_lease(add: &mut impl FnMut(Told, RpcCall), id: LeaseId) {
    let set = || SetRequest { lease: id, ..SetRequest::new("mine/k", "w") };
    let mut store = |told, request: KvRequest| add(told, request.into());
    // Other errors of a request are reported in both cases.
    let too_long = vec![b'v'; config().store.value_bytes_max + 1];
    let ttl = Some(Duration::from_secs(60));
    for set in [
        set(),
        SetRequest { value: too_long.into(), ..set() },
        SetRequest { ttl, ..set() },
        SetRequest { key: "".into(), ..set() },
    ] {
        store(WRITE, KvRequest::Set(set.clone()));
        let once = TxnRequest { success: vec![TxnOp::Set(set.clone())], ..TxnRequest::default() };
        store(WRITE, KvRequest::Txn(once));
        let ops = vec![TxnOp::Set(SetRequest::new("mine/k", "w")), TxnOp::Set(set)];
        store(WRITE, KvRequest::Txn(TxnRequest { failure: ops, ..TxnRequest::default() }));
    }
    store(WRITE, KvRequest::LeaseKeepAlive(id));
    store(WRITE, KvRequest::LeaseRevoke(id));
    store(READ, KvRequest::LeaseTimeToLive(id));
    for limit in [0, usize::MAX] {
        store(READ, KvRequest::LeaseKeys { id, after: Blob::default(), limit });
    }
    let options = CallOptions { idempotency: Some(7), ..CallOptions::default() };
    add(WRITE, RpcCall::Store { options, request: KvRequest::Set(set()).into() });
    let keep_alive = KvRequest::LeaseKeepAlive(id);
    add(WRITE, RpcCall::Store { options, request: keep_alive.into() });
}

fn lease_ids(add: &mut impl FnMut(Told, RpcCall)) {
    let grant = |id, ttl| KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl });
    add(Told::Admins, grant(LEASE, Duration::ZERO).into());
    add(Told::Anybody(Action::Write), grant(LEASE, Duration::from_secs(60)).into());
}

fn watches(add: &mut impl FnMut(Told, RpcCall)) {
    let timeout = Some(Duration::ZERO);
    for condition in [WaitCondition::Exists, WaitCondition::Absent, WaitCondition::Changed] {
        let range = KeyRange::key("taken/k");
        let after = None;
        add(WATCH, RpcCall::Wait(WaitRequest { range, condition, after, timeout }));
    }
    add(Told::Admins, RpcCall::StreamOpen { window_bytes: 1_000 });
    for from in [WatchFrom::Now, WatchFrom::Snapshot, WatchFrom::Revision(2)] {
        let watch = WatchRequest { from, ..WatchRequest::new(KeyRange::prefix("taken/")) };
        add(WATCH, RpcCall::WatchAdd { stream: u64::MAX, watch_id: 1, watch });
    }
    add(Told::Admins, RpcCall::WatchCancel { stream: u64::MAX, watch_id: 1 });
}

fn services(add: &mut impl FnMut(Told, RpcCall)) {
    for method in ["taken.Do", "taken.Other"] {
        let argument = Payload::Bincode(Blob::default());
        let invocation = Invocation { method: method.to_owned(), argument };
        add(CALL, Request::Invoke(invocation).into());
    }
    add(CALL, NodeRequest::Services.into());
    add(Told::Admins, NodeRequest::Limits.into());
    // A login reveals nothing about other users.
    let wrong = Credentials::password("taken", "another password");
    add(Told::Admins, RpcCall::Login(wrong));
}

fn of_job(add: &mut impl FnMut(Told, RpcCall), id: JobId, index: &str) {
    let named = JobRef::Index { topic: "taken".into(), index: index.into() };
    let long = Duration::from_secs(60);
    for job_ref in [JobRef::Id(id), named] {
        add(SEE, job(J::Get(job_ref.clone())));
        for wait in [Some(Duration::ZERO), Some(long), Some(long * 60 * 24 * 365), None] {
            add(SEE, job(J::Await { job: job_ref.clone(), wait }));
        }
        add(PUSH, job(J::Cancel(job_ref)));
    }
    let reservation = Reservation { id, epoch: 1 };
    let config = config().queue;
    let error = || "why".to_owned();
    let too_large = Blob::from(vec![b'o'; config.output_bytes_max + 1]);
    let too_late = config.delay_max + long;
    for verdict in [
        Verdict::Done { output: too_large },
        Verdict::Snooze { after: too_late },
        Verdict::Retry { after: Some(too_late), error: error() },
        Verdict::Retry { after: None, error: error() },
        Verdict::Snooze { after: long },
        Verdict::Release,
        Verdict::Fail { error: error() },
        Verdict::Done { output: "o".into() },
    ] {
        let settlement = Settlement { reservation, verdict };
        add(WORK, job(J::Settle(vec![settlement.clone()])));
        let others =
            Settlement { reservation: Reservation { id: 999, epoch: 1 }, ..settlement.clone() };
        add(WORK, job(J::Settle(vec![others, settlement])));
    }
    let settlement = Settlement { reservation, verdict: Verdict::Release };
    add(WORK, job(J::Settle(vec![settlement; config.push_jobs_max + 1])));
    for visibility in [None, Some(config.visibility_max * 2)] {
        add(WORK, job(J::Touch { reservations: vec![reservation], visibility }));
    }
    for bytes in [1, config.progress_bytes_max + 1] {
        add(WORK, job(J::Progress { reservation, progress: vec![b'p'; bytes].into() }));
    }
    add(WORK, job(J::Resume(vec![reservation])));
}

fn topics(add: &mut impl FnMut(Told, RpcCall)) {
    let topic = || Blob::from("taken");
    let push = |topic: &str| {
        let options = PushOptions { index: Some("waits".into()), ..PushOptions::default() };
        PushRequest { topic: topic.into(), payload: "p".into(), options }
    };
    let wait = Some(Duration::ZERO);
    let long = Duration::from_secs(60);
    for wait in [Duration::ZERO, long] {
        add(PUSH, job(J::Push { jobs: vec![push("taken")], wait }));
        add(PUSH, job(J::Push { jobs: vec![push("mine"), push("taken")], wait }));
    }
    for wait in [Duration::ZERO, long] {
        let reserve = ReserveRequest { wait: Some(wait), ..ReserveRequest::new("taken") };
        add(WORK, job(J::Reserve(reserve)));
    }
    add(Told::Admins, job(J::Revoked { wait }));
    let states = [
        JobState::Ready,
        JobState::Delayed,
        JobState::Reserved,
        JobState::Done,
        JobState::Dead,
        JobState::Cancelled,
    ];
    for state in states {
        add(SEE, job(J::List { topic: topic(), state, after: 0, limit: 0 }));
        if state != JobState::Ready {
            // Of the role's own topic, which has none: topics of others are beside it.
            let topic = "mine".into();
            add(Told::Admins, job(J::List { topic, state, after: 0, limit: 0 }));
        }
    }
    for after in [None, Some(0), Some(1_000)] {
        for topic in [topic(), "mine".into()] {
            let told = if topic == "mine" { Told::Admins } else { SEE };
            add(told, job(J::Outcomes { topic, after, limit: 0, wait }));
        }
    }
    add(SEE, job(J::Topic(topic())));
    for index in STATES.into_iter().chain(["none"]) {
        add(PUSH, job(J::FreeIndex { topic: topic(), index: index.into() }));
    }
}

fn admins(add: &mut impl FnMut(Told, RpcCall)) {
    let topic = || Blob::from("taken");
    let schedule = Schedule {
        name: topic(),
        cron: "0 0 2 2 *".to_owned(),
        timezone: "UTC".to_owned(),
        push: PushRequest::new("taken", "p"),
    };
    for request in [
        J::Replay { topic: topic(), id: None },
        J::Replay { topic: topic(), id: Some(2) },
        J::PauseTopic { topic: topic(), paused: true },
        J::SetTopic { topic: topic(), settings: Box::default() },
        J::Topics { after: Blob::default(), limit: 0 },
        J::Schedules,
        J::SetSchedule(Box::new(schedule)),
        J::RemoveSchedule(topic()),
        J::DeleteDead { topic: topic(), id: None },
        J::DeleteDead { topic: topic(), id: Some(2) },
        J::ClearTopic(topic()),
        J::DeleteTopic { topic: topic(), force: false },
        J::DeleteTopic { topic: topic(), force: true },
    ] {
        add(Told::Admins, job(request));
    }
    for request in [
        KvRequest::LeaseList { after: 0, limit: 0 }.into(),
        KvRequest::Compact(1).into(),
        HubRequest::Status.into(),
        NodeRequest::Gauges.into(),
        HubRequest::Watchers { after: 0, limit: 0 }.into(),
        HubRequest::EndWatcher(1).into(),
        FilesRequest::Snapshot.into(),
        FilesRequest::ReadSnapshot { id: 1, offset: 0, limit: 0 }.into(),
    ] {
        add(Told::Admins, request);
    }
}
