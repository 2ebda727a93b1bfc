//! Watches, and what a lost connection means for them.

use futures_util::StreamExt;

use super::*;
use crate::error::Details;
use crate::model::{
    HubRequest, KeyRange, KvRequest, RangeReply, RangeRequest, Request, StoreRequest, WatchFrom,
    WatchItem, WatchRequest,
};
use crate::operations::Operations;
use crate::rpc::client::{WatchMux, WatchStream};
use crate::rpc::proto::WireKeyValue;

async fn watch(client: &Client, peer: &mut Peer, from: WatchFrom) -> (WatchStream, u64) {
    let request = WatchRequest { from, ..WatchRequest::new(KeyRange::all()) };
    let (watch, (stream, granted)) =
        within(async { tokio::join!(client.watch(request.clone()), peer.grant_watch(10)) }).await;
    let asked = WatchRequest { progress: Some(client.config().watch_bookmark_interval), ..request };
    assert_eq!(granted, asked);
    (watch.unwrap(), stream)
}

async fn next(watch: &mut WatchStream) -> WatchItem {
    within(watch.next()).await.unwrap().unwrap()
}

fn events(revision: Revision, revisions: &[Revision]) -> WatchItem {
    let events = revisions.iter().map(|revision| event(*revision)).collect();
    WatchItem::Events { revision, events, skipped: 0 }
}

#[tokio::test]
async fn a_watch_yields_whole_revisions_and_resumes_after_a_cut_in_one() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    assert_eq!(watch.revision(), 10);
    peer.push(stream, &[11, 12], 12, true).await;
    peer.push(stream, &[12], 12, false).await;
    assert_eq!(next(&mut watch).await, events(11, &[11]));
    assert_eq!(watch.revision(), 11);
    assert_eq!(next(&mut watch).await, events(12, &[12, 12]));
    peer.push(stream, &[14, 15, 15], 15, true).await;
    assert_eq!(next(&mut watch).await, events(14, &[14]));
    drop(peer);
    let mut peer = server.accept(7, 20).await;
    let (stream, again) = peer.grant_watch(20).await;
    assert_eq!(again.from, WatchFrom::Revision(15));
    peer.push(stream, &[15, 15, 15], 16, false).await;
    assert_eq!(next(&mut watch).await, events(16, &[15, 15, 15]));
    assert_eq!(watch.revision(), 16);
}

#[tokio::test]
async fn a_watch_that_has_seen_nothing_resumes_where_it_was_added() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (_watch, _) = watch(&client, &mut peer, WatchFrom::Now).await;
    drop(peer);
    let mut peer = server.accept(7, 20).await;
    assert_eq!(peer.grant_watch(20).await.1.from, WatchFrom::Revision(11));
}

async fn progress(peer: &mut Peer, stream: u64, revision: Revision) {
    peer.send(Kind::Push, stream, &WirePush::Progress { watch_id: 1, revision }).await;
}

#[tokio::test]
async fn marks_that_nobody_asked_for_only_move_where_a_watch_resumes() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    peer.push(stream, &[11], 11, false).await;
    progress(&mut peer, stream, 15).await;
    // A mark that lags behind takes nothing back.
    progress(&mut peer, stream, 14).await;
    peer.push(stream, &[17], 17, false).await;
    assert_eq!(next(&mut watch).await, events(11, &[11]));
    assert_eq!(next(&mut watch).await, events(17, &[17]));
    progress(&mut peer, stream, 30).await;
    // The connection is lost only after the client has processed that.
    peer.bare(Kind::Ping, 3).await;
    assert_eq!(peer.expect(Kind::Pong).await, 3);
    assert_eq!(watch.revision(), 17);
    drop(peer);
    let mut peer = server.accept(7, 40).await;
    assert_eq!(peer.grant_watch(40).await.1.from, WatchFrom::Revision(31));
}

#[tokio::test]
async fn marks_that_the_caller_asked_for_are_handed_out() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let every = Some(Duration::from_secs(9));
    let request = WatchRequest { progress: every, ..WatchRequest::new(KeyRange::all()) };
    let (watch, (stream, granted)) =
        within(async { tokio::join!(client.watch(request.clone()), peer.grant_watch(10)) }).await;
    assert_eq!(granted, request);
    let mut watch = watch.unwrap();
    progress(&mut peer, stream, 15).await;
    assert_eq!(next(&mut watch).await, WatchItem::Progress { revision: 15 });
    assert_eq!(watch.revision(), 15);
    drop(peer);
    let mut peer = server.accept(7, 20).await;
    let (_, again) = peer.grant_watch(20).await;
    assert_eq!((again.from, again.progress), (WatchFrom::Revision(16), every));
}

