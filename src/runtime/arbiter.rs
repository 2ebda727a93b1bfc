//! Checks for calls that start actors.

use actix_rt::{Arbiter, System};
use tokio::runtime::Handle;

use super::refusal;
use crate::error::Error;

/// Checks that the caller is a task of an actix arbiter, on which `call` starts other tasks.
///
/// # Errors
/// `InvalidArgument`, with what to do.
pub(crate) fn require_arbiter(call: &str) -> Result<(), Error> {
    if Arbiter::try_current().is_none() || Handle::try_current().is_err() {
        return Err(without_system(call));
    }
    // tokio offers no way to ask whether tasks can be spawned on the arbiter from here.
    std::panic::catch_unwind(|| actix_rt::spawn(async {})).map(drop).map_err(|_| {
        refusal(format!(
            "{call} was called in a task of `tokio::spawn`, which cannot start tasks of the arbiter; \
             call it outside that task, or spawn the task by `actix_rt::spawn`"
        ))
    })
}

/// Checks that the thread belongs to an actix system, in which `call` starts a thread.
///
/// # Errors
/// `InvalidArgument`, with what to do.
pub(crate) fn require_system(call: &str) -> Result<(), Error> {
    System::try_current().map(drop).ok_or_else(|| without_system(call))
}

fn without_system(call: &str) -> Error {
    refusal(format!(
        "{call} needs an actix system on the calling thread; call it in `#[actix::main]`, \
         `#[actix_web::main]` or `actix_rt::System::new().block_on(...)`, which beside a tokio \
         runtime runs on a thread of its own"
    ))
}
