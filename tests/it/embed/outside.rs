//! Calls outside an actix system, or outside any runtime: refused with a reason, or executed all
//! the same.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use actix::{Actor, Handler};
use futures_util::StreamExt;
use tokio::sync::oneshot;
use wakeful::actor::message::Watched;
use wakeful::auth::Auth;
use wakeful::link::{
    Anyone, DialOptions, LinkUsers, Relay, RelayOptions, ReverseListener, ReverseOptions,
};
use wakeful::work::{self, Bounds, MemoryQueue, Next, Queue};
use wakeful::{
    Client, Config, Error, ErrorCode, HandlerOptions, KeyRange, Operations, Service, SetRequest,
    WaitOutcome, WaitRequest, Wakeful, WatchRequest,
};

use super::{events, start};
use crate::support::TIMEOUT;
use crate::support::handlers::echoes;

/// Runs `future` without a runtime.
fn run<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs `future` as a program on plain tokio does.
fn run_on_tokio<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Starts a service and a client of it on the thread of another actix system, which ends when the
/// service is stopped.
fn elsewhere() -> (Wakeful, Client, thread::JoinHandle<()>) {
    let (told, tell) = std::sync::mpsc::channel();
    let system = thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let wakeful = start();
            let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
            let mut watch = wakeful.watch(WatchRequest::new(KeyRange::all())).await.unwrap();
            let client = Client::connect(addr.to_string()).await.unwrap();
            told.send((wakeful, client)).unwrap();
            while watch.next().await.is_some() {}
        });
    });
    let (wakeful, client) = tell.recv().unwrap();
    (wakeful, client, system)
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, call: &str, needs: &str) {
    let Err(refusal) = result else { panic!("{call} is not refused") };
    assert_eq!(refusal.code, ErrorCode::InvalidArgument, "{call}: {refusal}");
    assert!(refusal.message.starts_with(call), "{refusal}");
    assert!(refusal.message.contains(needs), "{refusal}");
}

struct Deaf;

impl Actor for Deaf {
    type Context = actix::Context<Self>;
}

impl Handler<Watched> for Deaf {
    type Result = ();

    fn handle(&mut self, _: Watched, _: &mut Self::Context) {}
}

/// Checks that every call that starts tasks on an arbiter is refused.
async fn every_call_that_needs_an_arbiter(
    wakeful: &Wakeful,
    client: &Client,
    recipient: actix::Recipient<Watched>,
    needs: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
    let handler = echoes;
    let options = HandlerOptions::default;
    refused(Wakeful::start(Config::new()), "Wakeful::start", needs);
    refused(Wakeful::open(Config::new(), dir.path().join("data")), "Wakeful::open", needs);
    assert!(!dir.path().join("data").exists(), "nothing is left behind");
    refused(wakeful.listen("127.0.0.1:0").await, "Wakeful::listen", needs);
    refused(wakeful.listen_on(socket()).await, "Wakeful::listen_on", needs);
    #[cfg(feature = "tls")]
    {
        let tls = || wakeful::TlsConfig::new("cert.pem", "key.pem");
        refused(wakeful.listen_tls("127.0.0.1:0", tls()).await, "Wakeful::listen_tls", needs);
        refused(wakeful.listen_tls_on(socket(), tls()).await, "Wakeful::listen_tls_on", needs);
    }
    let auth = no_users(dir.path());
    refused(wakeful.require_login(auth).await, "Wakeful::require_login", needs);
    let dialed = wakeful.dial("127.0.0.1:1", DialOptions::new("inside")).await;
    refused(dialed, "Wakeful::dial", needs);
    let into = wakeful.watch_into(1, WatchRequest::new(KeyRange::all()), recipient).await;
    refused(into, "Wakeful::watch_into", needs);
    refused(wakeful.handle("topic", handler(), options()), "Wakeful::handle", needs);
    let queue = MemoryQueue::new(Bounds::default());
    refused(work::start(queue, "topic", handler(), options()), "work::start", needs);
    refused(client.work("topic", handler(), options()), "Client::work", needs);
}

/// Checks that the listener for links, which needs both runtimes, is refused.
async fn serving(wakeful: &Wakeful, needs: &str) {
    let serving = ReverseOptions { serve: Some(wakeful.clone()), ..ReverseOptions::new(Anyone) };
    let listener = ReverseListener::bind("127.0.0.1:0", serving).await;
    refused(listener, "ReverseListener::bind", needs);
}

