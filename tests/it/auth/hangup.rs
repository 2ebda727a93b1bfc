//! SIGHUP, and the audit log for machines.

use serde_json::Value;

use super::Users;
use crate::process::{Running, wakeful};

#[test]
fn o5_a_hangup_reads_the_users_again_and_a8_the_audit_log_may_be_json() {
    let users = Users::new(&[]);
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let slow = ["--limit", "auth.reload_interval=1h", "--auth", users.path()];
    let mut server = Running::start(wakeful(&[&fixed[..], &slow].concat()));
    let addr = server.line().strip_prefix("listening on ").unwrap().to_owned();
    users.change(|book| {
        book.add_role("late").unwrap();
        book.set_admin("late", true).unwrap();
    });
    users.add("late");
    server.signal("HUP");
    let told: Value = serde_json::from_str(&server.said("\"part\":\"users\"")).unwrap();
    assert_eq!(told["fields"]["change"], "the users");
    let mut status = wakeful(&["status", "--addr", &addr, "--token"]);
    status.arg(users.token_file("late"));
    Running::start(status).finish().ok();
    let login: Value = serde_json::from_str(&server.said("\"act\":\"login\"")).unwrap();
    assert_eq!(
        (&login["target"], &login["fields"]["user"]),
        (&"wakeful::audit".into(), &"late".into())
    );
    std::fs::write(users.path(), "rubbish").unwrap();
    server.signal("HUP");
    let refused = server.said("reload refused");
    assert!(refused.contains("users.toml"), "{refused}");
    server.signal("TERM");
    let log = server.finish().stderr;
    for line in log.lines() {
        serde_json::from_str::<Value>(line).expect(line);
    }
}
