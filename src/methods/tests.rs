//! Calls within the process: found and refused methods, and their ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{MethodContext, Next, Service, method_name};
use crate::calls::Methods;
use crate::model::{Blob, Invocation, Payload};
use crate::test_timeout::{until, within};
use crate::{Config, Error, ErrorCode, Wakeful};

fn arithmetic() -> Service {
    Service::new("Arithmetic")
        .method("Double", async |n: u64, _| Ok(n * 2))
        .method("Panic", async |(): (), _| -> Result<(), Error> { panic!("a secret") })
        .method("Fail", async |why: String, _| -> Result<(), Error> { Err(Error::failed(why)) })
        .method("Many", async |bytes: usize, _| Ok("x".repeat(bytes)))
}

fn start(config: Config) -> Wakeful {
    let wakeful = Wakeful::start(config).unwrap();
    wakeful.register(arithmetic()).unwrap();
    wakeful
}

async fn refused(
    wakeful: &Wakeful,
    method: &str,
    argument: &(impl serde::Serialize + Sync),
) -> Error {
    within(wakeful.invoke::<serde_json::Value>(method, argument)).await.unwrap_err()
}

#[actix_rt::test]
async fn n1_a_method_answers_in_the_encoding_it_was_asked_in() {
    let wakeful = start(Config::new());
    assert_eq!(within(wakeful.invoke::<u64>("Arithmetic.Double", &21_u64)).await, Ok(42));
    let argument = Payload::Json(Blob::from("21"));
    let invocation = Invocation { method: "Arithmetic.Double".to_owned(), argument };
    let output = within(wakeful.invoke_raw(invocation)).await;
    assert_eq!(output, Ok(Payload::Json(Blob::from("42"))));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n2_what_is_wrong_with_a_call_is_told_to_its_caller_alone() {
    let mut config = Config::new();
    config.services.output_bytes_max = 100;
    let wakeful = start(config);
    for (method, code) in [
        ("Geometry.Double", ErrorCode::ServiceNotFound),
        ("Arithmetic.Halve", ErrorCode::MethodNotFound),
        ("Double", ErrorCode::MethodNotFound),
        ("", ErrorCode::MethodNotFound),
        ("Arithmetic.Panic", ErrorCode::InvalidArgument),
    ] {
        let error = refused(&wakeful, method, &1_u64).await;
        assert_eq!(error.code, code, "{method}: {error}");
    }
    let panicked = refused(&wakeful, "Arithmetic.Panic", &()).await;
    assert_eq!(panicked.code, ErrorCode::MethodPanicked);
    assert!(!panicked.message.contains("secret"), "{panicked}");
    let failed = refused(&wakeful, "Arithmetic.Fail", &"why").await;
    assert_eq!((failed.code, &*failed.message), (ErrorCode::MethodFailed, "why"));
    let long = refused(&wakeful, "Arithmetic.Many", &1_000_usize).await;
    assert_eq!(long.code, ErrorCode::LimitExceeded);
    assert!(long.message.contains("services.output_bytes_max"), "{long}");
    let lie = Payload::Bincode(Blob::from(&u64::MAX.to_le_bytes()[..]));
    let invocation = Invocation { method: "Arithmetic.Fail".to_owned(), argument: lie };
    let lied = within(wakeful.invoke_raw(invocation)).await.unwrap_err();
    assert_eq!(lied.code, ErrorCode::InvalidArgument);
    assert_eq!(within(wakeful.invoke::<u64>("Arithmetic.Double", &4_u64)).await, Ok(8));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n1_what_cannot_be_called_is_not_registered() {
    let mut config = Config::new();
    config.services.services_max = 2;
    let wakeful = start(config);
    let one = |name: &str| Service::new(name).method("Do", async |(): (), _| Ok(()));
    let twice = one("Twice").method("Do", async |(): (), _| Ok(()));
    let long = "x".repeat(129);
    for service in
        [one("Arithmetic"), one("1st"), one("a.b"), one(""), one(&long), one("Wakeful"), twice]
            .into_iter()
            .chain([Service::new("Empty"), one("Odd").method("a b", async |(): (), _| Ok(()))])
    {
        let name = service.info().name;
        let refused = wakeful.register(service).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidArgument, "{name}: {refused}");
    }
    wakeful.register(one("Second")).unwrap();
    let refused = wakeful.register(one("Third")).unwrap_err();
    assert_eq!(refused.code, ErrorCode::LimitExceeded);
    let offered = within(wakeful.services()).await.unwrap();
    let names: Vec<_> = offered.iter().map(|service| &*service.name).collect();
    assert_eq!(names, ["Arithmetic", "Second"]);
    assert_eq!(offered[0].methods, ["Double", "Fail", "Many", "Panic"]);
    within(wakeful.stop()).await;
    let late = wakeful.register(one("Late")).unwrap_err();
    assert_eq!(late.code, ErrorCode::Unavailable);
    assert_eq!(refused_late(&wakeful).await.code, ErrorCode::Unavailable);
}

async fn refused_late(wakeful: &Wakeful) -> Error {
    refused(wakeful, "Arithmetic.Double", &1_u64).await
}

/// Returns a service that waits for a permit, and leaves its contexts to the test.
fn waiting(gate: &Arc<Semaphore>, seen: &Arc<Mutex<Vec<MethodContext>>>) -> Service {
    let (gate, seen) = (Arc::clone(gate), Arc::clone(seen));
    Service::new("Waiting").method("Wait", move |(): (), cx: MethodContext| {
        let gate = Arc::clone(&gate);
        seen.lock().push(cx);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(())
        }
    })
}

