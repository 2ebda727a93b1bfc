//! `wakeful range`

use super::argument::Selection;
use super::failure::{Exit, Failure};
use super::json::ReadItem;
use super::output::{Output, notice};
use crate::rpc::proto::SerializeWire;
use crate::{Error, ErrorCode, Operations, RangeOrder, RangeReply, RangeRequest, Reply, Revision};

/// Print keys and their values, in order of keys
///
/// Prints one key per line, a tab, and its value, with control characters escaped; with --json
/// bytes are exact. Long lists are read in pages, all of one revision. Without KEY it prints all
/// keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful range jobs/ --prefix
  wakeful range a --to c                   from a up to, but without, c
  wakeful range --all --keys-only
  wakeful range jobs/ --prefix --count-only
  wakeful range jobs/ --prefix --descending --limit 1    the last one
  wakeful range jobs/ --prefix --revision 7              as of revision 7")]
pub(crate) struct RangeArgs {
    #[command(flatten)]
    selection: Selection,
    /// Print up to N keys [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Print the largest key first
    #[arg(long)]
    descending: bool,
    /// Print keys without values
    #[arg(long)]
    keys_only: bool,
    /// Print only the number of keys
    #[arg(long, conflicts_with_all = ["limit", "keys_only", "descending"])]
    count_only: bool,
    /// Read the keys as of this revision; 0 means now
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

    /// Prints page by page, each as of the revision of the first.
    ///
    /// The limit is counted here: a request may not ask for more than the server's
    /// `store.range_keys_max`, which is unknown, so it asks for whole pages.
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
                    out.object(&ReadItem { revision: request.revision, item: kv.shown() });
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

/// Reads the next page; a scan, if the range would look at too many absent keys.
pub(super) async fn page(
    store: &impl Operations,
    request: &RangeRequest,
) -> Result<RangeReply, Error> {
    match store.range(request.clone()).await {
        Err(error) if error.is_limit("store.steps_max") => store.scan(request.clone()).await,
        answer => answer,
    }
}

/// Returns the number of keys: one reply assembled from all pages of a counting range.
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

/// Returns the limit to request when `left` keys are wanted: exactly those if they are few, else a
/// whole page.
fn page_limit(left: u64) -> usize {
    /// Below any sensible `store.range_keys_max`.
    const FEW: u64 = 100;
    if left <= FEW { left as usize } else { 0 }
}
