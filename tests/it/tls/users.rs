//! TLS4 with users: a certificate is the login of the user whose name it has.

use futures_util::StreamExt;
use wakeful::auth::{Action, AuthFile, Credentials, NewToken, Pattern, UserStore};
use wakeful::config::AuthConfig;
use wakeful::{
    Client, ClientConfig, ClientTls, Error, ErrorCode, KeyRange, Operations, SetRequest,
    WatchRequest,
};

use super::{Authority, Server, config, connect, text};
use crate::support::{until, within};

fn code<T: std::fmt::Debug>(done: Result<T, Error>) -> ErrorCode {
    done.unwrap_err().code
}

#[actix_rt::test]
async fn tls4_a_certificate_is_the_login_of_its_user() {
    let authority = Authority::new();
    let file = AuthFile::new(authority.dir.path().join("users.toml"));
    let change = |change: &dyn Fn(&mut UserStore)| {
        let changed = file.update(&AuthConfig::new(), |book| {
            change(book);
            Ok(())
        });
        changed.unwrap();
    };
    let token = NewToken::draw();
    change(&|book| {
        book.add_role("web").unwrap();
        for action in [Action::Read, Action::Write, Action::Watch] {
            book.grant("web", action, Pattern::parse("a/*").unwrap()).unwrap();
        }
        for user in ["ann", "eve"] {
            book.add_user(user, None).unwrap();
            book.give_role(user, "web").unwrap();
        }
        book.add_token("eve", "eve", &token).unwrap();
    });
    let users = file.path().to_owned();
    let ca = authority.ca();
    let server = Server::start(
        &authority.server("127.0.0.1"),
        &[
            &["--tls-client-ca", text(&ca), "--tls-client-certs", "optional"][..],
            &["--auth", text(&users), "--limit", "auth.reload_interval=20ms"],
        ]
        .concat(),
    );

    // The permissions of the user's roles, and no others.
    let ann = authority.client("ann");
    let client = connect(server.addr, Some(authority.trusted_with(&ann))).await.unwrap();
    within(client.set(SetRequest::new("a/1", "1"))).await.unwrap();
    assert_eq!(code(within(client.get("b/1")).await), ErrorCode::PermissionDenied);
    let files = ["--tls-cert", text(&ann.cert), "--tls-key", text(&ann.key)];
    let get = [&["--tls-ca", text(&ca)], &files[..], &["get", "a/1"]].concat();
    assert_eq!(server.run(&get).ok(), "1\n");

    // A certificate of an unknown user, and a missing one, are no login.
    let bob: ClientTls = authority.trusted_with(&authority.client("bob"));
    for tls in [bob, authority.trusted()] {
        let nobody = connect(server.addr, Some(tls.clone())).await.unwrap();
        assert_eq!(code(within(nobody.get("a/1")).await), ErrorCode::NotLoggedIn);
        let credentials = Some(Credentials::token(token.secret()));
        let config = ClientConfig { credentials, ..config(server.addr, Some(tls)) };
        let eve = within(Client::connect_with(config)).await.unwrap();
        assert_eq!(within(eve.get("a/1")).await.unwrap().kv.unwrap().value, "1");
    }

    // Revoked permissions take effect at once.
    let watch = WatchRequest::new(KeyRange::prefix("a/"));
    let mut watch = within(client.watch(watch)).await.unwrap();
    change(&|book| book.revoke("web", Action::Watch, &Pattern::parse("a/*").unwrap()).unwrap());
    let ended = loop {
        if let Err(error) = within(watch.next()).await.expect("why it ends") {
            break error;
        }
    };
    assert_eq!(ended.code, ErrorCode::PermissionDenied, "{ended}");
    within(client.get("a/1")).await.unwrap();
    change(&|book| book.remove_user("ann").unwrap());
    until("she is not let in any more", async || {
        within(client.get("a/1")).await.is_err_and(|error| error.code == ErrorCode::NotLoggedIn)
    })
    .await;
    let log = server.stop();
    assert!(log.contains("wakeful::audit") && log.contains("via=Certificate"), "{log}");
}
