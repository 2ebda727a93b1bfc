//! Servers that dial as users of a user file.

use std::process::Command;

use wakeful::auth::{Action, AuthFile, NewToken, Pattern, UserStore};
use wakeful::config::AuthConfig;

use super::{Dialing, Relay, dialing};

/// A file with the user `edge`, who may dial as `home` and as names that begin with `edge-`, and
/// the user's token.
struct Users {
    file: AuthFile,
    token: String,
    _dir: tempfile::TempDir,
}

impl Users {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = NewToken::draw();
        let users = Self {
            file: AuthFile::new(dir.path().join("users.toml")),
            token: token.secret().to_string(),
            _dir: dir,
        };
        users.change(|book| {
            book.add_role("edges").unwrap();
            for name in ["home", "edge-*"] {
                book.grant("edges", Action::Dial, Pattern::parse(name).unwrap()).unwrap();
            }
            book.add_user("edge", None).unwrap();
            book.give_role("edge", "edges").unwrap();
            book.add_token("edge", "dialing", &token).unwrap();
        });
        users
    }

    fn change(&self, change: impl FnOnce(&mut UserStore)) {
        let changed = self.file.update(&AuthConfig::new(), |book| {
            change(book);
            Ok(())
        });
        changed.unwrap();
    }

    fn relay(&self) -> Relay {
        let path = self.file.path().to_str().unwrap();
        let arguments = ["--accept-auth", path, "--limit", "auth.reload_interval=20ms"];
        Relay::start_at("127.0.0.1:0", "127.0.0.1:0", &arguments)
    }

    fn dialing(&self, relay: &Relay, name: &str) -> Command {
        let mut command = dialing(&relay.accepting, name, &[]);
        command.env("WAKEFUL_DIAL_TOKEN", &self.token).env("RUST_LOG", "warn");
        command
    }
}

#[test]
fn l3_a_user_dials_under_the_names_that_it_was_granted() {
    let users = Users::new();
    let relay = users.relay();
    let names = ["home", "edge-1"];
    let _servers = names.map(|name| Dialing::start(users.dialing(&relay, name)));
    names.iter().for_each(|name| relay.until_there(name));
    let other = Dialing::start(users.dialing(&relay, "away"));
    other.0.said("no role of the user grants `dial` on it");
    let mut rogue = users.dialing(&relay, "home");
    rogue.env("WAKEFUL_DIAL_TOKEN", NewToken::draw().secret());
    let rogue = Dialing::start(rogue);
    rogue.0.said("cannot establish the link");
    let mut mute = users.dialing(&relay, "home");
    mute.env_remove("WAKEFUL_DIAL_TOKEN");
    Dialing::start(mute).0.said("cannot establish the link");
    relay.ok("home", &["set", "a", "1"]);
    assert!(relay.run("away", &["get", "a"]).stderr.contains("no server away"));
}

#[test]
fn l3_who_loses_the_grant_or_the_token_loses_the_link() {
    let users = Users::new();
    let relay = users.relay();
    let server = Dialing::start(users.dialing(&relay, "home"));
    relay.until_there("home");
    let gone = |what: &str| {
        crate::process::until(what, || {
            relay.run("home", &["get", "a"]).stderr.contains("no server home")
        });
    };
    let home = Pattern::parse("home").unwrap();
    users.change(|book| book.revoke("edges", Action::Dial, &home).unwrap());
    gone("its grant is gone, and its link");
    server.0.said("no role of the user grants `dial` on it");
    users.change(|book| assert!(book.grant("edges", Action::Dial, home.clone()).unwrap()));
    relay.until_there("home");
    users.change(|book| book.remove_token("edge", "dialing").unwrap());
    gone("its token is gone, and its link");
}
