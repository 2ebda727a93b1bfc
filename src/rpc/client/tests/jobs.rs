//! Requests to the queue, and the jobs that come to a client.

use super::*;
use crate::jobs::Jobs;
use crate::model::{
    JobRef, JobReply, JobRequest, JobState, PushOptions, PushRequest, Pushed, Request, Reservation,
    ReserveRequest, ReservedJob, Settlement, Unique, Verdict,
};

const FIRST: Reservation = Reservation { id: 1, epoch: 1 };
const SECOND: Reservation = Reservation { id: 2, epoch: 1 };

fn reserve() -> Request {
    let wait = Some(Duration::from_secs(60));
    Request::Job(JobRequest::Reserve(ReserveRequest { wait, ..ReserveRequest::new("t") }))
}

fn settle(reservation: Reservation, verdict: Verdict) -> Request {
    Request::Job(JobRequest::Settle(vec![Settlement { reservation, verdict }]))
}

fn done(reservation: Reservation) -> Request {
    settle(reservation, Verdict::Done { output: "o".into() })
}

fn given(reservations: &[Reservation]) -> Reply {
    let job = |reservation: &Reservation| ReservedJob {
        reservation: *reservation,
        topic: "t".into(),
        payload: "p".into(),
        index: None,
        order_key: None,
        failures: 0,
        losses: 0,
        pushed: 0,
    };
    Reply::Job(JobReply::Reserved(reservations.iter().map(job).collect()))
}

fn settled() -> Reply {
    Reply::Job(JobReply::Settled(vec![None]))
}

/// The next frame, a request to the queue: its id and what it asks.
async fn asked(peer: &mut Peer) -> (u64, JobRequest) {
    match peer.request().await {
        (id, Call::Store { request: Request::Job(job), .. }) => (id, job),
        (_, call) => panic!("{call:?}"),
    }
}

/// The next frames are a reserve, a set or a get: any of them.
async fn expect(peer: &mut Peer, request: &Request) -> u64 {
    let (id, call) = peer.request().await;
    let Call::Store { request: asked, .. } = &call else { panic!("{call:?}") };
    assert_eq!(asked, request);
    id
}

fn release(reservation: Reservation) -> Request {
    settle(reservation, Verdict::Release)
}

#[tokio::test]
async fn jobs_for_a_caller_who_gave_up_are_given_back() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    let (id, _) = asked(&mut peer).await;
    drop(call);
    assert_eq!(peer.expect(Kind::Cancel).await, id);
    // It was on its way already.
    peer.reply(id, &given(&[FIRST])).await;
    let id = expect(&mut peer, &release(FIRST)).await;
    peer.reply(id, &settled()).await;
}

#[tokio::test]
async fn jobs_that_came_and_were_not_taken_are_given_back() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    let (id, _) = asked(&mut peer).await;
    peer.reply(id, &given(&[FIRST])).await;
    while !call.is_done() {
        tokio::task::yield_now().await;
    }
    drop(call);
    expect(&mut peer, &release(FIRST)).await;
}

#[tokio::test]
async fn jobs_that_were_taken_are_the_callers() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    let (id, _) = asked(&mut peer).await;
    peer.reply(id, &given(&[FIRST])).await;
    assert_eq!(within(call).await.unwrap(), given(&[FIRST]));
    let _next = client.go(done(FIRST));
    expect(&mut peer, &done(FIRST)).await;
}

#[tokio::test]
async fn requests_that_wait_take_no_place_among_those_in_flight() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    config.requests_in_flight_max = 1;
    let (client, mut peer) = server.connect_with(config).await;
    let _reserves = [client.go(reserve()), client.go(reserve())];
    let job = JobRef::Id(1);
    let _get = client.go(Request::Job(JobRequest::Get(job.clone())));
    let _next = client.go(Request::Job(JobRequest::Get(job)));
    asked(&mut peer).await;
    asked(&mut peer).await;
    let (id, get) = asked(&mut peer).await;
    assert!(matches!(get, JobRequest::Get(_)));
    peer.bare(Kind::Ping, 9).await;
    assert_eq!(peer.expect(Kind::Pong).await, 9, "the other waits for its turn");
    peer.refuse(id, ErrorCode::JobNotFound).await;
    assert!(matches!(asked(&mut peer).await.1, JobRequest::Get(_)));
}

#[tokio::test]
async fn a_reserve_is_sent_again_for_the_rest_of_its_time() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    asked(&mut peer).await;
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    let (id, job) = asked(&mut peer).await;
    let JobRequest::Reserve(ReserveRequest { wait: Some(wait), .. }) = job else {
        panic!("{job:?}")
    };
    assert!(wait < Duration::from_secs(60) && !wait.is_zero());
    peer.reply(id, &given(&[FIRST])).await;
    assert_eq!(within(call).await.unwrap(), given(&[FIRST]));
}

