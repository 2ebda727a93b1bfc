//! Rounds of jobs on many connections: each settles the jobs of the last round, pushes and requests
//! the same number again, in one write, and awaits all the answers.
//!
//! No connection waits for ever: each requests as many jobs as it has pushed before, on the same
//! connection.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use wakeful::Reservation;
use wakeful::{Error, ErrorCode};

use super::super::caller::{TIMEOUT, lost};
use super::super::connection::{Connection, SCRATCH_BYTES};
use super::super::tally::Tally;
use super::peer::{Heard, Peer, Speech};
use crate::LoadedServer;

/// The parameters of a load.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) peer: Peer,
    pub(super) connections: usize,
    /// The number of jobs in progress on a connection.
    pub(super) depth: u64,
    /// The number of jobs in one request.
    pub(super) batch: u64,
    pub(super) payload_bytes: usize,
    /// The duration of pushing.
    pub(super) time: Duration,
    /// The number of jobs to push.
    pub(super) jobs_max: u64,
}

/// A connection and its round.
struct Lane {
    connection: Connection,
    speech: Box<dyn Speech>,
    /// The pushes and settlements without an answer.
    pushing: u64,
    settling: u64,
    /// Settlements of this round.
    settlements: u64,
    /// The jobs still to be received, and the requests for them in flight.
    wanted: u64,
    reserving: u64,
    /// The jobs of this round.
    jobs: Vec<Reservation>,
    /// The time when this round was written, and that of the one before.
    started: Instant,
    before: Instant,
}

/// A running load.
struct Load<'a> {
    plan: &'a Plan,
    poll: Poll,
    lanes: Vec<Lane>,
    tally: Tally,
    /// The number of lanes with a round in progress.
    busy: usize,
    /// The number of jobs to push.
    left: u64,
    end: Instant,
}

/// Runs `plan` against `place` until every pushed job is settled.
pub(super) fn run(plan: &Plan, place: &LoadedServer) -> Result<Tally, Error> {
    let poll = Poll::new().map_err(lost)?;
    let mut lanes = Vec::with_capacity(plan.connections);
    let now = Instant::now();
    for token in 0..plan.connections {
        let (mut connection, speech) = plan.peer.connect(place, plan.payload_bytes)?;
        connection.register(poll.registry(), token)?;
        lanes.push(Lane {
            connection,
            speech,
            pushing: 0,
            settling: 0,
            settlements: 0,
            wanted: 0,
            reserving: 0,
            jobs: Vec::new(),
            started: now,
            before: now,
        });
    }
    let tally = Tally::new()?;
    let (left, end) = (plan.jobs_max, Instant::now() + plan.time);
    Load { plan, poll, lanes, tally, busy: 0, left, end }.run()
}

impl Load<'_> {
    fn run(mut self) -> Result<Tally, Error> {
        let start = Instant::now();
        for place in 0..self.lanes.len() {
            self.begin(place, start)?;
        }
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut events = Events::with_capacity(1024);
        let mut last = start;
        while self.busy > 0 {
            match self.poll.poll(&mut events, Some(Duration::from_millis(100))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(lost)?,
            }
            for event in &events {
                if self.receive(event.token().0, &mut scratch)? {
                    last = Instant::now();
                }
            }
            if events.is_empty() && last.elapsed() > TIMEOUT {
                return Err(Error::new(ErrorCode::DeadlineExceeded, "the server does not answer"));
            }
        }
        self.tally.took = last - start;
        Ok(self.tally)
    }

    /// Begins the next round of a lane, if there is work left.
    fn begin(&mut self, place: usize, now: Instant) -> Result<(), Error> {
        let Some(lane) = self.lanes.get_mut(place) else { return Ok(()) };
        let batch = self.plan.batch;
        let pushes = if now < self.end { self.left.min(self.plan.depth) } else { 0 };
        let jobs = std::mem::take(&mut lane.jobs);
        if pushes == 0 && jobs.is_empty() {
            return Ok(());
        }
        self.left -= pushes;
        self.busy += 1;
        let out = &mut lane.connection.output;
        lane.speech.settle(out, &jobs, batch)?;
        lane.speech.push(out, pushes, batch)?;
        lane.reserving = lane.speech.reserve(out, pushes, batch)?;
        (lane.settling, lane.settlements) = (jobs.len() as u64, jobs.len() as u64);
        (lane.pushing, lane.wanted) = (pushes, pushes);
        (lane.before, lane.started) = (lane.started, now);
        lane.connection.flush()
    }

    /// Reads what a lane has received; returns whether there was anything.
    fn receive(&mut self, place: usize, scratch: &mut [u8]) -> Result<bool, Error> {
        let Some(lane) = self.lanes.get_mut(place) else { return Ok(false) };
        let mut heard = Heard::default();
        let speech = &mut lane.speech;
        lane.connection.receive(scratch, |bytes, out| speech.hear(bytes, out, &mut heard))?;
        let Heard { pushed, jobs, reserves, settled, refused } = heard;
        let something = pushed + reserves + settled > 0;
        lane.pushing = lane.pushing.saturating_sub(pushed);
        lane.reserving = lane.reserving.saturating_sub(reserves);
        lane.wanted = lane.wanted.saturating_sub(jobs.len() as u64);
        lane.jobs.extend(jobs);
        refused.into_iter().for_each(|error| self.tally.refuse(error));
        let now = Instant::now();
        if settled > 0 {
            lane.settling = lane.settling.saturating_sub(settled);
            self.tally.record(now.saturating_duration_since(lane.before), settled);
        }
        if lane.reserving == 0 && lane.wanted > 0 {
            // There were fewer jobs than requested.
            let out = &mut lane.connection.output;
            lane.reserving = lane.speech.reserve(out, lane.wanted, self.plan.batch)?;
        }
        lane.connection.flush()?;
        if something && lane.pushing + lane.settling + lane.wanted == 0 {
            self.busy -= 1;
            self.begin(place, now)?;
        }
        Ok(something)
    }
}
