//! [`Native`]: requests for jobs, encoded directly by the codec.

use std::collections::VecDeque;
use std::time::Duration;

use wakeful::Error;
use wakeful::internals::wire::{self, RequestBody};
use wakeful::rpc::frame::{HEADER_BYTES, Header, Kind};
use wakeful::{
    Blob, JobReply, JobRequest, PushRequest, Reply, Request, Reservation, ReserveRequest,
    Settlement, Verdict,
};

use super::super::caller::{broken, refusal};
use super::super::connection::frames;
use super::peer::{Heard, Speech, parts};

/// The topic of the benchmark.
const TOPIC: &str = "bench";

/// Visibility timeout and wait timeout: longer than any round.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The number of jobs of an answer, by the id of its request: the kind is in the lowest bits.
const PUSH: u64 = 0;
const RESERVE: u64 = 1;
const SETTLE: u64 = 2;

/// The protocol of a Wakeful.
#[derive(Debug)]
pub(super) struct Native {
    payload_bytes: usize,
    /// The next request id; never reused.
    next: u64,
    /// Requests that differ only in their id, encoded once.
    known: VecDeque<Known>,
    /// Jobs of each push and settlement not answered yet, by id.
    asked: std::collections::HashMap<u64, u64>,
}

/// An encoded request without its id.
#[derive(Debug)]
struct Known {
    kind: u64,
    count: u64,
    header: Header,
    body: Vec<u8>,
}

impl Native {
    pub(super) fn new(payload_bytes: usize) -> Self {
        Self { payload_bytes, next: 1, known: VecDeque::new(), asked: Default::default() }
    }

    fn id(&mut self, kind: u64, count: u64) -> u64 {
        let id = self.next << 2 | kind;
        self.next += 1;
        self.asked.insert(id, count);
        id
    }

    /// Appends the request of this kind for `count` jobs.
    fn say(&mut self, out: &mut Vec<u8>, kind: u64, count: u64) -> Result<(), Error> {
        let id = self.id(kind, count);
        let known = self.known.iter().find(|known| (known.kind, known.count) == (kind, count));
        if let Some(Known { header, body, .. }) = known {
            out.extend_from_slice(&Header { id, ..*header }.encode());
            out.extend_from_slice(body);
            return Ok(());
        }
        let request = if kind == PUSH {
            let payload = Blob::from(vec![b'x'; self.payload_bytes]);
            let job = PushRequest::new(TOPIC, payload);
            JobRequest::Push { jobs: vec![job; count as usize], wait: Duration::ZERO }
        } else {
            JobRequest::Reserve(ReserveRequest {
                credits: count as u32,
                wait: Some(TIMEOUT),
                visibility: Some(TIMEOUT),
                ..ReserveRequest::new(TOPIC)
            })
        };
        let start = out.len();
        RequestBody::from(Request::Job(request)).encode(out, id)?;
        let body = out.get(start + HEADER_BYTES..).unwrap_or_default().to_vec();
        let header = Header { body_bytes: body.len() as u32, ..Header::bare(Kind::Request, 0) };
        // A round has few shapes; rare ones are evicted.
        self.known.truncate(7);
        self.known.push_front(Known { kind, count, header, body });
        Ok(())
    }
}

impl Speech for Native {
    fn push(&mut self, out: &mut Vec<u8>, count: u64, batch: u64) -> Result<(), Error> {
        parts(count, batch).try_for_each(|part| self.say(out, PUSH, part))
    }

    fn reserve(&mut self, out: &mut Vec<u8>, count: u64, batch: u64) -> Result<u64, Error> {
        parts(count, batch).try_for_each(|part| self.say(out, RESERVE, part))?;
        Ok(count.div_ceil(batch))
    }

    fn settle(&mut self, out: &mut Vec<u8>, jobs: &[Reservation], batch: u64) -> Result<(), Error> {
        for part in jobs.chunks(batch as usize) {
            let settlements = part.iter().map(|reservation| Settlement {
                reservation: *reservation,
                verdict: Verdict::Done { output: Blob::default() },
            });
            let request = Request::Job(JobRequest::Settle(settlements.collect()));
            let id = self.id(SETTLE, part.len() as u64);
            RequestBody::from(request).encode(out, id)?;
        }
        Ok(())
    }

    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>, heard: &mut Heard) -> Result<usize, Error> {
        frames(bytes, |header, body| {
            match header.kind {
                Kind::Reply => {
                    let count = self.asked.remove(&header.id).unwrap_or(0);
                    answer(header.id & 3, count, body, heard)?;
                }
                Kind::Error if header.id > 0 => {
                    let count = self.asked.remove(&header.id).unwrap_or(0);
                    refused(header.id & 3, count, &wire::decode_error(body), heard)?;
                }
                Kind::Ping => {
                    out.extend_from_slice(&Header::bare(Kind::Pong, header.id).encode());
                }
                // The request was parked.
                Kind::Pong | Kind::Push => {}
                _ => return Err(refusal(&header, body)),
            }
            Ok(())
        })
    }
}

/// A reply to a push need not be decoded: all jobs were pushed, or none.
fn answer(kind: u64, count: u64, body: &[u8], heard: &mut Heard) -> Result<(), Error> {
    if kind == PUSH {
        heard.pushed += count;
        return Ok(());
    }
    match wire::decode_reply(body)? {
        Reply::Job(JobReply::Reserved(jobs)) => {
            heard.reserves += 1;
            heard.jobs.extend(jobs.iter().map(|job| job.reservation));
        }
        Reply::Job(JobReply::Settled(answers)) => {
            heard.settled += count;
            heard.refused.extend(answers.into_iter().flatten());
        }
        _ => return Err(broken("a reply that does not fit its request")),
    }
    Ok(())
}

/// A load whose pushes or settlements are refused continues, and reports that; without jobs it cannot.
fn refused(kind: u64, count: u64, error: &Error, heard: &mut Heard) -> Result<(), Error> {
    match kind {
        SETTLE => heard.settled += count,
        _ => return Err(error.clone()),
    }
    heard.refused.extend((0..count).map(|_| error.clone()));
    Ok(())
}