fn push(index: Option<&str>, unique: Unique) -> Request {
    let index = index.map(Into::into);
    let options = PushOptions { index, unique, ..PushOptions::default() };
    let jobs = vec![PushRequest { options, ..PushRequest::new("t", "p") }];
    Request::Job(JobRequest::Push { jobs, wait: Duration::ZERO })
}

#[tokio::test]
async fn r3_only_a_push_whose_indexes_outlast_the_call_is_sent_again_and_not_to_another_store() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let lasts = server.config.call_deadline.unwrap();
    let stays = push(Some("i"), Unique::Finished(lasts));
    let again = client.go(stays.clone());
    let lost = [
        push(None, Unique::Finished(lasts)),
        push(Some("i"), Unique::Waiting),
        push(Some("i"), Unique::Unfinished),
        push(Some("i"), Unique::Finished(lasts / 2)),
        done(FIRST),
    ]
    .map(|request| client.go(request));
    for _ in 0..=lost.len() {
        asked(&mut peer).await;
    }
    drop(peer);
    for lost in lost {
        let error = within(lost).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(error.message.contains("outcome unknown"), "{error}");
    }
    let mut peer = server.accept(7, 10).await;
    let id = expect(&mut peer, &stays).await;
    let pushed = Pushed { id: 1, state: JobState::Done, existing: true };
    peer.reply(id, &Reply::Job(JobReply::Pushed(vec![pushed]))).await;
    within(again).await.unwrap();
    let again = client.go(stays);
    asked(&mut peer).await;
    drop(peer);
    let _peer = server.accept(8, 1).await;
    assert_eq!(within(again).await.unwrap_err().code, ErrorCode::StoreChanged);
}

#[tokio::test]
async fn a_job_of_another_store_is_not_asked_for_but_one_of_a_name_is() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let by_id = client.go(Request::Job(JobRequest::Get(JobRef::Id(1))));
    let index = JobRef::Index { topic: "t".into(), index: "i".into() };
    let by_name = Request::Job(JobRequest::Get(index));
    let _by_index = client.go(by_name.clone());
    asked(&mut peer).await;
    drop(peer);
    let mut peer = server.accept(8, 1).await;
    assert_eq!(within(by_id).await.unwrap_err().code, ErrorCode::StoreChanged);
    expect(&mut peer, &by_name).await;
}

#[tokio::test]
async fn r5_a_worker_finishes_what_it_has_while_the_server_leaves() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    let (id, _) = asked(&mut peer).await;
    peer.reply(id, &given(&[FIRST, SECOND])).await;
    within(call).await.unwrap();
    peer.bare(Kind::Goodbye, 0).await;
    while client.handle.with(|session, _| session.link != super::super::link::Link::Leaving) {
        tokio::task::yield_now().await;
    }
    let waits = client.go(reserve());
    let (first, second) = (client.go(done(FIRST)), client.go(done(SECOND)));
    let id = expect(&mut peer, &done(FIRST)).await;
    peer.reply(id, &settled()).await;
    let id = expect(&mut peer, &done(SECOND)).await;
    assert_eq!(within(first).await.unwrap(), settled());
    peer.reply(id, &settled()).await;
    assert_eq!(within(second).await.unwrap(), settled());
    peer.expect_end().await;
    let mut peer = server.accept(7, 10).await;
    asked(&mut peer).await;
    drop(waits);
}

#[tokio::test]
async fn a_client_that_closes_gives_its_jobs_back() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    let (id, _) = asked(&mut peer).await;
    peer.reply(id, &given(&[FIRST])).await;
    within(call).await.unwrap();
    let parked = client.go(reserve());
    let (parked_id, _) = asked(&mut peer).await;
    let close = client.close();
    let script = async {
        assert_eq!(peer.expect(Kind::Cancel).await, parked_id);
        let id = expect(&mut peer, &release(FIRST)).await;
        peer.expect(Kind::Goodbye).await;
        peer.reply(id, &settled()).await;
        // One that was on its way already.
        peer.reply(parked_id, &given(&[SECOND])).await;
        let id = expect(&mut peer, &release(SECOND)).await;
        peer.reply(id, &settled()).await;
        peer.expect_end().await;
    };
    within(async { tokio::join!(close, script) }).await;
    assert_eq!(within(parked).await.unwrap_err().code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn a_reserve_through_its_method_can_be_given_up() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let mut reserving = Box::pin(client.reserve(ReserveRequest::new("t")));
    let id = tokio::select! {
        _ = &mut reserving => panic!("not answered yet"),
        (id, _) = asked(&mut peer) => id,
    };
    drop(reserving);
    assert_eq!(peer.expect(Kind::Cancel).await, id);
    peer.refuse(id, ErrorCode::Cancelled).await;
}
