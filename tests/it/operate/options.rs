//! O1, O2: the sources of options, and the errors for invalid ones.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Folder, Served};
use crate::process::{Running, run, wakeful};

/// Returns the output of `wakeful config` with these arguments and variables, by name.
fn config(arguments: &[&str], variables: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let mut command = wakeful(&[&["config", "--json"], arguments].concat());
    command.env_remove("WAKEFUL_DURABILITY").envs(variables.iter().copied());
    let lines = Running::start(command).finish().objects();
    let name = |line: &Value| {
        line["name"].as_str().or(line["limit"].as_str()).expect("it is about something").to_owned()
    };
    lines.into_iter().map(|line| (name(&line), line)).collect()
}

#[test]
fn o1_a_flag_goes_before_the_environment_and_that_before_the_file() {
    let folder = Folder::new();
    let file = folder
        .config("log = \"warn\"\n\n[limits]\nstore.keys_max = 1\nrpc.ping_interval = \"9s\"\n");
    let read = ["--config", &file];
    let variables = [("WAKEFUL_LOG", "debug"), ("WAKEFUL_LIMIT_STORE_KEYS_MAX", "2")];
    let flags = ["--config", &file, "--log", "trace", "--limit", "store.keys_max=3"];
    let value = |from: &BTreeMap<String, Value>, name: &str| {
        let line = &from[name];
        (line["value"].as_str().unwrap().to_owned(), line["origin"].as_str().unwrap().to_owned())
    };
    let expect = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let defaults = config(&[], &[]);
    assert_eq!(value(&defaults, "log"), expect("info", "default"));
    assert_eq!(value(&defaults, "store.keys_max"), expect("10000000", "default"));
    let from_file = config(&read, &[]);
    assert_eq!(value(&from_file, "log"), expect("warn", "file"));
    assert_eq!(value(&from_file, "store.keys_max"), expect("1", "file"));
    assert_eq!(
        (&from_file["log"]["file"], &from_file["log"]["line"]),
        (&file.clone().into(), &1.into())
    );
    assert_eq!(from_file["store.keys_max"]["line"], 4);
    let from_environment = config(&read, &variables);
    assert_eq!(value(&from_environment, "log"), expect("debug", "environment"));
    assert_eq!(value(&from_environment, "store.keys_max"), expect("2", "environment"));
    assert_eq!(from_environment["store.keys_max"]["variable"], "WAKEFUL_LIMIT_STORE_KEYS_MAX");
    let from_flags = config(&flags, &variables);
    assert_eq!(value(&from_flags, "log"), expect("trace", "flag"));
    assert_eq!(value(&from_flags, "store.keys_max"), expect("3", "flag"));
    // Options that flags do not set come from the other sources.
    assert_eq!(value(&from_flags, "rpc.ping_interval"), expect("9s", "file"));
    // The file can be named by the environment, and the filter by the customary variable.
    let named = config(&[], &[("WAKEFUL_CONFIG", &file), ("RUST_LOG", "error")]);
    assert_eq!(value(&named, "config"), expect(&file, "environment"));
    assert_eq!(value(&named, "log"), expect("error", "environment"));
    assert_eq!(
        value(&config(&[], &[("WAKEFUL_ADDR", "h:1")]), "listen"),
        expect("h:1", "environment")
    );
}

#[test]
fn o1_trust_may_be_in_the_file_and_limits_may_be_none() {
    let folder = Folder::new();
    let text = "tls-ca = \"ca.pem\"\ntls-server-name = \"home\"\n[limits]\n# none\n";
    let options = config(&["--config", &folder.config(text)], &[]);
    for (name, value) in [("tls-ca", "ca.pem"), ("tls-server-name", "home")] {
        assert_eq!(
            (&options[name]["value"], &options[name]["origin"]),
            (&value.into(), &"file".into())
        );
    }
}

