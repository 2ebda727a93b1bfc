//! The number of files a server may have open.

use super::failure::{Exit, Failure};
use crate::config::RpcConfig;

/// Minimum number of descriptors reserved for everything but connections: a server with a data
/// directory, users and TLS opens about 30.
const RESERVED_MIN: usize = 64;

/// Raises the limit of open files as far as the operating system allows, since each connection
/// needs one. A failure is not fatal: connections are refused when descriptors run out.
pub(crate) fn take_all() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum
            && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        {
            tracing::warn!(%error, ?current, "cannot raise the limit of open files");
        }
    }
}

/// Lowers `rpc.descriptors_reserved` where it would leave few or no descriptors for connections.
///
/// # Errors
/// If there are too few even then.
pub(crate) fn fit(rpc: &mut RpcConfig) -> Result<(), Failure> {
    match crate::front::descriptors() {
        Some(most) => fit_to(most, rpc),
        None => Ok(()),
    }
}

fn fit_to(most: usize, rpc: &mut RpcConfig) -> Result<(), Failure> {
    let wanted = rpc.descriptors_reserved;
    if most / 2 >= wanted {
        return Ok(());
    }
    let reserved = wanted.min(RESERVED_MIN.max(most / 4));
    if most / 2 < reserved {
        let needed = 2 * reserved;
        let message = format!(
            "this process may open {most} files (ulimit -n), and a server needs {needed}; raise \
             that limit (ulimit -n {needed}, or LimitNOFILE= of systemd)"
        );
        return Err(Failure::told(Exit::Failed, "LimitExceeded", message));
    }
    let connections = most - reserved;
    tracing::warn!(
        open_files_max = most,
        connections,
        "rpc.descriptors_reserved lowered from {wanted} to {reserved}: the limit of open files is low \
         (ulimit -n); more connections are refused"
    );
    rpc.descriptors_reserved = reserved;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    /// Returns the number to reserve of `most` descriptors when `wanted` is configured.
    fn reserved(most: usize, wanted: usize) -> Option<usize> {
        let mut rpc = Config::new().rpc;
        rpc.descriptors_reserved = wanted;
        fit_to(most, &mut rpc).ok().map(|()| rpc.descriptors_reserved)
    }

    #[test]
    fn o12_half_of_the_files_at_least_are_for_connections() {
        assert_eq!(reserved(1_000_000, 256), Some(256));
        assert_eq!(reserved(512, 256), Some(256));
        assert_eq!(reserved(511, 256), Some(127));
        assert_eq!(reserved(256, 256), Some(64));
        assert_eq!(reserved(128, 256), Some(64));
        assert_eq!(reserved(127, 256), None);
        assert_eq!(reserved(40, 20), Some(20));
        assert_eq!(reserved(40, 0), Some(0));
        for most in 0..1_000 {
            for wanted in [0, 1, 63, 64, 65, 256, 10_000] {
                let reserved = reserved(most, wanted);
                assert!(
                    reserved.is_none_or(|it| it <= wanted && it <= most / 2),
                    "{most} {wanted}"
                );
                assert_eq!(reserved.is_none(), most < 128.min(2 * wanted), "{most} {wanted}");
            }
        }
    }
}
