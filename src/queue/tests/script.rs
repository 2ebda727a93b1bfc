//! Transcripts: requests to a queue, one per line, and their results.

use std::fmt::Write;

use expect_test::Expect;

use super::*;
use crate::model::{Pushed, ReservedJob, Schedule};

/// A schedule with one of a few names.
pub(super) fn some_schedule(number: u8) -> JobRequest {
    let name = Blob::from(if number.is_multiple_of(2) { "s" } else { "t" });
    if number > 2 {
        return JobRequest::RemoveSchedule(name);
    }
    schedule(name, "a".into())
}

/// A schedule with the name of its topic.
fn every_second(topic: Blob) -> JobRequest {
    schedule(topic.clone(), topic)
}

fn schedule(name: Blob, topic: Blob) -> JobRequest {
    let options = PushOptions { delay: ms(40), ..PushOptions::default() };
    let push = PushRequest { topic, payload: "cron".into(), options };
    let cron = "* * * * * *".to_owned();
    JobRequest::SetSchedule(Box::new(Schedule { name, cron, timezone: "UTC".to_owned(), push }))
}

/// The words of a line: the command, its subject, and `name=value` pairs.
struct Words<'a> {
    words: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        Self { words: line.split_whitespace().collect() }
    }

    fn at(&self, place: usize) -> &'a str {
        let plain = self.words.iter().filter(|word| !word.contains('='));
        plain.clone().nth(place).copied().unwrap_or_default()
    }

    fn named(&self, name: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.named(name).map(|value| value.parse().unwrap())
    }

    fn time(&self, name: &str) -> Option<Duration> {
        self.number(name).map(ms)
    }

    /// Parses `3/1`: job 3 with epoch 1.
    fn reservation(&self) -> Reservation {
        reservation_of(self.at(1))
    }

    /// Parses `3/1 4/1`.
    fn reservations(&self) -> Vec<Reservation> {
        let plain = self.words.iter().skip(1).filter(|word| !word.contains('='));
        plain.map(|word| reservation_of(word)).collect()
    }

    fn owner(&self) -> u64 {
        self.number("by").unwrap_or(1)
    }

    fn push(&self) -> JobRequest {
        let unique = match self.named("unique") {
            Some("waiting") => Unique::Waiting,
            Some(after) => Unique::Finished(ms(after.parse().unwrap())),
            None => Unique::Unfinished,
        };
        let options = PushOptions {
            index: self.named("index").map(Blob::from),
            unique,
            order_key: self.named("key").map(Blob::from),
            priority: self.number("priority").unwrap_or(0) as u8,
            delay: self.time("delay").unwrap_or_default(),
            retry_max: self.number("retries").map(|it| it as u32),
            loss_max: self.number("losses").map(|it| it as u32),
            backoff: self.time("backoff").map(Backoff::Constant),
        };
        let job = PushRequest { topic: self.at(1).into(), payload: self.at(2).into(), options };
        let jobs = vec![job; self.number("times").unwrap_or(1) as usize];
        JobRequest::Push { jobs, wait: self.time("wait").unwrap_or_default() }
    }

    fn settings(&self) -> TopicSettings {
        let number = |name| self.number(name).map(|it| it as u32);
        let rate = self.named("rate").map(|rate| {
            let parts: Vec<u64> = rate.split('/').map(|part| part.parse().unwrap()).collect();
            Rate { jobs: parts[0] as u32, per: ms(parts[1]), burst: parts[2] as u32 }
        });
        TopicSettings {
            concurrency: number("concurrency"),
            rate,
            jobs_max: self.number("jobs"),
            bytes_max: self.number("bytes"),
            retry_max: number("retries"),
            loss_max: number("losses"),
            backoff: self.time("backoff").map(Backoff::Constant),
            order_limit: number("order"),
            order_retry: match self.named("retry") {
                Some("skip") => OrderRetry::Skip,
                _ => OrderRetry::Block,
            },
        }
    }

    fn job(&self) -> JobRef {
        match self.at(1).parse() {
            Ok(id) => JobRef::Id(id),
            Err(_) => JobRef::Index { topic: self.at(1).into(), index: self.at(2).into() },
        }
    }

    fn request(&self) -> Option<JobRequest> {
        let topic = || Blob::from(self.at(1));
        Some(match self.at(0) {
            "push" => self.push(),
            "reserve" => JobRequest::Reserve(ReserveRequest {
                topic: topic(),
                credits: self.number("credits").unwrap_or(1) as u32,
                wait: Some(self.time("wait").unwrap_or_default()),
                visibility: self.time("visibility"),
            }),
            "touch" => JobRequest::Touch {
                reservations: vec![self.reservation()],
                visibility: self.time("visibility"),
            },
            "progress" => JobRequest::Progress {
                reservation: self.reservation(),
                progress: self.at(2).into(),
            },
            "revoked" => JobRequest::Revoked { wait: Some(self.time("wait").unwrap_or_default()) },
            "get" => JobRequest::Get(self.job()),
            "await" => JobRequest::Await { job: self.job(), wait: None },
            "outcomes" => {
                let (after, limit) = (self.number("after"), self.number("limit").unwrap_or(0));
                JobRequest::Outcomes { topic: topic(), after, limit: limit as usize, wait: None }
            }
            "cancel" => JobRequest::Cancel(self.job()),
            "clear" => JobRequest::ClearTopic(topic()),
            "replay" => JobRequest::Replay { topic: topic(), id: self.number("id") },
            "delete" => JobRequest::DeleteDead { topic: topic(), id: self.number("id") },
            "free" => JobRequest::FreeIndex { topic: topic(), index: self.at(2).into() },
            "drop" => {
                JobRequest::DeleteTopic { topic: topic(), force: self.named("force").is_some() }
            }
            "schedule" => every_second(topic()),
            "unschedule" => JobRequest::RemoveSchedule(topic()),
            "set" => JobRequest::SetTopic { topic: topic(), settings: Box::new(self.settings()) },
            "pause" => JobRequest::PauseTopic { topic: topic(), paused: true },
            "resume" => JobRequest::PauseTopic { topic: topic(), paused: false },
            "topic" => JobRequest::Topic(topic()),
            _ => return None,
        })
    }

    fn verdict(&self) -> Option<Verdict> {
        let error = || self.at(2).to_owned();
        Some(match self.at(0) {
            "done" => Verdict::Done { output: self.at(2).into() },
            "retry" => Verdict::Retry { after: self.time("after"), error: error() },
            "fail" => Verdict::Fail { error: error() },
            "snooze" => Verdict::Snooze { after: self.time("after").unwrap() },
            "release" => Verdict::Release,
            _ => return None,
        })
    }
}

