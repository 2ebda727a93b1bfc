//! Denied requests are refused, and reveal nothing.

use wakeful::auth::Action;

use super::{PERMISSION_DENIED, Users};
use crate::process::Server;
use crate::support::body::{self, Body};
use crate::support::jobs;
use crate::support::raw::Raw;

const LEASE_NOT_FOUND: u16 = wakeful::ErrorCode::LeaseNotFound as u16;
const STALE_RESERVATION: u16 = wakeful::ErrorCode::StaleReservation as u16;
const JOB_NOT_FOUND: u16 = wakeful::ErrorCode::JobNotFound as u16;

fn denied(raw: &mut Raw, body: Body) -> String {
    let refusal = raw.call(body).refusal();
    assert_eq!(refusal.code, PERMISSION_DENIED, "{}", refusal.message);
    assert_eq!(refusal.details, body::Details::None);
    refusal.message
}

fn shop() -> (Users, Server, Raw, Raw) {
    let users = Users::new(&[
        (Action::Read, "shop/*"),
        (Action::Write, "shop/*"),
        (Action::Watch, "shop/*"),
        (Action::Push, "orders"),
        (Action::Work, "orders"),
    ]);
    let server = users.serve();
    let (root, app) = (users.raw("root", &server), users.raw("app", &server));
    (users, server, root, app)
}

#[test]
fn a2_another_prefix_is_denied_and_looks_the_same_whether_it_is_there_or_not() {
    let (_users, _server, mut root, mut app) = shop();
    root.set(b"secret", b"1");
    root.set(b"shop/a", b"1");
    app.set(b"shop/b", b"2");
    assert_eq!(app.call(body::get(b"shop/a")).kind, crate::support::raw::REPLY);
    let there = denied(&mut app, body::get(b"secret"));
    assert_eq!(there, denied(&mut app, body::get(b"nothing")));
    let there = denied(&mut app, body::set(b"secret", b"2"));
    assert_eq!(there, denied(&mut app, body::set(b"nothing", b"2")));
    denied(&mut app, body::count(body::prefix(b"")));
    denied(&mut app, body::count(body::prefix(b"sho")));
    denied(&mut app, body::wait(body::key(b"secret"), body::CHANGED, 1));
    denied(&mut app, body::status());
    denied(&mut app, body::compact(1));
    let stream = app.open_stream(1_000);
    app.watch(stream, 1, body::prefix(b"shop/"), body::From::Now);
    denied(&mut app, body::watch_add(stream, 2, body::prefix(b"s"), body::From::Now));
    // A transaction is permitted as a whole or not at all.
    denied(&mut app, body::txn_of_sets(&[(b"shop/c", b"3"), (b"secret", b"3")]));
    assert_eq!(root.status().keys, 3);
}

/// Returns the id of a lease without keys.
fn grant(raw: &mut Raw) -> u64 {
    let frame = raw.call(Body::request(5).u64(0).u64(60_000));
    let mut reader = frame.reply(5);
    let _revision = reader.u64();
    reader.u64()
}

/// Sets a key with a private lease.
fn lasting(key: &[u8], ttl_ms: u64) -> Body {
    Body::request(0).bytes(key).bytes(b"v").u64(0).u64(ttl_ms).u8(0).u8(0)
}

/// Asserts that the lease does not exist for the caller.
fn no_lease(raw: &mut Raw, body: Body) -> String {
    let refusal = raw.call(body).refusal();
    assert_eq!(refusal.code, LEASE_NOT_FOUND, "{}", refusal.message);
    refusal.message
}

