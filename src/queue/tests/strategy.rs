//! Random requests over a handful of topics, keys and indexes, few enough that they collide all the
//! time.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// An event in the life of a queue.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Push {
        owner: u64,
        jobs: Vec<PushRequest>,
        wait: u64,
    },
    Reserve {
        owner: u64,
        topic: Blob,
        credits: u32,
        wait: u64,
        visibility: u64,
    },
    /// Settles one of all reservations so far; with `newest`, one of the last few.
    Settle {
        pick: usize,
        newest: bool,
        verdict: Verdict,
    },
    Touch {
        pick: usize,
        visibility: Option<u64>,
    },
    Progress {
        pick: usize,
    },
    /// Results that wait are recorded, or fail to be.
    Recorded(bool),
    Undeliver {
        pick: usize,
    },
    /// A connection is lost; or it ends and does not return.
    Gone {
        owner: u64,
        may_return: bool,
    },
    /// By a user who may work on topic `a` and, if `granted`, on `b`.
    Resume {
        owner: u64,
        user: u64,
        picks: Vec<usize>,
        granted: bool,
    },
    Cancel(u64),
    CancelIndex(Blob, Blob),
    Clear(Blob),
    Replay(Blob, Option<u64>),
    DeleteDead(Blob, Option<u64>),
    FreeIndex(Blob, Blob),
    /// With or without force.
    DeleteTopic(Blob, bool),
    Set(Blob, TopicSettings),
    Pause(Blob, bool),
    Schedule(u8),
    Later(u64),
    /// The time of day goes back.
    Back(u64),
    BeginSnapshot,
    Tell(usize),
    Restart,
}

fn topic() -> impl Strategy<Value = Blob> {
    select(vec!["a", "b"]).prop_map(Blob::from)
}

fn unique() -> impl Strategy<Value = Unique> {
    prop_oneof![
        2 => Just(Unique::Waiting),
        3 => Just(Unique::Unfinished),
        2 => (1..300u64).prop_map(|after| Unique::Finished(ms(after))),
    ]
}

fn backoff() -> impl Strategy<Value = Backoff> {
    prop_oneof![
        (0..60u64).prop_map(|pause| Backoff::Constant(ms(pause))),
        vec(0..90u64, 1..3).prop_map(|list| Backoff::List(list.into_iter().map(ms).collect())),
    ]
}

fn budget() -> impl Strategy<Value = Option<u32>> {
    option::weighted(0.6, 0..3u32)
}

pub(super) fn push_request() -> impl Strategy<Value = PushRequest> {
    let named = |share| option::weighted(share, select(vec!["i", "j"]).prop_map(Blob::from));
    let delay = prop_oneof![3 => Just(0), 2 => 1..120u64].prop_map(ms);
    let options = (
        named(0.3),
        unique(),
        named(0.5),
        prop_oneof![3 => Just(0u8), 1 => 0..4u8],
        delay,
        budget(),
        budget(),
        option::weighted(0.3, backoff()),
    );
    (topic(), 0..4usize, options).prop_map(|(topic, bytes, options)| {
        let (index, unique, order_key, priority, delay, retry_max, loss_max, backoff) = options;
        let payload = "x".repeat(bytes).into();
        let options =
            PushOptions { index, unique, order_key, priority, delay, retry_max, loss_max, backoff };
        PushRequest { topic, payload, options }
    })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let error = || "wrong".to_owned();
    prop_oneof![
        5 => (0..4usize).prop_map(|bytes| Verdict::Done { output: "o".repeat(bytes).into() }),
        5 => option::weighted(0.4, 0..60u64)
            .prop_map(move |after| Verdict::Retry { after: after.map(ms), error: error() }),
        1 => Just(Verdict::Fail { error: "hopeless".to_owned() }),
        2 => (0..60u64).prop_map(|after| Verdict::Snooze { after: ms(after) }),
        2 => Just(Verdict::Release),
    ]
}

