//! Tests of the doors of a port.

mod json;
mod native;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::actor::message::Halt;
use crate::rpc::codec::encode_frame;
use crate::rpc::frame::{Kind, PREFACE};
use crate::rpc::proto::WireHello;
use crate::{Config, Wakeful};

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
