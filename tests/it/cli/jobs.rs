//! `job` and `topics`: a job is pushed by one process, run by another, and awaited by a third.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::durable::Home;
use crate::process::{Running, Server, until};

impl Server {
    /// Pushes a job; returns its id.
    fn push(&self, arguments: &[&str]) -> String {
        self.ok(&[&["job", "push"], arguments].concat()).trim().to_owned()
    }

    /// Returns the state of a job.
    fn state(&self, id: &str) -> Value {
        self.run(&["job", "get", id, "--json"]).json()["state"].clone()
    }

    fn worker(&self, arguments: &[&str]) -> Running {
        self.spawn(&[&["job", "work"], arguments].concat())
    }

    /// Returns the only topic.
    fn topic(&self) -> Value {
        self.run(&["topics", "--json"]).json()
    }
}

#[test]
fn one_process_pushes_another_works_a_third_prints_the_result() {
    let server = Server::start();
    let id = server.push(&["shout", "hello"]);
    assert_eq!(server.state(&id), "Ready");
    let mut worker = server.worker(&["shout", "--", "tr", "a-z", "A-Z"]);
    assert_eq!(server.ok(&["job", "wait", &id, "--timeout", "30s"]), "HELLO\n");
    assert_eq!(worker.line(), format!("done {id}"));
    // A waiting worker is woken.
    let id = server.push(&["shout", "again"]);
    assert_eq!(server.ok(&["job", "wait", &id]), "AGAIN\n");
    worker.signal("TERM");
    let ended = worker.finish();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let topic = server.topic();
    assert_eq!((&topic["done_total"], &topic["ready"]), (&json!(2), &json!(0)));
}

#[test]
fn exit_75_is_tried_again_until_the_budget_is_used_up_and_a_replay_fills_it() {
    let server = Server::start();
    let id = server.push(&["flaky", "--retry-max", "1", "--backoff", "10ms"]);
    let script = "echo \"run $WAKEFUL_JOB_ATTEMPT\" >&2; exit 75";
    let worker = server.worker(&["flaky", "--max-jobs", "2", "--", "sh", "-c", script]);
    assert_eq!(worker.finish().code, Some(0));
    let said = server.run(&["job", "wait", &id]).fails(1);
    assert!(said.contains("dead letter") && said.contains("75: run 2"), "{said}");
    let dead = server.run(&["job", "dead", "flaky", "--json"]).json();
    assert_eq!((&dead["failures"], &dead["epoch"]), (&json!(2), &json!(2)));
    assert_eq!(dead["errors"].as_array().unwrap().len(), 2);
    assert_eq!(server.ok(&["job", "replay", "flaky", &id]), "1\n");
    assert_eq!(server.ok(&["job", "dead", "flaky"]), "");
    server.worker(&["flaky", "--once", "--", "echo", "well"]).finish().ok();
    assert_eq!(server.ok(&["job", "wait", &id]), "well\n");
}

#[test]
fn a_job_that_is_cancelled_while_it_runs_is_ended() {
    let server = Server::start();
    let id = server.push(&["slow"]);
    let mut worker = server.worker(&["slow", "--", "sleep", "600"]);
    until("it runs", || server.state(&id) == "Reserved");
    assert_eq!(server.ok(&["job", "cancel", &id]), format!("cancelled {id}\n"));
    assert_eq!(worker.line(), format!("revoked {id}"));
    let said = server.run(&["job", "wait", &id]).fails(1);
    assert!(said.contains("cancelled"), "{said}");
    assert!(server.run(&["job", "cancel", &id, "--json"]).fails(1).contains("JobFinished"));
}

#[test]
fn a_second_signal_gives_the_job_back_at_no_cost() {
    let server = Server::start();
    let id = server.push(&["slow", "--retry-max", "0", "--loss-max", "0"]);
    let mut worker = server.worker(&["slow", "--", "sleep", "600"]);
    until("it runs", || server.state(&id) == "Reserved");
    worker.signal("INT");
    // The report is the only evidence that the server was heard.
    until("it says so", || {
        worker.signal("INT");
        server.state(&id) == "Ready"
    });
    assert_eq!(worker.line(), format!("released {id}"));
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!((&job["failures"], &job["losses"]), (&json!(0), &json!(0)));
}

#[test]
fn a_worker_that_is_killed_loses_its_job_to_the_next() {
    let server = Server::start_with(&["--limit", "queue.resume_grace=50ms"]);
    let id = server.push(&["slow"]);
    let worker = server.worker(&["slow", "--", "sleep", "600"]);
    until("it runs", || server.state(&id) == "Reserved");
    worker.signal("KILL");
    server.worker(&["slow", "--once", "--", "echo", "done"]).finish().ok();
    assert_eq!(server.ok(&["job", "wait", &id]), "done\n");
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!((&job["losses"], &job["epoch"]), (&json!(1), &json!(2)));
}

