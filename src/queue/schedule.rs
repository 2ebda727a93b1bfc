//! Jobs that are pushed periodically, by the clock of a time zone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::calendar::{days_in, next_time};
use super::change::{QueueChange, RareFields, ScheduleSet};
use super::push::rare_of;
use super::{Now, QueueError, QueueState, millis};
use crate::config::QueueConfig;
use crate::environment::RandomState;
use crate::fair::{ClientId, FairShares, Sharer as _};
use crate::model::{
    Backoff, Blob, JobReply, PushOptions, PushRequest, Schedule, ScheduleInfo, UnixMillis,
};

/// The cost of a due schedule in a turn, in jobs: its expression is parsed again.
const CAME_COST: usize = 16;

/// The schedules. One that can never push again is no longer examined.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    by_name: BTreeMap<Blob, ScheduleSet>,
    due: BTreeSet<(UnixMillis, Blob)>,
    /// The client that set each schedule since the start, except this process; the journal does not
    /// record it.
    setters: HashMap<Blob, ClientId, RandomState>,
    counts: FairShares<ClientId>,
    /// The bytes of all schedules, as counted by [`bytes_of`].
    bytes: FairShares<ClientId>,
}

impl Schedules {
    /// Returns the time of the next schedule.
    pub(super) fn next(&self) -> Option<UnixMillis> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn put(&mut self, set: &ScheduleSet) {
        self.take_out(&set.name);
        if let Some(next) = set.next {
            self.due.insert((next, set.name.clone()));
        }
        self.count(set);
        self.by_name.insert(set.name.clone(), set.clone());
    }

    pub(super) fn remove(&mut self, name: &Blob) {
        self.take_out(name);
        self.setters.remove(name);
    }

    fn take_out(&mut self, name: &Blob) {
        let Some(set) = self.by_name.remove(name) else { return };
        self.uncount(&set);
        if let Some(next) = set.next {
            self.due.remove(&(next, set.name));
        }
    }

    fn setter(&self, name: &Blob) -> ClientId {
        self.setters.get(name).copied().unwrap_or_default()
    }

    fn count(&mut self, set: &ScheduleSet) {
        let setter = self.setter(&set.name);
        self.counts.take(setter, 1);
        self.bytes.take(setter, bytes_of(set) as u64);
    }

    fn uncount(&mut self, set: &ScheduleSet) {
        let setter = self.setter(&set.name);
        self.counts.give_back(setter, 1);
        self.bytes.give_back(setter, bytes_of(set) as u64);
    }

    /// Makes `client` the setter of the schedule with this name, if it exists.
    fn hand_to(&mut self, name: &Blob, client: ClientId) {
        let Some(set) = self.by_name.get(name).cloned() else { return };
        self.uncount(&set);
        match client.has_share() {
            true => self.setters.insert(name.clone(), client),
            false => self.setters.remove(name),
        };
        self.count(&set);
    }

    /// Checks that `client` may set a schedule, in place of the one with the same name: against the
    /// limits on their number and on their size in one reply.
    fn check_capacity(
        &mut self,
        set: &ScheduleSet,
        client: ClientId,
        config: &QueueConfig,
    ) -> Result<(), QueueError> {
        let before = self.by_name.get(&set.name).cloned();
        let (mut more, mut bytes) = (1, bytes_of(set));
        match &before {
            // The client may keep what it already has.
            Some(before) if self.setter(&set.name) == client => {
                (more, bytes) = (0, bytes.saturating_sub(bytes_of(before)));
            }
            Some(before) => self.uncount(before),
            None => {}
        }
        let (counts, sizes) = (&self.counts, &self.bytes);
        let check = |shares, more, name, max, full| match more {
            0 => Ok(()),
            more => QueueError::share(shares, client, more, name, max, full),
        };
        let max = config.schedules_max;
        let mut room = check(counts, more, "queue.schedules_max", max, "too many schedules");
        let what = "the schedules together are too large";
        room = room.and_then(|()| {
            check(sizes, bytes, "queue.list_bytes_max", config.list_bytes_max, what)
        });
        if let Some(before) = before.filter(|_| more > 0) {
            self.count(&before);
        }
        room
    }

