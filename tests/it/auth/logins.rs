//! Logins, and the requests that are served before them.

use wakeful::auth::{Action, Credentials};
use wakeful::{Client, ErrorCode, Operations, SetRequest};

use super::{LOGIN_FAILED, NOT_LOGGED_IN, PASSWORD, Users, login_password, login_token, stranger};
use crate::process::{Server, run, until};
use crate::support::body::{self, Body, Details};
use crate::support::raw::{PING, PONG, frame, request};
use crate::support::write_secret;

const FRAME_TOO_LARGE: u16 = ErrorCode::FrameTooLarge as u16;

#[test]
fn a1_without_a_login_only_hello_and_login_are_served() {
    let users = Users::new(&[]);
    let server = users.serve();
    let mut raw = stranger(&server);
    for body in [
        body::status(),
        body::set(b"a", b"1"),
        body::get(b"a"),
        body::wait(body::key(b"a"), body::CHANGED, 1),
        body::stream_open(1_000),
        body::watch_add(7, 7, body::key(b"a"), body::From::Now),
        crate::support::jobs::push(b"t", b"p"),
        crate::support::jobs::reserve(b"t", 1, 0),
        Body::request(22),
    ] {
        assert_eq!(raw.call(body).refusal().code, NOT_LOGGED_IN);
    }
    raw.send(&frame(PING, 0, 5, b""));
    assert_eq!(raw.next().kind, PONG);
    assert_eq!(raw.call(login_token(&users.token("root"))).login().0, "root");
    assert_eq!(raw.status().keys, 0, "nothing of it was done");
    let refusal = raw.call(login_token(&users.token("app"))).refusal();
    assert_eq!(refusal.code, ErrorCode::InvalidArgument as u16, "once is enough");
}

#[test]
fn a1_a_stranger_sends_small_frames_only() {
    let users = Users::new(&[]);
    let server = users.serve();
    let large = body::set(b"a", &[b'x'; 100_000]);
    let mut raw = stranger(&server);
    raw.ask(large.clone());
    let refusal = raw.refused();
    assert_eq!(refusal.code, FRAME_TOO_LARGE);
    assert_eq!(
        refusal.details,
        Details::Limit { name: "rpc.login_frame_bytes_max".into(), value: 16 * 1024 }
    );
    // After a login in the same write, larger frames are allowed.
    let mut raw = stranger(&server);
    let mut bytes = request(1, login_token(&users.token("root")));
    bytes.extend(request(2, large.clone()));
    bytes.extend(request(3, body::get(b"a")));
    raw.send(&bytes);
    assert_eq!(raw.next().login().0, "root");
    for id in [2, 3] {
        let answer = raw.next();
        assert_eq!((answer.id, answer.kind), (id, crate::support::raw::REPLY), "{answer:?}");
    }
    // After a failed one, they are not.
    let mut raw = stranger(&server);
    let mut bytes = request(1, login_token("wakeful_x"));
    bytes.extend(request(2, large));
    raw.send(&bytes);
    assert_eq!(raw.next().refusal().code, LOGIN_FAILED);
    assert_eq!(raw.refused().code, FRAME_TOO_LARGE);
}

#[test]
fn a1_who_does_not_log_in_is_told_so_and_goes() {
    let users = Users::new(&[]);
    let server = users.serve_with(&["--limit", "auth.login_timeout=200ms"]);
    let mut raw = stranger(&server);
    let refusal = raw.refused();
    assert_eq!(refusal.code, NOT_LOGGED_IN);
    assert!(refusal.message.contains("auth.login_timeout"), "{}", refusal.message);
    // Logged-in connections stay.
    let mut raw = users.raw("root", &server);
    stranger(&server).refused();
    raw.status();
}

#[test]
fn a3_all_failures_look_alike() {
    let users = Users::new(&[]);
    users.set_password("app");
    let server = users.serve();
    let half = users.token("app").replace(&users.token("app")[8..24], &users.token("root")[8..24]);
    let mut told = Vec::new();
    for body in [
        login_password("app", "wrong horse battery"),
        login_password("nobody", PASSWORD),
        login_password("root", PASSWORD),
        login_token("wakeful_0123456789abcdef_00"),
        login_token(&half),
    ] {
        let mut raw = stranger(&server);
        let refusal = raw.call(body).refusal();
        assert_eq!((refusal.code, &refusal.details), (LOGIN_FAILED, &Details::None));
        told.push(refusal.message);
    }
    assert!(told.iter().all(|message| *message == told[0]), "{told:?}");
    let mut raw = stranger(&server);
    assert_eq!(raw.call(login_password("app", PASSWORD)).login(), ("app".to_owned(), 0));
}

