//! Input from the wire.

use crate::config::Config;
use crate::model::RpcCall;
use crate::rpc::codec::{decode, encode_frame};
use crate::rpc::frame::{HEADER_BYTES, Kind, PREFACE};
use crate::rpc::proto::{
    WireCall, WireCredit, WireError, WireHello, WirePush, WireReply, WireWelcome,
};
use crate::rpc::server::decoded;

/// Reads `data` as the input from a peer: the first byte determines whether a preface and a hello are
/// prepended (1), and whether turns are short (2); the second, in how many places the rest is cut, each
/// given by two more bytes. However the input is cut, it must be understood in the same way, in turns
/// that keep to their limits.
pub fn frames(data: &[u8]) {
    let Some(([choice, cuts], rest)) = data.split_first_chunk::<2>() else { return };
    let places = usize::from(cuts % 16) * 2;
    let Some((places, rest)) = rest.split_at_checked(places) else { return };
    let mut bytes = Vec::new();
    if choice & 1 > 0 {
        bytes.extend_from_slice(&PREFACE);
        let hello = WireHello { client_name: "fuzz", server: "" };
        assert!(encode_frame(&mut bytes, Kind::Hello, 0, 0, &hello, 1024).is_ok());
    }
    bytes.extend_from_slice(rest);
    let mut config = Config::new().rpc;
    config.frame_bytes_max = 64 * 1024;
    if choice & 2 > 0 {
        (config.requests_in_flight_max, config.heavy_requests_max) = (3, 1);
    }
    let place = |pair: &[u8]| match pair {
        [low, high] => usize::from(u16::from_le_bytes([*low, *high])) % (bytes.len() + 1),
        _ => 0,
    };
    let mut places: Vec<usize> = places.chunks(2).map(place).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    let pieces = places.windows(2).map(|pair| match pair {
        [from, to] => bytes.get(*from..*to).unwrap_or_default(),
        _ => &[],
    });
    let in_pieces = decoded(pieces, &config);
    assert_eq!(in_pieces, decoded([&bytes[..]], &config), "whole");
    assert_eq!(in_pieces, decoded(bytes.chunks(1), &config), "byte by byte");
}

/// Reads `data` as the body of a frame whose kind is the first byte. The decoded value must be encoded
/// to the same bytes, and a request must be the same after it went over the wire again.
pub fn bodies(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 7 {
        0 => call(body),
        1 => same::<WireReply<'_>>(body),
        2 => same::<WirePush<'_>>(body),
        3 => same::<WireHello<'_>>(body),
        4 => same::<WireWelcome<'_>>(body),
        5 => same::<WireError<'_>>(body),
        _ => same::<WireCredit>(body),
    }
}

fn same<'a, T: serde::Serialize + serde::Deserialize<'a>>(body: &'a [u8]) {
    if let Ok(value) = decode::<T>(body) {
        assert_eq!(encode(&value), body, "another body");
    }
}

fn call(body: &[u8]) {
    same::<WireCall<'_>>(body);
    let Ok(wire) = decode::<WireCall<'_>>(body) else { return };
    let call = RpcCall::from(wire);
    let again = encode(&WireCall::from(&call));
    let decoded = decode::<WireCall<'_>>(&again).map(RpcCall::from);
    assert_eq!(decoded.map(|it| format!("{it:?}")), Ok(format!("{call:?}")), "another request");
}

fn encode(body: &impl serde::Serialize) -> Vec<u8> {
    let mut frame = Vec::new();
    assert!(encode_frame(&mut frame, Kind::Request, 1, 0, body, usize::MAX).is_ok());
    frame.split_off(HEADER_BYTES)
}
