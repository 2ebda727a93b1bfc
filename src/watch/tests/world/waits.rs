//! Waits of [`World`]: the required answer of each.

use super::*;

/// Waits.
impl World {
    pub(in super::super) fn wait(&mut self, owner_id: u64, request: WaitRequest) {
        self.parties += 1;
        let address = self.parties;
        let expected = self.reasons_against_wait(&request);
        let result = self.hub.wait(self.now, &owner(owner_id), request.clone(), || address);
        if !expected.is_empty() {
            let error = result.expect_err("it must be refused");
            assert!(expected.contains(reason(&error)), "{error:?}, not {expected:?}");
            return;
        }
        let at_once = self.holds_now(&request);
        let after = self.searched_after(&request);
        match result {
            Ok(WaitStart::Answered(outcome)) => match at_once {
                Some(expected) => assert_eq!(outcome, expected),
                None => {
                    let event = self.first_met(&request, after).expect("what it was answered with");
                    assert_eq!(outcome, met(event));
                }
            },
            Ok(WaitStart::Parked(handle, revision)) => {
                let undecided = revision.is_none();
                assert!(undecided || at_once.is_none(), "it holds already");
                if let Some(revision) = revision {
                    assert!(revision <= self.model.revision());
                    let met = self.first_met(&request, after);
                    assert!(met.is_none_or(|event| event.revision() > revision), "considered");
                }
                let held = at_once.is_some();
                let timeout = request.timeout.unwrap_or(self.config.watch.wait_timeout_default);
                let deadline = self.now + timeout.as_micros() as Micros;
                let (owner, ended) = (owner_id, false);
                let waiting =
                    Waiting { handle, owner, request, after, deadline, ended, undecided, held };
                self.waits.insert(address, waiting);
            }
            Err(error) => {
                assert!(self.reasons_of_room(owner_id).contains(reason(&error)), "{error:?}");
                let looks = at_once.is_some() && !matches!(request.range, KeyRange::Key(_));
                assert!(at_once.is_none() || looks, "an answer needs no room");
            }
        }
    }

    pub(in super::super) fn cancel_wait(&mut self, n: usize) {
        let Some(address) = self.waits.keys().nth(n % self.waits.len().max(1)).copied() else {
            return;
        };
        let handle = self.waits.remove(&address).unwrap().handle;
        assert_eq!(self.hub.cancel_wait(handle), Some(address));
        assert_eq!(self.hub.cancel_wait(handle), None, "it is gone");
    }

    fn reasons_against_wait(&self, request: &WaitRequest) -> Reasons {
        let mut reasons = Reasons::new();
        self.model.refuse_range(&request.range, &mut reasons);
        if request.timeout.is_some_and(|timeout| timeout > self.config.watch.wait_timeout_max) {
            reasons.insert("watch.wait_timeout_max");
        }
        if let Some(after) = request.after {
            if after < self.model.oldest - 1 {
                reasons.insert("Compacted");
            }
            if after > self.model.revision() {
                reasons.insert("Future");
            }
        }
        reasons
    }

    /// Returns the answer to a wait that the current state gives.
    fn holds_now(&self, request: &WaitRequest) -> Option<WaitOutcome> {
        if request.after.is_some() {
            return None;
        }
        let revision = self.model.revision();
        let kvs = matching(self.model.keys_at(0), &request.range);
        let single = matches!(request.range, KeyRange::Key(_));
        let none = kvs.is_empty();
        let found = match &request.condition {
            WaitCondition::Changed => return None,
            WaitCondition::Absent if none => None,
            WaitCondition::Differs(_) if none && single => None,
            // If all of it is in the history, the first event is the answer.
            WaitCondition::ModRevisionAbove(above) if *above >= self.model.oldest - 1 => {
                return None;
            }
            condition => Some(kvs.iter().find(|kv| match condition {
                WaitCondition::Exists => true,
                WaitCondition::Equals(value) => kv.value == *value,
                WaitCondition::Differs(value) => kv.value != *value,
                WaitCondition::ModRevisionAbove(above) => kv.mod_revision > *above,
                _ => false,
            })?),
        };
        let event = found.map(|kv| Event { kv: kv.clone(), previous: None });
        Some(WaitOutcome::Met { revision, event })
    }

