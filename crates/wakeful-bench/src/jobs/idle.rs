//! The time from the push of a job to its hand-out to a waiting worker on an idle server.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use wakeful::{Error, ErrorCode};

use super::super::caller::{TIMEOUT, lost};
use super::super::connection::{Connection, SCRATCH_BYTES};
use super::super::tally::Tally;
use super::peer::{Heard, Peer, Speech};
use crate::LoadedServer;

/// Pause between rounds, so that the system is idle and the worker waits.
const ROUND_PAUSE: Duration = Duration::from_millis(1);

/// One connection.
struct Line {
    poll: Poll,
    connection: Connection,
    speech: Box<dyn Speech>,
    scratch: Vec<u8>,
}

/// Measures the given number of rounds.
pub(super) fn run(
    peer: Peer,
    server: &LoadedServer,
    payload_bytes: usize,
    rounds: u64,
) -> Result<Tally, Error> {
    let mut producer = Line::connect(peer, server, payload_bytes)?;
    let mut worker = Line::connect(peer, server, payload_bytes)?;
    let mut tally = Tally::new()?;
    let start = Instant::now();
    for _ in 0..rounds {
        worker.speech.reserve(&mut worker.connection.output, 1, 1)?;
        worker.connection.flush()?;
        std::thread::sleep(ROUND_PAUSE);
        producer.speech.push(&mut producer.connection.output, 1, 1)?;
        let pushed = Instant::now();
        producer.connection.flush()?;
        let heard = worker.until(|heard| !heard.jobs.is_empty())?;
        tally.record(pushed.elapsed(), 1);
        producer.until(|heard| heard.pushed > 0)?;
        worker.speech.settle(&mut worker.connection.output, &heard.jobs, 1)?;
        worker.connection.flush()?;
        let heard = worker.until(|heard| heard.settled > 0)?;
        if let Some(error) = heard.refused.into_iter().next() {
            return Err(error);
        }
    }
    tally.took = start.elapsed();
    Ok(tally)
}

impl Line {
    fn connect(peer: Peer, server: &LoadedServer, payload_bytes: usize) -> Result<Self, Error> {
        let poll = Poll::new().map_err(lost)?;
        let (mut connection, speech) = peer.connect(server, payload_bytes)?;
        connection.register(poll.registry(), 0)?;
        Ok(Self { poll, connection, speech, scratch: vec![0; SCRATCH_BYTES] })
    }

    /// Reads until `enough` holds.
    fn until(&mut self, enough: impl Fn(&Heard) -> bool) -> Result<Heard, Error> {
        let mut heard = Heard::default();
        let mut events = Events::with_capacity(4);
        let deadline = Instant::now() + TIMEOUT;
        while !enough(&heard) {
            match self.poll.poll(&mut events, Some(Duration::from_millis(100))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(lost)?,
            }
            let speech = &mut self.speech;
            self.connection
                .receive(&mut self.scratch, |bytes, out| speech.hear(bytes, out, &mut heard))?;
            self.connection.flush()?;
            if Instant::now() > deadline {
                return Err(Error::new(ErrorCode::DeadlineExceeded, "the server does not answer"));
            }
        }
        Ok(heard)
    }
}
