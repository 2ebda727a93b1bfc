//! Which peers the client accepts as servers.

use super::*;

async fn refused_by(answer: &'static [u8]) -> Error {
    let server = Server::start().await;
    let stranger = async {
        let (mut socket, _) = server.listener.accept().await.unwrap();
        let mut hello = [0; 8];
        socket.read_exact(&mut hello).await.unwrap();
        socket.write_all(answer).await.unwrap();
        // Not closed before the client has read it.
        while socket.read_buf(&mut BytesMut::with_capacity(64)).await.unwrap_or(0) > 0 {}
    };
    let connect = Client::connect_with(server.config.clone());
    let (refused, ()) = within(async { tokio::join!(connect, stranger) }).await;
    refused.unwrap_err()
}

#[tokio::test]
async fn another_protocol_is_named() {
    let error = refused_by(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>").await;
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert!(error.message.contains("not a Wakeful server"), "{error}");
    assert!(error.message.contains("HTTP/1.1 400 Bad Request"), "{error}");
    let error = refused_by(b"\x00\xff\x00").await;
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
}

#[tokio::test]
async fn another_version_is_named() {
    let error = refused_by(b"WAKEFUL\x02").await;
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert!(error.message.contains("another version"), "{error}");
}

#[tokio::test]
async fn a_line_of_refusal_is_shown() {
    let error = refused_by(b"ERR wakeful: not the preface\n").await;
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert!(error.message.contains("ERR wakeful: not the preface"), "{error}");
}

#[tokio::test]
async fn a_refusal_instead_of_a_welcome_is_handed_on() {
    let error = Error::new(ErrorCode::LimitExceeded, "connections enough");
    assert_eq!(refused_by(refusal(&error).leak()).await, error);
}

#[tokio::test]
async fn a_giant_welcome_is_refused_unread() {
    let mut out = PREFACE.to_vec();
    let header = Header { body_bytes: u32::MAX, ..Header::bare(Kind::Welcome, 0) };
    out.extend_from_slice(&header.encode());
    assert_eq!(refused_by(out.leak()).await.code, ErrorCode::FrameTooLarge);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let server = Server::start().await;
    let config = server.config.clone();
    drop(server);
    let error = within(Client::connect_with(config)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unreachable);
}

#[tokio::test]
async fn silence_is_unreachable() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    config.connect_timeout = Duration::from_millis(20);
    let error = within(Client::connect_with(config)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unreachable);
}

#[tokio::test]
async fn a_long_name_is_cut_between_characters() {
    let server = Server::start().await;
    let mut config = server.config.clone();
    config.name = "ü".repeat(200);
    let (_client, peer) = server.connect_with(config).await;
    assert_eq!(peer.hello, "ü".repeat(128));
}
