//! The promises of `docs/guarantees.md` about watches and waits, one readable test each.

use super::*;
use crate::model::Delivery as Policy;

fn stream_with(hub: &mut TestHub, request: WatchRequest) -> WatcherHandle {
    let stream = hub.stream_of(1);
    hub.watch(0, stream, 1, request).unwrap();
    stream
}

#[test]
fn w1_events_in_revision_order() {
    let mut hub = roomy();
    stream_with(&mut hub, WatchRequest::new(prefix("")));
    for key in ["b", "a", "c"] {
        hub.set_to(key, "v");
    }
    hub.delete_in(KeyRange::key("a"));
    assert_eq!(hub.shown(), ["1: 2b 3a 4c 5-a up to 5"]);
}

#[test]
fn w2_w3_every_event_once_however_batches_fall() {
    for batch_events_max in 1..5 {
        let mut hub = hub_with(|_, watch| watch.batch_events_max = batch_events_max);
        let stream = hub.stream_of(1);
        hub.watch(0, stream, 1, WatchRequest::new(prefix("a"))).unwrap();
        hub.watch(0, stream, 2, WatchRequest::new(KeyRange::key("a1"))).unwrap();
        let mut seen = (Vec::new(), Vec::new());
        for n in 0..20 {
            hub.set_to(["a1", "b", "a2"][n % 3], "v");
            if n % 4 > 0 {
                continue;
            }
            while let Some((handle, batch)) = hub.batch() {
                for delivery in &batch.deliveries {
                    let WatchUpdate::Events { first, count, .. } = delivery.update else {
                        panic!()
                    };
                    let list = if delivery.watch_id == 1 { &mut seen.0 } else { &mut seen.1 };
                    list.extend(batch.events_of(first, count).iter().map(event_text));
                }
                hub.ready(handle, usize::MAX);
            }
        }
        hub.shown();
        assert_eq!(
            seen.0,
            ["2a1", "4a2", "5a1", "7a2", "8a1", "10a2", "11a1", "13a2", "14a1", "16a2", "17a1"]
        );
        assert_eq!(seen.1, ["2a1", "5a1", "8a1", "11a1", "14a1", "17a1"]);
    }
}

#[test]
fn w4_a_revision_is_never_split() {
    let mut hub = hub_with(|_, watch| watch.batch_events_max = 3);
    stream_with(&mut hub, WatchRequest::new(prefix("")));
    let keys: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    hub.set_to("a", "v");
    hub.txn(&keys.iter().map(|key| &**key).collect::<Vec<_>>());
    hub.set_to("b", "v");
    assert_eq!(hub.shown(), ["1: 2a 30 31 32 33 34 35 36 37 38 39 up to 3", "1: 4b up to 4"],);
}

#[test]
fn w5_resumable_from_oldest_to_one_after_current() {
    let mut hub = roomy();
    for _ in 0..4 {
        hub.set_to("a", "v");
    }
    hub.compact(3);
    let stream = hub.stream_of(1);
    let mut id = 0;
    let mut start = |hub: &mut TestHub, revision| {
        id += 1;
        hub.watch(0, stream, id, from(revision, KeyRange::key("a")))
    };
    let compacted = StoreError::Compacted { asked: 2, oldest: 3, current: 5 };
    assert_eq!(start(&mut hub, 2), Err(compacted));
    for revision in 3..=6 {
        start(&mut hub, revision).unwrap();
    }
    let future = StoreError::Future { asked: 7, oldest: 3, current: 5 };
    assert_eq!(start(&mut hub, 7), Err(future));
    assert_eq!(hub.shown(), ["2: 3a 4a 5a up to 5", "3: 4a 5a up to 5", "4: 5a up to 5"]);
    hub.set_to("a", "v");
    assert_eq!(hub.shown().len(), 4);
}

#[test]
fn w6_progress_marks_say_how_far_it_is_complete() {
    let mut hub = roomy();
    let progress = Some(Duration::from_secs(1));
    let stream = stream_with(&mut hub, WatchRequest { progress, ..WatchRequest::new(prefix("a")) });
    hub.set_to("b", "v");
    hub.advance(SECOND - 1);
    assert_eq!(hub.shown(), Vec::<String>::new());
    hub.advance(SECOND);
    assert_eq!(hub.shown(), ["1: nothing up to 2"]);
    hub.set_to("a", "v");
    hub.advance(2 * SECOND);
    assert_eq!(hub.shown(), ["1: 3a up to 3"], "the events say it themselves");
    hub.set_to("a", "v");
    hub.batch().unwrap();
    hub.advance(3 * SECOND);
    hub.advance(4 * SECOND);
    assert!(hub.batch().is_none(), "the consumer is not ready");
    hub.ready(stream, usize::MAX);
    assert_eq!(hub.shown(), ["1: nothing up to 4"], "once, however many were due");
}

