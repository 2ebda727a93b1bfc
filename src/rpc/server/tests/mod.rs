//! Tests of the doors of a port.

mod json;
mod native;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, duplex};
use tokio::net::TcpStream;

use crate::actor::message::Halt;
use crate::operations::Operations;
use crate::rpc::codec::encode_frame;
use crate::rpc::frame::{Kind, PREFACE};
use crate::rpc::proto::WireHello;
use crate::rpc::server::{IncomingConnection, LinkIntake};
use crate::rpc::socket::Socket;
use crate::session::Peer;
use crate::{Config, Wakeful};

/// Regression: a connection whose first object came in two reads was set up as one without watches of
/// its own, so that each refused watch left its stream open.
#[actix_rt::test]
async fn g8_a_refused_watch_keeps_no_stream_if_the_first_object_comes_in_pieces() {
    let wakeful = Wakeful::start(Config::new()).unwrap();
    let intake = LinkIntake::open(&wakeful).await.unwrap();
    // Holds one byte, so that the server reads no two at a time.
    let (client, server) = duplex(1);
    let peer =
        Peer::Link { name: "peer".to_owned(), addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)) };
    let left = Box::pin(std::future::pending());
    let socket = Socket::Other(Box::new(server));
    intake.enter(IncomingConnection { socket, peer, called: None, left });
    let (read, mut write) = tokio::io::split(client);
    let talk = async {
        let open = r#"{"method":"Wakeful.WatchOpen","params":[{"range":{"key":"k"},"from":{"Revision":99}}],"id":1}"#;
        write.write_all(open.as_bytes()).await.unwrap();
        let mut line = String::new();
        BufReader::new(read).read_line(&mut line).await.unwrap();
        assert!(line.contains("FutureRevision: "), "{line}");
        // The stream is closed after the answer.
        while wakeful.status().await.unwrap().streams > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), talk).await.expect("the stream stays open");
    drop((write, intake));
    wakeful.stop().await;
}

/// After a defect of the store, connections end instead of waiting without a limit.
#[actix_rt::test]
async fn r4_connections_end_when_the_store_is_gone() {
    let mut config = Config::new();
    config.rpc.ping_interval = Duration::from_millis(50);
    let wakeful = Wakeful::start(config).unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let mut open = PREFACE.to_vec();
    let hello = WireHello { client_name: "me", server: "" };
    encode_frame(&mut open, Kind::Hello, 0, 0, &hello, usize::MAX).unwrap();
    let mut early = TcpStream::connect(addr).await.unwrap();
    early.write_all(&open).await.unwrap();
    let mut welcome = [0; PREFACE.len() + 20];
    early.read_exact(&mut welcome).await.unwrap();
    wakeful.store().send(Halt { within: Duration::from_secs(20) }).await.unwrap();
    let mut late = TcpStream::connect(addr).await.unwrap();
    late.write_all(&open).await.unwrap();
    for socket in [&mut early, &mut late] {
        let mut said = Vec::new();
        let end = socket.read_to_end(&mut said);
        tokio::time::timeout(Duration::from_secs(20), end).await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&said).contains("the service has stopped"));
    }
    wakeful.stop().await;
}