#[actix_rt::test]
async fn n4_a_call_that_is_dropped_drops_its_method_and_frees_its_place() {
    let mut config = Config::new();
    config.services.calls_max = 1;
    let wakeful = start(config);
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
    wakeful.register(waiting(&gate, &seen)).unwrap();
    let mut call = Box::pin(wakeful.invoke::<()>("Waiting.Wait", &()));
    within(async {
        while seen.lock().is_empty() {
            assert!(futures_util::poll!(call.as_mut()).is_pending());
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    })
    .await;
    let full = refused(&wakeful, "Arithmetic.Double", &1_u64).await;
    assert_eq!(full.code, ErrorCode::LimitExceeded);
    assert!(full.message.contains("services.calls_max"), "{full}");
    let cx = seen.lock()[0].clone();
    assert!(!cx.is_cancelled());
    drop(call);
    within(cx.cancelled()).await;
    // Its place becomes free when its method is dropped, which happens asynchronously.
    within(async {
        while wakeful.invoke::<u64>("Arithmetic.Double", &1_u64).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n4_a_method_that_takes_too_long_is_dropped() {
    let mut config = Config::new();
    config.services.call_time_max = Duration::from_millis(10);
    let wakeful = start(config);
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
    wakeful.register(waiting(&gate, &seen)).unwrap();
    let late = refused(&wakeful, "Waiting.Wait", &()).await;
    assert_eq!(late.code, ErrorCode::DeadlineExceeded);
    let cx = seen.lock()[0].clone();
    assert!(cx.deadline().is_some());
    within(cx.cancelled()).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n2_what_panics_when_it_is_dropped_is_answered_all_the_same() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    let mut config = Config::new();
    config.services.call_time_max = Duration::from_millis(10);
    let wakeful = start(config);
    let bomb = Service::new("Bomb").method("Drop", async |(): (), _| {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
        Ok(())
    });
    wakeful.register(bomb).unwrap();
    let error = refused(&wakeful, "Bomb.Drop", &()).await;
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    let unknown = refused(&wakeful, &"é".repeat(1 << 20), &()).await;
    assert!(unknown.message.len() < 1_000, "an error as long as what was asked");
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n5_interceptors_stand_around_a_call_in_the_order_they_came() {
    let wakeful = start(Config::new());
    let said = Arc::new(Mutex::new(Vec::new()));
    for name in ["outer", "inner"] {
        let said = Arc::clone(&said);
        wakeful.intercept(move |argument: Payload, cx: MethodContext, next: Next| {
            let said = Arc::clone(&said);
            async move {
                said.lock().push(format!("{name} {}", cx.method()));
                let output = next.run(argument, cx).await;
                said.lock().push(format!("{name} {}", output.is_ok()));
                output
            }
        });
    }
    assert_eq!(within(wakeful.invoke::<u64>("Arithmetic.Double", &1_u64)).await, Ok(2));
    let expected =
        ["outer Arithmetic.Double", "inner Arithmetic.Double", "inner true", "outer true"];
    assert_eq!(*said.lock(), expected);
    wakeful.intercept(async |_: Payload, _: MethodContext, _: Next| Err(Error::failed("closed")));
    let closed = refused(&wakeful, "Arithmetic.Double", &1_u64).await;
    assert_eq!(closed.message, "closed");
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n6_a_method_that_blocks_its_thread_holds_up_neither_the_store_nor_the_stop() {
    let mut config = Config::new();
    config.rpc.shutdown_grace = Duration::from_millis(20);
    let wakeful = start(config);
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    let blocking = Service::new("Blocking").method("Block", move |(): (), _| {
        begins.store(true, Ordering::Relaxed);
        // An error means that it is released.
        let _ = gate.lock().recv();
        async { Ok(()) }
    });
    wakeful.register(blocking).unwrap();
    let caller = wakeful.clone();
    let call = actix_rt::spawn(async move { caller.invoke::<()>("Blocking.Block", &()).await });
    until("it has begun", || begun.load(Ordering::Relaxed)).await;
    assert!(within(crate::Operations::get(&wakeful, "key")).await.is_ok());
    within(wakeful.stop()).await;
    drop(go_on);
    // By its own end, or by that of its thread.
    let _ = within(call).await.unwrap();
}

#[test]
fn n1_names_in_rust_become_names_on_the_wire() {
    let names = ["hello", "set_all", "_x", "a1_b"].map(method_name);
    assert_eq!(names, ["Hello", "SetAll", "X", "A1B"]);
}

/// Records which spans are entered and left.
struct Entered(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Entered {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "call"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {
        self.0.lock().push("in the span".to_owned());
    }

    fn exit(&self, _: &tracing::span::Id) {
        self.0.lock().push("out of it".to_owned());
    }
}

#[actix_rt::test]
async fn n3_a_method_runs_in_the_span_of_its_call() {
    let wakeful = start(Config::new());
    let said = Arc::new(Mutex::new(Vec::new()));
    let says = Arc::clone(&said);
    let service = Service::new("Traced").method("Say", move |(): (), cx: MethodContext| {
        let says = Arc::clone(&says);
        async move {
            says.lock().push(cx.span().metadata().unwrap().name().to_owned());
            Ok(())
        }
    });
    wakeful.register(service).unwrap();
    let subscriber = Entered(Arc::clone(&said));
    let scope = tracing::subscriber::set_default(subscriber);
    let call = within(wakeful.invoke::<()>("Traced.Say", &())).await;
    drop(scope);
    assert_eq!(call, Ok(()));
    assert_eq!(said.lock()[..2], ["in the span", "call"]);
    within(wakeful.stop()).await;
}