fn reservation_of(word: &str) -> Reservation {
    let (id, epoch) = word.split_once('/').unwrap();
    Reservation { id: id.parse().unwrap(), epoch: epoch.parse().unwrap() }
}

/// Formats the answer to a resume in one line.
fn resumed(asked: &[Reservation], topics: &[Option<Blob>]) -> String {
    let one = |(Reservation { id, epoch }, topic): (&Reservation, &Option<Blob>)| match topic {
        Some(topic) => format!("{id}/{epoch} of {topic}"),
        None => format!("{id}/{epoch} is lost"),
    };
    match asked.len() {
        0 => String::new(),
        _ => format!("  {}\n", asked.iter().zip(topics).map(one).collect::<Vec<_>>().join(", ")),
    }
}

/// One queue and its transcript.
struct Stage {
    world: World,
    out: String,
}

impl Stage {
    fn line(&mut self, line: &str) {
        let words = Words::of(line);
        writeln!(self.out, "> {line}").unwrap();
        if let Some(request) = words.request() {
            let wait = words.time("wait").unwrap_or_default();
            self.ask(words.owner(), request, wait);
        } else if let Some(verdict) = words.verdict() {
            let settlement = Settlement { reservation: words.reservation(), verdict };
            match self.world.queue.settle(self.world.now, settlement) {
                Ok(SettleProgress::Now) => {}
                Ok(SettleProgress::Recording) if words.named("held").is_some() => {}
                Ok(SettleProgress::Recording) => {
                    let effects = self.world.turn();
                    self.effects(effects);
                    let effects = self.world.record(words.named("unrecorded").is_none());
                    self.effects(effects);
                }
                Err(error) => writeln!(self.out, "  {error}").unwrap(),
            }
        } else {
            self.other(&words);
        }
        let effects = self.world.turn();
        self.effects(effects);
        for (park, told) in std::mem::take(&mut self.world.told) {
            match told {
                OutcomeAnswer::Reply(reply) => self.reply(&format!("#{park} "), reply),
                OutcomeAnswer::Late(id) => {
                    writeln!(self.out, "  #{park} is late for job {id}").unwrap()
                }
            }
        }
    }

    fn other(&mut self, words: &Words<'_>) {
        let world = &mut self.world;
        match words.at(0) {
            "later" => world.later(words.at(1).parse().unwrap()),
            "back" => world.now.utc -= words.at(1).parse::<u64>().unwrap(),
            "jump" => world.jump(words.at(1).parse().unwrap()),
            "gone" => drop(world.queue.owner_gone(world.now, words.owner(), true)),
            "goodbye" => drop(world.queue.owner_gone(world.now, words.owner(), false)),
            "returns" => {
                let (user, denied) = (words.number("user").unwrap_or(0), words.named("denied"));
                let asked = words.reservations();
                let topics = world.resume(words.owner(), user, &asked, denied);
                self.out += &resumed(&asked, &topics);
            }
            "drain" => world.queue.drain(),
            "stop" => {
                world.queue.drain();
                world.queue.release_all(world.now);
            }
            "again" => {
                world.queue.report_again(words.owner(), words.reservations());
                let effects = world.queue.finish_turn(world.now);
                self.effects(effects);
            }
            "undeliver" => world.queue.undeliver(world.now, [words.reservation()]),
            "recorded" => {
                let effects = world.record(true);
                self.effects(effects);
            }
            "restart" | "fenced" => {
                let effects = world.restart_with(words.at(0) == "fenced");
                self.effects(effects);
            }
            "snapshot" => {
                world.begin_snapshot();
                world.tell_all();
            }
            other => panic!("`{other}` is no command"),
        }
    }

