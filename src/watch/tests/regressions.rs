//! Regressions.

use super::*;

/// A search of one key that ended exactly with its slice skipped the next event.
#[test]
fn a_search_that_ends_with_its_slice_sees_the_next_event() {
    for events in 1..6 {
        let mut hub = hub_with(|store, _| store.slice_max = 2);
        for _ in 0..events {
            hub.set_to("a", "other");
        }
        let request = after(1, KeyRange::key("a"), WaitCondition::Equals("wanted".into()));
        hub.parked(7, request);
        hub.set_to("a", "wanted");
        hub.settle(0);
        let revision = events + 2;
        assert_eq!(hub.answers(), [format!("7: met at {revision}: {revision}a")]);
    }
}

/// The keys of the oldest revision were counted as if its events were still to come.
#[test]
fn absent_since_just_before_the_oldest_revision() {
    let mut hub = roomy();
    hub.set_to("a", "v");
    hub.set_to("b", "v");
    hub.compact(3);
    hub.delete_in(KeyRange::key("a"));
    let request = after(2, prefix(""), WaitCondition::Absent);
    hub.parked(7, request.clone());
    hub.delete_in(KeyRange::key("b"));
    assert_eq!(hub.answers(), ["7: met at 5: 5-b"]);
    assert_eq!(hub.answered_at_once(request), "met at 5: 5-b");
    hub.compact(5);
    let request = after(4, prefix(""), WaitCondition::Absent);
    assert_eq!(hub.answered_at_once(request), "met at 5: 5-b", "by the oldest event itself");
}

/// The delete that emptied a range was overlooked when other keys changed after it in its revision.
#[test]
fn absent_by_a_delete_within_a_larger_revision() {
    for slice_max in 1..5 {
        let mut hub = hub_with(|store, _| store.slice_max = slice_max);
        hub.set_to("a/1", "v");
        hub.set_to("a/2", "v");
        hub.parked(1, wait(prefix("a/"), WaitCondition::Absent));
        hub.txn(&["-a/1", "-a/2", "b"]);
        hub.settle(0);
        assert_eq!(hub.answers(), ["1: met at 4: 4-a/1"]);
        if slice_max < 5 {
            hub.wait(0, &owner(1), after(1, prefix("a/"), WaitCondition::Absent), || 2).unwrap();
            hub.settle(0);
            let late = hub.answers();
            assert!(late.is_empty() || late == ["2: met at 4: 4-a/1"], "{late:?}");
            if late.is_empty() {
                let request = after(1, prefix("a/"), WaitCondition::Absent);
                assert_eq!(hub.answered_at_once(request), "met at 4: 4-a/1");
            }
        }
    }
}

/// A revision that empties a range and fills it again never leaves it without keys.
#[test]
fn absent_is_not_met_within_a_revision() {
    let mut hub = roomy();
    hub.set_to("a/1", "v");
    hub.parked(1, wait(prefix("a/"), WaitCondition::Absent));
    hub.txn(&["-a/1", "a/2"]);
    hub.parked(2, after(1, prefix("a/"), WaitCondition::Absent));
    assert_eq!(hub.answers(), Vec::<String>::new());
}

/// A wait that timed out while compaction overtook its search claimed to have considered everything.
#[test]
fn a_search_that_is_overtaken_does_not_time_out() {
    let mut hub = hub_with(|store, _| store.slice_max = 1);
    for _ in 0..5 {
        hub.set_to("a", "v");
    }
    hub.parked(7, after(1, KeyRange::key("a"), WaitCondition::Exists).never());
    hub.compact(5);
    hub.advance(3_600 * SECOND);
    assert_eq!(hub.answers(), ["7: Overtaken { resume: 5 }"]);
}

