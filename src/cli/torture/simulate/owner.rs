//! [`KeyOwner`]: a client that alone writes the keys of a prefix, and so knows the result of every
//! read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{
    Blob, Error, ErrorCode, Event, EventKind, KeyRange, Operations, RangeRequest, Revision,
    SetRequest, TxnOp, TxnRequest, WatchFrom, WatchItem, WatchRequest,
};

/// Number of keys of one owner.
const KEYS: u64 = 12;

/// Number of past revisions whose content is remembered.
const PAST: usize = 6;

/// Maximum size of a value, bytes; the limit is 1 KiB.
const VALUE_MAX: usize = 900;

type Keys = BTreeMap<String, Blob>;

/// One write.
#[derive(Debug, Clone)]
enum KeyWrite {
    Set(String, Blob),
    Delete(String),
    Both([(String, Blob); 2]),
}

/// A write with an unknown outcome, present or future. Its keys are not written any more.
#[derive(Debug, Clone)]
struct UncertainWrite {
    generation: u64,
    before: Keys,
    change: KeyWrite,
}

/// The last event of a key that a watcher was shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SeenEvent {
    revision: Revision,
    key: String,
    /// `None` if the key was deleted.
    value: Option<Blob>,
}

#[derive(Debug, Clone)]
pub(super) struct KeyOwner {
    number: u64,
    generation: u64,
    keys: Keys,
    /// The write that was sent and not answered.
    pending: Option<KeyWrite>,
    doubts: Vec<UncertainWrite>,
    past: VecDeque<(Revision, Keys)>,
    /// The writes of this life, and the events that a watcher was shown.
    written: Vec<SeenEvent>,
    shown: Vec<SeenEvent>,
    /// The first watched revision, if a watcher was shown all of this life so far.
    watched_from: Option<Revision>,
    pub(super) broken: Option<String>,
}

impl KeyWrite {
    fn apply(&self, keys: &mut Keys) {
        match self {
            Self::Set(key, value) => {
                keys.insert(key.clone(), value.clone());
            }
            Self::Delete(key) => {
                keys.remove(key);
            }
            Self::Both(sets) => keys.extend(sets.clone()),
        }
    }

    /// Returns the events that a watcher is shown.
    fn events(&self, revision: Revision, before: &Keys) -> Vec<SeenEvent> {
        let seen = |key: &String, value| SeenEvent { revision, key: key.clone(), value };
        match self {
            Self::Set(key, value) => vec![seen(key, Some(value.clone()))],
            Self::Delete(key) if before.contains_key(key) => vec![seen(key, None)],
            Self::Delete(_) => Vec::new(),
            Self::Both(sets) => {
                sets.iter().map(|(key, value)| seen(key, Some(value.clone()))).collect()
            }
        }
    }

    async fn ask(&self, store: &impl Operations) -> Result<Revision, Error> {
        match self {
            Self::Set(key, value) => {
                let set = SetRequest::new(&**key, value.clone());
                store.set(set).await.map(|reply| reply.revision)
            }
            Self::Delete(key) => {
                store.delete(KeyRange::key(&**key)).await.map(|reply| reply.revision)
            }
            Self::Both(sets) => {
                let set = |(key, value): &(String, Blob)| {
                    TxnOp::Set(SetRequest::new(&**key, value.clone()))
                };
                let success = sets.iter().map(set).collect();
                let txn = TxnRequest { success, ..TxnRequest::default() };
                store.txn(txn).await.map(|reply| reply.revision)
            }
        }
    }
}

