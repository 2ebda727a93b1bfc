//! A load of sets and gets: each connection sends a batch, awaits all its replies, and sends the
//! next.
//!
//! `redis-benchmark -c -P` does the same, so that both can be compared. A latency is the time from
//! when the batch of a request was written (with a rate: was due) to when its reply was read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use wakeful::internals::wire;
use wakeful::rpc::frame::{Header, Kind};
use wakeful::{Error, ErrorCode};

use super::caller::{Caller, TIMEOUT, broken, dial, lost, refusal};
use super::connection::{Connection, SCRATCH_BYTES, frames};
use super::loaded_server::LoadedServer;
use super::mix::{Mix, Operation};
use super::redis;
use super::schedule::Schedule;
use super::tally::Tally;
use super::template::{Draw, Template};
use crate::wire::Wire;

/// The loaded server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A Wakeful.
    Wakeful,
    /// A Redis, for comparison.
    Redis,
}

/// The parameters of one thread.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The loaded server.
    pub(super) target: Target,
    /// The number of connections.
    pub(super) connections: usize,
    /// The number of requests in a batch.
    pub(super) pipeline: usize,
    /// The kinds of requests.
    pub(super) mix: Mix,
    /// The size of a value, bytes.
    pub(super) value_bytes: usize,
    /// The deadline of a request, milliseconds; 0 for none.
    pub(super) deadline_ms: u32,
    /// The number of keys.
    pub(super) keys: u64,
    /// The duration of the load.
    pub(super) time: Duration,
    /// The number of requests to send.
    pub(super) requests_max: u64,
    /// Requests per second; `None` for as many as are answered.
    pub(super) rate: Option<f64>,
    /// Makes the keys differ from those of other threads.
    pub(super) seed: u64,
}

/// Runs `plan` against `place`; adds to `answered` as replies arrive.
pub(super) fn run(
    plan: &Plan,
    server: &LoadedServer,
    answered: &Arc<AtomicU64>,
) -> Result<Tally, Error> {
    Load::connect(plan, server)?.run(answered)
}

/// A connection and its batch in flight.
#[derive(Debug)]
struct Lane {
    connection: Connection,
    /// The number of replies to come.
    awaiting: u64,
    /// The time when the batch in flight was sent, or was due.
    started: Instant,
    /// The next request id; never reused.
    next_id: u64,
}

/// One thread of a load.
#[derive(Debug)]
struct Load<'a> {
    plan: &'a Plan,
    poll: Poll,
    lanes: Vec<Lane>,
    set: Template,
    get: Template,
    draw: Draw,
    tally: Tally,
    /// The number of batches in flight.
    busy: usize,
    /// The number of requests to send.
    requests_left: u64,
    end: Instant,
    schedule: Option<Schedule>,
}

impl<'a> Load<'a> {
    fn connect(plan: &'a Plan, server: &LoadedServer) -> Result<Self, Error> {
        let poll = Poll::new().map_err(lost)?;
        let mut lanes = Vec::with_capacity(plan.connections);
        for token in 0..plan.connections {
            let mut connection = match plan.target {
                Target::Wakeful => Caller::connect(server)?.into_connection()?,
                Target::Redis => Connection::new(Wire::Plain(dial(&server.addr)?), Vec::new())?,
            };
            connection.register(poll.registry(), token)?;
            lanes.push(Lane { connection, awaiting: 0, started: Instant::now(), next_id: 1 });
        }
        let template = |operation| match plan.target {
            Target::Wakeful => Template::new(operation, plan.value_bytes, plan.deadline_ms),
            Target::Redis => Template::redis(operation, plan.value_bytes),
        };
        Ok(Self {
            plan,
            poll,
            lanes,
            set: template(Operation::Set)?,
            get: template(Operation::Get)?,
            draw: Draw::new(plan.seed),
            tally: Tally::new()?,
            busy: 0,
            requests_left: plan.requests_max,
            end: Instant::now(),
            schedule: None,
        })
    }

    fn run(mut self, answered: &AtomicU64) -> Result<Tally, Error> {
        let start = Instant::now();
        self.end = start + self.plan.time;
        match self.plan.rate {
            None => (0..self.lanes.len()).try_for_each(|lane| self.send(lane, start))?,
            Some(rate) => {
                let batch = self.plan.pipeline as u64;
                let batches_max = self.plan.requests_max.div_ceil(batch);
                let (pace, lanes) = (rate / batch as f64, self.lanes.len());
                self.schedule = Some(Schedule::new(start, self.end, pace, batches_max, lanes));
            }
        }
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut events = Events::with_capacity(1024);
        let mut last = start;
        while self.busy > 0 || self.schedule.as_ref().is_some_and(|s| s.next_due().is_some()) {
            match self.poll.poll(&mut events, Some(self.timeout())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(lost)?,
            }
            for event in &events {
                let lane = event.token().0;
                if event.is_writable() {
                    self.flush(lane)?;
                }
                if let Some(now) = self.receive(lane, &mut scratch)? {
                    last = now;
                    answered.store(self.tally.answered, Ordering::Relaxed);
                }
            }
            self.send_due()?;
            if events.is_empty() && self.busy > 0 && last.elapsed() > TIMEOUT {
                return Err(Error::new(ErrorCode::DeadlineExceeded, "the server does not answer"));
            }
        }
        self.tally.took = last - start;
        Ok(self.tally)
    }

