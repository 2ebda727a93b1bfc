//! Links over TLS: relays and servers as processes, a listener and its dialer in this one.

use std::process::Command;

use wakeful::auth::{Action, AuthFile, Pattern};
use wakeful::config::AuthConfig;
use wakeful::link::{DialOptions, ReverseListener, ReverseOptions};
use wakeful::{ClientTls, Config, Operations, TlsConfig, Wakeful};

use super::{Authority, Pair, text};
use crate::link::{Relay, TOKEN, dialing};
use crate::process::{Ran, Running, until, wakeful};
use crate::support::within;

/// A relay with TLS on both ports.
struct Guarded<'a> {
    relay: Relay,
    authority: &'a Authority,
}

impl<'a> Guarded<'a> {
    fn start(authority: &'a Authority, arguments: &[&str]) -> Self {
        let pair = authority.server("127.0.0.1");
        let fixed = ["relay", "--listen", "127.0.0.1:0", "--accept", "127.0.0.1:0", "--tls"];
        let files = ["--tls-cert", text(&pair.cert), "--tls-key", text(&pair.key)];
        let mut command = wakeful(&[&fixed, &files[..], arguments].concat());
        if arguments.is_empty() {
            command.env("WAKEFUL_RELAY_TOKEN", TOKEN);
        }
        Self { relay: Relay::run_as(command), authority }
    }

    /// Returns a server that dials the relay as `home`.
    fn dialing(&self, arguments: &[&str]) -> Command {
        let mut command = dialing(&self.relay.accepting, "home", arguments);
        command.env("RUST_LOG", "warn");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ca = self.authority.ca();
        let fixed = ["--addr", &self.relay.listening, "--server", "home", "--tls-ca", text(&ca)];
        Running::start(wakeful(&[&fixed, arguments].concat())).finish()
    }

    fn until_there(&self) {
        until("the server is there", || self.run(&["status"]).code == Some(0));
    }
}

#[test]
fn tls7_a_relay_speaks_tls_with_its_clients_and_with_the_servers_that_dial_it() {
    let authority = Authority::new();
    let relay = Guarded::start(&authority, &[]);
    let ca = authority.ca();
    let server = Running::start(relay.dialing(&["--dial-tls", "--tls-ca", text(&ca)]));
    relay.until_there();
    relay.run(&["set", "a", "1"]).ok();
    assert_eq!(relay.run(&["get", "a"]).ok(), "1\n");
    // Neither port accepts plain connections.
    let plain = wakeful(&["--addr", &relay.relay.listening, "--server", "home", "get", "a"]);
    assert!(Running::start(plain).finish().fails(1).contains("speaks TLS only"));
    let plain = Running::start(relay.dialing(&[]));
    plain.said("speaks TLS only");
    // Nor is a relay with a certificate of another CA trusted.
    let other = Authority::new();
    let ca = other.ca();
    let wary = Running::start(relay.dialing(&["--tls-ca", text(&ca)]));
    let refused = wary.said("cannot establish the link");
    assert!(refused.contains("not trusted here: give the CA with --tls-ca"), "{refused}");
    assert_eq!(relay.run(&["get", "a"]).ok(), "1\n", "the link is as it was");
    for process in [server, relay.relay.process] {
        process.signal("TERM");
        assert_eq!(process.finish().code, Some(0));
    }
}

