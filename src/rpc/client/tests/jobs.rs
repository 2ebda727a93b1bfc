//! Requests to the queue, and the jobs handed out to a client.

use super::*;
use crate::jobs::Jobs;
use crate::model::{
    JobRef, JobReply, JobRequest, JobState, PushOptions, PushRequest, Pushed, Request, Reservation,
    ReserveRequest, ReservedJob, Settlement, Unique, Verdict,
};
use crate::rpc::client::Call as ClientCall;

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
    let job = |reservation: &Reservation| ReservedJob::new(*reservation, "t", "p");
    Reply::Job(JobReply::Reserved(reservations.iter().map(job).collect()))
}

fn settled() -> Reply {
    Reply::Job(JobReply::Settled(vec![None]))
}

/// Returns the next frame, a request to the queue, with its id.
async fn asked_first(peer: &mut Peer) -> (u64, JobRequest) {
    match peer.request().await {
        (id, RpcCall::Store { request: Request::Job(job), .. }) => (id, job),
        (_, call) => panic!("{call:?}"),
    }
}

/// Returns the next request to the queue other than an announcement, which is answered.
async fn asked(peer: &mut Peer) -> (u64, JobRequest) {
    loop {
        match asked_first(peer).await {
            (id, JobRequest::Resume(none)) if none.is_empty() => {
                peer.reply(id, &resumed(&[])).await
            }
            asked => return asked,
        }
    }
}

/// Expects this request in the next frame; returns its id.
async fn expect(peer: &mut Peer, request: &Request) -> u64 {
    let (id, asked) = asked(peer).await;
    assert_eq!(Request::Job(asked), *request);
    id
}

/// Expects a request to resume these in the next frame; returns its id.
async fn expect_resume(peer: &mut Peer, reservations: &[Reservation]) -> u64 {
    let (id, asked) = asked_first(peer).await;
    assert_eq!(asked, JobRequest::Resume(reservations.to_vec()));
    id
}

fn resumed(kept: &[bool]) -> Reply {
    let topic = |kept: &bool| kept.then(|| "t".into());
    Reply::Job(JobReply::Resumed(kept.iter().map(topic).collect()))
}

fn revoked() -> Request {
    Request::Job(JobRequest::Revoked { wait: Some(Duration::from_secs(60)) })
}

fn told(reservations: &[Reservation]) -> Reply {
    Reply::Job(JobReply::Revoked(reservations.to_vec()))
}

/// Makes the client request jobs, and hands these out to it on this connection.
async fn give(client: &Client, peer: &mut Peer, reservations: &[Reservation]) -> ClientCall<Reply> {
    let call = client.go(reserve());
    let (id, _) = asked(peer).await;
    peer.reply(id, &given(reservations)).await;
    call
}

/// Makes the client take these jobs on this connection.
async fn take(client: &Client, peer: &mut Peer, reservations: &[Reservation]) {
    within(give(client, peer, reservations).await).await.unwrap();
}

/// Hands these jobs out to the client on this connection, and waits until it has them; no caller takes
/// them.
async fn leave_untaken(
    client: &Client,
    peer: &mut Peer,
    reservations: &[Reservation],
) -> ClientCall<Reply> {
    let call = give(client, peer, reservations).await;
    while !call.is_done() {
        tokio::task::yield_now().await;
    }
    call
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
    // It was already in flight.
    peer.reply(id, &given(&[FIRST])).await;
    let id = expect(&mut peer, &release(FIRST)).await;
    peer.reply(id, &settled()).await;
}

#[tokio::test]
async fn jobs_that_came_and_were_not_taken_are_given_back() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = leave_untaken(&client, &mut peer, &[FIRST]).await;
    drop(call);
    expect(&mut peer, &release(FIRST)).await;
}

#[tokio::test]
async fn jobs_that_were_taken_are_the_callers() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = give(&client, &mut peer, &[FIRST]).await;
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
    while client
        .handle
        .with(|session, _| session.link != super::super::connection_state::ConnectionState::Leaving)
    {
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
async fn r5_a_server_that_leaves_is_left_when_a_touch_says_that_the_job_is_anothers() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    let (id, _) = asked(&mut peer).await;
    peer.reply(id, &given(&[FIRST])).await;
    within(call).await.unwrap();
    peer.bare(Kind::Goodbye, 0).await;
    let touch = JobRequest::Touch { reservations: vec![FIRST], visibility: None };
    let touched = client.go(Request::Job(touch));
    let (id, _) = asked(&mut peer).await;
    let stale = Some(Error::new(ErrorCode::StaleReservation, "stale"));
    peer.reply(id, &Reply::Job(JobReply::Settled(vec![stale]))).await;
    within(touched).await.unwrap();
    peer.expect_end().await;
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
        // One that was already in flight.
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

#[tokio::test]
async fn j21_a_client_resumes_what_it_holds_before_it_asks_for_anything_else() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = client.go(reserve());
    expect_resume(&mut peer, &[]).await;
    let (id, _) = asked(&mut peer).await;
    peer.reply(id, &given(&[FIRST, SECOND])).await;
    within(call).await.unwrap();
    let first = client.go(done(FIRST));
    let id = expect(&mut peer, &done(FIRST)).await;
    peer.reply(id, &settled()).await;
    within(first).await.unwrap();
    drop(peer);
    // The client reconnects without any other request.
    let mut peer = server.accept(7, 10).await;
    let id = expect_resume(&mut peer, &[SECOND]).await;
    let second = client.go(done(SECOND));
    peer.bare(Kind::Ping, 9).await;
    assert_eq!(peer.expect(Kind::Pong).await, 9, "nothing is asked before the answer");
    peer.reply(id, &resumed(&[true])).await;
    let id = expect(&mut peer, &done(SECOND)).await;
    peer.reply(id, &settled()).await;
    assert_eq!(within(second).await.unwrap(), settled());
}

