//! [`Audit`]: one log line for each permitted administrative act.

use crate::actor::message::Done;
use crate::auth::AUDIT;
use crate::error::Error;
use crate::model::facts::Act;
use crate::model::{CallReply, FilesRequest, JobReply, Reply, Request, StoreRequest};
use crate::session::Session;

/// Maximum length of a logged name; longer ones are cut.
const SHOWN_BYTES_MAX: usize = 256;

/// Logs the administrative acts of one connection.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// The snapshot that was read last; a snapshot takes many requests.
    snapshot: Option<u64>,
    /// The last act on all jobs of a topic, until an answer reports that none are left, or an error.
    mass: Option<(&'static str, String)>,
}

impl Audit {
    /// Logs act, user and peer of an administrative request.
    pub(super) fn note(&mut self, session: &Session, request: &Request) {
        if let Some((act, about)) = self.new_act(request) {
            log_act(session, act, &about);
        }
    }

    /// Returns the administrative act that a request begins; `None` if it only continues one.
    fn new_act(&mut self, request: &Request) -> Option<(&'static str, String)> {
        let Act { name, subject, sliced } = request.facts().act?;
        // From any offset: a reader who omits the first byte has read the snapshot, too.
        if let Request::Store(StoreRequest::Files(FilesRequest::ReadSnapshot { id, .. })) = request
            && self.snapshot.replace(*id) == Some(*id)
        {
            return None;
        }
        let act = (name, subject.to_string());
        if sliced {
            if self.mass.as_ref() == Some(&act) {
                return None;
            }
            self.mass = Some(act.clone());
        }
        Some(act)
    }

    /// Takes note of an answer of the queue, which may complete an act on all jobs of a topic.
    pub(super) fn answered(&mut self, answer: &Result<Done, Error>) {
        if self.mass.is_none() {
            return;
        }
        let goes_on = match answer {
            Ok(Done::Reply(CallReply { reply: Reply::Job(reply), .. })) => {
                !matches!(reply, JobReply::Changed { more: false, .. })
            }
            Ok(_) => true,
            // The refused request may be another one: better log an act twice than not at all.
            Err(_) => false,
        };
        if !goes_on {
            self.mass = None;
        }
    }
}

fn log_act(session: &Session, act: &str, about: &str) {
    let user = session.identity().map(|identity| identity.name);
    let about: String = about.chars().take(SHOWN_BYTES_MAX).collect();
    let peer = session.peer();
    tracing::info!(target: AUDIT, act, about, user = user.as_deref().unwrap_or("-"), %peer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::model::{GetRequest, HubRequest, JobRequest, KvRequest, SetRequest};

    #[test]
    fn a8_only_administrative_acts_are_noted() {
        let acts = [
            KvRequest::Compact(7).into(),
            HubRequest::EndWatcher(7).into(),
            FilesRequest::Snapshot.into(),
            FilesRequest::ReadSnapshot { id: 7, offset: 0, limit: 1 }.into(),
            Request::Job(JobRequest::ClearTopic("mail".into())),
            Request::Job(JobRequest::PauseTopic { topic: "mail".into(), paused: false }),
            Request::Job(JobRequest::RemoveSchedule("nightly".into())),
            Request::Job(JobRequest::DeleteDead { topic: "mail".into(), id: Some(7) }),
            Request::Job(JobRequest::DeleteTopic { topic: "mail".into(), force: false }),
        ];
        let mut audit = Audit::default();
        let told = acts.iter().filter_map(|request| audit.new_act(request));
        let told: Vec<String> = told.map(|(act, about)| format!("{act}: {about}")).collect();
        let expected = [
            "compact: revision 7",
            "end watcher: 7",
            "snapshot: ",
            "read snapshot: 7",
            "clear topic: mail",
            "resume topic: mail",
            "remove schedule: nightly",
            "delete dead letters: mail",
            "delete topic: mail",
        ];
        assert_eq!(told, expected);
        let others = [
            KvRequest::Set(SetRequest::new("a", "b")).into(),
            KvRequest::Get(GetRequest { key: "a".into(), revision: 0 }).into(),
            HubRequest::Status.into(),
            Request::Job(JobRequest::Schedules),
        ];
        assert!(others.iter().filter_map(|request| audit.new_act(request)).next().is_none());
    }

    /// Regression: each slice of a cleared topic had a line.
    #[test]
    fn a8_an_act_is_noted_once_however_many_requests_it_takes() {
        let mut audit = Audit::default();
        let clear = |topic: &str| Request::Job(JobRequest::ClearTopic(topic.into()));
        let replay = |id| Request::Job(JobRequest::Replay { topic: "mail".into(), id });
        let changed = |more| {
            let reply = Reply::Job(JobReply::Changed { count: 7, more });
            Ok(Done::Reply(CallReply::new(reply)))
        };
        assert!(audit.new_act(&clear("mail")).is_some());
        audit.answered(&changed(true));
        assert!(audit.new_act(&clear("mail")).is_none(), "the same act goes on");
        audit.answered(&changed(false));
        assert!(audit.new_act(&clear("mail")).is_some(), "that one was at its end");
        audit.answered(&changed(true));
        assert!(audit.new_act(&clear("post")).is_some(), "another topic");
        audit.answered(&changed(true));
        assert!(audit.new_act(&replay(None)).is_some() && audit.new_act(&replay(None)).is_none());
        assert!(audit.new_act(&replay(Some(7))).is_some(), "one job is an act of its own");
        assert!(audit.new_act(&replay(Some(7))).is_some());
        let delete = |id| Request::Job(JobRequest::DeleteDead { topic: "mail".into(), id });
        assert!(audit.new_act(&delete(None)).is_some() && audit.new_act(&delete(None)).is_none());
        assert!(audit.new_act(&delete(Some(7))).is_some());
        let delete = Request::Job(JobRequest::DeleteTopic { topic: "mail".into(), force: true });
        assert!(audit.new_act(&delete).is_some() && audit.new_act(&delete).is_none());
    }

    /// Regression: the next act on a topic was taken for a continuation of the refused one.
    #[test]
    fn a8_an_act_that_was_refused_is_at_its_end() {
        let mut audit = Audit::default();
        let clear = Request::Job(JobRequest::ClearTopic("mail".into()));
        assert!(audit.new_act(&clear).is_some());
        audit.answered(&Err(Error::new(ErrorCode::TopicNotFound, "no such topic")));
        assert!(audit.new_act(&clear).is_some());
    }

    #[test]
    fn a8_reading_a_snapshot_is_noted_once_wherever_it_begins() {
        let mut audit = Audit::default();
        let mut noted = |id, offset| {
            let read = FilesRequest::ReadSnapshot { id, offset, limit: 1 };
            audit.new_act(&read.into()).is_some()
        };
        assert!(noted(7, 1), "not at its start");
        assert!(!noted(7, 0) && !noted(7, 2));
        assert!(noted(8, 0) && !noted(8, 1));
    }
}
