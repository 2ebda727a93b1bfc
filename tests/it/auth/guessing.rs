//! Failed logins are slowed down.

use std::net::SocketAddr;

use wakeful::ErrorCode;

use super::{LOGIN_FAILED, PASSWORD, Users, login_password, login_token, stranger};
use crate::support::body::Details;

const LIMIT_EXCEEDED: u16 = ErrorCode::LimitExceeded as u16;

#[test]
fn a5_brute_force_is_slowed_for_the_address_and_tells_nothing() {
    let users = Users::new(&[]);
    users.set_password("app");
    let server = users.serve_with(&[
        "--limit",
        "auth.login_failures_max=4",
        "--limit",
        "auth.login_failure_interval=1h",
        "--limit",
        "auth.hash_threads=1",
    ]);
    let mut working = users.raw("root", &server);
    let mut codes = Vec::new();
    for guess in 0..30 {
        let user = if guess % 2 == 0 { "app" } else { "nobody" };
        let refusal =
            stranger(&server).call(login_password(user, &format!("guess {guess}"))).refusal();
        if refusal.code == LIMIT_EXCEEDED {
            assert_eq!(
                refusal.details,
                Details::Limit { name: "auth.login_failures_max".into(), value: 4 }
            );
        }
        codes.push(refusal.code);
    }
    assert!(codes[..4].iter().all(|code| *code == LOGIN_FAILED), "{codes:?}");
    assert!(codes[4..].iter().all(|code| *code == LIMIT_EXCEEDED), "{codes:?}");
    // Not even the right password is checked, on any number of connections.
    let mut raw = stranger(&server);
    for _ in 0..5 {
        assert_eq!(raw.call(login_password("app", PASSWORD)).refusal().code, LIMIT_EXCEEDED);
    }
    assert_eq!(raw.call(login_token("wakeful_x")).refusal().code, LIMIT_EXCEEDED);
    // Logged-in users stay, tokens are still accepted, and other addresses are not affected.
    working.status();
    users.raw("root", &server).status();
    let elsewhere = socket_from("127.0.0.2", server.addr());
    assert_eq!(elsewhere.code, LOGIN_FAILED);
}

/// Returns the refusal of a wrong password from another address.
fn socket_from(own: &str, server: &str) -> crate::support::body::Refusal {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let own: SocketAddr = format!("{own}:0").parse().unwrap();
    socket.bind(&own.into()).unwrap();
    socket.connect(&server.parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut raw = crate::support::raw::Raw::over(socket.into());
    raw.call(login_password("app", "wrong")).refusal()
}

#[test]
fn a5_passwords_that_wait_to_be_checked_have_a_limit_and_hold_up_nobody() {
    let users = Users::new(&[]);
    users.set_password("app");
    let server = users.serve_with(&[
        "--limit",
        "auth.hash_threads=1",
        "--limit",
        "auth.hash_queue_max=1",
        "--limit",
        "auth.login_failures_max=100000",
    ]);
    let mut working = users.raw("root", &server);
    let mut guessing: Vec<_> = (0..40).map(|_| stranger(&server)).collect();
    for raw in &mut guessing {
        raw.ask(login_password("app", "wrong"));
    }
    working.set(b"a", b"1");
    for mut raw in guessing {
        let refusal = raw.next().refusal();
        match refusal.code {
            LIMIT_EXCEEDED => {
                assert_eq!(
                    refusal.details,
                    Details::Limit { name: "auth.hash_queue_max".into(), value: 1 }
                );
            }
            code => assert_eq!(code, LOGIN_FAILED),
        }
    }
}
