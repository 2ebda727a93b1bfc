//! Services of the application, over TCP; this process is the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wakeful::{
    Client, ClientConfig, Config, Error, ErrorCode, GetRequest, KvRequest, MethodContext, Methods,
    Operations, Peer, Service, ServiceInfo, Session, SetRequest, Wakeful,
};

use super::within;
use crate::process::run;
use crate::support::until;

wakeful::service! {
    /// The service of Go's tutorial, with its login.
    trait HelloService, client HelloClient {
        /// Logs in.
        async fn login(credentials: String) -> bool;
        /// Says hello.
        async fn hello(request: String) -> String;
    }
}

/// A call after a set sees the set, also in the same packet.
#[actix_rt::test]
async fn n1_a_call_begins_after_what_was_sent_before_it() {
    let read = Service::new("Reader").method("Read", async |(): (), cx: MethodContext| {
        let value = cx.wakeful().get("key").await?.kv.map(|kv| kv.value.to_string());
        Ok(value)
    });
    let (wakeful, addr) = served([read]).await;
    let client = connect(&addr).await;
    for round in 0..200 {
        let value = round.to_string();
        let set = client.go(KvRequest::Set(SetRequest::new("key", value.as_str())));
        let read = client.go_invoke::<Option<String>>("Reader.Read", &());
        // More requests in the same packets, so that the connection has other work before the
        // store.
        let more: Vec<_> = (0..500)
            .map(|_| client.go(KvRequest::Get(GetRequest { key: "key".into(), revision: 0 })))
            .collect();
        assert_eq!(within(read).await, Ok(Some(value)));
        within(set).await.unwrap();
        for get in more {
            within(get).await.unwrap();
        }
    }
    within(wakeful.stop()).await;
}

#[derive(Default)]
struct IsLogin(AtomicBool);

struct Hello;

/// The real binary as a client of the application.
#[actix_rt::test]
async fn n1_the_command_line_calls_what_an_application_offers() {
    let (wakeful, addr) = served([Hello.into_service()]).await;
    let run = async |line: &'static [&str]| {
        let addr = addr.clone();
        let run = move || run(&[&["--addr", &addr], line].concat());
        within(tokio::task::spawn_blocking(run)).await.unwrap()
    };
    let listed = run(&["services"]).await.ok();
    assert_eq!(listed, "HelloService.Hello\nHelloService.Login\n");
    let login = run(&["call", "HelloService.Login", "\"user:password\""]).await;
    assert_eq!(login.ok(), "true\n");
    // Another connection, which has not logged in.
    let refused = run(&["call", "HelloService.Hello", "\"x\""]).await.fails(1);
    assert_eq!(refused, "error: please login\n");
    let unknown = run(&["call", "HelloService.Goodbye", "\"x\""]).await.fails(3);
    assert!(unknown.contains("HelloService.Goodbye"), "{unknown}");
    run(&["call", "HelloService.Hello", "x"]).await.fails(2);
    within(wakeful.stop()).await;
}

impl HelloService for Hello {
    async fn login(&self, credentials: String, cx: &MethodContext) -> Result<bool, Error> {
        if credentials != "user:password" {
            return Err(Error::failed("auth failed"));
        }
        cx.state::<IsLogin>().0.store(true, Ordering::Relaxed);
        Ok(true)
    }

    async fn hello(&self, request: String, cx: &MethodContext) -> Result<String, Error> {
        if !cx.state::<IsLogin>().0.load(Ordering::Relaxed) {
            return Err(Error::failed("please login"));
        }
        Ok(format!("hello:{request}, from {}", cx.peer()))
    }
}

async fn served(services: impl IntoIterator<Item = Service>) -> (Wakeful, String) {
    let wakeful = Wakeful::start(Config::new()).unwrap();
    for service in services {
        wakeful.register(service).unwrap();
    }
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    (wakeful, addr.to_string())
}

