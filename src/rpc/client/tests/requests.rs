//! Requests and waits, and what a lost connection means for them.

use super::*;
use crate::config::Durability;
use crate::model::{
    Blob, CallOptions, CallReply, Compare, CompareOp, CompareTarget, DeleteRequest, GetRequest,
    HubRequest, KeyRange, KvRequest, LeaseGrantRequest, NodeRequest, RangeRequest, Request,
    SetRequest, TxnOp, TxnRequest, WaitCondition, WaitOutcome, WaitRequest,
};
use crate::operations::Operations;

fn get(key: &str) -> Request {
    KvRequest::Get(GetRequest { key: key.into(), revision: 0 }).into()
}

fn put(key: &str) -> Request {
    KvRequest::Set(SetRequest::new(key, "v")).into()
}

fn asks(call: &RpcCall) -> &Request {
    let RpcCall::Store { request, .. } = call else { panic!("{call:?}") };
    request
}

#[tokio::test]
async fn replies_out_of_order_reach_their_callers() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (first, mut second) = (client.go(get("a")), client.go(get("b")));
    assert!(!second.is_done() && second.try_take().is_none());
    let ((a, call_a), (b, call_b)) = (peer.request().await, peer.request().await);
    assert_eq!((asks(&call_a), asks(&call_b)), (&get("a"), &get("b")));
    peer.reply(b, &got(12)).await;
    peer.reply(a, &got(11)).await;
    assert_eq!(within(first).await.unwrap(), got(11));
    assert!(second.is_done());
    assert_eq!(second.try_take(), Some(Ok(got(12))));
    assert_eq!(second.try_take(), None);
}

#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go_wait(WaitRequest {
        condition: WaitCondition::Exists,
        ..WaitRequest::new(KeyRange::key("a"))
    });
    let (id, _) = peer.request().await;
    drop(call);
    assert_eq!(peer.expect(Kind::Cancel).await, id);
    peer.refuse(id, ErrorCode::Cancelled).await;
    let next = client.go(get("b"));
    let (id, _) = peer.request().await;
    peer.reply(id, &got(11)).await;
    assert_eq!(within(next).await.unwrap(), got(11));
}

#[tokio::test]
async fn a_write_that_may_have_been_sent_is_never_sent_again() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let write = client.go(put("a"));
    peer.request().await;
    drop(peer);
    let error = within(write).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("outcome unknown"), "{error}");
    let _read = client.go(get("b"));
    let mut peer = server.accept(7, 10).await;
    assert_eq!(asks(&peer.request().await.1), &get("b"));
}

#[tokio::test]
async fn a_write_made_without_a_connection_waits_for_one() {
    let server = Server::start().await;
    let (client, peer) = server.connect().await;
    drop(peer);
    while client.handle.with(|session, _| session.why_down()).is_none() {
        tokio::task::yield_now().await;
    }
    let write = client.go(put("a"));
    let mut peer = server.accept(7, 10).await;
    let (id, call) = peer.request().await;
    assert_eq!(asks(&call), &put("a"));
    peer.reply(id, &set(11)).await;
    assert_eq!(within(write).await.unwrap(), set(11));
}

#[tokio::test]
async fn a_read_is_sent_again() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let read = client.go(get("a"));
    peer.request().await;
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    let (id, call) = peer.request().await;
    assert_eq!(asks(&call), &get("a"));
    peer.reply(id, &got(11)).await;
    assert_eq!(within(read).await.unwrap(), got(11));
}