#[test]
fn o2_options_that_contradict_each_other_are_printed_and_refused() {
    for (arguments, told) in [
        (&["--tls"][..], "needs a certificate"),
        (&["--tls", "--tls-listen", "h:1"], "give only one"),
        (&["--tls-client-ca", "ca.pem"], "needs a TLS port"),
        (&["--tls-cert", "c.pem"], "--tls-cert needs --tls-key"),
    ] {
        let ran = run(&[&["config"], arguments].concat());
        assert!(String::from_utf8_lossy(&ran.stdout).contains("[limits]"), "it is printed");
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn o1_a_server_does_what_its_file_and_its_environment_say() {
    let folder = Folder::new();
    let file = folder.config("listen = \"127.0.0.1:0\"\n[limits]\nstore.keys_max = 1\n");
    let mut command = wakeful(&["serve", "--config", &file]);
    command.env("WAKEFUL_LIMIT_STORE_KEY_BYTES_MAX", "3").env("WAKEFUL_LOG", "warn");
    let server = Served::run(command);
    server.ask(&["set", "a", "1"]).ok();
    assert!(server.ask(&["set", "b", "1"]).fails(1).contains("store.keys_max"));
    assert!(server.ask(&["set", "four", "1"]).fails(1).contains("store.key_bytes_max"));
    assert_eq!(server.stop(), "");
}

#[test]
fn o2_what_is_no_option_is_refused_with_file_line_and_what_was_meant() {
    let folder = Folder::new();
    for (text, told) in [
        ("\nlisetn = \"x\"", ":2: `serve` has no option `lisetn`; did you mean `listen`?"),
        (
            "[limits]\nstore.key_max = 1",
            ":2: no limit is named `store.key_max`; did you mean `store.keys_max`?",
        ),
        ("store.keys_max = 1", ":1: `store.keys_max` is a limit: write it below a line `[limits]`"),
        ("[limits]\n\nstore.keys_max = \"x\"", ":3: store.keys_max: `x` is not a whole number"),
        ("[limits]\nstore.keys_max = true", ":2: store.keys_max: expected a number or a string"),
        ("[limits]\nrpc.ping_interval = 5", ":2: rpc.ping_interval: `5` is not a duration"),
        ("listen = 7117", ":1: `listen`: expected a string, found a number"),
        ("log = [\"info\"]", ":1: `log`: expected a string, found a list"),
        ("durability = \"maybe\"", ":1: invalid value 'maybe' for '--durability <LEVEL>'"),
        (
            "log-format = \"json\"\nlog_format = \"json\"",
            ":2: `log-format` is already set in line 1",
        ),
        ("config = \"other.toml\"", ":1: a file cannot include another"),
        ("addr = \"h:1\"", ":1: `serve` has no option `addr`"),
        ("log = \"info", ":1: "),
    ] {
        let file = folder.config(text);
        for command in ["serve", "config"] {
            let said = run(&[command, "--config", &file]).fails(2);
            assert!(said.starts_with(&format!("error: {file}{told}")), "{text:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
    let nowhere = folder.path("nowhere").to_str().unwrap().to_owned();
    assert!(run(&["serve", "--config", &nowhere]).fails(2).contains(&nowhere));
    let mut slip = wakeful(&["serve"]);
    slip.env("WAKEFUL_LIMIT_STORE_KEY_MAX", "1");
    let said = Running::start(slip).finish().fails(2);
    assert!(said.contains("did you mean `WAKEFUL_LIMIT_STORE_KEYS_MAX`?"), "{said}");
}

#[test]
fn o2_what_contradicts_itself_is_printed_and_refused() {
    let ran = run(&["config", "--limit", "rpc.frame_bytes_max=1KiB"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("rpc.frame_bytes_max must be at least"), "{}", ran.stderr);
    assert!(String::from_utf8_lossy(&ran.stdout).contains("rpc.frame_bytes_max = 1024  # flag"));
}

#[test]
fn o1_what_config_prints_is_a_file_that_says_the_same() {
    let folder = Folder::new();
    let flags =
        ["config", "--limit", "store.keys_max=7", "--data-dir", "a \"b\" \\ c", "--listen", "h:1"];
    let printed = run(&flags).ok();
    assert!(printed.contains("store.keys_max = 7  # flag\n"), "{printed}");
    let file = folder.config(&printed);
    let again = run(&["config", "--config", &file]).ok();
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&again), values(&printed));
    assert!(again.contains(&format!("# file {file}:")), "{again}");
}

#[test]
fn o1_every_option_and_every_limit_has_a_variable() {
    let all = config(&[], &[]);
    let help = run(&["serve", "--help"]).ok();
    let help: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut limits = Vec::new();
    for (name, line) in &all {
        let upper = name.to_uppercase().replace(['-', '.'], "_");
        if line["limit"].is_null() {
            assert!(help.contains(&format!("[env: WAKEFUL_{upper}=")), "{name}: {help}");
        } else {
            limits.push((format!("WAKEFUL_LIMIT_{upper}"), line["value"].as_str().unwrap()));
        }
    }
    let limits: Vec<(&str, &str)> = limits.iter().map(|(name, value)| (&**name, *value)).collect();
    let set = config(&[], &limits);
    let set = set.values().filter(|line| line["origin"] == "environment").count();
    assert_eq!(set, limits.len());
}