pub(super) fn settings() -> impl Strategy<Value = TopicSettings> {
    let rate = (1..4u32, 10..200u64, 1..4u32).prop_map(|(jobs, per, burst)| Rate {
        jobs,
        per: ms(per),
        burst,
    });
    let limits = (option::weighted(0.4, 1..4u32), option::weighted(0.3, rate));
    let room = (option::weighted(0.4, 1..8u64), option::weighted(0.3, 1..20u64));
    let order = (option::weighted(0.5, 1..4u32), any::<bool>());
    let budgets = (budget(), budget(), option::weighted(0.3, backoff()));
    (limits, room, order, budgets).prop_map(|(limits, room, order, budgets)| TopicSettings {
        concurrency: limits.0,
        rate: limits.1,
        jobs_max: room.0,
        bytes_max: room.1,
        retry_max: budgets.0,
        loss_max: budgets.1,
        backoff: budgets.2,
        order_limit: order.0,
        order_retry: if order.1 { OrderRetry::Skip } else { OrderRetry::Block },
    })
}

fn op() -> impl Strategy<Value = Op> {
    let owner = || 1..4u64;
    let pick = any::<usize>;
    let wait = || prop_oneof![2 => Just(0), 1 => 1..200u64];
    let handling = prop_oneof![
        14 => (owner(), vec(push_request(), 1..4), wait())
            .prop_map(|(owner, jobs, wait)| Op::Push { owner, jobs, wait }),
        12 => (owner(), topic(), 1..4u32, wait(), 1..400u64).prop_map(
            |(owner, topic, credits, wait, visibility)| {
                Op::Reserve { owner, topic, credits, wait, visibility }
            }
        ),
        16 => (pick(), proptest::bool::weighted(0.8), verdict())
            .prop_map(|(pick, newest, verdict)| Op::Settle { pick, newest, verdict }),
        5 => proptest::bool::weighted(0.8).prop_map(Op::Recorded),
        2 => (pick(), option::of(1..300u64))
            .prop_map(|(pick, visibility)| Op::Touch { pick, visibility }),
        1 => pick().prop_map(|pick| Op::Progress { pick }),
        1 => pick().prop_map(|pick| Op::Undeliver { pick }),
        3 => (owner(), proptest::bool::weighted(0.7))
            .prop_map(|(owner, may_return)| Op::Gone { owner, may_return }),
        6 => (owner(), 0..3u64, vec(pick(), 0..4), proptest::bool::weighted(0.9)).prop_map(
            |(owner, user, picks, granted)| Op::Resume { owner, user, picks, granted }
        ),
    ];
    let managing = prop_oneof![
        2 => (1..30u64).prop_map(Op::Cancel),
        1 => (topic(), select(vec!["i", "j"]))
            .prop_map(|(topic, index)| Op::CancelIndex(topic, index.into())),
        1 => topic().prop_map(Op::Clear),
        3 => (topic(), option::weighted(0.3, 1..30u64))
            .prop_map(|(topic, id)| Op::Replay(topic, id)),
        1 => (topic(), option::weighted(0.5, 1..30u64))
            .prop_map(|(topic, id)| Op::DeleteDead(topic, id)),
        2 => (topic(), select(vec!["i", "j"]))
            .prop_map(|(topic, index)| Op::FreeIndex(topic, index.into())),
        1 => (topic(), any::<bool>()).prop_map(|(topic, force)| Op::DeleteTopic(topic, force)),
        3 => (topic(), settings()).prop_map(|(topic, settings)| Op::Set(topic, settings)),
        2 => (topic(), proptest::bool::weighted(0.3))
            .prop_map(|(topic, paused)| Op::Pause(topic, paused)),
        1 => (0..4u8).prop_map(Op::Schedule),
    ];
    let passing = prop_oneof![
        8 => (0..150u64).prop_map(Op::Later),
        1 => (1..5_000u64).prop_map(Op::Back),
    ];
    let keeping = prop_oneof![
        2 => Just(Op::BeginSnapshot),
        6 => (1..5usize).prop_map(Op::Tell),
        1 => Just(Op::Restart),
    ];
    prop_oneof![12 => handling, 3 => managing, 3 => passing, 2 => keeping]
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..120)
}