#[test]
fn a2_a_lease_is_whoevers_its_keys_are() {
    let (_users, _server, mut root, mut app) = shop();
    let bind = |key: &[u8], lease: u64| {
        Body::request(0).bytes(key).bytes(b"v").u64(lease).u64(0).u8(0).u8(0)
    };
    let (own, others) = (grant(&mut app), grant(&mut root));
    root.call(bind(b"secret", others)).reply(0);
    let nothing = others + 1;
    for request in [6, 7, 8] {
        let there = no_lease(&mut app, Body::request(request).u64(others));
        let told = no_lease(&mut app, Body::request(request).u64(nothing));
        assert_eq!(there, told.replace(&nothing.to_string(), &others.to_string()));
    }
    no_lease(&mut app, bind(b"shop/x", others));
    app.call(bind(b"shop/x", own)).reply(0);
    app.call(bind(b"shop/y", own)).reply(0);
    app.call(Body::request(6).u64(own)).reply(6);
    app.call(Body::request(8).u64(own)).reply(8);
    denied(&mut app, Body::request(9).u64(0).u32(0));
    // Once a key of another user is bound to it, the lease is not the user's alone.
    root.call(bind(b"secret2", own)).reply(0);
    no_lease(&mut app, Body::request(7).u64(own));
    assert_eq!(root.status().keys, 4);
    root.call(Body::request(7).u64(own)).reply(7);
    assert_eq!(root.status().keys, 1);
}

/// Any user who knows the id of a lease without keys may use it.
#[test]
fn a2_the_id_of_a_lease_is_not_to_be_guessed_from_others() {
    let (_users, _server, mut root, mut app) = shop();
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(grant(if n % 2 == 0 { &mut root } else { &mut app }));
        // The id of a private lease is shown to every reader of its key.
        let private = app.call(lasting(b"shop/t", 60_000));
        let mut reader = private.reply(0);
        let (_revision, _changed) = (reader.u64(), reader.bool());
        ids.push(reader.u64());
        app.call(body::set(b"shop/t", b"v"));
    }
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[1] - pair[0] > 1_000), "{ids:?}");
    assert!(ids.iter().all(|id| *id < 1 << 53), "whole numbers in any reader of JSON: {ids:?}");
}

#[test]
fn a2_jobs_of_other_topics_are_out_of_reach() {
    let (_users, _server, mut root, mut app) = shop();
    let secret = root.push_job(b"secret", b"p");
    let own = app.push_job(b"orders", b"p");
    denied(&mut app, jobs::push(b"secret", b"p"));
    denied(&mut app, jobs::reserve(b"secret", 1, 0));
    assert_eq!(app.call(jobs::get(own)).job_state(), 0);
    for body in [jobs::get(secret), jobs::cancel(secret)] {
        let there = app.call(body).refusal();
        assert_eq!(there.code, JOB_NOT_FOUND);
        let nothing = app.call(jobs::get(999)).refusal();
        assert_eq!(there.message.replace(&secret.to_string(), "999"), nothing.message);
    }
    let held = root.reserve_one(b"secret").reservation;
    for body in [jobs::done(held, b"stolen"), jobs::touch(held)] {
        let settled = app.call(body).settled();
        assert_eq!(settled[0].as_ref().unwrap().code, STALE_RESERVATION);
    }
    assert_eq!(root.call(jobs::done(held, b"right")).settled(), [None]);
    // A finished job is out of reach, too.
    assert_eq!(app.call(jobs::get(secret)).refusal().code, JOB_NOT_FOUND);
    assert_eq!(app.call(jobs::cancel(secret)).refusal().code, JOB_NOT_FOUND);
    let held = app.reserve_one(b"orders").reservation;
    assert_eq!(app.call(jobs::done(held, b"")).settled(), [None]);
}

#[test]
fn a2_administration_is_for_admins() {
    let (users, server, _root, _app) = shop();
    for arguments in [
        &["status"][..],
        &["compact", "1"],
        &["watchers"],
        &["topics"],
        &["topics", "set", "orders", "--concurrency", "1"],
        &["lease", "list"],
        &["job", "schedules"],
    ] {
        let told = users.run("app", &server, arguments).fails(1);
        assert!(
            told.contains("not permitted") && told.contains("`admin`"),
            "{arguments:?}: {told}"
        );
        users.run("root", &server, arguments).ok();
    }
    let json = users.run("app", &server, &["get", "secret", "--json"]).fails(1);
    assert!(json.contains("\"code\":\"PermissionDenied\""), "{json}");
}