#[test]
fn tls7_a_certificate_is_the_user_that_dials() {
    let authority = Authority::new();
    let file = AuthFile::new(authority.dir.path().join("users.toml"));
    let changed = file.update(&AuthConfig::new(), |book| {
        book.add_role("edges").unwrap();
        book.grant("edges", Action::Dial, Pattern::parse("home").unwrap()).unwrap();
        for user in ["edge", "stranger"] {
            book.add_user(user, None).unwrap();
        }
        book.give_role("edge", "edges").unwrap();
        Ok(())
    });
    changed.unwrap();
    let (ca, users) = (authority.ca(), file.path().to_owned());
    let relay = Guarded::start(
        &authority,
        &["--accept-auth", text(&users), "--accept-client-ca", text(&ca)],
    );
    let dial = |pair: &Pair| {
        let files = ["--tls-cert", text(&pair.cert), "--tls-key", text(&pair.key)];
        let mut command = relay.dialing(&[&["--tls-ca", text(&ca)], &files[..]].concat());
        command.env_remove("WAKEFUL_DIAL_TOKEN");
        Running::start(command)
    };
    dial(&authority.client("stranger")).said("no role of the user grants `dial` on it");
    let nobody = Running::start(relay.dialing(&["--tls-ca", text(&ca)]));
    let refused = nobody.said("cannot establish the link");
    assert!(
        refused.contains("requires a client certificate: give one with --tls-cert"),
        "{refused}"
    );
    // A certificate of another CA.
    let refused = dial(&Authority::new().client("edge")).said("cannot establish the link");
    assert!(refused.contains("does not trust the client certificate"), "{refused}");
    let _edge = dial(&authority.client("edge"));
    relay.until_there();
}

#[test]
fn tls7_a_relay_without_tls_is_not_taken_for_one_that_speaks_it() {
    let mut relay = wakeful(&["relay", "--listen", "127.0.0.1:0", "--accept", "127.0.0.1:0"]);
    relay.env("WAKEFUL_RELAY_TOKEN", TOKEN);
    let relay = Relay::run_as(relay);
    let mut server = dialing(&relay.accepting, "home", &["--dial-tls"]);
    server.env("RUST_LOG", "warn");
    let said = Running::start(server).said("cannot establish the link");
    assert!(said.contains("TLS"), "{said}");
}

#[test]
fn tls7_options_that_would_go_unheard_are_refused() {
    for (line, why) in [
        (&["serve", "--dial-tls"][..], "--dial"),
        (&["relay", "--accept-anyone", "--tls"], "--tls-cert and --tls-key"),
        (
            &["relay", "--accept-anyone", "--tls-cert", "a", "--tls-key", "b"],
            "--tls-cert needs --tls",
        ),
        (&["relay", "--accept-anyone", "--tls-ca", "ca.pem"], "a relay dials no server"),
        (&["relay", "--accept-anyone", "--accept-client-ca", "ca.pem"], "--tls"),
    ] {
        let said = crate::process::run(line).fails(2);
        assert!(said.contains(why), "{line:?}: {said}");
    }
}

#[actix_rt::test]
async fn tls7_a_listener_knows_a_server_by_its_certificate() {
    let authority = Authority::new();
    let pair = authority.server("127.0.0.1");
    let tls = TlsConfig {
        client_ca: Some(authority.ca()),
        ..TlsConfig::new(pair.cert.clone(), pair.key.clone())
    };
    let options = ReverseOptions { tls: Some(tls), ..ReverseOptions::new(Certified) };
    let mut listener = ReverseListener::bind("127.0.0.1:0", options).await.unwrap();
    let server = Wakeful::start(Config::new()).unwrap();
    let tls: ClientTls = authority.trusted_with(&authority.client("edge"));
    let options = DialOptions { tls: Some(tls), ..DialOptions::new("inside") };
    server.dial(listener.addr().to_string(), options).await.unwrap();
    let (client, dialer) = within(listener.next()).await.unwrap();
    assert_eq!((&*dialer.name, &*dialer.identity.unwrap().name), ("inside", "edge"));
    assert_eq!(within(client.get("a")).await.unwrap().kv, None);
    within(listener.stop()).await;
    within(server.stop()).await;
}

/// Accepts every client with a certificate.
struct Certified;

impl wakeful::link::Authenticate for Certified {
    fn authenticate<'a>(
        &'a self,
        presented: &'a wakeful::link::Presented,
    ) -> futures_util::future::BoxFuture<'a, Result<wakeful::link::Admission, wakeful::Error>> {
        Box::pin(async {
            let known = presented.identity.clone();
            let known = known.ok_or_else(|| wakeful::Error::failed("who is that?"))?;
            Ok(wakeful::link::Admission::of(known))
        })
    }
}
