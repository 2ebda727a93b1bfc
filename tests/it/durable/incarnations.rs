//! D3, J3: the id of a store after an end that may have lost visible changes.

use futures_util::StreamExt;
use wakeful::{
    ErrorCode, Jobs, KeyRange, Operations, PushOptions, ReserveRequest, SetRequest, Settlement,
    Verdict, WatchRequest,
};

use super::{Home, connect, serve_in, within};
use crate::process::{Server, TIMEOUT, until};

fn store_id(server: &Server) -> String {
    server.run(&["status", "--json"]).json()["store_id"].as_str().unwrap().to_owned()
}

/// Starts a server that answers before its data is on the disk.
fn start_at(home: &Home, addr: &str) -> Server {
    let dir = home.dir();
    let mut arguments = serve_in(&dir);
    arguments[1] = "interval";
    Server::start_at(addr, &arguments)
}

fn end(server: Server, signal: &str) -> String {
    server.signal(signal);
    server.finish().stderr
}

#[test]
fn d3_after_a_kill_with_interval_the_store_has_another_id_and_jobs_ids_that_nobody_saw() {
    let home = Home::new();
    let start = || start_at(&home, "127.0.0.1:0");
    let server = start();
    let first = store_id(&server);
    server.ok(&["job", "push", "t", "work"]);
    end(server, "TERM");
    let server = start();
    assert_eq!(store_id(&server), first, "it was stopped");
    server.ok(&["job", "push", "t", "seen"]);
    end(server, "KILL");
    let server = start();
    let second = store_id(&server);
    assert_ne!(second, first);
    let id: u64 = server.ok(&["job", "push", "t", "more"]).trim().parse().unwrap();
    assert!(id > 1 << 32, "{id}");
    let said = end(server, "TERM");
    assert!(said.contains("another id") && said.contains(&second), "{said}");
    assert_eq!(store_id(&start()), second);
}

#[tokio::test]
async fn d3_a_watch_and_a_reservation_of_before_an_unclean_end_are_refused_over_tcp() {
    let home = Home::new();
    let server = start_at(&home, "127.0.0.1:0");
    let addr = server.addr().to_owned();
    let client = connect(&addr).await;
    within(client.push("t", "work", PushOptions::default())).await.unwrap();
    let job = within(client.reserve(ReserveRequest::new("t"))).await.unwrap().remove(0);
    let mut watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let seen = within(client.set(SetRequest::new("a", "1"))).await.unwrap().revision;
    assert!(within(watch.next()).await.unwrap().is_ok());
    let listener = client.clone();
    let told = tokio::spawn(async move { listener.revoked(Some(TIMEOUT)).await });
    // Requests that listen before this answer are notified.
    within(client.touch(vec![job.reservation], None)).await.unwrap();
    end(server, "KILL");
    let _server = start_at(&home, &addr);
    let error = within(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreChanged);
    assert!(error.message.contains("may have lost what it last showed"), "{error}");
    assert!(within(watch.next()).await.is_none());
    // The client knows that the job is lost, and the server by the epoch.
    assert_eq!(within(told).await.unwrap().unwrap(), [job.reservation]);
    let done = Verdict::Done { output: "late".into() };
    let late = Settlement { reservation: job.reservation, verdict: done };
    let stranger = connect(&addr).await;
    let answers = within(stranger.settle(vec![late])).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap().code, ErrorCode::StaleReservation);
    let again = within(stranger.reserve(ReserveRequest::new("t"))).await.unwrap().remove(0);
    assert_eq!(again.reservation.id, job.reservation.id);
    assert!(again.reservation.epoch > job.reservation.epoch + 1_000, "{again:?}");
    // Requests that name nothing from before the end continue.
    assert!(within(client.get("a")).await.is_ok());
    assert!(within(client.set(SetRequest::new("b", "1"))).await.unwrap().revision > seen);
}

#[test]
fn d3_watch_and_wait_end_and_a_worker_goes_on_with_another_run_after_an_unclean_end() {
    let home = Home::new();
    let server = start_at(&home, "127.0.0.1:0");
    let addr = server.addr().to_owned();
    let mut watch = server.spawn(&["watch", "a"]);
    server.until_status("watches", 1);
    let wait = server.spawn(&["wait", "b", "--json"]);
    server.until_status("waits", 1);
    server.ok(&["set", "a", "1"]);
    assert_eq!(watch.line(), "put a 1 (revision 2)");
    let id = server.ok(&["job", "push", "t", "work"]).trim().to_owned();
    let epochs = home.dir().with_file_name("epochs");
    // The first run never ends by itself.
    let script =
        "echo $WAKEFUL_JOB_EPOCH >> \"$0\"; test $WAKEFUL_JOB_EPOCH != 1 || exec tail -f /dev/null";
    let runs = ["job", "work", "t", "--", "sh", "-c", script, epochs.to_str().unwrap()];
    let mut worker = server.spawn(&runs);
    let epochs = || std::fs::read_to_string(&epochs).unwrap_or_default();
    until("the first run", || epochs() == "1\n");
    end(server, "KILL");
    let _server = start_at(&home, &addr);
    let watched = watch.finish();
    assert_eq!(watched.code, Some(1), "{watched:?}");
    assert!(watched.stderr.contains("may have lost what it last showed"), "{watched:?}");
    let waited: serde_json::Value = serde_json::from_str(&wait.finish().fails(1)).unwrap();
    assert_eq!(waited["error"]["code"], "StoreChanged");
    assert_eq!(worker.line(), format!("revoked {id}"));
    assert_eq!(worker.line(), format!("done {id}"));
    worker.signal("TERM");
    assert_eq!(worker.finish().code, Some(0));
    let epochs: Vec<u32> = epochs().lines().map(|it| it.parse().unwrap()).collect();
    assert_eq!(epochs, [1, 1 + (1 << 18) + 1]);
}
