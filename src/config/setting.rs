//! The settings of a [`Config`] by name: set from text, shown as text.

use std::time::Duration;

use super::{
    AuthConfig, Config, Durability, JournalConfig, LinkConfig, QueueConfig, RpcConfig,
    ServicesConfig, StoreConfig, WatchConfig,
};
use crate::duration;

/// Lists the fields of a [`Config`] with their dotted names. It names every field of every part, so
/// that a forgotten one is an error of the compiler.
macro_rules! settings {
    ($config:expr, $($part:ident: $type:ident { $($field:ident),* $(,)? })*) => {{
        let Config { $($part),* } = $config;
        let mut settings: Vec<(&'static str, &mut dyn Setting)> = Vec::new();
        $(
            let $type { $($field),* } = $part;
            $(settings.push((concat!(stringify!($part), ".", stringify!($field)), $field));)*
        )*
        settings
    }};
}

impl Config {
    /// Sets one field by its dotted name, as in `store.keys_max`, from text.
    ///
    /// Units: durations as `1500ms`, `30s`, `5m`, `1h`, `7d`; bytes and counts as whole numbers,
    /// optionally with `_` between digits and with `KiB`, `MiB` or `GiB`.
    /// [`entries`](Self::entries) returns the names.
    ///
    /// # Errors
    /// A sentence with the reason; nothing has changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let mut settings = self.settings();
        match settings.iter_mut().find(|(known, _)| *known == name) {
            Some((_, setting)) => {
                setting.assign(value).map_err(|refusal| format!("{name}: {refusal}"))
            }
            None => Err(format!("there is no limit `{name}`")),
        }
    }

    /// Returns every field by its dotted name, with its value as [`set`](Self::set) reads it.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let mut copy = self.clone();
        copy.settings().into_iter().map(|(name, setting)| (name, setting.show())).collect()
    }

    pub(super) fn settings(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        settings!(self,
            store: StoreConfig {
                key_bytes_max, value_bytes_max, keys_max, total_bytes_max, history_revisions_max,
                history_bytes_max, txn_ops_max, revision_events_max, revision_bytes_max,
                range_keys_max, range_bytes_max, steps_max, leases_max, lease_ttl_min,
                lease_ttl_max, idempotency_keys_max, idempotency_bytes_max, idempotency_ttl, slice_max,
            }
            watch: WatchConfig {
                watches_max, watches_per_connection_max, streams_max, wait_timeout_max,
                wait_timeout_default, batch_events_max, batch_bytes_max, progress_interval_min,
            }
            rpc: RpcConfig {
                connections_max, connections_per_address_max, descriptors_reserved,
                control_frames_max, frame_bytes_max, login_frame_bytes_max, requests_in_flight_max,
                heavy_requests_max, turn_max, json_depth_max, json_id_bytes_max, output_bytes_max,
                total_output_bytes_max,
                handshake_timeout, frame_timeout, write_timeout, ping_interval, ping_timeout,
                shutdown_grace, tls_handshakes_max, tls_check_interval, stranger_lines_max,
                stranger_lines_interval,
            }
            journal: JournalConfig {
                durability, sync_interval, segment_bytes, pending_bytes_max, snapshot_log_bytes,
                disk_bytes_max,
            }
            queue: QueueConfig {
                topics_max, schedules_max, name_bytes_max, payload_bytes_max, output_bytes_max,
                progress_bytes_max, error_bytes_max, errors_kept_max, jobs_max, bytes_max,
                topic_jobs_max, topic_bytes_max, push_jobs_max, push_bytes_max, credits_max, parked_max,
                parked_bytes_max, wait_max, wait_default, visibility_default, visibility_max, resume_grace,
                delay_max, schedule_ahead_max, retry_max, loss_max, backoff_base, backoff_cap, backoff_floor,
                backoff_pauses_max, priority_step, dead_max, dead_bytes_max, topic_dead_max,
                topic_dead_bytes_max, dead_age_max, outcomes_max, outcomes_bytes_max, topic_outcomes_max,
                topic_outcomes_bytes_max, outcomes_age_max, finished_indexes_max,
                topic_finished_indexes_max, list_jobs_max, list_bytes_max, list_looked_at_max, revoked_max, clock_settle, slice_max, slice_bytes_max,
            }
            services: ServicesConfig {
                services_max, calls_max, calls_per_connection_max, call_time_max, output_bytes_max,
            }
            auth: AuthConfig {
                file_bytes_max, users_max, roles_max, role_patterns_max, tokens_per_user_max,
                name_bytes_max, password_bytes_min, password_bytes_max, hash_memory_bytes,
                hash_passes, hash_memory_bytes_max, hash_passes_max, hash_threads, hash_queue_max,
                login_failures_max, login_failure_interval, login_addresses_max, login_timeout,
                reload_interval,
            }
            link: LinkConfig {
                links_max, handshakes_max, handshake_timeout, hello_bytes_max, streams_max,
                window_bytes_max, ping_interval, ping_timeout, connect_timeout, backoff_min,
                backoff_max, splice_bytes,
            }
        )
    }
}

