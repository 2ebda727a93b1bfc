//! [`Settling`]: requests to settle whose results are being recorded.

use std::collections::HashMap;

use crate::environment::RandomState;
use slab::Slab;

use super::caller::Caller;
use crate::error::Error;
use crate::model::{JobReply, Reservation};
use crate::queue::Settled;

/// Requests to settle, until all that they settle is recorded.
#[derive(Default)]
pub(super) struct Settling {
    requests: Slab<Request>,
    /// Of which request a settlement is, and its place there.
    places: HashMap<Reservation, (usize, usize), RandomState>,
}

struct Request {
    caller: Caller,
    answers: Vec<Option<Error>>,
    /// How many are not recorded yet.
    left: usize,
}

/// Who asked, and the answer.
type Answered = (Caller, Result<JobReply, Error>);

impl Settling {
    /// Takes a request, as far as it is settled; gives its answer if nothing is left to wait for.
    pub(super) fn begin(
        &mut self,
        caller: Caller,
        settled: Vec<(Reservation, Result<Settled, Error>)>,
    ) -> Option<Answered> {
        let left = settled.iter().filter(|(_, it)| matches!(it, Ok(Settled::Recording))).count();
        let number = self.requests.vacant_key();
        let answers = settled.into_iter().enumerate().map(|(place, (reservation, settled))| {
            if let Ok(Settled::Recording) = settled {
                self.places.insert(reservation, (number, place));
            }
            settled.err()
        });
        let answers = answers.collect();
        if left == 0 {
            return Some((caller, Ok(JobReply::Settled(answers))));
        }
        self.requests.insert(Request { caller, answers, left });
        None
    }

    /// One is recorded, or why not; gives the answer of its request if it was the last.
    pub(super) fn end(
        &mut self,
        reservation: Reservation,
        error: Option<Error>,
    ) -> Option<Answered> {
        let (number, place) = self.places.remove(&reservation)?;
        let request = self.requests.get_mut(number)?;
        if let Some(answer) = request.answers.get_mut(place) {
            *answer = error;
        }
        request.left -= 1;
        if request.left > 0 {
            return None;
        }
        let Request { caller, answers, .. } = self.requests.remove(number);
        Some((caller, Ok(JobReply::Settled(answers))))
    }
}