#[test]
fn w7_a_snapshot_then_changes_without_gap_or_repeat() {
    let mut hub = hub_with(|store, watch| {
        store.range_keys_max = 1;
        watch.batch_events_max = 1;
    });
    for key in ["a", "b", "c"] {
        hub.set_to(key, "v");
    }
    let stream = stream_with(&mut hub, snapshot(prefix("")));
    let mut shown = Vec::new();
    for write in ["b", "-c", "d", "a"] {
        let (_, batch) = hub.batch().expect("a page between any two writes");
        shown.extend(batch_text(&batch));
        hub.txn(&[write]);
        hub.ready(stream, usize::MAX);
    }
    shown.extend(hub.shown());
    let expected = [
        "1: a of 4",
        "1: b of 4",
        "1: c of 4",
        "1: all of 4",
        "1: 5b up to 5",
        "1: 6-c up to 6",
        "1: 7d up to 7",
        "1: 8a up to 8",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn w8_registered_before_a_write_sees_it() {
    let mut hub = roomy();
    let a = || KeyRange::key("a");
    hub.parked(1, wait(a(), WaitCondition::Changed));
    hub.parked(2, after(1, a(), WaitCondition::Changed));
    let stream = hub.stream_of(3);
    hub.watch(0, stream, 1, WatchRequest::new(a())).unwrap();
    hub.watch(0, stream, 2, from(2, a())).unwrap();
    hub.set_to("a", "v");
    let mut answers = hub.answers();
    answers.sort();
    assert_eq!(answers, ["1: met at 2: 2a", "2: met at 2: 2a"]);
    let mut shown = hub.shown();
    shown.sort();
    assert_eq!(shown, ["1: 2a up to 2", "2: 2a up to 2"]);
}

#[test]
fn w8_a_history_of_one_revision_loses_no_wake_up() {
    let mut hub = hub_with(|store, _| {
        store.history_revisions_max = 1;
        store.slice_max = 2;
    });
    for id in 1..=5 {
        let ttl = Duration::from_secs(1);
        hub.ask(KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl })).unwrap();
        let key = format!("leased {id}");
        hub.ask(KvRequest::Set(SetRequest { lease: id, ..SetRequest::new(&key, "v") })).unwrap();
        hub.parked(id as u32, wait(KeyRange::key(&key), WaitCondition::Absent));
    }
    hub.settle(SECOND);
    assert_eq!(hub.answers().len(), 5, "each lease's end is told before the next one's");
    assert_eq!(hub.state().history().oldest(), hub.state().revision());
}

#[test]
fn w9_a_consumer_that_is_never_ready_costs_no_memory() {
    let mut hub = hub_with(|store, _| store.history_revisions_max = 1_000);
    let stuck = stream_with(&mut hub, WatchRequest::new(prefix("")));
    for id in 2..10 {
        hub.watch(0, stuck, id, WatchRequest::new(KeyRange::key("a"))).unwrap();
    }
    let other = hub.stream_of(2);
    hub.watch(0, other, 1, WatchRequest::new(KeyRange::key("a"))).unwrap();
    hub.set_to("a", "v");
    let mut read = 0;
    for n in 0..100_000 {
        while let Some((handle, batch)) = hub.batch() {
            read += usize::from(handle == other) * batch.events.len();
            if handle == other {
                hub.ready(handle, usize::MAX);
            }
        }
        hub.set_to("a", "v");
        let queued = hub.streams.get(stuck.index as usize).unwrap().queue.len();
        assert!(queued <= 9 && hub.touched.len() <= 2, "{queued} queued after {n}");
    }
    assert_eq!(hub.shown(), ["1: 100002a up to 100002"]);
    assert_eq!(read, 100_001 - 1, "the other stream saw them all");
    assert_eq!(hub.state().history().len(), 1_000);

    hub.ready(stuck, usize::MAX);
    let ended = hub.shown();
    assert_eq!(ended.len(), 9, "{ended:?}");
    assert!(ended.iter().all(|end| end.ends_with(": Overtaken { resume: 99003 }")), "{ended:?}");
}

