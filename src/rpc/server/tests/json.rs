//! Decoding of JSON, split and joined in every way.

use std::time::{Duration, Instant};

use crate::Config;
use crate::front::{Fatal, Protocol, Received};
use crate::rpc::server::decoded::PortReader;
use crate::rpc::server::port::{PortItem, PortProtocol};

fn ids(reader: &mut PortReader) -> Vec<String> {
    let ids = reader.take().into_iter().map(|received| match received {
        Received::Own(PortItem::Json(ask)) => String::from_utf8(ask.id.to_vec()).unwrap(),
        _ => panic!("it is not JSON"),
    });
    ids.collect()
}

#[test]
fn g1_objects_may_be_split_and_joined_anywhere() {
    let script = concat!(
        r#"{"method":"KVStoreService.Get","params":["a"],"id":1}"#,
        "\n \r\n",
        r#"{"method":"Wakeful.Range","params":[{"range":{"prefix":""}}],"id":"}{"}{"id":3}"#,
        r#"{"method":"KVStoreService.Get","params":["a"],"id":[4]}  "#
    );
    let expected = ["1", "\"}{\"", "3", "[4]"];
    for (requests, heavy) in [(1, 1), (2, 1), (100, 100)] {
        let mut config = Config::new().rpc;
        (config.requests_in_flight_max, config.heavy_requests_max) = (requests, heavy);
        for size in 1..=script.len() {
            let (mut reader, mut told) = (PortReader::new(&config), Vec::new());
            for piece in script.as_bytes().chunks(size) {
                assert!(reader.push(piece, Instant::now(), &config).is_ok());
                told.extend(ids(&mut reader));
                while reader.is_full() {
                    assert!(reader.resume(Instant::now(), &config).is_ok());
                    told.extend(ids(&mut reader));
                }
            }
            assert_eq!(told, expected, "in pieces of {size}");
            assert!(reader.inbox.is_empty() && reader.inbox.partial_since.is_none());
            assert!(matches!(reader.protocol, PortProtocol::Json(_)) && reader.protocol.is_open());
        }
    }
}

#[test]
fn g1_white_space_may_come_before_the_first_object_but_not_without_end() {
    let config = Config::new().rpc;
    let script = b"\r\n \t\n{\"id\":1}";
    for size in 1..=script.len() {
        let (mut reader, mut told) = (PortReader::new(&config), Vec::new());
        for piece in script.chunks(size) {
            assert!(reader.push(piece, Instant::now(), &config).is_ok());
            told.extend(ids(&mut reader));
        }
        assert_eq!(told, ["1"], "in pieces of {size}");
        assert!(matches!(reader.protocol, PortProtocol::Json(_)));
    }
    let mut reader = PortReader::new(&config);
    assert!(reader.push(&[b' '; 1024], Instant::now(), &config).is_ok());
    assert!(
        matches!(&reader.protocol, PortProtocol::Native(native) if native.is_at_preface()),
        "it has shown nothing yet"
    );
    let end = reader.push(b" ", Instant::now(), &config);
    assert!(matches!(end, Err(Fatal::Foreign(_))));
    let mut reader = PortReader::new(&config);
    assert!(reader.push(b" \n", Instant::now(), &config).is_ok());
    let end = reader.push(b"WAKEFUL\x01", Instant::now(), &config);
    assert!(matches!(end, Err(Fatal::Foreign(_))));
}

#[test]
fn g4_what_comes_before_malformed_json_has_its_turn() {
    let config = Config::new().rpc;
    let mut reader = PortReader::new(&config);
    assert!(reader.push(br#"{"id":1}{"id":2} x {"id":3}"#, Instant::now(), &config).is_ok());
    assert_eq!(ids(&mut reader), ["1", "2"]);
    assert!(reader.is_full());
    let end = reader.resume(Instant::now(), &config);
    assert!(matches!(end, Err(Fatal::Silent("malformed JSON"))));
    let mut reader = PortReader::new(&config);
    let end = reader.push(b"{\"id\" 1}", Instant::now(), &config);
    assert!(matches!(end, Err(Fatal::Silent("malformed JSON"))));
}

#[test]
fn g4_an_object_has_to_be_whole_in_time() {
    let config = Config::new().rpc;
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut reader = PortReader::new(&config);
    assert!(reader.push(b"{\"id\":1}\n", at(0), &config).is_ok());
    assert_eq!(reader.inbox.partial_since, None, "it may be idle");
    assert!(reader.push(b" {", at(1), &config).is_ok());
    let _ = reader.take();
    assert!(reader.push(b"\"id\":", at(2), &config).is_ok());
    assert_eq!(reader.inbox.partial_since, Some(at(1)));
    assert!(reader.push(b"1} {", at(3), &config).is_ok());
    assert_eq!(reader.inbox.partial_since, Some(at(3)), "the next object");
}