#[tokio::test]
async fn a_server_that_allows_fewer_marks_is_asked_for_fewer() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let limit = |value| {
        let name = "watch.progress_interval_min".to_owned();
        Error::new(ErrorCode::LimitExceeded, "so often")
            .with_details(Details::Limit { name, value })
    };
    let script = async {
        let (stream, _) = peer.request().await;
        peer.send(Kind::Reply, stream, &WireReply::StreamOpen).await;
        let (id, _) = peer.request().await;
        peer.send(Kind::Error, id, &WireError::from(&limit(60_000))).await;
        let (id, call) = peer.request().await;
        let RpcCall::WatchAdd { watch, .. } = call else { panic!("{call:?}") };
        assert_eq!(watch.progress, Some(Duration::from_secs(60)));
        // A refusal of the interval that the server stated as allowed is final.
        peer.send(Kind::Error, id, &WireError::from(&limit(60_000))).await;
    };
    let request = WatchRequest::new(KeyRange::all());
    let (watch, ()) = within(async { tokio::join!(client.watch(request), script) }).await;
    assert_eq!(watch.unwrap_err().code, ErrorCode::LimitExceeded);
}

#[tokio::test]
async fn what_is_consumed_is_credited_and_what_is_not_is_not() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    config.watch_window_bytes = 400;
    let (client, mut peer) = server.connect_with(config).await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    let mut bytes = 0;
    for revision in 11..14 {
        bytes += peer.push(stream, &[revision], revision, false).await;
    }
    // Other calls continue, and no credit comes before their requests.
    let read = client.go(HubRequest::Status);
    let (id, _) = peer.request().await;
    peer.refuse(id, ErrorCode::Internal).await;
    assert_eq!(within(read).await.unwrap_err().code, ErrorCode::Internal);
    for revision in 11..14 {
        assert_eq!(next(&mut watch).await, events(revision, &[revision]));
    }
    let mut credited = 0;
    while credited + 200 <= bytes {
        credited += peer.expect_credit(stream).await;
    }
    assert!(credited <= bytes);
}

#[tokio::test]
async fn a_revision_larger_than_the_window_comes_through() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    config.watch_window_bytes = 100;
    let (client, mut peer) = server.connect_with(config).await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    for _ in 0..3 {
        let bytes = peer.push(stream, &[11, 11], 11, true).await;
        assert_eq!(peer.expect_credit(stream).await, bytes);
    }
    peer.push(stream, &[11], 11, false).await;
    assert_eq!(next(&mut watch).await, events(11, &[11; 7]));
}

#[tokio::test]
async fn a_server_that_floods_a_stream_is_cut_off() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    (config.watch_window_bytes, config.frame_bytes_max) = (100, 1000);
    let (client, mut peer) = server.connect_with(config).await;
    let (_watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    for revision in 11..30 {
        peer.push(stream, &[revision], revision, false).await;
    }
    peer.expect_end().await;
}

#[tokio::test]
async fn reconnects_add_no_memory_for_a_consumer_that_does_not_read() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    config.watch_window_bytes = 100;
    let (client, mut peer) = server.connect_with(config).await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    peer.push(stream, &[11], 11, false).await;
    peer.bare(Kind::Ping, 1).await;
    assert_eq!(peer.expect(Kind::Pong).await, 1);
    drop(peer);
    let mut peer = server.accept(7, 20).await;
    peer.bare(Kind::Ping, 2).await;
    assert_eq!(peer.expect(Kind::Pong).await, 2, "asked for more before there was room");
    assert_eq!(next(&mut watch).await, events(11, &[11]));
    assert_eq!(peer.grant_watch(20).await.1.from, WatchFrom::Revision(12));
}