#[test]
fn w10_ending_one_watch_does_not_touch_the_others() {
    let mut hub = roomy();
    let stream = hub.stream_of(1);
    for id in 1..=4 {
        hub.watch(0, stream, id, WatchRequest::new(prefix("a"))).unwrap();
    }
    hub.set_to("a", "v");
    hub.cancel_watch(stream, 2).unwrap();
    let ended = hub.administer(0, &HubRequest::Watchers { after: 0, limit: 0 });
    let Ok(Reply::Watchers(page)) = ended else { panic!("a page") };
    hub.administer(0, &HubRequest::EndWatcher(page.watchers[0].id)).unwrap();
    assert_eq!(hub.cancel_watch(stream, 2), Err(StoreError::WatchNotFound(2)));
    let mut shown = hub.shown();
    shown.sort();
    assert_eq!(shown, ["1: EndedByOperator { resume: 2 }", "3: 2a up to 2", "4: 2a up to 2"]);
    hub.watch(0, stream, 2, WatchRequest::new(prefix("a"))).unwrap();
    hub.set_to("a", "v");
    let mut shown = hub.shown();
    shown.sort();
    assert_eq!(shown, ["2: 3a up to 3", "3: 3a up to 3", "4: 3a up to 3"]);
}

#[test]
fn latest_shows_the_newest_of_each_key_and_counts_the_rest() {
    let mut hub = roomy();
    let latest = WatchRequest { delivery: Policy::Latest, ..WatchRequest::new(prefix("")) };
    let stream = stream_with(&mut hub, latest);
    hub.set_to("a", "v");
    let (_, first) = hub.batch().unwrap();
    assert_eq!(batch_text(&first), ["1: 2a up to 2"]);
    for n in 0..10 {
        hub.set_to(["a", "b"][n % 2], "v");
    }
    hub.set_to("c", "v");
    hub.delete_in(KeyRange::key("b"));
    hub.ready(stream, usize::MAX);
    assert_eq!(hub.shown(), ["1: 11a 13c 14-b up to 14, 9 skipped"]);
}

#[test]
fn latest_with_only_puts_is_not_superseded_by_a_delete() {
    let mut hub = roomy();
    let request =
        WatchRequest { deletes: false, delivery: Policy::Latest, ..from(2, KeyRange::key("a")) };
    for write in ["a", "-a", "a", "-a"] {
        hub.txn(&[write]);
    }
    stream_with(&mut hub, request);
    assert_eq!(hub.shown(), ["1: 4a up to 5, 1 skipped"]);
}

#[test]
fn t1_one_answer_and_then_nothing() {
    let mut hub = roomy();
    let handle = hub.parked(7, wait(KeyRange::key("a"), WaitCondition::Exists));
    hub.txn(&["b", "a"]);
    hub.set_to("a", "v");
    assert_eq!(hub.answers(), ["7: met at 2: 2a"]);
    assert_eq!(hub.cancel_wait(handle), None);
    hub.advance(3_600 * SECOND);
    assert_eq!(hub.answers(), Vec::<String>::new());
}

#[test]
fn t2_a_timeout_says_where_to_go_on() {
    let mut hub = roomy();
    let timeout = Some(Duration::from_secs(5));
    let request = WaitRequest { timeout, ..WaitRequest::new(KeyRange::key("a")) };
    hub.parked(7, request);
    hub.set_to("b", "v");
    hub.advance(5 * SECOND - 1);
    assert_eq!(hub.answers(), Vec::<String>::new());
    hub.advance(5 * SECOND);
    assert_eq!(hub.answers(), ["7: timeout at 2"]);
    hub.set_to("a", "v");
    let next = after(2, KeyRange::key("a"), WaitCondition::Changed);
    assert_eq!(hub.answered_at_once(next), "met at 3: 3a");
}

#[test]
fn t2_a_timeout_in_the_middle_of_a_search_says_so() {
    let mut hub = hub_with(|store, _| store.slice_max = 2);
    for _ in 0..6 {
        hub.set_to("a", "v");
    }
    let timeout = Some(Duration::ZERO);
    let condition = WaitCondition::Equals("never".into());
    hub.parked(7, WaitRequest { timeout, ..after(1, KeyRange::key("a"), condition) });
    hub.advance(0);
    assert_eq!(hub.answers(), ["7: timeout at 3"]);
}

#[test]
fn t3_chained_waits_miss_nothing() {
    let mut hub = roomy();
    for write in ["a", "b", "-a", "a"] {
        hub.txn(&[write]);
    }
    let mut seen = Vec::new();
    let mut revision = 1;
    while revision < 5 {
        let request = after(revision, prefix(""), WaitCondition::Changed);
        let Ok(WaitStart::Answered(WaitOutcome::Met { revision: at, event: Some(event) })) =
            hub.wait(0, &owner(1), request, || 7)
        else {
            panic!("parked after {revision}")
        };
        seen.push(event_text(&event));
        revision = at;
    }
    assert_eq!(seen, ["2a", "3b", "4-a", "5a"]);
}

