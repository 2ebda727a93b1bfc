//! TLS5 and TLS6: TLS at a plain port, the reverse, and unfinished handshakes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use futures_util::future::join_all;
use wakeful::{ErrorCode, Operations, SetRequest};

use super::{Authority, HALF_A_HELLO, Server, connect, refused, stream, text};
use crate::support::raw::{PREFACE, Raw, hello, http_body};
use crate::support::{TIMEOUT, until, within};

#[test]
fn tls5_who_speaks_no_tls_is_told_to() {
    let authority = Authority::new();
    let server = Server::start(&authority.server("127.0.0.1"), &[]);
    let mut native = Raw::connect(server.addr);
    native.send(PREFACE);
    native.send(&hello("plain"));
    native.expect_preface();
    let refusal = native.refused();
    assert_eq!(refusal.code, 17);
    assert!(refusal.message.contains("speaks TLS only"), "{refusal:?}");
    for (sent, start, end) in [
        (&b"{\"method\":\"Hello\"}"[..], "{\"id\":null,\"result\":null,\"error\":\"", "\"}\n"),
        (b"\0\0", "ERR wakeful: ", "\n"),
        (b"WAKE UP", "ERR wakeful: ", "\n"),
    ] {
        let mut raw = Raw::connect(server.addr);
        raw.send(sent);
        let line = String::from_utf8(raw.rest()).unwrap();
        assert!(line.starts_with(start) && line.ends_with(end), "{line:?}");
        assert!(line.contains("speaks TLS only") && line.lines().count() == 1, "{line:?}");
    }
    let mut http = Raw::connect(server.addr);
    http.send(b"GET / HTTP/1.1\r\n\r\n");
    let response = String::from_utf8(http.rest()).unwrap();
    assert!(http_body(&response).contains("speaks TLS only"), "{response}");
    // HTTP inside TLS gets the same answer as on a plain port.
    let mut https = stream(server.addr, &authority);
    https.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut response = String::new();
    https.read_to_string(&mut response).unwrap();
    assert!(http_body(&response).contains("not HTTP"), "{response}");
    server.stop();
}

#[actix_rt::test]
async fn tls5_our_client_says_what_is_the_matter() {
    let authority = Authority::new();
    let server = Server::start(&authority.server("127.0.0.1"), &[]);
    let plain = refused(server.addr, None).await;
    assert_eq!(plain.code, ErrorCode::UnsupportedVersion, "{plain}");
    assert!(plain.message.contains("connect with TLS (wakeful --tls)"), "{plain}");
    let tls = refused(server.plain, Some(authority.trusted())).await;
    assert_eq!(tls.code, ErrorCode::UnsupportedVersion, "{tls}");
    assert!(tls.message.contains("does not speak TLS: connect without it"), "{tls}");
    // A server other than Wakeful answers with an alert.
    let addr = answering(&[0x15, 3, 1, 0, 2, 2, 10]);
    let foreign = refused(addr, None).await;
    assert_eq!(foreign.code, ErrorCode::UnsupportedVersion, "{foreign}");
    assert!(foreign.message.contains("speaks TLS only"), "{foreign}");
    server.stop();
}

/// Starts a listener that sends `bytes` to one client, whatever the client sends.
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        // Reads to the end, so that the answer is not discarded by a reset.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    addr
}

#[test]
fn tls6_a_handshake_that_takes_too_long_is_the_end() {
    let authority = Authority::new();
    let server =
        Server::start(&authority.server("127.0.0.1"), &["--limit", "rpc.handshake_timeout=300ms"]);
    let mut silent = Raw::connect(server.addr);
    let line = String::from_utf8(silent.rest()).unwrap();
    assert!(
        line.starts_with("ERR wakeful: received nothing within rpc.handshake_timeout"),
        "{line}"
    );
    for trickles in [false, true] {
        let mut slow = TcpStream::connect(server.addr).unwrap();
        slow.set_read_timeout(Some(TIMEOUT)).unwrap();
        slow.write_all(&HALF_A_HELLO).unwrap();
        if trickles {
            slow.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
            let mut ended = false;
            for _ in 0..1_000 {
                let wrote = slow.write_all(&[0]);
                let read = slow.read(&mut [0]);
                ended = wrote.is_err() || read.is_ok() || is_reset(&read);
                if ended {
                    break;
                }
            }
            assert!(ended, "it may go on for ever");
        } else {
            // Reset, because its hello was not read to the end, or closed.
            assert!(!matches!(slow.read(&mut [0]), Ok(1..)));
        }
    }
    let mut witness = Raw::open(server.plain);
    crate::support::eventually("their places are free", || witness.status().connections == 1);
    let log = server.stop();
    let told = log.lines().find(|line| line.contains("TLS handshake not completed in time"));
    assert!(told.is_some_and(|line| line.contains("rpc.handshake_timeout")), "{log}");
}

