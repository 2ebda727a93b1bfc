//! [`live`]: one life of a service: it opens the data on a disk, is checked, serves clients among
//! faults, and ends.

use std::hash::Hasher;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_rt::System;
use futures_util::FutureExt;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use siphasher::sip::SipHasher13;
use tokio::runtime::Builder;

use super::super::told_answers::ToldAnswers;
use super::super::{WRITERS, check, jobs};
use super::clients::{self, ClientKnowledge};
use super::faults::{Fault, LifeFaults};
use super::journal_driver::journal_driver;
use super::judge::{Findings, SharedFindings, judge};
use super::owner::KeyOwner;
use super::trace::{Trace, TraceEvent};
use super::wire::Network;
use crate::environment::simulated;
use crate::journal::FaultyDisk;
use crate::rpc::server::LinkIntake;
use crate::{Config, Durability, Operations, Wakeful};

/// Maximum life, milliseconds.
const LIFE_MS_MAX: u64 = 400;

/// Maximum number of disk changes after which a life ends in the middle of one of the journal's
/// steps.
const CHANGES_MAX: u64 = 200;

/// Maximum time for a start and for a stop of a service, in its own time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The way a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LifeEnd {
    /// Written data stays, synced or not.
    Kill,
    /// Each sector that was not synced stays or not.
    Cut,
    /// The service stops regularly.
    Stop,
}

/// Number of clients that own keys.
const OWNERS: u64 = 3;

/// The knowledge of clients at the end of a life, against which the next is checked.
#[derive(Clone)]
pub(super) struct World {
    pub(super) told: ToldAnswers,
    owners: Vec<KeyOwner>,
    /// The id of the store in the last life, and whether it must have another one in the next.
    store: Option<(u64, NextId)>,
}

/// The promise about a store's id in its next life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextId {
    Same,
    Another,
    /// A stop leaves no mark where the disk has no room for it.
    Either,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            told: ToldAnswers::new(WRITERS),
            owners: (0..OWNERS).map(KeyOwner::new).collect(),
            store: None,
        }
    }
}

impl World {
    fn check_id(&self, id: u64) -> Result<(), String> {
        let Some((before, next)) = self.store else { return Ok(()) };
        let kept = match next {
            NextId::Same => id == before,
            NextId::Another => id != before,
            NextId::Either => true,
        };
        let broken = || {
            format!("D3: the store had the id {before:016x}, now {id:016x}: {next:?} is promised")
        };
        if kept { Ok(()) } else { Err(broken()) }
    }
}

/// The course of a life.
pub(super) struct LifePlan {
    end: LifeEnd,
    durability: Durability,
    attackers: usize,
    lasts: Duration,
    /// The number of disk changes after which it ends, if that comes first.
    changes: Option<u64>,
    /// The possible faults.
    faults: LifeFaults,
    /// True if everything must be finished before the end.
    finishes: bool,
    seed: u64,
}

impl LifePlan {
    /// Draws a life in the middle of a run.
    pub(super) fn draw(chance: &mut StdRng) -> Self {
        let end = match chance.random_range(0..10) {
            0 => LifeEnd::Stop,
            1..4 => LifeEnd::Kill,
            _ => LifeEnd::Cut,
        };
        let sudden = end != LifeEnd::Stop && chance.random_bool(0.5);
        // After a power cut only the stricter durability promises anything.
        let lax = end != LifeEnd::Cut && chance.random_bool(0.3);
        Self {
            end,
            durability: if lax { Durability::Interval } else { Durability::Fsync },
            attackers: if chance.random_bool(0.5) { chance.random_range(1..=3) } else { 0 },
            lasts: Duration::from_millis(chance.random_range(1..=LIFE_MS_MAX)),
            changes: sudden.then(|| chance.random_range(1..=CHANGES_MAX)),
            faults: LifeFaults::draw(chance, end != LifeEnd::Stop),
            finishes: false,
            seed: chance.random(),
        }
    }

