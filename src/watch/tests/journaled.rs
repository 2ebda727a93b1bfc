//! A journaled hub against one that gets each write when it is durable: waits and watches cannot tell
//! the difference.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::against_the_model::{wait_request, watch_request};
use super::*;
use crate::store::Mark;
use crate::store::tests::{cases, strategy};

#[derive(Debug, Clone)]
enum Step {
    Write(Box<KvRequest>),
    /// A wait for events after this many revisions ago.
    Wait(Option<u64>, Box<WaitRequest>),
    Watch(u64, u64, Box<WatchRequest>),
    /// This many more writes become durable, in one commit.
    Commit(usize),
    Show,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => strategy::write().prop_map(|request| Step::Write(Box::new(request))),
        6 => (option::weighted(0.4, 0..9u64), wait_request())
            .prop_map(|(back, request)| Step::Wait(back, Box::new(request))),
        4 => (1..6u64, 0..9u64, watch_request())
            .prop_map(|(id, back, request)| Step::Watch(id, back, Box::new(request))),
        6 => (1..6usize).prop_map(Step::Commit),
        4 => Just(Step::Show),
    ]
}

struct Two {
    journaled: TestHub,
    stream: WatcherHandle,
    plain: TestHub,
    plain_stream: WatcherHandle,
    pending: VecDeque<(KvRequest, Mark)>,
    waits: u32,
}

impl Two {
    fn new() -> Self {
        let hub = |journaled| {
            let config = Config::new();
            let mut state = StoreState::new(config.store);
            state.set_journaled(journaled);
            TestHub::new(state, config.watch)
        };
        let (mut journaled, mut plain) = (hub(true), hub(false));
        let (stream, plain_stream) = (journaled.stream_of(0), plain.stream_of(0));
        let (pending, waits) = (VecDeque::new(), 0);
        Self { journaled, stream, plain, plain_stream, pending, waits }
    }

    fn step(&mut self, step: Step) {
        let is_write = matches!(step, Step::Write(_));
        let visible = self.plain.state().revision();
        match step {
            Step::Write(request) => self.write(*request),
            Step::Wait(back, request) => {
                self.waits += 1;
                let after = back.map(|back| (visible + 1).saturating_sub(back));
                let request = WaitRequest { after, ..*request };
                let address = self.waits;
                let wait =
                    |hub: &mut TestHub| match hub.wait(0, &owner(1), request.clone(), || address) {
                        Ok(WaitStart::Answered(outcome)) => outcome_text(&outcome),
                        Ok(WaitStart::Parked(_, revision)) => format!("parked at {revision:?}"),
                        Err(error) => format!("{error:?}"),
                    };
                assert_eq!(wait(&mut self.journaled), wait(&mut self.plain));
            }
            Step::Watch(id, back, request) => {
                let mut request = *request;
                if request.from == WatchFrom::Revision(0) {
                    request.from = WatchFrom::Revision((visible + 2).saturating_sub(back));
                }
                let result = self.journaled.watch(0, self.stream, id, request.clone());
                assert_eq!(result, self.plain.watch(0, self.plain_stream, id, request));
            }
            Step::Commit(writes) => self.commit(writes),
            Step::Show => {}
        }
        // Not after each write, so that there is more to compare at once.
        if !is_write {
            self.compare();
        }
    }

    fn write(&mut self, request: KvRequest) {
        if let KvRequest::Txn(txn) = &request
            && txn.success.iter().chain(&txn.failure).any(reads_the_past)
        {
            // A revision that is not durable cannot be read as past.
            self.commit(usize::MAX);
        }
        let records = self.journaled.records().records();
        let _ = self.journaled.ask(request.clone());
        if self.journaled.records().records() > records {
            self.pending.push_back((request, self.journaled.state().mark()));
        }
    }

    fn commit(&mut self, writes: usize) {
        let durable: Vec<_> = self.pending.drain(..writes.min(self.pending.len())).collect();
        let Some((_, last)) = durable.last() else { return };
        self.journaled.show_up_to(*last);
        for (request, _) in durable {
            self.plain.ask(request).unwrap();
        }
    }

    fn compare(&mut self) {
        let seen = |hub: &mut TestHub| {
            let mut shown = Vec::new();
            while hub.must_advance(0) {
                hub.advance(0);
                shown.extend(hub.shown());
            }
            // The order in which different waits are answered by the same event is not promised.
            let mut answers = hub.answers();
            answers.sort();
            shown.sort_by_key(|it| it.split(':').next().map(str::to_owned));
            (answers, shown)
        };
        assert_eq!(seen(&mut self.journaled), seen(&mut self.plain));
    }
}

fn reads_the_past(op: &TxnOp) -> bool {
    match op {
        TxnOp::Get(get) => get.revision != 0,
        TxnOp::Range(range) => range.revision != 0,
        TxnOp::Set(_) | TxnOp::Delete(_) => false,
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn d1_waits_and_watches_go_by_what_is_durable(steps in vec(step(), 1..60)) {
        let mut two = Two::new();
        for step in steps {
            two.step(step);
        }
        two.commit(usize::MAX);
        two.compare();
    }
}
