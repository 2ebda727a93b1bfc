//! Guessed passwords, probed users, and requests that are not, or no longer, permitted. (That
//! failed logins take the same time is tested where no other process influences it: A3.)

use wakeful::auth::{Action, Pattern};

use super::beside::Beside;
use super::victim::Victim;
use super::{FRAME_TOO_LARGE, LIMIT_EXCEEDED, MIB};
use crate::auth::{
    LOGIN_FAILED, NOT_LOGGED_IN, PASSWORD, PERMISSION_DENIED, Users, login_password, login_token,
};
use crate::support::body::{self, Details, From, Push, get, prefix, set, stream_open};
use crate::support::raw::{REPLY, Raw};

#[test]
fn abuse_26_guessed_passwords_look_alike_and_are_slowed_for_their_address() {
    let users = Users::new(&[]);
    users.set_password("app");
    let failures = ["--limit", "auth.login_failures_max=10"];
    let interval = ["--limit", "auth.login_failure_interval=1h"];
    let victim = Victim::of(users.serve_with(&[failures, interval].concat()));
    let beside = Beside::over(users.raw("root", victim.server()));
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    let mut told = Vec::new();
    for nth in 0..200 {
        let user = if nth % 2 == 0 { "app" } else { "nobody" };
        let guess = login_password(user, &format!("guess {nth}"));
        told.push(victim.attack().call(guess).refusal());
    }
    let (checked, slowed) = told.split_at(10);
    for refusal in checked {
        assert_eq!((refusal.code, &refusal.message), (LOGIN_FAILED, &checked[0].message));
    }
    for refusal in slowed {
        assert_eq!(refusal.code, LIMIT_EXCEEDED);
        let name = "auth.login_failures_max".to_owned();
        assert_eq!(refusal.details, Details::Limit { name, value: 10 });
    }
    // The right password is not checked any more either, except from another address.
    let refusal = victim.attack().call(login_password("app", PASSWORD)).refusal();
    assert_eq!(refusal.code, LIMIT_EXCEEDED);
    let mut honest = Raw::open(victim.addr());
    assert_eq!(honest.call(login_password("app", PASSWORD)).login().0, "app");
    drop(honest);
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 96 * MIB, "200 guesses");
    beside.finish();
}

#[test]
fn abuse_26_more_guesses_than_can_be_checked_hold_nobody_up() {
    let users = Users::new(&[]);
    users.set_password("app");
    let limits = [
        ["--limit", "auth.login_failures_max=100000"],
        ["--limit", "auth.hash_threads=1"],
        ["--limit", "auth.hash_queue_max=4"],
    ];
    let victim = Victim::of(users.serve_with(&limits.concat()));
    let beside = Beside::over(users.raw("root", victim.server()));
    let memory = victim.peak();
    let mut guessing: Vec<Raw> = (0..100).map(|_| victim.attack()).collect();
    // For an unknown user, a hash is computed all the same, at the full cost.
    for raw in &mut guessing {
        raw.ask(login_password("nobody", "guess"));
    }
    beside.is_served();
    for raw in &mut guessing {
        let refusal = raw.next().refusal();
        if refusal.code != LOGIN_FAILED {
            let name = "auth.hash_queue_max".to_owned();
            assert_eq!(refusal.details, Details::Limit { name, value: 4 });
        }
    }
    victim.assert_peak(memory, 96 * MIB, "100 guesses at once");
    beside.finish();
}

#[test]
fn abuse_27_nothing_is_done_before_a_login_or_beyond_what_is_granted() {
    let users = Users::new(&[(Action::Read, "a/*"), (Action::Write, "a/*")]);
    let victim = Victim::of(users.serve());
    let beside = Beside::over(users.raw("root", victim.server()));
    let mut stranger = victim.attack();
    for body in [set(b"a/1", b"1"), get(b"beside"), stream_open(1_000), body::status()] {
        assert_eq!(stranger.call(body).refusal().code, NOT_LOGGED_IN);
    }
    stranger.ask(set(b"a/1", &[b'x'; 64 * 1024]));
    assert_eq!(stranger.refused().code, FRAME_TOO_LARGE);
    let mut app = victim.attack();
    assert_eq!(app.call(login_token(&users.token("app"))).login().0, "app");
    app.set(b"a/1", b"1");
    assert_eq!(app.call(get(b"a/1")).kind, REPLY);
    // The refusal is the same whether the key exists or not.
    let [there, not_there] = [&b"beside"[..], b"nothing"].map(|key| app.call(get(key)).refusal());
    assert_eq!((there.code, not_there.code), (PERMISSION_DENIED, PERMISSION_DENIED));
    assert_eq!((there.message, there.details), (not_there.message, not_there.details));
    for body in [set(b"beside", b"mine"), body::status(), body::txn_of_sets(&[(b"b", b"")])] {
        assert_eq!(app.call(body).refusal().code, PERMISSION_DENIED);
    }
    beside.finish();
}

#[test]
fn abuse_27_who_is_revoked_while_watching_is_shown_nothing_more() {
    let users = Users::new(&[(Action::Watch, "a/*")]);
    let victim = Victim::of(users.serve());
    let beside = Beside::over(users.raw("root", victim.server()));
    let mut root = users.raw("root", victim.server());
    let mut app = victim.attack();
    assert_eq!(app.call(login_token(&users.token("app"))).login().0, "app");
    let stream = app.open_stream(100_000);
    app.watch(stream, 1, prefix(b"a/"), From::Now);
    root.set(b"a/1", b"1");
    let Push::Events { .. } = app.next().push() else { panic!("no event") };
    let watch = Pattern::parse("a/*").unwrap();
    users.change(|book| book.revoke("app", Action::Watch, &watch).unwrap());
    let Push::Ended { watch_id: 1, refusal } = app.next().push() else { panic!("no end") };
    assert_eq!(refusal.code, PERMISSION_DENIED);
    root.set(b"a/2", b"2");
    // A removed user has no connection any more, and no event was sent before.
    users.change(|book| book.remove_user("app").unwrap());
    assert_eq!(app.refused().code, NOT_LOGGED_IN);
    assert_eq!(root.status().watches, 1, "that of the client beside");
    beside.finish();
}