    /// Returns the timeout of a poll: epoll counts in milliseconds, which is too coarse for a rate,
    /// so the last millisecond before a batch is due is spent polling.
    fn timeout(&self) -> Duration {
        let idle = Duration::from_millis(100);
        let Some(due) = self.schedule.as_ref().and_then(Schedule::next_due) else {
            return idle;
        };
        let left = due.saturating_duration_since(Instant::now());
        Duration::from_millis(left.as_millis() as u64).min(idle)
    }

    /// Sends the batches that are due.
    fn send_due(&mut self) -> Result<(), Error> {
        let Some(mut schedule) = self.schedule.take() else { return Ok(()) };
        let now = Instant::now();
        let mut sent = Ok(());
        while let Some((lane, due)) = schedule.take(now) {
            if self.lanes.get(lane).is_some_and(|lane| lane.awaiting > 0) {
                schedule.postpone(lane, due);
            } else if let Err(error) = self.send(lane, due) {
                sent = Err(error);
                break;
            }
        }
        self.schedule = Some(schedule);
        sent
    }

    /// Sends the next batch of an idle lane, if there is one.
    fn send(&mut self, lane: usize, started: Instant) -> Result<(), Error> {
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        let batch = self.requests_left.min(self.plan.pipeline as u64);
        if batch == 0 {
            return Ok(());
        }
        self.requests_left -= batch;
        let only = self.plan.mix.only();
        for _ in 0..batch {
            let number = self.draw.below(self.plan.keys);
            let operation = match only {
                Some(operation) => operation,
                None => self.plan.mix.pick(self.draw.next() as u32),
            };
            let template = match operation {
                Operation::Set => &self.set,
                Operation::Get => &self.get,
            };
            template.encode(&mut lane.connection.output, lane.next_id, number);
            lane.next_id += 1;
        }
        lane.awaiting = batch;
        lane.started = started;
        self.busy += 1;
        lane.connection.flush()
    }

    fn flush(&mut self, lane: usize) -> Result<(), Error> {
        self.lanes.get_mut(lane).map_or(Ok(()), |lane| lane.connection.flush())
    }

    /// Reads what a lane has received, and sends its next batch if the last one is complete.
    /// Returns the time when replies arrived, if any did.
    fn receive(&mut self, server: usize, scratch: &mut [u8]) -> Result<Option<Instant>, Error> {
        let Some(lane) = self.lanes.get_mut(server) else { return Ok(None) };
        let (mut replies, target, tally) = (0, self.plan.target, &mut self.tally);
        lane.connection.receive(scratch, |bytes, output| {
            let (taken, count) = match target {
                Target::Wakeful => answers(bytes, output, tally)?,
                Target::Redis => redis::replies(bytes, |error| {
                    tally.refuse(broken(&String::from_utf8_lossy(error)));
                })?,
            };
            replies += count;
            Ok(taken)
        })?;
        if replies == 0 {
            lane.connection.flush()?;
            return Ok(None);
        }
        let now = Instant::now();
        tally.record(now.saturating_duration_since(lane.started), replies);
        lane.awaiting = lane
            .awaiting
            .checked_sub(replies)
            .ok_or_else(|| broken("more replies than there were requests"))?;
        if lane.awaiting > 0 {
            return Ok(Some(now));
        }
        self.busy -= 1;
        match &mut self.schedule {
            None if now < self.end => self.send(server, now)?,
            None => {}
            Some(schedule) => {
                if let Some(due) = schedule.resume(server) {
                    self.send(server, due)?;
                }
            }
        }
        Ok(Some(now))
    }
}

/// Counts the answers in `bytes`; returns the size of the complete frames, and the number of answers.
fn answers(bytes: &[u8], output: &mut Vec<u8>, tally: &mut Tally) -> Result<(usize, u64), Error> {
    let mut answers = 0;
    let taken = frames(bytes, |header, body| {
        match header.kind {
            Kind::Reply => answers += 1,
            Kind::Error if header.id > 0 => {
                answers += 1;
                tally.refuse(wire::decode_error(body));
            }
            Kind::Ping => {
                output.extend_from_slice(&Header::bare(Kind::Pong, header.id).encode());
            }
            Kind::Pong => {}
            _ => return Err(refusal(&header, body)),
        }
        Ok(())
    })?;
    Ok((taken, answers))
}
