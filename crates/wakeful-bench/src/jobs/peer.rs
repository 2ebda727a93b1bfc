//! [`Peer`]: the loaded server, and [`Speech`]: its protocol.

use wakeful::Error;
use wakeful::Reservation;

use super::super::caller::{Caller, dial};
use super::super::connection::Connection;
use super::{beanstalkd, native};
use crate::LoadedServer;
use crate::wire::Wire;

/// The loaded server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    /// A Wakeful.
    Wakeful,
    /// A beanstalkd, for comparison; it has no batches.
    Beanstalkd,
}

/// The answers on one connection since the last call.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The number of pushed jobs.
    pub(super) pushed: u64,
    /// The received jobs.
    pub(super) jobs: Vec<Reservation>,
    /// The number of answered requests for jobs.
    pub(super) reserves: u64,
    /// The number of settled jobs.
    pub(super) settled: u64,
    /// The refusals of pushes and settlements.
    pub(super) refused: Vec<Error>,
}

/// The protocol on one connection.
pub(super) trait Speech {
    /// Appends requests that push `count` jobs, at most `batch` in each.
    fn push(&mut self, out: &mut Vec<u8>, count: u64, batch: u64) -> Result<(), Error>;

    /// Appends requests for `count` jobs, at most `batch` in each; returns the number of requests.
    fn reserve(&mut self, out: &mut Vec<u8>, count: u64, batch: u64) -> Result<u64, Error>;

    /// Appends requests that settle `jobs`, at most `batch` in each.
    fn settle(&mut self, out: &mut Vec<u8>, jobs: &[Reservation], batch: u64) -> Result<(), Error>;

    /// Reads the complete answers in `bytes`; returns their size in bytes.
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>, heard: &mut Heard) -> Result<usize, Error>;
}

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wakeful => "wakeful",
            Self::Beanstalkd => "beanstalkd",
        }
    }

    /// Connects, and sends the first commands.
    pub(super) fn connect(
        self,
        server: &LoadedServer,
        payload_bytes: usize,
    ) -> Result<(Connection, Box<dyn Speech>), Error> {
        Ok(match self {
            Self::Wakeful => {
                let speech = native::Native::new(payload_bytes);
                (Caller::connect(server)?.into_connection()?, Box::new(speech))
            }
            Self::Beanstalkd => {
                let mut socket = dial(&server.addr)?;
                let speech = beanstalkd::Beanstalkd::begin(&mut socket, payload_bytes)?;
                (Connection::new(Wire::Plain(socket), Vec::new())?, Box::new(speech))
            }
        })
    }
}

/// Returns the sizes of the parts of `count`, none above `batch`.
pub(super) fn parts(count: u64, batch: u64) -> impl Iterator<Item = u64> {
    let whole = count / batch;
    let rest = count % batch;
    (0..whole).map(move |_| batch).chain((rest > 0).then_some(rest))
}
