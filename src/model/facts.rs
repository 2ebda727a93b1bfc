//! [`Facts`]: one table with a row for each request.
//!
//! The request log, the audit log, the limits of heavy requests, permissions, the check of the disk,
//! the client's resend and the table in `docs/protocol.md` read these rows. A request without a row
//! does not compile.

use std::fmt::{self, Display};

use super::{
    Blob, Compare, CompareTarget, FilesRequest, HubRequest, JobRef, JobRequest, KeyRange,
    KvRequest, LeaseId, NodeRequest, Request, StoreRequest, TxnOp, TxnRequest, WaitRequest,
};

/// The properties of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    /// The request's name in `docs/protocol.md`, without the prefix `Job` that requests to the queue
    /// have in JSON.
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    pub(crate) disk: DiskUse,
    pub(crate) weight: Weight,
    pub(crate) repeat: Repeat,
    pub(crate) names: Reference<'a>,
    /// The act in the audit log; `None` for requests that are not audited.
    pub(crate) act: Option<Act<'a>>,
}

/// The users who may make a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Every user.
    Open,
    /// Users with a grant for what the request reads.
    Read,
    /// Users with a grant for what the request changes, works on or calls.
    Write,
    /// Administrators.
    Admin,
}

/// The need of a request for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskUse {
    /// None: the request changes nothing that is recorded.
    Nothing,
    /// A record that does not make the stored data larger.
    Record,
    /// A record that may make the stored data larger; refused when the disk is full.
    Growth,
    /// A record that is never refused for lack of space: jobs are given back or kept.
    Conclusion,
    /// The files themselves; the answer comes when the disk has finished.
    Files,
}

/// The cost of a request to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A look-up with a small answer.
    Light,
    /// A look-up whose answer may be large: one at a time for each connection.
    Large,
    /// May take much longer than a look-up: only a few in one turn.
    Heavy,
    /// Heavy, and the answer is a page: one at a time for each connection.
    Page,
}

/// Whether a client resends a request whose answer was lost with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Always resent: the request changes nothing, or has the same effect again.
    Always,
    /// Resent only with an idempotency key.
    Keyed,
    /// Resent only if the index of each job outlasts the request.
    Indexed,
    /// Never resent: the caller learns that the request may have been executed.
    Never,
    /// Not resent: the request belongs to a connection, and the next connection makes its own.
    Renewed,
}

/// The thing that a request names and that only one store has: in another store, the name stands
/// for another thing or for none. The actors use it to decide whether the thing exists for the user
/// of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    /// None, or a name that the caller chose.
    Nothing,
    /// An id or a revision.
    Thing,
    /// A revision, or the position where a list continues; 0 for none.
    Position(u64),
    /// A lease (0 for none) and what the request does to its keys.
    Lease(LeaseId, LeaseUse),
    /// The things named by the operations and compares of a transaction.
    Txn(&'a TxnRequest),
    /// Jobs and what the request does to them; true if it names them by id and not by index.
    Job(JobUse, bool),
}

/// The effect of a request on the keys of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseUse {
    /// Lists them.
    Read,
    /// Ends them, keeps them alive, or binds another key.
    Write,
}

/// The effect of a request on a job. For a user without the grant for it on the job's topic, the
/// job does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobUse {
    /// Cancels it, as its producer may.
    Push,
    /// Works on it.
    Work,
    /// Reads it.
    Look,
}

/// An administrative act in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Act<'a> {
    pub(crate) name: &'static str,
    pub(crate) subject: Subject<'a>,
    /// The act takes one request per slice of jobs and is logged once.
    pub(crate) sliced: bool,
}

/// The subject of an administrative act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// The whole store.
    Store,
    Id(u64),
    Revision(u64),
    Name(&'a Blob),
}

impl Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => Ok(()),
            Self::Id(id) => Display::fmt(id, f),
            Self::Revision(revision) => write!(f, "revision {revision}"),
            Self::Name(name) => Display::fmt(name, f),
        }
    }
}

impl Reference<'_> {
    /// Returns whether the request would mean something else in another store.
    pub(crate) fn is_of_store(self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Thing => true,
            Self::Position(position) => position != 0,
            Self::Lease(id, _) => id != 0,
            Self::Txn(txn) => txn.names_the_store(),
            Self::Job(_, by_id) => by_id,
        }
    }
}

