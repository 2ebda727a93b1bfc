//! A worker with real processes, against a queue that hands out given jobs and records the answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};

use super::guard::GuardProcess;
use super::guard_process;
use super::plan::WorkPlan;
use super::program::Program;
use super::worker::work;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::test_timeout::{TEST_TIMEOUT, until};
use crate::{
    CallOptions, CallReply, Config, Error, ErrorCode, JobReply, JobRequest, Operations, Reply,
    Request, Reservation, ReservedJob, Verdict, WaitOutcome, WaitRequest, WatchItem, WatchRequest,
};

#[derive(Default)]
struct Fake {
    jobs: Mutex<VecDeque<ReservedJob>>,
    /// Errors that refuse the next requests to reserve.
    refusals: Mutex<VecDeque<Error>>,
    /// Errors that refuse the next settlements.
    unsettled: Mutex<VecDeque<Error>>,
    revoked: Mutex<Vec<Reservation>>,
    revocation: Notify,
    /// Reservations that touches refuse.
    stale: Mutex<Vec<Reservation>>,
    told: Mutex<Vec<String>>,
    asked: Mutex<Vec<u32>>,
    touched: Mutex<Vec<u64>>,
    touch: Notify,
    changed: Notify,
}

fn stale() -> Error {
    Error::new(ErrorCode::StaleReservation, "somebody else's")
}

impl Fake {
    /// Returns a queue with these payloads, as jobs of epoch 1, with ids from 1.
    fn with(payloads: &[&str]) -> Self {
        let jobs = payloads.iter().zip(1..).map(|(payload, id)| ReservedJob {
            reservation: Reservation { id, epoch: 1 },
            topic: "t".into(),
            payload: (*payload).into(),
            index: (id == 1).then(|| "first".into()),
            order_key: None,
            failures: 2,
            losses: 1,
            pushed: 5,
        });
        Self { jobs: Mutex::new(jobs.collect()), ..Self::default() }
    }

    fn tell(&self, verdict: &Verdict, id: u64) {
        self.told.lock().push(match verdict {
            Verdict::Done { output } => format!("{id} done {output}"),
            Verdict::Retry { after, error } => {
                assert_eq!(*after, None, "as its backoff has it");
                format!("{id} retry {error}")
            }
            Verdict::Fail { error } => format!("{id} fail {error}"),
            Verdict::Snooze { .. } => format!("{id} snooze"),
            Verdict::Release => format!("{id} release"),
        });
    }

    fn told(&self) -> Vec<String> {
        let mut told = self.told.lock().clone();
        told.sort();
        told
    }

    async fn answer(&self, request: JobRequest) -> Result<JobReply, Error> {
        match request {
            JobRequest::Reserve(request) => {
                if let Some(refusal) = self.refusals.lock().pop_front() {
                    return Err(refusal);
                }
                loop {
                    let credits = request.credits;
                    let jobs: Vec<_> = {
                        let mut jobs = self.jobs.lock();
                        let count = jobs.len().min(credits as usize);
                        jobs.drain(..count).collect()
                    };
                    if !jobs.is_empty() {
                        self.asked.lock().push(credits);
                        return Ok(JobReply::Reserved(jobs));
                    }
                    self.changed.notified().await;
                }
            }
            JobRequest::Settle(settlements) => Ok(JobReply::Settled(
                settlements
                    .iter()
                    .map(|one| {
                        let refusal = self.unsettled.lock().pop_front();
                        if refusal.is_none() {
                            self.tell(&one.verdict, one.reservation.id);
                        }
                        refusal
                    })
                    .collect(),
            )),
            JobRequest::Touch { reservations, .. } => {
                self.touched.lock().extend(reservations.iter().map(|one| one.id));
                self.touch.notify_one();
                let answer = |one| self.stale.lock().contains(one).then(stale);
                Ok(JobReply::Settled(reservations.iter().map(answer).collect()))
            }
            JobRequest::Revoked { .. } => loop {
                let revoked = std::mem::take(&mut *self.revoked.lock());
                if !revoked.is_empty() {
                    return Ok(JobReply::Revoked(revoked));
                }
                self.revocation.notified().await;
            },
            other => panic!("a worker does not ask for {other:?}"),
        }
    }
}

