//! Decoding of frames, split and joined in every way.

use std::time::{Duration, Instant};

use crate::Config;
use crate::config::RpcConfig;
use crate::front::Received;
use crate::model::{
    GetRequest, JobRequest, KeyRange, KvRequest, PushRequest, RangeRequest, Request, RpcCall,
    Schedule,
};
use crate::rpc::codec::{encode_bare, encode_frame};
use crate::rpc::frame::{Kind, PREFACE};
use crate::rpc::proto::{WireCall, WireCredit, WireHello};
use crate::rpc::server::decoded::PortReader;
use crate::rpc::server::native::NativeItem;
use crate::rpc::server::port::PortItem;

/// Describes an item in words.
fn tell(received: Received<PortItem>) -> String {
    match received {
        Received::Own(PortItem::Native(NativeItem::Hello { client, .. })) => {
            format!("hello {client}")
        }
        Received::Request { id, deadline, call } => {
            let deadline = if deadline.is_some() { " in time" } else { "" };
            format!("request {id}{deadline}: {}", call.is_ok())
        }
        Received::Key { id, .. } => format!("key request {id}"),
        Received::Cancel(id) => format!("cancel {id}"),
        Received::Credit { stream, bytes } => format!("credit {stream} {bytes}"),
        Received::Own(PortItem::Native(NativeItem::Ping(id))) => format!("ping {id}"),
        Received::Goodbye => "goodbye".to_owned(),
        Received::Own(PortItem::Json(ask)) => format!("{ask:?}"),
    }
}

fn request(out: &mut Vec<u8>, id: u64, deadline_ms: u32, request: impl Into<Request>) {
    let call = RpcCall::from(request.into());
    let wire = WireCall::from(&call);
    encode_frame(out, Kind::Request, id, deadline_ms, &wire, usize::MAX).unwrap();
}

fn get() -> KvRequest {
    KvRequest::Get(GetRequest { key: "a".into(), revision: 0 })
}

fn script() -> (Vec<u8>, Vec<&'static str>) {
    let mut out = PREFACE.to_vec();
    let hello = WireHello { client_name: "me", server: "" };
    encode_frame(&mut out, Kind::Hello, 0, 0, &hello, usize::MAX).unwrap();
    request(&mut out, 1, 0, get());
    encode_bare(&mut out, Kind::Pong, 8);
    request(&mut out, 2, 5, get());
    encode_frame(&mut out, Kind::Request, 3, 0, &7_u8, usize::MAX).unwrap();
    encode_bare(&mut out, Kind::Cancel, 1);
    encode_frame(&mut out, Kind::Credit, 4, 0, &WireCredit { bytes: 9 }, usize::MAX).unwrap();
    encode_bare(&mut out, Kind::Ping, 6);
    encode_bare(&mut out, Kind::Goodbye, 0);
    let understood = vec![
        "hello me",
        "request 1: true",
        "request 2 in time: true",
        "request 3: false",
        "cancel 1",
        "credit 4 9",
        "ping 6",
        "goodbye",
    ];
    (out, understood)
}

/// Pushes the pieces and takes everything after each, as a connection does.
fn understand<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    config: &RpcConfig,
) -> (Vec<String>, PortReader) {
    let mut reader = PortReader::new(config);
    let mut understood = Vec::new();
    for piece in pieces {
        let pushed = reader.push(piece, Instant::now(), config);
        assert!(pushed.is_ok());
        understood.extend(reader.take().into_iter().map(tell));
        while reader.is_full() {
            assert!(reader.resume(Instant::now(), config).is_ok());
            let taken = reader.take();
            assert!(!taken.is_empty() || !reader.is_full(), "every turn goes on");
            understood.extend(taken.into_iter().map(tell));
        }
    }
    (understood, reader)
}

#[test]
fn r4_frames_may_be_split_anywhere() {
    let (script, expected) = script();
    let config = Config::new().rpc;
    for at in 0..=script.len() {
        let (first, second) = script.split_at(at);
        let (understood, reader) = understand([first, second], &config);
        assert_eq!(understood, expected, "split at {at}");
        assert!(reader.inbox.is_empty() && reader.inbox.partial_since.is_none());
        for and_at in at..=script.len() {
            let pieces = [first, &script[at..and_at], &script[and_at..]];
            assert_eq!(understand(pieces, &config).0, expected, "split at {at} and {and_at}");
        }
    }
    let (understood, _) = understand(script.chunks(1), &config);
    assert_eq!(understood, expected, "byte by byte");
}

