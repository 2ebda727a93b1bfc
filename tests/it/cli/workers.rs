//! `job work`: how it ends, what it leaves behind, and its behaviour where commands cannot be run.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Killed, Running, Server, exit_of, until, wakeful};

impl Server {
    fn job(&self, id: &str) -> Value {
        self.run(&["job", "get", id, "--json"]).json()
    }

    fn push_to(&self, topic: &str, options: &[&str]) -> String {
        self.ok(&[&["job", "push", topic, "x"], options].concat()).trim().to_owned()
    }

    /// Returns a number of `topics --json`.
    fn topic_number(&self, topic: &str, name: &str) -> u64 {
        let topics = self.run(&["topics", "--json"]).objects();
        let info = topics.iter().find(|info| info["name"] == topic).expect("the topic");
        info[name].as_u64().expect(name)
    }

    /// Returns the command `job work TOPIC OPTIONS -- sh -c SCRIPT`.
    fn runs(&self, topic: &str, options: &[&str], script: &str) -> Command {
        self.command(&[&["job", "work", topic], options, &["--", "sh", "-c", script]].concat())
    }
}

/// A directory of files through which commands and tests communicate.
struct Signs(TempDir);

impl Signs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns shell code that writes the value of `expression` to the file `name` atomically.
    fn tells(&self, name: &str, expression: &str) -> String {
        let path = self.path(name).display().to_string();
        format!("echo {expression} > {path}.part; mv {path}.part {path};")
    }

    /// Returns shell code that waits for the file `name`.
    fn awaits(&self, name: &str) -> String {
        format!("until test -e {}; do sleep 0.02; done;", self.path(name).display())
    }

    fn give(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// Waits for the file `name`, and returns its content.
    fn told(&self, name: &str) -> String {
        until(name, || self.path(name).exists());
        fs::read_to_string(self.path(name)).unwrap().trim().to_owned()
    }
}

/// Returns true if a process has ended, or is a zombie.
fn is_over(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

fn signal(process: &str, signal: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s $0 $1", signal, process]).status();
    assert!(sent.unwrap().success(), "cannot send {signal} to {process}");
}

/// Returns the process that ends the commands of a killed worker.
fn guard_of(worker: &Running) -> String {
    let line = format!("job-guard\0{}\0", worker.id());
    let is_it = |process: &str| {
        fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| words == line.as_bytes())
    };
    let mut names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    names.find_map(|name| name.into_string().ok().filter(|name| is_it(name))).expect("a guard")
}

/// Returns a script that reports its own process and a child of it, and waits for the child.
fn family(signs: &Signs) -> String {
    let [child, grandchild] = [signs.tells("child", "$$"), signs.tells("grandchild", "$!")];
    format!("sleep 600 & {child} {grandchild} wait")
}

#[test]
fn j22_a_command_and_what_it_started_end_with_a_worker_that_is_killed() {
    let server = Server::start();
    for name in ["KILL", "ABRT", "USR1", "XCPU"] {
        let signs = Signs::new();
        server.push_to(name, &[]);
        let worker = Running::start(server.runs(name, &[], &family(&signs)));
        let processes = [signs.told("child"), signs.told("grandchild")];
        let guard = guard_of(&worker);
        // A service manager may signal every process.
        for ignored in ["TERM", "INT", "HUP", "QUIT"] {
            signal(&guard, ignored);
        }
        worker.signal(name);
        worker.finish();
        for process in processes.iter().chain([&guard]) {
            until(&format!("{process} ends after {name}"), || is_over(process));
        }
    }
}

#[test]
fn j22_a_worker_without_its_guard_stops_and_releases_its_jobs() {
    let server = Server::start();
    let signs = Signs::new();
    let id = server.push_to("t", &["--retry-max", "0", "--loss-max", "0"]);
    let mut worker = Running::start(server.runs("t", &[], &family(&signs)));
    let processes = [signs.told("child"), signs.told("grandchild")];
    signal(&guard_of(&worker), "KILL");
    assert_eq!(worker.line(), format!("released {id}"));
    let ran = worker.finish();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: "), "{}", ran.stderr);
    for process in &processes {
        until("it ends", || is_over(process));
    }
    let job = server.job(&id);
    assert_eq!((&job["state"], &job["losses"]), (&json!("Ready"), &json!(0)));
}

