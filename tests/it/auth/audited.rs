//! The audit log.

use super::{Users, serve_logged};
use crate::process::{Ran, Running, until, wakeful};

#[test]
fn a8_each_administrative_act_is_a_line_with_who_from_where_and_what() {
    let users = Users::new(&[(wakeful::auth::Action::Write, "*")]);
    let (server, addr) = serve_logged(users.file.path(), "warn,wakeful::audit=info");
    let as_user = |name: &str, arguments: &[&str]| -> Ran {
        let mut command = wakeful(&["--addr", &addr, "--token"]);
        command.arg(users.token_file(name)).args(arguments);
        Running::start(command).finish()
    };
    as_user("root", &["set", "a", "1"]).ok();
    as_user("root", &["compact", "2"]).ok();
    as_user("root", &["topics", "set", "mail", "--concurrency", "3"]).ok();
    as_user("app", &["compact", "2"]).fails(1);
    as_user("root", &["job", "push", "mail", "x"]).ok();
    users.change(|book| {
        book.add_user("new", None).unwrap();
        book.give_role("new", "app").unwrap();
        book.set_admin("app", true).unwrap();
    });
    // The change is visible by its effect.
    until("app is an admin", || as_user("app", &["status"]).code == Some(0));
    let mut wrong = wakeful(&["status", "--addr", &addr]);
    wrong.env("WAKEFUL_TOKEN", "wakeful_wrong");
    Running::start(wrong).finish().fails(1);
    server.signal("TERM");
    let log = server.finish().stderr;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("wakeful::audit")).collect();
    let count = |words: &[&str]| {
        lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    assert_eq!(
        count(&["act=\"compact\"", "revision 2", "user=\"root\"", "127.0.0.1:"]),
        1,
        "{log}"
    );
    assert_eq!(count(&["act=\"compact\"", "user=\"app\""]), 0, "what is denied is not done");
    assert_eq!(count(&["act=\"set topic\"", "about=\"mail\"", "user=\"root\""]), 1, "{log}");
    assert_eq!(count(&["act=\"login\"", "user=\"root\"", "Token", "127.0.0.1:"]), 4, "{log}");
    assert_eq!(count(&["act=\"login failed\"", "127.0.0.1:"]), 1, "{log}");
    assert_eq!(count(&["act=\"user added\"", "about=\"new\"", "users.toml"]), 1, "{log}");
    assert_eq!(count(&["act=\"role changed\"", "about=\"app\""]), 1, "{log}");
    assert_eq!(count(&["push"]) + count(&["act=\"set\""]), 0, "the rest is no administration");
}

#[test]
fn a8_guesses_that_are_not_checked_add_no_lines() {
    let users = Users::new(&[]);
    users.set_password("app");
    let path = users.file.path();
    let limits = ["auth.login_failures_max=4", "auth.login_failure_interval=1h"];
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--auth"];
    let mut command = wakeful(&fixed);
    command.arg(path).args(limits.iter().flat_map(|limit| ["--limit", limit]));
    let mut server = Running::start(command);
    let addr = server.line().strip_prefix("listening on ").unwrap().to_owned();
    let mut raw = crate::support::raw::Raw::open(addr.parse().unwrap());
    for _ in 0..20 {
        raw.call(super::login_password("app", "wrong")).refusal();
    }
    server.signal("TERM");
    let log = server.finish().stderr;
    let count = |act: &str| log.lines().filter(|line| line.contains(act)).count();
    assert_eq!(count("act=\"login failed\""), 4, "{log}");
    assert_eq!(count("act=\"logins slowed\""), 1, "{log}");
}