#[test]
fn a3_commands_log_in_by_file_and_environment() {
    let users = Users::new(&[(Action::Read, "*"), (Action::Write, "*")]);
    users.set_password("app");
    let server = users.serve();
    let without = server.run(&["get", "a"]).fails(1);
    assert!(without.contains("not logged in"), "{without}");
    assert_eq!(users.run("app", &server, &["set", "a", "1"]).ok(), "revision 2\n");
    let by = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = server.command(arguments);
        command.envs(variables.iter().copied());
        crate::process::Running::start(command).finish()
    };
    let token = users.token("app");
    assert_eq!(by(&[("WAKEFUL_TOKEN", &token)], &["get", "a"]).ok(), "1\n");
    let password = [("WAKEFUL_USER", "app"), ("WAKEFUL_PASSWORD", PASSWORD)];
    assert_eq!(by(&password, &["get", "a"]).ok(), "1\n");
    let file = users.dir.path().join("password");
    write_secret(&file, format!("{PASSWORD}\n"));
    let file = ["--user", "app", "--password-file", file.to_str().unwrap()];
    assert_eq!(server.ok(&[&["get", "a"], &file[..]].concat()), "1\n");
    let input = server.command(&["get", "a", "--user", "app", "--password-file", "-"]);
    let ran = crate::process::Running::start_with_input(input, PASSWORD.as_bytes()).finish();
    assert_eq!(ran.ok(), "1\n");
    let wrong = by(&[("WAKEFUL_USER", "app"), ("WAKEFUL_PASSWORD", "wrong")], &["get", "a"]);
    assert!(wrong.fails(1).contains("login failed"));
    assert!(server.run(&["get", "a", "--user", "app"]).fails(2).contains("--password-file"));
    let typed = server.run(&["get", "a", "--token", &token]).fails(2);
    assert!(typed.contains("--token takes a file") && !typed.contains(&token), "{typed}");
}

#[test]
fn a3_what_is_typed_goes_before_the_environment() {
    let users = Users::new(&[]);
    users.set_password("root");
    let server = users.serve();
    let password = users.dir.path().join("password");
    write_secret(&password, PASSWORD);
    let [password, root, app] = [password, users.token_file("root"), users.token_file("app")]
        .map(|path| path.to_str().unwrap().to_owned());
    // Only root may read the status.
    let status = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = server.command(&[&["status"], arguments].concat());
        command.envs(variables.iter().copied());
        crate::process::Running::start(command).finish()
    };
    let as_root = ["--user", "root", "--password-file", &password];
    let token = users.token("app");
    let variables = [("WAKEFUL_TOKEN_FILE", app.as_str()), ("WAKEFUL_TOKEN", &token)];
    assert!(status(&variables, &[]).fails(1).contains("admin"));
    status(&variables, &as_root).ok();
    let env = [("WAKEFUL_PASSWORD", PASSWORD), variables[0]];
    status(&env, &["--user", "root"]).ok();
    let env = [("WAKEFUL_USER", "root"), variables[0]];
    status(&env, &["--password-file", &password]).ok();
    let env = [("WAKEFUL_USER", "app"), ("WAKEFUL_PASSWORD", PASSWORD)];
    status(&env, &["--token", &root]).ok();
    let both = status(&[], &[&as_root[..], &["--token", &root]].concat());
    assert!(both.fails(2).contains("not both"));
    let whose = status(&variables, &["--password-file", &password]);
    assert!(whose.fails(2).contains("--password-file needs --user"));
}

#[test]
fn a1_a_login_where_there_are_no_users_is_refused() {
    let users = Users::new(&[]);
    let server = Server::start();
    let refused = users.run("app", &server, &["get", "a"]).fails(2);
    assert!(refused.contains("no users"), "{refused}");
}

#[tokio::test]
async fn a4_a_client_logs_in_at_every_connection() {
    let users = Users::new(&[(Action::Read, "*"), (Action::Write, "*")]);
    let server = users.serve();
    let addr = server.addr().to_owned();
    let client = users.client("app", &server).await;
    client.set(SetRequest::new("a", "1")).await.unwrap();
    drop(server);
    let again = ["--auth", users.path()];
    let server = Server::start_at(&addr, &again);
    // The store is in memory, so after the restart it is another one, and empty.
    assert!(client.get("a").await.unwrap().kv.is_none());
    client.set(SetRequest::new("a", "2")).await.unwrap();
    drop(server);
    // Without its user, the next connection fails, and so does every call that waits for it.
    users.change(|book| book.remove_user("app").unwrap());
    let pending = client.go(wakeful::HubRequest::Status);
    let _server = Server::start_at(&addr, &again);
    let error = pending.await.unwrap_err();
    assert!(
        matches!(error.code, ErrorCode::LoginFailed | ErrorCode::Unavailable),
        "a connection lost, or none made: {error}"
    );
    let error = client.get("a").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LoginFailed, "{error}");
    client.close().await;
}

#[tokio::test]
async fn a3_credentials_that_are_refused_connect_nobody() {
    let users = Users::new(&[]);
    let server = users.serve();
    let mut config = users.config("app", &server);
    config.credentials = Some(Credentials::token("wakeful_x"));
    let error = Client::connect_with(config.clone()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LoginFailed);
    assert!(!format!("{config:?}").contains("wakeful_x"));
    let root = users.client("root", &server).await;
    until("nobody else is connected", || {
        users.run("root", &server, &["status", "--json"]).json()["connections"] == 2
    });
    root.close().await;
}

#[test]
fn a6_a_server_refuses_users_that_everybody_can_read() {
    let users = Users::new(&[]);
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(users.path(), open).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--auth", users.path()];
    assert!(run(&serve).fails(2).contains("chmod 600"));
    let missing = ["serve", "--listen", "127.0.0.1:0", "--auth", "/nonexistent/users.toml"];
    assert!(run(&missing).fails(2).contains("/nonexistent/users.toml"));
    let limit = ["serve", "--limit", "auth.hash_threads=0"];
    assert!(run(&limit).fails(2).contains("auth.hash_threads"));
}
