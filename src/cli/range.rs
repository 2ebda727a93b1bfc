//! `wakeful range`

use super::argument::Selection;
use super::failure::{Exit, Failure};
use super::json::At;
use super::output::{Output, notice};
use crate::rpc::proto::Shown;
use crate::{Error, ErrorCode, Operations, RangeOrder, RangeReply, RangeRequest, Reply, Revision};

/// Print keys and their values, in order of keys
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one key a line, a tab, and its value, with control characters escaped; with --json bytes
are exact. Long lists are read in pages, all of one revision. Without KEY: all keys.

Examples:
  wakeful range jobs/ --prefix
  wakeful range a --to c                   from a up to, and without, c
  wakeful range --all --keys-only
  wakeful range jobs/ --prefix --count-only
  wakeful range jobs/ --prefix --descending --limit 1      the last one
  wakeful range jobs/ --prefix --revision 7                as it was after revision 7")]
pub(crate) struct RangeArgs {
    #[command(flatten)]
    selection: Selection,
    /// At most so many keys; without it, all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Largest key first
    #[arg(long)]
    descending: bool,
    /// Keys without values
    #[arg(long)]
    keys_only: bool,
    /// Only how many there are
    #[arg(long, conflicts_with_all = ["limit", "keys_only", "descending"])]
    count_only: bool,
    /// As it was after this revision; 0 for now
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true)]
    revision: Revision,
}

impl RangeArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut request = RangeRequest {
            revision: self.revision,
            keys_only: self.keys_only,
            count_only: self.count_only,
            ..RangeRequest::new(self.selection.range())
        };
        if self.descending {
            request.order = RangeOrder::Descending;
        }
        if self.count_only {
            let reply = count(store, request).await?;
            if out.json() {
                out.reply(&Reply::Range(reply));
            } else {
                out.line(reply.count);
            }
            return Ok(Exit::Done);
        }
        self.pages(request, store, out).await?;
        Ok(Exit::Done)
    }

    /// Prints page after page, each of the revision of the first.
    ///
    /// The limit is counted here: a request may ask for no more than the server's
    /// `store.range_keys_max`, which is not known, so it asks for whole pages.
    async fn pages(
        &self,
        mut request: RangeRequest,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        loop {
            request.limit = page_limit(left);
            let reply = match page(store, &request).await {
                // The server's pages are smaller still.
                Err(error) if error.code == ErrorCode::LimitExceeded && request.limit > 0 => {
                    request.limit = 0;
                    page(store, &request).await?
                }
                answer => answer?,
            };
            if request.revision == 0 {
                request.revision = reply.revision;
            }
            for kv in reply.kvs.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                if out.json() {
                    out.object(&At { revision: request.revision, item: kv.shown() });
                } else if self.keys_only {
                    out.line(&kv.key);
                } else {
                    out.line(format_args!("{}\t{}", kv.key, kv.value));
                }
            }
            out.flush().await?;
            let shown = left.min(reply.kvs.len() as u64);
            let more = reply.more || (reply.kvs.len() as u64) > shown;
            left -= shown;
            match reply.next {
                Some(next) if left > 0 => request.after = Some(next),
                _ => {
                    if more && !out.json() {
                        notice("there are more keys; raise --limit to see them");
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// Reads the next page: a scan where a range looks at too many keys that were not there.
pub(super) async fn page(
    store: &impl Operations,
    request: &RangeRequest,
) -> Result<RangeReply, Error> {
    match store.range(request.clone()).await {
        Err(error) if error.is_limit("store.steps_max") => store.scan(request.clone()).await,
        answer => answer,
    }
}

/// How many keys there are: the reply to a range that counts, put together of all its pages.
pub(super) async fn count(
    store: &impl Operations,
    mut request: RangeRequest,
) -> Result<RangeReply, Error> {
    let mut count = 0;
    loop {
        let part = page(store, &request).await?;
        count += part.count;
        match part.next {
            Some(next) => request.after = Some(next),
            None => return Ok(RangeReply { count, ..part }),
        }
    }
}

/// What to ask for when `left` keys are wanted: just those if they are few, else a whole page.
fn page_limit(left: u64) -> usize {
    /// Below every `store.range_keys_max` that makes sense.
    const FEW: u64 = 100;
    if left <= FEW { left as usize } else { 0 }
}
