//! Requests of one connection about jobs are executed in order, whichever actor answers.

use crate::support::jobs::{cancel, get};
use crate::support::raw::{Raw, request};
use crate::support::server::Server;

const CANCELLED: u32 = 5;

/// Regression: a request about a job in the same write as its cancel was answered as if the job did
/// not exist.
#[test]
fn r1_a_job_that_was_just_cancelled_is_known() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let job = raw.push_job(b"resize", b"photo");
    raw.send(&[request(70, cancel(job)), request(71, get(job))].concat());
    let answers = [raw.next(), raw.next()];
    assert_eq!(answers.each_ref().map(|answer| answer.job_state()), [CANCELLED; 2]);
}
