//! Actors and a Wakeful: messages to it, watches into actors, dropped futures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wakeful::actor::message::{Execute, Watched};
use wakeful::{
    Durability, ErrorCode, KeyRange, KvRequest, Operations, Reply, SetRequest, WaitOutcome,
    WaitRequest, Wakeful, WatchFrom, WatchRequest,
};

use super::{events, held, start, within};

/// An actor that handles each item slowly, and notices if the next arrives meanwhile.
struct Slow {
    busy: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    seen: UnboundedSender<Watched>,
}

impl Slow {
    fn start() -> (Addr<Self>, Arc<AtomicUsize>, UnboundedReceiver<Watched>) {
        let (seen, received) = unbounded_channel();
        let most = Arc::new(AtomicUsize::new(0));
        let slow = Self { busy: Arc::default(), most: Arc::clone(&most), seen };
        (slow.start(), most, received)
    }
}

impl Actor for Slow {
    type Context = Context<Self>;
}

impl Handler<Watched> for Slow {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, watched: Watched, _: &mut Self::Context) -> Self::Result {
        let (busy, seen) = (Arc::clone(&self.busy), self.seen.clone());
        self.most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Box::pin(async move {
            actix_rt::time::sleep(Duration::from_millis(2)).await;
            busy.fetch_sub(1, Ordering::SeqCst);
            let _ = seen.send(watched);
        })
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Handler<Leave> for Slow {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

#[actix_rt::test]
async fn w9_a_slow_actor_is_not_flooded_and_misses_nothing() {
    let wakeful = start();
    let (slow, most, mut seen) = Slow::start();
    let request = WatchRequest::new(KeyRange::prefix("k"));
    let _watch = within(wakeful.watch_into(9, request, slow.recipient())).await.unwrap();
    for nth in 0..500_u64 {
        within(wakeful.set(SetRequest::new("k", nth.to_string()))).await.unwrap();
    }
    let mut revisions = Vec::new();
    while revisions.len() < 500 {
        let Watched { watch_id, item } = within(seen.recv()).await.unwrap();
        assert_eq!(watch_id, 9);
        revisions.extend(events(item.unwrap()).iter().map(|event| event.revision()));
    }
    assert_eq!(revisions, (2..=501).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 1);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn t5_a_watch_into_an_actor_ends_with_its_handle_or_the_actor() {
    let wakeful = start();
    let (slow, _, mut seen) = Slow::start();
    let request = || WatchRequest::new(KeyRange::all());
    let watch = within(wakeful.watch_into(1, request(), slow.clone().recipient())).await.unwrap();
    assert_eq!(held(&wakeful).await, (0, 1, 1));
    drop(watch);
    until_free(&wakeful).await;

    let _watch = within(wakeful.watch_into(2, request(), slow.clone().recipient())).await.unwrap();
    within(slow.send(Leave)).await.unwrap();
    within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
    until_free(&wakeful).await;
    assert!(seen.recv().now_or_never().is_none_or(|item| item.is_none()));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn r5_an_actor_that_watches_is_told_of_the_stop() {
    let wakeful = start();
    let (slow, _, mut seen) = Slow::start();
    let request = WatchRequest::new(KeyRange::all());
    let _watch = within(wakeful.watch_into(3, request, slow.recipient())).await.unwrap();
    within(wakeful.stop()).await;
    let last = within(seen.recv()).await.unwrap().item.unwrap_err();
    assert_eq!(last.code, ErrorCode::Unavailable);
}

async fn until_free(wakeful: &Wakeful) {
    let deadline = Instant::now() + super::TIMEOUT;
    while held(wakeful).await != (0, 0, 0) {
        assert!(Instant::now() < deadline, "still held: {:?}", held(wakeful).await);
    }
}

#[actix_rt::test]
async fn t5_dropped_futures_free_what_they_held_at_once() {
    let wakeful = start();
    for _ in 0..3 {
        let mut waits: Vec<_> = (0..100)
            .map(|nth| Box::pin(wakeful.wait(WaitRequest::new(KeyRange::key(format!("{nth}"))))))
            .collect();
        for wait in &mut waits {
            assert!(wait.now_or_never().is_none());
        }
        // This request comes after them, so it is answered after they were parked.
        assert_eq!(held(&wakeful).await.0, 100);
        for wait in &mut waits {
            assert!(wait.now_or_never().is_none());
        }
        let mut watches = Vec::new();
        for _ in 0..20 {
            watches.push(within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap());
        }
        assert_eq!(held(&wakeful).await, (100, 20, 20));
        drop((waits, watches));
        assert_eq!(held(&wakeful).await, (0, 0, 0));
    }
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn t5_futures_dropped_before_the_store_answered_leave_nothing() {
    let wakeful = start();
    for _ in 0..100 {
        let mut wait = Box::pin(wakeful.wait(WaitRequest::new(KeyRange::key("a"))));
        let mut watch = Box::pin(wakeful.watch(WatchRequest::new(KeyRange::all())));
        assert!((&mut wait).now_or_never().is_none());
        assert!((&mut watch).now_or_never().is_none());
    }
    until_free(&wakeful).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn t5_timed_out_waits_leave_nothing_and_the_eleventh_event_blocks_nobody() {
    let wakeful = start();
    let timeout = Some(Duration::from_millis(1));
    let waits = (0..100)
        .map(|_| wakeful.wait(WaitRequest { timeout, ..WaitRequest::new(KeyRange::all()) }));
    for outcome in within(futures_util::future::join_all(waits)).await {
        assert_eq!(outcome.unwrap(), WaitOutcome::Timeout { revision: 1 });
    }
    assert_eq!(held(&wakeful).await, (0, 0, 0));
    // A watch that is never polled stands for a lost client that was not noticed.
    let mut forgotten = within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    for nth in 2..=5_000_u64 {
        let set = within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
        assert_eq!(set.revision, nth);
    }
    let mut shown = 0;
    while shown < 4_999 {
        shown += events(within(forgotten.next()).await.unwrap().unwrap()).len();
    }
    assert_eq!(shown, 4_999);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn e1_the_store_takes_messages() {
    let wakeful = start();
    let execute = |request| Execute {
        request,
        idempotency: Some(5),
        durability: Some(Durability::Fsync),
        deadline: None,
    };
    let set = || execute(KvRequest::Set(SetRequest::new("a", "1")).into());
    let first = within(wakeful.store().send(set())).await.unwrap().unwrap();
    assert!(matches!(&first.reply, Reply::Set(reply) if reply.revision == 2));
    // In memory nothing is durable, whatever was requested, and the answer reports that.
    assert_eq!(first.durability, None);
    assert_eq!(within(wakeful.store().send(set())).await.unwrap().unwrap(), first);
    // R2: a late request is not executed.
    let late = Execute {
        deadline: Some(Instant::now()),
        ..execute(KvRequest::Set(SetRequest::new("b", "1")).into())
    };
    let late = within(wakeful.store().send(late)).await.unwrap().unwrap_err();
    assert_eq!(late.code, ErrorCode::DeadlineExceeded);
    assert_eq!(within(wakeful.get("b")).await.unwrap().kv, None);
    within(wakeful.stop()).await;
    assert!(!wakeful.store().connected());
}

#[actix_rt::test]
async fn e1_handles_work_from_other_arbiters_and_threads() {
    let wakeful = start();
    let mut watch = within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let arbiter = Arbiter::new();
    let theirs = wakeful.clone();
    arbiter.spawn(async move {
        for nth in 0..50 {
            theirs.set(SetRequest::new(format!("arbiter/{nth}"), "x")).await.unwrap();
        }
    });
    let theirs = wakeful.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let from = WatchFrom::Revision(2);
            let request = WatchRequest { from, ..WatchRequest::new(KeyRange::prefix("arbiter/")) };
            let mut watch = theirs.watch(request).await.unwrap();
            let mut seen = 0;
            while seen < 50 {
                seen += events(watch.next().await.unwrap().unwrap()).len();
                theirs.set(SetRequest::new("thread", seen.to_string())).await.unwrap();
            }
        });
    });
    let mut last = 1;
    let mut counted = 0;
    while counted < 50 || last < within(wakeful.status()).await.unwrap().revision {
        for event in events(within(watch.next()).await.unwrap().unwrap()) {
            assert_eq!(event.revision(), last + 1);
            last += 1;
            counted += usize::from(event.kv.key.starts_with(b"arbiter/"));
        }
    }
    within(actix_rt::task::spawn_blocking(|| thread.join().unwrap())).await.unwrap();
    arbiter.stop();
    drop(watch);
    within(wakeful.stop()).await;
}
