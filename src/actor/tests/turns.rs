//! Turns: one message does not keep others waiting.

use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};

use super::*;
use crate::actor::AnswerSink;
use crate::actor::message::{
    Done, JobTask, JobTasks, OwnerGone, Requests, StopStore, Task, TaskAnswer, TaskAnswers,
    TaskRequest,
};
use crate::fair::ClientId;
use crate::model::{JobRequest, KeyBuffer, PushOptions, PushRequest, ReserveRequest};
use crate::watch::WatchOwner;
use crate::{
    Details, ErrorCode, Jobs as _, KeyRange, RangeRequest, Reply, WaitRequest, WatchItem,
    WatchRequest,
};

struct Nowhere;

impl AnswerSink for Nowhere {
    fn take(&self, _: Vec<(u64, Result<Done, Error>)>) {}
}

fn message(connection: u64, requests: Vec<StoreRequest>) -> Requests {
    let works = requests.into_iter().map(|request| {
        let task = Task::store(CallOptions::default(), request);
        TaskRequest { id: 1, deadline: None, task }
    });
    let owner = Arc::new(WatchOwner::unlimited(connection, String::new()));
    let (works, sink) = (works.collect(), Arc::new(Nowhere));
    let keys = KeyBuffer::default();
    Requests { owner, works, keys, sink, restriction: None, replies: None }
}

fn is_answered(TaskAnswers { done: answers, .. }: &TaskAnswers, requests: usize) -> bool {
    let done = |answer: &TaskAnswer| matches!(answer, TaskAnswer::Now(Ok(_)));
    answers.len() == requests && answers.iter().all(done)
}

/// Each turn executes one request here: the test counts turns, not time.
#[actix_rt::test]
async fn s10_others_have_their_turn_between_the_requests_of_one_message() {
    const HEAVY: usize = 500;
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let wakeful = Wakeful::start(config).unwrap();
    wakeful.set(SetRequest::new("a", "1")).await.unwrap();
    let range = || KvRequest::Range(RangeRequest::new(KeyRange::all())).into();
    let store = wakeful.store().clone();
    let heavy = store.send(message(1, (0..HEAVY).map(|_| range()).collect()));
    let heavy = actix_rt::spawn(async move { heavy.await.unwrap() });
    for _ in 0..20 {
        let answers = within(store.send(message(2, vec![get("a")]))).await.unwrap();
        assert!(is_answered(&answers, 1));
        assert!(!heavy.is_finished(), "all of it was done in a turn of others");
    }
    let answers = within(heavy).await.unwrap();
    assert!(is_answered(&answers, HEAVY));
    wakeful.stop().await;
}

/// What a message that takes several turns wrote in the first may be durable before its last turn.
#[actix_rt::test]
async fn s10_a_message_that_takes_several_turns_is_answered_when_all_of_it_is_durable() {
    let disk = FaultyDisk::default();
    let mut slow = super::config(Durability::Fsync);
    slow.rpc.turn_max = Duration::ZERO;
    let wakeful = open_with(&disk, slow);
    let (sender, mut answered) = tokio::sync::mpsc::unbounded_channel();
    struct Told(tokio::sync::mpsc::UnboundedSender<usize>);
    impl AnswerSink for Told {
        fn take(&self, answers: Vec<(u64, Result<Done, Error>)>) {
            let ok = |(_, answer): &(u64, Result<Done, Error>)| {
                matches!(answer, Ok(Done::Reply(CallReply { reply: Reply::Set(_), .. })))
            };
            assert!(answers.iter().all(ok));
            let _ = self.0.send(answers.len());
        }
    }
    let mut requests = vec![set("a")];
    requests.extend((0..40).map(|_| get("b")));
    let mut message = message(1, requests);
    message.sink = Arc::new(Told(sender));
    let TaskAnswers { done: answers, .. } = within(wakeful.store().send(message)).await.unwrap();
    let withheld = answers.iter().filter(|answer| matches!(answer, TaskAnswer::Withheld)).count();
    assert_eq!((answers.len(), withheld), (41, 1));
    assert_eq!(within(answered.recv()).await, Some(1));
    wakeful.stop().await;
}

