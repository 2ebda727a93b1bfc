//! Bodies of requests about jobs, written and read byte by byte as `docs/protocol.md` describes
//! them.

use super::body::{Body, Reader, Refusal, refusal};
use super::raw::{Frame, Raw};

const JOB: u32 = 20;

fn job(variant: u32) -> Body {
    Body::request(JOB).u32(variant)
}

/// Pushes one job with the defaults of its topic.
pub(crate) fn push(topic: &[u8], payload: &[u8]) -> Body {
    push_or_wait(topic, payload, 0)
}

/// The same, but waits for capacity.
pub(crate) fn push_or_wait(topic: &[u8], payload: &[u8], wait_ms: u64) -> Body {
    let fields = Body::new().bytes(topic).bytes(payload).u8(0).u32(1).u8(0).u8(0).u64(0);
    job(0).u64(1).then(fields).u8(0).u8(0).u8(0).u64(wait_ms)
}

pub(crate) fn reserve(topic: &[u8], credits: u32, wait_ms: u64) -> Body {
    job(1).bytes(topic).u32(credits).u8(1).u64(wait_ms).u8(0)
}

/// Reserves one ready job, with this visibility timeout.
pub(crate) fn hold(topic: &[u8], visibility_ms: u64) -> Body {
    job(1).bytes(topic).u32(1).u8(1).u64(0).u8(1).u64(visibility_ms)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) id: u64,
    pub(crate) epoch: u32,
}

fn reservation(reservation: Reservation) -> Body {
    Body::new().u64(reservation.id).u32(reservation.epoch)
}

/// Settles one job as done.
pub(crate) fn done(of: Reservation, output: &[u8]) -> Body {
    job(2).u64(1).then(reservation(of)).u32(0).bytes(output)
}

pub(crate) fn touch(of: Reservation) -> Body {
    job(3).u64(1).then(reservation(of)).u8(0)
}

/// Resumes these reservations, and announces that this connection resumes.
pub(crate) fn resume(reservations: &[Reservation]) -> Body {
    let body = job(20).u64(reservations.len() as u64);
    reservations.iter().fold(body, |body, one| body.then(reservation(*one)))
}

pub(crate) fn get(id: u64) -> Body {
    job(6).u32(0).u64(id)
}

/// Waits until a job has finished.
pub(crate) fn await_finished(id: u64, wait_ms: u64) -> Body {
    job(7).u32(0).u64(id).u8(1).u64(wait_ms)
}

pub(crate) fn cancel(id: u64) -> Body {
    job(10).u32(0).u64(id)
}

pub(crate) fn read_reservation(reader: &mut Reader<'_>) -> Reservation {
    Reservation { id: reader.u64(), epoch: reader.u32() }
}

/// A reserved job, with the fields that most tests need.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) reservation: Reservation,
    pub(crate) payload: Vec<u8>,
    pub(crate) losses: u32,
}

impl Frame {
    /// Returns the fields of a reply of the queue, which must be this variant.
    pub(crate) fn job_reply(&self, variant: u32) -> Reader<'_> {
        let mut reader = self.reply(JOB);
        assert_eq!(reader.u32(), variant, "{self:?}");
        reader
    }

    /// Returns the ids of the pushed jobs.
    pub(crate) fn pushed(&self) -> Vec<u64> {
        let mut reader = self.job_reply(0);
        let ids = reader.list(|reader| {
            let id = reader.u64();
            assert_eq!((reader.u32(), reader.bool()), (0, false), "ready, and new");
            id
        });
        reader.end();
        ids
    }

    pub(crate) fn reserved(&self) -> Vec<Reserved> {
        let mut reader = self.job_reply(1);
        let jobs = reader.list(|reader| {
            let reservation = read_reservation(reader);
            let _topic = reader.bytes();
            let payload = reader.bytes();
            assert_eq!((reader.u8(), reader.u8()), (0, 0), "neither index nor order key");
            let (_failures, losses) = (reader.u32(), reader.u32());
            assert!(reader.u64() > 0, "it was pushed at some time");
            Reserved { reservation, payload, losses }
        });
        reader.end();
        jobs
    }

    /// Returns the outcome of each settlement or touch; `None` is success.
    pub(crate) fn settled(&self) -> Vec<Option<Refusal>> {
        let mut reader = self.job_reply(2);
        let errors = reader.list(|reader| reader.option(refusal));
        reader.end();
        errors
    }

    /// Returns the topic of each resumed reservation; `None` if it is lost.
    pub(crate) fn resumed(&self) -> Vec<Option<Vec<u8>>> {
        let mut reader = self.job_reply(10);
        let topics = reader.list(|reader| reader.option(|reader| reader.bytes()));
        reader.end();
        topics
    }

    /// Returns the state of the only job in the reply.
    pub(crate) fn job_state(&self) -> u32 {
        let mut reader = self.job_reply(4);
        let _id = reader.u64();
        let _topic = reader.bytes();
        reader.u32()
    }
}

impl Raw {
    /// Pushes a job; returns its id.
    pub(crate) fn push_job(&mut self, topic: &[u8], payload: &[u8]) -> u64 {
        self.call(push(topic, payload)).pushed()[0]
    }

    /// Reserves the only job.
    pub(crate) fn reserve_one(&mut self, topic: &[u8]) -> Reserved {
        let mut jobs = self.call(reserve(topic, 1, 20_000)).reserved();
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }
}
