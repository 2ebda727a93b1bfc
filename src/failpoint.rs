//! Places where a test makes a real process panic, hang or be killed.
//!
//! Debug builds only: in a release build, this does nothing and reads no environment variable.

/// Executes the action that `WAKEFUL_FAILPOINT` sets for this place: `PLACE=panic@FILE`,
/// `PLACE=kill@FILE` or `PLACE=hang@FILE` (until FILE is gone), as soon as FILE exists, so that the
/// test chooses the moment.
#[cfg(debug_assertions)]
pub(crate) fn reached(place: &str) {
    armed::reached(place);
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn reached(_: &str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum FailpointAction {
        Panic,
        Kill,
        Hang,
    }

    struct Failpoint {
        place: String,
        action: FailpointAction,
        file: PathBuf,
    }

    impl Failpoint {
        fn parse(text: &str) -> Option<Self> {
            let (place, rest) = text.split_once('=')?;
            let (action, file) = rest.split_once('@')?;
            let action = match action {
                "kill" => FailpointAction::Kill,
                "panic" => FailpointAction::Panic,
                "hang" => FailpointAction::Hang,
                _ => return None,
            };
            Some(Self { place: place.to_owned(), action, file: file.into() })
        }
    }

    #[expect(clippy::panic, reason = "what it is for")]
    pub(super) fn reached(place: &str) {
        static ARMED: OnceLock<Option<Failpoint>> = OnceLock::new();
        let read = || std::env::var("WAKEFUL_FAILPOINT").ok();
        let armed = ARMED.get_or_init(|| read().and_then(|text| Failpoint::parse(&text)));
        let Some(it) = armed.as_ref().filter(|it| it.place == place && it.file.exists()) else {
            return;
        };
        if it.action == FailpointAction::Hang {
            while it.file.exists() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            return;
        }
        #[cfg(unix)]
        if it.action == FailpointAction::Kill {
            // This does not return; an error would mean that the process may not kill itself.
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
        panic!("the failpoint {place} was reached");
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_failpoint_has_a_place_an_action_and_a_moment() {
            let it = Failpoint::parse("store=panic@/tmp/now").unwrap();
            assert_eq!(
                (&*it.place, it.action, it.file),
                ("store", FailpointAction::Panic, "/tmp/now".into())
            );
            assert_eq!(
                Failpoint::parse("store=kill@/tmp/now").unwrap().action,
                FailpointAction::Kill
            );
            assert_eq!(
                Failpoint::parse("store=hang@/tmp/now").unwrap().action,
                FailpointAction::Hang
            );
            for wrong in ["", "store", "store=panic", "store=stop@/tmp/now"] {
                assert!(Failpoint::parse(wrong).is_none(), "{wrong}");
            }
            reached("a place that nobody armed");
        }
    }
}
