//! [`LimitArgs`]: the limits of a [`Config`] by name.

use serde_json::json;

use crate::Config;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::settings::check_limit_name;

#[derive(Debug, clap::Args)]
pub(crate) struct LimitArgs {
    /// Set a limit; durations as 30s, bytes also as 8MiB. Repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limit: Vec<String>,
}

impl LimitArgs {
    /// Sets the given limits.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), String> {
        for limit in &self.limit {
            let Some((name, value)) = limit.split_once('=') else {
                return Err(format!(
                    "--limit {limit}: write NAME=VALUE, as in store.keys_max=1000"
                ));
            };
            check_limit_name(name).map_err(|refusal| format!("--limit {limit}: {refusal}"))?;
            config.set(name, value).map_err(|refusal| format!("--limit {refusal}"))?;
        }
        Ok(())
    }
}

/// Prints every limit.
pub(crate) fn print(config: &Config, out: &mut Output) -> Result<(), Failure> {
    for (name, value) in config.entries() {
        if out.json() {
            out.object(&json!({ "name": name, "value": value }));
        } else {
            out.line(format_args!("{name}={value}"));
        }
    }
    out.flush_blocking()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(limit: &[&str]) -> Result<Config, String> {
        let limit = limit.iter().map(ToString::to_string).collect();
        let mut config = Config::new();
        LimitArgs { limit }.apply(&mut config).map(|()| config)
    }

    #[test]
    fn limits_set_the_config() {
        let config = config(&["store.keys_max=5", "rpc.shutdown_grace=5s"]).unwrap();
        assert_eq!(config.store.keys_max, 5);
        assert_eq!(config.rpc.shutdown_grace, Duration::from_secs(5));
    }

    #[test]
    fn wrong_limits_are_refused() {
        assert!(config(&["store.keys_max"]).unwrap_err().contains("NAME=VALUE"));
        assert!(config(&["keys_max=5"]).unwrap_err().contains("store.keys_max"));
        assert!(config(&["store.keys_max=x"]).unwrap_err().contains("whole number"));
    }
}