#[test]
fn an_index_is_pushed_once_and_found_by_name() {
    let server = Server::start();
    let id = server.push(&["resize", "a", "--index", "photo-17"]);
    let again = server.run(&["job", "push", "resize", "b", "--index", "photo-17", "--json"]).json();
    assert_eq!((again["id"].to_string(), &again["existing"]), (id.clone(), &json!(true)));
    let again = server.run(&["job", "push", "resize", "b", "--index", "photo-17"]);
    assert_eq!((again.code, again.stdout), (Some(0), format!("{id}\n").into_bytes()));
    let said = format!("nothing was pushed: job {id} (ready) has the index\n");
    assert_eq!(again.stderr, said);
    let found = server.run(&["job", "get", "resize", "--index", "photo-17", "--json"]).json();
    assert_eq!((found["id"].to_string(), &found["payload"]), (id, &json!("a")));
    assert!(server.run(&["job", "get", "resize", "--index", "x"]).fails(3).contains("x"));
    assert_eq!(server.run(&["job", "get", "999"]).code, Some(3));
    assert_eq!(server.run(&["job", "ls", "nothing"]).code, Some(3));
}

#[test]
fn each_line_is_a_job() {
    let server = Server::start();
    let input: String = (0..3_000).map(|nth| format!("line {nth}\n")).collect();
    let push = server.command(&["job", "push", "lines", "--lines"]);
    let ids = Running::start_with_input(push, input.as_bytes()).finish().ok();
    let ids: Vec<u64> = ids.lines().map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 3_000 && ids.is_sorted(), "{} ids", ids.len());
    assert_eq!(server.run(&["job", "ls", "lines", "--json"]).objects().len(), 3_000);
    let last = server.run(&["job", "get", &ids[2_999].to_string(), "--json"]).json();
    assert_eq!(last["payload"], "line 2999");
    assert_eq!(server.ok(&["job", "clear", "lines", "--yes"]), "3000\n");
    assert_eq!(server.topic()["cancelled_total"], 3_000);
}

#[test]
fn a_paused_topic_hands_nothing_out_and_a_wait_is_over_in_time() {
    let server = Server::start();
    let id = server.push(&["later"]);
    assert_eq!(server.ok(&["job", "pause", "later"]), "paused later\n");
    assert_eq!(server.run(&["job", "reserve", "later", "--wait", "50ms"]).code, Some(4));
    assert_eq!(server.run(&["job", "wait", &id, "--timeout", "50ms"]).code, Some(4));
    assert_eq!(server.ok(&["job", "resume", "later"]), "resumed later\n");
    server.worker(&["later", "--once", "--", "true"]).finish().ok();
}

#[test]
fn a_job_is_held_by_hand_and_settled_by_another_process() {
    let server = Server::start();
    let id = server.push(&["by-hand", "x"]);
    let mut hold = server.spawn(&["job", "reserve", "by-hand", "--json"]);
    let job = hold.json();
    let epoch = job["reservation"]["epoch"].to_string();
    assert_eq!((job["reservation"]["id"].to_string(), &job["payload"]), (id.clone(), &json!("x")));
    server.ok(&["job", "progress", &id, &epoch, "half"]);
    let seen = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!(seen["progress"], "half");
    assert!(server.run(&["job", "ack", &id, "99", "--json"]).fails(1).contains("StaleReservation"));
    let acked = server.run(&["job", "ack", &id, &epoch, "result", "--json"]).json();
    assert_eq!(acked, json!({"id": 1, "epoch": 1, "result": "done"}));
    assert_eq!(hold.finish().ok(), "");
    assert_eq!(server.ok(&["job", "wait", &id]), "result\n");
}

#[test]
fn outcomes_are_shown_as_they_come_and_from_where_one_was() {
    let server = Server::start();
    let ids = [server.push(&["t"]), server.push(&["t"])];
    server.worker(&["t", "--max-jobs", "2", "--", "echo", "well"]).finish().ok();
    let mut all = server.spawn(&["job", "outcomes", "t", "--after", "0", "--json"]);
    let first = all.json();
    assert_eq!((first["id"].to_string(), &first["output"]), (ids[0].clone(), &json!("well\n")));
    let place = first["outcome"].to_string();
    let rest = server.run(&["job", "outcomes", "t", "--after", &place, "--count", "1", "--json"]);
    assert_eq!(rest.json()["id"].to_string(), ids[1]);
    assert_eq!(all.json()["id"].to_string(), ids[1]);
    let id = server.push(&["t"]);
    server.ok(&["job", "cancel", &id]);
    assert_eq!(all.json()["state"], "Cancelled");
    all.signal("INT");
    assert_eq!(all.finish().code, Some(0));
}

