//! Logins, and the effect of changes of the file on them.

use std::net::SocketAddr;

use super::super::password::PasswordHash;
use super::super::password::tests::cheap;
use super::super::users::Users;
use super::super::{
    Action, Auth, AuthFile, Credentials, Login, NewToken, Pattern, UserStore, hash_password,
};
use crate::config::AuthConfig;
use crate::error::{Details, Error, ErrorCode};
use crate::session::{Peer, Via};

pub(super) struct World {
    pub(super) auth: Auth,
    pub(super) file: AuthFile,
    token: NewToken,
    config: AuthConfig,
    _dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new(change: impl FnOnce(&mut AuthConfig)) -> Self {
        let mut config = cheap();
        change(&mut config);
        let dir = tempfile::tempdir().unwrap();
        let file = AuthFile::new(dir.path().join("users.toml"));
        let token = NewToken::draw();
        file.update(&config, |store| {
            store.add_role("app").unwrap();
            store.grant("app", Action::Read, Pattern::parse("a/*").unwrap()).unwrap();
            let hash = hash_password("correct horse", &config).unwrap();
            store.add_user("alice", Some(&hash)).unwrap();
            store.give_role("alice", "app").unwrap();
            store.add_token("alice", "t", &token).unwrap();
            Ok(())
        })
        .unwrap();
        let auth = Auth::open(file.path(), &config).unwrap();
        Self { auth, file, token, config, _dir: dir }
    }

    async fn password(&self, user: &str, password: &str) -> Result<Login, Error> {
        self.auth.login(&peer(1), Credentials::password(user, password)).await
    }

    pub(super) async fn token(&self) -> Login {
        self.auth.login(&peer(1), Credentials::token(self.token.secret())).await.unwrap()
    }

    /// Changes the file without a notification.
    pub(super) fn update(&self, change: impl FnOnce(&mut UserStore)) {
        self.file
            .update(&self.config, |store| {
                change(store);
                Ok(())
            })
            .unwrap();
    }

    fn change(&self, change: impl FnOnce(&mut UserStore)) {
        self.update(change);
        assert!(self.auth.reload_if_changed().unwrap());
    }
}

fn peer(last: u8) -> Peer {
    Peer::Tcp(SocketAddr::from(([10, 0, 0, last], 1)))
}

#[actix_rt::test]
async fn a3_who_proves_a_name_has_it() {
    let world = World::new(|_| {});
    let login = world.password("alice", "correct horse").await.unwrap();
    assert_eq!((login.identity.name.as_str(), login.identity.via), ("alice", Via::Password));
    let login = world.token().await;
    assert_eq!((login.identity.name.as_str(), login.identity.via), ("alice", Via::Token));
    let access = world.auth.access(&login).unwrap();
    assert!(access.has(Action::Read, b"a/b") && !access.has(Action::Read, b"b"));
}

#[actix_rt::test]
async fn a3_all_failures_look_alike() {
    let world = World::new(|_| {});
    world.change(|store| store.add_user("tokens-only", None).unwrap());
    let other = NewToken::draw();
    let half = world.token.secret().replace(&world.token.id(), &other.id());
    let mut errors = vec![
        world.password("alice", "wrong").await.unwrap_err(),
        world.password("nobody", "correct horse").await.unwrap_err(),
        world.password("tokens-only", "correct horse").await.unwrap_err(),
        world.password("", "").await.unwrap_err(),
    ];
    for token in [other.secret(), &half, "", "wakeful_"] {
        errors.push(world.auth.login(&peer(2), Credentials::token(token)).await.unwrap_err());
    }
    for error in &errors {
        assert_eq!(error, &errors[0]);
    }
    assert_eq!((errors[0].code, &errors[0].details), (ErrorCode::LoginFailed, &Details::None));
}

#[test]
fn a3_who_is_not_there_costs_as_much_as_who_is() {
    let config = cheap();
    let mut store = UserStore::new();
    let decoy = PasswordHash::decoy(&config).unwrap();
    let nobody = Users::new(&store, &decoy);
    assert_eq!(nobody.password_of("alice"), (Some(&decoy), false));
    let hash = hash_password("correct horse", &config).unwrap();
    store.add_user("alice", Some(&hash)).unwrap();
    store.add_user("tokens-only", None).unwrap();
    let users = Users::new(&store, &decoy);
    let (own, is_own) = users.password_of("alice");
    assert!(is_own && own.is_some_and(|it| it.as_str() == hash));
    for name in ["nobody", "tokens-only"] {
        // Always the hash of the same other user, which never lets anyone in.
        assert_eq!(users.password_of(name), (own, false));
    }
}