#[tokio::test]
async fn a_write_with_a_key_is_sent_again_with_it_but_not_to_another_store() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let write = client.go_with(put("a"), CallOptions::once(5));
    let (_, sent) = peer.request().await;
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    assert_eq!(peer.request().await.1, sent);
    assert_eq!(sent, RpcCall::Store { options: CallOptions::once(5), request: put("a") });
    drop(peer);
    let _peer = server.accept(8, 1).await;
    assert_eq!(within(write).await.unwrap_err().code, ErrorCode::StoreChanged);
    let error = within(client.call_with(get("a"), CallOptions::once(6))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn d9_what_is_asked_is_sent_again_with_the_request_and_what_it_got_is_told() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let asked = CallOptions { durability: Some(Durability::Fsync), ..CallOptions::once(5) };
    let write = client.go_with(put("a"), asked);
    let expected = RpcCall::Store { options: asked, request: put("a") };
    assert_eq!(peer.request().await.1, expected);
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    let (id, again) = peer.request().await;
    assert_eq!(again, expected);
    peer.durable_reply(id, 2, &set(3)).await;
    let done = within(write).await.unwrap();
    assert_eq!(done, CallReply { reply: set(3), durability: Some(Durability::Fsync) });
    // Without a requested durability, the reply still reports what it got.
    let plain = client.go_with(put("b"), CallOptions::default());
    let (id, sent) = peer.request().await;
    assert_eq!(sent, RpcCall::from(put("b")));
    peer.durable_reply(id, 1, &set(4)).await;
    assert_eq!(within(plain).await.unwrap().durability, Some(Durability::Interval));
    // An unknown durability fails only the call it belongs to.
    let (first, second) = (client.go(get("a")), client.go(get("a")));
    let (id, _) = peer.request().await;
    peer.durable_reply(id, 3, &got(4)).await;
    assert_eq!(within(first).await.unwrap_err().code, ErrorCode::Protocol);
    let (id, _) = peer.request().await;
    peer.reply(id, &got(4)).await;
    assert_eq!(within(second).await.unwrap(), got(4));
}

#[tokio::test]
async fn what_names_things_of_a_store_is_not_sent_to_another() {
    let at = |revision| Request::from(KvRequest::Get(GetRequest { key: "a".into(), revision }));
    let range = |revision| RangeRequest { revision, ..RangeRequest::new(KeyRange::all()) };
    let leased = |lease| SetRequest { lease, ..SetRequest::new("a", "v") };
    let lists = |after| -> [Request; 2] {
        let watchers = HubRequest::Watchers { after, limit: 0 };
        [KvRequest::LeaseList { after, limit: 0 }.into(), watchers.into()]
    };
    let compare = |target| {
        let compare = Compare { range: KeyRange::key("a"), op: CompareOp::Equal, target };
        KvRequest::Txn(TxnRequest { compares: vec![compare], ..TxnRequest::default() }).into()
    };
    let txn = |txn| Request::from(KvRequest::Txn(txn));
    let success = |op| txn(TxnRequest { success: vec![op], ..TxnRequest::default() });
    let failure = |op| txn(TxnRequest { failure: vec![op], ..TxnRequest::default() });
    let of_one: [Request; 15] = [
        at(5),
        KvRequest::Range(range(5)).into(),
        KvRequest::Set(leased(5)).into(),
        compare(CompareTarget::CreateRevision(5)),
        compare(CompareTarget::ModRevision(5)),
        compare(CompareTarget::Lease(5)),
        success(TxnOp::Set(leased(5))),
        failure(TxnOp::Get(GetRequest { key: "a".into(), revision: 5 })),
        success(TxnOp::Range(range(5))),
        KvRequest::Compact(5).into(),
        KvRequest::LeaseKeepAlive(5).into(),
        KvRequest::LeaseRevoke(5).into(),
        KvRequest::LeaseTimeToLive(5).into(),
        KvRequest::LeaseKeys { id: 5, after: Blob::default(), limit: 0 }.into(),
        HubRequest::EndWatcher(5).into(),
    ];
    let of_any: [Request; 13] = [
        at(0),
        KvRequest::Range(range(0)).into(),
        KvRequest::Set(leased(0)).into(),
        KvRequest::Delete(DeleteRequest::new(KeyRange::all())).into(),
        compare(CompareTarget::Value("v".into())),
        compare(CompareTarget::Version(0)),
        success(TxnOp::Set(leased(0))),
        failure(TxnOp::Range(range(0))),
        success(TxnOp::Delete(DeleteRequest::new(KeyRange::all()))),
        KvRequest::LeaseGrant(LeaseGrantRequest { id: 5, ttl: Duration::from_secs(1) }).into(),
        HubRequest::Status.into(),
        NodeRequest::Limits.into(),
        NodeRequest::Gauges.into(),
    ];
    let server = Server::start().await;
    let (client, peer) = server.connect().await;
    drop(peer);
    while client.handle.with(|session, _| session.why_down()).is_none() {
        tokio::task::yield_now().await;
    }
    let refused: Vec<_> = of_one.into_iter().chain(lists(5)).map(|one| client.go(one)).collect();
    let keyed = client.go_with(KvRequest::Set(leased(5)), CallOptions::once(6));
    let sent: Vec<Request> = of_any.into_iter().chain(lists(0)).collect();
    let _calls: Vec<_> = sent.iter().map(|one| client.go(one.clone())).collect();
    let mut peer = server.accept(8, 1).await;
    for (nth, call) in refused.into_iter().enumerate() {
        let error = within(call).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::StoreChanged, "{nth}");
    }
    assert_eq!(within(keyed).await.unwrap_err().code, ErrorCode::StoreChanged);
    for request in &sent {
        assert_eq!(asks(&peer.request().await.1), request);
    }
}