#[test]
fn one_command_pushes_and_prints_the_result_as_job_wait_does() {
    let server = Server::start();
    let worker = server.worker(&["shout", "--", "tr", "a-z", "A-Z"]);
    assert_eq!(server.ok(&["job", "push", "shout", "hello", "--wait", "30s"]), "HELLO\n");
    assert_eq!(server.ok(&["job", "push", "shout", "x", "--wait", "30s", "--raw"]), "X");
    let done = server.run(&["job", "push", "shout", "a", "--wait", "30s", "--json"]).json();
    let id = done["id"].to_string();
    assert_eq!(done, server.run(&["job", "wait", &id, "--json"]).json());
    worker.signal("TERM");
    worker.finish().ok();
    let _failing = server.worker(&["fails", "--", "sh", "-c", "echo broken >&2; exit 100"]);
    let push = ["job", "push", "fails", "--retry-max", "0", "--wait", "30s"];
    let said = server.run(&push).fails(1);
    assert!(said.contains("dead letter") && said.contains("broken"), "{said}");
    let dead = server.run(&[&push[..], &["--json"]].concat());
    assert_eq!(dead.code, Some(1));
    let mut dead: Value = serde_json::from_slice(&dead.stdout).unwrap();
    // Only a request that waits when the job dies gets its outcome number.
    assert!(dead["outcome"].take().is_u64());
    let waited = server.run(&["job", "wait", &dead["id"].to_string(), "--json"]);
    assert_eq!(dead, serde_json::from_slice::<Value>(&waited.stdout).unwrap());
    // Without a worker, the job stays, and its id is reported.
    let said = server.run(&["job", "push", "nobody", "--wait", "20ms"]).fails(4);
    let id = server.run(&["job", "ls", "nobody", "--json"]).json()["id"].to_string();
    assert_eq!(said, format!("timeout; job {id} is ready\n"));
}

#[test]
fn a_full_topic_is_waited_for_by_wait_room() {
    let server = Server::start();
    server.ok(&["topics", "set", "mail", "--jobs-max", "1"]);
    let first = server.push(&["mail"]);
    assert!(server.run(&["job", "push", "mail", "--wait-room", "20ms"]).fails(1).contains("full"));
    let pushing = server.spawn(&["job", "push", "mail", "--wait-room", "1m"]);
    server.ok(&["job", "cancel", &first]);
    assert_ne!(pushing.finish().ok().trim(), first);
}

#[test]
fn j10_a_job_pushed_for_a_time_of_day_is_due_then() {
    let server = Server::start();
    let clock = || Timestamp::now().as_millisecond();
    let due = |arguments: &[&str]| {
        let job = server.run(&["job", "get", &server.push(arguments), "--json"]).json();
        assert_eq!(job["state"], "Delayed", "{job}");
        job["due"].as_i64().unwrap()
    };
    let hour = Timestamp::now() + SignedDuration::from_hours(1);
    let with_offset = hour.display_with_offset(Offset::constant(-3)).to_string();
    let in_zone = TimeZone::get("Asia/Kolkata").unwrap().to_datetime(hour).to_string();
    let before = clock();
    let exact = [
        due(&["t", "--at", &hour.to_string()]),
        due(&["t", "--at", &with_offset]),
        due(&["t", "--at", &in_zone, "--tz", "Asia/Kolkata"]),
    ];
    let minute = due(&["t", "--at", &hour.strftime("%Y-%m-%d %H:%M").to_string()]);
    let late = clock() - before;
    // Not before its time, and later by at most the duration of the push and the rounding of two
    // clocks.
    let given = hour.as_millisecond();
    let well = |due: i64, given: i64| (given..=given + late + 2).contains(&due);
    assert!(exact.iter().all(|due| well(*due, given)), "{exact:?} for {given}, {late} ms late");
    let given = given - given.rem_euclid(60_000);
    assert!(well(minute, given), "{minute} for {given}, {late} ms late");
}

