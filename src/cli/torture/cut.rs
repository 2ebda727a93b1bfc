//! Workers lost while the server lives: connections cut, and processes killed, with reserved jobs.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::jobs::{self, TOPICS};
use super::kill::{connect, kill};
use super::told_answers::ToldAnswers;
use crate::{Client, JobId, JobInfo, JobRef, JobState, Jobs, ReservedJob};

/// Maximum time for a server to notice; far below the visibility timeout, which would return the
/// jobs too.
const NOTICE: Duration = Duration::from_secs(10);

/// Maximum number of jobs that a worker reserves before its connection is cut with the last of
/// them.
const JOBS_MAX: usize = 20;

/// Maximum life of a connection that is cut at any point.
const LIFE_MS_MAX: u64 = 20;

/// Maximum life of a connection that is cut while its worker holds jobs.
const HANDED_MS_MAX: u64 = 120;

/// Works over one connection after another, cuts each at a random instant, and checks through
/// `witness` that the jobs come back. Returns when the server is unreachable.
pub(super) async fn workers(
    addr: String,
    witness: Client,
    told: Arc<Mutex<ToldAnswers>>,
    seed: u64,
) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let jobs = random.random_range(1..=JOBS_MAX);
        let handed = random.random_bool(0.5);
        let life = if handed { HANDED_MS_MAX } else { random.random_range(1..=LIFE_MS_MAX) };
        let life = Duration::from_millis(life);
        let returns = random.random_bool(0.5);
        if worker(&addr, &witness, &told, jobs, life, returns).await.is_err() {
            return;
        }
    }
}

/// Works over a connection that is cut after `life`, or after `jobs` were reserved, while the last
/// of them are held. With `returns`, resumes and settles those over another connection.
///
/// Errors: the server cannot be reached.
pub(super) async fn worker(
    addr: &str,
    witness: &Client,
    told: &Arc<Mutex<ToldAnswers>>,
    jobs: usize,
    life: Duration,
    returns: bool,
) -> Result<(), String> {
    let wire = CutConnection::to(addr).await.map_err(|error| format!("relay: {error}"))?;
    let client = connect(&wire.addr).await?;
    let mut hand = Vec::new();
    let work = jobs::work(client.clone(), told.clone(), jobs, &mut hand);
    // Stops delivering to the worker first; then cuts the wire.
    let idle = tokio::time::timeout(life, work).await.is_ok();
    wire.cut().await;
    drop(client);
    told.lock().jobs.cut += 1;
    let held = hand.iter().map(CutWorkerJobs::from).collect();
    // With a settlement in flight on the old connection, the outcome would be unknown.
    if returns && idle {
        jobs::resume(&connect(addr).await?, told, &hand).await?;
    }
    see(witness, held, told).await
}

/// Kills a process of workers on the second topic after `life`, and checks that the jobs come back.
pub(super) async fn shell(
    mut shell: Child,
    witness: Client,
    told: Arc<Mutex<ToldAnswers>>,
    life: Duration,
) -> Result<(), String> {
    tokio::time::sleep(life).await;
    let held = witness.list_jobs(TOPICS[1], JobState::Reserved, 0, 0).await;
    kill(&mut shell).await?;
    // Without an answer the server was already gone.
    let Ok(held) = held else { return Ok(()) };
    told.lock().jobs.cut += 1;
    see(&witness, held.jobs.iter().map(CutWorkerJobs::from).collect(), &told).await
}

/// The jobs that a worker held.
struct CutWorkerJobs {
    id: JobId,
    epoch: u32,
    losses: u32,
}

impl From<&ReservedJob> for CutWorkerJobs {
    fn from(job: &ReservedJob) -> Self {
        let ReservedJob { reservation, losses, .. } = job;
        Self { id: reservation.id, epoch: reservation.epoch, losses: *losses }
    }
}

impl From<&JobInfo> for CutWorkerJobs {
    fn from(job: &JobInfo) -> Self {
        Self { id: job.id, epoch: job.epoch, losses: job.losses }
    }
}

/// Checks that each of these jobs is held by another worker or by none, with one more loss unless
/// it was settled.
///
/// Errors: the server cannot be reached. Records a broken promise in `told`.
async fn see(
    witness: &Client,
    held: Vec<CutWorkerJobs>,
    told: &Mutex<ToldAnswers>,
) -> Result<(), String> {
    let cut = Instant::now();
    for CutWorkerJobs { id, epoch, losses } in held {
        let info = loop {
            let info = witness.get_job(JobRef::Id(id)).await.map_err(|error| error.to_string())?;
            if info.epoch > epoch || info.state != JobState::Reserved {
                break info;
            }
            if cut.elapsed() > NOTICE {
                told.lock()
                    .jobs
                    .breaks(format!("J17: job {id} is still held by a lost worker: {info:?}"));
                return Ok(());
            }
        };
        let lost = info.losses.saturating_sub(losses);
        if lost > 1 + info.epoch.saturating_sub(epoch) {
            told.lock().jobs.breaks(format!("J17: job {id} had {losses} losses, now: {info:?}"));
        }
        told.lock().jobs.returned += u64::from(lost > 0);
    }
    Ok(())
}

/// A connection that can be cut without a goodbye: both ends see it end in the middle of the data
/// in flight.
struct CutConnection {
    addr: String,
    relay: JoinHandle<()>,
}

impl CutConnection {
    /// Connects the first client at [`addr`](Self::addr), and no other, with a server at `addr`.
    async fn to(addr: &str) -> io::Result<Self> {
        let far = TcpStream::connect(addr).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?.to_string();
        let relay = actix_rt::spawn(async move {
            if let Ok((near, _)) = listener.accept().await {
                drop(listener);
                // Its error is irrelevant: both ends see the end.
                let _ = relay(near, far).await;
            }
        });
        Ok(Self { addr, relay })
    }

    async fn cut(self) {
        self.relay.abort();
        // Aborted or ended, its sockets are closed.
        let _ = self.relay.await;
    }
}

async fn relay(mut near: TcpStream, mut far: TcpStream) -> io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
