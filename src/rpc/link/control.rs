//! The control stream of a link: both ends send signs of life, and announce their departure.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};

use super::carrier::Link;
use crate::config::LinkConfig;
use crate::rpc::codec::encode_bare;
use crate::rpc::frame::{Kind, split};
use crate::rpc::keep_alive::{KeepAlive, PeerSilence};

/// Runs the control stream of `link` until its end; returns the reason.
pub(super) async fn run(
    link: &Link,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    config: &LinkConfig,
) -> String {
    let mut keep_alive = KeepAlive::new(config.ping_interval, config.ping_timeout, Instant::now());
    let mut received = BytesMut::new();
    let mut out = Vec::new();
    let mut left = link.left().boxed().fuse();
    // The ping opens the stream, so it is sent at once.
    encode_bare(&mut out, Kind::Ping, 0);
    loop {
        if let Err(reason) = take_in(link, &mut received, &mut out) {
            return reason;
        }
        match keep_alive.look(Instant::now()) {
            PeerSilence::Short => {}
            PeerSilence::Ask => encode_bare(&mut out, Kind::Ping, 0),
            PeerSilence::Dead => return "the peer is silent".to_owned(),
        }
        if !out.is_empty() {
            match timeout(config.ping_timeout, stream.write_all(&out)).await {
                Ok(Ok(())) => out.clear(),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "the peer stopped reading".to_owned(),
            }
        }
        tokio::select! {
            read = stream.read_buf(&mut received) => match read {
                Ok(0) => return "the peer closed it".to_owned(),
                Ok(_) => keep_alive.heard(Instant::now()),
                Err(error) => return error.to_string(),
            },
            () = &mut left => encode_bare(&mut out, Kind::Goodbye, 0),
            () = sleep_until(keep_alive.due().into()) => {}
        }
    }
}

/// Processes every complete frame received.
fn take_in(link: &Link, received: &mut BytesMut, out: &mut Vec<u8>) -> Result<(), String> {
    while let Some((header, _, _)) = split(received, 0).map_err(|error| error.to_string())? {
        received.advance(crate::rpc::frame::HEADER_BYTES);
        match header.kind {
            Kind::Ping => encode_bare(out, Kind::Pong, header.id),
            Kind::Pong => {}
            Kind::Goodbye => link.leave(),
            kind => {
                return Err(format!(
                    "the peer sent an unexpected {kind:?} frame on the control stream"
                ));
            }
        }
    }
    Ok(())
}
