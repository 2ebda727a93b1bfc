//! Revoked permissions take effect at once.

use futures_util::StreamExt;
use wakeful::auth::{Action, Pattern};
use wakeful::{
    ErrorCode, JobRef, JobReply, JobRequest, JobState, Jobs, KeyRange, Operations, PushOptions,
    Reply, Request, Reservation, ReserveRequest, Settlement, Verdict, WatchRequest,
};

use super::{NOT_LOGGED_IN, PERMISSION_DENIED, Users};
use crate::process::{TIMEOUT, until};
use crate::support::body::{self, Push};
use crate::support::jobs;
use crate::support::raw::ERROR;

fn take(users: &Users, action: Action, on: &str) {
    users.change(|book| book.revoke("app", action, &Pattern::parse(on).unwrap()).unwrap());
}

fn done(reservation: Reservation) -> Settlement {
    Settlement { reservation, verdict: Verdict::Done { output: "".into() } }
}

#[test]
fn a4_a_watch_and_a_wait_end_with_their_grant_and_others_go_on() {
    let users = Users::new(&[(Action::Watch, "a/*"), (Action::Watch, "b/*")]);
    let server = users.serve();
    let (mut root, mut app) = (users.raw("root", &server), users.raw("app", &server));
    let stream = app.open_stream(100_000);
    app.watch(stream, 1, body::prefix(b"a/"), body::From::Now);
    app.watch(stream, 2, body::prefix(b"b/"), body::From::Now);
    let wait = app.park(body::wait(body::prefix(b"a/"), body::CHANGED, 600_000));
    let kept = app.park(body::wait(body::prefix(b"b/"), body::CHANGED, 600_000));
    root.set(b"a/1", b"1");
    // One event on the watch, and the answer to the wait.
    let mut seen = (false, false);
    while seen != (true, true) {
        let frame = app.next();
        if frame.id == wait {
            seen.1 = true;
        } else if let Push::Events { .. } = frame.push() {
            seen.0 = true;
        }
    }
    let wait = app.park(body::wait(body::prefix(b"a/"), body::CHANGED, 600_000));
    take(&users, Action::Watch, "a/*");
    let mut ended = (false, false);
    while ended != (true, true) {
        let frame = app.next();
        if frame.kind == ERROR {
            assert_eq!((frame.id, frame.refusal().code), (wait, PERMISSION_DENIED));
            ended.1 = true;
        } else {
            let Push::Ended { watch_id, refusal } = frame.push() else { panic!("{frame:?}") };
            assert_eq!((watch_id, refusal.code), (1, PERMISSION_DENIED));
            ended.0 = true;
        }
    }
    root.set(b"a/2", b"2");
    root.set(b"b/1", b"1");
    let mut seen = (false, false);
    while seen != (true, true) {
        let frame = app.next();
        if frame.id == kept {
            seen.1 = true;
        } else {
            let Push::Events { deliveries, .. } = frame.push() else { panic!("{frame:?}") };
            assert!(deliveries.iter().all(|delivery| delivery.watch_id == 2), "{deliveries:?}");
            seen.0 = true;
        }
    }
    let status = root.status();
    assert_eq!((status.watches, status.waits), (1, 0));
}

