//! Promise S10 by the count of steps: what is gone, who waits and what is written are not multiplied.

use super::*;
use crate::store::Mark;

fn journaled() -> TestHub {
    let config = Config::new();
    let mut state = State::new(config.store);
    state.set_journaled(true);
    TestHub::new(state, config.watch)
}

fn commit(hub: &mut TestHub) {
    let mark = hub.state().mark();
    hub.show_up_to(mark);
    assert_eq!(mark, Mark { records: mark.records, revision: hub.state().visible() });
}

fn expiring(hub: &mut TestHub, keys: usize) {
    for number in 0..keys {
        let ttl = Some(Duration::from_secs(1));
        let key = format!("session/{number:05}");
        hub.ask(Request::Set(SetRequest { ttl, ..SetRequest::new(key, "v") })).unwrap();
    }
    commit(hub);
}

/// Before: each key that ended had the wait look at all that had ended before, 20 s for 100,000.
#[test]
fn s10_a_wait_for_absence_takes_a_step_for_each_key_that_ends() {
    const KEYS: usize = 5_000;
    let mut hub = journaled();
    expiring(&mut hub, KEYS);
    hub.parked(7, wait(prefix("session/"), WaitCondition::Absent));
    let before = hub.state().steps_taken();
    while hub.must_advance(SECOND) {
        hub.advance(SECOND);
    }
    assert_eq!(hub.answers(), Vec::<String>::new(), "nothing of it is durable");
    // All of it by one commit, as when the disk is slow.
    commit(&mut hub);
    let last = hub.state().revision();
    let key = format!("met at {last}: {last}-session/{:05}", KEYS - 1);
    assert_eq!(hub.answers(), [format!("7: {key}")]);
    let steps = hub.state().steps_taken() - before;
    assert!(steps <= 3 * KEYS as u64, "{steps} steps for {KEYS} keys");
}

#[test]
fn s10_a_wait_for_absence_counts_what_is_shown_while_records_are_pending() {
    let mut hub = journaled();
    expiring(&mut hub, 3);
    hub.set_to("session/new", "v");
    hub.delete_in(KeyRange::key("session/00000"));
    hub.parked(7, wait(prefix("session/"), WaitCondition::Absent));
    for key in ["session/00001", "session/00002", "session/new"] {
        assert_eq!(hub.answers(), Vec::<String>::new());
        hub.delete_in(KeyRange::key(key));
        commit(&mut hub);
    }
    assert_eq!(hub.answers(), ["7: met at 9: 9-session/new"]);
    assert_eq!(hub.answered_at_once(wait(prefix("session/"), WaitCondition::Absent)), "met at 9");
}

#[test]
fn s10_a_page_of_a_snapshot_looks_at_no_more_than_a_batch_may() {
    let mut hub = hub_with(|_, watch| watch.batch_events_max = 10);
    for number in 0..5_000 {
        hub.set_to(&format!("{number:05}"), "v");
    }
    hub.set_to("z", "v");
    let stream = stream_of_snapshot(&mut hub);
    let at = hub.state().revision();
    // After the snapshot's revision, so that each is to be looked at.
    hub.delete_in(KeyRange::range("0", "9"));
    for number in 0..5_000 {
        hub.set_to(&format!("{number:05}x"), "v");
    }
    let mut shown = Vec::new();
    loop {
        let before = hub.state().steps_taken();
        let next = hub.next_batch();
        let steps = hub.state().steps_taken() - before;
        assert!(steps <= 10 * 8 + 1, "{steps} steps");
        match next {
            NextBatch::Batch(handle, batch) => {
                assert_eq!(handle, stream);
                shown.extend(batch.deliveries.iter().map(|delivery| delivery.news.clone()));
                hub.ready(handle, usize::MAX);
            }
            NextBatch::Again => {}
            NextBatch::Idle => break,
        }
    }
    let keys = shown.iter().map(|news| match news {
        News::Snapshot { kvs, .. } => kvs.len(),
        _ => 0,
    });
    assert_eq!(keys.sum::<usize>(), 5_001);
    assert!(shown.contains(&News::SnapshotEnd { revision: at }));
}

fn stream_of_snapshot(hub: &mut TestHub) -> Handle {
    let stream = hub.stream_of(1);
    hub.watch(0, stream, 1, snapshot(prefix(""))).unwrap();
    stream
}

#[test]
fn s10_the_newest_delete_of_a_key_is_found_whatever_was_put_since() {
    let mut hub = roomy();
    let stream = hub.stream_of(1);
    let request = WatchRequest {
        puts: false,
        delivery: crate::model::Delivery::Latest,
        ..WatchRequest::new(KeyRange::key("a"))
    };
    hub.watch(0, stream, 1, request).unwrap();
    hub.set_to("a", "v");
    for _ in 0..3 {
        hub.delete_in(KeyRange::key("a"));
        for _ in 0..100 {
            hub.set_to("a", "v");
        }
    }
    assert_eq!(hub.shown(), ["1: 205-a up to 305, 2 skipped"]);
    hub.delete_in(KeyRange::key("a"));
    assert_eq!(hub.shown(), ["1: 306-a up to 306"]);
}

/// Each event of a revision counted once more, so that a range with a key left was taken for empty.
#[test]
fn t4_a_wait_for_absence_counts_each_event_of_a_revision_once() {
    let mut hub = roomy();
    hub.set_to("ab", "v");
    hub.parked(7, wait(prefix(""), WaitCondition::Absent));
    hub.txn(&["a", "b"]);
    hub.txn(&["-a", "-ab"]);
    assert_eq!(hub.answers(), Vec::<String>::new(), "one key is left");
    hub.txn(&["c", "-b"]);
    assert_eq!(hub.answers(), Vec::<String>::new());
    hub.txn(&["-c"]);
    assert_eq!(hub.answers(), ["7: met at 6: 6-c"]);
}

/// Before: each set looked at each of them again.
#[test]
fn s10_watches_that_are_behind_cost_a_set_nothing() {
    const WATCHES: u64 = 1_000;
    let mut hub = roomy();
    let stream = hub.stream_of(1);
    for id in 0..WATCHES {
        let range = if id % 2 == 0 { KeyRange::key("a") } else { prefix("a") };
        hub.watch(0, stream, id, WatchRequest::new(range)).unwrap();
    }
    hub.set_to("a", "v");
    assert!(hub.batch().is_some(), "and its consumer is not ready again");
    hub.set_to("a", "v");
    hub.set_to("a", "v");
    let before = hub.state().steps_taken();
    for _ in 0..100 {
        hub.set_to("a", "v");
    }
    let steps = hub.state().steps_taken() - before;
    assert!(steps <= 2 * 100, "{steps} steps");
    hub.ready(stream, usize::MAX);
    let shown = hub.shown();
    let up_to = format!(" up to {}", hub.state().revision());
    let up_to_date = shown.iter().filter(|text| text.ends_with(&up_to));
    assert_eq!(up_to_date.count(), WATCHES as usize);
    hub.set_to("a", "v");
    assert_eq!(hub.shown().len(), WATCHES as usize, "all are told of events again");
}
