//! One set to many watchers: the time until the last of them has its event.

use std::time::{Duration, Instant};

use wakeful::internals::wire::RequestBody;
use wakeful::{Error, ErrorCode, KvRequest, SetRequest};

use super::audience::{Audience, Plan, Watched};
use super::caller::{Caller, TIMEOUT};
use super::loaded_server::LoadedServer;
use super::redis::Publisher;

/// Pause between rounds, in which the server finishes the work after its answers.
const PAUSE: Duration = Duration::from_millis(5);

/// The times of one round, from before the set was written.
#[derive(Debug, Clone, Copy)]
struct Round {
    first: Duration,
    last: Duration,
}

/// The times of the rounds.
#[derive(Debug)]
pub(super) struct Rounds(Vec<Round>);

/// The maker of the event.
#[derive(Debug)]
enum Source {
    Wakeful(Caller, usize),
    Redis(Publisher),
}

/// Runs `rounds` rounds with the audience of `plan` on a Wakeful at `place`.
pub(super) fn run(
    plan: &Plan,
    server: &LoadedServer,
    rounds: usize,
    value_bytes: usize,
) -> Result<Rounds, Error> {
    let source = Source::Wakeful(Caller::connect(server)?, value_bytes);
    measure(Audience::gather(plan, server)?, source, plan.watchers, rounds)
}

/// Does the same with Redis pub/sub, each connection one subscriber.
pub(super) fn run_redis(
    addr: &str,
    connections: u64,
    rounds: usize,
    value_bytes: usize,
) -> Result<Rounds, Error> {
    let source = Source::Redis(Publisher::connect(addr, value_bytes)?);
    let audience = Audience::subscribe(addr, connections, value_bytes)?;
    measure(audience, source, connections, rounds)
}

fn measure(
    mut audience: Audience,
    mut source: Source,
    watchers: u64,
    rounds: usize,
) -> Result<Rounds, Error> {
    let mut done = Vec::with_capacity(rounds);
    // The first round is not counted, because it pages memory in on both sides.
    for round in 0..=rounds {
        let taken = source.round(&mut audience, watchers)?;
        if round > 0 {
            done.push(taken);
        }
        audience.rearm()?;
        let pause = Instant::now();
        while pause.elapsed() < PAUSE {
            if audience.turn(PAUSE)? > 0 {
                let what = "more events than watchers";
                return Err(Error::new(ErrorCode::Internal, what));
            }
        }
    }
    Ok(Rounds(done))
}

impl Source {
    /// Makes one event, and waits until all `watchers` have it.
    fn round(&mut self, audience: &mut Audience, watchers: u64) -> Result<Round, Error> {
        let begun = Instant::now();
        let id = self.send()?;
        let (mut seen, mut first) = (0, None);
        while seen < watchers {
            seen += audience.turn(Duration::from_millis(100))?;
            if seen > 0 {
                first.get_or_insert_with(|| begun.elapsed());
            }
            if begun.elapsed() > TIMEOUT {
                let what = format!("only {seen} of {watchers} watchers had their event");
                return Err(Error::new(ErrorCode::DeadlineExceeded, what));
            }
        }
        let last = begun.elapsed();
        match self {
            Self::Wakeful(caller, _) => caller.answer(id).map(|_| ())?,
            Self::Redis(publisher) => publisher.published()?,
        }
        Ok(Round { first: first.unwrap_or(last), last })
    }

    fn send(&mut self) -> Result<u64, Error> {
        match self {
            Self::Wakeful(caller, value_bytes) => {
                let set = SetRequest::new(Watched::ONE, vec![b'x'; *value_bytes]);
                caller.send(&RequestBody::from(KvRequest::Set(set)))
            }
            Self::Redis(publisher) => publisher.publish().map(|()| 0),
        }
    }
}

impl Rounds {
    /// Returns the time until the last watcher had its event, in `quantile` of the rounds.
    pub(super) fn last(&self, quantile: f64) -> Duration {
        nth(self.0.iter().map(|round| round.last).collect(), quantile)
    }

    /// Returns the time until the first watcher had its event, in `quantile` of the rounds.
    pub(super) fn first(&self, quantile: f64) -> Duration {
        nth(self.0.iter().map(|round| round.first).collect(), quantile)
    }
}

fn nth(mut times: Vec<Duration>, quantile: f64) -> Duration {
    times.sort_unstable();
    let server = (times.len().saturating_sub(1)) as f64 * quantile;
    times.get(server.round() as usize).copied().unwrap_or_default()
}
