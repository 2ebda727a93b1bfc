//! [`TurnTimer`]: the only timer of an actor that must run again when something is due.

use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, SpawnHandle};

use crate::environment;

/// The time of the actor's next turn, if no message comes before.
#[derive(Default)]
pub(super) struct TurnTimer {
    timer: Option<(SpawnHandle, Instant)>,
}

impl TurnTimer {
    /// Ensures that `turn` runs after `wait` (`None`: never), or before.
    pub(super) fn arm<A: Actor<Context = Context<A>>>(
        &mut self,
        ctx: &mut Context<A>,
        wait: Option<Duration>,
        turn: fn(&mut A, &mut Context<A>),
    ) {
        let Some(wait) = wait else { return };
        let at = environment::now() + wait.min(LOOK_AGAIN);
        if self.timer.is_some_and(|(_, fires)| fires <= at) {
            return;
        }
        if let Some((timer, _)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = Some((ctx.run_later(wait.min(LOOK_AGAIN), turn), at));
    }

    /// Notes that the timer has fired.
    pub(super) fn fired(&mut self) {
        self.timer = None;
    }
}

/// The time of day may be set ahead, so longer waits are cut into these.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
