//! Promise S10 by the count of steps: deleted keys, waiting clients and written events do not multiply
//! the work.

use super::*;
use crate::store::Mark;

fn journaled() -> TestHub {
    journaled_with(|_| {})
}

fn journaled_with(change: impl FnOnce(&mut StoreConfig)) -> TestHub {
    let mut config = Config::new();
    change(&mut config.store);
    let mut state = StoreState::new(config.store);
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
        hub.ask(KvRequest::Set(SetRequest { ttl, ..SetRequest::new(key, "v") })).unwrap();
    }
    commit(hub);
}

/// Regression: for each key that ended, the wait looked at all that had ended before, 20 s for 100,000.
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
    // All in one commit, as with a slow disk.
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
    // After the snapshot's revision, so that each key must be looked at.
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
                shown.extend(batch.deliveries.iter().map(|delivery| delivery.update.clone()));
                hub.ready(handle, usize::MAX);
            }
            NextBatch::Again => {}
            NextBatch::Idle => break,
        }
    }
    let keys = shown.iter().map(|update| match update {
        WatchUpdate::Snapshot { kvs, .. } => kvs.len(),
        _ => 0,
    });
    assert_eq!(keys.sum::<usize>(), 5_001);
    assert!(shown.contains(&WatchUpdate::SnapshotEnd { revision: at }));
}