fn is_reset(read: &std::io::Result<usize>) -> bool {
    read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[actix_rt::test]
async fn tls6_two_hundred_half_handshakes_hold_nobody_up() {
    let authority = Authority::new();
    let server =
        Server::start(&authority.server("127.0.0.1"), &["--limit", "rpc.handshake_timeout=60s"]);
    let good = connect(server.addr, Some(authority.trusted())).await.unwrap();
    let half: Vec<TcpStream> = (0..200)
        .map(|n| {
            let mut socket = TcpStream::connect(server.addr).unwrap();
            socket.write_all(&HALF_A_HELLO[..1 + n % HALF_A_HELLO.len()]).unwrap();
            socket
        })
        .collect();
    until("they are counted", async || within(good.status()).await.unwrap().connections == 201)
        .await;
    within(good.set(SetRequest::new("a", "1"))).await.unwrap();
    let another = connect(server.addr, Some(authority.trusted())).await.unwrap();
    within(another.get("a")).await.unwrap();
    drop(half);
    until("they are gone", async || within(good.status()).await.unwrap().connections == 2).await;
    server.stop();
}

#[actix_rt::test]
async fn tls6_handshakes_beyond_the_most_at_once_wait_for_their_turn() {
    let authority = Authority::new();
    let limits = ["--limit", "rpc.tls_handshakes_max=2", "--limit", "rpc.handshake_timeout=60s"];
    let server =
        Server::start(&authority.server("127.0.0.1"), &[&limits[..], &["--log", "debug"]].concat());
    // Many concurrent handshakes all succeed, two at a time.
    let many = (0..20).map(|_| connect(server.addr, Some(authority.trusted())));
    let many = within(join_all(many)).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();

    let half = [(); 2].map(|()| {
        let mut socket = TcpStream::connect(server.addr).unwrap();
        socket.write_all(&HALF_A_HELLO).unwrap();
        socket
    });
    let witness = &many[0];
    until("both are there", async || within(witness.status()).await.unwrap().connections == 22)
        .await;
    let waits = async {
        until("the next one is there", async || {
            within(witness.status()).await.unwrap().connections == 23
        })
        .await;
        // Open connections are served meanwhile.
        within(witness.set(SetRequest::new("a", "1"))).await.unwrap();
        drop(half);
    };
    let (next, ()) = futures_util::join!(connect(server.addr, Some(authority.trusted())), waits);
    within(next.unwrap().get("a")).await.unwrap();
    let log = server.stop();
    assert!(log.contains("a TLS handshake waits for its turn"), "{log}");
}

#[actix_rt::test]
async fn tls6_handshakes_that_one_address_does_not_finish_leave_places_for_others() {
    let authority = Authority::new();
    let limits = ["--limit", "rpc.tls_handshakes_max=4", "--limit", "rpc.handshake_timeout=10m"];
    let server = Server::start(&authority.server("127.0.0.1"), &limits);
    let good = connect(server.addr, Some(authority.trusted())).await.unwrap();
    let half: Vec<Raw> = (0..10)
        .map(|_| {
            let mut raw = Raw::connect_from(IpAddr::from([127, 0, 0, 2]), server.addr);
            raw.send(&HALF_A_HELLO);
            raw
        })
        .collect();
    until("they are there", async || within(good.status()).await.unwrap().connections == 11).await;
    let other = connect(server.addr, Some(authority.trusted())).await.unwrap();
    within(other.set(SetRequest::new("a", "1"))).await.unwrap();
    drop(half);
    server.stop();
}

#[actix_rt::test]
async fn tls6_one_connection_too_many_is_told_so_inside_tls() {
    let authority = Authority::new();
    let server =
        Server::start(&authority.server("127.0.0.1"), &["--limit", "rpc.connections_max=2"]);
    let good = connect(server.addr, Some(authority.trusted())).await.unwrap();
    let mut half = TcpStream::connect(server.addr).unwrap();
    half.write_all(&HALF_A_HELLO).unwrap();
    until("both are counted", async || within(good.status()).await.unwrap().connections == 2).await;
    let error = refused(server.addr, Some(authority.trusted())).await;
    assert_eq!(error.code, ErrorCode::LimitExceeded, "{error}");
    drop(half);
    until("its place is free", async || {
        connect(server.addr, Some(authority.trusted())).await.is_ok()
    })
    .await;
    server.stop();
}

#[test]
fn tls6_a_stop_waits_for_no_handshake() {
    let authority = Authority::new();
    let ca = authority.ca();
    let server = Server::start(
        &authority.server("127.0.0.1"),
        &["--limit", "rpc.handshake_timeout=10m", "--limit", "rpc.shutdown_grace=10m"],
    );
    let sockets: Vec<TcpStream> = [&b""[..], &HALF_A_HELLO]
        .into_iter()
        .map(|said| {
            let mut socket = TcpStream::connect(server.addr).unwrap();
            socket.write_all(said).unwrap();
            socket
        })
        .collect();
    crate::support::eventually("both are there", || {
        let status = server.run(&["--tls-ca", text(&ca), "status", "--json"]).json();
        status["connections"] == 3
    });
    server.stop();
    drop(sockets);
}
