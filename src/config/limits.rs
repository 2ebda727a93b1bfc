//! The limits of a [`Config`] as a server reports them to its clients.

use super::Config;
use super::setting::Setting;
use crate::model::LimitInfo;

/// The parts of a configuration that refuse requests.
const TOLD: [&str; 5] = ["store.", "watch.", "rpc.", "queue.", "services."];

impl Config {
    /// Returns every limit that can refuse a request, with its value; times in milliseconds.
    pub(crate) fn limits(&self) -> Vec<LimitInfo> {
        let mut copy = self.clone();
        let settings = copy.settings().into_iter();
        let told = settings.filter(|(name, _)| TOLD.iter().any(|part| name.starts_with(part)));
        let limit = |(name, setting): (&str, &mut dyn Setting)| {
            Some(LimitInfo { name: name.to_owned(), value: setting.number()? })
        };
        told.filter_map(limit).collect()
    }

    /// Returns the configuration of a server that listed these limits
    /// ([`Operations::limits`](crate::Operations::limits)). What it did not list has its default;
    /// names that this version does not know are ignored.
    pub fn of_server(limits: &[LimitInfo]) -> Self {
        let mut config = Self::new();
        let mut settings = config.settings();
        for LimitInfo { name, value } in limits {
            if let Some((_, setting)) = settings.iter_mut().find(|(known, _)| known == name) {
                setting.assign_number(*value);
            }
        }
        drop(settings);
        config
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_has_the_limits_that_a_server_told() {
        let mut server = Config::new();
        server.rpc.frame_bytes_max = 12_345_678;
        server.queue.wait_max = Duration::from_millis(1_500);
        server.queue.credits_max = 7;
        server.journal.segment_bytes = 1;
        let mut told = server.limits();
        assert!(told.iter().all(|limit| !limit.name.starts_with("journal")));
        told.push(LimitInfo { name: "store.of_a_later_version".to_owned(), value: 1 });
        let known = Config::of_server(&told);
        server.journal.segment_bytes = Config::new().journal.segment_bytes;
        assert_eq!(known, server);
    }
}
