//! The limits of users and logins.

use std::net::SocketAddr;

use wakeful::auth::{Action, Auth, AuthFile, NewToken, Pattern, UserStore, hash_password};
use wakeful::config::AuthConfig;
use wakeful::{Config, Error, ErrorCode, Wakeful};

use super::{Row, served, typed};
use crate::auth::{LOGIN_FAILED, PASSWORD, Users, login_password, login_token};
use crate::support::body;
use crate::support::raw::Raw;

pub(super) fn rows() -> Vec<Row> {
    [files(), passwords(), hashes(), logins()].into_iter().flatten().collect()
}

/// Returns the refusal of a change of the user file; nothing may be written.
fn changed(config: &Config, change: impl FnOnce(&mut UserStore)) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let file = AuthFile::new(dir.path().join("users.toml"));
    let refusal = file.update(&config.auth, |book| {
        change(book);
        Ok(())
    });
    assert!(!file.path().exists(), "nothing is written");
    refusal.unwrap_err()
}

fn files() -> Vec<Row> {
    fn row(limit: &'static str, set: &'static str, value: u64, change: fn(&mut UserStore)) -> Row {
        Row::new(limit, set, value, async move |config: Config| changed(&config, change)).in_words()
    }
    vec![
        row("auth.users_max", "1", 1, |book| {
            book.add_user("a", None).unwrap();
            book.add_user("b", None).unwrap();
        }),
        row("auth.roles_max", "1", 1, |book| {
            book.add_role("a").unwrap();
            book.add_role("b").unwrap();
        }),
        row("auth.role_patterns_max", "1", 1, |book| {
            book.add_role("a").unwrap();
            book.grant("a", Action::Read, Pattern::parse("x").unwrap()).unwrap();
            book.grant("a", Action::Write, Pattern::parse("y").unwrap()).unwrap();
        }),
        row("auth.tokens_per_user_max", "1", 1, |book| {
            book.add_user("a", None).unwrap();
            book.add_token("a", "", &NewToken::draw()).unwrap();
            book.add_token("a", "", &NewToken::draw()).unwrap();
        }),
        row("auth.name_bytes_max", "8", 8, |book| book.add_user("123456789", None).unwrap()),
        row("auth.name_bytes_max", "8", 8, |book| book.add_role("123456789").unwrap()),
        row("auth.name_bytes_max", "8", 8, |book| {
            book.add_user("a", None).unwrap();
            book.add_token("a", "123456789", &NewToken::draw()).unwrap();
        }),
        // Once for a file to be written, and once for an existing one.
        row("auth.file_bytes_max", "16", 16, |book| book.add_user("a", None).unwrap()),
        Row::new("auth.file_bytes_max", "16", 16, async |config: Config| {
            AuthFile::new(Users::new(&[]).path()).read(&config.auth).unwrap_err()
        })
        .in_words(),
    ]
}

fn passwords() -> Vec<Row> {
    fn row(limit: &'static str, password: &'static str) -> Row {
        let act = async move |config: Config| hash_password(password, &config.auth).unwrap_err();
        Row::new(limit, "8", 8, act).in_words()
    }
    vec![row("auth.password_bytes_min", "1234567"), row("auth.password_bytes_max", "123456789")]
}

/// Returns the refusal of a file with a password that costs more to check than `config` allows.
fn dear(config: &Config) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let file = AuthFile::new(dir.path().join("users.toml"));
    let dear = AuthConfig { hash_memory_bytes: 64 * 1024, hash_passes: 2, ..AuthConfig::new() };
    let hash = hash_password(PASSWORD, &dear).unwrap();
    let added = file.update(&dear, |book| {
        book.add_user("a", Some(&hash)).unwrap();
        Ok(())
    });
    added.unwrap();
    file.read(&config.auth).unwrap_err()
}

fn hashes() -> Vec<Row> {
    let act = async |config: Config| dear(&config);
    vec![
        Row::new("auth.hash_memory_bytes_max", "32KiB", 32 * 1024, act).in_words(),
        Row::new("auth.hash_passes_max", "1", 1, act).in_words(),
    ]
}

/// Returns a row with an act of a peer that has not logged in.
fn guarded(
    limit: &'static str,
    set: &'static str,
    value: u64,
    act: impl FnOnce(SocketAddr) -> Error + Send + 'static,
) -> Row {
    Row::new(limit, set, value, async move |config: Config| {
        let users = Users::new(&[]);
        let auth = Auth::open(users.path(), &config.auth).unwrap();
        let wakeful = Wakeful::start(config).unwrap();
        wakeful.require_login(auth).await.unwrap();
        let refusal = served(&wakeful, act).await;
        wakeful.stop().await;
        refusal
    })
}

/// Tries passwords on several connections at once until one is refused without a check.
fn crowd(addr: SocketAddr) -> Error {
    for _ in 0..100 {
        let mut peers: Vec<Raw> = (0..20).map(|_| Raw::open(addr)).collect();
        for peer in &mut peers {
            peer.ask(login_password("nobody", "wrong"));
        }
        let mut refusals = peers.iter_mut().map(|peer| peer.next().refusal());
        if let Some(refusal) = refusals.find(|it| it.code != LOGIN_FAILED) {
            return typed(refusal);
        }
    }
    panic!("every password was checked");
}

fn logins() -> Vec<Row> {
    vec![
        guarded("rpc.login_frame_bytes_max", "2KiB", 2048, |addr| {
            let mut raw = Raw::open(addr);
            raw.ask(body::set(b"a", &[b'x'; 2048]));
            typed(raw.refused())
        })
        .code(ErrorCode::FrameTooLarge),
        guarded("auth.login_failures_max", "2", 2, |addr| {
            let mut raw = Raw::open(addr);
            for _ in 0..2 {
                assert_eq!(raw.call(login_token("wakeful_x")).refusal().code, LOGIN_FAILED);
            }
            typed(raw.call(login_token("wakeful_x")).refusal())
        })
        .with(&[("auth.login_failure_interval", "1h")]),
        guarded("auth.hash_queue_max", "1", 1, crowd)
            .with(&[("auth.hash_threads", "1"), ("auth.login_failures_max", "1_000_000")]),
    ]
}