impl TxnRequest {
    fn names_the_store(&self) -> bool {
        let compares = |compare: &Compare| match compare.target {
            CompareTarget::CreateRevision(_)
            | CompareTarget::ModRevision(_)
            | CompareTarget::Lease(_) => true,
            CompareTarget::Value(_) | CompareTarget::Version(_) => false,
        };
        let does = |op: &TxnOp| match op {
            TxnOp::Set(set) => set.lease != 0,
            TxnOp::Get(get) => get.revision != 0,
            TxnOp::Range(range) => range.revision != 0,
            TxnOp::Delete(_) => false,
        };
        self.compares.iter().any(compares) || self.success.iter().chain(&self.failure).any(does)
    }
}

impl Weight {
    pub(crate) fn is_heavy(self) -> bool {
        matches!(self, Self::Heavy | Self::Page)
    }

    fn heavy_if(heavy: bool) -> Self {
        if heavy { Self::Heavy } else { Self::Light }
    }
}

impl<'a> Facts<'a> {
    /// Makes a row of the table.
    #[inline(always)]
    pub(crate) const fn row(
        name: &'static str,
        class: Class,
        disk: DiskUse,
        weight: Weight,
        repeat: Repeat,
        names: Reference<'a>,
        act: Option<Act<'a>>,
    ) -> Self {
        Self { name, class, disk, weight, repeat, names, act }
    }
}

const fn act<'a>(name: &'static str, subject: Subject<'a>) -> Option<Act<'a>> {
    Some(Act { name, subject, sliced: false })
}

/// Returns an act on the jobs of a topic: on one of them, or on all, slice by slice.
fn act_on_jobs<'a>(name: &'static str, topic: &'a Blob, sliced: bool) -> Option<Act<'a>> {
    Some(Act { name, subject: Subject::Name(topic), sliced })
}

impl Request {
    /// Returns the row of this request.
    #[inline(always)]
    pub(crate) fn facts(&self) -> Facts<'_> {
        match self {
            Self::Store(request) => request.facts(),
            Self::Job(request) => request.facts(),
            // A few at a time, so that one read starts no more calls than the connection may have.
            Self::Invoke(_) => {
                let (class, weight) = (Class::Write, Weight::Heavy);
                Facts::row(
                    "Invoke",
                    class,
                    DiskUse::Nothing,
                    weight,
                    Repeat::Never,
                    Reference::Nothing,
                    None,
                )
            }
            Self::Node(request) => request.facts(),
        }
    }
}

impl StoreRequest {
    /// Returns the row of this request.
    #[inline(always)]
    pub(crate) fn facts(&self) -> Facts<'_> {
        match self {
            Self::Kv(request) => request.facts(),
            Self::Hub(request) => request.facts(),
            Self::Files(request) => request.facts(),
        }
    }
}

impl KvRequest {
    /// Returns the row of this request.
    #[inline(always)]
    #[rustfmt::skip]
    pub(crate) fn facts(&self) -> Facts<'_> {
        use Class::{Admin, Read, Write};
        use DiskUse::{Growth, Nothing, Record};
        use Reference::{Lease, Position, Thing};
        use Repeat::{Always, Keyed, Never};
        use Weight::{Heavy, Light};
        let row = Facts::row;
        match self {
            //                                   name               class  disk     weight               repeat  names                             audited as
            Self::Set(it)                 => row("Set",             Write, Growth,  Light,               Keyed,  Lease(it.lease, LeaseUse::Write), None),
            Self::Get(it)                 => row("Get",             Read,  Nothing, Light,               Always, Position(it.revision),            None),
            Self::Range(it)               => row("Range",           Read,  Nothing, Heavy,               Always, Position(it.revision),            None),
            Self::Scan(it)                => row("Scan",            Read,  Nothing, Heavy,               Always, Position(it.revision),            None),
            Self::Delete(it)              => row("Delete",          Write, Record,  of_range(&it.range), Keyed,  Reference::Nothing,               None),
            Self::Txn(it)                 => row("Txn",             Write, Growth,  Heavy,               Keyed,  Reference::Txn(it),               None),
            // The caller may choose the id of the lease to grant.
            Self::LeaseGrant(_)           => row("LeaseGrant",      Write, Growth,  Light,               Keyed,  Reference::Nothing,               None),
            Self::LeaseKeepAlive(id)      => row("LeaseKeepAlive",  Write, Record,  Light,               Never,  Lease(*id, LeaseUse::Write),      None),
            Self::LeaseRevoke(id)         => row("LeaseRevoke",     Write, Record,  Heavy,               Keyed,  Lease(*id, LeaseUse::Write),      None),
            Self::LeaseTimeToLive(id)     => row("LeaseTimeToLive", Read,  Nothing, Heavy,               Always, Lease(*id, LeaseUse::Read),       None),
            Self::LeaseKeys { id, .. }    => row("LeaseKeys",       Read,  Nothing, Heavy,               Always, Lease(*id, LeaseUse::Read),       None),
            Self::LeaseList { after, .. } => row("LeaseList",       Admin, Nothing, Heavy,               Always, Position(*after),                 None),
            Self::Compact(it)             => row("Compact",         Admin, Record,  Light,               Never,  Thing,                            act("compact", Subject::Revision(*it))),
        }
    }
}

