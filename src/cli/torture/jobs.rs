//! Jobs under torture: their pushers, their workers, and the checks after a restart of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::told_answers::ToldAnswers;
use crate::{
    Blob, Client, Error, ErrorCode, JobId, JobInfo, JobRef, JobState, Jobs, Operations,
    PushOptions, Reservation, ReserveRequest, ReservedJob, Settlement, Verdict,
};

/// The topic of workers in this process, and that of `wakeful job work`.
pub(super) const TOPICS: [&str; 2] = ["work", "shell"];

/// Losses are the subject of the test, so their budget must not end a job.
const LOSS_MAX: u32 = 1_000_000;

/// Maximum number of known unfinished jobs: beyond it pushers wait for workers.
const OPEN_MAX: usize = 256;

/// Maximum time that a worker waits for a job before it checks whether to end.
const WAIT: Duration = Duration::from_millis(50);

/// The answers that clients got about jobs.
#[derive(Debug, Default, Clone)]
pub(super) struct ToldJobs {
    /// Acknowledged pushes that were not seen finished, and their content.
    open: BTreeMap<JobId, JobKnowledge>,
    /// All acknowledged settlements.
    done: BTreeSet<JobId>,
    next: u64,
    pub(super) pushed: u64,
    /// Workers lost while the server lived: connections cut, processes killed.
    pub(super) cut: u64,
    /// Jobs of lost workers that were seen to come back, with one more loss.
    pub(super) returned: u64,
    /// Jobs of lost workers that were resumed over another connection.
    pub(super) resumed: u64,
    /// The first broken promise that a worker saw.
    broken: Option<String>,
}

#[derive(Debug, Clone)]
struct JobKnowledge {
    topic: &'static str,
    number: u64,
    /// The highest epoch that a worker was given.
    epoch: u32,
    /// True if a result was acknowledged.
    done: bool,
}

impl ToldJobs {
    /// Returns the number of jobs still to finish.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Records a broken promise.
    pub(super) fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn given(&mut self, job: &ReservedJob) {
        let Reservation { id, epoch } = job.reservation;
        if self.done.contains(&id) {
            self.breaks(format!("J4: job {id} was done, and is handed out again"));
        }
        let Some(known) = self.open.get_mut(&id) else { return };
        if epoch <= known.epoch {
            let broken = format!("J3: job {id} has epoch {epoch} after {}", known.epoch);
            self.broken.get_or_insert(broken);
        }
        known.epoch = epoch;
    }

    fn acknowledged(&mut self, id: JobId) {
        if !self.done.insert(id) {
            self.breaks(format!("J3: job {id} was acknowledged as done twice"));
        }
        if let Some(known) = self.open.get_mut(&id) {
            known.done = true;
        }
    }
}

/// Pushes one job after another, until one push fails.
pub(super) async fn push(store: impl Operations, told: Arc<Mutex<ToldAnswers>>) {
    loop {
        let Ok(topic) = push_one(&store, &told).await else { return };
        while told.lock().jobs.open() > OPEN_MAX {
            tokio::task::yield_now().await;
            // Checks that the server lives: the pushers of a killed one must end.
            if store.topic_info(topic).await.is_err_and(|it| it.code != ErrorCode::TopicNotFound) {
                return;
            }
        }
    }
}

/// Pushes the next job, and returns its topic; the topics take turns.
pub(super) async fn push_one(
    store: &impl Operations,
    told: &Mutex<ToldAnswers>,
) -> Result<&'static str, Error> {
    let number = {
        let jobs = &mut told.lock().jobs;
        jobs.next += 1;
        jobs.next
    };
    let [work, shell] = TOPICS;
    let topic = if number.is_multiple_of(2) { work } else { shell };
    let options = PushOptions {
        index: number.is_multiple_of(3).then(|| number.to_string().into()),
        order_key: number.is_multiple_of(4).then(|| (number % 16).to_string().into()),
        loss_max: Some(LOSS_MAX),
        ..PushOptions::default()
    };
    let pushed = store.push(topic, number.to_string(), options).await?;
    let jobs = &mut told.lock().jobs;
    jobs.pushed += 1;
    jobs.open.insert(pushed.id, JobKnowledge { topic, number, epoch: 0, done: false });
    Ok(topic)
}

/// Works on jobs of this process's topic, until a call fails or `jobs` were reserved; then it
/// leaves the last ones unsettled. `hand` holds its jobs at any moment.
pub(super) async fn work(
    store: impl Operations,
    told: Arc<Mutex<ToldAnswers>>,
    mut jobs: usize,
    hand: &mut Vec<ReservedJob>,
) {
    while jobs > 0 {
        let request =
            ReserveRequest { credits: 4, wait: Some(WAIT), ..ReserveRequest::new(TOPICS[0]) };
        let Ok(taken) = store.reserve(request).await else { return };
        jobs = jobs.saturating_sub(taken.len());
        *hand = taken;
        let settlements: Vec<Settlement> = {
            let told = &mut told.lock().jobs;
            hand.iter().for_each(|job| told.given(job));
            hand.iter().map(settlement_of).collect()
        };
        if jobs == 0 || settlements.is_empty() {
            continue;
        }
        let is_done: Vec<Option<JobId>> = settlements
            .iter()
            .map(|it| matches!(it.verdict, Verdict::Done { .. }).then_some(it.reservation.id))
            .collect();
        let Ok(answers) = store.settle(settlements).await else { return };
        hand.clear();
        let told = &mut told.lock().jobs;
        for (id, answer) in is_done.into_iter().zip(answers) {
            if let (Some(id), None) = (id, answer) {
                told.acknowledged(id);
            }
        }
    }
}