/// A field that can be set from text.
pub(super) trait Setting {
    fn assign(&mut self, text: &str) -> Result<(), String>;
    fn show(&self) -> String;
    /// Returns the value as refusals show it; `None` if it is not a number.
    fn number(&self) -> Option<u64>;
    /// Sets the field to `number`, or to the nearest value that it can have.
    fn assign_number(&mut self, number: u64);
}

impl Setting for u64 {
    fn number(&self) -> Option<u64> {
        Some(*self)
    }

    fn assign_number(&mut self, number: u64) {
        *self = number;
    }

    fn assign(&mut self, text: &str) -> Result<(), String> {
        *self = parse_count(text)?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    fn number(&self) -> Option<u64> {
        Some(u64::from(*self))
    }

    fn assign_number(&mut self, number: u64) {
        *self = Self::try_from(number).unwrap_or(Self::MAX);
    }

    fn assign(&mut self, text: &str) -> Result<(), String> {
        *self = u32::try_from(parse_count(text)?).map_err(|_| too_large(text))?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn number(&self) -> Option<u64> {
        Some(*self as u64)
    }

    fn assign_number(&mut self, number: u64) {
        *self = Self::try_from(number).unwrap_or(Self::MAX);
    }

    fn assign(&mut self, text: &str) -> Result<(), String> {
        *self = usize::try_from(parse_count(text)?).map_err(|_| too_large(text))?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    fn number(&self) -> Option<u64> {
        Some(duration::millis(*self))
    }

    fn assign_number(&mut self, number: u64) {
        *self = Self::from_millis(number);
    }

    fn assign(&mut self, text: &str) -> Result<(), String> {
        *self = duration::parse(text)?;
        Ok(())
    }

    fn show(&self) -> String {
        duration::show(*self)
    }
}

impl Setting for Durability {
    fn number(&self) -> Option<u64> {
        None
    }

    fn assign_number(&mut self, _: u64) {}

    fn assign(&mut self, text: &str) -> Result<(), String> {
        *self = match text {
            "interval" => Self::Interval,
            "fsync" => Self::Fsync,
            _ => return Err(format!("`{text}` is neither interval nor fsync")),
        };
        Ok(())
    }

    fn show(&self) -> String {
        match self {
            Self::Interval => "interval",
            Self::Fsync => "fsync",
        }
        .to_owned()
    }
}

fn parse_count(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1));
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("`{text}` is not a whole number, as in 1000, 10_000 or 8MiB"));
    }
    let number: u64 = digits.parse().map_err(|_| too_large(text))?;
    number.checked_mul(unit).ok_or_else(|| too_large(text))
}

fn too_large(text: &str) -> String {
    format!("`{text}` is too large a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_fields_by_name_and_unit() {
        let mut config = Config::new();
        config.set("store.keys_max", "1_000").unwrap();
        config.set("store.total_bytes_max", "2GiB").unwrap();
        config.set("rpc.ping_interval", "1500ms").unwrap();
        assert_eq!(config.store.keys_max, 1000);
        assert_eq!(config.store.total_bytes_max, 2 << 30);
        assert_eq!(config.rpc.ping_interval, Duration::from_millis(1500));
    }

    #[test]
    fn refuses_without_a_change() {
        let mut config = Config::new();
        let unknown = config.set("store.key_max", "1").unwrap_err();
        assert_eq!(unknown, "there is no limit `store.key_max`");
        for (name, value) in [
            ("store.keys_max", "many"),
            ("store.keys_max", "-1"),
            ("store.keys_max", ""),
            ("store.keys_max", "30s"),
            ("store.total_bytes_max", "99999999999999999GiB"),
            ("watch.wait_timeout_max", "30"),
        ] {
            let refusal = config.set(name, value).unwrap_err();
            assert!(refusal.starts_with(name), "{refusal}");
        }
        assert_eq!(config, Config::new());
    }

    #[test]
    fn every_entry_reads_back() {
        let mut config = Config::new();
        for (name, value) in Config::new().entries() {
            config.set(name, &value).unwrap();
        }
        assert_eq!(config, Config::new());
    }
}