/// Counts the answers to requests to the queue.
struct Counted(tokio::sync::mpsc::UnboundedSender<Result<Done, Error>>);

impl AnswerSink for Counted {
    fn take(&self, answers: Vec<(u64, Result<Done, Error>)>) {
        for (_, answer) in answers {
            let _ = self.0.send(answer);
        }
    }
}

fn job_message(
    requests: Vec<JobRequest>,
) -> (JobTasks, tokio::sync::mpsc::UnboundedReceiver<Result<Done, Error>>) {
    let (sender, answers) = tokio::sync::mpsc::unbounded_channel();
    let work = |(id, request)| JobTask { id, deadline: None, durability: None, request };
    let works = (1..).zip(requests).map(work).collect();
    let sink = Arc::new(Counted(sender));
    let client = ClientId::Process;
    (JobTasks { owner: 1, works, sink, restriction: None, user: 0, client }, answers)
}

#[actix_rt::test]
async fn s10_the_store_has_its_turn_between_the_requests_of_one_message_to_the_queue() {
    const PUSHES: usize = 2_000;
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let wakeful = Wakeful::start(config).unwrap();
    let push = || {
        let jobs = vec![PushRequest::new("t", "p")];
        JobRequest::Push { jobs, wait: Duration::ZERO }
    };
    let (asked, mut answers) = job_message((0..PUSHES).map(|_| push()).collect());
    wakeful.queue().do_send(asked);
    for _ in 0..20 {
        within(wakeful.store().send(message(2, vec![get("a")]))).await.unwrap();
        assert!(answers.len() < PUSHES, "all of it was done in a turn of others");
    }
    for _ in 0..PUSHES {
        assert!(within(answers.recv()).await.unwrap().is_ok());
    }
    wakeful.stop().await;
}

/// Regression: the wait was counted from the begin of the turn, so that it ended before the deadline by as
/// much as the earlier requests of the message took.
#[actix_rt::test]
async fn r2_a_request_to_the_queue_that_waits_is_answered_at_its_deadline_and_not_before() {
    let mut config = Config::new();
    config.rpc.turn_max = Duration::from_secs(60);
    let wakeful = Wakeful::start(config).unwrap();
    let push = || {
        let jobs = vec![PushRequest::new("t", "p"); 1_000];
        JobRequest::Push { jobs, wait: Duration::ZERO }
    };
    let waits = || {
        vec![
            JobRequest::Reserve(ReserveRequest { wait: None, ..ReserveRequest::new("empty") }),
            JobRequest::Outcomes { topic: "t".into(), after: None, limit: 1, wait: None },
        ]
    };
    for wait in waits() {
        // The turn has taken long when it comes to the request that waits.
        let mut requests: Vec<JobRequest> = (0..10).map(|_| push()).collect();
        requests.push(wait);
        let (mut message, mut answers) = job_message(requests);
        let deadline = Instant::now() + Duration::from_secs(1);
        message.works[10].deadline = Some(deadline);
        wakeful.queue().do_send(message);
        for _ in 0..10 {
            assert!(within(answers.recv()).await.unwrap().is_ok());
        }
        let answered = async {
            while answers.is_empty() {
                // Each is a turn that looks for what is due.
                wakeful.topics().await.unwrap();
            }
        };
        within(answered).await;
        assert!(Instant::now() >= deadline);
    }
    wakeful.stop().await;
}