impl Operations for Fake {
    type Watch = stream::Empty<Result<WatchItem, Error>>;

    async fn call_with(&self, request: Request, _: CallOptions) -> Result<CallReply, Error> {
        let Request::Job(request) = request else { panic!("a worker asks for jobs alone") };
        let reply = Reply::Job(self.answer(request).await?);
        Ok(CallReply::new(reply))
    }

    async fn wait(&self, _: WaitRequest) -> Result<WaitOutcome, Error> {
        panic!("a worker does not wait for keys")
    }

    async fn watch(&self, _: WatchRequest) -> Result<Self::Watch, Error> {
        panic!("a worker does not watch keys")
    }
}

/// Returns a plan to run `script` for up to `jobs_max` jobs.
fn plan(script: &str, jobs_max: u64) -> WorkPlan {
    let queue = Config::new().queue;
    WorkPlan {
        topic: "t".into(),
        program: Program::new(["sh", "-c", script].map(Into::into).to_vec(), &queue),
        concurrency: 1,
        visibility: Duration::from_secs(30),
        jobs_max,
        once: false,
        drain: false,
        grace: Duration::from_secs(25),
        queue,
    }
}

/// Returns a guard that is a thread instead of a process.
fn guard() -> Arc<GuardProcess> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    std::thread::spawn(|| guard_process::guard(theirs));
    ours.set_nonblocking(true).unwrap();
    GuardProcess::over(UnixStream::from_std(ours).unwrap())
}

fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TEST_TIMEOUT, test).await.expect("it ends") })
}

/// Works until all is done; returns the result and the output.
fn run(fake: &Fake, plan: &WorkPlan) -> (Result<Exit, Failure>, String) {
    in_runtime(async {
        let (_stop, mut stops) = mpsc::channel(2);
        let mut out = Output::memory(false);
        let result = work(fake, plan, guard(), &mut stops, &mut out).await;
        (result, out.printed())
    })
}

#[test]
fn the_payload_goes_in_and_the_output_is_the_result() {
    let fake = Fake::with(&["hello", "world"]);
    let (exit, printed) = run(&fake, &plan("tr a-z A-Z", 2));
    assert_eq!(exit.unwrap(), Exit::Done);
    assert_eq!(fake.told(), ["1 done HELLO", "2 done WORLD"]);
    assert_eq!(printed, "done 1\ndone 2\n");
}

#[test]
fn the_environment_tells_which_job_it_is() {
    let fake = Fake::with(&["", ""]);
    let script = "printf '%s' \"$WAKEFUL_JOB_ID/$WAKEFUL_JOB_EPOCH/$WAKEFUL_JOB_TOPIC/\
                  $WAKEFUL_JOB_INDEX/${WAKEFUL_JOB_ORDER_KEY-none}/$WAKEFUL_JOB_ATTEMPT/\
                  $WAKEFUL_JOB_LOSSES/$WAKEFUL_JOB_PUSHED_MS\"";
    run(&fake, &plan(script, 2)).0.unwrap();
    assert_eq!(fake.told(), ["1 done 1/1/t/first/none/3/1/5", "2 done 2/1/t//none/3/1/5"]);
}

#[test]
fn how_it_exits_says_what_becomes_of_the_job() {
    let fake = Fake::with(&["75", "1", "65", "9", "0"]);
    let mut plan = plan(
        "code=$(cat); echo first >&2; echo why >&2; test $code = 9 && kill -9 $$; exit $code",
        5,
    );
    plan.program.fail_exits = vec![65];
    let (exit, printed) = run(&fake, &plan);
    assert_eq!(exit.unwrap(), Exit::Done);
    let told = [
        "1 retry exit status: 75: first\nwhy",
        "2 retry exit status: 1: first\nwhy",
        "3 fail exit status: 65: first\nwhy",
        "4 retry signal: 9 (SIGKILL): first\nwhy",
        "5 done ",
    ];
    assert_eq!(fake.told(), told);
    assert!(printed.starts_with("failed 1: exit status: 75: first\\nwhy\n"), "{printed}");
}