#[actix_rt::test]
async fn a5_an_address_that_guesses_waits_and_others_do_not() {
    let world = World::new(|config| {
        config.login_failures_max = 3;
        config.login_failure_interval = std::time::Duration::from_secs(3600);
        config.hash_threads = 1;
    });
    // Concurrently: none of them knows of the others' failures yet.
    let guesses = (0..20).map(|_| world.password("alice", "wrong"));
    let guesses = futures_util::future::join_all(guesses).await;
    let codes: Vec<ErrorCode> = guesses.into_iter().map(|it| it.unwrap_err().code).collect();
    let checked = codes.iter().filter(|code| **code == ErrorCode::LoginFailed).count();
    assert_eq!(checked, 3, "{codes:?}");
    let refusal = world.password("alice", "correct horse").await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LimitExceeded);
    let name = "auth.login_failures_max".to_owned();
    assert_eq!(refusal.details, Details::Limit { name, value: 3 });
    let same = world.password("nobody", "x").await.unwrap_err();
    assert_eq!(same.details, refusal.details, "it does not tell who is there");
    let elsewhere = Credentials::password("alice", "correct horse");
    world.auth.login(&peer(2), elsewhere).await.unwrap();
    // A token cannot be guessed, so its holder is let in.
    world.token().await;
}

#[actix_rt::test]
async fn a5_who_guesses_behind_a_link_makes_that_user_wait_and_no_other_there() {
    let world = World::new(|config| {
        config.login_failures_max = 3;
        config.login_failure_interval = std::time::Duration::from_secs(3600);
    });
    let hash = hash_password("staple battery", &world.config).unwrap();
    world.change(|store| store.add_user("bob", Some(&hash)).unwrap());
    let link = |name: &str| Peer::Link {
        name: name.to_owned(),
        addr: SocketAddr::from(([10, 0, 0, 1], 1)),
    };
    let login = async |peer: &Peer, user: &str, password: &str| {
        let login = world.auth.login(peer, Credentials::password(user, password)).await;
        login.map(drop).map_err(|error| error.code)
    };
    let (here, there) = (link("home"), link("away"));
    let failed = Err(ErrorCode::LoginFailed);
    for user in ["alice", "nobody"] {
        for _ in 0..3 {
            assert_eq!(login(&here, user, "wrong").await, failed);
        }
        assert_eq!(login(&here, user, "correct horse").await, Err(ErrorCode::LimitExceeded));
    }
    // Failed tokens count the same.
    for _ in 0..3 {
        let error = world.auth.login(&here, Credentials::token("wakeful_x")).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::LoginFailed);
    }
    assert_eq!(login(&here, "bob", "staple battery").await, Ok(()));
    assert_eq!(login(&there, "alice", "correct horse").await, Ok(()));
    assert_eq!(login(&peer(1), "alice", "correct horse").await, Ok(()), "the relay itself");
    world.auth.login(&here, Credentials::token(world.token.secret())).await.unwrap();
}

#[actix_rt::test]
async fn a4_passwords_that_wait_have_a_limit() {
    let world = World::new(|config| {
        config.hash_threads = 1;
        config.hash_queue_max = 2;
        config.login_failures_max = 1_000;
    });
    let logins = (0..50).map(|_| world.password("alice", "correct horse"));
    let logins = futures_util::future::join_all(logins).await;
    let refused: Vec<Error> = logins.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty());
    for error in refused {
        let name = "auth.hash_queue_max".to_owned();
        assert_eq!(error.code, ErrorCode::LimitExceeded);
        assert_eq!(error.details, Details::Limit { name, value: 2 });
    }
}

#[actix_rt::test]
async fn a4_a_login_ends_with_what_it_was_proved_by() {
    let world = World::new(|_| {});
    let valid = |login: &Login| world.auth.access(login).is_some();
    let (password, token) =
        (world.password("alice", "correct horse").await.unwrap(), world.token().await);
    let generation = world.auth.generation();
    let hash = hash_password("another horse", &world.config).unwrap();
    world.change(|store| store.set_password("alice", Some(&hash)).unwrap());
    assert_eq!(world.auth.generation(), generation + 1);
    assert!(!valid(&password) && valid(&token));
    let password = world.password("alice", "another horse").await.unwrap();
    world.change(|store| store.remove_token("alice", "t").unwrap());
    assert!(valid(&password) && !valid(&token));
    world.change(|store| store.revoke("app", Action::Read, &"a/*".parse().unwrap()).unwrap());
    assert!(!world.auth.access(&password).unwrap().has(Action::Read, b"a/b"));
    world.change(|store| store.remove_user("alice").unwrap());
    assert!(!valid(&password));
}

#[actix_rt::test]
async fn a4_a_token_that_is_another_under_its_id_ends_its_logins() {
    let world = World::new(|_| {});
    let login = world.token().await;
    let text = std::fs::read_to_string(world.file.path()).unwrap();
    let hash = text.split("sha256 = \"").nth(1).and_then(|rest| rest.get(..64)).unwrap();
    std::fs::write(world.file.path(), text.replace(hash, &"0".repeat(64))).unwrap();
    assert!(world.auth.reload_if_changed().unwrap());
    assert!(world.auth.access(&login).is_none());
}
