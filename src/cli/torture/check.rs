//! Checks that a restarted server keeps its acknowledged promises.

use std::fmt;

use futures_util::StreamExt;

use super::jobs;
use super::load::{LEASE_TTL, key_of};
use super::told_answers::{ShownEvent, ToldAnswers, TortureWriter};
use crate::{
    EventKind, KeyRange, Operations, Revision, SetRequest, WatchFrom, WatchItem, WatchRequest,
};

/// Checks `store` against `told`, and records its present state.
///
/// Errors: a sentence that names the broken promise.
pub(super) async fn check(store: &impl Operations, told: &mut ToldAnswers) -> Result<(), String> {
    let status = store.status().await.map_err(failed("status"))?;
    if status.revision < told.revision {
        return Err(format!(
            "D2: revision {} was shown or acknowledged, the store is at {}",
            told.revision, status.revision
        ));
    }
    check_writers(store, told).await?;
    check_leases(store, told).await?;
    check_events(store, told).await?;
    jobs::check(store, &mut told.jobs).await?;
    let set = store.set(SetRequest::new("probe", "")).await.map_err(failed("set"))?;
    check_made_between(store, status.revision, set.revision).await?;
    told.revision = set.revision;
    told.shown.clear();
    Ok(())
}

/// Checks that the probe made the revision after `before`, or that nothing but ends of leases came between
/// them: a restarted server ends those that are over.
async fn check_made_between(
    store: &impl Operations,
    before: Revision,
    probe: Revision,
) -> Result<(), String> {
    let broken = |what: &dyn fmt::Display| {
        format!("D3: the store was at revision {before}, and the next write made {probe}{what}")
    };
    if probe <= before {
        return Err(broken(&""));
    }
    let from = WatchFrom::Revision(before + 1);
    let request = WatchRequest { from, previous: true, ..WatchRequest::new(KeyRange::all()) };
    let mut watch = store.watch(request).await.map_err(failed("watch"))?;
    let mut reached = before;
    while reached < probe {
        let item = watch.next().await.ok_or("D3: a watch of the past ended")?;
        let WatchItem::Events { events, .. } = item.map_err(failed("watch"))? else { continue };
        for event in &events {
            let revision = event.revision();
            let had_lease = event.previous.as_ref().is_some_and(|previous| previous.lease != 0);
            let ended = event.kind() == EventKind::Delete && had_lease;
            if revision > reached + 1 || (revision < probe && !ended) {
                return Err(broken(&format_args!(", after {event:?}")));
            }
            reached = revision;
        }
    }
    Ok(())
}

async fn check_writers(store: &impl Operations, told: &mut ToldAnswers) -> Result<(), String> {
    for (number, writer) in told.writers.iter_mut().enumerate() {
        let left = count(store, format!("left/{number}")).await?;
        let right = count(store, format!("right/{number}")).await?;
        if left != right {
            return Err(format!("D2: half a transaction of writer {number}: {left}, {right}"));
        }
        let TortureWriter { attempted, acknowledged } = *writer;
        if left < acknowledged || left > attempted {
            return Err(format!(
                "D2: writer {number} was acknowledged {acknowledged} and sent {attempted}, \
                 found {left}"
            ));
        }
        *writer = TortureWriter { attempted: left, acknowledged: left };
    }
    Ok(())
}

async fn count(store: &impl Operations, key: String) -> Result<u64, String> {
    let kv = store.get(&*key).await.map_err(failed("get"))?.kv;
    let Some(kv) = kv else { return Ok(0) };
    kv.value.to_string().parse().map_err(|_| format!("D6: {key} holds {}", kv.value))
}

async fn check_leases(store: &impl Operations, told: &ToldAnswers) -> Result<(), String> {
    for (id, attached) in &told.leases {
        let lease = store
            .lease_time_to_live(*id)
            .await
            .map_err(|error| format!("D4: lease {id} was granted, now: {error}"))?;
        if lease.remaining < LEASE_TTL / 3 {
            return Err(format!("D4: lease {id} has {:?} left", lease.remaining));
        }
        let kv = store.get(key_of(*id)).await.map_err(failed("get"))?.kv;
        if *attached && kv.is_none_or(|kv| kv.lease != *id) {
            return Err(format!("D4: lease {id} has lost its key"));
        }
    }
    Ok(())
}

/// Checks that history has every event that a watcher was shown, and no other between them.
async fn check_events(store: &impl Operations, told: &ToldAnswers) -> Result<(), String> {
    let Some(first) = told.shown.front() else { return Ok(()) };
    let from = WatchFrom::Revision(first.revision);
    let request = WatchRequest { from, ..WatchRequest::new(KeyRange::all()) };
    let mut watch = store.watch(request).await.map_err(failed("watch"))?;
    let mut expected = told.shown.iter();
    // The first remembered revision may be incomplete.
    let mut started = false;
    while expected.len() > 0 {
        let item = watch.next().await.ok_or("D3: a watch of the past ended")?;
        let WatchItem::Events { events, .. } = item.map_err(failed("watch"))? else { continue };
        for event in &events {
            let found = ShownEvent::of(event);
            started |= found == *first;
            if !started {
                continue;
            }
            match expected.next() {
                Some(shown) if *shown == found => {}
                Some(shown) => return Err(format!("D1: {shown:?} was shown, now it is {found:?}")),
                None => return Ok(()),
            }
        }
        if !started {
            return Err(format!("D1: {first:?} was shown, and is missing"));
        }
    }
    Ok(())
}

fn failed(what: &'static str) -> impl Fn(crate::Error) -> String {
    move |error| format!("{what} on a restarted server: {error}")
}