    /// Returns what this life promises of the store's id in the next: each life has acknowledged a write.
    fn next_id(&self) -> NextId {
        match (self.durability, self.end) {
            (Durability::Fsync, _) => NextId::Same,
            (Durability::Interval, LifeEnd::Kill | LifeEnd::Cut) => NextId::Another,
            (Durability::Interval, LifeEnd::Stop) => NextId::Either,
        }
    }

    /// Draws the last life of a run, in which every job is finished and nothing fails.
    pub(super) fn last(chance: &mut StdRng) -> Self {
        Self {
            end: LifeEnd::Stop,
            durability: Durability::Fsync,
            attackers: 0,
            lasts: Duration::ZERO,
            changes: None,
            faults: LifeFaults::none(),
            finishes: true,
            seed: chance.random(),
        }
    }
}

/// Runs a service on `disk`, and checks its data against `world`; returns the disk at its end, and
/// the knowledge of clients by then.
///
/// # Errors
///
/// A sentence that names the broken promise.
pub(super) fn live(
    number: u64,
    disk: FaultyDisk,
    config: &Config,
    world: &World,
    trace: &Trace,
    plan: &LifePlan,
    found: &mut Findings,
) -> Result<(FaultyDisk, World), String> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let system = System::with_tokio_rt(|| runtime);
    let lived = system.block_on(async {
        simulated::begin_life();
        let LifePlan { end, durability, attackers, lasts, changes, .. } = plan;
        let kind = format!(
            "{durability:?}, {attackers} attackers, {end:?} after {lasts:?} or {changes:?} changes"
        );
        trace.note(TraceEvent::Life { number, kind });
        let life = Life { disk, trace, chance: StdRng::seed_from_u64(plan.seed), failed: false };
        let mut config = config.clone();
        config.journal.durability = plan.durability;
        life.run(config, plan, world, found).await
    });
    simulated::end_life();
    drop(system);
    let (disk, world) = lived?;
    let how = format!("the process has ended: {:?}", plan.end);
    trace.note(TraceEvent::End { how, digest: digest_of(&disk) });
    Ok((disk, world))
}

struct Life<'a> {
    disk: FaultyDisk,
    trace: &'a Trace,
    chance: StdRng,
    /// True if the service has a reason to fail.
    failed: bool,
}