impl HubRequest {
    /// Returns the row of this request.
    #[inline(always)]
    #[rustfmt::skip]
    pub(crate) fn facts(&self) -> Facts<'_> {
        use Class::Admin;
        use DiskUse::Nothing;
        use Reference::{Position, Thing};
        use Repeat::{Always, Never};
        use Weight::{Heavy, Light};
        let row = Facts::row;
        match self {
            //                                  name          class  disk     weight  repeat  names               audited as
            Self::Status                 => row("Status",     Admin, Nothing, Light,  Always, Reference::Nothing, None),
            Self::Watchers { after, .. } => row("Watchers",   Admin, Nothing, Heavy,  Always, Position(*after),   None),
            Self::EndWatcher(id)         => row("EndWatcher", Admin, Nothing, Light,  Never,  Thing,              act("end watcher", Subject::Id(*id))),
        }
    }
}

impl FilesRequest {
    /// Returns the row of this request.
    #[inline(always)]
    #[rustfmt::skip]
    pub(crate) fn facts(&self) -> Facts<'_> {
        use Class::Admin;
        use DiskUse::Files;
        use Repeat::Always;
        use Weight::{Heavy, Light};
        let row = Facts::row;
        match self {
            //                                   name            class  disk   weight  repeat  names               audited as
            Self::Snapshot                => row("Snapshot",     Admin, Files, Light,  Always, Reference::Nothing, act("snapshot", Subject::Store)),
            Self::ReadSnapshot { id, .. } => row("ReadSnapshot", Admin, Files, Heavy,  Always, Reference::Thing,   act("read snapshot", Subject::Id(*id))),
        }
    }
}

impl NodeRequest {
    /// Returns the row of this request.
    #[inline(always)]
    #[rustfmt::skip]
    pub(crate) fn facts(&self) -> Facts<'_> {
        use Class::{Admin, Open, Read};
        use DiskUse::Nothing;
        use Repeat::Always;
        use Weight::Light;
        let row = Facts::row;
        match self {
            //                    name        class  disk     weight  repeat  names               audited as
            Self::Services => row("Services", Read,  Nothing, Light,  Always, Reference::Nothing, None),
            // Refusals name the limits anyway.
            Self::Limits   => row("Limits",   Open,  Nothing, Light,  Always, Reference::Nothing, None),
            Self::Gauges   => row("Gauges",   Admin, Nothing, Light,  Always, Reference::Nothing, None),
        }
    }
}