#[test]
fn a_command_that_is_not_there_costs_the_job_nothing_and_ends_the_worker() {
    let fake = Fake::with(&["x"]);
    let program = Program::new(vec!["/no/such/command".into()], &Config::new().queue);
    let (result, printed) = run(&fake, &WorkPlan { program, ..plan("", 1) });
    let failure = result.unwrap_err();
    assert_eq!(
        (failure.exit(), fake.told()),
        (Exit::CommandNotFound, vec!["1 release".to_owned()])
    );
    assert!(failure.message().contains("/no/such/command"), "{}", failure.message());
    assert!(printed.starts_with("released 1: cannot run /no/such/command"), "{printed}");
}

#[test]
fn what_runs_too_long_or_prints_too_much_is_ended_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let child = dir.path().join("child");
    let fake = Fake::with(&["x"]);
    // The process it starts would not end by itself, nor on a signal.
    let script =
        format!("(trap '' TERM; sleep 600; sleep 600) & echo $! > {}; wait", child.display());
    let mut slow = plan(&script, 1);
    slow.program.timeout = Some(Duration::from_secs(1));
    run(&fake, &slow).0.unwrap();
    assert_eq!(fake.told(), ["1 retry ran longer than 1s"]);
    let child = std::fs::read_to_string(child).unwrap();
    let gone = format!("! kill -0 {0} || grep -q '^State:.Z' /proc/{0}/status", child.trim());
    in_runtime(until("the process it started is gone", || {
        let status = std::process::Command::new("sh").args(["-c", &gone]).status();
        status.unwrap().success()
    }));
    let fake = Fake::with(&["x"]);
    let mut loud = plan("yes", 1);
    loud.program.output_bytes_max = 100;
    run(&fake, &loud).0.unwrap();
    assert_eq!(fake.told(), ["1 retry printed more than 100 bytes"]);
}

#[test]
fn what_it_leaves_behind_does_not_hold_up_the_result() {
    let fake = Fake::with(&["x"]);
    run(&fake, &plan("sleep 600 & echo done", 1)).0.unwrap();
    assert_eq!(fake.told(), ["1 done done\\n"]);
}

#[test]
fn a_payload_that_nobody_reads_harms_nothing() {
    let fake = Fake::with(&[&"x".repeat(1024 * 1024)]);
    run(&fake, &plan("echo done", 1)).0.unwrap();
    assert_eq!(fake.told(), ["1 done done\\n"]);
}

#[test]
fn no_more_run_at_once_than_was_said_and_no_more_are_taken() {
    let fake = Fake::with(&["1", "2", "3", "4", "5"]);
    let several = WorkPlan { concurrency: 3, ..plan("cat", 4) };
    run(&fake, &several).0.unwrap();
    assert_eq!(fake.told().len(), 4);
    let asked = fake.asked.lock();
    assert_eq!((asked[0], asked.iter().all(|credits| *credits <= 3)), (3, true), "{asked:?}");
    assert_eq!(fake.jobs.lock().len(), 1);
}

#[test]
fn what_runs_is_held_and_what_is_not_its_own_any_more_is_ended_and_not_settled() {
    for by_touch in [true, false] {
        let fake = Fake::with(&["x", "y"]);
        let lost = Reservation { id: 1, epoch: 1 };
        let mut plan = plan("test $WAKEFUL_JOB_ID = 2 || sleep 600", 2);
        plan.visibility = Duration::from_millis(60);
        let printed = in_runtime(async {
            let (_stop, mut stops) = mpsc::channel(2);
            let mut out = Output::memory(false);
            let lose = async {
                while !fake.touched.lock().contains(&1) {
                    fake.touch.notified().await;
                }
                if by_touch { &fake.stale } else { &fake.revoked }.lock().push(lost);
                fake.revocation.notify_one();
                std::future::pending().await
            };
            tokio::select! {
                exit = work(&fake, &plan, guard(), &mut stops, &mut out) => exit.unwrap(),
                never = lose => never,
            };
            out.printed()
        });
        assert_eq!(fake.told(), ["2 done "], "by touch: {by_touch}");
        assert_eq!(printed, "revoked 1\ndone 2\n");
    }
}

