//! Secrets are not visible to others.

use super::{PASSWORD, Users, serve_logged};
use crate::process::{Running, wakeful};

#[test]
fn a7_no_secret_is_in_arguments_or_logs() {
    let users = Users::new(&[(wakeful::auth::Action::Watch, "*")]);
    users.set_password("app");
    let (server, addr) = serve_logged(users.file.path(), "trace");
    let token = users.token("app");
    let token_file = users.token_file("app");
    let mut watching = wakeful(&["watch", "--all", "--addr", &addr, "--token"]);
    watching.arg(&token_file);
    let watching = Running::start(watching);
    let mut asking = wakeful(&["watch", "--all", "--addr", &addr]);
    asking.env("WAKEFUL_USER", "app").env("WAKEFUL_PASSWORD", PASSWORD);
    let asking = Running::start(asking);
    crate::process::until("both watch", || {
        let mut again = wakeful(&["status", "--json", "--addr", &addr, "--token"]);
        again.arg(users.token_file("root"));
        Running::start(again).finish().json()["watches"] == 2
    });
    for running in [&watching, &asking, &server] {
        let arguments = std::fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        assert!(!arguments.contains(&token) && !arguments.contains(PASSWORD), "{arguments}");
    }
    // Failed logins do not log names either: a name may be a mistyped or misplaced password.
    for (user, password) in [("app", "nearly correct horse"), ("my password\nis this", "x")] {
        let mut wrong = wakeful(&["status", "--addr", &addr]);
        wrong.env("WAKEFUL_USER", user).env("WAKEFUL_PASSWORD", password);
        let told = Running::start(wrong).finish().fails(1);
        assert!(told.contains("login failed") && !told.contains(password), "{told}");
    }
    server.signal("TERM");
    let log = server.finish().stderr;
    assert!(log.contains("login failed"), "{log}");
    let hash = std::fs::read_to_string(users.path()).unwrap();
    let hash = hash.lines().find_map(|line| line.split("$argon2id").nth(1)).unwrap().to_owned();
    for secret in [PASSWORD, &token, "nearly correct", "my password", &hash] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    drop((watching, asking));
}