/// Cuts the connection of a watch after the page of its snapshot that ends with key `a`; returns the
/// next connection, on which its stream was opened.
async fn cut_snapshot(server: &Server) -> (Client, WatchStream, Peer) {
    let (client, mut peer) = server.connect().await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Snapshot).await;
    let a = key_value("a", 5);
    let page = WirePush::Snapshot { watch_id: 1, revision: 10, kvs: vec![WireKeyValue::from(&a)] };
    peer.send(Kind::Push, stream, &page).await;
    let first = WatchItem::Snapshot { revision: 10, kvs: vec![a.into()] };
    assert_eq!(next(&mut watch).await, first);
    assert_eq!(watch.revision(), 0);
    drop(peer);
    let mut peer = server.accept(7, 20).await;
    peer.request().await;
    (client, watch, peer)
}

#[tokio::test]
async fn a_snapshot_that_was_cut_goes_on_after_its_last_key() {
    let server = Server::start().await;
    let (_client, mut watch, mut peer) = cut_snapshot(&server).await;
    let (id, call) = peer.request().await;
    let rest = RangeRequest {
        revision: 10,
        after: Some("a".into()),
        ..RangeRequest::new(KeyRange::all())
    };
    assert_eq!(call, RpcCall::from(KvRequest::Range(rest)));
    let kvs = vec![key_value("b", 6).into()];
    let page = RangeReply { revision: 20, kvs: kvs.clone(), more: false, count: 1, next: None };
    peer.reply(id, &Reply::Range(page)).await;
    assert_eq!(next(&mut watch).await, WatchItem::Snapshot { revision: 10, kvs });
    assert_eq!(next(&mut watch).await, WatchItem::SnapshotEnd { revision: 10 });
    assert_eq!(watch.revision(), 10);
    let (_, call) = peer.request().await;
    let RpcCall::WatchAdd { watch: request, .. } = call else { panic!("{call:?}") };
    assert_eq!(request.from, WatchFrom::Revision(11));
}

#[tokio::test]
async fn a_snapshot_that_was_cut_is_scanned_where_a_page_looks_at_too_much() {
    let server = Server::start().await;
    let (_client, mut watch, mut peer) = cut_snapshot(&server).await;
    let (id, _) = peer.request().await;
    let limit = Details::Limit { name: "store.steps_max".to_owned(), value: 9 };
    let error = Error::new(ErrorCode::LimitExceeded, "so").with_details(limit);
    peer.send(Kind::Error, id, &WireError::from(&error)).await;
    let kvs = vec![key_value("x", 6).into()];
    for (after, kvs, next) in [("a", vec![], Some("m".into())), ("m", kvs.clone(), None)] {
        let (id, call) = peer.request().await;
        let RpcCall::Store {
            request: Request::Store(StoreRequest::Kv(KvRequest::Scan(scan))), ..
        } = call
        else {
            panic!("{call:?}")
        };
        assert_eq!((scan.revision, scan.after), (10, Some(after.into())));
        let count = kvs.len() as u64;
        let page = RangeReply { revision: 20, kvs, more: next.is_some(), count, next };
        peer.reply(id, &Reply::Scan(page)).await;
    }
    assert_eq!(next(&mut watch).await, WatchItem::Snapshot { revision: 10, kvs });
    assert_eq!(next(&mut watch).await, WatchItem::SnapshotEnd { revision: 10 });
}

#[tokio::test]
async fn another_store_ends_watches() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (mut watch, _) = watch(&client, &mut peer, WatchFrom::Now).await;
    drop(peer);
    let _peer = server.accept(8, 1).await;
    let error = within(watch.next()).await.unwrap().unwrap_err();
    assert_eq!((error.code, &error.details), (ErrorCode::StoreChanged, &Details::None));
    assert!(within(watch.next()).await.is_none());
}

#[tokio::test]
async fn a_dropped_watch_is_cancelled() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    drop(watch);
    assert_eq!(peer.expect(Kind::Cancel).await, stream);
}

#[tokio::test]
async fn a_watch_that_is_refused_leaves_nothing() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let script = async {
        let (stream, _) = peer.request().await;
        let (id, _) = peer.request().await;
        peer.send(Kind::Reply, stream, &WireReply::StreamOpen).await;
        peer.refuse(id, ErrorCode::Compacted).await;
        (stream, peer.expect(Kind::Cancel).await)
    };
    let request = WatchRequest::new(KeyRange::all());
    let (watch, (stream, cancelled)) =
        within(async { tokio::join!(client.watch(request), script) }).await;
    assert_eq!(watch.unwrap_err().code, ErrorCode::Compacted);
    assert_eq!(stream, cancelled);
}

