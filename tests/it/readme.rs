//! What README.md shows first must be true: its commands are run, in order, each in a shell of its
//! own, against the binary under test.
//!
//! A block marked `sh` holds commands, one a line; in one with prompts (`$ `), the other lines are
//! what the command above them prints. Only `wakeful` and `cargo run --release --` are run. `serve`
//! gets a free port. What a `watch` prints must stand in the text.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use wakeful::Config;

use crate::process::{BINARY, Running, run, until};

/// What fits on a first screen.
const LINES: usize = 60;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) command: String,
    /// What it is said to print; empty if nothing is said.
    output: String,
}

/// The commands of the blocks marked `sh`.
pub(crate) fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line.trim() == "```sh") {
        let block: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
        let prompts = block.iter().any(|line| line.starts_with("$ "));
        for line in block {
            if let Some(command) = line.strip_prefix("$ ").or((!prompts).then_some(line)) {
                let command = command.replace("cargo run --release --", "wakeful");
                steps.push(Step { command, output: String::new() });
            } else if let Some(step) = steps.last_mut() {
                let _ = writeln!(step.output, "{line}");
            }
        }
    }
    steps.retain(|step| step.command.starts_with("wakeful "));
    steps
}

/// Runs the commands; gives every line that a watch printed.
fn follow(steps: Vec<Step>) -> Vec<String> {
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(BINARY, bin.path().join("wakeful")).unwrap();
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let mut addr = "127.0.0.1:1".to_owned();
    let mut servers = Vec::new();
    let mut watches: Vec<(Running, String)> = Vec::new();
    for Step { command, output } in steps {
        let name = command.split(' ').nth(1).unwrap_or_default().to_owned();
        let at = if name == "serve" { " --log warn --listen 127.0.0.1:0" } else { "" };
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("exec {command}{at}")]);
        shell.env("PATH", &path).env("WAKEFUL_ADDR", &addr).env_remove("RUST_LOG");
        // Where nothing is yet, as for a newcomer.
        shell.current_dir(bin.path());
        let mut running = Running::start(shell);
        match &*name {
            "serve" => {
                let line = running.line();
                addr = line.strip_prefix("listening on ").expect(&line).to_owned();
                assert!(["", "listening on 127.0.0.1:7117\n"].contains(&&*output), "{output}");
                servers.push(running);
            }
            "watch" | "wait" => {
                until("the watch is there", || {
                    let status = run(&["status", "--json", "--addr", &addr]).json();
                    status["watches"].as_u64().unwrap() + status["waits"].as_u64().unwrap()
                        > watches.len() as u64
                });
                watches.push((running, output));
            }
            // It says its seed where errors go.
            "torture" => assert_eq!(running.finish().code, Some(0), "{command}"),
            _ => {
                let printed = running.finish().ok();
                assert!(output.is_empty() || output == printed, "{command} prints {printed}");
            }
        }
    }
    let mut shown = Vec::new();
    for (mut watch, output) in watches {
        let line = watch.line();
        assert!(output.is_empty() || output == format!("{line}\n"), "it prints {line}");
        shown.push(line);
    }
    shown
}

#[test]
fn the_first_screen_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let screen: String = text.lines().take(LINES).map(|line| format!("{line}\n")).collect();
    let steps = steps(&screen);
    for name in ["serve", "watch", "set"] {
        let begins = format!("wakeful {name}");
        assert!(steps.iter().any(|step| step.command.starts_with(&begins)), "{name} is missing");
    }
    for line in follow(steps) {
        assert!(screen.contains(&line), "what is printed is not shown: {line}");
    }
    // The embedding example is the one that is built and run.
    let example = include_str!("../../examples/embed.rs");
    let code = example.find("use wakeful").map(|start| &example[start..]).unwrap();
    assert!(text.contains(code.trim_end()), "README.md does not show examples/embed.rs");
}

#[test]
fn the_commands_about_data_are_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, data) = text.split_once("## Data").unwrap();
    let (data, _) = data.split_once("\n## ").unwrap();
    let about_data = steps(data);
    for name in ["backup", "restore", "journal", "torture"] {
        let begins = format!("wakeful {name}");
        assert!(about_data.iter().any(|step| step.command.starts_with(&begins)), "{name}");
    }
    let server = steps("```sh\n$ wakeful serve\n$ wakeful set greeting hello\n```\n");
    follow(server.into_iter().chain(about_data).collect());
}

#[test]
fn the_commands_about_jobs_are_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, jobs) = text.split_once("\n## Jobs").unwrap();
    let (jobs, _) = jobs.split_once("\n## ").unwrap();
    let about_jobs = steps(jobs);
    for name in ["push", "work", "wait"] {
        let begins = format!("wakeful job {name}");
        assert!(about_jobs.iter().any(|step| step.command.starts_with(&begins)), "{name}");
    }
    let server = steps("```sh\n$ wakeful serve\n```\n");
    follow(server.into_iter().chain(about_jobs).collect());
}

/// In both directions: every limit is in the table with its default, and nothing else is.
#[test]
fn the_table_of_limits_is_true_and_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, limits) = text.split_once("\n## Limits").unwrap();
    let (limits, _) = limits.split_once("\n## ").unwrap();
    let rows = limits.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut told = Config::new();
    let mut named = Vec::new();
    for row in rows {
        let (name, rest) = row.split_once("` | ").expect(row);
        let (default, why) = rest.split_once(" | ").expect(row);
        told.set(name, default).unwrap_or_else(|refusal| panic!("README.md: {refusal}"));
        assert!(why.len() > 3, "README.md does not say what {name} is");
        named.push(name);
    }
    for ((name, told), (_, default)) in told.entries().into_iter().zip(Config::new().entries()) {
        assert_eq!(told, default, "README.md is wrong about the default of {name}");
        let count = named.iter().filter(|it| **it == name).count();
        assert_eq!(count, 1, "{name} must be once in the table of limits in README.md");
    }
}

#[test]
fn commands_are_found_and_run() {
    let text = "
```sh
cargo run --release -- serve
# in another shell
wakeful watch greeting
cargo install --path .
```
```text
wakeful del greeting
```
```sh
$ wakeful set greeting hello
revision 2
$ wakeful get greeting
hello
```
";
    let steps = steps(text);
    let commands: Vec<_> = steps.iter().map(|step| &*step.command).collect();
    let expected = [
        "wakeful serve",
        "wakeful watch greeting",
        "wakeful set greeting hello",
        "wakeful get greeting",
    ];
    assert_eq!(commands, expected);
    assert_eq!(steps[3].output, "hello\n");
    assert_eq!(follow(steps), ["put greeting hello (revision 2)"]);
}

#[test]
#[should_panic(expected = "prints revision 2")]
fn what_is_not_true_is_noticed() {
    follow(steps("```sh\n$ wakeful serve\n$ wakeful set greeting hello\nrevision 3\n```\n"));
}