    fn ask(&mut self, owner: u64, request: JobRequest, wait: Duration) {
        let sought = match self.world.ask(owner, request) {
            QueueAnswer::Now(Ok(reply)) => return self.reply("", reply),
            QueueAnswer::Now(Err(error)) => return writeln!(self.out, "  {error}").unwrap(),
            QueueAnswer::Parked(_) => return,
            QueueAnswer::Ask(sought) => sought,
        };
        match self.world.outcomes.query(self.world.now, ClientId::Process, sought, wait, &|_| true)
        {
            OutcomeLookup::Now(Ok(reply)) => self.reply("", reply),
            OutcomeLookup::Now(Err(error)) => writeln!(self.out, "  {error}").unwrap(),
            OutcomeLookup::Parked(park) => writeln!(self.out, "  waits as #{park}").unwrap(),
            OutcomeLookup::Unfinished(id) => self.ask(owner, JobRequest::Get(JobRef::Id(id)), wait),
        }
    }

    fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reserved(_, jobs) => self.reply("", JobReply::Reserved(jobs)),
                Effect::Pushed(_, Ok(pushed)) => self.reply("let in: ", JobReply::Pushed(pushed)),
                Effect::Pushed(_, Err(error)) | Effect::Refused(_, error) => {
                    writeln!(self.out, "  {error}").unwrap()
                }
                Effect::Revoked(_, revoked) => self.reply("", JobReply::Revoked(revoked)),
                Effect::Record(info) => {
                    writeln!(self.out, "  result of {}", told(&info)).unwrap();
                }
                Effect::Note(info) => writeln!(self.out, "  note of {}", told(&info)).unwrap(),
                Effect::Cleared(info) => writeln!(self.out, "  cleared {}", info.id).unwrap(),
            }
        }
    }

    fn reply(&mut self, before: &str, reply: JobReply) {
        let text = match reply {
            JobReply::Pushed(pushed) => {
                let one = |it: &Pushed| {
                    let existing = if it.existing { " already" } else { "" };
                    format!("{} {:?}{existing}", it.id, it.state)
                };
                pushed.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            JobReply::Reserved(jobs) if jobs.is_empty() => "no job".to_owned(),
            JobReply::Reserved(jobs) => {
                let one = |job: &ReservedJob| {
                    let Reservation { id, epoch } = job.reservation;
                    format!("{id}/{epoch} {}", job.payload)
                };
                format!("gets {}", jobs.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            JobReply::Settled(answers) => match answers.into_iter().flatten().next() {
                Some(error) => error.message,
                None => return,
            },
            JobReply::Revoked(revoked) => {
                let one = |it: &Reservation| format!("{}/{}", it.id, it.epoch);
                format!("revoked: {}", revoked.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            JobReply::Job(info) => told(&info),
            JobReply::Jobs(page) => {
                let jobs: Vec<String> = page.jobs.iter().map(told).collect();
                format!("[{}] after {}", jobs.join("; "), page.after)
            }
            JobReply::Changed { count, more } => {
                format!("{count} changed{}", if more { ", and there are more" } else { "" })
            }
            JobReply::Topic(topic) => format!(
                "pushed {} = ready {} + delayed {} + reserved {} + done {} + dead {} + evicted {} + \
                 cancelled {}",
                topic.pushed_total,
                topic.ready,
                topic.delayed,
                topic.reserved,
                topic.done_total,
                topic.dead,
                topic.evicted_total,
                topic.cancelled_total,
            ),
            other => format!("{other:?}"),
        };
        writeln!(self.out, "  {before}{text}").unwrap();
    }
}

fn told(info: &JobInfo) -> String {
    let mut out = format!("{} {:?}, epoch {}", info.id, info.state, info.epoch);
    if info.failures + info.losses > 0 {
        write!(out, ", {} failures, {} losses", info.failures, info.losses).unwrap();
    }
    if let Some(due) = info.due {
        write!(out, ", due {}", due as i64 - MORNING as i64).unwrap();
    }
    if let Some(payload) = info.payload.as_ref().filter(|payload| !payload.is_empty()) {
        write!(out, ", payload {payload}").unwrap();
    }
    if let Some(output) = &info.output {
        write!(out, ", output {output}").unwrap();
    }
    if let Some(outcome) = info.outcome {
        write!(out, ", outcome {outcome}").unwrap();
    }
    if !info.errors.is_empty() {
        write!(out, ", errors {:?}", info.errors).unwrap();
    }
    out
}

pub(super) fn check(script: &str, expected: Expect) {
    check_with(steady(), script, expected);
}

/// Runs a script. Topics are created as they are named: `topic` is refused for one that was never
/// pushed to.
pub(super) fn check_with(config: QueueConfig, script: &str, expected: Expect) {
    let mut stage = Stage { world: World::new(config), out: String::new() };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        stage.line(line);
    }
    stage.world.begin_snapshot();
    stage.world.tell_all();
    expected.assert_eq(&stage.out);
}