#[test]
fn a_time_of_day_is_one_for_all_lines_and_neither_passed_nor_too_far() {
    let server = Server::start();
    let in_a_year = (Timestamp::now() + SignedDuration::from_hours(365 * 24)).to_string();
    let push = server.command(&["job", "push", "t", "--lines", "--at", &in_a_year]);
    let ids = Running::start_with_input(push, b"a\nb\n").finish().ok();
    assert_eq!(ids.lines().count(), 2);
    assert_eq!(server.topic()["delayed"], 2);
    let passed = ["job", "push", "t", "--at", "2001-02-03 04:05"];
    assert!(server.run(&passed).fails(2).contains("has passed"));
    let far = ["job", "push", "t", "--at", "9999-01-01T00:00:00Z"];
    assert!(server.run(&far).fails(1).contains("queue.delay_max"));
    assert_eq!(server.topic()["pushed_total"], 2);
}

#[test]
fn a_topic_is_shown_and_one_that_is_not_there_is_not_found() {
    let server = Server::start();
    server.ok(&["topics", "set", "mail", "--concurrency", "2", "--rate", "10/s:20"]);
    server.push(&["mail"]);
    let shown = server.ok(&["topics", "show", "mail"]);
    let fact = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {shown}")).trim().to_owned()
    };
    assert_eq!((&*fact("topic "), &*fact("ready ")), ("mail", "1"));
    assert_eq!((&*fact("concurrency "), &*fact("rate ")), ("2", "10/1s:20"));
    assert_eq!(fact("retry-max "), "25 (default)");
    let json = server.run(&["topics", "show", "mail", "--json"]).json();
    assert_eq!((&json["name"], &json["settings"]), (&json!("mail"), &server.topic()["settings"]));
    let missing = server.run(&["topics", "show", "nothing", "--json"]).fails(3);
    assert!(missing.contains(r#""code":"TopicNotFound""#), "{missing}");
}

/// After a kill of a server in memory, nothing is left.
#[test]
fn j2_what_was_deleted_stays_so_across_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let durable = ["--durability", "fsync", "--data-dir", dir.path().to_str().unwrap()];
    let server = Server::start_with(&durable);
    for index in ["a", "b", "c"] {
        server.push(&["mail", "--retry-max", "0", "--index", index, "--unique", "1h"]);
    }
    server.worker(&["mail", "--drain", "--", "false"]).finish().ok();
    assert_eq!(server.topic()["dead"], 3);
    assert_eq!(server.ok(&["job", "delete", "mail", "1"]), "1\n");
    assert_eq!(server.run(&["job", "delete", "mail", "1"]).code, Some(3));
    let asked = server.command(&["job", "delete", "mail", "--all"]);
    let refused = Running::start_with_input(asked, b"no\n").finish().fails(1);
    assert!(refused.contains("deletes 2 dead letters of mail"), "{refused}");
    assert_eq!(server.ok(&["job", "free-index", "mail", "b"]), "freed b\n");
    assert!(server.run(&["job", "free-index", "mail", "b"]).fails(3).contains("is already free"));
    server.push(&["misspelt"]);
    assert!(server.run(&["topics", "delete", "misspelt"]).fails(1).contains("1 job waits"));
    let asked = server.command(&["topics", "delete", "misspelt", "--force"]);
    let deleted = Running::start_with_input(asked, b"yes\n").finish();
    assert_eq!((deleted.code, &deleted.stdout[..]), (Some(0), &b"deleted misspelt\n"[..]));
    assert!(deleted.stderr.contains("misspelt with 1 waiting and 0 dead"), "{}", deleted.stderr);
    server.signal("KILL");
    server.finish();
    let server = Server::start_with(&durable);
    let topics = server.run(&["topics", "list", "--json"]).json();
    assert_eq!((&topics["name"], &topics["dead"]), (&json!("mail"), &json!(2)), "{topics}");
    assert_eq!(server.ok(&["job", "delete", "mail", "--all", "--yes"]), "2\n");
    let pushed = |index| server.run(&["job", "push", "mail", "--index", index, "--json"]).json();
    assert_eq!(pushed("a")["existing"], true, "it is taken for an hour");
    assert_eq!(pushed("b")["existing"], false, "it was freed");
    assert_eq!(server.ok(&["topics", "delete", "mail", "--force", "--yes"]), "deleted mail\n");
    assert_eq!(server.ok(&["topics"]), "");
}

