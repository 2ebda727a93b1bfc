//! [`SerializeWire`]: values of the model under the names that `docs/protocol.md` gives their fields, for
//! printing without a request.

use serde::Serialize;

use super::WireKeyValue;
use super::invocation::WireService;
use super::job::WireReservation;
use super::job_reply::{WireJobInfo, WirePushed, WireReserved};
use super::key::WireEvent;
use super::reply::WireWatcher;
use super::topic::{WireScheduleInfo, WireTopic};
use crate::model::{
    Event, JobInfo, KeyValue, Pushed, Reservation, ReservedJob, ScheduleInfo, ServiceInfo,
    TopicInfo, WatcherInfo,
};

/// A value that serializes as its wire type does.
pub(crate) trait SerializeWire {
    /// Returns the wire type of the value.
    fn shown(&self) -> impl Serialize;
}

macro_rules! shown {
    ($($model:ty => $wire:ident,)*) => {
        $(impl SerializeWire for $model {
            fn shown(&self) -> impl Serialize {
                $wire::from(self)
            }
        })*
    };
}

shown! {
    JobInfo => WireJobInfo,
    KeyValue => WireKeyValue,
    Pushed => WirePushed,
    Reservation => WireReservation,
    ReservedJob => WireReserved,
    ScheduleInfo => WireScheduleInfo,
    ServiceInfo => WireService,
    TopicInfo => WireTopic,
    WatcherInfo => WireWatcher,
}

impl SerializeWire for Event {
    fn shown(&self) -> impl Serialize {
        WireEvent::of(self, true, false)
    }
}
