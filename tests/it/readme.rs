//! Runs the commands of README.md and of `docs` against the binary under test, in order, each in
//! its own shell, and compares the table of limits with the configuration.
//!
//! A block marked `sh` has commands, one per line; in a block with prompts (`$ `), the other lines
//! are the output of the command above them. Only `wakeful` and `cargo run --release --` are run.
//! `serve` gets a free port. The text must contain the output of each `watch`.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use wakeful::Config;

use crate::process::{BINARY, Running, run, until};

/// Lines of README.md that fit on a first screen.
const LINES: usize = 60;

/// Maximum number of lines of README.md; more belongs in `docs`.
const LINES_MAX: usize = 250;

/// Returns the text of a document, by its path in the repository.
pub(crate) fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Returns the section of README.md with this heading.
fn section(heading: &str) -> String {
    let text = document("README.md");
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    section.split_once("\n## ").map_or(section, |(section, _)| section).to_owned()
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) command: String,
    /// The output shown in the text; empty if there is none.
    output: String,
}

/// Returns the commands of the blocks marked `sh`.
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

/// Runs the commands; returns every line that a watch printed.
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
        // An empty directory, as for a new user.
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
            // The seed is printed to standard error.
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
    let text = document("README.md");
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
fn the_readme_is_short() {
    let lines = document("README.md").lines().count();
    assert!(lines <= LINES_MAX, "README.md has {lines} lines; move what is too much to docs");
}

/// Runs the commands of a text against a server of their own; `names` are among them.
fn follow_with_server(text: &str, names: &[&str]) {
    let commands = steps(text);
    for name in names {
        let begins = format!("wakeful {name}");
        assert!(commands.iter().any(|step| step.command.starts_with(&begins)), "{name}");
    }
    let server = steps("```sh\n$ wakeful serve\n$ wakeful set greeting hello\n```\n");
    follow(server.into_iter().chain(commands).collect());
}

#[test]
fn the_commands_about_data_are_true() {
    follow_with_server(&section("Data"), &["backup", "restore", "journal", "torture"]);
}

#[test]
fn the_commands_about_jobs_are_true() {
    let names = ["job push", "job work", "job wait"];
    follow_with_server(&section("Jobs"), &names);
    let more = [&names[..], &["job replay", "job cancel"]].concat();
    follow_with_server(&document("docs/jobs.md"), &more);
}

#[test]
fn the_commands_about_users_are_true() {
    let commands = steps(&document("docs/users.md"));
    for name in ["role add", "user add", "user token", "serve --auth", "set"] {
        let begins = format!("wakeful {name}");
        assert!(commands.iter().any(|step| step.command.starts_with(&begins)), "{name}");
    }
    follow(commands);
}

/// In both directions: the table has every limit with its default, and nothing else.
#[test]
fn the_table_of_limits_is_true_and_whole() {
    let text = document("docs/limits.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut documented = Config::new();
    let mut named = Vec::new();
    for row in rows {
        let (name, rest) = row.split_once("` | ").expect(row);
        let [default, audience, meaning] =
            rest.splitn(3, " | ").collect::<Vec<_>>().try_into().expect(row);
        documented.set(name, default).unwrap_or_else(|refusal| panic!("docs/limits.md: {refusal}"));
        assert!(["operators", "internal"].contains(&audience), "docs/limits.md: {row}");
        assert!(meaning.len() > 3, "docs/limits.md does not explain {name}");
        named.push((name, audience));
    }
    let defaults = Config::new().entries();
    for ((name, documented), (_, default)) in documented.entries().into_iter().zip(defaults) {
        assert_eq!(documented, default, "docs/limits.md is wrong about the default of {name}");
        let count = named.iter().filter(|(it, _)| *it == name).count();
        assert_eq!(count, 1, "{name} must be in docs/limits.md once");
    }
    // The settings recommended to operators are marked as such.
    for advice in ["dist/wakeful.toml", "README.md"] {
        let advice = if advice == "README.md" { section("Limits") } else { document(advice) };
        for (name, audience) in &named {
            assert!(*audience == "operators" || !advice.contains(name), "{name} is `internal`");
        }
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