/// The largest number, plus one, overflowed.
#[test]
fn waiting_after_the_last_number() {
    let mut hub = roomy();
    let request = after(u64::MAX, KeyRange::key("a"), WaitCondition::Changed);
    let error = hub.wait(0, &owner(1), request, || 7).unwrap_err();
    assert_eq!(error, StoreError::Future { asked: u64::MAX, oldest: 1, current: 1 });
    let request = wait(KeyRange::key("a"), WaitCondition::ModRevisionAbove(u64::MAX));
    hub.parked(7, request);
    let stream = hub.stream_of(8);
    let error = hub.watch(0, stream, 1, from(u64::MAX, KeyRange::key("a"))).unwrap_err();
    assert_eq!(error, StoreError::Future { asked: u64::MAX, oldest: 1, current: 1 });
}

/// The error of a wait that was ended while it searched said to resume after revisions that it had not
/// examined.
#[test]
fn a_search_that_is_ended_resumes_where_it_was() {
    let mut hub = hub_with(|store, _| store.slice_max = 2);
    for _ in 0..5 {
        hub.set_to("a", "v");
    }
    let request = after(1, KeyRange::key("a"), WaitCondition::Absent);
    let handle = hub.parked(1, request.clone());
    hub.administer(0, &HubRequest::EndWatcher(handle.to_u64())).unwrap();
    assert_eq!(hub.answers(), ["1: EndedByOperator { resume: 4 }"]);
    hub.parked(2, request);
    hub.stop();
    assert_eq!(hub.answers(), ["2: Stopping { resume: Some(4) }"]);
}

/// In a release build, the reply to a large write replaced one that was not taken yet, whose caller got no
/// answer.
#[test]
fn s2_each_large_write_has_its_reply_however_late_that_is_taken() {
    let mut hub = hub_with(|store, _| store.slice_max = 1);
    let set = |key: &str| TxnOp::Set(SetRequest::new(key, "v"));
    let write = |keys: &[&str]| {
        let success = keys.iter().map(|key| set(key)).collect();
        KvRequest::Txn(TxnRequest { success, ..TxnRequest::default() })
    };
    assert!(hub.begin(0, None, write(&["a", "b"]).into()).is_none(), "it is large");
    assert!(hub.begin(0, None, write(&["c", "d"]).into()).is_none(), "it is large");
    hub.finish_write(0);
    let revisions: Vec<u64> = std::iter::from_fn(|| hub.take_finished())
        .map(|reply| reply.unwrap().revision().unwrap())
        .collect();
    assert_eq!(revisions, [2, 3]);
}

/// Each cancelled search left its entry in the queue of searches, to be cleared one per turn.
#[test]
fn a_cancelled_search_leaves_nothing() {
    let mut hub = hub_with(|store, _| store.slice_max = 1);
    hub.set_to("a", "v");
    hub.set_to("a", "v");
    for address in 0..100 {
        let handle = hub.parked(address, after(1, KeyRange::key("a"), WaitCondition::Absent));
        assert_eq!(hub.cancel_wait(handle), Some(address));
    }
    assert!(!hub.must_advance(0));
    hub.assert_empty();
}

/// Ids were listed in the order of their slots, which are reused.
#[test]
fn watchers_are_listed_in_order_of_id() {
    let mut hub = roomy();
    let first = hub.parked(1, wait(KeyRange::key("a"), WaitCondition::Exists));
    hub.parked(2, wait(KeyRange::key("b"), WaitCondition::Exists));
    hub.cancel_wait(first);
    hub.parked(3, wait(KeyRange::key("c"), WaitCondition::Exists));
    let Ok(Reply::Watchers(page)) = hub.administer(0, &HubRequest::Watchers { after: 0, limit: 0 })
    else {
        panic!("a page")
    };
    assert!(page.watchers.is_sorted_by(|a, b| a.id < b.id), "{page:?}");
}