    pub(super) fn came(&mut self, name: &Blob, next: Option<UnixMillis>, missed: bool) {
        let Some(mut set) = self.by_name.get(name).cloned() else { return };
        set.next = next;
        let count = if missed { &mut set.missed } else { &mut set.pushed };
        *count = count.saturating_add(1);
        self.put(&set);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &ScheduleSet> {
        self.by_name.values()
    }
}

impl QueueState {
    pub(super) fn set_schedule(
        &mut self,
        now: Now,
        client: ClientId,
        schedule: Schedule,
    ) -> Result<JobReply, QueueError> {
        self.tick(now);
        self.check_name("schedule", &schedule.name)?;
        let Schedule { name, cron, timezone, push } = schedule;
        let max = self.config.name_bytes_max;
        for text in [&cron, &timezone] {
            let what = "the cron expression or the time zone is too long";
            QueueError::limit("queue.name_bytes_max", max, text.len(), what)?;
        }
        self.check_push(&push)?;
        let PushRequest { topic, payload, options } = push;
        let mut set = ScheduleSet {
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
            next: None,
            pushed: 0,
            missed: 0,
        };
        self.schedules.check_capacity(&set, client, &self.config)?;
        set.next = Some(self.first_time(&set)?);
        self.commit(QueueChange::ScheduleSet(set));
        self.schedules.hand_to(&name, client);
        let set = self.schedules.by_name.get(&name);
        Ok(JobReply::Schedules(set.map(info_of).into_iter().collect()))
    }

    /// Returns the first time of a schedule; one that never comes is a mistake, to be reported at once.
    fn first_time(&self, set: &ScheduleSet) -> Result<UnixMillis, QueueError> {
        let days = days_in(self.config.schedule_ahead_max);
        let first = next_time(&set.cron, &set.timezone, self.utc, days);
        first.map_err(QueueError::Invalid)?.ok_or_else(|| {
            let max_ms = millis(self.config.schedule_ahead_max);
            QueueError::Never { cron: set.cron.clone(), days, max_ms }
        })
    }

    pub(super) fn remove_schedule(
        &mut self,
        now: Now,
        name: &Blob,
    ) -> Result<JobReply, QueueError> {
        self.tick(now);
        if !self.schedules.by_name.contains_key(name) {
            return Err(QueueError::ScheduleNotFound(name.clone()));
        }
        self.commit(QueueChange::ScheduleRemoved { name: name.clone() });
        Ok(JobReply::Changed { count: 1, more: false })
    }

    pub(super) fn list_schedules(&self) -> JobReply {
        JobReply::Schedules(self.schedules.all().map(info_of).collect())
    }

    /// Returns the approximate bytes of log of the push that is due now, if there is one.
    pub(crate) fn due_push_bytes(&self, now: Now) -> Option<u64> {
        let (due, name) = self.schedules.due.first()?;
        let set = self.schedules.by_name.get(name).filter(|_| *due <= now.utc)?;
        Some(push_of(set).log_bytes())
    }

    /// Stops schedules from pushing, or lets them push again.
    pub(crate) fn set_disk_full(&mut self, disk_full: bool) {
        self.disk_full = disk_full;
    }

