//! Jobs that are pushed again and again, by the clock of a time zone.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;

use super::change::{Change, Rare, Set};
use super::push::rare_of;
use super::{Now, QueueError, State, millis};
use crate::model::{
    Backoff, Blob, JobReply, PushOptions, PushRequest, Schedule, ScheduleInfo, UnixMillis,
};

/// A schedule that can never push again is looked at no more.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    by_name: BTreeMap<Blob, Set>,
    due: BTreeSet<(UnixMillis, Blob)>,
}

impl Schedules {
    /// When the next is due.
    pub(super) fn next(&self) -> Option<UnixMillis> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn put(&mut self, set: &Set) {
        self.remove(&set.name);
        if let Some(next) = set.next {
            self.due.insert((next, set.name.clone()));
        }
        self.by_name.insert(set.name.clone(), set.clone());
    }

    pub(super) fn remove(&mut self, name: &Blob) {
        if let Some(Set { next: Some(next), .. }) = self.by_name.remove(name) {
            self.due.remove(&(next, name.clone()));
        }
    }

    pub(super) fn came(&mut self, name: &Blob, next: Option<UnixMillis>, missed: bool) {
        let Some(mut set) = self.by_name.get(name).cloned() else { return };
        set.next = next;
        let count = if missed { &mut set.missed } else { &mut set.pushed };
        *count = count.saturating_add(1);
        self.put(&set);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Set> {
        self.by_name.values()
    }
}

/// When `cron` says is next after `after`, by the clock of `timezone`; `None` for never again.
///
/// Errors: a sentence, if either makes no sense.
fn next_time(cron: &str, timezone: &str, after: UnixMillis) -> Result<Option<UnixMillis>, String> {
    let pattern = Cron::from_str(cron).map_err(|error| {
        format!("`{cron}` is no cron expression ({error}); write it as in `0 3 * * 1-5`")
    })?;
    let zone = Tz::from_str(timezone)
        .map_err(|_| format!("`{timezone}` is no time zone; name it as in Europe/Berlin or UTC"))?;
    let after = i64::try_from(after).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    let after = after.ok_or("the time of day is out of range")?.with_timezone(&zone);
    let next = pattern.find_next_occurrence(&after, false).ok();
    Ok(next.and_then(|next| UnixMillis::try_from(next.timestamp_millis()).ok()))
}

impl State {
    pub(super) fn set_schedule(
        &mut self,
        now: Now,
        schedule: Schedule,
    ) -> Result<JobReply, QueueError> {
        self.utc = self.utc.max(now.utc);
        self.check_name("schedule", &schedule.name)?;
        self.check_schedule_bytes(&schedule)?;
        let Schedule { name, cron, timezone, push } = schedule;
        let max = self.config.name_bytes_max;
        for text in [&cron, &timezone] {
            let what = "the cron expression or the time zone is too long";
            QueueError::limit("queue.name_bytes_max", max, text.len(), what)?;
        }
        self.check_push(&push)?;
        let (max, count) = (self.config.schedules_max, self.schedules.by_name.len());
        let count = count + usize::from(!self.schedules.by_name.contains_key(&name));
        QueueError::limit("queue.schedules_max", max, count, "too many schedules")?;
        let next = next_time(&cron, &timezone, self.utc).map_err(QueueError::Invalid)?;
        let PushRequest { topic, payload, options } = push;
        let set = Set {
            name: name.clone(),
            cron,
            timezone,
            topic,
            payload,
            delay_ms: millis(options.delay),
            priority: options.priority,
            retry_max: options.retry_max,
            loss_max: options.loss_max,
            rare: rare_of(&options).unwrap_or_default(),
            next,
            pushed: 0,
            missed: 0,
        };
        self.commit(Change::ScheduleSet(set));
        let set = self.schedules.by_name.get(&name);
        Ok(JobReply::Schedules(set.map(info_of).into_iter().collect()))
    }

    /// That all schedules can be told of in one reply.
    fn check_schedule_bytes(&self, schedule: &Schedule) -> Result<(), QueueError> {
        let others = self.schedules.all().filter(|set| set.name != schedule.name);
        let others: usize = others.map(|set| bytes_of(&info_of(set).schedule)).sum();
        let (max, bytes) = (self.config.list_bytes_max, others + bytes_of(schedule));
        QueueError::limit("queue.list_bytes_max", max, bytes, "the schedules are too large in all")
    }

