//! Servers that dial, and their flags.

use futures_util::StreamExt;
use wakeful::link::{DialOptions, DialState, ReverseListener, ReverseOptions, SharedToken};
use wakeful::{
    Config, ErrorCode, HandlerOptions, KeyRange, Methods, Operations, Peer, PushOptions, Service,
    SetRequest, Topic, Wakeful, WatchItem, WatchRequest,
};

use super::{Double, Relay, TOKEN, dialing, impatient};
use crate::process::{Running, TIMEOUT, wakeful};
use crate::support::{until, within};

fn options(name: &str) -> DialOptions {
    let token = SharedToken::new(TOKEN).unwrap();
    DialOptions { credentials: Some(token.credentials()), ..DialOptions::new(name) }
}

async fn listener() -> ReverseListener {
    let options = ReverseOptions::new(SharedToken::new(TOKEN).unwrap());
    ReverseListener::bind("127.0.0.1:0", options).await.unwrap()
}

#[actix_rt::test]
async fn l1_a_server_that_dials_is_served_by_and_says_over_which_link() {
    let mut listener = listener().await;
    let server = Wakeful::start(impatient()).unwrap();
    let about = Service::new("About").method("Peer", async |(): (), cx| {
        let Peer::Link { name, addr } = cx.peer() else { return Ok("no link".to_owned()) };
        Ok(format!("{name} at {addr}"))
    });
    server.register(about).unwrap();
    let handle = server.dial(listener.addr().to_string(), options("inside")).await.unwrap();
    let (client, dialer) = within(listener.next()).await.unwrap();
    assert_eq!(handle.state(), DialState::Up(listener.addr()));
    assert_eq!(&*dialer.name, "inside");
    assert_eq!(dialer.identity.unwrap().name, "shared token");
    let peer: String = within(client.invoke("About.Peer", &())).await.unwrap();
    assert_eq!(peer, format!("inside at {}", listener.addr()));
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    assert!(server.get("a").await.unwrap().kv.is_some());
    server.stop().await;
    assert_eq!(handle.state(), DialState::Stopped);
}

#[actix_rt::test]
async fn l2_both_ends_of_one_link_serve_and_call() {
    let public = Wakeful::start(impatient()).unwrap();
    let listen = ReverseOptions {
        serve: Some(public.clone()),
        ..ReverseOptions::new(SharedToken::new(TOKEN).unwrap())
    };
    let mut listener = ReverseListener::bind("127.0.0.1:0", listen).await.unwrap();
    let inside = Wakeful::start(impatient()).unwrap();
    let handle = inside.dial(listener.addr().to_string(), options("inside")).await.unwrap();
    let (to_inside, _) = within(listener.next()).await.unwrap();
    let to_public = within(handle.client()).await.unwrap();
    within(to_inside.set(SetRequest::new("where", "inside"))).await.unwrap();
    within(to_public.set(SetRequest::new("where", "public"))).await.unwrap();
    for (service, value) in [(&inside, "inside"), (&public, "public")] {
        assert_eq!(service.get("where").await.unwrap().kv.unwrap().value, value);
    }
    // The listener does not keep the service open any longer.
    public.stop().await;
    inside.stop().await;
}

#[actix_rt::test]
async fn l9_a_worker_asks_for_jobs_and_is_called_with_them_over_one_link() {
    let public = Wakeful::start(impatient()).unwrap();
    let listen = ReverseOptions {
        serve: Some(public.clone()),
        ..ReverseOptions::new(SharedToken::new(TOKEN).unwrap())
    };
    let mut listener = ReverseListener::bind("127.0.0.1:0", listen).await.unwrap();
    let inside = Wakeful::start(impatient()).unwrap();
    inside.register(Service::new("Worker").handler("Double", Double)).unwrap();
    let handle = inside.dial(listener.addr().to_string(), options("inside")).await.unwrap();
    let (to_inside, _) = within(listener.next()).await.unwrap();
    let to_public = within(handle.client()).await.unwrap();
    let worker = to_public.work("double", Double, HandlerOptions::default()).unwrap();
    let mut watch = within(to_inside.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let topic: Topic<u64, u64> = Topic::new("double");
    for job in 0..20 {
        let id = within(topic.push(&public, &job, PushOptions::default())).await.unwrap();
        let called: u64 = within(to_inside.invoke("Worker.Double", &job)).await.unwrap();
        assert_eq!(called, job * 2);
        assert_eq!(within(topic.result(&public, id).wait(TIMEOUT)).await, Ok(job * 2));
        inside.set(SetRequest::new("done", job.to_string())).await.unwrap();
        let item = within(watch.next()).await.unwrap().unwrap();
        let WatchItem::Events { events, .. } = item else { panic!("{item:?}") };
        assert_eq!(events[0].kv.value, job.to_string().as_str());
    }
    within(worker.stop(TIMEOUT)).await;
    inside.stop().await;
    public.stop().await;
}

#[actix_rt::test]
async fn l2_who_only_calls_is_no_server() {
    let public = Wakeful::start(impatient()).unwrap();
    let listen = ReverseOptions { serve: Some(public.clone()), ..ReverseOptions::for_anyone() };
    let listener = ReverseListener::bind("127.0.0.1:0", listen).await.unwrap();
    let inside = Wakeful::start(impatient()).unwrap();
    let calls = DialOptions { serve: false, ..DialOptions::new("caller") };
    let handle = inside.dial(listener.addr().to_string(), calls).await.unwrap();
    let client = within(handle.client()).await.unwrap();
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    assert_eq!(listener.names(), Vec::<String>::new());
    let refusal = within(listener.client("caller")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NoSuchServer);
    inside.stop().await;
    public.stop().await;
}

#[actix_rt::test]
async fn l2_a_client_outlives_the_link_it_goes_over() {
    let public = Wakeful::start(impatient()).unwrap();
    let listen = || ReverseOptions { serve: Some(public.clone()), ..ReverseOptions::for_anyone() };
    let listener = ReverseListener::bind("127.0.0.1:0", listen()).await.unwrap();
    let addr = listener.addr();
    let inside = Wakeful::start(impatient()).unwrap();
    let handle = inside.dial(addr.to_string(), DialOptions::new("inside")).await.unwrap();
    let client = within(handle.client()).await.unwrap();
    let to_inside = within(listener.client("inside")).await.unwrap();
    within(to_inside.set(SetRequest::new("a", "1"))).await.unwrap();
    within(listener.stop()).await;
    until("the link is lost", async || handle.state() != DialState::Up(addr)).await;
    let again = ReverseListener::bind(addr, listen()).await.unwrap();
    within(handle.up()).await.unwrap();
    within(client.set(SetRequest::new("a", "2"))).await.unwrap();
    within(handle.stop()).await;
    let refusal = within(client.set(SetRequest::new("a", "3"))).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Unavailable);
    drop(again);
    inside.stop().await;
    public.stop().await;
}

