//! Topics and schedules on the wire.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{WireBackoff, WireJob};
use super::millis;
use crate::model::{
    Backoff, Blob, OrderRetry, Rate, Schedule, ScheduleInfo, TopicInfo, TopicSettings,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireSettings {
    concurrency: Option<u32>,
    rate: Option<WireRate>,
    jobs_max: Option<u64>,
    bytes_max: Option<u64>,
    retry_max: Option<u32>,
    loss_max: Option<u32>,
    backoff: Option<WireBackoff>,
    order_limit: Option<u32>,
    /// false: the other jobs of an order key wait for a retry; true: they run before it.
    order_skips: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireRate {
    jobs: u32,
    per_ms: u64,
    burst: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireTopic<'a> {
    #[serde(borrow, with = "serde_bytes")]
    name: &'a [u8],
    settings: WireSettings,
    paused: bool,
    ready: u64,
    delayed: u64,
    reserved: u64,
    dead: u64,
    bytes: u64,
    pushed_total: u64,
    done_total: u64,
    dead_total: u64,
    cancelled_total: u64,
    evicted_total: u64,
    oldest_ms: u64,
    pushed_recent: u64,
    finished_recent: u64,
    waiting_workers: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireSchedule<'a> {
    #[serde(borrow, with = "serde_bytes")]
    name: &'a [u8],
    #[serde(borrow)]
    cron: &'a str,
    #[serde(borrow)]
    timezone: &'a str,
    #[serde(borrow)]
    push: WireJob<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireScheduleInfo<'a> {
    #[serde(borrow)]
    schedule: WireSchedule<'a>,
    next: Option<u64>,
    pushed: u64,
    missed: u64,
}

impl From<&TopicSettings> for WireSettings {
    fn from(settings: &TopicSettings) -> Self {
        Self {
            concurrency: settings.concurrency,
            rate: settings.rate.map(WireRate::from),
            jobs_max: settings.jobs_max,
            bytes_max: settings.bytes_max,
            retry_max: settings.retry_max,
            loss_max: settings.loss_max,
            backoff: settings.backoff.as_ref().map(WireBackoff::from),
            order_limit: settings.order_limit,
            order_skips: settings.order_retry == OrderRetry::Skip,
        }
    }
}

impl From<WireSettings> for TopicSettings {
    fn from(wire: WireSettings) -> Self {
        Self {
            concurrency: wire.concurrency,
            rate: wire.rate.map(Rate::from),
            jobs_max: wire.jobs_max,
            bytes_max: wire.bytes_max,
            retry_max: wire.retry_max,
            loss_max: wire.loss_max,
            backoff: wire.backoff.map(Backoff::from),
            order_limit: wire.order_limit,
            order_retry: if wire.order_skips { OrderRetry::Skip } else { OrderRetry::Block },
        }
    }
}

impl From<Rate> for WireRate {
    fn from(rate: Rate) -> Self {
        Self { jobs: rate.jobs, per_ms: millis(rate.per), burst: rate.burst }
    }
}

impl From<WireRate> for Rate {
    fn from(wire: WireRate) -> Self {
        Self { jobs: wire.jobs, per: Duration::from_millis(wire.per_ms), burst: wire.burst }
    }
}

impl<'a> From<&'a TopicInfo> for WireTopic<'a> {
    fn from(topic: &'a TopicInfo) -> Self {
        Self {
            name: &topic.name,
            settings: (&topic.settings).into(),
            paused: topic.paused,
            ready: topic.ready,
            delayed: topic.delayed,
            reserved: topic.reserved,
            dead: topic.dead,
            bytes: topic.bytes,
            pushed_total: topic.pushed_total,
            done_total: topic.done_total,
            dead_total: topic.dead_total,
            cancelled_total: topic.cancelled_total,
            evicted_total: topic.evicted_total,
            oldest_ms: millis(topic.oldest),
            pushed_recent: topic.pushed_recent,
            finished_recent: topic.finished_recent,
            waiting_workers: topic.waiting_workers,
        }
    }
}

impl From<WireTopic<'_>> for TopicInfo {
    fn from(wire: WireTopic<'_>) -> Self {
        Self {
            name: Blob::from(wire.name),
            settings: wire.settings.into(),
            paused: wire.paused,
            ready: wire.ready,
            delayed: wire.delayed,
            reserved: wire.reserved,
            dead: wire.dead,
            bytes: wire.bytes,
            pushed_total: wire.pushed_total,
            done_total: wire.done_total,
            dead_total: wire.dead_total,
            cancelled_total: wire.cancelled_total,
            evicted_total: wire.evicted_total,
            oldest: Duration::from_millis(wire.oldest_ms),
            pushed_recent: wire.pushed_recent,
            finished_recent: wire.finished_recent,
            waiting_workers: wire.waiting_workers,
        }
    }
}

impl<'a> From<&'a Schedule> for WireSchedule<'a> {
    fn from(schedule: &'a Schedule) -> Self {
        Self {
            name: &schedule.name,
            cron: &schedule.cron,
            timezone: &schedule.timezone,
            push: (&schedule.push).into(),
        }
    }
}

impl From<WireSchedule<'_>> for Schedule {
    fn from(wire: WireSchedule<'_>) -> Self {
        Self {
            name: Blob::from(wire.name),
            cron: wire.cron.to_owned(),
            timezone: wire.timezone.to_owned(),
            push: wire.push.into(),
        }
    }
}

impl<'a> From<&'a ScheduleInfo> for WireScheduleInfo<'a> {
    fn from(info: &'a ScheduleInfo) -> Self {
        Self {
            schedule: (&info.schedule).into(),
            next: info.next,
            pushed: info.pushed,
            missed: info.missed,
        }
    }
}

impl From<WireScheduleInfo<'_>> for ScheduleInfo {
    fn from(wire: WireScheduleInfo<'_>) -> Self {
        Self {
            schedule: wire.schedule.into(),
            next: wire.next,
            pushed: wire.pushed,
            missed: wire.missed,
        }
    }
}