    /// Returns the revision after which events count.
    fn searched_after(&self, request: &WaitRequest) -> Revision {
        let (oldest, current) = (self.model.oldest, self.model.revision());
        match (request.after, &request.condition) {
            (Some(after), _) => after,
            (None, WaitCondition::ModRevisionAbove(above)) => (*above).clamp(oldest - 1, current),
            (None, _) => current,
        }
    }

    /// Returns the first event after `after` that meets the condition.
    pub(super) fn first_met(&self, request: &WaitRequest, after: Revision) -> Option<Event> {
        self.all_met(request, after).next().cloned()
    }

    /// Returns the events after `after` that meet the condition.
    fn all_met<'a>(
        &'a self,
        request: &'a WaitRequest,
        after: Revision,
    ) -> impl Iterator<Item = &'a Event> {
        let met = |event: &&Event| {
            let put = event.kind() == EventKind::Put;
            match &request.condition {
                WaitCondition::Changed => true,
                WaitCondition::Exists => put,
                WaitCondition::Absent => {
                    let keys = self.model.keys_at(event.revision());
                    !put && matching(keys, &request.range).is_empty()
                }
                WaitCondition::Equals(value) => put && event.kv.value == *value,
                WaitCondition::Differs(value) => !put || event.kv.value != *value,
                WaitCondition::ModRevisionAbove(above) => event.revision() > *above,
            }
        };
        let later = self.model.log.iter().filter(move |event| event.revision() > after);
        later.filter(|event| request.range.contains(&event.kv.key)).filter(met)
    }

    /// Returns whether a wait that was parked before it had examined the whole state may get this
    /// answer: from any event after it, or from a later state.
    fn is_undecided_answer(&self, waiting: &Waiting, outcome: &WaitOutcome) -> bool {
        let request = &waiting.request;
        if self.all_met(request, waiting.after).any(|event| met(event.clone()) == *outcome) {
            return true;
        }
        let WaitOutcome::Met { revision, event: Some(event) } = outcome else { return false };
        let meets = match &request.condition {
            WaitCondition::Exists => true,
            WaitCondition::Equals(value) => event.kv.value == *value,
            WaitCondition::Differs(value) => event.kv.value != *value,
            WaitCondition::ModRevisionAbove(above) => event.kv.mod_revision > *above,
            WaitCondition::Changed | WaitCondition::Absent => false,
        };
        let there = matching(self.model.keys_at(*revision), &request.range);
        waiting.held && meets && there.contains(&event.kv) && event.previous.is_none()
    }

    pub(super) fn check_answer(&self, waiting: &Waiting, outcome: Result<WaitOutcome, StoreError>) {
        let first = self.first_met(&waiting.request, waiting.after);
        // A wait without an answer must not have missed anything before the revision it is to resume
        // from.
        let check_resume = |resume: Revision| {
            assert!(resume > waiting.after && resume <= self.model.revision() + 1, "{resume}");
            assert!(first.as_ref().is_none_or(|event| event.revision() >= resume), "{first:?}");
        };
        match outcome {
            Ok(outcome @ WaitOutcome::Met { .. }) if waiting.undecided => {
                assert!(self.is_undecided_answer(waiting, &outcome), "{outcome:?}");
            }
            Err(StoreError::Limit { name: "store.steps_max", .. }) => {
                assert!(waiting.undecided && (waiting.ended || self.now >= waiting.deadline));
            }
            Err(StoreError::Stopping { resume: None }) => assert!(waiting.undecided),
            Ok(outcome @ WaitOutcome::Met { .. }) => {
                assert_eq!(outcome, met(first.expect("what it was answered with")));
            }
            Ok(WaitOutcome::Timeout { revision }) => {
                assert!(self.now >= waiting.deadline);
                check_resume(revision + 1);
            }
            Err(StoreError::Overtaken { resume }) => {
                assert_eq!(resume, self.model.oldest);
                assert!(resume > waiting.after + 1);
            }
            Err(StoreError::EndedByOperator { resume }) => {
                assert!(waiting.ended);
                check_resume(resume);
            }
            Err(StoreError::Stopping { resume: Some(resume) }) => check_resume(resume),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn met(event: Event) -> WaitOutcome {
    WaitOutcome::Met { revision: event.revision(), event: Some(event) }
}
