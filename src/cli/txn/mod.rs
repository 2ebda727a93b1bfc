//! `wakeful txn`

mod fields;
mod form;

use std::path::PathBuf;

use super::argument::bytes;
use super::durability_args::{self, DurabilityArgs};
use super::failure::{Exit, Failure};
use super::output::Output;
use super::{input, set};
use crate::{
    Blob, Compare, CompareOp, CompareTarget, DeleteRequest, GetRequest, KeyRange, KvRequest,
    Operations, Reply, SetRequest, TxnOp, TxnReply, TxnRequest,
};

const EXAMPLES: &str = "\
Examples:
  wakeful txn --if-absent lock --set lock $$          take a lock if it is free
  wakeful txn --if-value phase 1 --set phase 2        compare and set
  wakeful txn --if-revision a 7 --set a x --else-get a
                                                      only if unchanged since
  wakeful txn --delete old --set new x                both or neither
  wakeful txn transaction.json
  echo '{\"success\": [{\"set\": {\"key\": \"a\", \"value\": \"1\"}}]}' | wakeful txn -";

/// Compare, then run one of two lists of operations, in one revision
///
/// Prints `succeeded (revision N)` or `failed (revision N)`, then one line for each operation: `set
/// KEY` (followed by `(unchanged)` if it was), `get KEY VALUE` or `get KEY: no such key`, `delete
/// COUNT`, `range COUNT` and its keys. Exits with 0 if all compares held, so that the `success`
/// list ran; with 3 otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", form::FORM))]
pub(crate) struct TxnArgs {
    /// The transaction as a JSON object (see --help) [default: standard input]
    #[arg(value_name = "FILE", conflicts_with = "TxnFlags")]
    file: Option<PathBuf>,
    #[command(flatten)]
    steps: TxnFlags,
    #[command(flatten)]
    asks: DurabilityArgs,
}

/// The flags that replace the form.
#[derive(Debug, Default, clap::Args)]
#[group(multiple = true)]
struct TxnFlags {
    /// Require that the key does not exist
    #[arg(long, value_name = "KEY", value_parser = bytes())]
    if_absent: Vec<Blob>,
    /// Require that the key exists
    #[arg(long, value_name = "KEY", value_parser = bytes())]
    if_exists: Vec<Blob>,
    /// Require that the key has this value
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"], value_parser = bytes(),
        allow_negative_numbers = true)]
    if_value: Vec<Blob>,
    /// Require that this revision was the last to change the key
    #[arg(long, num_args = 2, value_names = ["KEY", "REV"], value_parser = bytes())]
    if_revision: Vec<Blob>,
    /// Then set the key, unless it already has that value
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"], value_parser = bytes(),
        allow_negative_numbers = true)]
    set: Vec<Blob>,
    /// Then delete the key
    #[arg(long, value_name = "KEY", value_parser = bytes())]
    delete: Vec<Blob>,
    /// Then read the key, after the sets and deletes
    #[arg(long, value_name = "KEY", value_parser = bytes())]
    get: Vec<Blob>,
    /// Else read the key
    #[arg(long, value_name = "KEY", value_parser = bytes())]
    else_get: Vec<Blob>,
}

impl TxnArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let by_flags = self.steps.request().map_err(Failure::usage)?;
        let request = if by_flags == TxnRequest::default() {
            read_form(store, self.file).await?
        } else {
            by_flags
        };
        let done = self.asks.call(store, KvRequest::Txn(request.clone()), out.json()).await?;
        let Reply::Txn(reply) = &done.reply else {
            return Err(durability_args::unexpected_reply().into());
        };
        if out.json() {
            out.written(&done);
        } else {
            let operations = if reply.succeeded { &request.success } else { &request.failure };
            text(reply, operations, out);
        }
        Ok(if reply.succeeded { Exit::Done } else { Exit::NotFound })
    }
}

async fn read_form(store: &impl Operations, file: Option<PathBuf>) -> Result<TxnRequest, Failure> {
    let text = match file {
        Some(path) if path.as_os_str() != "-" => input::read_file(store, &path).await?,
        _ => input::read_stdin(store).await?,
    };
    form::parse(&text)
        .map_err(|refusal| Failure::usage(format!("{refusal}; `wakeful txn --help` has the form")))
}

impl TxnFlags {
    /// Returns the transaction; empty if no flag was given.
    fn request(&self) -> Result<TxnRequest, String> {
        let compare = |key: &Blob, op, target| Compare { range: KeyRange::key(key), op, target };
        let mut request = TxnRequest::default();
        for key in &self.if_absent {
            request.compares.push(compare(key, CompareOp::Equal, CompareTarget::Version(0)));
        }
        for key in &self.if_exists {
            request.compares.push(compare(key, CompareOp::Greater, CompareTarget::Version(0)));
        }
        for (key, value) in pairs(&self.if_value) {
            let target = CompareTarget::Value(value.clone());
            request.compares.push(compare(key, CompareOp::Equal, target));
        }
        for (key, revision) in pairs(&self.if_revision) {
            let revision = revision
                .to_string()
                .parse()
                .map_err(|_| format!("--if-revision: `{revision}` is not a revision"))?;
            let target = CompareTarget::ModRevision(revision);
            request.compares.push(compare(key, CompareOp::Equal, target));
        }
        for (key, value) in pairs(&self.set) {
            let set = SetRequest { only_if_changed: true, ..SetRequest::new(key, value) };
            request.success.push(TxnOp::Set(set));
        }
        for key in &self.delete {
            request.success.push(TxnOp::Delete(DeleteRequest::new(KeyRange::key(key))));
        }
        let get = |key: &Blob| TxnOp::Get(GetRequest { key: key.clone(), revision: 0 });
        request.success.extend(self.get.iter().map(get));
        request.failure.extend(self.else_get.iter().map(get));
        Ok(request)
    }
}

/// Returns the pairs of values of a flag that takes two.
fn pairs(values: &[Blob]) -> impl Iterator<Item = (&Blob, &Blob)> {
    values.chunks_exact(2).filter_map(|pair| Some((pair.first()?, pair.get(1)?)))
}

fn text(reply: &TxnReply, operations: &[TxnOp], out: &mut Output) {
    let outcome = if reply.succeeded { "succeeded" } else { "failed" };
    out.line(format_args!("{outcome} (revision {})", reply.revision));
    for (result, operation) in reply.results.iter().zip(operations) {
        match (result, operation) {
            (Reply::Set(reply), TxnOp::Set(set)) => {
                out.line(format_args!("set {}{}", set.key, set::unchanged(reply)));
            }
            (Reply::Get(reply), TxnOp::Get(get)) => match &reply.kv {
                Some(kv) => out.line(format_args!("get {} {}", kv.key, kv.value)),
                None => out.line(format_args!("get {}: no such key", get.key)),
            },
            (Reply::Delete(reply), _) => {
                out.line(format_args!("delete {}", reply.deleted));
                for kv in &reply.previous {
                    out.line(format_args!("{}\t{}", kv.key, kv.value));
                }
            }
            (Reply::Range(reply), operation) => {
                out.line(format_args!("range {}", reply.count));
                let keys_only = matches!(operation, TxnOp::Range(range) if range.keys_only);
                for kv in &reply.kvs {
                    if keys_only {
                        out.line(&kv.key);
                    } else {
                        out.line(format_args!("{}\t{}", kv.key, kv.value));
                    }
                }
            }
            _ => {}
        }
    }
}
