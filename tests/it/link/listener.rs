//! [`ReverseListener`]: accepted and refused dialers, their names, and the ends of their clients.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use wakeful::link::{
    Admission, Authenticate, DialOptions, DialState, Presented, ReverseListener, ReverseOptions,
};
use wakeful::{
    Credentials, Error, ErrorCode, Identity, KeyRange, Operations, SetRequest, Via, WaitRequest,
    Wakeful, WatchRequest,
};

use super::impatient;
use crate::support::{until, within};

/// Accepts any token; the token is the name.
struct ByToken;

impl Authenticate for ByToken {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Admission, Error>> {
        async {
            match &presented.credentials {
                Some(Credentials::Token(name)) => {
                    Ok(Admission::of(Identity { name: name.clone(), via: Via::Token }))
                }
                _ => Err(Error::new(ErrorCode::LinkRefused, "show a token")),
            }
        }
        .boxed()
    }
}

fn shows(name: &str, token: &str) -> DialOptions {
    DialOptions { credentials: Some(Credentials::token(token)), ..DialOptions::new(name) }
}

fn down_with(state: &DialState, code: ErrorCode) -> bool {
    matches!(state, DialState::Down(Some(error)) if error.code == code)
}

#[actix_rt::test]
async fn l4_a_name_that_somebody_else_has_is_refused() {
    let mut listener =
        ReverseListener::bind("127.0.0.1:0", ReverseOptions::new(ByToken)).await.unwrap();
    let addr = listener.addr().to_string();
    let (first, second) =
        (Wakeful::start(impatient()).unwrap(), Wakeful::start(impatient()).unwrap());
    first.dial(&*addr, shows("edge", "alice")).await.unwrap();
    let (client, dialer) = within(listener.next()).await.unwrap();
    assert_eq!(dialer.identity.unwrap().name, "alice");
    let other = second.dial(&*addr, shows("edge", "bob")).await.unwrap();
    until("bob is refused", async || down_with(&other.state(), ErrorCode::NameTaken)).await;
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    assert_eq!(listener.names(), ["edge"]);
    // The server keeps dialing, and gets the name once it is free.
    first.stop().await;
    let (client, dialer) = within(listener.next()).await.unwrap();
    assert_eq!(dialer.identity.unwrap().name, "bob");
    within(client.set(SetRequest::new("a", "2"))).await.unwrap();
    second.stop().await;
}

#[actix_rt::test]
async fn l4_the_same_identity_replaces_its_older_link() {
    let mut listener =
        ReverseListener::bind("127.0.0.1:0", ReverseOptions::new(ByToken)).await.unwrap();
    let addr = listener.addr().to_string();
    let (older, newer) =
        (Wakeful::start(impatient()).unwrap(), Wakeful::start(impatient()).unwrap());
    let before = older.dial(&*addr, shows("edge", "alice")).await.unwrap();
    let (client, _) = within(listener.next()).await.unwrap();
    let waiting = client.go_wait(WaitRequest::new(KeyRange::key("a")));
    newer.dial(&*addr, shows("edge", "alice")).await.unwrap();
    let (_newer_client, dialer) = within(listener.next()).await.unwrap();
    assert_eq!(&*dialer.name, "edge");
    // Waits on the older link fail, because the link is gone.
    assert_eq!(within(waiting).await.unwrap_err().code, ErrorCode::Unavailable);
    before.stop().await;
    older.stop().await;
    newer.stop().await;
}

#[actix_rt::test]
async fn l3_who_shows_nothing_is_never_seen() {
    let mut listener =
        ReverseListener::bind("127.0.0.1:0", ReverseOptions::new(ByToken)).await.unwrap();
    let server = Wakeful::start(impatient()).unwrap();
    let addr = listener.addr().to_string();
    let rogue = server.dial(addr, DialOptions::new("edge")).await.unwrap();
    until("it is refused", async || down_with(&rogue.state(), ErrorCode::LinkRefused)).await;
    assert!(listener.next().now_or_never().is_none());
    assert_eq!(listener.names(), Vec::<String>::new());
    server.stop().await;
}

