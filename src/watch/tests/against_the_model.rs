//! Random sequences on a hub: every answer and every delivery is as promised.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::world::World;
use super::*;
use crate::model::Delivery as Policy;
use crate::store::tests::{cases, strategy};

#[derive(Debug, Clone)]
enum Step {
    Write(Box<KvRequest>),
    /// Everything that is older than this many revisions is compacted.
    Compact(u64),
    /// A wait of this owner, for events after this many revisions ago.
    Wait(u64, Option<u64>, Box<WaitRequest>),
    CancelWait(usize),
    OpenStream(u64),
    CloseStream(usize, usize),
    /// A watch from this many revisions ago.
    Watch(usize, u64, u64, Box<WatchRequest>),
    CancelWatch(usize, u64),
    Ready(usize),
    Show(usize),
    EndWatcher(usize, usize),
    /// This many milliseconds later.
    Later(u64),
    Turn,
}

pub(super) fn wait_request() -> impl Strategy<Value = WaitRequest> {
    let condition = prop_oneof![
        2 => Just(WaitCondition::Changed),
        1 => Just(WaitCondition::Exists),
        3 => Just(WaitCondition::Absent),
        1 => strategy::value().prop_map(WaitCondition::Equals),
        1 => strategy::value().prop_map(WaitCondition::Differs),
        2 => (0..30u64).prop_map(WaitCondition::ModRevisionAbove),
    ];
    let timeout = option::of((0..11_000u64).prop_map(Duration::from_millis));
    (strategy::range(), condition, timeout).prop_map(|(range, condition, timeout)| WaitRequest {
        range,
        condition,
        after: None,
        timeout,
    })
}

pub(super) fn watch_request() -> impl Strategy<Value = WatchRequest> {
    let from = select(vec![WatchFrom::Now, WatchFrom::Revision(0), WatchFrom::Snapshot]);
    let mostly = || prop::bool::weighted(0.8);
    let progress = option::weighted(0.3, (400..4_000u64).prop_map(Duration::from_millis));
    let delivery = select(vec![Policy::All, Policy::All, Policy::Latest]);
    (strategy::range(), from, mostly(), mostly(), any::<(bool, bool)>(), progress, delivery)
        .prop_map(|(range, from, puts, deletes, (previous, keys_only), progress, delivery)| {
            WatchRequest { range, from, puts, deletes, previous, keys_only, progress, delivery }
        })
}

fn step() -> impl Strategy<Value = Step> {
    let back = || prop_oneof![1 => 0..2u64, 9 => 2..18u64, 1 => Just(u64::MAX)];
    prop_oneof![
        12 => strategy::write().prop_map(|request| Step::Write(Box::new(request))),
        1 => (0..12u64).prop_map(Step::Compact),
        6 => (0..3u64, option::weighted(0.6, back()), wait_request())
            .prop_map(|(owner, back, request)| Step::Wait(owner, back, Box::new(request))),
        1 => any::<usize>().prop_map(Step::CancelWait),
        1 => (0..3u64).prop_map(Step::OpenStream),
        1 => (any::<usize>(), 1..3usize).prop_map(|(n, slice)| Step::CloseStream(n, slice)),
        6 => (any::<usize>(), 1..5u64, back(), watch_request())
            .prop_map(|(n, id, back, request)| Step::Watch(n, id, back, Box::new(request))),
        2 => (any::<usize>(), 1..5u64).prop_map(|(n, id)| Step::CancelWatch(n, id)),
        3 => any::<usize>().prop_map(Step::Ready),
        4 => (1..4usize).prop_map(Step::Show),
        1 => (any::<usize>(), 1..3usize).prop_map(|(n, limit)| Step::EndWatcher(n, limit)),
        2 => (0..3_000u64).prop_map(Step::Later),
        3 => Just(Step::Turn),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let bytes = select(vec![6, 1_000]);
    (1..5usize, 1..5usize, bytes, 2..14u64, 2..4usize).prop_map(
        |(slice_max, batch_events_max, batch_bytes_max, history_revisions_max, range_keys_max)| {
            let defaults = Config::new();
            Config {
                store: StoreConfig {
                    key_bytes_max: 3,
                    lease_ttl_max: Duration::from_secs(9),
                    history_revisions_max,
                    range_keys_max,
                    slice_max,
                    ..defaults.store
                },
                watch: WatchConfig {
                    watches_max: 12,
                    watches_per_connection_max: 6,
                    streams_max: 3,
                    wait_timeout_max: Duration::from_secs(10),
                    wait_timeout_default: Duration::from_secs(3),
                    batch_events_max,
                    batch_bytes_max,
                    progress_interval_min: Duration::from_millis(500),
                },
                ..defaults
            }
        },
    )
}

impl World {
    fn step(&mut self, step: Step) {
        // Backwards from 2 revisions after the current one.
        let current = self.model.revision();
        let ago =
            |back: u64| if back == u64::MAX { back } else { (current + 2).saturating_sub(back) };
        match step {
            Step::Write(request) => self.ask(*request),
            Step::Compact(back) => self.ask(KvRequest::Compact(current.saturating_sub(back))),
            Step::Wait(owner, back, request) => {
                self.wait(owner, WaitRequest { after: back.map(ago), ..*request });
            }
            Step::CancelWait(n) => self.cancel_wait(n),
            Step::OpenStream(owner) => self.open_stream(owner),
            Step::CloseStream(n, slice) => self.close_stream(n, slice),
            Step::Watch(n, id, back, mut request) => {
                if request.from == WatchFrom::Revision(0) {
                    request.from = WatchFrom::Revision(ago(back));
                }
                self.watch(n, id, *request);
            }
            Step::CancelWatch(n, id) => self.cancel_watch(n, id),
            Step::Ready(n) => self.ready(n),
            Step::Show(times) => {
                for _ in 0..times {
                    self.show();
                }
            }
            Step::EndWatcher(n, limit) => self.end_watcher(n, limit),
            Step::Later(ms) => {
                self.now += ms * 1_000;
                self.advance();
            }
            Step::Turn => self.advance(),
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn every_answer_and_delivery_is_as_promised(
        config in config(),
        steps in vec(step(), 1..120),
        stops in any::<bool>(),
        catches_up in prop::bool::weighted(0.8),
    ) {
        let mut world = World::new(config);
        world.open_stream(1);
        for step in steps {
            world.step(step);
        }
        if catches_up {
            world.catch_up();
        }
        world.end(stops);
    }
}
