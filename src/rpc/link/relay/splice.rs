//! [`splice`]: moves bytes both ways until either side is done.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, split};
use tokio::time::timeout;

use crate::rpc::socket::Socket;

/// How long one direction continues after the other has ended, so that bytes in flight arrive.
const AFTER: Duration = Duration::from_secs(5);

thread_local! {
    /// The read buffer, shared by all clients of the thread, so that an idle client holds none.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Moves bytes both ways, holding up to `buffer_bytes` per direction. Ends when either side has
/// gone, or reads nothing of its waiting bytes for `write_timeout`, so that no peer occupies a
/// place by not reading.
pub(super) async fn splice(
    client: Socket,
    server: Socket,
    buffer_bytes: usize,
    write_timeout: Duration,
) {
    let (client_reads, client_writes) = split(client);
    let (server_reads, server_writes) = split(server);
    let there = pump(client_reads, server_writes, buffer_bytes, write_timeout);
    let back = pump(server_reads, client_writes, buffer_bytes, write_timeout);
    let (mut there, mut back) = (std::pin::pin!(there), std::pin::pin!(back));
    // The result does not matter: nobody is notified.
    tokio::select! {
        moved = &mut there => if moved.is_ok() {
            let _ = timeout(AFTER, back).await;
        },
        moved = &mut back => if moved.is_ok() {
            let _ = timeout(AFTER, there).await;
        },
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    buffer_bytes: usize,
    write_timeout: Duration,
) -> io::Result<()> {
    loop {
        let bytes = read_some(&mut from, buffer_bytes).await?;
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        let write = async {
            to.write_all(&bytes).await?;
            to.flush().await
        };
        timeout(write_timeout, write).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}

/// Reads available bytes, up to `max`; none at the end.
async fn read_some(from: &mut (impl AsyncRead + Unpin), max: usize) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.len() < max {
                scratch.resize(max, 0);
            }
            let mut buffer = ReadBuf::new(scratch);
            let read = Pin::new(&mut *from).poll_read(cx, &mut buffer);
            read.map_ok(|()| buffer.filled().to_vec())
        })
    })
    .await
}