#[actix_rt::test]
async fn l8_links_have_a_limit_that_is_named() {
    let mut options = ReverseOptions::for_anyone();
    // One address may have no more links than leave some for others.
    options.link.links_max = 3;
    let mut listener = ReverseListener::bind("127.0.0.1:0", options).await.unwrap();
    let server = Wakeful::start(impatient()).unwrap();
    let addr = listener.addr().to_string();
    let mut names = HashSet::new();
    for name in ["a", "b"] {
        server.dial(&*addr, DialOptions::new(name)).await.unwrap();
        names.insert(within(listener.next()).await.unwrap().1.name);
    }
    assert_eq!(names.len(), 2);
    let third = server.dial(&*addr, DialOptions::new("c")).await.unwrap();
    let refused = |state: DialState| match state {
        DialState::Down(Some(error)) => {
            error.code == ErrorCode::LimitExceeded && error.message.contains("link.links_max")
        }
        _ => false,
    };
    until("it is refused", async || refused(third.state())).await;
    server.stop().await;
}

#[actix_rt::test]
async fn l8_connections_over_one_link_have_a_limit_that_is_named() {
    let mut options = ReverseOptions::for_anyone();
    options.link.streams_max = 2;
    let mut listener = ReverseListener::bind("127.0.0.1:0", options).await.unwrap();
    let server = Wakeful::start(impatient()).unwrap();
    server.dial(listener.addr().to_string(), DialOptions::new("edge")).await.unwrap();
    let (first, _) = within(listener.next()).await.unwrap();
    let second = within(listener.client("edge")).await.unwrap();
    let refusal = within(listener.client("edge")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LimitExceeded);
    assert!(refusal.message.contains("link.streams_max"), "{refusal}");
    // A free slot is reused any number of times.
    second.close().await;
    for _ in 0..20 {
        let again = within(async {
            loop {
                match listener.client("edge").await {
                    Ok(client) => break client,
                    Err(error) => assert_eq!(error.code, ErrorCode::LimitExceeded),
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(again.set(SetRequest::new("a", "1"))).await.unwrap();
        again.close().await;
    }
    within(first.set(SetRequest::new("a", "2"))).await.unwrap();
    server.stop().await;
}

#[actix_rt::test]
async fn l1_one_connection_that_is_not_read_does_not_hold_up_the_others() {
    let mut listener =
        ReverseListener::bind("127.0.0.1:0", ReverseOptions::for_anyone()).await.unwrap();
    let server = Wakeful::start(impatient()).unwrap();
    server.dial(listener.addr().to_string(), DialOptions::new("edge")).await.unwrap();
    let (client, _) = within(listener.next()).await.unwrap();
    let slow = within(listener.client("edge")).await.unwrap();
    // Far more than any window; nothing is read.
    let mut watch = within(slow.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let value = Arc::new("x".repeat(256 * 1024));
    for _ in 0..40 {
        within(client.set(SetRequest::new("big", &**value))).await.unwrap();
    }
    assert!(within(client.get("big")).await.unwrap().kv.is_some());
    assert!(within(watch.next()).await.is_some());
    server.stop().await;
}

#[actix_rt::test]
async fn l7_a_listener_that_stops_ends_its_links() {
    let mut listener =
        ReverseListener::bind("127.0.0.1:0", ReverseOptions::for_anyone()).await.unwrap();
    let server = Wakeful::start(impatient()).unwrap();
    let handle = server.dial(listener.addr().to_string(), DialOptions::new("edge")).await.unwrap();
    let (client, _) = within(listener.next()).await.unwrap();
    within(listener.stop()).await;
    until("the link is lost", async || matches!(handle.state(), DialState::Down(Some(_)))).await;
    let refusal = within(client.set(SetRequest::new("a", "1"))).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Unavailable);
    server.stop().await;
}
