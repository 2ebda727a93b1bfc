//! The part of a configuration that can change while a service runs.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, RpcConfig};
use crate::error::Error;
use crate::handle::Wakeful;

/// The limits that can change: those that each connection reads at its start or at the stop. All
/// others are fixed when the service starts.
const LIVE: [&str; 18] = [
    "rpc.connections_max",
    "rpc.connections_per_address_max",
    "rpc.descriptors_reserved",
    "rpc.control_frames_max",
    "rpc.frame_bytes_max",
    "rpc.login_frame_bytes_max",
    "rpc.json_depth_max",
    "rpc.json_id_bytes_max",
    "rpc.requests_in_flight_max",
    "rpc.heavy_requests_max",
    "rpc.output_bytes_max",
    "rpc.total_output_bytes_max",
    "rpc.handshake_timeout",
    "rpc.frame_timeout",
    "rpc.write_timeout",
    "rpc.ping_interval",
    "rpc.ping_timeout",
    "rpc.shutdown_grace",
];

/// The result of [`Wakeful::reconfigure`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconfigured {
    /// Limits with a new value.
    pub changed: Vec<LimitChange>,
    /// Limits with a new value that takes effect at the next start.
    pub at_next_start: Vec<LimitChange>,
}

/// A changed limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// The name of the limit, as in [`Config::set`].
    pub name: &'static str,
    /// The old value, in the form that [`Config::set`] reads.
    pub from: String,
    /// The new value.
    pub to: String,
}

impl Wakeful {
    /// Applies the limits that can change at run time: those of the TCP listener (`rpc.*`), for
    /// connections accepted from now on, and for [`stop`](Self::stop). Open connections keep theirs.
    ///
    /// ```
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), wakeful::Error> {
    /// use wakeful::{Config, Wakeful};
    ///
    /// let mut config = Config::new();
    /// let wakeful = Wakeful::start(config.clone())?;
    /// config.rpc.connections_max = 10;
    /// config.store.keys_max = 10;
    /// let came = wakeful.reconfigure(&config)?;
    /// assert_eq!(came.changed[0].name, "rpc.connections_max");
    /// assert_eq!(came.at_next_start[0].name, "store.keys_max");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if the configuration contradicts itself, or a change contradicts a limit
    /// that cannot change. Nothing was changed.
    pub fn reconfigure(&self, config: &Config) -> Result<Reconfigured, Error> {
        config.check()?;
        let mut current = self.inner.rpc.write();
        let running = Config { rpc: RpcConfig::clone(&current), ..self.inner.config.clone() };
        let (next, came) = next(&running, config)?;
        *current = Arc::new(next.rpc);
        Ok(came)
    }
}

/// Returns the configuration in force after applying `config` to `running`.
fn next(running: &Config, config: &Config) -> Result<(Config, Reconfigured), Error> {
    let mut next = running.clone();
    let mut came = Reconfigured::default();
    let before: HashMap<&str, String> = running.entries().into_iter().collect();
    for (name, to) in config.entries() {
        let Some(from) = before.get(name).filter(|from| **from != to).cloned() else { continue };
        let live = LIVE.contains(&name) && next.set(name, &to).is_ok();
        let changes = if live { &mut came.changed } else { &mut came.at_next_start };
        changes.push(LimitChange { name, from, to });
    }
    next.check()?;
    Ok((next, came))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_change_stays_and_is_told() {
        let running = Config::new();
        let mut config = Config::new();
        config.rpc.connections_max = 7;
        config.store.keys_max = 9;
        let (next, came) = next(&running, &config).unwrap();
        assert_eq!((next.rpc.connections_max, &next.store), (7, &running.store));
        let names = |changes: &[LimitChange]| changes.iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(&came.changed), ["rpc.connections_max"]);
        assert_eq!(names(&came.at_next_start), ["store.keys_max"]);
    }

    #[test]
    fn what_would_not_fit_what_stays_is_refused() {
        let mut config = Config::new();
        // Consistent in itself, but not with the values that stay.
        config.store.value_bytes_max = 64 * 1024;
        config.queue.payload_bytes_max = 64 * 1024;
        config.rpc.frame_bytes_max = 3 * 1024 * 1024;
        let refused = next(&Config::new(), &config).unwrap_err();
        assert!(refused.message.contains("rpc.frame_bytes_max"), "{refused}");
    }

    #[test]
    fn every_live_limit_is_one() {
        let entries = Config::new().entries();
        for name in LIVE {
            assert!(entries.iter().any(|(known, _)| *known == name), "{name}");
        }
    }
}