#[test]
fn a_hangup_and_a_quit_stop_a_worker_as_sigterm_does() {
    let server = Server::start();
    for (name, code) in [("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let signs = Signs::new();
        let script = [signs.tells("child", "$$"), signs.awaits("go"), "echo well".to_owned()];
        let id = server.push_to(name, &[]);
        let worker = Running::start(with_signals(&server.runs(name, &[], &script.concat())));
        signs.told("child");
        worker.signal(name);
        worker.said("stopping");
        signs.give("go");
        let ran = worker.finish();
        assert_eq!(
            (ran.code, &*ran.stdout),
            (Some(0), format!("done {id}\n").as_bytes()),
            "{name}"
        );

        let signs = Signs::new();
        let id = server.push_to(name, &["--retry-max", "0", "--loss-max", "0"]);
        let worker = Running::start(with_signals(&server.runs(name, &["--once"], &family(&signs))));
        let processes = [signs.told("child"), signs.told("grandchild")];
        worker.signal(name);
        worker.said("stopping");
        worker.signal(name);
        let ran = worker.finish();
        assert_eq!(
            (ran.code, server.job(&id)["state"].as_str()),
            (Some(code), Some("Ready")),
            "{name}"
        );
        assert!(processes.iter().all(|process| is_over(process)), "{name}");
    }
}

/// Resets these signals to their defaults for the worker, because the tests may run under `nohup`
/// or as a background job of a script, which ignores SIGQUIT.
fn with_signals(command: &Command) -> Command {
    let mut with = Command::new("env");
    // The `env` of other systems has no such option.
    with.args(cfg!(target_os = "linux").then_some("--default-signal=HUP,QUIT"));
    with.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => with.env(name, value),
            None => with.env_remove(name),
        };
    }
    with
}

#[test]
fn a_worker_under_nohup_goes_on_after_a_hangup() {
    let server = Server::start();
    let mut command = Command::new("nohup");
    let work = server.command(&["job", "work", "t", "--", "cat"]);
    command.arg(work.get_program()).args(work.get_args());
    let mut worker = Running::start(command);
    // The worker works, so it handles signals.
    let id = server.push_to("t", &[]);
    assert_eq!(worker.line(), format!("done {id}"));
    worker.signal("HUP");
    let id = server.push_to("t", &[]);
    assert_eq!(worker.line(), format!("done {id}"));
    worker.signal("TERM");
    assert_eq!(worker.finish().code, Some(0));
}

