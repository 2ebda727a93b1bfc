//! Rounds with real servers and SIGKILL.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::told_answers::ToldAnswers;
use super::{BrokenPromise, LIMITS, Tally, TortureProgress, WRITERS, check, cut, jobs, load};
use crate::{Client, ClientConfig};

/// Maximum time for a server to start, or for a call to be answered.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of jobs that a worker reserves before it leaves with the last of them.
const JOBS_MAX: usize = 40;

/// Number of workers that the last server loses and must notice.
const LAST_CUTS: usize = 8;

/// Maximum life of a server under load.
const LIFE_MS_MAX: u64 = 120;

/// Kills servers on the data in `dir`, `rounds` times.
pub(super) async fn rounds(dir: &Path, rounds: u64, seed: u64) -> Result<Tally, BrokenPromise> {
    let mut random = StdRng::seed_from_u64(seed);
    let told = Arc::new(Mutex::new(ToldAnswers::new(WRITERS)));
    let mut progress = TortureProgress::new("kills", rounds);
    for round in 1..=rounds {
        progress.note(round, &told.lock());
        let plan = RoundPlan {
            life: Duration::from_millis(random.random_range(1..=LIFE_MS_MAX)),
            // Half of them end before the server does.
            shell_life: Duration::from_millis(random.random_range(1..=2 * LIFE_MS_MAX)),
            jobs: random.random_range(1..=JOBS_MAX),
            cuts: random.random(),
        };
        if let Err(what) = round_of(dir, plan, &told).await {
            return Err(BrokenPromise { round, what, told: told.lock().clone() });
        }
    }
    if rounds > 0 {
        // The state after the last round is checked too.
        let server = ServerProcess::start(dir).await;
        let checked = match &server {
            Ok(server) => finish_at(server, &told).await,
            Err(error) => Err(error.clone()),
        };
        if let Err(what) = checked {
            return Err(BrokenPromise { round: rounds, what, told: told.lock().clone() });
        }
    }
    Ok(Tally::of(&told.lock()))
}

/// The course of a round.
struct RoundPlan {
    /// Life of the server.
    life: Duration,
    /// Life of the process of workers.
    shell_life: Duration,
    /// Number of jobs after which a worker leaves regularly.
    jobs: usize,
    /// The seed of the cuts of connections.
    cuts: u64,
}

async fn round_of(
    dir: &Path,
    plan: RoundPlan,
    told: &Arc<Mutex<ToldAnswers>>,
) -> Result<(), String> {
    let RoundPlan { life, shell_life, jobs, cuts } = plan;
    let mut server = ServerProcess::start(dir).await?;
    check_at(&server, told).await?;
    let client = server.connect().await?;
    let mut tasks = Vec::new();
    for number in 0..WRITERS {
        tasks.push(actix_rt::spawn(load::write(client.clone(), told.clone(), number)));
    }
    tasks.push(actix_rt::spawn(load::lease(client.clone(), told.clone())));
    let witness = server.connect().await?;
    let lost = cut::workers(server.addr.clone(), witness.clone(), told.clone(), cuts);
    tasks.push(actix_rt::spawn(lost));
    let shell = server.work(jobs::TOPICS[1])?;
    let shell = actix_rt::spawn(cut::shell(shell, witness.clone(), told.clone(), shell_life));
    let working = [server.connect().await?, server.connect().await?];
    for (worker, client) in working.iter().enumerate() {
        tasks.push(actix_rt::spawn(jobs::push(client.clone(), told.clone())));
        // The second worker leaves before the server does.
        let jobs = if worker == 0 { usize::MAX } else { jobs };
        let (client, told) = (client.clone(), told.clone());
        tasks.push(actix_rt::spawn(async move {
            jobs::work(client.clone(), told, jobs, &mut Vec::new()).await;
            client.close().await;
        }));
    }
    // On a connection of its own: it ends with the server instead of looking for another.
    let watching = server.connect().await?;
    let watch = actix_rt::spawn(load::watch(watching.clone(), told.clone()));
    tokio::time::sleep(life).await;
    kill(&mut server.process).await?;
    for client in working.into_iter().chain([witness]) {
        client.close().await;
    }
    watching.close().await;
    for task in tasks.into_iter().chain([watch]) {
        let ended = tokio::time::timeout(TIMEOUT, task).await;
        ended.map_err(|_| "a client did not notice the end of its server")?.ok();
    }
    let ended = tokio::time::timeout(TIMEOUT, shell).await;
    // The process does not fail because the server was gone.
    ended.map_err(|_| "a process of workers was not killed")?.map_err(|it| it.to_string())?.ok();
    client.close().await;
    Ok(())
}

pub(super) async fn kill(process: &mut Child) -> Result<(), String> {
    process.kill().await.map_err(|error| format!("kill: {error}"))
}

/// Checks the last server, lets it lose workers, and finishes all jobs.
async fn finish_at(server: &ServerProcess, told: &Arc<Mutex<ToldAnswers>>) -> Result<(), String> {
    check_at(server, told).await?;
    let client = server.connect().await?;
    for cut in 0..LAST_CUTS {
        // One of the two is for workers of this process.
        for _ in jobs::TOPICS {
            jobs::push_one(&client, told).await.map_err(|error| format!("push: {error}"))?;
        }
        cut::worker(&server.addr, &client, told, 1, TIMEOUT, cut % 2 == 0).await?;
    }
    let finished = tokio::time::timeout(TIMEOUT, jobs::finish(&client, told)).await;
    finished.map_err(|_| "the last jobs took too long".to_owned())??;
    client.close().await;
    Ok(())
}

async fn check_at(server: &ServerProcess, told: &Arc<Mutex<ToldAnswers>>) -> Result<(), String> {
    let client = server.connect().await?;
    let mut found = told.lock().clone();
    let checked = tokio::time::timeout(TIMEOUT, check::check(&client, &mut found)).await;
    checked.map_err(|_| "the check of a restarted server took too long".to_owned())??;
    *told.lock() = found;
    client.close().await;
    Ok(())
}

/// A server process; killed when dropped.
struct ServerProcess {
    process: Child,
    addr: String,
}

impl ServerProcess {
    async fn start(dir: &Path) -> Result<Self, String> {
        let binary = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
        command.args(["--durability", "fsync", "--data-dir"]).arg(dir);
        for (name, value) in LIMITS {
            command.arg("--limit").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().map_err(|error| format!("cannot start: {error}"))?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(TIMEOUT, lines.next_line()).await;
        let line = line.map_err(|_| "the server does not start".to_owned())?;
        let line = line.ok().flatten().unwrap_or_default();
        let addr = line.strip_prefix("listening on ").ok_or("the server refuses to start")?;
        Ok(Self { process, addr: addr.to_owned() })
    }

    /// Starts a worker process, which returns each payload as the result.
    fn work(&self, topic: &str) -> Result<Child, String> {
        let binary = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(binary);
        command.args(["job", "work", topic, "--addr", &self.addr, "--", "cat"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.kill_on_drop(true).spawn().map_err(|error| format!("cannot start: {error}"))
    }

    async fn connect(&self) -> Result<Client, String> {
        connect(&self.addr).await
    }
}

pub(super) async fn connect(addr: &str) -> Result<Client, String> {
    // A killed server sends no answer: reconnecting would only wait.
    let config =
        ClientConfig { call_deadline: Some(Duration::from_secs(10)), ..ClientConfig::new(addr) };
    Client::connect_with(config).await.map_err(|error| format!("connect: {error}"))
}
