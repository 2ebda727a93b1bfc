//! D12: the data directory is removed under a running server.

use crate::process::{Running, Server, until, wakeful};

#[test]
fn d12_no_write_is_acknowledged_once_the_data_is_removed() {
    for durability in ["fsync", "interval"] {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let dir = data.to_str().unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
        let durable = ["--durability", durability, "--data-dir", dir];
        let server = Server::run_by(wakeful(&[&serve[..], &durable].concat()));
        server.ok(&["set", "a", "1"]);
        std::fs::remove_dir_all(&data).unwrap();
        let refused = server.run(&["set", "a", "2"]);
        assert_ne!(refused.code, Some(0), "{durability}: {}", refused.stderr);
        let ran = server.finish();
        assert_eq!(ran.code, Some(8), "{durability}: {}", ran.stderr);
        assert!(ran.stderr.contains("was removed"), "{durability}: {}", ran.stderr);
    }
}

#[test]
fn r6_a_watch_reports_that_its_server_is_gone_and_that_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let dir = data.to_str().unwrap();
    let durable = ["--durability", "fsync", "--data-dir", dir];
    let server = Server::start_with(&durable);
    let addr = server.addr().to_owned();
    let waiting: [Running; 2] =
        [server.spawn(&["watch", "a"]), server.spawn(&["wait", "a", "--timeout", "10m"])];
    server.until_status("watches", 1);
    server.until_status("waits", 1);
    server.signal("KILL");
    server.finish();
    waiting.iter().for_each(|it| drop(it.said("lost")));
    let server = Server::start_at(&addr, &durable);
    waiting.iter().for_each(|it| drop(it.said("connected to")));
    until("both are back", || server.status("watches") == 1 && server.status("waits") == 1);
    server.ok(&["set", "a", "1"]);
    let [mut watch, wait] = waiting;
    assert_eq!(watch.line(), "put a 1 (revision 2)");
    assert_eq!(wait.finish().ok(), "a\n");
}