#[test]
fn a_command_that_is_stopped_with_its_worker_costs_its_job_nothing() {
    let server = Server::start();
    let signs = Signs::new();
    let id = server.push_to("t", &["--retry-max", "0", "--loss-max", "0"]);
    let script = format!("{} exec sleep 600", signs.tells("child", "$$"));
    let worker = Running::start(server.runs("t", &[], &script));
    let child = signs.told("child");
    // As systemd does to every process of a service.
    worker.signal("TERM");
    worker.said("stopping");
    signal(&child, "TERM");
    let ran = worker.finish();
    assert_eq!((ran.code, &*ran.stdout), (Some(0), format!("released {id}\n").as_bytes()));
    let job = server.job(&id);
    assert_eq!(
        (&job["state"], &job["failures"], &job["losses"]),
        (&json!("Ready"), &json!(0), &json!(0))
    );
    // Without a signal to the worker, this is a failure.
    let worker = server.run(&["job", "work", "t", "--once", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!((worker.code, server.job(&id)["state"].as_str()), (Some(143), Some("Dead")));
}

#[test]
fn orphans_of_commands_are_waited_for_and_commands_are_not_taken_for_them() {
    let server = Server::start();
    let signs = Signs::new();
    let orphan = format!("{{ sleep 600 & {} }} >&- 2>&-", signs.tells("orphan", "$!"));
    let script = format!("case $(cat) in orphan) {orphan};; esac; exit $WAKEFUL_JOB_INDEX");
    let mut command = server.runs("t", &["--concurrency", "4"], &script);
    let adopt = || Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?);
    #[expect(unsafe_code, reason = "what the first process of a container has from the kernel")]
    // SAFETY: two system calls between fork and exec, and nothing else.
    unsafe {
        command.pre_exec(adopt);
    }
    let mut worker = Running::start(command);
    server.ok(&["job", "push", "t", "orphan", "--index", "0"]);
    let orphan = signs.told("orphan");
    assert!(worker.line().starts_with("done "));
    let parent = format!(") S {} ", worker.id());
    until("it is adopted", || {
        fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap().contains(&parent)
    });
    signal(&orphan, "KILL");
    // Meanwhile the worker still gets the exit codes of its own children.
    let mut exits: Vec<_> = (1..60).map(|exit| exit.to_string()).collect();
    for exit in &exits {
        server.push_to("t", &["--index", exit, "--retry-max", "0"]);
    }
    let mut seen: Vec<_> = exits.iter().map(|_| worker.line()).collect();
    seen.iter_mut()
        .for_each(|line| *line = line.rsplit_once("exit status: ").unwrap().1.to_owned());
    seen.sort();
    exits.sort();
    assert_eq!(seen, exits);
    until("the orphan is waited for", || !Path::new(&format!("/proc/{orphan}")).exists());
    worker.signal("TERM");
    assert_eq!(worker.finish().code, Some(0));
}

/// Writes a script with this mode.
fn script(signs: &Signs, name: &str, text: &str, mode: u32) -> String {
    let path = signs.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn j23_a_command_that_cannot_be_run_costs_no_job_anything() {
    let server = Server::start();
    let signs = Signs::new();
    let id = server.push_to("t", &["--retry-max", "0", "--loss-max", "0"]);
    for (command, code, said) in [
        ("./typo".to_owned(), 127, "No such file"),
        ("wakeful-has-no-such-command".to_owned(), 127, "No such file"),
        (script(&signs, "plain", "#!/bin/sh\n", 0o644), 126, "Permission denied"),
        (script(&signs, "odd", "#!/no/such/shell\n", 0o755), 126, "interpreter"),
        (signs.0.path().to_str().unwrap().to_owned(), 126, "Permission denied"),
    ] {
        let ran = server.run(&["job", "work", "t", "--", &command]);
        assert_eq!(ran.code, Some(code), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains(said) && ran.stderr.contains(&command), "{}", ran.stderr);
        let printed = String::from_utf8(ran.stdout).unwrap();
        assert!(printed.starts_with(&format!("released {id}: ")), "{printed}");
        let job = server.job(&id);
        let left = [&job["state"], &job["failures"], &job["losses"]];
        assert_eq!(left, [&json!("Ready"), &json!(0), &json!(0)], "{command}");
    }
    // A running command may finish.
    let command = script(&signs, "gone", &format!("#!/bin/sh\n{}", signs.awaits("go")), 0o755);
    let mut worker = server.spawn(&["job", "work", "t", "--concurrency", "2", "--", &command]);
    until("it runs", || server.job(&id)["state"] == "Reserved");
    fs::remove_file(&command).unwrap();
    let second = server.push_to("t", &[]);
    assert!(worker.line().starts_with(&format!("released {second}: ")));
    worker.said("stopping");
    signs.give("go");
    assert_eq!(worker.line(), format!("done {id}"));
    assert_eq!(worker.finish().code, Some(127));
}

#[test]
fn j23_a_working_directory_that_is_gone_costs_no_job_anything() {
    let server = Server::start();
    let signs = Signs::new();
    let mut command = server.command(&["job", "work", "t", "--", "cat"]);
    let directory = signs.path("directory");
    fs::create_dir(&directory).unwrap();
    let mut worker = Running::start({
        command.current_dir(&directory);
        command
    });
    let id = server.push_to("t", &[]);
    assert_eq!(worker.line(), format!("done {id}"));
    fs::remove_dir(&directory).unwrap();
    let id = server.push_to("t", &["--retry-max", "0"]);
    let ran = worker.finish();
    assert_eq!(ran.code, Some(126));
    assert!(ran.stderr.contains("working directory"), "{}", ran.stderr);
    assert_eq!(
        (&server.job(&id)["state"], &server.job(&id)["failures"]),
        (&json!("Ready"), &json!(0))
    );
}

#[test]
fn j23_a_machine_that_has_no_room_for_a_command_costs_no_job_anything() {
    let server = Server::start();
    let signs = Signs::new();
    let ids: Vec<_> =
        (0..20).map(|_| server.push_to("t", &["--retry-max", "0", "--loss-max", "0"])).collect();
    let script = format!("{} cat", signs.awaits("go"));
    let work = server.runs("t", &["--concurrency", "20", "--drain"], &script);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40; exec \"$@\"", "sh"]);
    limited.arg(work.get_program()).args(work.get_args());
    let worker = Running::start(limited);
    let said = worker.said("cannot run sh: ");
    assert!(said.contains("Too many open files") && said.contains("trying again"), "{said}");
    signs.give("go");
    let ran = worker.finish();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let printed = String::from_utf8(ran.stdout).unwrap();
    for id in ids {
        assert!(printed.contains(&format!("done {id}\n")), "{printed}");
        let job = server.job(&id);
        assert_eq!(
            [&job["state"], &job["failures"], &job["losses"]],
            [&json!("Done"), &json!(0), &json!(0)]
        );
    }
}

