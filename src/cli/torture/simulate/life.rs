//! [`live`]: one life of a service: it opens what a disk holds, is checked, has clients and faults, and ends.

use std::hash::Hasher;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::System;
use futures_util::FutureExt;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use siphasher::sip::SipHasher13;
use tokio::runtime::Builder;

use super::super::told::Told;
use super::super::{check, jobs};
use super::clients;
use super::faults::{Fault, Faults};
use super::labour::labour;
use super::trace::{Event, Trace};
use super::wire::Network;
use crate::environment::simulated;
use crate::journal::FaultyDisk;
use crate::{Config, Wakeful};

/// Longest life, milliseconds.
const LIFE_MS_MAX: u64 = 400;

/// Most changes of the disk after which a life ends in the middle of one of the journal's steps.
const CHANGES_MAX: u64 = 200;

/// How long a service may take for what it does at a start and at a stop, in its own time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// What was written stays, synced or not.
    Kill,
    /// Of what was not synced, each sector stays or not.
    Cut,
    /// The service is stopped, as it should be.
    Stop,
}

/// What happens in a life.
pub(super) struct Plan {
    end: End,
    lasts: Duration,
    /// The change of the disk with which it ends, if that comes first.
    changes: Option<u64>,
    /// What may go wrong.
    faults: Faults,
    /// Whether everything must be finished before the end.
    finishes: bool,
    seed: u64,
}

impl Plan {
    /// A life in the middle of a run.
    pub(super) fn draw(chance: &mut StdRng) -> Self {
        let end = match chance.random_range(0..10) {
            0 => End::Stop,
            1..4 => End::Kill,
            _ => End::Cut,
        };
        let sudden = end != End::Stop && chance.random_bool(0.5);
        Self {
            end,
            lasts: Duration::from_millis(chance.random_range(1..=LIFE_MS_MAX)),
            changes: sudden.then(|| chance.random_range(1..=CHANGES_MAX)),
            faults: Faults::draw(chance, end != End::Stop),
            finishes: false,
            seed: chance.random(),
        }
    }

    /// The last life of a run, in which every job is finished and nothing goes wrong.
    pub(super) fn last(chance: &mut StdRng) -> Self {
        Self {
            end: End::Stop,
            lasts: Duration::ZERO,
            changes: None,
            faults: Faults::none(),
            finishes: true,
            seed: chance.random(),
        }
    }
}

/// Has a service live on `disk`, and checks what it finds there against `told`; returns what is on the
/// disk when it has ended, and what was told by then.
///
/// # Errors
/// A sentence that says which promise was broken, and how.
pub(super) fn live(
    number: u64,
    disk: FaultyDisk,
    config: &Config,
    told: &Told,
    trace: &Trace,
    plan: &Plan,
) -> Result<(FaultyDisk, Told), String> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let system = System::with_tokio_rt(|| runtime);
    let lived = system.block_on(async {
        simulated::begin_life();
        let kind = format!("{:?} after {:?} or {:?} changes", plan.end, plan.lasts, plan.changes);
        trace.note(Event::Life { number, kind });
        let life = Life { disk, trace, chance: StdRng::seed_from_u64(plan.seed), failed: false };
        life.run(config.clone(), plan, told).await
    });
    simulated::end_life();
    drop(system);
    let (disk, told) = lived?;
    let how = format!("the process has ended: {:?}", plan.end);
    trace.note(Event::End { how, digest: digest_of(&disk) });
    Ok((disk, told))
}

struct Life<'a> {
    disk: FaultyDisk,
    trace: &'a Trace,
    chance: StdRng,
    /// Whether the service has a reason to fail.
    failed: bool,
}

impl Life<'_> {
    async fn run(
        mut self,
        config: Config,
        plan: &Plan,
        told: &Told,
    ) -> Result<(FaultyDisk, Told), String> {
        let disk = self.disk.clone();
        if plan.finishes {
            // Jobs are due by the time of day, however wrong it was.
            simulated::catch_up_clock();
        }
        let (labour, hired) = labour();
        let on = Arc::new(disk.clone());
        let wakeful = Wakeful::open_by(labour, on, config, Path::new("/data"))
            .map_err(|error| format!("a store that was cut off does not open: {error}"))?;
        actix_rt::spawn(hired.work(disk.clone(), self.trace.clone(), self.chance.random()));
        let mut found = told.clone();
        in_time("the check of a service that is back", check::check(&wakeful, &mut found))
            .await??;
        let told = Arc::new(Mutex::new(found));
        if plan.finishes {
            in_time("the last jobs", jobs::finish(&wakeful, &told)).await??;
        } else {
            disk.end_after(plan.changes);
            self.load(&wakeful, plan, &told).await?;
        }
        let after = match plan.end {
            End::Kill => disk.kill(),
            End::Cut => disk.cut_power(self.chance.random()),
            End::Stop => {
                in_time("a stop", wakeful.stop()).await?;
                disk.kill()
            }
        };
        let told = told.lock().clone();
        Ok((after, told))
    }

    /// Has clients come, lets time pass and things go wrong, until the end.
    async fn load(
        &mut self,
        wakeful: &Wakeful,
        plan: &Plan,
        told: &Arc<Mutex<Told>>,
    ) -> Result<(), String> {
        let door = wakeful.link_door().await.map_err(|error| error.to_string())?;
        let seed = self.chance.random();
        let network = Network::new(door.key(), self.disk.clone(), self.trace.clone(), seed);
        drop(door);
        clients::bring(&network, told, self.chance.random());
        while simulated::elapsed() < plan.lasts && !self.disk.has_ended() {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(1..=4))).await;
            if let Some(error) = wakeful.failed().now_or_never() {
                if self.failed || self.disk.has_ended() {
                    return Ok(());
                }
                return Err(format!("the service failed without a reason: {error}"));
            }
            if let Some(fault) = plan.faults.next(&mut self.chance) {
                self.strike(fault, &network);
            }
        }
        Ok(())
    }

    fn strike(&mut self, fault: Fault, network: &Network) {
        self.trace.note(Event::Fault(fault.to_string()));
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

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    let ended = tokio::time::timeout(PATIENCE, work).await;
    ended.map_err(|_| format!("{what} takes longer than {PATIENCE:?}"))
}

/// Returns a number that differs between disks that differ.
fn digest_of(disk: &FaultyDisk) -> u64 {
    let mut hasher = SipHasher13::new();
    for (path, bytes) in disk.contents() {
        hasher.write(path.to_string_lossy().as_bytes());
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    hasher.finish()
}