    /// Pushes a slice of the due jobs. Times that passed without being served push once.
    pub(super) fn fire_schedules(&mut self) {
        if self.draining {
            return;
        }
        let days = days_in(self.config.schedule_ahead_max);
        for _ in 0..self.config.slice_max.div_ceil(CAME_COST) {
            let Some((due, name)) = self.schedules.due.first().cloned() else { return };
            if due > self.utc {
                return;
            }
            let Some(set) = self.schedules.by_name.get(&name) else { return };
            let next = next_time(&set.cron, &set.timezone, self.utc, days).unwrap_or(None);
            let mut push = push_of(set);
            // The delay counts from the scheduled time.
            let late = Duration::from_millis(self.utc - due);
            push.options.delay = push.options.delay.saturating_sub(late);
            let missed = self.disk_full || !self.push_scheduled(push);
            self.commit(QueueChange::ScheduleCame { name, next, missed });
        }
    }
}

fn push_of(set: &ScheduleSet) -> PushRequest {
    let RareFields { index, unique, order_key, backoff } = set.rare.clone();
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

fn info_of(set: &ScheduleSet) -> ScheduleInfo {
    let schedule = Schedule {
        name: set.name.clone(),
        cron: set.cron.clone(),
        timezone: set.timezone.clone(),
        push: push_of(set),
    };
    ScheduleInfo { schedule, next: set.next, pushed: set.pushed, missed: set.missed }
}

/// Returns the bytes of names, expressions and payload.
fn bytes_of(set: &ScheduleSet) -> usize {
    let names = [&set.rare.index, &set.rare.order_key].into_iter().flatten().map(|name| name.len());
    let texts = set.name.len() + set.cron.len() + set.timezone.len();
    texts + set.topic.len() + set.payload.len() + names.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(name: &str, payload: usize) -> Schedule {
        Schedule {
            name: name.into(),
            cron: "0 3 * * *".to_owned(),
            timezone: "UTC".to_owned(),
            push: PushRequest::new("t", vec![b'x'; payload]),
        }
    }

    #[test]
    fn s10_all_schedules_fit_in_one_reply() {
        let mut config = crate::Config::new().queue;
        config.list_bytes_max = 100;
        let mut state = QueueState::new(config, 1);
        let now = Now { steady: 1, utc: 1 };
        let mut set =
            |name, payload| state.set_schedule(now, ClientId::Process, daily(name, payload));
        // Names and expressions take 14 bytes each.
        assert!(set("a", 36).is_ok() && set("b", 36).is_ok());
        let full = matches!(
            set("a", 37),
            Err(QueueError::Limit { name: "queue.list_bytes_max", max: 100, .. })
        );
        assert!(full, "what is there counts");
        assert!(set("a", 36).is_ok(), "but not what is replaced");
        state.remove_schedule(now, &"a".into()).unwrap();
        assert_eq!(state.schedules.bytes.total(), 50, "nor what is removed");
    }

    #[test]
    fn j10_a_date_that_never_comes_is_refused() {
        let mut state = QueueState::new(crate::Config::new().queue, 1);
        let now = Now { steady: 1, utc: 1_790_000_000_000 };
        for cron in ["0 0 31 2,4,6,9,11 *", "0 0 0 1 1 * 2020"] {
            let schedule = Schedule { cron: cron.to_owned(), ..daily("a", 1) };
            let refusal =
                state.set_schedule(now, ClientId::Process, schedule).unwrap_err().to_string();
            assert!(refusal.contains(cron), "{refusal}");
            assert!(refusal.contains("queue.schedule_ahead_max"), "{refusal}");
        }
        assert_eq!(state.list_schedules(), JobReply::Schedules(Vec::new()));
    }

    /// A skipped run was counted as pushed.
    #[test]
    fn j10_a_time_at_which_nothing_is_pushed_is_counted_as_missed() {
        let mut state = QueueState::new(crate::Config::new().queue, 1);
        let mut schedule = daily("a", 1);
        schedule.push.options.index = Some("i".into());
        state.set_schedule(Now { steady: 1, utc: 1 }, ClientId::Process, schedule).unwrap();
        let mut counts = Vec::new();
        for steady in 2..5 {
            state.finish_turn(Now { steady, utc: state.schedules.next().unwrap() });
            counts.extend(state.schedules.all().map(|set| (set.pushed, set.missed)));
            if steady == 3 {
                drop(state.cancel(&crate::model::JobRef::Id(1), &|_| true));
            }
        }
        assert_eq!(counts, [(1, 0), (1, 1), (2, 1)]);
    }

    #[test]
    fn d8_while_the_disk_is_full_schedules_push_nothing() {
        let mut state = QueueState::new(crate::Config::new().queue, 1);
        state.set_schedule(Now { steady: 1, utc: 1 }, ClientId::Process, daily("a", 1)).unwrap();
        let mut counts = Vec::new();
        for (steady, disk_full) in [(2, true), (3, false)] {
            let now = Now { steady, utc: state.schedules.next().unwrap() };
            assert!(state.due_push_bytes(now).is_some());
            state.set_disk_full(disk_full);
            state.finish_turn(now);
            assert_eq!(state.due_push_bytes(now), None);
            counts.extend(state.schedules.all().map(|set| (set.pushed, set.missed)));
        }
        assert_eq!(counts, [(0, 1), (1, 1)]);
    }

    #[test]
    fn s10_many_schedules_at_once_come_a_slice_at_a_time() {
        let mut config = crate::Config::new().queue;
        config.slice_max = 2 * CAME_COST;
        let mut state = QueueState::new(config, 1);
        let set = |state: &mut QueueState, name: &str| {
            state
                .set_schedule(Now { steady: 1, utc: 1 }, ClientId::Process, daily(name, 1))
                .unwrap();
        };
        ["a", "b", "c"].into_iter().for_each(|name| set(&mut state, name));
        let later = Now { steady: 2, utc: state.schedules.next().unwrap() };
        let mut came = Vec::new();
        for _ in 0..3 {
            state.finish_turn(later);
            came.push(state.schedules.all().filter(|set| set.pushed == 1).count());
        }
        assert_eq!(came, [2, 3, 3]);
    }

    #[test]
    fn s10_a_client_sets_no_more_schedules_than_it_leaves_for_others() {
        let mut config = crate::Config::new().queue;
        config.schedules_max = 4;
        let mut state = QueueState::new(config, 1);
        let mut set = |client, name| {
            let now = Now { steady: 1, utc: 1 };
            state.set_schedule(now, client, daily(name, 1)).map(drop)
        };
        let [one, other] = [1, 2].map(ClientId::User);
        assert!(set(one, "a").is_ok() && set(one, "b").is_ok());
        let refusal = set(one, "c").unwrap_err();
        assert!(matches!(refusal, QueueError::Limit { name: "queue.schedules_max", max: 4, .. }));
        assert!(set(other, "c").is_ok());
        assert!(set(one, "a").is_ok(), "its own it may replace");
        assert!(set(other, "b").is_ok(), "a schedule of another becomes its own");
        assert!(set(one, "d").is_err());
        assert!(set(ClientId::Process, "d").is_ok());
        assert!(set(ClientId::Process, "e").is_err());
    }
}