impl JobRequest {
    /// Returns the row of this request.
    #[inline(always)]
    #[rustfmt::skip]
    pub(crate) fn facts(&self) -> Facts<'_> {
        use Class::{Admin, Read, Write};
        use DiskUse::{Conclusion, Growth, Nothing, Record};
        use JobUse::{Look, Push, Work};
        use Reference::{Job, Position};
        use Repeat::{Always, Indexed, Never};
        use Subject::Name;
        use Weight::{Heavy, Large, Light, Page};
        let (row, some) = (Facts::row, Weight::heavy_if);
        let by = |job: &JobRef| matches!(job, JobRef::Id(_));
        match self {
            //                                        name              class  disk        weight                repeat   names                      audited as
            Self::Push { .. }                  => row("Push",           Write, Growth,     Light,                Indexed, Reference::Nothing,        None),
            Self::Reserve(it)                  => row("Reserve",        Write, Record,     some(it.credits > 1), Always,  Reference::Nothing,        None),
            Self::Settle(_)                    => row("Settle",         Write, Conclusion, Light,                Never,   Job(Work, true),           None),
            Self::Touch { .. }                 => row("Touch",          Write, Conclusion, Light,                Never,   Job(Work, true),           None),
            Self::Progress { .. }              => row("Progress",       Write, Conclusion, Light,                Never,   Job(Work, true),           None),
            Self::Resume(_)                    => row("Resume",         Write, Conclusion, Light,                Never,   Job(Work, true),           None),
            Self::Revoked { .. }               => row("Revoked",        Write, Record,     Light,                Always,  Job(Work, false),          None),
            Self::Get(it)                      => row("Get",            Read,  Nothing,    Large,                Always,  Job(Look, by(it)),         None),
            Self::Await { job, .. }            => row("Await",          Read,  Nothing,    Light,                Always,  Job(Look, by(job)),        None),
            Self::Cancel(it)                   => row("Cancel",         Write, Record,     Light,                Never,   Job(Push, by(it)),         None),
            Self::Outcomes { after, .. }       => row("Outcomes",       Read,  Nothing,    Page,                 Always,  thing_if(after.is_some()), None),
            Self::List { after, .. }           => row("List",           Read,  Nothing,    Page,                 Always,  Position(*after),          None),
            Self::FreeIndex { .. }             => row("FreeIndex",      Write, Record,     Light,                Never,   Reference::Nothing,        None),
            Self::Replay { topic, id }         => row("Replay",         Admin, Record,     some(id.is_none()),   Never,   thing_if(id.is_some()),    act_on_jobs("replay dead letters", topic, id.is_none())),
            Self::DeleteDead { topic, id }     => row("DeleteDead",     Admin, Record,     some(id.is_none()),   Never,   thing_if(id.is_some()),    act_on_jobs("delete dead letters", topic, id.is_none())),
            Self::SetTopic { topic, .. }       => row("SetTopic",       Admin, Growth,     Light,                Never,   Reference::Nothing,        act("set topic", Name(topic))),
            Self::PauseTopic { topic, paused } => row("PauseTopic",     Admin, Record,     Light,                Never,   Reference::Nothing,        act(if *paused { "pause topic" } else { "resume topic" }, Name(topic))),
            Self::ClearTopic(topic)            => row("ClearTopic",     Admin, Record,     Heavy,                Never,   Reference::Nothing,        act_on_jobs("clear topic", topic, true)),
            Self::DeleteTopic { topic, .. }    => row("DeleteTopic",    Admin, Record,     Heavy,                Never,   Reference::Nothing,        act_on_jobs("delete topic", topic, true)),
            Self::Topic(_)                     => row("Topic",          Read,  Nothing,    Light,                Always,  Reference::Nothing,        None),
            Self::Topics { .. }                => row("Topics",         Admin, Nothing,    Page,                 Always,  Reference::Nothing,        None),
            Self::SetSchedule(it)              => row("SetSchedule",    Admin, Growth,     Heavy,                Never,   Reference::Nothing,        act("set schedule", Name(&it.name))),
            Self::RemoveSchedule(it)           => row("RemoveSchedule", Admin, Record,     Light,                Never,   Reference::Nothing,        act("remove schedule", Name(it))),
            Self::Schedules                    => row("Schedules",      Admin, Nothing,    Page,                 Always,  Reference::Nothing,        None),
        }
    }
}

impl WaitRequest {
    /// Returns the row of a wait.
    #[inline(always)]
    pub(crate) fn facts(&self) -> Facts<'_> {
        let heavy = self.after.is_some() || !matches!(self.range, KeyRange::Key(_));
        let weight = Weight::heavy_if(heavy);
        let names = Reference::Position(self.after.unwrap_or_default());
        Facts::row("Wait", Class::Read, DiskUse::Nothing, weight, Repeat::Always, names, None)
    }
}

fn thing_if<'a>(names: bool) -> Reference<'a> {
    if names { Reference::Thing } else { Reference::Nothing }
}

/// Returns the cost of a deletion.
fn of_range(range: &KeyRange) -> Weight {
    Weight::heavy_if(!matches!(range, KeyRange::Key(_)))
}