    pub(super) fn remove_schedule(
        &mut self,
        now: Now,
        name: &Blob,
    ) -> Result<JobReply, QueueError> {
        self.utc = self.utc.max(now.utc);
        if !self.schedules.by_name.contains_key(name) {
            return Err(QueueError::ScheduleNotFound(name.clone()));
        }
        self.commit(Change::ScheduleRemoved { name: name.clone() });
        Ok(JobReply::Changed { count: 1, more: false })
    }

    pub(super) fn tell_schedules(&self) -> JobReply {
        JobReply::Schedules(self.schedules.all().map(info_of).collect())
    }

    /// Pushes what is due: a slice of it. Times that passed while nobody looked come once.
    pub(super) fn fire_schedules(&mut self) {
        if self.draining {
            return;
        }
        for _ in 0..self.config.slice_max {
            let Some((due, name)) = self.schedules.due.first().cloned() else { return };
            if due > self.utc {
                return;
            }
            let Some(set) = self.schedules.by_name.get(&name) else { return };
            let next = next_time(&set.cron, &set.timezone, self.utc).unwrap_or(None);
            let mut push = push_of(set);
            // Its delay counts from when it was to come.
            let late = Duration::from_millis(self.utc - due);
            push.options.delay = push.options.delay.saturating_sub(late);
            let missed = !self.push_scheduled(push);
            self.commit(Change::ScheduleCame { name, next, missed });
        }
    }
}

fn push_of(set: &Set) -> PushRequest {
    let Rare { index, unique, order_key, backoff } = set.rare.clone();
    let options = PushOptions {
        index,
        unique: unique.into(),
        order_key,
        priority: set.priority,
        delay: Duration::from_millis(set.delay_ms),
        retry_max: set.retry_max,
        loss_max: set.loss_max,
        backoff: backoff.as_ref().map(Backoff::from),
    };
    PushRequest { topic: set.topic.clone(), payload: set.payload.clone(), options }
}

fn info_of(set: &Set) -> ScheduleInfo {
    let schedule = Schedule {
        name: set.name.clone(),
        cron: set.cron.clone(),
        timezone: set.timezone.clone(),
        push: push_of(set),
    };
    ScheduleInfo { schedule, next: set.next, pushed: set.pushed, missed: set.missed }
}

/// Of names, expressions and the payload.
fn bytes_of(schedule: &Schedule) -> usize {
    let PushRequest { topic, payload, options } = &schedule.push;
    let names = [&options.index, &options.order_key].into_iter().flatten().map(|name| name.len());
    let texts = schedule.name.len() + schedule.cron.len() + schedule.timezone.len();
    texts + topic.len() + payload.len() + names.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis() as UnixMillis
    }

    #[test]
    fn j10_a_schedule_goes_by_the_clock_of_its_zone() {
        let next = |after| next_time("30 3 * * *", "Europe/Berlin", at(after)).unwrap().unwrap();
        // Summer time begins on 2026-03-29 and ends on 2026-10-25.
        assert_eq!(next("2026-03-27T12:00:00Z"), at("2026-03-28T02:30:00Z"));
        assert_eq!(next("2026-03-29T12:00:00Z"), at("2026-03-30T01:30:00Z"));
        assert_eq!(next("2026-10-25T12:00:00Z"), at("2026-10-26T02:30:00Z"));
    }

    #[test]
    fn j10_nonsense_is_refused_with_what_to_write() {
        let cron = next_time("every day", "UTC", 0).unwrap_err();
        assert!(cron.contains("every day") && cron.contains("0 3 * * 1-5"), "{cron}");
        let zone = next_time("0 3 * * *", "Berlin", 0).unwrap_err();
        assert!(zone.contains("Berlin") && zone.contains("Europe/Berlin"), "{zone}");
    }

    #[test]
    fn s10_all_schedules_fit_in_one_reply() {
        let mut config = crate::Config::new().queue;
        config.list_bytes_max = 100;
        let mut state = State::new(config, 1);
        let now = Now { steady: 1, utc: 1 };
        let mut set = |name: &str, payload: usize| {
            let schedule = Schedule {
                name: name.into(),
                cron: "0 3 * * *".to_owned(),
                timezone: "UTC".to_owned(),
                push: PushRequest::new("t", vec![b'x'; payload]),
            };
            state.set_schedule(now, schedule)
        };
        // 14 bytes of names and expressions, each.
        assert!(set("a", 36).is_ok() && set("b", 36).is_ok());
        let full = matches!(
            set("a", 37),
            Err(QueueError::Limit { name: "queue.list_bytes_max", max: 100, .. })
        );
        assert!(full, "what is there counts");
        assert!(set("a", 36).is_ok(), "but not what is replaced");
    }
}