#[actix_rt::test]
async fn s10_what_a_connection_asked_for_before_it_went_is_done_before_it_is_gone() {
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let wakeful = Wakeful::start(config).unwrap();
    for _ in 0..20 {
        wakeful.push("t", "p", PushOptions::default()).await.unwrap();
    }
    let reserve = || {
        JobRequest::Reserve(ReserveRequest {
            wait: Some(Duration::ZERO),
            ..ReserveRequest::new("t")
        })
    };
    let (asked, mut answers) = job_message((0..20).map(|_| reserve()).collect());
    wakeful.queue().do_send(asked);
    wakeful.queue().do_send(OwnerGone { owner: 1, may_return: false });
    for _ in 0..20 {
        assert!(within(answers.recv()).await.unwrap().is_ok());
    }
    let topics = wakeful.topics().await.unwrap();
    assert_eq!((topics[0].ready, topics[0].reserved), (20, 0), "nobody holds a job");
    wakeful.stop().await;
}

/// Each turn notifies a slice of the watchers here: look-ups of others come in between, requests that
/// must come after wait.
#[actix_rt::test]
async fn s10_look_ups_are_answered_while_very_many_watchers_are_told_of_an_event() {
    const WATCHES: u64 = 60_000;
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let wakeful = Wakeful::start(config).unwrap();
    let store = wakeful.store().clone();
    let mut watching = message(1, Vec::new());
    let outlet = crate::actor::Outlet::Stream(Box::new(|_, _| {}));
    let open = Task::OpenStream { outlet, credit: usize::MAX };
    let watch = |watch_id| Task::Watch {
        stream: crate::actor::message::StreamRef::OpenedBy(0),
        watch_id,
        request: Box::new(crate::WatchRequest::new(KeyRange::key("a"))),
    };
    let tasks = std::iter::once(open).chain((0..WATCHES).map(watch));
    watching.works = tasks.map(|task| TaskRequest { id: 1, deadline: None, task }).collect();
    let answers = within(store.send(watching)).await.unwrap();
    assert!(is_answered(&answers, WATCHES as usize + 1));

    let answers = within(store.send(message(2, vec![set("a"), get("a")]))).await.unwrap();
    assert!(is_answered(&answers, 2));
    let later = store.send(message(3, vec![get("a"), set("b"), get("b")]));
    let later = actix_rt::spawn(async move { later.await.unwrap() });
    for _ in 0..4 {
        let answers = within(store.send(message(4, vec![get("a")]))).await.unwrap();
        assert!(is_answered(&answers, 1));
        assert!(!later.is_finished(), "all were told in a turn of others");
    }
    assert!(is_answered(&within(later).await.unwrap(), 3));
    wakeful.stop().await;
}

