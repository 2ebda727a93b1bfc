//! Frames in the [`OutputBuffer`]. Large values are not copied: they are recognized by their address
//! when the codec passes them on.

use serde::Serialize;

use crate::front::OutputBuffer;
use crate::model::Blob;
use crate::rpc::codec::{CodecError, encode_headed, encode_pieces};
use crate::rpc::frame::Header;

impl OutputBuffer {
    /// Appends a frame, sharing those `values` that its body contains; returns the length of the body.
    ///
    /// # Errors
    /// Those of [`encode_pieces`]; nothing was appended.
    pub(super) fn frame<T: Serialize>(
        &mut self,
        header: Header,
        body: &T,
        body_bytes_max: usize,
        values: &[Blob],
    ) -> Result<usize, CodecError> {
        if values.is_empty() {
            return encode_headed(self.buffer(), header, body, body_bytes_max);
        }
        encode_pieces(header, body, body_bytes_max, |piece| {
            let same = |value: &&Blob| std::ptr::eq(&***value, piece);
            match values.iter().find(same) {
                Some(value) => self.share(value),
                None => self.buffer().extend_from_slice(piece),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::rpc::frame::Kind;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        (peer.unwrap(), accepted.unwrap().0)
    }

    /// Frames have the same bytes with and without shared values.
    #[actix_rt::test]
    async fn s10_a_large_value_is_written_from_where_it_is() {
        let (mut peer, mut socket) = pair().await;
        let value = |size: usize| Blob::from((0..size).map(|n| (n / 3) as u8).collect::<Vec<_>>());
        let values = [10, 1_000_000, 0, 16 * 1024, 3_000_000].map(value);
        let (mut output, mut expected) = (OutputBuffer::default(), Vec::new());
        for (id, shares) in (1..).zip([2, 0, 5]) {
            let body: Vec<_> = values.iter().map(|it| serde_bytes::Bytes::new(it)).collect();
            let header = Header::bare(Kind::Push, id);
            let shared = &values[..shares];
            let bytes = output.frame(header, &body, usize::MAX, shared).unwrap();
            assert_eq!(encode_headed(&mut expected, header, &body, usize::MAX), Ok(bytes));
            let refused = output.frame(header, &body, 1000, shared);
            assert!(matches!(refused, Err(CodecError::TooLarge { .. })));
        }
        assert_eq!(output.pending(), expected.len());
        let not_shared: usize = expected.len() - values.iter().map(|it| it.len()).sum::<usize>();
        let (own, _) = output.own_bytes();
        assert!(own < not_shared, "{own} bytes are copied");
        let mut received = vec![0; expected.len()];
        let writes = std::future::poll_fn(|cx| output.poll_write(&mut socket, cx).1);
        let (read, written) = tokio::join!(peer.read_exact(&mut received), writes);
        written.unwrap();
        read.unwrap();
        assert!(received == expected);
        assert_eq!((output.pending(), output.own_bytes()), (0, (0, 0)));
    }

    /// A peer that does not read costs little beyond the value, which others may share.
    #[actix_rt::test]
    async fn s10_a_value_that_is_not_read_is_not_copied() {
        let (peer, mut socket) = pair().await;
        let value = Blob::from(vec![7; 64 * 1024 * 1024]);
        let mut output = OutputBuffer::default();
        let header = Header::bare(Kind::Reply, 1);
        let body = serde_bytes::Bytes::new(&value);
        let values = std::slice::from_ref(&value);
        output.frame(header, &body, usize::MAX, values).unwrap();
        let (_, written) =
            std::future::poll_fn(|cx| Poll::Ready(output.poll_write(&mut socket, cx))).await;
        assert!(written.is_pending() && output.pending() > 0, "it does not read");
        assert!(output.own_bytes().1 < 1024);
        drop(peer);
    }
}