/// Resumes the jobs of a worker that was cut off, over the connection of `client`, and settles
/// them.
///
/// Errors: the server cannot be reached. Records a broken promise in `told`.
pub(super) async fn resume(
    client: &Client,
    told: &Mutex<ToldAnswers>,
    hand: &[ReservedJob],
) -> Result<(), String> {
    let reservations: Vec<Reservation> = hand.iter().map(|job| job.reservation).collect();
    if reservations.is_empty() {
        return Ok(());
    }
    let kept = client.resume(reservations).await.map_err(|error| format!("resume: {error}"))?;
    let resumed = hand.iter().zip(kept).filter(|(_, kept)| *kept).map(|(job, _)| job);
    let settlements: Vec<Settlement> = resumed.map(settlement_of).collect();
    if settlements.is_empty() {
        return Ok(());
    }
    let answers = client.settle(settlements.clone()).await;
    let answers = answers.map_err(|error| format!("settle: {error}"))?;
    let told = &mut told.lock().jobs;
    for (Settlement { reservation, verdict }, answer) in settlements.into_iter().zip(answers) {
        told.resumed += 1;
        match answer {
            Some(error) => {
                told.breaks(format!("J21: job {} was resumed, now: {error}", reservation.id));
            }
            None if matches!(verdict, Verdict::Done { .. }) => told.acknowledged(reservation.id),
            None => {}
        }
    }
    Ok(())
}

/// Returns the settlement of a job: every seventh number fails permanently, every fifth fails once;
/// the others return their payload.
fn settlement_of(job: &ReservedJob) -> Settlement {
    let number = number_of(&job.payload);
    let verdict = if is_doomed(number) {
        Verdict::Fail { error: "doomed".to_owned() }
    } else if number.is_multiple_of(5) && job.failures == 0 {
        Verdict::Retry { after: Some(Duration::from_millis(1)), error: "once".to_owned() }
    } else {
        Verdict::Done { output: job.payload.clone() }
    };
    Settlement { reservation: job.reservation, verdict }
}

fn number_of(payload: &Blob) -> u64 {
    payload.to_string().parse().unwrap_or(0)
}

fn is_doomed(number: u64) -> bool {
    number.is_multiple_of(7)
}

/// Checks jobs of a restarted server, and forgets those that finished correctly.
pub(super) async fn check(store: &impl Operations, told: &mut ToldJobs) -> Result<(), String> {
    if let Some(broken) = &told.broken {
        return Err(broken.clone());
    }
    let ids: Vec<JobId> = told.open.keys().copied().collect();
    for id in ids {
        let info = store.get_job(JobRef::Id(id)).await;
        let info = info.map_err(|error| format!("J1: job {id} was pushed, now: {error}"))?;
        let Some(known) = told.open.get(&id) else { continue };
        if check_job(known, &info)? {
            told.open.remove(&id);
        }
    }
    for topic in TOPICS {
        let Ok(info) = store.topic_info(topic).await else { continue };
        let there = info.ready + info.delayed + info.reserved;
        let finished = info.done_total + info.dead_total + info.cancelled_total;
        if info.pushed_total != there + finished {
            return Err(format!(
                "J14: jobs of topic {topic} are not counted exactly once: {info:?}"
            ));
        }
    }
    Ok(())
}

/// Returns true if the job has finished correctly.
fn check_job(known: &JobKnowledge, info: &JobInfo) -> Result<bool, String> {
    let JobKnowledge { topic, number, epoch, done } = known;
    let id = info.id;
    if info.epoch < *epoch {
        return Err(format!("J2: job {id} was handed out under epoch {epoch}, now: {info:?}"));
    }
    if *done && info.state != JobState::Done {
        return Err(format!("J4: job {id} was acknowledged as done, now: {info:?}"));
    }
    let doomed = is_doomed(*number) && *topic == TOPICS[0];
    match info.state {
        JobState::Done if doomed => Err(format!("J5: job {id} must fail, but is done")),
        JobState::Done if info.output.as_ref().map(number_of) != Some(*number) => {
            Err(format!("J4: job {id} of number {number} has the result of another job: {info:?}"))
        }
        JobState::Dead if !doomed => Err(format!("J5: job {id} is dead: {info:?}")),
        JobState::Cancelled => Err(format!("J15: job {id} is cancelled without a request")),
        state => Ok(state.is_finished()),
    }
}

/// Works until every job is finished, and checks them all.
pub(super) async fn finish(
    store: &impl Operations,
    told: &Arc<Mutex<ToldAnswers>>,
) -> Result<(), String> {
    loop {
        let mut left = told.lock().jobs.clone();
        check(store, &mut left).await?;
        let open = left.open();
        told.lock().jobs = left;
        if open == 0 {
            return Ok(());
        }
        for topic in TOPICS {
            let wait = Some(WAIT);
            let request = ReserveRequest { credits: 64, wait, ..ReserveRequest::new(topic) };
            let taken =
                store.reserve(request).await.map_err(|error| format!("reserve: {error}"))?;
            let settlements: Vec<Settlement> = taken
                .iter()
                .map(|job| match topic == TOPICS[0] {
                    true => settlement_of(job),
                    false => {
                        let verdict = Verdict::Done { output: job.payload.clone() };
                        Settlement { reservation: job.reservation, verdict }
                    }
                })
                .collect();
            if !settlements.is_empty() {
                store.settle(settlements).await.map_err(|error| format!("settle: {error}"))?;
            }
        }
    }
}
