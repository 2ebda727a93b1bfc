//! Runs every command of `docs/tls.md`, in order, in a directory with the files that they name.

use std::process::Command;

use super::{Authority, Pair, Server, text};
use crate::process::{Running, wakeful};
use crate::readme::{document, steps};

/// The host that clients in `docs/tls.md` connect to.
const HOST: &str = "db.example";

#[test]
fn the_commands_about_tls_are_true() {
    let commands = steps(&document("docs/tls.md")).into_iter().map(|step| step.command);
    let commands: Vec<_> = commands.collect();
    for option in ["--tls-listen", "--tls ", "--tls-ca", "--tls-client-ca", "--tls-cert ann.pem"] {
        assert!(commands.iter().any(|command| command.contains(option)), "{option} is not shown");
    }

    let authority = Authority::new();
    let Pair { cert, key } = authority.server(HOST);
    assert_eq!(
        (cert.file_name(), key.file_name()),
        (Some("server.pem".as_ref()), Some("server.key".as_ref()))
    );
    authority.client("ann");
    let mut servers = Vec::new();
    let mut addr = String::new();
    for command in commands {
        let (words, _) = command.split_once('#').unwrap_or((&command, ""));
        let words: Vec<&str> = words.split_whitespace().skip(1).collect();
        if words[0] == "serve" {
            let serve: Vec<&str> = words
                .iter()
                .map(|&word| if is_port(word) { "127.0.0.1:0" } else { word })
                .collect();
            let beside = ["--listen", "127.0.0.1:0"];
            let more = if serve.contains(&"--listen") { &[][..] } else { &beside };
            let mut server = Running::start(at(&authority, &[&serve, more].concat()));
            let listening = loop {
                let line = server.line();
                let listening = line.strip_prefix("listening on ").expect(&line);
                if let Some(addr) = listening.strip_suffix(" with TLS") {
                    break addr.to_owned();
                }
            };
            addr = listening;
            // A value for commands that only read.
            let set = ["--addr", &addr, "--tls", "--tls-cert", "ann.pem", "--tls-key", "ann.key"];
            Running::start(at(&authority, &[&set[..], &["set", "greeting", "hello"]].concat()))
                .finish()
                .ok();
            servers.push(server);
        } else {
            let run: Vec<&str> = words
                .iter()
                .map(|&word| if word.starts_with(HOST) { &*addr } else { word })
                .collect();
            let said = Running::start(at(&authority, &run)).finish().ok();
            assert!(said == "hello\n" || said.starts_with("revision "), "{command}: {said}");
        }
    }
}

/// A server can use the certificate that the `openssl` command of `docs/tls.md` creates.
#[test]
fn the_certificate_that_is_made_works() {
    let shown = document("docs/tls.md");
    let making = shown.lines().find(|line| line.starts_with("openssl req ")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("bash").args(["-c", making]).current_dir(dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let [cert, key] = ["server.pem", "server.key"].map(|file| dir.path().join(file));
    let server = Server::start(&Pair { cert: cert.clone(), key }, &[]);
    let trusting = ["--tls-ca", text(&cert), "--tls-server-name", HOST];
    let set = [&trusting[..], &["set", "greeting", "hello"]].concat();
    assert_eq!(server.run(&set).ok(), "revision 2\n");
    server.stop();
}

/// Returns a command that runs in the directory of the files, on a system that trusts the authority,
/// and that takes the test's server for the host of `docs/tls.md`.
fn at(authority: &Authority, arguments: &[&str]) -> Command {
    let mut command = wakeful(arguments);
    command.current_dir(authority.dir.path());
    command.env("SSL_CERT_FILE", text(&authority.ca())).env("WAKEFUL_TLS_SERVER_NAME", HOST);
    command
}

fn is_port(word: &str) -> bool {
    word.starts_with("0.0.0.0:")
}
