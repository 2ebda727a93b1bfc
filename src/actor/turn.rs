//! [`TurnTimer`]: the only timer of an actor that must run again when something is due.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};

use super::clock::{Clock, micros};
use crate::environment;
use crate::time::Micros;

/// The time of the actor's next turn, if no message comes before.
#[derive(Default)]
pub(super) struct TurnTimer {
    timer: Option<(SpawnHandle, Micros)>,
}

impl TurnTimer {
    /// Sees to it that `turn` is taken `wait` after `now` (`None`: never), or before.
    pub(super) fn arm<A: Actor<Context = Context<A>>>(
        &mut self,
        ctx: &mut Context<A>,
        clock: &Clock,
        now: Micros,
        wait: Option<Duration>,
        turn: fn(&mut A, &mut Context<A>),
    ) {
        let Some(wait) = wait else { return };
        let wait = wait.min(LOOK_AGAIN);
        let at = now.saturating_add(micros(wait));
        if self.timer.is_some_and(|(_, fires)| fires <= at) {
            return;
        }
        if let Some((timer, _)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        // A timer counts from now, not from the last reading.
        let left = at.saturating_sub(clock.steady(environment::now()));
        self.timer = Some((ctx.run_later(Duration::from_micros(left), turn), at));
    }

    /// Notes that the timer has fired.
    pub(super) fn fired(&mut self) {
        self.timer = None;
    }
}

/// The time of day may be set ahead, so longer waits are cut into these.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