fn stream_of_snapshot(hub: &mut TestHub) -> WatcherHandle {
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

/// Regression: each event of a revision was counted twice, so a range with a key left counted as empty.
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

/// Regression: each set looked at each of them again.
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
    hub.finish_notifying();
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

/// Returns the most steps of one slice while everything that is left is done.
fn largest_slice(hub: &mut TestHub) -> u64 {
    let mut largest = 0;
    while hub.must_advance(0) {
        let before = hub.state().steps_taken();
        hub.advance(0);
        largest = largest.max(hub.state().steps_taken() - before);
    }
    largest
}

fn equals(value: &str) -> WaitCondition {
    WaitCondition::Equals(value.into())
}

/// Returns a hub with 2,000 keys, in which a wait looks at 100 keys before it is parked, and at 50 in
/// each slice.
fn many_keys() -> TestHub {
    let mut hub = hub_with(|store, _| (store.steps_max, store.slice_max) = (100, 50));
    for number in 0..2_000 {
        hub.set_to(&format!("k{number:04}"), "v");
    }
    hub
}

/// Regression: a wait that had to look at more than `store.steps_max` keys was refused.
#[test]
fn s10_a_wait_looks_at_the_state_in_slices_and_is_met_by_what_it_finds() {
    let mut hub = many_keys();
    hub.set_to("k1999", "x");
    let at = hub.state().revision();
    let before = hub.state().steps_taken();
    hub.parked(7, wait(prefix("k"), equals("x")));
    assert_eq!(hub.state().steps_taken() - before, 100);
    let largest = largest_slice(&mut hub);
    assert!(largest <= 50, "{largest} steps");
    assert_eq!(hub.answers(), [format!("7: met at {at}: {at}k1999")]);
    hub.assert_empty();
}

#[test]
fn t4_a_wait_that_looks_at_the_state_in_slices_misses_nothing_that_changes_meanwhile() {
    let mut hub = many_keys();
    for (key, then) in [("k1500", "v"), ("k1501", "")] {
        hub.set_to(key, "x");
        let held = hub.state().revision();
        hub.parked(7, wait(prefix("k"), equals("x")));
        hub.advance(0);
        // The search has not reached the key yet, whose initial state met the condition.
        match then {
            "" => hub.delete_in(KeyRange::key(key)),
            value => hub.set_to(key, value),
        }
        assert_eq!(hub.answers(), [format!("7: met at {held}: {held}{key}")]);
    }
    hub.parked(8, wait(prefix("k"), equals("x")));
    hub.advance(0);
    hub.set_to("k0001", "x");
    let at = hub.state().revision();
    assert_eq!(hub.answers(), [format!("8: met at {at}: {at}k0001")], "where it was already");
    hub.delete_in(KeyRange::key("k0001"));
    hub.parked(9, wait(prefix("k"), equals("x")));
    largest_slice(&mut hub);
    assert_eq!(hub.answers(), Vec::<String>::new());
    hub.set_to("k0002", "x");
    let at = hub.state().revision();
    assert_eq!(hub.answers(), [format!("9: met at {at}: {at}k0002")]);
    hub.assert_empty();
}

/// Regression: searches took turns, so that the owner of a thousand had all turns but one.
#[test]
fn s10_searches_of_one_owner_do_not_delay_those_of_others() {
    let mut hub = many_keys();
    let of = |hub: &mut TestHub, id, address| {
        hub.wait(0, &owner(id), wait(prefix("k"), equals("x")), || address).unwrap();
    };
    for address in 0..100 {
        of(&mut hub, 1, address);
    }
    of(&mut hub, 2, 100);
    // Half of what is examined is for the single wait.
    for _ in 0..2 * 2_000 / 50 {
        hub.advance(0);
    }
    assert!(hub.searching.iter().all(|(owner, _)| *owner == 1));
    assert!(hub.searching.len() > 95, "{} are left", hub.searching.len());
    largest_slice(&mut hub);
    assert!(hub.searching.is_empty());
}

#[test]
fn t2_a_wait_whose_time_is_over_before_it_has_looked_at_the_state_claims_nothing() {
    let mut hub = many_keys();
    let timeout = Some(Duration::from_secs(1));
    hub.parked(7, WaitRequest { timeout, ..wait(prefix("k"), equals("x")) });
    hub.parked(8, WaitRequest { timeout, ..wait(KeyRange::key("k0000"), equals("x")) });
    let revision = hub.state().revision();
    hub.advance(SECOND);
    let answers = hub.answers();
    assert!(answers[0].contains("store.steps_max"), "{answers:?}");
    assert_eq!(answers[1], format!("8: timeout at {revision}"));
    hub.assert_empty();
}

/// Regression: with more pending events than a wait may look at, all keys of the range were walked, or
/// the wait was refused.
#[test]
fn s10_a_wait_for_absence_counts_many_pending_events_in_slices() {
    let mut hub = journaled_with(|store| (store.steps_max, store.slice_max) = (100, 50));
    for number in 0..1_000 {
        hub.set_to(&format!("k{number:04}"), "v");
    }
    commit(&mut hub);
    let full = hub.state().visible();
    hub.delete_in(prefix("k"));
    let none = hub.state().mark();
    for number in 0..500 {
        hub.set_to(&format!("k{number:04}"), "again");
    }
    for (address, after) in [(7, None), (8, Some(full))] {
        let before = hub.state().steps_taken();
        hub.parked(address, WaitRequest { after, ..wait(prefix("k"), WaitCondition::Absent) });
        // And the chunks of keys at the ends, to count the existing keys.
        assert!(hub.state().steps_taken() - before <= 100 + 2 * 1_024);
    }
    let largest = largest_slice(&mut hub);
    assert!(largest <= 50, "{largest} steps");
    assert_eq!(hub.answers(), Vec::<String>::new(), "the deletes are not durable");
    hub.show_up_to(none);
    largest_slice(&mut hub);
    let at = none.revision;
    let mut answers = hub.answers();
    answers.sort();
    assert_eq!(answers, [7, 8].map(|address| format!("{address}: met at {at}: {at}-k0000")));
    // There is none if none of it is shown.
    hub.parked(9, wait(prefix("k"), WaitCondition::Absent));
    largest_slice(&mut hub);
    assert_eq!(hub.answers(), [format!("9: met at {at}")]);
}

/// Regression: all watchers of a key were notified of an event in one turn.
#[test]
fn s10_an_event_is_told_to_many_watchers_in_slices() {
    const STREAMS: u32 = 10;
    const WATCHES: u64 = 200;
    let mut hub = hub_with(|store, _| store.slice_max = 50);
    for address in 0..STREAMS {
        let stream = hub.stream_of(address);
        for id in 0..WATCHES {
            hub.watch(0, stream, id, WatchRequest::new(prefix("a"))).unwrap();
        }
    }
    hub.parked(99, wait(KeyRange::key("b"), WaitCondition::Exists));
    let before = hub.state().steps_taken();
    hub.set_to("a", "v");
    assert!(hub.state().steps_taken() - before <= 50);
    assert!(hub.is_notifying());
    hub.ask(KvRequest::Get(crate::model::GetRequest { key: "a".into(), revision: 0 })).unwrap();
    assert!(hub.is_notifying(), "a look-up need not wait");
    let largest = largest_slice_shown(&mut hub, "2a up to 2", STREAMS, WATCHES);
    assert!(largest <= 50 + 8 * 1_024, "{largest} steps");
    // A write that does not wait comes after.
    for _ in 0..3 {
        hub.set_to("a", "v");
    }
    assert!(!hub.is_notifying(), "a watch that is behind already need not know");
    hub.txn(&["b", "a"]);
    largest_slice_shown(&mut hub, "3a 4a 5a 6a up to 6", STREAMS, WATCHES);
    assert_eq!(hub.answers(), ["99: met at 6: 6b"]);
}

/// Shows everything; each watch is shown `news` once. Returns the most steps of a slice.
fn largest_slice_shown(hub: &mut TestHub, update: &str, streams: u32, watches: u64) -> u64 {
    let mut largest = 0;
    let mut shown: std::collections::BTreeMap<String, usize> = Default::default();
    loop {
        let before = hub.state().steps_taken();
        let next = hub.next_batch();
        largest = largest.max(hub.state().steps_taken() - before);
        match next {
            NextBatch::Batch(handle, batch) => {
                for text in batch_text(&batch) {
                    *shown.entry(text).or_default() += 1;
                }
                hub.ready(handle, usize::MAX);
            }
            NextBatch::Again => {}
            NextBatch::Idle => break,
        }
    }
    let all = (0..watches).map(|id| (format!("{id}: {update}"), streams as usize));
    assert_eq!(shown, all.collect());
    largest
}

/// Regression: watchers were notified of all events of a revision in one turn.
#[test]
fn s10_a_large_revision_is_told_in_slices_and_shown_whole() {
    const KEYS: usize = 2_000;
    let mut hub = hub_with(|store, watch| {
        store.slice_max = 50;
        watch.batch_events_max = 10_000;
    });
    for number in 0..KEYS {
        hub.set_to(&format!("k{number:04}"), "v");
    }
    let stream = hub.stream_of(1);
    hub.watch(0, stream, 1, WatchRequest::new(prefix("k"))).unwrap();
    hub.watch(0, stream, 2, WatchRequest::new(KeyRange::key("k1999"))).unwrap();
    hub.parked(7, wait(prefix("k"), WaitCondition::Absent));
    hub.delete_in(prefix("k"));
    let mut slices = 0;
    while hub.is_notifying() {
        assert!(hub.batch_now().is_none(), "nothing is shown before all know");
        slices += 1;
    }
    assert!(slices >= KEYS / 50, "{slices} slices");
    let at = hub.state().revision();
    let shown = hub.shown();
    assert_eq!(shown[0].matches('-').count(), KEYS);
    assert_eq!(shown[1..], [format!("2: {at}-k1999 up to {at}")]);
    largest_slice(&mut hub);
    assert_eq!(hub.answers(), [format!("7: met at {at}: {at}-k0000")]);
}
