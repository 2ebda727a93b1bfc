//! `wakeful user` and `wakeful role`.

use std::os::unix::fs::PermissionsExt;

use super::PASSWORD;
use crate::process::{Ran, Running, Server, run, wakeful};

fn with_input(arguments: &[&str], input: &str) -> Ran {
    Running::start_with_input(wakeful(arguments), input.as_bytes()).finish()
}

#[test]
fn a6_users_and_roles_are_made_by_commands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let auth = ["--auth", path.to_str().unwrap()];
    let with = |words: &[&str]| run(&[words, &auth[..]].concat());
    with(&["role", "add", "shop", "--read", "shop/*", "--write", "shop/*"]).ok();
    assert_eq!(with(&["role", "grant", "shop", "--push", "orders"]).ok(), "granted shop\n");
    let add = [&["user", "add", "alice", "--role", "shop"], &auth[..]].concat();
    assert_eq!(with_input(&add, &format!("{PASSWORD}\n")).ok(), "added alice\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&path).unwrap().contains(PASSWORD));
    let token = with(&["user", "token", "alice", "--label", "ci"]).ok();
    assert!(token.starts_with("wakeful_") && token.lines().count() == 1, "{token}");
    let made = with(&["user", "token", "alice", "--json"]).json();
    assert!(made["token"].as_str().unwrap().contains(made["id"].as_str().unwrap()));
    let listed = with(&["user", "ls", "--json"]).json();
    assert_eq!(listed["user"], "alice");
    assert_eq!((&listed["password"], &listed["roles"][0]), (&true.into(), &"shop".into()));
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(token.trim()));
    let text = with(&["user", "ls"]).ok();
    assert!(text.contains("alice") && text.contains("(ci)"), "{text}");
    let roles = with(&["role", "ls"]).ok();
    assert!(roles.contains("read   shop/*") && roles.contains("push   orders"), "{roles}");

    let server =
        Server::start_with(&[&auth[..], &["--limit", "auth.reload_interval=20ms"]].concat());
    let get = |password: &str| {
        let mut command = server.command(&["set", "shop/a", "1", "--user", "alice"]);
        command.env("WAKEFUL_PASSWORD", password);
        Running::start(command).finish().code
    };
    assert_eq!(get(PASSWORD), Some(0));
    let passwd = [&["user", "passwd", "alice"], &auth[..]].concat();
    with_input(&passwd, "another one\n").ok();
    crate::process::until("the new one is known", || get("another one") == Some(0));
    assert_eq!(get(PASSWORD), Some(1));
    with(&["user", "token", "alice", "--revoke", "ci"]).ok();
    with(&["role", "revoke", "shop", "--write", "shop/*"]).ok();
    crate::process::until("it may not write any more", || get("another one") == Some(1));
    with(&["user", "revoke", "alice", "shop"]).ok();
    with(&["user", "grant", "alice", "shop"]).ok();
    with(&["role", "del", "shop"]).ok();
    with(&["user", "del", "alice"]).ok();
    assert_eq!(with(&["user", "ls"]).ok(), "");
}

#[test]
fn a6_commands_go_by_the_limits_that_the_server_goes_by() {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (dir.path().join("users.toml"), dir.path().join("wakeful.toml"));
    let auth = path.to_str().unwrap();
    // With settings that only the server uses.
    let settings = format!("auth = {auth:?}\ndata-dir = \"d\"\n[limits]\nauth.users_max = 1\n");
    std::fs::write(&file, settings).unwrap();
    let file = file.to_str().unwrap();
    run(&["user", "add", "ann", "--no-password", "--config", file]).ok();
    assert!(run(&["user", "ls", "--auth", auth]).ok().contains("ann"));
    let flags = ["--auth", auth, "--limit", "auth.users_max=1"];
    for (name, arguments, variable) in [
        ("a flag", &flags[..], None),
        ("the environment", &flags[..2], Some(("WAKEFUL_LIMIT_AUTH_USERS_MAX", "1"))),
        ("the file", &["--config", file], None),
        ("the file that the environment names", &[], Some(("WAKEFUL_CONFIG", file))),
    ] {
        let add = [&["user", "add", "bob", "--no-password"], arguments].concat();
        let mut command = wakeful(&add);
        command.envs(variable);
        let ran = Running::start(command).finish();
        assert_ne!(ran.code, Some(0), "by {name}");
        assert!(ran.stderr.contains("auth.users_max"), "by {name}: {}", ran.stderr);
    }
    // A flag takes precedence over the file, also for roles.
    let raised = ["--config", file, "--limit", "auth.users_max=2"];
    run(&[&["user", "add", "bob", "--no-password"], &raised[..]].concat()).ok();
    let role = ["role", "add", "ops", "--admin", "--config", file];
    assert!(run(&role).stderr.contains("auth.users_max"));
    run(&[&role[..4], &raised[..]].concat()).ok();
    // Limits of passwords apply.
    let add = ["user", "add", "eve", "--auth", auth, "--limit", "auth.password_bytes_min=5"];
    assert_eq!(with_input(&add, "short\n").ok(), "added eve\n");
    let slip = run(&["user", "ls", "--auth", auth, "--limit", "auth.user_max=2"]).fails(2);
    assert!(slip.contains("auth.users_max"), "{slip}");
}

#[test]
fn a6_what_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let auth = ["--auth", path.to_str().unwrap()];
    let with = |words: &[&str]| run(&[words, &auth[..]].concat());
    let short = [&["user", "add", "alice"], &auth[..]].concat();
    assert!(with_input(&short, "short\n").fails(2).contains("auth.password_bytes_min"));
    assert!(with_input(&short, "").fails(2).contains("no secret"));
    assert!(
        with(&["user", "add", "a b", "--no-password"]).fails(2).contains("not a valid user name")
    );
    let unknown = with(&["user", "add", "alice", "--no-password", "--role", "nobody"]);
    assert!(unknown.fails(2).contains("no role"));
    assert!(with(&["role", "add", "r", "--read", "a*b"]).fails(2).contains('*'));
    assert!(!path.exists(), "nothing was made");
    with(&["user", "add", "alice", "--no-password"]).ok();
    assert!(with(&["user", "add", "alice", "--no-password"]).fails(2).contains("already"));
    assert!(with(&["user", "del", "bob"]).fails(2).contains("no user bob"));
    assert!(with(&["role", "grant", "r"]).fails(2).contains("--read"));
    assert!(run(&["user", "ls"]).fails(2).contains("--auth"));
    for command in ["user", "role"] {
        let help = run(&[command, "--help"]).ok();
        assert!(help.contains("Examples:"), "{help}");
    }
}

#[test]
fn a6_who_cannot_keep_the_owner_of_the_file_changes_nothing() {
    use std::os::unix::fs::chown;
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let auth = ["--auth", path.to_str().unwrap()];
    run(&[&["user", "add", "alice", "--no-password"], &auth[..]].concat()).ok();
    // A group member may read a file of root.
    let (owner, group, other) = (0, 54_321, 23_456);
    if chown(&path, Some(owner), Some(group)).is_err() {
        // Only root has files of other users to try this with.
        return;
    }
    let set_mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&path, 0o640);
    set_mode(dir.path(), 0o777);
    let text = std::fs::read(&path).unwrap();
    let mut add = wakeful(&[&["user", "add", "bob", "--no-password"], &auth[..]].concat());
    add.uid(other).gid(group);
    if add.output().is_err() {
        // Other users cannot run the binary in its build directory.
        return;
    }
    let refused = Running::start(add).finish().fails(2);
    assert!(
        refused.contains("user 0, group 54321") && refused.contains("nothing was changed"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
}
