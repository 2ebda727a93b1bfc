//! [`Slices`]: deletes more keys than one revision may change, page by page.

use std::io::{self, IsTerminal};

use super::del::show_previous;
use super::durability_args::{self, DurabilityArgs};
use super::failure::Failure;
use super::input;
use super::output::{Output, notice};
use super::progress::ProgressLine;
use super::range;
use crate::{
    Blob, CallReply, DeleteRequest, Details, Error, ErrorCode, KeyRange, KvRequest, Operations,
    RangeOrder, RangeReply, RangeRequest, Reply,
};

/// Limits that a smaller delete stays within.
const LIMITS: [&str; 5] = [
    "store.steps_max",
    "store.revision_events_max",
    "store.revision_bytes_max",
    "store.range_keys_max",
    "store.range_bytes_max",
];

/// Returns true if a delete of `range` was refused for its size and a smaller one may succeed.
pub(super) fn would_help(error: &Error, range: &KeyRange) -> bool {
    let named = matches!(&error.details, Details::Limit { name, .. } if LIMITS.contains(&&**name));
    named && error.code == ErrorCode::LimitExceeded && !matches!(range, KeyRange::Key(_))
}

/// A range of keys to delete in several revisions.
pub(super) struct Slices<'a, S> {
    pub(super) range: KeyRange,
    pub(super) previous: bool,
    pub(super) asks: DurabilityArgs,
    pub(super) store: &'a S,
}

impl<S: Operations> Slices<'_, S> {
    /// Asks at the terminal for consent to several revisions; `error` says why one is not enough.
    pub(super) async fn agree(
        &self,
        mut error: Error,
        yes: bool,
        out: &Output,
    ) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if out.json() || !io::stdin().is_terminal() {
            error.message += "; --yes deletes them in parts, each a revision of its own";
            return Err(error.into());
        }
        let (count, range) = (self.count().await?, &self.range);
        notice(format_args!("{error}"));
        input::agree(format_args!("{count} keys in `{range}` can be deleted in parts")).await
    }

    /// Deletes the range in order of keys and returns the number of deleted keys. Stops at the last
    /// key present at the start, since keys added behind it could keep the command running forever.
    pub(super) async fn delete(&self, out: &mut Output) -> Result<u64, Failure> {
        let mut progress = ProgressLine::new(out);
        let mut deleted = 0;
        if let Some(last) = self.last_key().await? {
            let total = self.count().await?;
            let mut page = self.page_before(&last);
            while !page.range.is_empty() {
                let read = range::page(self.store, &page).await;
                let read = read.map_err(|error| told(deleted, error))?;
                let Some(slice) = slice(&read, &last) else {
                    // A scan may return no key and still have a next page.
                    page.after = read.next;
                    if page.after.is_none() {
                        break;
                    }
                    continue;
                };
                let (count, done) = match self.delete_one(slice).await {
                    // Keys were added within the page, or their values are large.
                    Err(error) if would_help(&error, &self.range) && read.kvs.len() > 1 => {
                        page.limit = read.kvs.len() / 2;
                        continue;
                    }
                    done => done.map_err(|error| told(deleted, error))?,
                };
                deleted += count;
                show(&done, out);
                out.flush().await?;
                progress.show(format_args!("{deleted} of {total} keys deleted"));
                if !read.more {
                    break;
                }
                // The last key of a page bounds its slice and is the first key of the next.
                let behind = read.kvs.len().saturating_sub(2);
                page.after = read.kvs.get(behind).map(|kv| kv.key.clone());
            }
            let done = self.delete_one(KeyRange::Key(last)).await;
            let (count, done) = done.map_err(|error| told(deleted, error))?;
            deleted += count;
            show(&done, out);
        }
        drop(progress);
        if !out.json() {
            out.line(deleted);
        }
        Ok(deleted)
    }

    /// Returns the request for a page of keys before `last`.
    fn page_before(&self, last: &Blob) -> RangeRequest {
        let from = match &self.range {
            KeyRange::Key(from) | KeyRange::Prefix(from) | KeyRange::Range { from, .. } => from,
        };
        let range = KeyRange::Range { from: from.clone(), to: last.clone() };
        RangeRequest { keys_only: true, ..RangeRequest::new(range) }
    }

    async fn last_key(&self) -> Result<Option<Blob>, Error> {
        let mut last = RangeRequest {
            limit: 1,
            order: RangeOrder::Descending,
            keys_only: true,
            ..RangeRequest::new(self.range.clone())
        };
        loop {
            let page = range::page(self.store, &last).await?;
            // A scan may return no key and still have a next page.
            match (page.kvs.first(), page.next) {
                (Some(kv), _) => return Ok(Some(kv.key.clone())),
                (None, Some(next)) => last.after = Some(next),
                (None, None) => return Ok(None),
            }
        }
    }

    async fn count(&self) -> Result<u64, Error> {
        let count = RangeRequest { count_only: true, ..RangeRequest::new(self.range.clone()) };
        Ok(range::count(self.store, count).await?.count)
    }

    /// Deletes the keys of one slice and returns their number with the reply.
    async fn delete_one(&self, range: KeyRange) -> Result<(u64, CallReply), Error> {
        let request = DeleteRequest { range, return_previous: self.previous };
        // The first slice alone reports the durability it got.
        let done = self.asks.call(self.store, KvRequest::Delete(request), true).await?;
        match &done.reply {
            Reply::Delete(reply) => Ok((reply.deleted, done)),
            _ => Err(durability_args::unexpected_reply()),
        }
    }
}

fn show(done: &CallReply, out: &mut Output) {
    match &done.reply {
        _ if out.json() => out.written(done),
        Reply::Delete(reply) => show_previous(reply, out),
        // The reply was checked above.
        _ => {}
    }
}

/// Returns the keys of a page that lists keys before `last`: all keys of the last page, otherwise
/// all but one, because an exclusive bound must be a key.
fn slice(page: &RangeReply, last: &Blob) -> Option<KeyRange> {
    let first = page.kvs.first()?;
    let bound = if page.more { &page.kvs.last()?.key } else { last };
    Some(match first.key == *bound {
        true => KeyRange::Key(bound.clone()),
        false => KeyRange::Range { from: first.key.clone(), to: bound.clone() },
    })
}

/// Adds the number of keys deleted so far to an error.
fn told(deleted: u64, mut error: Error) -> Error {
    if deleted > 0 {
        error.message += &format!("; {deleted} keys were deleted before it");
    }
    error
}
