//! Many leases that end at the same time: the delay of the last end.

use std::time::{Duration, Instant};

use wakeful::{Error, ErrorCode, KvRequest, SetRequest};

use super::caller::{Caller, TIMEOUT};
use super::loaded_server::LoadedServer;
use super::template::key;

/// Sets in one write.
const CHUNK: u64 = 1_000;

/// Interval of reading the number of leases.
const GLANCE: Duration = Duration::from_millis(1);

/// The times of a run.
#[derive(Debug)]
pub(super) struct Ended {
    /// The number of leases.
    pub(super) leases: u64,
    /// The time to create them.
    pub(super) granting: Duration,
    /// The time from their due time until one was seen to have ended.
    pub(super) first_late: Duration,
    /// The time from their due time until none was left.
    pub(super) last_late: Duration,
    /// True if all were created before the first was due.
    pub(super) in_time: bool,
}

/// Creates `leases` keys, each with a lease of its own, all of which end `ttl` from now.
pub(super) fn run(server: &LoadedServer, leases: u64, ttl: Duration) -> Result<Ended, Error> {
    let mut caller = Caller::connect(server)?;
    let before = caller.status()?.leases;
    let begun = Instant::now();
    let due = begun + ttl;
    let mut made = 0;
    while made < leases {
        let chunk = CHUNK.min(leases - made);
        let left = due.saturating_duration_since(Instant::now());
        caller.pipeline((made..made + chunk).map(|number| {
            let set = SetRequest::new(key("lease", number), "x");
            KvRequest::Set(SetRequest { ttl: Some(left), ..set })
        }))?;
        made += chunk;
    }
    let granting = begun.elapsed();
    let in_time = Instant::now() < due;
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    let mut first_late = None;
    loop {
        let left = caller.status()?.leases.saturating_sub(before);
        let late = due.elapsed();
        if left < leases {
            first_late.get_or_insert(late);
        }
        if left == 0 {
            let first_late = first_late.unwrap_or(late);
            return Ok(Ended { leases, granting, first_late, last_late: late, in_time });
        }
        if late > TIMEOUT {
            let what = format!("{left} leases have not ended");
            return Err(Error::new(ErrorCode::DeadlineExceeded, what));
        }
        std::thread::sleep(GLANCE);
    }
}