impl Life<'_> {
    async fn run(
        mut self,
        config: Config,
        plan: &LifePlan,
        world: &World,
        found: &mut Findings,
    ) -> Result<(FaultyDisk, World), String> {
        let disk = self.disk.clone();
        if plan.finishes {
            // Jobs are due by the time of day, however wrong it was.
            simulated::catch_up_clock();
        }
        let (runner, hired) = journal_driver();
        let on = Arc::new(disk.clone());
        let wakeful = Wakeful::open_by(runner, on, config.clone(), Path::new("/data"))
            .map_err(|error| format!("a store does not open after a cut: {error}"))?;
        actix_rt::spawn(hired.work(disk.clone(), self.trace.clone(), self.chance.random()));
        world.check_id(wakeful.store_id())?;
        let store = Some((wakeful.store_id(), plan.next_id()));
        let mut known = world.clone();
        in_time("the check of a restarted service", check_all(&wakeful, &mut known)).await??;
        let verdict = SharedFindings::default();
        let happened = self.trace.happened();
        actix_rt::spawn(judge(wakeful.clone(), config, happened, verdict.clone()));
        let World { told, owners, .. } = known;
        let told = Arc::new(Mutex::new(told));
        let owners: Vec<_> = owners.into_iter().map(|it| Arc::new(Mutex::new(it))).collect();
        if plan.finishes {
            in_time("the last jobs", jobs::finish(&wakeful, &told)).await??;
        } else {
            disk.end_after(plan.changes);
            let known = ClientKnowledge { told: told.clone(), owners: owners.clone() };
            self.load(&wakeful, plan, known, &verdict).await?;
        }
        let after = match plan.end {
            LifeEnd::Kill => disk.kill(),
            LifeEnd::Cut => disk.cut_power(self.chance.random()),
            LifeEnd::Stop => {
                in_time("a stop", wakeful.stop()).await?;
                disk.kill()
            }
        };
        let told = told.lock().clone();
        let mut owners: Vec<_> = owners.iter().map(|owner| owner.lock().clone()).collect();
        owners.iter_mut().for_each(KeyOwner::end_life);
        found.add(&verdict.found());
        let broken = verdict.broken().or_else(|| owners.iter().find_map(|it| it.broken.clone()));
        broken.map_or(Ok((after, World { told, owners, store })), Err)
    }

    /// Starts clients, and injects faults as time passes, until the end.
    async fn load(
        &mut self,
        wakeful: &Wakeful,
        plan: &LifePlan,
        known: ClientKnowledge,
        verdict: &SharedFindings,
    ) -> Result<(), String> {
        let revision = wakeful.status().await.map_err(|error| error.to_string())?.revision;
        let intake = LinkIntake::open(wakeful).await.map_err(|error| error.to_string())?;
        let seed = self.chance.random();
        let network = Network::new(intake.downgrade(), self.disk.clone(), self.trace.clone(), seed);
        drop(intake);
        clients::bring(&network, known, revision + 1, plan.attackers, self.chance.random());
        while simulated::elapsed() < plan.lasts && !self.disk.has_ended() {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(1..=4))).await;
            if let Some(error) = wakeful.failed().now_or_never() {
                if self.failed || self.disk.has_ended() {
                    return Ok(());
                }
                return Err(format!("the service failed without a reason: {error}"));
            }
            if let Some(what) = verdict.broken() {
                return Err(what);
            }
            if let Some(fault) = plan.faults.next(&mut self.chance) {
                self.strike(fault, &network);
            }
        }
        if plan.end == LifeEnd::Stop {
            network.cut_all();
            in_time("the end of every connection", all_freed(wakeful)).await??;
        }
        Ok(())
    }

    fn strike(&mut self, fault: Fault, network: &Network) {
        self.trace.note(TraceEvent::Fault(fault.to_string()));
        match fault {
            Fault::Cut => network.cut_one(),
            Fault::Clock { millis } => simulated::set_clock_by(millis),
            Fault::Full { room } => self.disk.limit_space(Some(self.disk.bytes() + room)),
            Fault::Room => self.disk.limit_space(None),
            Fault::Short(on) => self.disk.short_writes(on),
            Fault::Write { after } => {
                self.failed = true;
                self.disk.fail_writes_after(Some(after));
            }
            Fault::Sync { after } => {
                self.failed = true;
                self.disk.fail_syncs_after(Some(after));
            }
        }
    }
}

/// Waits until every connection has ended and nothing is held for any.
async fn all_freed(wakeful: &Wakeful) -> Result<(), String> {
    while wakeful.connections().load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    match wakeful.buffered().bytes() {
        0 => Ok(()),
        kept => Err(format!("S10: {kept} bytes are held although no connection is open")),
    }
}

async fn check_all(wakeful: &Wakeful, world: &mut World) -> Result<(), String> {
    check::check(wakeful, &mut world.told).await?;
    for owner in &mut world.owners {
        owner.check(wakeful).await?;
    }
    Ok(())
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    let ended = tokio::time::timeout(TIMEOUT, work).await;
    ended.map_err(|_| format!("{what} takes longer than {TIMEOUT:?}"))
}

/// Returns a number that differs for different disks.
fn digest_of(disk: &FaultyDisk) -> u64 {
    let mut hasher = SipHasher13::new();
    for (path, bytes) in disk.contents() {
        hasher.write(path.to_string_lossy().as_bytes());
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    hasher.finish()
}