/// Works while `meanwhile` runs, which gets the means to stop the worker.
fn run_with<F: Future<Output = ()>>(
    fake: &Fake,
    plan: &WorkPlan,
    meanwhile: impl FnOnce(mpsc::Sender<Exit>) -> F,
) -> (Exit, String) {
    in_runtime(async {
        let (stop, mut stops) = mpsc::channel(2);
        let mut out = Output::memory(false);
        let meanwhile = async {
            // It may be unused, but must not be dropped.
            let kept = stop.clone();
            meanwhile(stop).await;
            let never: () = std::future::pending().await;
            drop(kept);
            never
        };
        let exit = tokio::select! {
            exit = work(fake, plan, guard(), &mut stops, &mut out) => exit.unwrap(),
            () = meanwhile => panic!("it never ends"),
        };
        (exit, out.printed())
    })
}

#[test]
fn at_a_signal_no_more_are_taken_and_what_runs_may_end() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, go) = (dir.path().join("begun"), dir.path().join("go"));
    let script = format!(
        "touch {}; until test -e {}; do sleep 0.01; done; echo ended",
        begun.display(),
        go.display()
    );
    let fake = Fake::with(&["x", "y"]);
    let (exit, _) = run_with(&fake, &plan(&script, u64::MAX), async |stop| {
        until("the command has begun", || begun.exists()).await;
        stop.send(Exit::Terminated).await.unwrap();
        std::fs::write(&go, "").unwrap();
    });
    assert_eq!((exit, fake.told()), (Exit::Done, vec!["1 done ended\\n".to_owned()]));
    assert_eq!(fake.jobs.lock().len(), 1, "the second was not taken");
}

#[test]
fn at_a_second_signal_or_the_end_of_the_grace_what_runs_is_ended_and_released() {
    for second in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let begun = dir.path().join("begun");
        // It ignores the signal, and so does a process it started.
        let script = format!("trap '' TERM; touch {}; sleep 600; sleep 600", begun.display());
        let fake = Fake::with(&["x"]);
        let grace = Duration::from_millis(if second { 600_000 } else { 10 });
        let plan = WorkPlan { grace, ..plan(&script, u64::MAX) };
        let (exit, printed) = run_with(&fake, &plan, async |stop| {
            until("the command has begun", || begun.exists()).await;
            stop.send(Exit::Interrupted).await.unwrap();
            if second {
                stop.send(Exit::Interrupted).await.unwrap();
            }
        });
        assert_eq!((fake.told(), &*printed), (vec!["1 release".to_owned()], "released 1\n"));
        assert_eq!(exit, Exit::Done);
    }
}

#[test]
fn a_signal_ends_a_worker_that_waits_for_jobs() {
    let fake = Fake::with(&[]);
    let (exit, printed) = run_with(&fake, &plan("cat", u64::MAX), async |stop| {
        stop.send(Exit::Interrupted).await.unwrap();
    });
    assert_eq!((exit, &*printed), (Exit::Done, ""));
}

#[test]
fn what_will_pass_is_tried_again_and_what_will_not_ends_the_worker() {
    let fake = Fake::with(&["x"]);
    for code in [ErrorCode::Unavailable, ErrorCode::StoreChanged] {
        fake.refusals.lock().push_back(Error::new(code, "gone for now"));
    }
    run(&fake, &plan("cat", 1)).0.unwrap();
    assert_eq!(fake.told(), ["1 done x"]);
    fake.refusals.lock().push_back(Error::new(ErrorCode::InvalidArgument, "no such name"));
    let (result, _) = run(&fake, &plan("cat", 1));
    assert_eq!(result.unwrap_err().exit(), Exit::Usage);
}

#[test]
fn a_result_that_is_refused_fails_the_job_and_a_stale_one_is_told() {
    let fake = Fake::with(&["x", "y"]);
    let limit = Error::new(ErrorCode::LimitExceeded, "too long");
    fake.unsettled.lock().extend([limit]);
    let (_, printed) = run(&fake, &plan("cat", 1));
    assert_eq!(fake.told(), ["1 retry its result was refused: too long"]);
    assert_eq!(printed, "failed 1: its result was refused: too long\n");
    fake.unsettled.lock().push_back(stale());
    let (_, printed) = run(&fake, &plan("cat", 1));
    assert_eq!((fake.told().len(), &*printed), (1, "lost 2: somebody else's\n"));
}
