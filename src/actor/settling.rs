//! [`Settling`]: settle requests whose results are being recorded.

use std::collections::HashMap;

use crate::environment::RandomState;
use slab::Slab;

use super::caller::Caller;
use crate::error::Error;
use crate::model::{JobReply, Reservation};
use crate::queue::SettleProgress;

/// Settle requests, until all their settlements are recorded.
#[derive(Default)]
pub(super) struct Settling {
    requests: Slab<SettleRequest>,
    /// The request of each settlement, and the settlement's index in it.
    places: HashMap<Reservation, (usize, usize), RandomState>,
}

struct SettleRequest {
    caller: Caller,
    answers: Vec<Option<Error>>,
    /// The number of settlements that are not recorded yet.
    left: usize,
}

/// The caller and the answer.
type CallerAnswer = (Caller, Result<JobReply, Error>);

impl Settling {
    /// Adds a request with the settlements that are complete; returns its answer if nothing is left to
    /// wait for.
    pub(super) fn begin(
        &mut self,
        caller: Caller,
        settled: Vec<(Reservation, Result<SettleProgress, Error>)>,
    ) -> Option<CallerAnswer> {
        let left =
            settled.iter().filter(|(_, it)| matches!(it, Ok(SettleProgress::Recording))).count();
        let number = self.requests.vacant_key();
        let answers = settled.into_iter().enumerate().map(|(place, (reservation, settled))| {
            if let Ok(SettleProgress::Recording) = settled {
                self.places.insert(reservation, (number, place));
            }
            settled.err()
        });
        let answers = answers.collect();
        if left == 0 {
            return Some((caller, Ok(JobReply::Settled(answers))));
        }
        self.requests.insert(SettleRequest { caller, answers, left });
        None
    }

    /// Notes the result of recording one settlement; returns the answer of its request if it was the
    /// last one.
    pub(super) fn end(
        &mut self,
        reservation: Reservation,
        error: Option<Error>,
    ) -> Option<CallerAnswer> {
        let (number, place) = self.places.remove(&reservation)?;
        let request = self.requests.get_mut(number)?;
        if let Some(answer) = request.answers.get_mut(place) {
            *answer = error;
        }
        request.left -= 1;
        if request.left > 0 {
            return None;
        }
        let SettleRequest { caller, answers, .. } = self.requests.remove(number);
        Some((caller, Ok(JobReply::Settled(answers))))
    }
}