#[test]
fn settings_and_schedules_are_set_and_listed() {
    let server = Server::start();
    server.ok(&["topics", "set", "mail", "--concurrency", "2", "--rate", "10/1s:20"]);
    server.ok(&["topics", "set", "mail", "--jobs-max", "1"]);
    let settings = json!({"concurrency": 2, "rate": {"jobs": 10, "per_ms": 1000, "burst": 20}, "jobs_max": 1,
        "bytes_max": null, "retry_max": null, "loss_max": null, "backoff": null,
        "order_limit": null, "order_skips": false});
    assert_eq!(server.topic()["settings"], settings);
    server.push(&["mail"]);
    let full = server.run(&["job", "push", "mail", "--json"]).fails(1);
    assert!(full.contains(r#""code":"Full""#), "{full}");
    let set = ["job", "schedule", "beat", "* * * * * *", "beats", "x", "--tz", "Europe/Berlin"];
    assert_eq!(server.run(&set).code, Some(0));
    server.worker(&["beats", "--once", "--", "cat"]).finish().ok();
    let listed = server.run(&["job", "schedules", "--json"]).json();
    assert_eq!(listed["schedule"]["timezone"], "Europe/Berlin");
    assert_eq!(server.ok(&["job", "unschedule", "beat"]), "ended beat\n");
    assert_eq!(server.run(&["job", "unschedule", "beat"]).code, Some(3));
    let nonsense = ["job", "schedule", "beat", "every now and then", "beats"];
    assert_eq!(server.run(&nonsense).code, Some(2));
}

#[test]
fn a_worker_outlives_its_server() {
    let home = Home::new();
    let server = home.server();
    let mut worker = server.worker(&["t", "--", "cat"]);
    let id = server.push(&["t", "before"]);
    assert_eq!(worker.line(), format!("done {id}"));
    let server = home.restart(server, "KILL", &[]);
    let id = server.push(&["t", "after"]);
    assert_eq!(worker.line(), format!("done {id}"));
    assert_eq!(server.ok(&["job", "wait", &id]), "after\n");
}

/// The limits of a server that stops soon, and leaves its workers enough time to resume their jobs.
const GRACES: [&str; 4] =
    ["--limit", "rpc.shutdown_grace=100ms", "--limit", "queue.resume_grace=60s"];

/// A command continues while its server ends by `signal` and is started again, and runs only once.
fn a_command_outlives_its_server(signal: &str) {
    let (home, dir) = (Home::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let server = home.server_with(&GRACES);
    let (begun, go) = (path("begun"), path("go"));
    let script =
        format!("echo begun >> {begun}; until [ -e {go} ]; do sleep 0.02; done; echo well");
    let mut worker = server.worker(&["t", "--visibility", "10m", "--", "sh", "-c", &script]);
    let id = server.push(&["t", "--retry-max", "0", "--loss-max", "0"]);
    let runs = || std::fs::read_to_string(&begun).unwrap_or_default().lines().count();
    until("it runs", || runs() == 1);
    let server = home.restart(server, signal, &GRACES);
    // No other worker gets the job.
    assert_eq!(server.run(&["job", "reserve", "t", "--wait", "20ms"]).code, Some(4));
    std::fs::write(&go, "").unwrap();
    assert_eq!(worker.line(), format!("done {id}"));
    assert_eq!(server.ok(&["job", "wait", &id]), "well\n");
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!(
        (&job["epoch"], &job["losses"], &job["failures"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!(runs(), 1);
}

#[test]
fn j21_a_command_runs_once_across_a_restart_of_its_server() {
    a_command_outlives_its_server("TERM");
}

#[test]
fn j21_a_command_runs_once_though_its_server_is_killed() {
    a_command_outlives_its_server("KILL");
}

/// The worker learns of the loss when it reconnects, not at its next touch, which is minutes later.
#[test]
fn j21_a_command_is_ended_when_its_server_is_back_and_has_given_the_job_to_another() {
    let home = Home::new();
    let limits = ["--limit", "rpc.shutdown_grace=0s", "--limit", "queue.resume_grace=0s"];
    let server = home.server_with(&limits);
    let mut worker = server.worker(&["t", "--visibility", "10m", "--once", "--", "sleep", "600"]);
    let id = server.push(&["t"]);
    until("it runs", || server.state(&id) == "Reserved");
    let server = home.restart(server, "KILL", &limits);
    assert_eq!(worker.line(), format!("revoked {id}"));
    server.worker(&["t", "--once", "--", "echo", "well"]).finish().ok();
    assert_eq!(server.ok(&["job", "wait", &id]), "well\n");
}

#[test]
fn j21_a_job_is_held_by_hand_across_a_restart() {
    let home = Home::new();
    let server = home.server_with(&GRACES);
    let id = server.push(&["by-hand", "x"]);
    let mut hold = server.spawn(&["job", "reserve", "by-hand", "--visibility", "10m", "--json"]);
    let epoch = hold.json()["reservation"]["epoch"].to_string();
    let server = home.restart(server, "TERM", &GRACES);
    server.ok(&["job", "ack", &id, &epoch, "result"]);
    assert_eq!(hold.finish().ok(), "");
    assert_eq!(server.ok(&["job", "wait", &id]), "result\n");
}