/// Each turn executes a slice here: look-ups of others come in between and show the state before; the
/// next requests of the same connection come after.
async fn a_large_delete_is_done_in_turns(wakeful: Wakeful) {
    const KEYS: usize = 40_000;
    for first in (0..KEYS).step_by(500) {
        let sets = (first..first + 500)
            .map(|number| crate::TxnOp::Set(SetRequest::new(format!("k{number:05}"), "v")));
        let txn = crate::TxnRequest { success: sets.collect(), ..Default::default() };
        wakeful.txn(txn).await.unwrap();
    }
    let store = wakeful.store().clone();
    let delete = || KvRequest::Delete(crate::DeleteRequest::new(KeyRange::prefix("k"))).into();
    let (sink, mut withheld) = counted();
    let mut asked = message(1, vec![delete(), get("k00000"), set("k00000")]);
    asked.sink = sink;
    let deleting = store.clone();
    let deleting = actix_rt::spawn(async move { deleting.send(asked).await.unwrap() });
    let mut seen = 0;
    loop {
        let TaskAnswers { done: answers, .. } =
            within(store.send(message(2, vec![get("k39999")]))).await.unwrap();
        match &answers[0] {
            TaskAnswer::Now(Ok(Done::Reply(CallReply { reply: Reply::Get(it), .. }))) => {
                if it.kv.is_none() {
                    break;
                }
                seen += usize::from(!deleting.is_finished());
            }
            // It shows something that is not durable yet.
            TaskAnswer::Withheld => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(seen >= 8, "{seen} look-ups in between");
    let TaskAnswers { done: answers, .. } = within(deleting).await.unwrap();
    let mut replies = Vec::new();
    for answer in answers {
        replies.push(match answer {
            TaskAnswer::Now(answer) => answer.unwrap(),
            TaskAnswer::Withheld => within(withheld.recv()).await.unwrap().unwrap(),
            TaskAnswer::Appended => panic!("there is no buffer of replies"),
        });
    }
    let replies = replies.iter().map(|done| match done {
        Done::Reply(CallReply { reply: Reply::Delete(it), .. }) => it.deleted as usize,
        Done::Reply(CallReply { reply: Reply::Get(it), .. }) => usize::from(it.kv.is_some()),
        Done::Reply(CallReply { reply: Reply::Set(it), .. }) => it.revision as usize,
        other => panic!("{other:?}"),
    });
    // The transactions, the delete, the set.
    assert_eq!(replies.collect::<Vec<_>>(), [KEYS, 0, 1 + KEYS / 500 + 1 + 1]);
    let left = wakeful.range(RangeRequest::new(KeyRange::prefix("k"))).await.unwrap();
    assert_eq!(left.kvs.len(), 1);
    // A caller in this process waits for its own write.
    for first in (0..2_000).step_by(500) {
        let sets = (first..first + 500)
            .map(|number| crate::TxnOp::Set(SetRequest::new(format!("k{number:05}"), "v")));
        let txn = crate::TxnRequest { success: sets.collect(), ..Default::default() };
        wakeful.txn(txn).await.unwrap();
    }
    assert_eq!(within(wakeful.delete(KeyRange::prefix("k"))).await.unwrap().deleted, 2_000);
    wakeful.stop().await;
}

fn counted() -> (Arc<Counted>, tokio::sync::mpsc::UnboundedReceiver<Result<Done, Error>>) {
    let (sender, answers) = tokio::sync::mpsc::unbounded_channel();
    (Arc::new(Counted(sender)), answers)
}

#[actix_rt::test]
async fn s10_look_ups_are_answered_while_a_large_write_is_done() {
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    a_large_delete_is_done_in_turns(Wakeful::start(config).unwrap()).await;
}

#[actix_rt::test]
async fn s10_look_ups_are_answered_while_a_large_durable_write_is_done() {
    let disk = FaultyDisk::default();
    let mut config = Config::new();
    config.journal.durability = Durability::Fsync;
    config.rpc.turn_max = Duration::ZERO;
    a_large_delete_is_done_in_turns(open_with(&disk, config)).await;
}

#[actix_rt::test]
async fn s10_large_writes_of_several_connections_are_each_answered_with_their_own_reply() {
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let wakeful = Wakeful::start(config).unwrap();
    let keys_of = |connection: usize| 600 + 137 * connection;
    for connection in 0..8 {
        let keys: Vec<String> =
            (0..keys_of(connection)).map(|number| format!("{connection}/{number}")).collect();
        for keys in keys.chunks(500) {
            let sets = keys.iter().map(|key| crate::TxnOp::Set(SetRequest::new(key.clone(), "v")));
            let txn = crate::TxnRequest { success: sets.collect(), ..Default::default() };
            wakeful.txn(txn).await.unwrap();
        }
    }
    let asked = (0..8).map(|connection| {
        let range = KeyRange::prefix(format!("{connection}/"));
        let delete = KvRequest::Delete(crate::DeleteRequest::new(range)).into();
        wakeful.store().send(message(connection, vec![delete]))
    });
    let asked: Vec<_> = asked.collect();
    for (connection, answers) in asked.into_iter().enumerate() {
        let TaskAnswers { done, .. } = within(answers).await.unwrap();
        let TaskAnswer::Now(Ok(Done::Reply(CallReply { reply: Reply::Delete(it), .. }))) = &done[0]
        else {
            panic!("connection {connection} is answered with something else");
        };
        assert_eq!(it.deleted as usize, keys_of(connection), "of connection {connection}");
    }
    wakeful.stop().await;
}

#[actix_rt::test]
async fn t1_a_wait_behind_very_many_others_is_answered_without_another_message() {
    let wakeful = Wakeful::start(Config::new()).unwrap();
    let wait = |condition| {
        let wakeful = wakeful.clone();
        let request = crate::WaitRequest {
            condition,
            timeout: Some(Duration::from_secs(60)),
            ..crate::WaitRequest::new(KeyRange::key("a"))
        };
        actix_rt::spawn(async move { wakeful.wait(request).await })
    };
    let unmet: Vec<_> =
        (0..2_000).map(|_| wait(crate::WaitCondition::Equals("other".into()))).collect();
    let met = wait(crate::WaitCondition::Exists);
    while wakeful.status().await.unwrap().waits < 2_001 {
        tokio::task::yield_now().await;
    }
    // Of a connection that gets nothing else from the store.
    let answers = within(wakeful.store().send(message(2, vec![set("a")]))).await.unwrap();
    assert!(is_answered(&answers, 1));
    assert!(matches!(within(met).await.unwrap(), Ok(crate::WaitOutcome::Met { .. })));
    drop(unmet);
    wakeful.stop().await;
}

/// Each turn of the stop does one step here: the test counts turns, not time.
#[actix_rt::test]
async fn s10_others_have_their_turn_while_a_stop_ends_waits_and_watches() {
    const STREAMS: usize = 200;
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let wakeful = Wakeful::start(config).unwrap();
    let mut watches = Vec::new();
    for _ in 0..STREAMS {
        watches.push(within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap());
    }
    let mut wait = Box::pin(wakeful.wait(WaitRequest::new(KeyRange::key("never"))));
    assert!((&mut wait).now_or_never().is_none());
    within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
    let store = wakeful.store().clone();
    let stopping = store.send(StopStore { within: Duration::from_secs(60) });
    let stopping = actix_rt::spawn(async move { stopping.await.unwrap() });
    for _ in 0..20 {
        let answers = within(store.send(message(2, vec![get("a")]))).await.unwrap();
        let refused = |answer: &TaskAnswer| matches!(answer, TaskAnswer::Now(Err(error)) if error.code == ErrorCode::Unavailable);
        assert!(answers.done.iter().all(refused), "new requests are refused");
        assert!(!stopping.is_finished(), "all of it was done in a turn of others");
    }
    within(stopping).await.unwrap();
    assert_eq!(within(wait).await.unwrap_err().code, ErrorCode::Unavailable);
    for mut watch in watches {
        let first = within(watch.next()).await.unwrap().unwrap();
        assert!(matches!(first, WatchItem::Events { revision: 2, .. }), "{first:?}");
        let last = within(watch.next()).await.unwrap().unwrap_err();
        assert_eq!(last.details, Details::Resume { revision: 3 });
    }
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn r5_a_stop_whose_time_is_over_ends_the_rest_at_once() {
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let wakeful = Wakeful::start(config).unwrap();
    let mut watches = Vec::new();
    for _ in 0..200 {
        watches.push(within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap());
    }
    within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
    let store = wakeful.store().clone();
    let slow = store.send(StopStore { within: Duration::from_secs(60) });
    let slow = actix_rt::spawn(async move { slow.await.unwrap() });
    let at_once = store.send(StopStore { within: Duration::ZERO });
    let at_once = actix_rt::spawn(async move { at_once.await.unwrap() });
    let mut turns = 0;
    while !at_once.is_finished() {
        within(store.send(message(2, vec![get("a")]))).await.unwrap();
        turns += 1;
        assert!(turns < 20, "it is done in slices");
    }
    within(slow).await.unwrap();
    for mut watch in watches {
        assert!(within(watch.next()).await.unwrap().is_ok());
        assert!(within(watch.next()).await.unwrap().is_err());
    }
    within(wakeful.stop()).await;
}
