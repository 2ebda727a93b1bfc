//! One client that takes all it can of a shared resource.

use wakeful::auth::Action;

use super::LIMIT_EXCEEDED;
use super::beside::Beside;
use super::victim::Victim;
use crate::auth::Users;
use crate::support::body::{self, Body, Details, From, key, stream_open, watch_add};
use crate::support::jobs;
use crate::support::raw::{ERROR, Raw, request};

/// The state of a job.
const CANCELLED: u32 = 5;

const DAY_MS: u64 = 24 * 3_600_000;

/// A limited shared resource.
struct Shared {
    limit: &'static str,
    max: u64,
    /// The units that the client beside the attack holds.
    beside: u64,
    /// Requests the nth unit, for as long as possible.
    ask: fn(u64) -> Body,
}

/// A server with users and this limit, on which `app` has the permissions that the attack needs.
fn server(users: &Users, limit: &str, max: u64) -> Victim {
    Victim::of(users.serve_with(&["--limit", &format!("{limit}={max}")]))
}

fn users() -> Users {
    let grants = [Action::Read, Action::Write, Action::Watch, Action::Push, Action::Work];
    Users::new(&grants.map(|action| (action, "*")))
}

/// Requests as many units as are allowed at once; returns the number of refusals, all of which must
/// name the limit. Requests that park are not answered, so `refused` is the number of answers to
/// wait for.
fn take_all(raw: &mut Raw, shared: &Shared, from: u64, refused: u64) {
    let Shared { limit, max, ask, .. } = *shared;
    let first = 1_000_000 * from + 1;
    let requests = (0..max).flat_map(|nth| request(first + nth, ask(from * max + nth)));
    raw.send(&requests.collect::<Vec<u8>>());
    let mut errors = 0;
    while errors < refused {
        let answer = raw.next();
        if answer.kind != ERROR {
            continue;
        }
        let refusal = answer.refusal();
        assert_eq!(refusal.code, LIMIT_EXCEEDED, "{refusal:?}");
        let name = limit.to_owned();
        assert_eq!(refusal.details, Details::Limit { name, value: max }, "{refusal:?}");
        errors += 1;
    }
}

/// Checks that `app` gets half of the limit, over any number of connections, and that `root` has
/// room then.
fn check(shared: &Shared) {
    let users = users();
    let victim = server(&users, shared.limit, shared.max);
    let beside = Beside::over(users.raw("root", victim.server()));
    let mut attackers = [(); 3].map(|()| users.raw("app", victim.server()));
    let left = shared.max - shared.beside;
    let [first, others @ ..] = &mut attackers;
    take_all(first, shared, 1, shared.max - left.div_ceil(2));
    for (nth, other) in others.iter_mut().enumerate() {
        take_all(other, shared, 2 + nth as u64, shared.max);
    }
    let mut root = users.raw("root", victim.server());
    // The second request comes after the first, and is answered at once.
    let asked = request(7, (shared.ask)(77_777_777));
    root.send(&[asked, request(8, jobs::push(b"other", b"job"))].concat());
    loop {
        let answer = root.next();
        assert!(answer.kind != ERROR, "{}: {:?}", shared.limit, answer.refusal());
        if answer.id == 8 {
            break;
        }
    }
    beside.finish();
}

/// One user parked 200,000 reserves, and no worker of any topic could wait for a day.
#[test]
fn abuse_31_a_user_that_parks_all_it_may_leaves_room_for_the_workers_of_others() {
    let limit = "queue.parked_max";
    check(&Shared { limit, max: 400, beside: 0, ask: |_| jobs::reserve(b"jobs", 1, DAY_MS) });
    // The workers of other users get their jobs.
    let users = users();
    let victim = server(&users, limit, 400);
    let mut app = users.raw("app", victim.server());
    let ask = |_| jobs::reserve(b"jobs", 1, DAY_MS);
    take_all(&mut app, &Shared { limit, max: 400, beside: 0, ask }, 1, 200);
    let mut root = users.raw("root", victim.server());
    let waits = root.ask(jobs::reserve(b"mine", 1, DAY_MS));
    let pushed = root.ask(jobs::push(b"mine", b"job"));
    let mut answers = [root.next(), root.next()];
    answers.sort_by_key(|answer| answer.id);
    assert_eq!([answers[0].id, answers[1].id], [waits, pushed]);
    assert_eq!(answers[0].reserved()[0].payload, b"job");
}

