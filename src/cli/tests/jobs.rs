//! `job` and `topics`.

use super::*;
use crate::{JobInfo, JobPage, JobReply, JobState, Pushed};

fn job(reply: JobReply) -> Answer {
    Answer::Reply(Reply::Job(reply))
}

fn info(state: JobState) -> JobInfo {
    let finished = state.is_finished().then_some(1_700_000_002_000);
    JobInfo {
        id: 17,
        topic: "resize".into(),
        state,
        payload: None,
        index: Some("photo-17".into()),
        order_key: None,
        priority: 0,
        epoch: 2,
        failures: 1,
        losses: 0,
        retry_max: 3,
        pushed: 1_700_000_000_000,
        due: None,
        started: Some(1_700_000_001_000),
        finished,
        progress: None,
        errors: vec!["first".into()],
        output: (state == JobState::Done).then(|| "small\tphoto".into()),
        outcome: finished.map(|_| 5),
    }
}

fn one(state: JobState) -> Answer {
    job(JobReply::Job(Box::new(info(state))))
}