#[tokio::test]
async fn a_wait_for_a_change_goes_on_from_where_it_began() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let timeout = Some(Duration::from_secs(60));
    let request = WaitRequest { timeout, ..WaitRequest::new(KeyRange::key("a")) };
    let wait = client.go_wait(request.clone());
    let (id, call) = peer.request().await;
    assert_eq!(call, RpcCall::Wait(request.clone()));
    peer.send(Kind::Push, id, &WirePush::Parked { revision: 15 }).await;
    // The connection is lost only after the client has processed that.
    peer.bare(Kind::Ping, 3).await;
    assert_eq!(peer.expect(Kind::Pong).await, 3);
    drop(peer);
    let mut peer = server.accept(7, 30).await;
    let (id, call) = peer.request().await;
    let RpcCall::Wait(again) = call else { panic!("{call:?}") };
    assert_eq!(again.after, Some(15));
    assert!(again.timeout < timeout, "{again:?}");
    let event = event(20);
    let met = WaitOutcome::Met { revision: 20, event: Some(event) };
    peer.send(Kind::Reply, id, &WireReply::from(&met)).await;
    assert_eq!(within(wait).await.unwrap(), met);
}

#[tokio::test]
async fn a_wait_whose_beginning_is_unknown_loses_nothing() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let _wait = client.go_wait(WaitRequest::new(KeyRange::key("a")));
    peer.request().await;
    drop(peer);
    let mut peer = server.accept(7, 30).await;
    let (_, call) = peer.request().await;
    assert!(matches!(call, RpcCall::Wait(WaitRequest { after: Some(10), .. })), "{call:?}");
}

#[tokio::test]
async fn a_wait_for_a_state_goes_on_in_another_store_and_a_wait_for_a_change_does_not() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (state, change) =
        (client.wait_for("a"), client.go_wait(WaitRequest::new(KeyRange::key("a"))));
    for _ in 0..2 {
        let (id, _) = peer.request().await;
        peer.send(Kind::Push, id, &WirePush::Parked { revision: 15 }).await;
    }
    peer.bare(Kind::Ping, 3).await;
    assert_eq!(peer.expect(Kind::Pong).await, 3);
    drop(peer);
    let mut peer = server.accept(8, 1).await;
    assert_eq!(within(change).await.unwrap_err().code, ErrorCode::StoreChanged);
    let (id, call) = peer.request().await;
    assert!(matches!(call, RpcCall::Wait(WaitRequest { after: None, .. })), "{call:?}");
    let met = WaitOutcome::Met { revision: 2, event: None };
    peer.send(Kind::Reply, id, &WireReply::from(&met)).await;
    assert_eq!(within(state).await.unwrap(), met);
}