#[test]
fn abuse_31_without_users_a_connection_is_a_client() {
    let victim = Victim::with(&["queue.parked_max=400"]);
    let ask = |_| jobs::reserve(b"jobs", 1, DAY_MS);
    let shared = Shared { limit: "queue.parked_max", max: 400, beside: 0, ask };
    let mut attackers = [(); 3].map(|()| victim.attack());
    for (nth, (raw, taken)) in attackers.iter_mut().zip([200, 100, 50]).enumerate() {
        take_all(raw, &shared, 1 + nth as u64, 400 - taken);
    }
    let mut other = victim.attack();
    let waits = other.ask(jobs::reserve(b"mine", 1, DAY_MS));
    other.ask(jobs::push(b"mine", b"job"));
    while other.next().id != waits {}
}

#[test]
fn abuse_31_a_user_that_waits_for_the_end_of_a_job_all_it_may_leaves_room_for_others() {
    let users = users();
    let victim = server(&users, "queue.parked_max", 400);
    let mut app = users.raw("app", victim.server());
    let job = app.push_job(b"jobs", b"job");
    assert_eq!(job, 1);
    let ask = |_| jobs::await_finished(1, DAY_MS);
    take_all(&mut app, &Shared { limit: "queue.parked_max", max: 400, beside: 0, ask }, 1, 200);
    let mut root = users.raw("root", victim.server());
    let waits = root.ask(ask(0));
    let cancelled = root.ask(jobs::cancel(job));
    let mut answers = [root.next(), root.next()];
    answers.sort_by_key(|answer| answer.id);
    assert_eq!([answers[0].id, answers[1].id], [waits, cancelled]);
    assert_eq!(answers[0].job_state(), CANCELLED);
}

#[test]
fn abuse_31_a_user_that_waits_and_watches_all_it_may_leaves_room_for_others() {
    check(&Shared {
        limit: "watch.watches_max",
        max: 400,
        beside: 1,
        ask: |_| body::wait(key(b"never"), body::CHANGED, DAY_MS),
    });
    check(&Shared { limit: "watch.streams_max", max: 100, beside: 1, ask: |_| stream_open(0) });
}

#[test]
fn abuse_31_a_user_that_watches_by_streams_leaves_room_for_others() {
    let users = users();
    let victim = server(&users, "watch.watches_max", 200);
    let mut app = users.raw("app", victim.server());
    let stream = app.open_stream(1_000);
    let add = |id: u64| watch_add(stream, id, key(format!("k/{id}").as_bytes()), From::Now);
    let requests: Vec<u8> = (1..=200).flat_map(|id| request(stream + id, add(id))).collect();
    app.send(&requests);
    let refused = (1..=200).filter(|_| app.next().kind == ERROR).count();
    assert_eq!(refused, 100);
    let mut root = users.raw("root", victim.server());
    let stream = root.open_stream(1_000);
    root.watch(stream, 1, key(b"a"), From::Now);
}

#[test]
fn abuse_31_a_user_that_makes_all_topics_and_leases_it_may_leaves_room_for_others() {
    check(&Shared {
        limit: "queue.topics_max",
        max: 100,
        beside: 0,
        ask: |nth| jobs::push(format!("t/{nth}").as_bytes(), b"job"),
    });
    let granted = |_| Body::request(5).u64(0).u64(DAY_MS);
    check(&Shared { limit: "store.leases_max", max: 100, beside: 0, ask: granted });
}
