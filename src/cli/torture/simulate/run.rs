//! [`run`]: the run of one seed.

use std::cell::Cell;
use std::sync::Once;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::config;
use super::judge::Findings;
use super::life::{LifePlan, World, live};
use super::trace::Trace;
use crate::environment::simulated;
use crate::journal::FaultyDisk;

thread_local! {
    /// The number of panics on this thread: panics in tasks of a service are caught.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Counts panics, in addition to the present handling.
pub(super) fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
}

/// Maximum number of lives in one run.
const LIVES_MAX: u64 = 5;

/// Maximum time that one reading of the clock takes, nanoseconds, so that turns end.
const READING_NS_MAX: u64 = 20_000;

/// The time of day at which every run begins.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// The results of a run.
pub(super) struct RunResult {
    /// Differs between different runs.
    pub(super) digest: u64,
    pub(super) events: u64,
    pub(super) lives: u64,
    pub(super) acknowledged: u64,
    pub(super) shown: u64,
    pub(super) jobs: u64,
    pub(super) steps_most: u64,
    pub(super) kept_most: u64,
}

/// A broken promise.
pub(super) struct BrokenRun {
    pub(super) what: String,
    /// The event after which it was seen.
    pub(super) event: u64,
    /// The events that led to it, and the answers that clients got.
    pub(super) history: String,
}

/// Runs `seed` for up to `events_max` events.
///
/// Must be called on a thread of its own: state that others left there would affect the run.
pub(super) fn run(seed: u64, events_max: u64) -> Result<RunResult, BrokenRun> {
    let mut chance = StdRng::seed_from_u64(seed);
    let _environment = simulated::enter(chance.random(), EPOCH, READING_NS_MAX);
    let trace = Trace::new();
    let (mut disk, mut world) = (FaultyDisk::new(), World::new());
    // The limit for all connections is below the sum of what each may hold.
    let scarce = chance.random_bool(0.3);
    let lives = chance.random_range(2..=LIVES_MAX);
    let mut lived = 0;
    let mut found = Findings::default();
    let mut ended = false;
    while !ended {
        lived += 1;
        ended = lived > lives || trace.events() >= events_max;
        let plan = if ended { LifePlan::last(&mut chance) } else { LifePlan::draw(&mut chance) };
        let went = config().and_then(|mut config| {
            // Workers that left keep their jobs: nobody waits for them.
            config.rpc.shutdown_grace = Duration::from_millis(20);
            config.store.steps_max = 512;
            config.store.slice_max = 64;
            config.store.idempotency_keys_max = 64;
            config.queue.parked_max = 64;
            config.watch.streams_max = 64;
            config.watch.batch_bytes_max = 8 * 1024;
            config.rpc.output_bytes_max = 16 * 1024;
            if scarce {
                config.rpc.total_output_bytes_max = 48 * 1024;
            }
            config.rpc.turn_max = Duration::from_micros(chance.random_range(50..=1_000));
            live(lived, disk, &config, &world, &trace, &plan, &mut found)
        });
        match went {
            Ok((after, left)) if PANICS.take() == 0 => (disk, world) = (after, left),
            went => {
                let panic = "a panic, printed above".to_owned();
                let what = went.err().unwrap_or(panic);
                let history = format!("{trace}{}", world.told);
                return Err(BrokenRun { what, event: trace.events(), history });
            }
        }
    }
    Ok(RunResult {
        digest: trace.digest(),
        events: trace.events(),
        lives: lived,
        acknowledged: world.told.acknowledged,
        shown: world.told.events,
        jobs: world.told.jobs.pushed,
        steps_most: found.steps_most,
        kept_most: found.kept_most,
    })
}
