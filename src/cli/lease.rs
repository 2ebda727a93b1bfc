//! `wakeful lease`

use std::time::{Duration, Instant};

use serde::Serialize;

use super::argument::parse_duration;
use super::durability_args::{self, DurabilityArgs};
use super::failure::{Exit, Failure};
use super::json::ReadItem;
use super::output::{Output, notice};
use crate::{Blob, KvRequest, LeaseGrantRequest, LeaseId, LeaseReply, Operations, Reply, duration};

/// Grant, renew and end leases; a key set with a lease is deleted when the lease ends
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ID=$(wakeful lease grant 30s)
  wakeful set worker/1 up --lease $ID
  wakeful lease keep-alive $ID             until Ctrl-C; expires 30 s later
  wakeful lease revoke $ID                 ends it now, and deletes its keys")]
pub(crate) struct LeaseArgs {
    #[command(subcommand)]
    action: LeaseCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LeaseCommand {
    /// Grant a lease and print its id
    #[command(after_help = "\
Examples:
  wakeful lease grant 30s
  wakeful lease grant 5m --id 42")]
    Grant {
        /// Time to live, as in 30s, 5m, 1h30m
        #[arg(value_name = "TTL", value_parser = parse_duration)]
        ttl: Duration,
        /// Id of the lease [default: chosen by the store]
        #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
        id: LeaseId,
        #[command(flatten)]
        asks: DurabilityArgs,
    },
    /// Renew a lease repeatedly, until Ctrl-C
    ///
    /// Renews the lease after each third of its time to live, and prints `lease ID ttl TTL` each time.
    /// While the server is unreachable it tries again until the lease would have expired. Exits
    /// with 3 if the lease does not exist (it may have expired).
    #[command(after_help = "\
Examples:
  wakeful lease keep-alive 42
  wakeful lease keep-alive 42 --once")]
    KeepAlive {
        /// The lease
        #[arg(value_name = "ID")]
        id: LeaseId,
        /// Renew once only
        #[arg(long)]
        once: bool,
    },
    /// End a lease now and delete its keys, in one revision
    ///
    /// Prints the number of deleted keys.
    #[command(after_help = "\
Example:
  wakeful lease revoke 42")]
    Revoke {
        /// The lease
        #[arg(value_name = "ID")]
        id: LeaseId,
        #[command(flatten)]
        asks: DurabilityArgs,
    },
    /// Print the remaining time of a lease
    ///
    /// Prints `remaining TIME of TTL`; with --keys also its keys, one per line. --json always
    /// includes the keys.
    #[command(after_help = "\
Examples:
  wakeful lease ttl 42
  wakeful lease ttl 42 --keys")]
    Ttl {
        /// The lease
        #[arg(value_name = "ID")]
        id: LeaseId,
        /// Also print the keys that end with it
        #[arg(long)]
        keys: bool,
    },
    /// Print the ids of all leases, one per line
    #[command(after_help = "\
Example:
  wakeful lease list")]
    List,
}

impl LeaseArgs {
    /// Returns true if Ctrl-C is the usual end, not an interruption.
    pub(crate) fn endless(&self) -> bool {
        matches!(self.action, LeaseCommand::KeepAlive { once: false, .. })
    }

    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        match self.action {
            LeaseCommand::Grant { ttl, id, asks } => grant(id, ttl, asks, store, out).await?,
            LeaseCommand::KeepAlive { id, once: true } => {
                renewed(store.lease_keep_alive(id).await?, out).await?;
            }
            LeaseCommand::KeepAlive { id, once: false } => keep_alive(id, store, out).await?,
            LeaseCommand::Revoke { id, asks } => revoke(id, asks, store, out).await?,
            LeaseCommand::Ttl { id, keys } => ttl(id, keys, store, out).await?,
            LeaseCommand::List => list(store, out).await?,
        }
        Ok(Exit::Done)
    }
}

async fn grant(
    id: LeaseId,
    ttl: Duration,
    asks: DurabilityArgs,
    store: &impl Operations,
    out: &mut Output,
) -> Result<(), Failure> {
    let request = KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl });
    let done = asks.call(store, request, out.json()).await?;
    let Reply::LeaseGrant(reply) = &done.reply else {
        return Err(durability_args::unexpected_reply().into());
    };
    if out.json() {
        out.written(&done);
    } else {
        out.line(reply.id);
    }
    Ok(())
}

async fn revoke(
    id: LeaseId,
    asks: DurabilityArgs,
    store: &impl Operations,
    out: &mut Output,
) -> Result<(), Failure> {
    let done = asks.call(store, KvRequest::LeaseRevoke(id), out.json()).await?;
    let Reply::LeaseRevoke(reply) = &done.reply else {
        return Err(durability_args::unexpected_reply().into());
    };
    if out.json() {
        out.written(&done);
    } else {
        out.line(reply.deleted);
    }
    Ok(())
}

async fn keep_alive(id: LeaseId, store: &impl Operations, out: &mut Output) -> Result<(), Failure> {
    let mut reply = store.lease_keep_alive(id).await?;
    let mut renewed_at = Instant::now();
    renewed(reply.clone(), out).await?;
    loop {
        tokio::time::sleep(reply.ttl / 3).await;
        loop {
            match store.lease_keep_alive(id).await {
                Ok(renewal) => {
                    reply = renewal;
                    renewed_at = Instant::now();
                    break;
                }
                // Until its time is over, the lease may still exist.
                Err(error) if error.retryable() && renewed_at.elapsed() < reply.ttl => {
                    if !out.json() {
                        notice(format_args!("{error}; trying again"));
                    }
                    tokio::time::sleep((reply.ttl / 10).min(Duration::from_secs(1))).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        renewed(reply.clone(), out).await?;
    }
}

async fn renewed(reply: LeaseReply, out: &mut Output) -> Result<(), Failure> {
    if out.json() {
        out.reply(&Reply::LeaseKeepAlive(reply));
    } else {
        out.line(format_args!("lease {} ttl {}", reply.id, duration::show(reply.ttl)));
    }
    out.flush().await
}

async fn ttl(
    id: LeaseId,
    keys: bool,
    store: &impl Operations,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut reply = store.lease_time_to_live(id).await?;
    if keys || out.json() {
        read_keys(&mut reply.keys, id, store).await?;
    }
    if out.json() {
        out.reply(&Reply::LeaseTimeToLive(reply));
        return Ok(());
    }
    let remaining = duration::show(reply.remaining);
    out.line(format_args!("remaining {remaining} of {}", duration::show(reply.granted)));
    if keys {
        reply.keys.iter().for_each(|key| out.line(key));
    }
    Ok(())
}

/// Reads the keys of a lease after those of the first page.
async fn read_keys(
    keys: &mut Vec<Blob>,
    id: LeaseId,
    store: &impl Operations,
) -> Result<(), Failure> {
    while let Some(last) = keys.last() {
        let page = store.lease_keys(id, last, 0).await?;
        keys.extend(page.keys);
        if !page.more {
            break;
        }
    }
    Ok(())
}

async fn list(store: &impl Operations, out: &mut Output) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let page = store.lease_list(after, 0).await?;
        for id in &page.leases {
            if out.json() {
                out.object(&ReadItem {
                    revision: page.revision,
                    item: ListedLease { id: id.to_string() },
                });
            } else {
                out.line(id);
            }
        }
        out.flush().await?;
        match page.leases.last() {
            Some(last) if page.more => after = *last,
            _ => return Ok(()),
        }
    }
}

/// A lease in a list: its id as text, as everywhere in JSON.
#[derive(Serialize)]
struct ListedLease {
    id: String,
}
