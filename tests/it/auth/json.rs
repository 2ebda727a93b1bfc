//! Logins and permissions at the JSON door: the same as at the native one.

use serde_json::json;
use wakeful::auth::{Action, Pattern};

use super::{PASSWORD, Users};
use crate::json::Json;

fn token(users: &Users, name: &str) -> String {
    format!(r#"{{"Token":"{}"}}"#, users.token(name))
}

#[test]
fn a1_without_a_login_json_serves_nothing_else() {
    let users = Users::new(&[]);
    let server = users.serve();
    let mut json = Json::connect(server.addr());
    json.ok("Wakeful.Hello", r#"{"client_name":"me"}"#);
    for (method, argument) in [
        ("KVStoreService.Get", r#""a""#),
        ("KVStoreService.Set", r#"["a","1"]"#),
        ("KVStoreService.Watch", "1"),
        ("Wakeful.Status", "{}"),
        ("Wakeful.Services", "{}"),
        ("Wakeful.WatchOpen", r#"{"range":{"Prefix":""}}"#),
        ("Wakeful.JobPush", r#"{"jobs":[{"topic":"t"}]}"#),
        ("Wakeful.JobReserve", r#"{"topic":"t"}"#),
        ("HelloService.Hello", r#""x""#),
        // Missing methods and wrong arguments are indistinguishable.
        ("Nothing", "1"),
        ("Wakeful.Nothing", "{}"),
        ("KVStoreService.Nothing", "{}"),
        ("KVStoreService.Get", "5"),
        ("KVStoreService.Get", r#""""#),
        ("Wakeful.Get", r#"{"nokey":1}"#),
        ("Wakeful.WatchNext", r#"{"watch":3}"#),
        ("Wakeful.WatchClose", r#"{"watch":3}"#),
        ("Wakeful.Cancel", r#"{"id":1}"#),
        ("Wakeful.Goodbye", "{}"),
    ] {
        let told = json.refused(method, argument);
        assert!(told.starts_with("NotLoggedIn: "), "{method}: {told}");
    }
    json.ok("Wakeful.Ping", "{}");
    let wrong = json.refused("Wakeful.Login", "5");
    assert!(!wrong.starts_with("NotLoggedIn: "), "why it is no login: {wrong}");
    // Nor is it revealed which services exist.
    json.send("{\"method\":\"HelloService.Hello\",\"id\":\"x\"}\n");
    let told = json.reply()["error"].as_str().unwrap().to_owned();
    assert!(told.starts_with("NotLoggedIn: "), "{told}");
    let root = json.ok("Wakeful.Login", &token(&users, "root"));
    assert_eq!(root, json!({"user": "root", "via": "Token"}));
    assert_eq!(json.status("keys"), 0, "nothing of it was done");
    let again = json.refused("Wakeful.Login", &token(&users, "app"));
    assert!(again.starts_with("InvalidArgument: "), "{again}");
}

#[test]
fn a8_operators_see_who_it_is_whatever_it_calls_itself() {
    let users = Users::new(&[(Action::Watch, "*")]);
    let server = users.serve();
    let mut root = users.json("root", &server);
    let mut owner = |count: u64| {
        crate::process::until("they wait", || root.status("waits") == count);
        let watchers = root.ok("Wakeful.Watchers", "{}")["watchers"].clone();
        let last = watchers.as_array().and_then(|watchers| watchers.last());
        last.unwrap()["owner"].as_str().unwrap().to_owned()
    };
    let wait = |json: &mut Json| json.ask("Wakeful.Wait", r#"{"range":{"Prefix":"a/"}}"#);
    let hello = r#"{"client_name":"x) as root ("}"#;
    let expected = r" (x\) as root \() as app";
    // Before or after a login.
    let mut before = Json::connect(server.addr());
    before.ok("Wakeful.Hello", hello);
    before.ok("Wakeful.Login", &token(&users, "app"));
    wait(&mut before);
    let shown = owner(1);
    assert!(shown.ends_with(expected), "{shown}");
    let mut behind = users.json("app", &server);
    behind.ok("Wakeful.Hello", hello);
    wait(&mut behind);
    let shown = owner(2);
    assert!(shown.ends_with(expected), "{shown}");
    let again = behind.refused("Wakeful.Hello", r#"{"client_name":"other"}"#);
    assert!(again.starts_with("InvalidArgument: "), "{again}");
    wait(&mut behind);
    let shown = owner(3);
    assert!(shown.ends_with(expected), "{shown}");
}

#[test]
fn a1_a_stranger_sends_small_objects_only() {
    let users = Users::new(&[]);
    let server = users.serve();
    let set = format!(
        r#"{{"method":"KVStoreService.Set","params":[["a","{}"]],"id":2}}"#,
        "x".repeat(100_000)
    );
    let mut json = Json::connect(server.addr());
    json.send(&set);
    json.expect_end();
    // After a login in the same write, larger values are allowed.
    let mut json = Json::connect(server.addr());
    let login =
        format!(r#"{{"method":"Wakeful.Login","params":[{}],"id":1}}"#, token(&users, "root"));
    json.send(format!("{login}{set}\n"));
    assert_eq!(json.reply()["result"]["user"], "root");
    assert_eq!(json.reply(), json!({"id": 2, "result": {}, "error": null}));
    // After a failed one, they are not.
    let mut json = Json::connect(server.addr());
    json.send(format!(
        "{{\"method\":\"Wakeful.Login\",\"params\":[{{\"Token\":\"x\"}}],\"id\":1}}{set}\n"
    ));
    assert!(json.reply()["error"].as_str().unwrap().starts_with("LoginFailed: "));
    json.expect_end();
}

#[test]
fn a3_the_seeds_login_is_user_and_password_in_one_string() {
    let users = Users::new(&[(Action::Read, "a")]);
    users.set_password("app");
    let server = users.serve();
    let mut json = Json::connect(server.addr());
    for wrong in ["app:wrong", "nobody:wrong", "wakeful_x", ""] {
        let told = json.refused("KVStoreService.Login", &format!("\"{wrong}\""));
        assert!(told.starts_with("LoginFailed: "), "{told}");
    }
    assert_eq!(json.ok("KVStoreService.Login", &format!("\"app:{PASSWORD}\"")), "app");
    assert_eq!(json.refused("KVStoreService.Get", r#""a""#), "not found");
    let mut json = Json::connect(server.addr());
    let argument = format!(r#"{{"Password":{{"user":"app","password":"{PASSWORD}"}}}}"#);
    let told = json.ok("Wakeful.Login", &argument);
    assert_eq!(told, json!({"user": "app", "via": "Password"}));
    let mut json = Json::connect(server.addr());
    assert_eq!(json.ok("KVStoreService.Login", &format!("\"{}\"", users.token("app"))), "app");
}

#[test]
fn a2_what_is_not_granted_is_denied_in_json_too() {
    let users =
        Users::new(&[(Action::Read, "a/*"), (Action::Write, "a/*"), (Action::Call, "Mine")]);
    let server = users.serve();
    let mut root = users.json("root", &server);
    let mut app = users.json("app", &server);
    root.ok("KVStoreService.Set", r#"["secret","1"]"#);
    app.ok("KVStoreService.Set", r#"["a/1","1"]"#);
    let denied = app.refused("KVStoreService.Get", r#""secret""#);
    assert!(denied.starts_with("PermissionDenied: "), "{denied}");
    assert_eq!(denied, app.refused("KVStoreService.Get", r#""nothing""#));
    for (method, argument) in [
        ("KVStoreService.Set", r#"["secret","2"]"#),
        ("KVStoreService.Watch", "1"),
        ("Wakeful.WatchOpen", r#"{"range":{"Prefix":"a/"}}"#),
        ("Wakeful.JobPush", r#"{"jobs":[{"topic":"t"}]}"#),
        ("Wakeful.Status", "{}"),
        ("HelloService.Hello", r#""x""#),
    ] {
        let told = app.refused(method, argument);
        assert!(told.starts_with("PermissionDenied: "), "{method}: {told}");
    }
    let told = app.refused("Mine.Hello", r#""x""#);
    assert_eq!(told, "rpc: can't find service Mine.Hello");
    assert_eq!(root.ok("KVStoreService.Get", r#""secret""#), "1");
}

#[test]
fn a4_a_watch_of_json_ends_with_its_grant_and_its_connection_with_the_user() {
    let users = Users::new(&[(Action::Watch, "a/*"), (Action::Watch, "b/*")]);
    let server = users.serve();
    let (mut root, mut app) = (users.json("root", &server), users.json("app", &server));
    let watch = app.ok("Wakeful.WatchOpen", r#"{"range":{"Prefix":"a/"}}"#)["watch"].clone();
    let next = app.ask("Wakeful.WatchNext", &format!(r#"{{"watch":{watch}}}"#));
    let wait = app.ask("Wakeful.Wait", r#"{"range":{"Prefix":"a/"}}"#);
    let kept = app.ask("Wakeful.Wait", r#"{"range":{"Prefix":"b/"}}"#);
    crate::process::until("both wait", || root.status("waits") == 2);
    users.change(|book| {
        book.revoke("app", Action::Watch, &Pattern::parse("a/*").unwrap()).unwrap();
    });
    let mut ended = Vec::new();
    for _ in 0..2 {
        let reply = app.reply();
        let told = reply["error"].as_str().unwrap();
        assert!(told.starts_with("PermissionDenied: "), "{reply}");
        ended.push(reply["id"].as_u64().unwrap());
    }
    ended.sort_unstable();
    assert_eq!(ended, [next, wait]);
    root.ok("KVStoreService.Set", r#"["a/1","1"]"#);
    root.ok("KVStoreService.Set", r#"["b/1","1"]"#);
    assert_eq!(app.reply()["id"], kept, "what is granted goes on");
    assert_eq!((root.status("watches"), root.status("waits")), (0, 0));
    users.change(|book| book.remove_user("app").unwrap());
    app.expect_end();
}

#[test]
fn z14_a_watch_that_is_denied_leaves_no_stream() {
    let users = Users::new(&[(Action::Watch, "pub/*")]);
    let server = users.serve_with(&["--limit", "watch.streams_max=4"]);
    let (mut root, mut app) = (users.raw("root", &server), users.json("app", &server));
    for _ in 0..20 {
        let refused = app.refused("Wakeful.WatchOpen", r#"{"range":{"key":"secret"}}"#);
        assert!(refused.starts_with("PermissionDenied: "), "{refused}");
    }
    app.ok("Wakeful.WatchOpen", r#"{"range":{"key":"pub/a"}}"#);
    let status = root.status();
    assert_eq!((status.streams, status.watches), (1, 1));
}