#[test]
fn t4_what_holds_already_is_answered_at_once() {
    let mut hub = roomy();
    hub.set_to("a", "1");
    let key = |condition| wait(KeyRange::key("a"), condition);
    let none = |condition| wait(KeyRange::key("z"), condition);
    for (request, answer) in [
        (key(WaitCondition::Exists), "met at 2: 2a"),
        (key(WaitCondition::Equals("1".into())), "met at 2: 2a"),
        (key(WaitCondition::Differs("2".into())), "met at 2: 2a"),
        (key(WaitCondition::ModRevisionAbove(1)), "met at 2: 2a"),
        (none(WaitCondition::Absent), "met at 2"),
        (none(WaitCondition::Differs("1".into())), "met at 2"),
        (wait(prefix("z"), WaitCondition::Absent), "met at 2"),
    ] {
        assert_eq!(hub.answered_at_once(request.clone()), answer, "{request:?}");
    }
    let parked = [
        key(WaitCondition::Changed),
        key(WaitCondition::Absent),
        key(WaitCondition::Differs("1".into())),
        key(WaitCondition::ModRevisionAbove(2)),
        none(WaitCondition::Exists),
        wait(prefix("z"), WaitCondition::Differs("1".into())),
    ];
    for (address, request) in parked.into_iter().enumerate() {
        hub.parked(address as u32, request);
    }
}

#[test]
fn t5_nothing_is_left_behind() {
    let mut hub = roomy();
    let exists = || wait(KeyRange::key("a"), WaitCondition::Exists);
    let cancelled = hub.parked(1, exists());
    hub.parked(2, exists());
    assert_eq!(hub.cancel_wait(cancelled), Some(1));
    hub.set_to("a", "v");
    hub.delete_in(KeyRange::key("a"));
    hub.parked(3, exists());
    hub.advance(3_600 * SECOND);
    assert_eq!(hub.answers(), ["2: met at 2: 2a", "3: timeout at 3"]);
    let stream = hub.stream_of(4);
    let progress = Some(Duration::from_secs(1));
    for id in 0..100 {
        let request = WatchRequest { progress, ..snapshot(prefix("")) };
        hub.watch(0, stream, id, request).unwrap();
    }
    for slice in 0..10 {
        assert_eq!(hub.close_stream(stream, 10), slice == 9);
    }
    hub.assert_empty();
}

#[test]
fn t5_timeouts_leave_no_filter() {
    let mut hub = roomy();
    let timeout = Some(Duration::from_millis(1));
    for round in 0..50u64 {
        for address in 0..1_000 {
            let range = if address % 2 == 0 { prefix("a") } else { KeyRange::key("a") };
            let request = WaitRequest { timeout, ..WaitRequest::new(range) };
            hub.wait(round * SECOND, &owner(1), request, || address).unwrap();
        }
        hub.settle((round + 1) * SECOND);
        assert_eq!(hub.take_answers().len(), 1_000);
        hub.assert_empty();
    }
}

#[test]
fn s8_a_leases_keys_end_in_one_item_of_a_watch() {
    let mut hub = hub_with(|_, watch| watch.batch_events_max = 1);
    let ttl = Duration::from_secs(1);
    hub.ask(KvRequest::LeaseGrant(LeaseGrantRequest { id: 9, ttl })).unwrap();
    for key in ["c", "a", "b"] {
        hub.ask(KvRequest::Set(SetRequest { lease: 9, ..SetRequest::new(key, "v") })).unwrap();
    }
    stream_with(&mut hub, WatchRequest::new(prefix("")));
    hub.advance(SECOND);
    assert_eq!(hub.shown(), ["1: 5-a 5-b 5-c up to 5"]);
}

#[test]
fn s10_mass_expiry_is_done_a_slice_at_a_time() {
    let mut hub = hub_with(|store, _| store.slice_max = 100);
    for n in 0..1_000 {
        let ttl = Some(Duration::from_secs(1));
        let set = SetRequest { ttl, ..SetRequest::new(format!("{n:04}"), "v") };
        hub.ask(KvRequest::Set(set)).unwrap();
    }
    let mut turns = 0;
    while hub.must_advance(SECOND) {
        let before = hub.state().revision();
        hub.advance(SECOND);
        assert!(hub.state().revision() - before <= 100, "more than a slice");
        turns += 1;
    }
    assert_eq!((turns, hub.state().status().keys), (20, 0), "a lease and its key count for two");
}
