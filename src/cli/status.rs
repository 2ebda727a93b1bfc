//! `wakeful status`

use super::failure::{Exit, Failure};
use super::output::Output;
use crate::{ErrorCode, Operations, Reply, StatusReply};

/// Print the status of the server
///
/// Prints one fact per line. `store` is the id of the store, 16 hexadecimal digits: drawn at random when
/// the store is created, and again at a start after an end that may have lost visible changes.
/// Revisions under two different ids cannot be compared.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful status
  wakeful status --json
  wakeful status --addr 10.0.0.5:7117 --deadline 1s    as a health check")]
pub(crate) struct StatusArgs {}

impl StatusArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let status = store.status().await?;
        let gauges = Gauges::ask(store).await?;
        if out.json() {
            out.reply_and(&Reply::Status(status.into()), &gauges.fields());
        } else {
            text(&status, &gauges, out);
        }
        Ok(Exit::Done)
    }
}

/// Figures besides the status, as far as the server reports them.
#[derive(Default)]
struct Gauges {
    /// The bytes held for clients that have not read them, and their limit.
    output: Option<(u64, u64)>,
    /// The number of dropped log lines.
    lines_dropped: Option<u64>,
    /// The number of log lines that unauthenticated peers caused and that were not written.
    lines_left_out: Option<u64>,
}

impl Gauges {
    /// Requests the figures; an older server without this request has none.
    async fn ask(store: &impl Operations) -> Result<Self, Failure> {
        let gauges = match store.gauges().await {
            Err(error) if error.code == ErrorCode::Protocol => return Ok(Self::default()),
            gauges => gauges?,
        };
        let limits = store.limits().await?;
        let gauge = |name: &str| gauges.iter().find(|it| it.name == name).map(|it| it.value);
        let max = limits.into_iter().find(|limit| limit.name == "rpc.total_output_bytes_max");
        Ok(Self {
            output: gauge("rpc.total_output_bytes").zip(max.map(|max| max.value)),
            lines_dropped: gauge("log.lines_dropped"),
            lines_left_out: gauge("log.stranger_lines_left_out"),
        })
    }

    /// Returns the figures as fields of JSON.
    fn fields(&self) -> Vec<(&'static str, u64)> {
        let output =
            self.output.map(|(bytes, max)| [("output_bytes", bytes), ("output_bytes_max", max)]);
        let dropped = self.lines_dropped.map(|lines| ("log_lines_dropped", lines));
        let left_out = self.lines_left_out.map(|lines| ("log_stranger_lines_left_out", lines));
        output.into_iter().flatten().chain(dropped).chain(left_out).collect()
    }
}

fn journal(status: &StatusReply) -> String {
    if status.journal_bytes == 0 {
        return "none (in memory)".to_owned();
    }
    let per_commit = status.journal_records as f64 / status.journal_commits.max(1) as f64;
    format!(
        "{} bytes, {} commits of {per_commit:.1} records, last sync {} us",
        status.journal_bytes,
        status.journal_commits,
        status.journal_sync.as_micros()
    )
}

fn snapshot(status: &StatusReply) -> String {
    match status.snapshot_bytes {
        0 => format!("none yet, {} bytes of log", status.log_bytes),
        bytes => format!("{bytes} bytes, then {} bytes of log", status.log_bytes),
    }
}

fn text(status: &StatusReply, gauges: &Gauges, out: &mut Output) {
    let mut fact = |name: &str, value: String| out.line(format_args!("{name:<12} {value}"));
    fact("revision", format!("{} (oldest {})", status.revision, status.oldest));
    fact("keys", format!("{} ({} bytes)", status.keys, status.bytes));
    fact("history", format!("{} events ({} bytes)", status.history_events, status.history_bytes));
    fact("leases", status.leases.to_string());
    fact("waits", status.waits.to_string());
    fact("watches", format!("{} (on {} streams)", status.watches, status.streams));
    fact("connections", status.connections.to_string());
    fact("requests", status.requests.to_string());
    if let Some((bytes, max)) = gauges.output {
        fact("output", format!("{bytes} bytes not yet read by clients (of {max})"));
    }
    if let Some(lines) = gauges.lines_dropped {
        fact("log", format!("{lines} lines dropped"));
    }
    if let Some(lines) = gauges.lines_left_out {
        fact("strangers", format!("{lines} lines of the log left out"));
    }
    fact("journal", journal(status));
    if status.journal_bytes > 0 {
        fact("durable", format!("up to revision {}", status.durable_revision));
        fact("snapshot", snapshot(status));
    }
    fact("store", format!("{:016x}", status.store_id));
    fact("version", status.server_version.clone());
    fact("uptime", format!("{}s", status.uptime.as_secs()));
}
