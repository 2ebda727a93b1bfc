//! Rounds in this process, on a disk in memory whose power is cut.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::told_answers::ToldAnswers;
use super::{BrokenPromise, Tally, TortureProgress, WRITERS, check, config, jobs, load};
use crate::Wakeful;
use crate::journal::FaultyDisk;

/// Maximum number of acknowledgements in one round.
const ACKNOWLEDGED_MAX: u64 = 60;

/// Maximum time of a sync, microseconds: for commits of many records, and of one.
const SLOW_SYNC_US_MAX: u64 = 300;

/// Share of rounds in which only the process ends: data written and not synced is then present, and
/// lost at the next cut unless opening made it durable.
const KILLED: f64 = 0.2;

/// Rounds on one disk, after which another starts empty: its log has no end.
const ROUNDS_PER_DISK: u64 = 50;

/// Cuts the power `rounds` times.
pub(super) async fn cuts(rounds: u64, seed: u64) -> Result<Tally, BrokenPromise> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = FaultyDisk::new();
    let mut told = ToldAnswers::new(WRITERS);
    let mut tally = Tally::default();
    let mut progress = TortureProgress::new("power cuts", rounds);
    for round in 1..=rounds {
        progress.note(round, &told);
        if round % ROUNDS_PER_DISK == 0 {
            disk = FaultyDisk::new();
            told = ToldAnswers::new(WRITERS);
        }
        let before = (told.acknowledged, told.events, told.jobs.pushed);
        let acknowledge = random.random_range(0..=ACKNOWLEDGED_MAX);
        match round_of(disk, &told, acknowledge, random.random()).await {
            Ok((after, left)) => (disk, told) = (after, left),
            Err(what) => return Err(BrokenPromise { round, what, told }),
        }
        tally.acknowledged += told.acknowledged - before.0;
        tally.events += told.events - before.1;
        tally.jobs += told.jobs.pushed - before.2;
    }
    Ok(tally)
}

/// Opens the data on `disk`, checks it, loads it, and cuts the power after this many
/// acknowledgements; returns the disk after the cut, and the answers given until then.
async fn round_of(
    disk: FaultyDisk,
    told: &ToldAnswers,
    acknowledge: u64,
    seed: u64,
) -> Result<(FaultyDisk, ToldAnswers), String> {
    let mut config = config()?;
    // Workers that left keep their jobs: nobody waits for them.
    config.rpc.shutdown_grace = Duration::ZERO;
    let wakeful = Wakeful::open_on(Arc::new(disk.clone()), config, Path::new("/data"))
        .map_err(|error| format!("a store does not open after a power cut: {error}"))?;
    let mut found = told.clone();
    check::check(&wakeful, &mut found).await?;
    let until = found.acknowledged + acknowledge;
    let mut faults = StdRng::seed_from_u64(seed);
    disk.short_writes(faults.random_bool(0.3));
    disk.slow_syncs(Duration::from_micros(faults.random_range(0..=SLOW_SYNC_US_MAX)));
    let told = Arc::new(Mutex::new(found));
    for number in 0..WRITERS {
        actix_rt::spawn(load::write(wakeful.clone(), told.clone(), number));
    }
    actix_rt::spawn(load::lease(wakeful.clone(), told.clone()));
    actix_rt::spawn(load::watch(wakeful.clone(), told.clone()));
    for jobs in [usize::MAX, 20] {
        actix_rt::spawn(jobs::push(wakeful.clone(), told.clone()));
        let (wakeful, told) = (wakeful.clone(), told.clone());
        actix_rt::spawn(async move { jobs::work(wakeful, told, jobs, &mut Vec::new()).await });
    }
    while told.lock().acknowledged < until {
        tokio::task::yield_now().await;
    }
    // Copied before the cut and after every attempt, without a pause on this thread.
    let mut left = told.lock().clone();
    let killed = faults.random_bool(KILLED);
    let after = if killed { disk.kill() } else { disk.cut_power(seed) };
    for (writer, now) in left.writers.iter_mut().zip(&told.lock().writers) {
        writer.attempted = now.attempted;
    }
    wakeful.stop().await;
    Ok((after, left))
}
