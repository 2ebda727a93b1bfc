//! A data directory of an earlier version, opened by this one.

use std::fs;
use std::path::Path;

use super::Home;

/// Copies the files that version 1 of the format left when its server was killed.
fn version_1() -> Home {
    let home = Home::new();
    fs::create_dir(home.dir()).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durable/v1");
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, home.dir().join(path.file_name().unwrap())).unwrap();
    }
    home
}

#[test]
fn d3_a_data_directory_of_version_1_is_the_same_store() {
    let home = version_1();
    let verified = crate::process::run(&[
        "journal",
        "verify",
        "--json",
        "--data-dir",
        home.dir().to_str().unwrap(),
    ]);
    assert_eq!(verified.json()["records"], 20);
    for round in 0..2_u64 {
        let server = home.server();
        let status = server.run(&["status", "--json"]).json();
        assert_eq!(status["store_id"], "d5069f0b55008b58");
        assert_eq!(
            (&status["revision"], &status["keys"], &status["leases"]),
            (&(13 + round).into(), &(9 + round).into(), &1.into())
        );
        assert_eq!(server.ok(&["get", "greeting"]), "again\n");
        let zeros = server.run(&["get", "zeros5", "--json"]).json();
        assert_eq!(zeros["kv"]["value"].as_str().unwrap(), "\0".repeat(1400));
        let job = server.run(&["job", "get", "1", "--json"]).json();
        assert_eq!(job["state"], "Done");
        let job = server.run(&["job", "get", "2", "--json"]).json();
        assert_eq!((&job["state"], &job["index"]), (&"Ready".into(), &"i2".into()));
        server.ok(&["set", &format!("new{round}"), "1"]);
        server.signal("KILL");
        server.finish();
    }
}
