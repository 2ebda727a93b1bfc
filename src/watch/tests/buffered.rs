//! Memory kept for slow consumers: nothing without credit, and never more than the limits.

use super::*;
use crate::buffered::TotalBuffered;
use crate::model::GetRequest;

const VALUE: usize = 1_000_000;

fn limited(
    id: u64,
    total: &Arc<TotalBuffered>,
    own_max: usize,
    total_max: usize,
) -> Arc<WatchOwner> {
    let buffered = Arc::new(BufferedBytes::new(total, own_max, total_max));
    Arc::new(WatchOwner { id, name: String::new(), client: ClientId::Connection(id), buffered })
}

fn watching(
    hub: &mut TestHub,
    owner: &Arc<WatchOwner>,
    credit: usize,
    request: WatchRequest,
) -> WatcherHandle {
    let stream = hub.open_stream(owner, credit, || 7).unwrap();
    hub.watch(0, stream, 1, request).unwrap();
    stream
}

#[test]
fn w9_nothing_is_read_for_a_stream_without_credit() {
    let mut hub = hub_with(|store, _| store.history_bytes_max = 3_000_000);
    let owner = limited(1, &Arc::default(), usize::MAX, usize::MAX);
    let of_key = WatchRequest::new(KeyRange::key("a"));
    let streams: Vec<WatcherHandle> =
        (0..50).map(|_| watching(&mut hub, &owner, 0, of_key.clone())).collect();
    let values: Vec<_> = (0..50)
        .map(|_| {
            hub.set_to("a", &"x".repeat(VALUE));
            assert!(hub.batch().is_none());
            hub.settle(0);
            let Ok(Reply::Get(get)) =
                hub.ask(KvRequest::Get(GetRequest { key: "a".into(), revision: 0 }))
            else {
                panic!("a get")
            };
            Arc::downgrade(&get.kv.unwrap())
        })
        .collect();
    assert_eq!(owner.buffered.bytes(), 0);
    let kept = values.iter().filter(|value| value.strong_count() > 0).count();
    assert!(kept <= 4, "{kept} values are kept that nobody is to see");
    // With credit, each learns that it was overtaken, or gets what is still there.
    hub.ready(streams[0], 1);
    let shown = hub.shown();
    assert!(shown[0].contains("Overtaken"), "{shown:?}");
}

#[test]
fn w9_a_stream_is_read_for_as_far_as_its_credit_goes() {
    let mut hub = roomy();
    let owner = limited(1, &Arc::default(), usize::MAX, usize::MAX);
    let stream = watching(&mut hub, &owner, 1_000, from(1, prefix("")));
    for n in 0..100 {
        hub.set_to(&format!("{n}"), &"x".repeat(300));
    }
    let mut shown = 0;
    while let Some((_, batch)) = hub.batch() {
        assert!(batch.events.len() <= 4, "{} events for 1000 bytes", batch.events.len());
        assert_eq!(owner.buffered.bytes(), batch.bytes());
        shown += batch.events.len();
        drop(batch);
        assert_eq!(owner.buffered.bytes(), 0);
        hub.ready(stream, 1_000);
    }
    assert_eq!(shown, 100);
}

#[test]
fn s10_what_was_before_is_kept_only_where_it_is_asked_for() {
    let mut hub = roomy();
    let owner = limited(1, &Arc::default(), usize::MAX, usize::MAX);
    let stream = watching(&mut hub, &owner, usize::MAX, WatchRequest::new(KeyRange::key("a")));
    let previous = WatchRequest { previous: true, ..WatchRequest::new(KeyRange::key("a")) };
    hub.set_to("a", &"x".repeat(VALUE));
    let first = hub.batch().unwrap();
    hub.ready(stream, usize::MAX);
    hub.set_to("a", "y");
    let (_, second) = hub.batch().unwrap();
    assert!(second.bytes() < 1_000, "{} bytes for a small one", second.bytes());
    drop((first, second));
    // Another watch of the same stream still sees it.
    hub.watch(0, stream, 2, previous).unwrap();
    hub.set_to("a", &"z".repeat(VALUE));
    hub.ready(stream, usize::MAX);
    let (_, third) = hub.batch().unwrap();
    let update: Vec<_> =
        third.deliveries.iter().map(|it| (it.watch_id, it.update.clone())).collect();
    for (watch_id, update) in update {
        let WatchUpdate::Events { first, count: 1, .. } = update else { panic!("{update:?}") };
        let shown = &third.events_of(first, 1)[0];
        assert_eq!(shown.previous.is_some(), watch_id == 2);
    }
}