#[tokio::test]
async fn j21_whoever_asks_for_what_is_revoked_is_told_of_what_is_lost() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    take(&client, &mut peer, &[FIRST, SECOND]).await;
    // Of two workers on one connection, only one holds the job.
    let waiting = [client.go(revoked()), client.go(revoked())];
    for _ in &waiting {
        assert_eq!(Request::Job(asked(&mut peer).await.1), revoked());
    }
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    let (id, asked) = asked_first(&mut peer).await;
    let JobRequest::Resume(asked) = asked else { panic!("{asked:?}") };
    let kept: Vec<bool> = asked.iter().map(|it| *it == SECOND).collect();
    peer.reply(id, &resumed(&kept)).await;
    for waiting in waiting {
        assert_eq!(within(waiting).await.unwrap(), told(&[FIRST]));
    }
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    let id = expect_resume(&mut peer, &[SECOND]).await;
    peer.reply(id, &resumed(&[false])).await;
    peer.bare(Kind::Ping, 9).await;
    assert_eq!(peer.expect(Kind::Pong).await, 9);
    assert_eq!(within(client.go(revoked())).await.unwrap(), told(&[SECOND]), "when it asks");
}

#[tokio::test]
async fn j21_another_store_and_a_server_that_resumes_nothing_have_none_of_the_jobs() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    take(&client, &mut peer, &[FIRST]).await;
    let waiting = client.go(revoked());
    asked(&mut peer).await;
    drop(peer);
    let mut peer = server.accept(8, 1).await;
    assert_eq!(within(waiting).await.unwrap(), told(&[FIRST]));
    take(&client, &mut peer, &[SECOND]).await;
    let waiting = client.go(revoked());
    asked(&mut peer).await;
    drop(peer);
    let mut peer = server.accept(8, 1).await;
    let id = expect_resume(&mut peer, &[SECOND]).await;
    peer.refuse(id, ErrorCode::Protocol).await;
    assert_eq!(within(waiting).await.unwrap(), told(&[SECOND]));
    take(&client, &mut peer, &[FIRST]).await;
}

#[tokio::test]
async fn j21_a_client_that_is_refused_for_good_has_lost_its_jobs() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    take(&client, &mut peer, &[FIRST]).await;
    let waiting = client.go(revoked());
    asked(&mut peer).await;
    drop(peer);
    server.refuse(ErrorCode::LoginFailed).await;
    assert_eq!(within(waiting).await.unwrap(), told(&[FIRST]));
}

#[tokio::test]
async fn j21_a_refusal_that_will_pass_loses_nothing() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    take(&client, &mut peer, &[FIRST]).await;
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    let id = expect_resume(&mut peer, &[FIRST]).await;
    peer.refuse(id, ErrorCode::Unavailable).await;
    drop(peer);
    let mut peer = server.accept(7, 10).await;
    let id = expect_resume(&mut peer, &[FIRST]).await;
    peer.reply(id, &resumed(&[true])).await;
    let _done = client.go(done(FIRST));
    expect(&mut peer, &done(FIRST)).await;
}

#[tokio::test]
async fn j21_jobs_that_nobody_took_before_the_cut_are_given_back_and_not_resumed() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    let call = leave_untaken(&client, &mut peer, &[FIRST]).await;
    drop(peer);
    while client.handle.with(|session, _| session.why_down().is_none()) {
        tokio::task::yield_now().await;
    }
    drop(call);
    let mut peer = server.accept(7, 10).await;
    let id = expect(&mut peer, &release(FIRST)).await;
    peer.reply(id, &settled()).await;
}

#[tokio::test]
async fn j17_with_its_last_handle_a_client_says_goodbye() {
    let server = Server::start().await;
    let (client, mut peer) = server.connect().await;
    take(&client, &mut peer, &[FIRST]).await;
    drop(client);
    peer.expect(Kind::Goodbye).await;
    peer.expect_end().await;
}

#[test]
fn j21_a_connection_resumes_what_its_client_holds_by_slices() {
    let welcome = super::super::connection_state::ServerWelcome {
        store_id: 7,
        revision: 1,
        frame_bytes_max: FRAME_BYTES_MAX,
        requests_in_flight_max: 1,
    };
    let config = ClientConfig::new("nowhere");
    let mut session = super::super::session::ClientSession::new(config, &welcome);
    let now = std::time::Instant::now();
    let all: Vec<Reservation> = (1..=200).map(|id| Reservation { id, epoch: 1 }).collect();
    let Reply::Job(jobs) = given(&all) else { panic!() };
    session.held.note(&crate::held::ConcernedJobs::default(), &jobs, || now);
    session.cut(Error::new(ErrorCode::Unavailable, "cut"));
    session.welcome(&welcome, now);
    let (mut out, mut asked) = (Vec::new(), Vec::new());
    session.take_output(&mut out, now);
    let mut rest = &out[..];
    while let Some((_, body, after)) = frame::split(rest, FRAME_BYTES_MAX).unwrap() {
        let call = RpcCall::from(codec::decode::<WireCall<'_>>(body).unwrap());
        let RpcCall::Store { request: Request::Job(JobRequest::Resume(some)), .. } = call else {
            panic!("{call:?}")
        };
        assert!(some.len() <= 64);
        asked.extend(some);
        rest = after;
    }
    asked.sort_unstable();
    assert_eq!(asked, all);
}