#[test]
fn a4_a_watch_that_is_held_back_shows_nothing_more() {
    let users = Users::new(&[(Action::Watch, "a/*"), (Action::Watch, "b/*")]);
    let server = users.serve();
    let (mut root, mut app) = (users.raw("root", &server), users.raw("app", &server));
    let stream = app.open_stream(1);
    app.watch(stream, 1, body::prefix(b"a/"), body::From::Now);
    app.watch(stream, 2, body::prefix(b"b/"), body::From::Now);
    // The first event uses up the credit; the following ones wait at the server.
    root.set(b"a/1", b"1");
    let Push::Events { .. } = app.next().push() else { panic!("events") };
    root.set(b"a/2", b"hidden");
    root.set(b"b/1", b"1");
    take(&users, Action::Watch, "a/*");
    until("the watch is gone", || root.status().watches == 1);
    app.send(&crate::support::raw::credit(stream, 100_000));
    let mut ended = false;
    let mut shown = false;
    while !(ended && shown) {
        match app.next().push() {
            Push::Ended { watch_id: 1, refusal } => {
                assert_eq!(refusal.code, PERMISSION_DENIED);
                ended = true;
            }
            Push::Events { events, deliveries } => {
                assert!(deliveries.iter().all(|it| it.watch_id == 2), "{deliveries:?}");
                let shows = deliveries.iter().flat_map(|it| {
                    let first = it.first as usize;
                    &events[first..first + it.count as usize]
                });
                assert!(shows.into_iter().all(|event| event.key == b"b/1"));
                shown = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a4_a_watch_that_began_with_what_there_was_ends_with_the_grant_to_read_it() {
    let users = Users::new(&[(Action::Watch, "a/*"), (Action::Read, "a/*")]);
    let server = users.serve();
    let (mut root, mut app) = (users.raw("root", &server), users.raw("app", &server));
    for n in 0..20 {
        root.set(format!("a/{n:02}").as_bytes(), &vec![b'x'; 100_000]);
    }
    // The first push uses up the credit.
    let stream = app.open_stream(1);
    app.watch(stream, 1, body::prefix(b"a/"), body::From::Snapshot);
    let Push::Snapshot { kvs, .. } = app.next().push() else { panic!("a snapshot") };
    assert!(kvs.len() < 20, "all at once");
    let later = app.open_stream(100_000);
    app.watch(later, 2, body::prefix(b"a/"), body::From::Now);
    take(&users, Action::Read, "a/*");
    until("the watch is gone", || root.status().watches == 1);
    app.send(&crate::support::raw::credit(stream, 10_000_000));
    let Push::Ended { watch_id: 1, refusal } = app.next().push() else { panic!("its end") };
    assert_eq!(refusal.code, PERMISSION_DENIED);
    // A watch without previous values does not need the permission.
    root.set(b"a/1", b"new");
    let Push::Events { deliveries, .. } = app.next().push() else { panic!("an event") };
    assert_eq!(deliveries[0].watch_id, 2);
}

#[tokio::test]
async fn a4_whoever_awaits_a_job_by_its_id_does_so_no_longer_than_its_topic_may_be_seen() {
    let users = Users::new(&[(Action::Push, "mail"), (Action::Push, "other")]);
    let server = users.serve();
    let (root, app) = (users.client("root", &server).await, users.client("app", &server).await);
    let mut waits = Vec::new();
    for topic in ["mail", "other"] {
        let id = app.push(topic, "p", PushOptions::default()).await.unwrap().id;
        let awaits = JobRequest::Await { job: JobRef::Id(id), wait: Some(TIMEOUT) };
        waits.push((id, app.go(Request::Job(awaits))));
    }
    // Both are parked, because a request after them was answered.
    app.get_job(JobRef::Id(waits[1].0)).await.unwrap();
    take(&users, Action::Push, "mail");
    let (hidden, kept) = (waits.remove(0), waits.remove(0));
    let error = hidden.1.await.unwrap_err();
    assert_eq!(error.code, ErrorCode::JobNotFound, "{error}");
    let held = root.reserve(ReserveRequest::new("other")).await.unwrap();
    root.settle(vec![done(held[0].reservation)]).await.unwrap();
    let Ok(Reply::Job(JobReply::Job(info))) = kept.1.await else { panic!("its end") };
    assert_eq!((info.id, info.state), (kept.0, JobState::Done));
    root.close().await;
    app.close().await;
}

#[tokio::test]
async fn a4_jobs_go_back_at_no_cost_when_their_grant_ends() {
    let users = Users::new(&[(Action::Push, "*"), (Action::Work, "mail"), (Action::Work, "other")]);
    let server = users.serve();
    let root = users.client("root", &server).await;
    let app = users.client("app", &server).await;
    for topic in ["mail", "other"] {
        app.push(topic, "p", PushOptions::default()).await.unwrap();
    }
    let mail = app.reserve(ReserveRequest::new("mail")).await.unwrap();
    let other = app.reserve(ReserveRequest::new("other")).await.unwrap();
    let waits = app.go(wakeful::Request::Job(wakeful::JobRequest::Reserve(ReserveRequest {
        wait: Some(TIMEOUT),
        ..ReserveRequest::new("mail")
    })));
    take(&users, Action::Work, "mail");
    let error = waits.await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PermissionDenied, "{error}");
    let request = ReserveRequest { wait: Some(TIMEOUT), ..ReserveRequest::new("mail") };
    let again = root.reserve(request).await.unwrap();
    assert_eq!(again[0].reservation.id, mail[0].reservation.id);
    assert_eq!((again[0].losses, again[0].failures), (0, 0));
    let settled = app.settle(vec![done(mail[0].reservation)]).await.unwrap();
    assert_eq!(settled[0].as_ref().unwrap().code, ErrorCode::StaleReservation);
    // A job that is still permitted is still held.
    assert_eq!(app.settle(vec![done(other[0].reservation)]).await.unwrap(), [None]);
    assert_eq!(root.settle(vec![done(again[0].reservation)]).await.unwrap(), [None]);
    root.close().await;
    app.close().await;
}

#[test]
fn j21_a_reservation_is_resumed_by_its_user_alone_and_only_with_its_grant() {
    let users = Users::new(&[(Action::Push, "*"), (Action::Work, "mail"), (Action::Work, "other")]);
    let server = users.serve();
    let (mut root, mut app) = (users.raw("root", &server), users.raw("app", &server));
    let held = [b"mail".as_slice(), b"other"].map(|topic| {
        app.push_job(topic, b"p");
        app.call(jobs::resume(&[])).resumed();
        app.reserve_one(topic).reservation
    });
    drop(app);
    until("its end is noticed", || root.status().connections == 1);
    assert_eq!(root.call(jobs::resume(&held)).resumed(), [None, None], "not its own");
    take(&users, Action::Work, "mail");
    let mut app = users.raw("app", &server);
    until("it is seen", || app.call(jobs::reserve(b"mail", 1, 0)).kind == ERROR);
    assert_eq!(app.call(jobs::resume(&held)).resumed(), [None, Some(b"other".to_vec())]);
    assert_eq!(app.call(jobs::done(held[1], b"")).settled(), [None]);
    let again = root.reserve_one(b"mail");
    assert_eq!((again.reservation.id, again.losses), (held[0].id, 0), "it went back at no cost");
}

#[test]
fn a4_a_user_that_is_gone_is_told_so_and_holds_nothing() {
    let users = Users::new(&[(Action::Watch, "*"), (Action::Work, "mail"), (Action::Push, "mail")]);
    let server = users.serve();
    let (mut root, mut app) = (users.raw("root", &server), users.raw("app", &server));
    let stream = app.open_stream(100_000);
    app.watch(stream, 1, body::prefix(b"a/"), body::From::Now);
    app.push_job(b"mail", b"p");
    // The reservation could be resumed, but not without a login.
    app.call(jobs::resume(&[])).resumed();
    app.reserve_one(b"mail");
    users.change(|book| book.remove_user("app").unwrap());
    let refusal = app.refused();
    assert_eq!(refusal.code, NOT_LOGGED_IN, "{}", refusal.message);
    let again = root.reserve_one(b"mail");
    assert_eq!(again.reservation.epoch, 2);
    until("nothing is watched", || root.status().watches == 0);
    assert_eq!(root.call(jobs::done(again.reservation, b"")).settled(), [None]);
}

#[test]
fn a4_one_who_takes_no_output_is_revoked_too() {
    let users = Users::new(&[(Action::Read, "*"), (Action::Work, "mail")]);
    let server = users.serve();
    let (mut root, mut app) = (users.raw("root", &server), users.raw("app", &server));
    root.push_job(b"mail", b"p");
    app.reserve_one(b"mail");
    root.set(b"large", &vec![b'x'; 1_000_000]);
    for _ in 0..100 {
        app.ask(body::get(b"large"));
    }
    // The peer reads nothing, and more is to be sent than the sockets hold.
    users.change(|book| book.remove_user("app").unwrap());
    assert_eq!(root.reserve_one(b"mail").reservation.epoch, 2);
}

#[test]
fn a4_a_token_that_is_taken_back_ends_its_connections_only() {
    let users = Users::new(&[(Action::Read, "*")]);
    users.set_password("app");
    let server = users.serve();
    let mut by_token = users.raw("app", &server);
    let mut by_password = super::stranger(&server);
    by_password.call(super::login_password("app", super::PASSWORD)).login();
    users.change(|book| book.remove_token("app", "app").unwrap());
    assert_eq!(by_token.refused().code, NOT_LOGGED_IN);
    by_password.call(body::get(b"a")).reply(1);
    users.change(|book| book.set_password("app", None).unwrap());
    assert_eq!(by_password.refused().code, NOT_LOGGED_IN);
}

#[tokio::test]
async fn a4_the_watch_of_a_client_ends_with_the_reason() {
    let users = Users::new(&[(Action::Watch, "a/*")]);
    let server = users.serve();
    let app = users.client("app", &server).await;
    let mut watch = app.watch(WatchRequest::new(KeyRange::prefix("a/"))).await.unwrap();
    let command = users.spawn("app", &server, &["watch", "a/", "--prefix"]);
    let root = users.client("root", &server).await;
    until("both watch", || {
        users.run("root", &server, &["status", "--json"]).json()["watches"] == 2
    });
    take(&users, Action::Watch, "a/*");
    let error = tokio::time::timeout(TIMEOUT, watch.next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::PermissionDenied, "{error}");
    assert!(command.finish().fails(1).contains("not permitted"));
    root.close().await;
    app.close().await;
}
