//! O12 to O14: the files that a server needs, the access to those it creates, and secrets in files.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Folder, Served};
use crate::process::{BINARY, Ran, Running, wakeful};

/// Returns a shell that runs `first`, then the binary.
fn after(first: &str, arguments: &[&str]) -> Command {
    let base = wakeful(&[]);
    let mut command = Command::new("sh");
    for (name, value) in base.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["-c", &format!("{first}; exec \"$0\" \"$@\""), BINARY]).args(arguments);
    command
}

/// Returns a server on a free port with its data in `data`.
fn serve(first: &str, data: &Path) -> Command {
    let data = data.to_str().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--durability", "fsync", "--data-dir", data];
    after(first, &serve)
}

fn run(command: Command) -> Ran {
    Running::start(command).finish()
}

fn set_mode(path: &str, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn assert_closed(path: &Path) {
    if !path.is_dir() {
        assert_eq!(mode(path), 0o600, "{}", path.display());
        return;
    }
    assert_eq!(mode(path), 0o700, "{}", path.display());
    std::fs::read_dir(path).unwrap().for_each(|entry| assert_closed(&entry.unwrap().path()));
}

#[test]
fn o14_a_file_with_secrets_is_refused_when_others_can_read_it() {
    let folder = Folder::new();
    let [users, token, key, cert] = ["users", "token", "key", "cert"].map(|name| {
        let path = folder.path(name);
        path.to_str().unwrap().to_owned()
    });
    run(wakeful(&["role", "add", "ops", "--admin", "--auth", &users])).ok();
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let free = "127.0.0.1:0";
    let serve = ["serve", "--listen", free];
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let relay = ["relay", "--listen", free, "--accept", free, "--accept-token-file", &token];
    let starts: [(&str, Vec<&str>); 4] = [
        (&users, [&serve[..], &["--auth", &users]].concat()),
        (&key, [&serve[..], &["--tls"], &tls].concat()),
        (&token, [&serve[..], &["--dial", "127.0.0.1:1", "--dial-token-file", &token]].concat()),
        (&token, relay.to_vec()),
    ];
    for (file, arguments) in &starts {
        set_mode(file, 0o644);
        let said = run(wakeful(arguments)).fails(2);
        let mend = format!("`chmod 600 {file}`");
        for told in [*file, "(mode 0644)", &mend] {
            assert!(said.contains(told), "{told}: {said}");
        }
        set_mode(file, 0o600);
        let mut process = Running::start(wakeful(arguments));
        let line = process.line();
        assert!(line.contains("listening on"), "{line}");
        process.signal("TERM");
        assert_eq!(process.finish().code, Some(0));
    }
    // A token file that a command reads.
    set_mode(&token, 0o644);
    let silent = std::net::TcpListener::bind(free).unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let get = ["--addr", &addr, "get", "a"];
    let with_key = ["--tls", "--tls-cert", &cert, "--tls-key", &key];
    set_mode(&key, 0o604);
    for (file, arguments) in [
        (&token, vec!["--token", &token]),
        (&token, vec!["--user", "ann", "--password-file", &token]),
        (&key, with_key.to_vec()),
    ] {
        let ran = run(wakeful(&[&get[..], &arguments].concat()));
        assert!(matches!(ran.code, Some(1 | 2)), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("`chmod 600 {file}`")), "{}", ran.stderr);
    }
}

#[test]
fn o14_a_reload_refuses_what_others_can_read_and_keeps_what_it_has() {
    let folder = Folder::new();
    let users = folder.path("users").to_str().unwrap().to_owned();
    run(wakeful(&["role", "add", "ops", "--admin", "--auth", &users])).ok();
    run(wakeful(&["user", "add", "ann", "--no-password", "--role", "ops", "--auth", &users])).ok();
    let token = folder.path("token").to_str().unwrap().to_owned();
    let drawn = ["user", "token", "ann", "--label", "t", "--out", &token, "--auth", &users];
    run(wakeful(&drawn)).ok();
    let server = Served::start(&["--auth", &users]);
    let ask = || server.ask(&["get", "a", "--token", &token]);
    ask().fails(3);
    set_mode(&users, 0o644);
    server.process.signal("HUP");
    let said = server.process.said("chmod 600");
    assert!(said.contains(&users) && said.contains("mode 0644"), "{said}");
    ask().fails(3);
    server.stop();
}

#[test]
fn o12_few_open_files_are_enough_or_the_start_says_how_many_are_needed() {
    let folder = Folder::new();
    let data = folder.path("data");
    let server = Served::run(serve("ulimit -n 256", &data));
    server.process.said("lowered from 256 to 64");
    server.ask(&["set", "a", "1"]).ok();
    // A reload finds the same limit.
    server.process.signal("HUP");
    server.process.said("reload done");
    assert_eq!(server.ask(&["get", "a"]).ok(), "1\n");
    server.stop();
    let other = folder.path("other");
    let said = run(serve("ulimit -n 100", &other)).fails(1);
    assert!(said.contains("100 files") && said.contains("ulimit -n 128"), "{said}");
    assert!(!other.exists());
}

#[test]
fn o12_a_relay_says_how_many_open_files_it_needs_too() {
    let relay = ["relay", "--listen", "127.0.0.1:0", "--accept", "127.0.0.1:0", "--accept-anyone"];
    let said = run(after("ulimit -n 100", &relay)).fails(1);
    assert!(said.contains("100 files") && said.contains("ulimit -n 128"), "{said}");
    let relay = Running::start(after("ulimit -n 256", &relay));
    relay.said("lowered from 256 to 64");
    relay.signal("TERM");
    assert_eq!(relay.finish().code, Some(0));
}

#[test]
fn o13_what_is_made_is_its_owners_alone_whatever_the_umask() {
    let folder = Folder::new();
    let home = folder.path("made");
    let data = home.join("data");
    let server = Served::run(serve("umask 0", &data));
    server.ask(&["set", "a", "1"]).ok();
    server.ask(&["backup", home.join("copy").to_str().unwrap()]);
    server.stop();
    let users = home.join("users.toml");
    let users = users.to_str().unwrap();
    let token = home.join("token");
    let token = token.to_str().unwrap();
    let user = |arguments: &[&str]| {
        run(after("umask 0", &[&["user"][..], arguments, &["--auth", users]].concat()))
    };
    user(&["add", "shop", "--no-password"]).ok();
    assert_eq!(user(&["token", "shop", "--out", token]).ok(), "");
    assert!(!std::fs::read_to_string(token).unwrap().trim().is_empty());
    // An existing file is not replaced, and no token is created.
    let listed = user(&["ls", "--json"]).ok();
    user(&["token", "shop", "--out", token]).fails(1);
    assert_eq!(user(&["ls", "--json"]).ok(), listed);
    let restored = home.join("restored");
    let copy = home.join("copy");
    let restore = ["restore", copy.to_str().unwrap(), "--data-dir", restored.to_str().unwrap()];
    assert_eq!(run(after("umask 0", &restore)).code, Some(0));
    assert_closed(&home);
}

#[test]
fn o13_a_data_directory_that_others_reach_is_told_of() {
    let folder = Folder::new();
    let data = folder.path("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    let server = Served::run(serve("true", &data));
    assert!(server.process.said("others than its owner").contains("0755"));
    server.stop();
    assert_eq!(mode(&data), 0o755, "it is not ours to change");
}
