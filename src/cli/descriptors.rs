//! How many files a server may have open.

/// Takes as many as the operating system lets this process have, as each connection is one. What
/// cannot be had is left: connections are refused when they run out.
pub(crate) fn take_all() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum
            && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        {
            tracing::warn!(%error, ?current, "the limit of open files cannot be raised");
        }
    }
}