#[tokio::test]
async fn an_ended_watch_says_where_to_resume() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    let error = Error::new(ErrorCode::EndedByOperator, "so");
    let ended = WirePush::Ended { watch_id: 1, error: WireError::from(&error) };
    peer.send(Kind::Push, stream, &ended).await;
    let error = within(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::EndedByOperator);
    assert_eq!(error.details, Details::Resume { revision: 11 });
    assert!(within(watch.next()).await.is_none());
}

#[tokio::test]
async fn a_watch_whose_place_was_compacted_meanwhile_says_where_to_resume() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (mut watch, _) = watch(&client, &mut peer, WatchFrom::Now).await;
    drop(peer);
    let mut peer = server.accept(7, 40).await;
    let (stream, _) = peer.request().await;
    let (id, _) = peer.request().await;
    peer.send(Kind::Reply, stream, &WireReply::StreamOpen).await;
    let error = Error::new(ErrorCode::Compacted, "so")
        .with_details(Details::Revisions { oldest: 30, current: 40 });
    peer.send(Kind::Error, id, &WireError::from(&error)).await;
    let error = within(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::Compacted);
    assert_eq!(error.details, Details::Resume { revision: 30 });
    assert!(within(watch.next()).await.is_none());
}

#[tokio::test]
async fn a_watch_leaves_with_its_server_and_goes_on_elsewhere() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    peer.bare(Kind::Goodbye, 0).await;
    let error = Error::new(ErrorCode::Unavailable, "stopping");
    let ended = WirePush::Ended { watch_id: 1, error: WireError::from(&error) };
    peer.send(Kind::Push, stream, &ended).await;
    peer.expect_end().await;
    let mut peer = server.accept(7, 20).await;
    let (stream, again) = peer.grant_watch(20).await;
    assert_eq!(again.from, WatchFrom::Revision(11));
    peer.push(stream, &[11], 11, false).await;
    assert_eq!(next(&mut watch).await, events(11, &[11]));
}

#[tokio::test]
async fn watches_of_one_stream_share_its_events() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let mut mux: WatchMux = client.watch_mux();
    let request = || WatchRequest::new(KeyRange::all());
    let (first, (stream, _)) =
        within(async { tokio::join!(mux.add(request()), peer.grant_watch(10)) }).await;
    let grant = async {
        let (id, call) = peer.request().await;
        assert!(matches!(call, RpcCall::WatchAdd { watch_id: 2, .. }), "{call:?}");
        peer.send(Kind::Reply, id, &WireReply::WatchAdd { revision: 10 }).await;
    };
    let (second, ()) = within(async { tokio::join!(mux.add(request()), grant) }).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    let shown = [event(11), event(12)];
    let delivery = |watch_id, first, count| WireDelivery {
        watch_id,
        revision: 12,
        first,
        count,
        skipped: 0,
        fragment: false,
    };
    let push = WirePush::Events {
        events: shown.iter().map(|event| WireEvent::of(event, false, false)).collect(),
        deliveries: vec![delivery(2, 1, 1), delivery(1, 0, 2)],
    };
    peer.send(Kind::Push, stream, &push).await;
    let item = within(mux.next()).await.unwrap();
    assert_eq!(item, (second, Ok(events(12, &[12]))));
    mux.cancel(second);
    let (_, call) = peer.request().await;
    assert_eq!(call, RpcCall::WatchCancel { stream, watch_id: 2 });
    assert_eq!(within(mux.next()).await.unwrap(), (first, Ok(events(12, &[11, 12]))));
}

#[tokio::test]
async fn a_delivery_of_events_that_are_not_there_is_refused() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let (mut watch, stream) = watch(&client, &mut peer, WatchFrom::Now).await;
    let deliveries = vec![WireDelivery {
        watch_id: 1,
        revision: 11,
        first: u32::MAX,
        count: u32::MAX,
        skipped: 0,
        fragment: false,
    }];
    peer.send(Kind::Push, stream, &WirePush::Events { events: Vec::new(), deliveries }).await;
    peer.expect_end().await;
    let mut peer = server.accept(7, 20).await;
    let (stream, again) = peer.grant_watch(20).await;
    assert_eq!(again.from, WatchFrom::Revision(11));
    peer.send(Kind::Push, stream, &[0xff_u8; 5]).await;
    let error = within(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::Protocol);
}