impl KeyOwner {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            generation: 0,
            keys: Keys::new(),
            pending: None,
            doubts: Vec::new(),
            past: VecDeque::new(),
            written: Vec::new(),
            shown: Vec::new(),
            watched_from: None,
            broken: None,
        }
    }

    fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn prefix(&self, generation: u64) -> String {
        format!("own/{}/{generation}/", self.number)
    }

    fn draw_key(&self, chance: &mut StdRng) -> String {
        format!("{}{:02}", self.prefix(self.generation), chance.random_range(0..KEYS))
    }

    fn draw(&mut self, chance: &mut StdRng) -> KeyWrite {
        let key = self.draw_key(chance);
        let value = |chance: &mut StdRng| {
            let bytes = chance.random_range(0..=VALUE_MAX);
            Blob::from(vec![chance.random_range(b'a'..=b'z'); bytes])
        };
        let change = match chance.random_range(0..10) {
            0..6 => KeyWrite::Set(key, value(chance)),
            6..8 => KeyWrite::Delete(key),
            _ => {
                let other = format!("{}both", self.prefix(self.generation));
                KeyWrite::Both([(key, value(chance)), (other, value(chance))])
            }
        };
        self.pending = Some(change.clone());
        change
    }

    /// Records the outcome of the pending write.
    fn answered(&mut self, answer: Result<Revision, Error>) {
        let Some(change) = self.pending.take() else { return };
        match answer {
            Ok(revision) => {
                self.written.extend(change.events(revision, &self.keys));
                change.apply(&mut self.keys);
                if self.past.len() == PAST {
                    self.past.pop_front();
                }
                self.past.push_back((revision, self.keys.clone()));
            }
            Err(error) if is_refusal(error.code) => {}
            Err(_) => self.doubt(change),
        }
    }

    fn doubt(&mut self, change: KeyWrite) {
        let (generation, before) = (self.generation, std::mem::take(&mut self.keys));
        self.doubts.push(UncertainWrite { generation, before, change });
        self.generation += 1;
    }

    /// Compares the events that a watcher was shown with the writes.
    fn judge_watch(&mut self) {
        let (mut written, mut shown) =
            (std::mem::take(&mut self.written), std::mem::take(&mut self.shown));
        let (Some(from), Some(last)) = (self.watched_from.take(), shown.last().cloned()) else {
            return;
        };
        if !shown.is_sorted_by_key(|seen| seen.revision) {
            self.breaks(format!(
                "W2: watcher of owner {} was shown revisions out of order",
                self.number
            ));
        }
        written.retain(|seen| (from..=last.revision).contains(&seen.revision));
        for doubt in &self.doubts {
            let unknown = doubt.change.events(0, &doubt.before);
            shown.retain(|seen| {
                !unknown.iter().any(|it| it.key == seen.key && it.value == seen.value)
                    || written.contains(seen)
            });
        }
        written.sort();
        shown.sort();
        if written != shown {
            let differs = written.iter().zip(&shown).find(|(written, shown)| written != shown);
            let (number, counts) = (self.number, (written.len(), shown.len()));
            self.breaks(format!(
                "W1: owner {number} wrote, and a watcher was shown, {counts:?} events from {from} \
                 to {}; the first that differs: {differs:?}",
                last.revision
            ));
        }
    }

    /// Ends a life: a write without an answer is in doubt.
    pub(super) fn end_life(&mut self) {
        if let Some(change) = self.pending.take() {
            self.doubt(change);
        }
        self.judge_watch();
    }

    /// Checks the keys at the start of a life.
    pub(super) async fn check(&mut self, store: &impl Operations) -> Result<(), String> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        for UncertainWrite { generation, before, change } in std::mem::take(&mut self.doubts) {
            let found = read(store, self.prefix(generation), 0).await.map_err(unread)?;
            let mut after = before.clone();
            change.apply(&mut after);
            if found != before && found != after {
                return Err(format!(
                    "D2: owner {} in generation {generation} had {} and possibly {change:?}; found {}",
                    self.number,
                    show(&before),
                    show(&found)
                ));
            }
        }
        let found = read(store, self.prefix(self.generation), 0).await.map_err(unread)?;
        if found != self.keys {
            let (number, expected, found) = (self.number, show(&self.keys), show(&found));
            return Err(format!("D2: owner {number} had {expected}; found {found}"));
        }
        for (revision, keys) in &self.past {
            let Some(prefix) = keys.keys().next().and_then(|key| key.rsplit_once('/')) else {
                continue;
            };
            match read(store, format!("{}/", prefix.0), *revision).await {
                Ok(found) if found == *keys => {}
                Ok(found) => {
                    let (expected, found) = (show(keys), show(&found));
                    return Err(format!("D1: revision {revision} held {expected}; now {found}"));
                }
                Err(error) => return Err(unread(error)),
            }
        }
        Ok(())
    }
}

/// Writes and reads, until a call fails with an error that does not rule out a change.
pub(super) async fn own(store: impl Operations, owner: Arc<Mutex<KeyOwner>>, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    loop {
        let went = match chance.random_range(0..10) {
            0..6 => write(&store, &owner, &mut chance).await,
            6..8 => get(&store, &owner, &mut chance).await,
            _ => range(&store, &owner, &mut chance).await,
        };
        match went {
            Ok(()) => {}
            Err(error) if is_refusal(error.code) => {
                tokio::time::sleep(Duration::from_millis(chance.random_range(1..=10))).await;
            }
            Err(_) => return,
        }
    }
}