async fn connect(addr: &str) -> Client {
    within(Client::connect(addr)).await.unwrap()
}

#[actix_rt::test]
async fn n3_each_connection_logs_in_for_itself() {
    let (wakeful, addr) = served([Hello.into_service()]).await;
    let (one, other) =
        (HelloClient::new(connect(&addr).await), HelloClient::new(connect(&addr).await));
    let hello = async |client: &HelloClient<Client>| within(client.hello("x".to_owned())).await;
    assert_eq!(hello(&one).await.unwrap_err().message, "please login");
    let wrong = within(one.login("user:guess".to_owned())).await.unwrap_err();
    assert_eq!((wrong.code, &*wrong.message), (ErrorCode::MethodFailed, "auth failed"));
    assert!(within(one.login("user:password".to_owned())).await.unwrap());
    assert!(hello(&one).await.unwrap().starts_with("hello:x, from 127.0.0.1:"));
    assert_eq!(hello(&other).await.unwrap_err().message, "please login");
    within(wakeful.stop()).await;
}

/// Waits for a permit, and keeps the contexts of its calls.
#[derive(Clone)]
struct Gate {
    open: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<MethodContext>>>,
}

impl Gate {
    fn new() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), seen: Arc::default() }
    }

    fn service(&self) -> Service {
        let gate = self.clone();
        Service::new("Gate").method("Pass", move |name: String, cx: MethodContext| {
            let gate = gate.clone();
            gate.seen.lock().push(cx);
            async move {
                gate.open.acquire().await.unwrap().forget();
                Ok(name)
            }
        })
    }

    async fn seen(&self, count: usize) -> Vec<MethodContext> {
        until("the methods have begun", async || self.seen.lock().len() >= count).await;
        self.seen.lock().clone()
    }
}

#[actix_rt::test]
async fn n1_calls_of_one_connection_run_beside_each_other_and_beside_everything_else() {
    let gate = Gate::new();
    let (wakeful, addr) = served([gate.service()]).await;
    let client = connect(&addr).await;
    let calls = ["a", "b", "c"].map(|name| client.go_invoke::<String>("Gate.Pass", name));
    gate.seen(3).await;
    // None of the calls blocks the store.
    assert_eq!(within(client.set(SetRequest::new("k", "v"))).await.unwrap().revision, 2);
    gate.open.add_permits(3);
    for (call, name) in calls.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(within(call).await.as_deref(), Ok(name));
    }
    let offered = within(client.services()).await.unwrap();
    assert_eq!(offered, [ServiceInfo::new("Gate", vec!["Pass".into()])]);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n4_a_method_is_dropped_when_its_caller_cancels_goes_or_is_out_of_time() {
    let gate = Gate::new();
    let (wakeful, addr) = served([gate.service()]).await;
    let (client, leaver) = (connect(&addr).await, connect(&addr).await);
    let given_up = client.go_invoke::<String>("Gate.Pass", "given up");
    let cut = leaver.go_invoke::<String>("Gate.Pass", "cut");
    let seen = gate.seen(2).await;
    assert!(seen.iter().all(|cx| !cx.is_cancelled()));
    drop(given_up);
    drop((cut, leaver));
    for cx in &seen {
        within(cx.cancelled()).await;
    }
    let hurried = client.with_deadline(Duration::from_millis(50));
    let late = within(hurried.invoke::<String>("Gate.Pass", "late")).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::DeadlineExceeded);
    let cx = gate.seen(3).await[2].clone();
    within(cx.cancelled()).await;
    // The connection that cancelled continues, and the cancelled call took no permit.
    gate.open.add_permits(1);
    assert_eq!(within(client.invoke::<String>("Gate.Pass", "on")).await.as_deref(), Ok("on"));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n3_what_a_session_keeps_is_freed_when_its_connection_has_closed() {
    struct Kept(Arc<()>);
    static FREED: Semaphore = Semaphore::const_new(0);
    impl Default for Kept {
        fn default() -> Self {
            Self(Arc::new(()))
        }
    }
    impl Drop for Kept {
        fn drop(&mut self) {
            FREED.add_permits(1);
        }
    }
    let keep = Service::new("Keeper").method("Keep", async |(): (), cx: MethodContext| {
        let session: &Session = cx.session();
        assert!(matches!(session.peer(), Peer::Tcp(_)));
        Ok(Arc::strong_count(&session.state::<Kept>().0))
    });
    let (wakeful, addr) = served([keep]).await;
    let client = connect(&addr).await;
    assert_eq!(within(client.invoke::<usize>("Keeper.Keep", &())).await, Ok(1));
    assert_eq!(FREED.available_permits(), 0);
    within(client.close()).await;
    within(FREED.acquire()).await.unwrap().forget();
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n2_a_panic_harms_neither_its_connection_nor_its_neighbours() {
    let gate = Gate::new();
    let odd = Service::new("Odd")
        .method("Panic", async |(): (), _| -> Result<(), Error> { panic!("odd") });
    let (wakeful, addr) = served([gate.service(), odd]).await;
    let client = connect(&addr).await;
    let beside = client.go_invoke::<String>("Gate.Pass", "beside");
    gate.seen(1).await;
    let panicked = within(client.invoke::<()>("Odd.Panic", &())).await.unwrap_err();
    assert_eq!(panicked.code, ErrorCode::MethodPanicked);
    let unfit = within(client.invoke::<u8>("Odd.Panic", &7_u8)).await.unwrap_err();
    assert_eq!(unfit.code, ErrorCode::InvalidArgument);
    let unknown = within(client.invoke::<u8>("Odd.Even", &())).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::MethodNotFound);
    gate.open.add_permits(1);
    assert_eq!(within(beside).await.as_deref(), Ok("beside"));
    within(wakeful.stop()).await;
}

