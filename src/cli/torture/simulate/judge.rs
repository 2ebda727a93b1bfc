//! [`judge`]: the conditions that hold after every event of a life, whatever its clients did.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::actor::message::AuditQueue;
use crate::environment::simulated;
use crate::{Config, Wakeful};

/// Steps that a turn takes for itself, as a number of requests that would be allowed as many.
const OWN_REQUESTS: u64 = 2;

/// Maximum number of ranges in one transaction of a client, each of which is a page of the answer.
pub(super) const RANGES_MAX: usize = 16;

/// The findings.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    pub(super) broken: Option<String>,
    /// The highest number of steps in one turn of the store.
    pub(super) steps_most: u64,
    /// The highest number of bytes held at once for clients that had not read them.
    pub(super) kept_most: u64,
}

impl Findings {
    pub(super) fn add(&mut self, more: &Self) {
        self.steps_most = self.steps_most.max(more.steps_most);
        self.kept_most = self.kept_most.max(more.kept_most);
    }
}

/// The findings so far. Clones share them.
#[derive(Clone, Default)]
pub(super) struct SharedFindings(Arc<Mutex<Findings>>);

impl SharedFindings {
    pub(super) fn broken(&self) -> Option<String> {
        self.0.lock().broken.clone()
    }

    pub(super) fn found(&self) -> Findings {
        self.0.lock().clone()
    }
}

/// Judges after every event, until a condition fails.
pub(super) async fn judge(
    wakeful: Wakeful,
    config: Config,
    happened: Arc<Notify>,
    verdict: SharedFindings,
) {
    loop {
        happened.notified().await;
        let audited = wakeful.queue().send(AuditQueue).await;
        // An error means that the queue is gone, which others notice.
        let audited = audited.unwrap_or(Ok(())).map_err(|what| format!("J14: {what}"));
        let found = &mut *verdict.0.lock();
        let judged = audited
            .and_then(|()| judge_steps(&config, found))
            .and_then(|()| judge_bytes(&wakeful, &config, found));
        if let Err(what) = judged {
            found.broken = Some(what);
            return;
        }
    }
}

/// Checks that no turn looks at more than its requests may.
fn judge_steps(config: &Config, found: &mut Findings) -> Result<(), String> {
    let steps_max = config.store.steps_max as u64;
    for simulated::TurnUsage { steps, requests } in simulated::take_turns() {
        found.steps_most = found.steps_most.max(steps);
        if steps > (requests + OWN_REQUESTS).saturating_mul(steps_max) {
            return Err(format!(
                "S10: a turn of {requests} requests took {steps} steps; the limit per request is {steps_max}"
            ));
        }
    }
    Ok(())
}

/// Checks that no connection holds more than its limit plus one answer or batch.
fn judge_bytes(wakeful: &Wakeful, config: &Config, found: &mut Findings) -> Result<(), String> {
    let kept = wakeful.buffered().bytes();
    found.kept_most = found.kept_most.max(kept as u64);
    let connections = wakeful.connections().load(Ordering::Relaxed) as usize;
    let batch = config.watch.batch_bytes_max + config.store.revision_bytes_max;
    let answer = RANGES_MAX * (config.store.range_bytes_max + config.store.value_bytes_max);
    let one = config.rpc.output_bytes_max + batch.max(answer);
    if kept > connections * one {
        return Err(format!(
            "S10: {kept} bytes are held for {connections} connections; the limit per connection is {one}"
        ));
    }
    Ok(())
}
