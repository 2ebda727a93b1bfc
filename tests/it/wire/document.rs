//! The example in `docs/protocol.md` is correct: the bytes on the wire are the same. (The bytes of
//! its bodies are checked beside the types, in `src/rpc/proto`.)

use std::io::Write;

use crate::support::raw::Raw;
use crate::support::server::Server;

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// A byte; `None` for any.
type Byte = Option<u8>;

/// The bytes that one side sends before the other does.
struct Turn {
    client: bool,
    bytes: Vec<Byte>,
}

fn example() -> Vec<Turn> {
    let (_, example) = DOCUMENT.split_once("```example\n").expect("there is an example");
    let (example, _) = example.split_once("```").expect("it ends");
    let mut turns: Vec<Turn> = Vec::new();
    for line in example.lines() {
        let (side, rest) = line.split_at(1);
        let client = match side {
            "C" => true,
            "S" => false,
            other => panic!("{other:?} is no side"),
        };
        let hex: String = rest.split('|').next().unwrap().split_whitespace().collect();
        let bytes = hex.as_bytes().chunks(2).map(|digits| {
            let digits = std::str::from_utf8(digits).unwrap();
            (digits != "??").then(|| u8::from_str_radix(digits, 16).expect(digits))
        });
        match turns.last_mut() {
            Some(turn) if turn.client == client => turn.bytes.extend(bytes),
            _ => turns.push(Turn { client, bytes: bytes.collect() }),
        }
    }
    turns
}

/// Returns the frames in `bytes`, sorted by id, since a server may send them in another order.
fn frames(bytes: &[Byte]) -> Vec<Vec<Byte>> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = rest.get(..4).expect("a header").iter().map(|byte| byte.unwrap());
        let length = u32::from_le_bytes(length.collect::<Vec<_>>().try_into().unwrap()) as usize;
        let (frame, after) = rest.split_at(20 + length);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames.sort_by_key(|frame| frame[12..20].to_vec());
    frames
}

#[test]
fn r1_the_example_of_the_document_is_what_happens() {
    let server = Server::start();
    let mut raw = Raw::connect(server.addr());
    let turns = example();
    assert!(turns.len() > 10 && turns[0].client);
    let mut welcome = true;
    for turn in turns {
        if turn.client {
            let bytes: Vec<u8> = turn.bytes.iter().map(|byte| byte.expect("known")).collect();
            raw.socket().write_all(&bytes).unwrap();
            continue;
        }
        let said: Vec<Byte> = raw.bytes(turn.bytes.len()).into_iter().map(Some).collect();
        // The preface precedes the first frame.
        let start = if std::mem::take(&mut welcome) { 8 } else { 0 };
        assert_eq!(said[..start], turn.bytes[..start]);
        let (said, expected) = (frames(&said[start..]), frames(&turn.bytes[start..]));
        assert_eq!(said.len(), expected.len());
        for (said, expected) in said.iter().zip(&expected) {
            let same = said.iter().zip(expected).all(|(a, b)| b.is_none() || a == b);
            assert!(same && said.len() == expected.len(), "{expected:02x?}\nbut {said:02x?}");
        }
    }
    raw.expect_end();
}
