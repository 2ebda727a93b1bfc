//! O1: the files under `dist` are correct.

use std::process::Command;

use serde_json::Value;

use super::Folder;
use crate::process::{BINARY, Running, wakeful};

const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dist");

fn config(arguments: &[&str]) -> Vec<Value> {
    let mut command = wakeful(&[&["config", "--json"], arguments].concat());
    command.env_remove("WAKEFUL_DURABILITY");
    Running::start(command).finish().objects()
}

#[test]
fn o1_the_file_in_dist_says_what_is_the_default_anyway() {
    let file = format!("{DIST}/wakeful.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let keys =
        text.lines().filter(|line| !line.starts_with(['#', '['])).filter(|line| line.contains('='));
    let (defaults, told) = (config(&[]), config(&["--config", &file]));
    let from_file = told.iter().filter(|line| line["origin"] == "file").count();
    assert_eq!(from_file, keys.count(), "every line of it counts");
    for (default, told) in defaults.iter().zip(&told).filter(|(line, _)| line["name"] != "config") {
        assert_eq!(default["value"], told["value"], "{told}");
    }
}

/// Returns the settings of a unit: section, key and value, in order.
fn settings(unit: &str) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(format!("{DIST}/{unit}")).unwrap();
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').expect(line);
        settings.push((section.clone(), key.to_owned(), value.to_owned()));
    }
    settings
}

/// Returns the value of a key, which must be set once.
fn said<'a>(settings: &'a [(String, String, String)], section: &str, key: &str) -> &'a str {
    let found = |it: &&(String, String, String)| (&*it.0, &*it.1) == (section, key);
    let all: Vec<_> = settings.iter().filter(found).collect();
    assert_eq!(all.len(), 1, "{key} in {section}: {all:?}");
    &all[0].2
}

#[test]
fn o6_the_unit_starts_a_server_as_it_takes_it() {
    let unit = settings("wakeful.service");
    let service = |key| said(&unit, "Service", key);
    let file = format!("{DIST}/wakeful.toml");
    let start = service("ExecStart").replace("/etc/wakeful/wakeful.toml", &file);
    let arguments = start.strip_prefix("/usr/bin/wakeful serve ").expect(&start);
    let (variable, value) = service("Environment").split_once('=').unwrap();
    let mut command = wakeful(&["config", "--json"]);
    command.args(arguments.split(' ')).env_remove("WAKEFUL_DURABILITY").env(variable, value);
    let told = Running::start(command).finish().objects();
    let option = |name: &str| told.iter().find(|line| line["name"] == name).expect(name);
    assert_eq!(option("data-dir")["value"], "/var/lib/wakeful");
    assert_eq!(option("data-dir")["origin"], "environment");
    assert_eq!(service("StateDirectory"), "wakeful", "which is that directory");
    assert_eq!(option("config")["value"], file);
    let grace = wakeful::Config::new().rpc.shutdown_grace.as_secs();
    assert!(service("TimeoutStopSec").parse::<u64>().unwrap() > grace);
    assert_eq!(service("Type"), "notify");
    assert!(service("ExecReload").contains("-HUP $MAINPID"));
    let socket = settings("wakeful.socket");
    assert_eq!(said(&socket, "Socket", "ListenStream"), option("listen")["value"]);
}

#[test]
fn o6_the_unit_is_hardened() {
    let unit = settings("wakeful.service");
    for (key, value) in [
        ("User", "wakeful"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictNamespaces", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("SystemCallArchitectures", "native"),
        ("UMask", "0077"),
    ] {
        assert_eq!(said(&unit, "Service", key), value, "{key}");
    }
    assert!(unit.iter().any(|it| (&*it.1, &*it.2) == ("SystemCallFilter", "@system-service")));
}

/// systemd itself checks the units, where it is installed.
#[test]
fn o6_the_units_in_dist_are_such() {
    let folder = Folder::new();
    for unit in ["wakeful.service", "wakeful.socket"] {
        let text = std::fs::read_to_string(format!("{DIST}/{unit}")).unwrap();
        // systemd checks that the program exists.
        std::fs::write(folder.path(unit), text.replace("/usr/bin/wakeful", BINARY)).unwrap();
    }
    let units = ["wakeful.service", "wakeful.socket"].map(|unit| folder.path(unit));
    match Command::new("systemd-analyze").arg("verify").args(units).output() {
        Ok(ran) => {
            let said = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success(), "{said}");
            assert!(!said.contains("wakeful."), "{said}");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
    }
}