async fn write(
    store: &impl Operations,
    owner: &Mutex<KeyOwner>,
    chance: &mut StdRng,
) -> Result<(), Error> {
    let change = owner.lock().draw(chance);
    let answer = change.ask(store).await;
    owner.lock().answered(answer.clone());
    answer.map(drop)
}

async fn get(
    store: &impl Operations,
    owner: &Mutex<KeyOwner>,
    chance: &mut StdRng,
) -> Result<(), Error> {
    let key = owner.lock().draw_key(chance);
    let found = store.get(&*key).await?.kv.map(|kv| kv.value.clone());
    let mut owner = owner.lock();
    let expected = owner.keys.get(&key).cloned();
    if found != expected {
        owner.breaks(format!("S1: {key} is {expected:?}, and a read shows {found:?}"));
    }
    Ok(())
}

async fn range(
    store: &impl Operations,
    owner: &Mutex<KeyOwner>,
    chance: &mut StdRng,
) -> Result<(), Error> {
    let (mut revision, mut expected, mut prefix) = {
        let owner = owner.lock();
        (0, owner.keys.clone(), owner.prefix(owner.generation))
    };
    if chance.random_bool(0.5) {
        let owner = owner.lock();
        if let Some((at, keys)) = owner.past.get(chance.random_range(0..PAST))
            && let Some((start, _)) = keys.keys().next().and_then(|key| key.rsplit_once('/'))
        {
            (revision, expected, prefix) = (*at, keys.clone(), format!("{start}/"));
        }
    }
    let found = read(store, prefix, revision).await?;
    if found != expected {
        let (expected, found) = (show(&expected), show(&found));
        let what =
            format!("S3: at revision {revision} there is {expected}, and a range shows {found}");
        owner.lock().breaks(what);
    }
    Ok(())
}

/// Watches the keys of an owner from the end of the last life on, for as long as possible.
pub(super) async fn attend(store: impl Operations, owner: Arc<Mutex<KeyOwner>>, from: Revision) {
    let range = {
        let mut owner = owner.lock();
        // A watch that ended is not continued.
        if owner.watched_from.is_some() || !owner.shown.is_empty() {
            owner.watched_from = None;
            return;
        }
        owner.watched_from = Some(from);
        KeyRange::prefix(format!("own/{}/", owner.number).into_bytes())
    };
    let request = WatchRequest { from: WatchFrom::Revision(from), ..WatchRequest::new(range) };
    let Ok(mut watch) = store.watch(request).await else { return };
    while let Some(Ok(item)) = watch.next().await {
        if let WatchItem::Events { events, .. } = item {
            owner.lock().shown.extend(events.iter().map(seen));
        }
    }
}

fn seen(event: &Event) -> SeenEvent {
    let put = event.kind() == EventKind::Put;
    SeenEvent {
        revision: event.revision(),
        key: event.kv.key.to_string(),
        value: put.then(|| event.kv.value.clone()),
    }
}

/// Reads all keys of a prefix, page by page.
async fn read(store: &impl Operations, prefix: String, revision: Revision) -> Result<Keys, Error> {
    let range = KeyRange::prefix(prefix.into_bytes());
    let mut request = RangeRequest { revision, ..RangeRequest::new(range) };
    let mut keys = Keys::new();
    loop {
        let page = store.range(request.clone()).await?;
        keys.extend(page.kvs.iter().map(|kv| (kv.key.to_string(), kv.value.clone())));
        if !page.more {
            return Ok(keys);
        }
        request.after = page.next;
    }
}

/// Returns true if the error guarantees that nothing was changed.
fn is_refusal(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NoSpace | ErrorCode::LimitExceeded)
}

fn unread(error: Error) -> String {
    format!("D2: the keys of an owner cannot be read: {error}")
}

/// Formats keys with the lengths and first bytes of their values.
fn show(keys: &Keys) -> String {
    let one = |(key, value): (&String, &Blob)| {
        let first = value.first().map_or('-', |byte| char::from(*byte));
        format!("{key}={first}*{}", value.len())
    };
    format!("[{}]", keys.iter().map(one).collect::<Vec<_>>().join(" "))
}