#[test]
fn s10_a_turn_has_a_limit_of_requests_and_of_heavy_ones() {
    let (mut script, mut expected) = script();
    let goodbye = script.len() - 20;
    script.truncate(goodbye);
    expected.pop();
    let expected: Vec<String> = expected
        .into_iter()
        .map(str::to_owned)
        .chain((10..20).map(|id| format!("request {id}: true")))
        .collect();
    for id in 10..15 {
        request(&mut script, id, 0, KvRequest::Range(RangeRequest::new(KeyRange::all())));
    }
    for id in 15..20 {
        let (cron, timezone) = ("0 3 * * *".to_owned(), "UTC".to_owned());
        let push = PushRequest::new("t", "");
        let schedule = Schedule { name: "s".into(), cron, timezone, push };
        request(&mut script, id, 0, Request::Job(JobRequest::SetSchedule(Box::new(schedule))));
    }
    for (requests, heavy) in [(1, 1), (2, 1), (3, 2), (100, 3), (100, 100)] {
        let mut config = Config::new().rpc;
        config.requests_in_flight_max = requests;
        config.heavy_requests_max = heavy;
        let mut reader = PortReader::new(&config);
        assert!(reader.push(&script, Instant::now(), &config).is_ok());
        let (received, heavy_ones) = reader.inbox.counts();
        assert!(received <= requests && heavy_ones <= heavy);
        for size in [1, 7, script.len()] {
            assert_eq!(understand(script.chunks(size), &config).0, expected);
        }
    }
}

#[test]
fn r2_a_deadline_counts_from_the_read_not_from_the_turn() {
    let mut script = PREFACE.to_vec();
    let hello = WireHello { client_name: "", server: "" };
    encode_frame(&mut script, Kind::Hello, 0, 0, &hello, 1024).unwrap();
    for id in 1..=2 {
        request(&mut script, id, 50, KvRequest::Range(RangeRequest::new(KeyRange::all())));
    }
    let mut config = Config::new().rpc;
    config.heavy_requests_max = 1;
    let (mut reader, read) = (PortReader::new(&config), Instant::now());
    assert!(reader.push(&script, read, &config).is_ok());
    let mut deadlines = Vec::new();
    for turn in 1..=2 {
        for received in reader.take() {
            if let Received::Request { deadline, .. } = received {
                deadlines.push(deadline);
            }
        }
        assert!(reader.resume(read + Duration::from_secs(turn), &config).is_ok());
    }
    assert_eq!(deadlines, [Some(read + Duration::from_millis(50)); 2]);
}

#[test]
fn r4_a_frame_begins_when_its_first_byte_comes() {
    let (script, _) = script();
    let config = Config::new().rpc;
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut reader = PortReader::new(&config);
    let hello = 8 + 20 + 8 + 2 + 8;
    assert!(reader.push(&script[..hello + 1], at(0), &config).is_ok());
    assert_eq!(reader.inbox.partial_since, Some(at(0)));
    assert!(reader.push(&script[hello + 1..hello + 5], at(5), &config).is_ok());
    assert_eq!(reader.inbox.partial_since, Some(at(0)), "more of the same frame");
    assert!(reader.push(&script[hello + 5..hello + 50], at(6), &config).is_ok());
    assert_eq!(reader.inbox.partial_since, Some(at(6)), "the next frame");
    let _ = reader.take();
    let mut pongs = Vec::new();
    encode_bare(&mut pongs, Kind::Pong, 1);
    encode_bare(&mut pongs, Kind::Pong, 2);
    let mut reader = PortReader::new(&config);
    assert!(reader.push(&script[..hello], at(0), &config).is_ok());
    assert!(reader.push(&pongs[..5], at(1), &config).is_ok());
    assert!(reader.push(&pongs[5..25], at(2), &config).is_ok());
    assert_eq!(
        reader.inbox.partial_since,
        Some(at(2)),
        "a frame that asks for nothing is one, too"
    );
}