const HEAVY_IN_A_TURN: u8 = 2;

/// Beyond the limit of calls, requests stay in the socket, and all are answered.
#[actix_rt::test]
async fn n6_more_calls_than_one_connection_may_have_wait_their_turn() {
    let gate = Gate::new();
    let mut config = Config::new();
    config.services.calls_per_connection_max = 4;
    config.rpc.heavy_requests_max = usize::from(HEAVY_IN_A_TURN);
    let wakeful = Wakeful::start(config).unwrap();
    wakeful.register(gate.service()).unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap().to_string();
    let client = within(Client::connect_with(ClientConfig::new(addr))).await.unwrap();
    let first: Vec<_> = (0..4).map(|_| client.go_invoke::<String>("Gate.Pass", "first")).collect();
    gate.seen(4).await;
    let more: Vec<_> = (0..100).map(|_| client.go_invoke::<String>("Gate.Pass", "more")).collect();
    // A finished call makes room for the next few, not for all.
    gate.open.add_permits(1);
    gate.seen(5).await;
    assert!(gate.seen.lock().len() <= 4 + usize::from(HEAVY_IN_A_TURN));
    gate.open.add_permits(103);
    for call in first.into_iter().chain(more) {
        within(call).await.unwrap();
    }
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn n6_calls_under_way_may_finish_when_the_service_stops() {
    let gate = Gate::new();
    let (wakeful, addr) = served([gate.service()]).await;
    let client = connect(&addr).await;
    let call = client.go_invoke::<String>("Gate.Pass", "last");
    gate.seen(1).await;
    let stopping = actix_rt::spawn(async move { wakeful.stop().await });
    until("the server says goodbye", async || {
        let probe = Client::connect(addr.as_str()).await;
        probe.is_err()
    })
    .await;
    gate.open.add_permits(1);
    assert_eq!(within(call).await.as_deref(), Ok("last"));
    within(client.close()).await;
    within(stopping).await.unwrap();
}