/// A page of watchers ended by their number alone, so one of long keys did not fit in a frame.
#[test]
fn a_page_of_watchers_ends_where_its_bytes_do() {
    let mut hub = hub_with(|store, _| store.range_bytes_max = 1_000);
    for address in 0..10 {
        let key = format!("{address}{}", "k".repeat(400));
        hub.parked(address, wait(KeyRange::key(key), WaitCondition::Exists));
    }
    let (mut after, mut ids) = (0, Vec::new());
    loop {
        let asked = hub.administer(0, &HubRequest::Watchers { after, limit: 0 });
        let Ok(Reply::Watchers(page)) = asked else { panic!("a page") };
        assert!((1..=2).contains(&page.watchers.len()), "{page:?}");
        ids.extend(page.watchers.iter().map(|watcher| watcher.id));
        after = page.watchers.last().unwrap().id;
        if !page.more {
            break;
        }
    }
    assert!(ids.len() == 10 && ids.is_sorted());
}

/// Above a compacted revision, a key that was deleted since was not searched for.
#[test]
fn mod_revision_above_a_compacted_one_sees_deletes() {
    let mut hub = roomy();
    for _ in 0..3 {
        hub.set_to("a", "v");
    }
    hub.compact(4);
    hub.delete_in(KeyRange::key("a"));
    for above in 0..5 {
        let request = wait(KeyRange::key("a"), WaitCondition::ModRevisionAbove(above));
        let first = if above == 4 { "met at 5: 5-a" } else { "met at 4: 4a" };
        assert_eq!(hub.answered_at_once(request), first, "above {above}");
    }
}

/// Streams that read much and show nothing were all served in one turn.
#[test]
fn one_turn_reads_for_one_stream() {
    let mut hub = hub_with(|_, watch| watch.batch_events_max = 10);
    for _ in 0..70 {
        hub.set_to("other", "v");
    }
    for address in 0..3 {
        let stream = hub.stream_of(address);
        let only_b = WatchRequest { puts: false, ..from(2, prefix("o")) };
        hub.watch(0, stream, 1, only_b).unwrap();
    }
    for _ in 0..3 {
        assert!(matches!(hub.next_batch(), NextBatch::Again));
    }
    assert!(matches!(hub.next_batch(), NextBatch::Idle));
}

/// The error of a watch that was ended in the middle of its snapshot said to resume after the snapshot.
#[test]
fn a_snapshot_that_is_ended_resumes_from_its_revision() {
    let mut hub = hub_with(|store, watch| {
        store.range_keys_max = 1;
        watch.batch_events_max = 1;
    });
    hub.txn(&["a", "b", "c"]);
    let stream = hub.stream_of(7);
    hub.watch(0, stream, 1, snapshot(prefix(""))).unwrap();
    let (_, first) = hub.batch().unwrap();
    assert_eq!(batch_text(&first)[0], "1: a of 2");
    for _ in 0..2 {
        hub.set_to("a", "w");
    }
    let (_, last) = hub.stop().pop().unwrap();
    assert_eq!(batch_text(&last), ["1: Stopping { resume: Some(2) }"]);
}

impl WaitRequest {
    /// Returns the same wait until something that does not happen.
    fn never(self) -> Self {
        Self { condition: WaitCondition::Equals("never".into()), ..self }
    }
}

/// A range that was empty between two writes of one group commit was judged by its state after both.
#[test]
fn absent_between_two_writes_of_one_commit() {
    let config = Config::new();
    let mut state = StoreState::new(config.store);
    state.set_journaled(true);
    let mut hub = TestHub::new(state, config.watch);
    hub.set_to("a/1", "v");
    hub.show_up_to(hub.state().mark());
    hub.parked(7, wait(prefix("a/"), WaitCondition::Absent));
    hub.delete_in(KeyRange::key("a/1"));
    hub.set_to("a/2", "v");
    assert!(hub.answers().is_empty(), "nothing is durable yet");
    hub.show_up_to(hub.state().mark());
    assert_eq!(hub.answers(), ["7: met at 3: 3-a/1"]);
}