#[tokio::test]
async fn the_deadline_goes_with_the_request_and_is_kept_here_too() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.with_deadline(Duration::from_millis(30)).go(put("a"));
    let (header, _) = peer.frame().await;
    assert!((1..=30).contains(&header.deadline_ms), "{header:?}");
    let error = within(call).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DeadlineExceeded);
    assert_eq!(peer.expect(Kind::Cancel).await, header.id);
}

#[tokio::test]
async fn without_a_connection_a_call_fails_at_its_deadline() {
    let server = Server::start().await;
    let (client, peer) = server.connect().await;
    drop((server, peer));
    let client = client.with_deadline(Duration::from_millis(50));
    let error = loop {
        match within(client.get("a")).await {
            Err(error) if error.message.contains("before the deadline") => break error,
            Err(_) => {}
            Ok(reply) => panic!("{reply:?}"),
        }
    };
    assert_eq!(error.code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn requests_past_the_bound_wait_for_their_turn_and_past_the_next_are_refused() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    (config.requests_in_flight_max, config.requests_queued_max) = (1, 1);
    let (client, mut peer) = server.connect_with(config).await;
    let (first, second) = (client.go(put("a")), client.go(get("b")));
    let error = within(client.go(get("c"))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LimitExceeded);
    let (id, _) = peer.request().await;
    // A second request before this reply would count as an answer to the ping.
    peer.bare(Kind::Ping, 9).await;
    assert_eq!(peer.expect(Kind::Pong).await, 9);
    peer.reply(id, &set(11)).await;
    assert_eq!(within(first).await.unwrap(), set(11));
    let (id, call) = peer.request().await;
    assert_eq!(asks(&call), &get("b"));
    peer.reply(id, &got(11)).await;
    assert_eq!(within(second).await.unwrap(), got(11));
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_fails_only_its_call() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (bad, wrong, good) = (client.go(get("a")), client.wait_for("b"), client.go(get("c")));
    let ids = [peer.request().await.0, peer.request().await.0, peer.request().await.0];
    peer.send(Kind::Reply, ids[0], &[0xff_u8; 9]).await;
    peer.reply(ids[1], &got(1)).await;
    peer.reply(ids[2], &got(11)).await;
    assert_eq!(within(bad).await.unwrap_err().code, ErrorCode::Protocol);
    assert_eq!(within(wrong).await.unwrap_err().code, ErrorCode::Protocol);
    assert_eq!(within(good).await.unwrap(), got(11));
}

impl Client {
    fn wait_for(&self, key: &str) -> crate::Call<WaitOutcome> {
        let condition = WaitCondition::Exists;
        self.go_wait(WaitRequest { condition, ..WaitRequest::new(KeyRange::key(key)) })
    }
}

#[tokio::test]
async fn garbage_ends_the_connection_not_the_client() {
    let giant = Header { body_bytes: u32::MAX, ..Header::bare(Kind::Reply, 1) }.encode().to_vec();
    let out_of_place = Header::bare(Kind::Welcome, 0).encode().to_vec();
    for garbage in [vec![0xee; 64], giant, out_of_place] {
        let server = Server::start().await;
        let (client, mut peer) = server.connect().await;
        let write = client.go(put("a"));
        peer.request().await;
        peer.raw(&garbage).await;
        peer.expect_end().await;
        assert_eq!(within(write).await.unwrap_err().code, ErrorCode::Unavailable);
        let read = client.go(get("b"));
        let mut peer = server.accept(7, 10).await;
        let (id, _) = peer.request().await;
        peer.reply(id, &got(11)).await;
        assert_eq!(within(read).await.unwrap(), got(11));
    }
}

#[tokio::test]
async fn a_server_that_leaves_gets_nothing_new_and_its_waits_go_on_elsewhere() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (wait, write) = (client.wait_for("a"), client.go(put("b")));
    let (waiting, _) = peer.request().await;
    let (writing, _) = peer.request().await;
    peer.bare(Kind::Goodbye, 0).await;
    peer.bare(Kind::Ping, 1).await;
    assert_eq!(peer.expect(Kind::Pong).await, 1);
    let read = client.go(get("c"));
    peer.reply(writing, &set(11)).await;
    assert_eq!(within(write).await.unwrap(), set(11));
    peer.refuse(waiting, ErrorCode::Unavailable).await;
    peer.expect_end().await;
    let mut peer = server.accept(7, 11).await;
    let (waiting, call) = peer.request().await;
    assert!(matches!(call, RpcCall::Wait(_)), "{call:?}");
    let (reading, call) = peer.request().await;
    assert_eq!(asks(&call), &get("c"));
    peer.reply(reading, &got(11)).await;
    assert_eq!(within(read).await.unwrap(), got(11));
    let met = WaitOutcome::Met { revision: 11, event: None };
    peer.send(Kind::Reply, waiting, &WireReply::from(&met)).await;
    assert_eq!(within(wait).await.unwrap(), met);
}

