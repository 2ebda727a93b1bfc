//! The transcript for JSON in `docs/protocol.md` is correct.

use super::Json;
use crate::support::server::Server;

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// Sends the lines with `> `, and compares those with `< `.
#[test]
fn g6_the_transcript_of_the_document_is_what_happens() {
    let (_, text) = DOCUMENT.split_once("```json-transcript\n").expect("there is a transcript");
    let (text, _) = text.split_once("```").expect("it ends");
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    let mut sent = 0;
    for line in text.lines().filter(|line| !line.starts_with('$')) {
        match line.split_at(2) {
            ("> ", request) => {
                sent += 1;
                json.send(format!("{request}\n"));
            }
            ("< ", reply) => assert_eq!(json.line(), reply),
            _ => panic!("{line:?} is no line of a transcript"),
        }
    }
    assert!(sent > 5, "it shows something");
}