fn service() -> Service {
    Service::new("S").method("M", async |(): (), _| Ok(()))
}

/// Returns a user file without users.
fn no_users(dir: &Path) -> Auth {
    let path = dir.join("users.toml");
    std::fs::write(&path, "version = 1\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    Auth::open(&path, &Config::new().auth).unwrap()
}

/// Returns an address for the items of a watch.
fn recipient() -> actix::Recipient<Watched> {
    let (told, tell) = std::sync::mpsc::channel();
    thread::spawn(move || {
        actix_rt::System::new()
            .block_on(async move { told.send(Deaf.start().recipient()).unwrap() });
    });
    tell.recv().unwrap()
}

#[test]
fn e3_under_plain_tokio_what_needs_actix_is_refused_in_words() {
    let (wakeful, client, system) = elsewhere();
    run_on_tokio(async {
        let needs = "needs an actix system";
        every_call_that_needs_an_arbiter(&wakeful, &client, recipient(), needs).await;
        serving(&wakeful, needs).await;
        refused(wakeful.register(service()), "Wakeful::register", needs);
        // Everything else works.
        client.set(SetRequest::new("a", "1")).await.unwrap();
        assert_eq!(wakeful.get("a").await.unwrap().kv.unwrap().value, "1");
        wakeful.stop().await;
    });
    system.join().unwrap();
}

#[test]
fn e3_without_a_runtime_what_needs_one_is_refused_in_words() {
    let (wakeful, client, system) = elsewhere();
    let needs = "needs an actix system";
    run(every_call_that_needs_an_arbiter(&wakeful, &client, recipient(), needs));
    let tokio = "needs a tokio runtime";
    refused(run(Client::connect("127.0.0.1:1")), "Client::connect", tokio);
    let listener = ReverseListener::bind("127.0.0.1:0", ReverseOptions::new(Anyone));
    refused(run(listener), "ReverseListener::bind", tokio);
    let relay = Relay::start("127.0.0.1:0", "127.0.0.1:0", RelayOptions::new(Anyone));
    refused(run(relay), "Relay::start", tokio);
    let dir = tempfile::tempdir().unwrap();
    let auth = no_users(dir.path());
    refused(LinkUsers::new(auth), "LinkUsers::new", tokio);
    let (wait, visibility) = (TIMEOUT, TIMEOUT);
    let next = Next { credits: 1, wait, visibility };
    refused(run(MemoryQueue::new(Bounds::default()).next(next)), "MemoryQueue::next", tokio);
    run(wakeful.stop());
    system.join().unwrap();
}

/// A handle, and a client, work from any thread.
#[test]
fn e3_without_a_runtime_a_service_and_a_client_are_used_and_stopped() {
    let (wakeful, client, system) = elsewhere();
    run(async {
        let wait = client.go_wait(WaitRequest::new(KeyRange::key("a")));
        let mut watch = client.watch(WatchRequest::new(KeyRange::key("a"))).await.unwrap();
        wakeful.set(SetRequest::new("a", "1")).await.unwrap();
        assert!(matches!(wait.await.unwrap(), WaitOutcome::Met { .. }));
        assert_eq!(events(watch.next().await.unwrap().unwrap()).len(), 1);
        drop(watch);
        client.close().await;
        wakeful.stop().await;
    });
    system.join().unwrap();
}

/// A task of `tokio::spawn` runs on the thread of the arbiter, but cannot start tasks on it.
#[actix_rt::test]
async fn e3_in_a_task_of_tokio_what_needs_the_arbiter_is_refused_in_words() {
    let wakeful = start();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap().to_string();
    let (there, recipient) = (wakeful.clone(), Deaf.start().recipient());
    let (told, tell) = oneshot::channel();
    let refusing = tokio::spawn(async move {
        let client = Client::connect(addr).await.unwrap();
        let needs = "actix_rt::spawn";
        every_call_that_needs_an_arbiter(&there, &client, recipient, needs).await;
        serving(&there, needs).await;
        there.register(service()).unwrap();
        told.send(()).unwrap();
    });
    tell.await.unwrap();
    refusing.await.unwrap();
    wakeful.stop().await;
}