#[test]
fn s10_streams_of_one_connection_together_keep_no_more_than_its_limit() {
    let mut hub = roomy();
    let owner = limited(1, &Arc::default(), 10_000, usize::MAX);
    let streams: Vec<WatcherHandle> = (0..100)
        .map(|n| watching(&mut hub, &owner, 1, WatchRequest::new(KeyRange::key(format!("{n}")))))
        .collect();
    let other = limited(2, &Arc::default(), 10_000, usize::MAX);
    watching(&mut hub, &other, 1, WatchRequest::new(prefix("9")));
    for n in 0..100 {
        hub.set_to(&format!("{n}"), &"x".repeat(1_000));
    }
    let (mut kept, mut seen, mut others) = (Vec::new(), 0, 0);
    loop {
        while let Some((handle, batch)) = hub.batch() {
            if streams.contains(&handle) {
                kept.push(batch);
            } else {
                others += 1;
                hub.ready(handle, 1);
            }
            assert!(owner.buffered.bytes() <= 10_000 + 1_200, "{}", owner.buffered.bytes());
        }
        assert!(!hub.must_advance(0), "it waits, and does nothing");
        assert!(owner.buffered.bytes() < 10_000 || kept.len() >= 8, "{} kept", kept.len());
        assert_eq!(others, 11, "those of others are not held up");
        if kept.is_empty() {
            break;
        }
        seen += kept.len();
        kept.clear();
        if owner.buffered.take_paused() {
            hub.note_capacity(1);
        }
    }
    assert_eq!(seen, 100, "each sees its event, once");
}

#[test]
fn s10_at_the_limit_of_the_service_small_events_go_on_and_large_ones_wait() {
    let mut hub = roomy();
    let total = Arc::default();
    let [most, other] = [1, 2].map(|id| limited(id, &total, usize::MAX, 2 * VALUE));
    watching(&mut hub, &most, usize::MAX, WatchRequest::new(KeyRange::key("much")));
    hub.txn(&["much"]);
    hub.shown();
    let charge = crate::buffered::Charge::new(&most.buffered, 2 * VALUE);
    hub.set_to("much", "one more");
    assert!(hub.batch().is_none(), "who keeps the most waits");
    let small = watching(&mut hub, &other, usize::MAX, WatchRequest::new(KeyRange::key("small")));
    let large = watching(&mut hub, &other, usize::MAX, WatchRequest::new(KeyRange::key("large")));
    let all = watching(&mut hub, &other, usize::MAX, snapshot(KeyRange::key("large")));
    hub.set_to("large", &"x".repeat(VALUE + 1));
    hub.set_to("small", "v");
    let mut handles = Vec::new();
    while let Some((handle, _)) = hub.batch() {
        handles.push(handle);
    }
    assert!(handles.contains(&small) && !handles.contains(&large), "{handles:?}");
    hub.look_for_capacity();
    while hub.batch().is_some() {}
    assert_eq!(other.buffered.bytes(), 0, "it waits for more room than that");
    drop(charge);
    hub.look_for_capacity();
    let mut late = Vec::new();
    while let Some((handle, _)) = hub.batch() {
        late.push(handle);
    }
    assert!(late.contains(&large), "{late:?}");
    assert!(late.contains(&all) || handles.contains(&all));
    assert_eq!(late.len() + handles.len(), 4, "{handles:?}, then {late:?}");
}

#[test]
fn w10_a_stream_that_is_closed_while_it_waits_for_room_leaves_nothing() {
    let mut hub = roomy();
    let owner = limited(1, &Arc::default(), 0, usize::MAX);
    let stream = watching(&mut hub, &owner, 1, WatchRequest::new(prefix("")));
    hub.set_to("a", "v");
    assert!(hub.batch().is_none());
    assert!(!hub.paused.is_empty());
    hub.note_capacity(1);
    while !hub.close_stream(stream, 1) {}
    hub.assert_empty();
}

/// With at least as many streams as resume at once; found by `wakeful torture --simulate --seed 776`.
#[test]
fn s10_streams_for_whom_there_is_too_little_room_are_not_looked_at_for_ever() {
    let mut hub = roomy();
    let total = Arc::default();
    let (owner, other) = (limited(1, &total, 10_000, 1_000), limited(2, &total, 10_000, 1_000));
    let kept = crate::buffered::Charge::new(&other.buffered, 1_000);
    for _ in 0..40 {
        watching(&mut hub, &owner, 10_000, WatchRequest::new(prefix("")));
    }
    hub.set_to("a", &"x".repeat(900));
    assert!(owner.buffered.allowance().bytes > 0, "there is room, and too little");
    for _ in 0..3 {
        hub.note_capacity(1);
        let mut looks = 0;
        while !matches!(hub.next_batch(), NextBatch::Idle) {
            looks += 1;
            assert!(looks <= 100, "a look for each stream is enough");
        }
    }
    drop(kept);
    hub.note_capacity(1);
    assert!(hub.batch().is_some());
}