#[test]
fn once_exits_as_the_command_of_its_job() {
    let server = Server::start();
    for (script, options, code) in [
        ("exit 0", &[][..], 0),
        ("exit 3", &[], 3),
        ("exit 75", &[], 75),
        ("exit 65", &["--fail-exit", "65"], 65),
        ("kill -KILL $$", &[], 137),
        ("sleep 600", &["--timeout", "100ms"], 4),
        ("yes", &[], 1),
    ] {
        server.push_to("t", &["--retry-max", "0"]);
        let ran =
            Running::start(server.runs("t", &[&["--once"], options].concat(), script)).finish();
        assert_eq!(ran.code, Some(code), "{script}: {}", ran.stderr);
    }
}

#[test]
fn drain_does_what_is_ready_and_exits() {
    let server = Server::start();
    let drain = |topic: &str, script: &str| {
        let options = ["--drain", "--concurrency", "3"];
        Running::start(server.runs(topic, &options, script)).finish()
    };
    let nothing = drain("nothing", "cat");
    assert_eq!((nothing.code, &*nothing.stdout), (Some(0), &b""[..]));

    let later = server.push_to("t", &["--delay", "1h"]);
    for nth in 0..10 {
        // With an order key, each is ready when the one before is done.
        server.push_to("t", if nth < 5 { &[] } else { &["--order-key", "k"] });
    }
    let failing = server.push_to("t", &["--index", "bad", "--retry-max", "1", "--backoff", "1h"]);
    let ran = drain("t", "test -z \"$WAKEFUL_JOB_INDEX\"");
    let printed = String::from_utf8(ran.stdout).unwrap();
    assert_eq!((ran.code, printed.matches("done ").count()), (Some(0), 10), "{printed}");
    assert!(printed.contains(&format!("failed {failing}")), "{printed}");
    for left in [later, failing] {
        assert_eq!(server.job(&left)["state"], "Delayed");
    }

    // Jobs delayed by the rate are awaited; paused ones are not.
    server.ok(&["topics", "set", "slow", "--rate", "1/100ms:1"]);
    (0..4).for_each(|_| drop(server.push_to("slow", &[])));
    let ran = drain("slow", "cat");
    assert_eq!((ran.code, ran.stdout.iter().filter(|byte| **byte == b'\n').count()), (Some(0), 4));
    server.push_to("slow", &[]);
    server.ok(&["job", "pause", "slow"]);
    let ran = drain("slow", "cat");
    assert_eq!((ran.code, &*ran.stdout), (Some(0), &b""[..]));
}