#[actix_rt::test]
async fn l2_nobody_there_is_no_error_but_a_state() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Wakeful::start(impatient()).unwrap();
    let handle = server.dial(nobody.to_string(), options("inside")).await.unwrap();
    let unreachable = |state: DialState| matches!(state, DialState::Down(Some(error)) if error.code == ErrorCode::Unreachable);
    until("it says why", async || unreachable(handle.state())).await;
    for name in [String::new(), "x".repeat(257), "a\nb".to_owned()] {
        let refusal = server.dial("127.0.0.1:1", DialOptions::new(name)).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidArgument);
    }
    server.stop().await;
    let refusal = server.dial("127.0.0.1:1", options("late")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Unavailable);
}

#[actix_rt::test]
async fn l2_a_port_that_takes_no_links_says_so() {
    let server = Wakeful::start(Config::new()).unwrap();
    let addr = server.listen("127.0.0.1:0").await.unwrap();
    let handle = server.dial(addr.to_string(), options("inside")).await.unwrap();
    let said = |state: DialState| match state {
        DialState::Down(Some(error)) => {
            error.code == ErrorCode::UnsupportedVersion && error.message.contains("accepting on")
        }
        _ => false,
    };
    until("it says what answers there", async || said(handle.state())).await;
    server.stop().await;
}

#[test]
fn l2_serve_dials_beside_listening_or_instead_of_it() {
    let relay = Relay::start();
    let mut both = dialing(&relay.accepting, "both", &["--listen", "127.0.0.1:0"]);
    both.env("WAKEFUL_DIAL_TOKEN", TOKEN);
    let mut both = Running::start(both);
    let line = both.line();
    let addr = line.strip_prefix("listening on ").expect(&line).to_owned();
    assert_eq!(both.line(), format!("dialing {} as both", relay.accepting));
    relay.until_there("both");
    relay.ok("both", &["set", "a", "1"]);
    let direct = Running::start(wakeful(&["--addr", &addr, "get", "a"])).finish();
    assert_eq!(direct.ok(), "1\n");
    let only = relay.serve("only");
    relay.until_there("only");
    only.0.signal("TERM");
    assert_eq!(only.0.finish().code, Some(0));
}

#[test]
fn l2_a_secret_of_links_is_no_argument() {
    let help = crate::process::run(&["serve", "--help"]).ok();
    assert!(help.contains("--dial-token-file") && !help.contains("--dial-token "), "{help}");
    let mut short = dialing("127.0.0.1:1", "home", &[]);
    short.env("WAKEFUL_DIAL_TOKEN", "short");
    assert!(Running::start(short).finish().fails(2).contains("16 to 512 bytes"));
}

#[test]
fn l4_a_server_that_comes_back_takes_its_name_over() {
    let relay = Relay::start();
    let older = relay.serve("home");
    relay.until_there("home");
    relay.ok("home", &["set", "which", "older"]);
    // The server hangs, as if its cable were pulled: its link looks alive to the relay.
    older.0.signal("STOP");
    let _newer = relay.serve("home");
    crate::process::until("the newer one answers", || {
        relay.run("home", &["get", "which", "--deadline", "2s"]).code == Some(3)
    });
    older.0.signal("KILL");
}
