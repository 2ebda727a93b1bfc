//! Many leases that end at the same time: how late the last of them ends.

use std::time::{Duration, Instant};

use wakeful::{Error, ErrorCode, KvRequest, SetRequest};

use super::caller::{Caller, TIMEOUT};
use super::loaded_server::LoadedServer;
use super::template::key;

/// Sets in one write.
const CHUNK: u64 = 1_000;

/// How often is looked how many leases are left.
const GLANCE: Duration = Duration::from_millis(1);

/// What it took.
#[derive(Debug)]
pub(super) struct Ended {
    /// Leases that were there.
    pub(super) leases: u64,
    /// To make them.
    pub(super) granting: Duration,
    /// From when all were due to when it was first seen that one had ended.
    pub(super) first_late: Duration,
    /// From when all were due to when it was first seen that none was left.
    pub(super) last_late: Duration,
    /// Least left of their time when all were made; less than nothing if it was not enough.
    pub(super) in_time: bool,
}

/// Makes `leases` keys, each with a lease of its own, that all end `ttl` from now.
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