/// Starts a worker whose standard output and standard error are open, and not read.
fn unread(mut command: Command) -> (Killed, impl Read) {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut worker = Killed(piped.spawn().unwrap());
    let stdout = worker.0.stdout.take().unwrap();
    (worker, stdout)
}

#[test]
fn a_standard_output_that_nobody_reads_holds_up_neither_settlements_nor_signals() {
    let server = Server::start();
    // Each line is a kilobyte, so a pipe has room for a few dozen.
    let script = "printf %01000d 0 >&2; exit 1";
    let push = |topic: &str, count: usize| {
        let push = server.command(&["job", "push", topic, "--lines", "--retry-max", "0"]);
        Running::start_with_input(push, "x\n".repeat(count).as_bytes()).finish().ok();
    };
    let until_is = |topic: &str, name: &str, expected: u64| {
        until(&format!("{name} of {topic} is {expected}"), || {
            server.topic_number(topic, name) == expected
        });
    };
    push("all", 400);
    let options = ["--concurrency", "8", "--max-jobs", "400"];
    let (mut worker, stdout) = unread(server.runs("all", &options, script));
    until_is("all", "dead_total", 400);
    let printed = std::io::read_to_string(stdout).unwrap();
    assert_eq!(printed.lines().filter(|line| line.starts_with("failed ")).count(), 400);
    assert_eq!(exit_of(&mut worker.0), Some(0));

    push("some", 200);
    let (mut worker, _unread) = unread(server.runs("some", &["--concurrency", "8"], script));
    until_is("some", "dead_total", 200);
    // Its end waits for a reader until the second signal.
    signal(&worker.0.id().to_string(), "TERM");
    until_is("some", "waiting_workers", 0);
    signal(&worker.0.id().to_string(), "TERM");
    assert_eq!(exit_of(&mut worker.0), Some(143));
}

#[test]
fn jobs_are_held_while_nobody_reads_what_their_commands_complain() {
    let server = Server::start();
    let id = server.push_to("t", &["--loss-max", "0"]);
    // The command runs longer than a job is held without a heartbeat.
    let script = "head -c 3000000 /dev/zero | tr '\\0' '\\n' >&2; sleep 5; echo well";
    let (mut worker, _unread) = unread(server.runs("t", &["--visibility", "2s"], script));
    assert_eq!(server.ok(&["job", "wait", &id]), "well\n");
    let job = server.job(&id);
    assert_eq!((&job["epoch"], &job["losses"]), (&json!(1), &json!(0)));
    signal(&worker.0.id().to_string(), "TERM");
    assert_eq!(exit_of(&mut worker.0), Some(0));
}

#[test]
fn a_signal_ends_a_worker_that_still_connects() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let work = ["job", "work", "t", "--addr", &addr, "--deadline", "1h", "--", "cat"];
    let worker = Running::start(wakeful(&work));
    let _connected = silent.accept().unwrap();
    worker.signal("TERM");
    assert_eq!(worker.finish().fails(143), "");
}

#[test]
fn a_terminal_that_is_closed_stops_a_worker_and_leaves_its_commands_their_grace() {
    let server = Server::start();
    let signs = Signs::new();
    let id = server.push_to("t", &["--loss-max", "0"]);
    let script = format!("{} {} echo well", signs.tells("child", "$$"), signs.awaits("go"));
    // With capacity for a second job, the worker waits for one until it is stopped.
    let work = server.runs("t", &["--grace", "600s", "--concurrency", "2"], &script);
    let words = std::iter::once(work.get_program()).chain(work.get_args());
    let quoted = words.map(|word| format!("'{}' ", word.to_str().unwrap()));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("exec {}", quoted.collect::<String>()), "/dev/null"]);
    let terminal = Running::start(terminal);
    let child = signs.told("child");
    until("it waits", || server.topic_number("t", "waiting_workers") == 1);
    terminal.signal("KILL");
    until("the worker has heard", || server.topic_number("t", "waiting_workers") == 0);
    assert!(!is_over(&child));
    signs.give("go");
    assert_eq!(server.ok(&["job", "wait", &id]), "well\n");
    assert_eq!(server.job(&id)["epoch"], 1);
}