#[tokio::test]
async fn close_lets_requests_in_flight_end_and_nothing_begin() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (wait, write) = (client.wait_for("a"), client.go(put("b")));
    peer.request().await;
    let (id, _) = peer.request().await;
    let script = async {
        peer.expect(Kind::Goodbye).await;
        peer.reply(id, &set(11)).await;
        peer.expect_end().await;
    };
    within(async { tokio::join!(client.close(), script) }).await;
    assert_eq!(within(write).await.unwrap(), set(11));
    assert_eq!(within(wait).await.unwrap_err().code, ErrorCode::Unavailable);
    let late = KvRequest::Delete(DeleteRequest::new(KeyRange::all()));
    assert_eq!(within(client.go(late)).await.unwrap_err().code, ErrorCode::Unavailable);
    within(client.close()).await;
}

#[tokio::test]
async fn the_connection_closes_with_the_last_that_wants_it() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(get("a"));
    let ended = std::sync::Arc::downgrade(&client.handle.0);
    drop(client);
    let (id, _) = peer.request().await;
    peer.reply(id, &got(11)).await;
    assert_eq!(within(call).await.unwrap(), got(11));
    peer.expect_end().await;
    // The task holds it until its end.
    while ended.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_silent_server_is_asked_and_then_given_up() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    config.ping_interval = Duration::from_millis(20);
    config.ping_timeout = Duration::from_millis(250);
    config.connect_timeout = Duration::from_secs(20);
    let (client, mut peer) = server.connect_with(config).await;
    peer.expect(Kind::Ping).await;
    peer.expect_end().await;
    let read = client.go(get("a"));
    // The client has as little patience with the next connection: on a loaded machine, it pings there,
    // or gives that connection up too, before it has the reply.
    let serve = async {
        loop {
            let mut peer = server.accept(7, 10).await;
            while let Some((header, _)) = peer.try_frame().await {
                let mut out = Header::bare(Kind::Pong, header.id).encode().to_vec();
                if header.kind == Kind::Request {
                    out.clear();
                    let (kind, reply) = (Kind::Reply, got(11));
                    let body = WireReply::from(&reply);
                    codec::encode_frame(&mut out, kind, header.id, 0, &body, FRAME_BYTES_MAX)
                        .unwrap();
                }
                // Fails if the client has given up: it will come again.
                let _ = peer.socket.write_all(&out).await;
            }
        }
    };
    let reply = within(async {
        tokio::select! { reply = read => reply, () = serve => panic!() }
    });
    assert_eq!(reply.await.unwrap(), got(11));
}

#[test]
fn calls_fail_when_the_runtime_of_the_client_ends() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (client, call, _server, _peer) = first.block_on(async {
        let server = Server::start().await;
        let (client, peer) = server.connect().await;
        let call = client.go(get("a"));
        (client, call, server, peer)
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(within(call).await.unwrap_err().code, ErrorCode::Unavailable);
        within(client.close()).await;
    });
}
