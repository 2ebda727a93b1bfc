//! The listeners of a [`Wakeful`]: its ports, and the links it keeps.

use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;

use tokio::net::{TcpListener, ToSocketAddrs};

use crate::address::cannot_listen;
use crate::error::Error;
use crate::front::{Server, check_descriptors};
use crate::handle::Wakeful;
use crate::rpc::link::{self, DialHandle, DialOptions};
use crate::rpc::server::{LinkIntake, SocketAcceptor};
#[cfg(feature = "tls")]
use crate::rpc::tls::{Certificates, HandshakeLimits, TlsConfig, TlsHandshaker, TlsListener};
use crate::runtime::require_arbiter;

impl Wakeful {
    /// Listens at the TCP address `addr`; returns the bound address (useful with port 0). Must be
    /// called on an arbiter, on which the connections then run.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the address cannot be bound, or the service has stopped; `InvalidArgument`
    /// if it is invalid, or outside an actix system; `LimitExceeded` if the process may open no
    /// more files than `rpc.descriptors_reserved`.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> Result<SocketAddr, Error> {
        require_arbiter("Wakeful::listen")?;
        self.open_door(bind(addr).await?, SocketAcceptor::Plain).await
    }

    /// Listens on a socket that already listens, as a service manager passes it; returns its
    /// address. Otherwise like [`listen`](Self::listen).
    ///
    /// Bind before [`open`](Self::open), and pass the socket here afterwards, if a taken address
    /// must not leave a data directory behind.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the socket cannot be used, or the service has stopped; `InvalidArgument`
    /// outside an actix system.
    pub async fn listen_on(&self, listener: std::net::TcpListener) -> Result<SocketAddr, Error> {
        require_arbiter("Wakeful::listen_on")?;
        self.open_door(take_over(listener)?, SocketAcceptor::Plain).await
    }

    /// Opens a TLS port at `addr`, in addition to those of [`listen`](Self::listen) or as the only
    /// one. A client with a verified certificate has its identity from the start
    /// ([`Session::identity`](crate::Session::identity)).
    ///
    /// Certificates and key are reloaded when the files change, checked every
    /// `rpc.tls_check_interval`, and by [`TlsListener::reload`]; files that cannot be used change
    /// nothing, and are reported in the log. Open connections continue unchanged. Handshakes run on
    /// a thread of the port's own, up to `rpc.tls_handshakes_max` at a time; others wait.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, naming the file, if one cannot be used; otherwise those of
    /// [`listen`](Self::listen).
    #[cfg(feature = "tls")]
    pub async fn listen_tls(
        &self,
        addr: impl ToSocketAddrs,
        config: TlsConfig,
    ) -> Result<TlsListener, Error> {
        require_arbiter("Wakeful::listen_tls")?;
        let door = self.tls_door(Certificates::open(config)?)?;
        let addr =
            self.open_door(bind(addr).await?, SocketAcceptor::Tls(Arc::clone(&door))).await?;
        Ok(door.handle(addr))
    }

    /// Returns the handshake of a TLS port of this node, with files already read. All ports of a node
    /// share its bound of log lines.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_door(&self, certificates: Certificates) -> Result<Arc<TlsHandshaker>, Error> {
        let limits = HandshakeLimits::of(&self.rpc(), self.strangers().clone());
        TlsHandshaker::start(certificates, limits)
    }

    /// Opens a TLS port on a socket that already listens. Otherwise like
    /// [`listen_tls`](Self::listen_tls).
    ///
    /// # Errors
    ///
    /// Those of [`listen_tls`](Self::listen_tls) and of [`listen_on`](Self::listen_on).
    #[cfg(feature = "tls")]
    pub async fn listen_tls_on(
        &self,
        listener: std::net::TcpListener,
        config: TlsConfig,
    ) -> Result<TlsListener, Error> {
        require_arbiter("Wakeful::listen_tls_on")?;
        let door = self.tls_door(Certificates::open(config)?)?;
        self.listen_at_door(listener, &door).await
    }

    /// Does the same as [`listen_tls_on`](Self::listen_tls_on) with files already read.
    #[cfg(feature = "tls")]
    pub(crate) async fn listen_at_door(
        &self,
        listener: std::net::TcpListener,
        door: &Arc<TlsHandshaker>,
    ) -> Result<TlsListener, Error> {
        let acceptor = SocketAcceptor::Tls(Arc::clone(door));
        let addr = self.open_door(take_over(listener)?, acceptor).await?;
        Ok(door.handle(addr))
    }

    async fn open_door(
        &self,
        listener: TcpListener,
        acceptor: SocketAcceptor,
    ) -> Result<SocketAddr, Error> {
        check_descriptors(self.rpc().descriptors_reserved)?;
        let tls = acceptor.is_tls();
        let open = || Server::serve(self, listener, acceptor).map_err(|it| cannot_listen(&it));
        let addr = self.add_door(open).await?;
        tracing::info!(%addr, tls, "listening");
        Ok(addr)
    }

    /// Sets the name of this server: a client that asks for another one
    /// ([`ClientConfig::server`](crate::ClientConfig::server)) is refused with `NoSuchServer`. Only
    /// the first name counts; returns true if this was the first.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a name that is empty, longer than 256 bytes or has control characters.
    pub fn set_name(&self, name: impl Into<String>) -> Result<bool, Error> {
        let name = name.into();
        link::check_name(&name)?;
        Ok(self.inner.name.set(name).is_ok())
    }

    /// Keeps a link to the listener at `addr`, a [`ReverseListener`](crate::link::ReverseListener)
    /// or a relay: a lost link is re-established after a random pause. Connections over it are
    /// served like those of a [listener](Self::listen) of this service, and [`DialHandle::client`]
    /// calls in the other direction. Must be called on an arbiter. Ends with [`stop`](Self::stop),
    /// or that of the handle; not with the last handle.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for an address that is not `host:port`, an invalid name, and outside an
    /// actix system; `Unavailable` if the service has stopped. An unreachable address is not an
    /// error: the [state](DialHandle::state) shows it.
    pub async fn dial(
        &self,
        addr: impl Into<String>,
        options: DialOptions,
    ) -> Result<DialHandle, Error> {
        require_arbiter("Wakeful::dial")?;
        let addr = addr.into();
        crate::address::check(&addr)?;
        link::check_name(&options.name)?;
        let door = LinkIntake::open(self).await?;
        Ok(link::dial(addr, options, self.config(), door))
    }
}

async fn bind(addr: impl ToSocketAddrs) -> Result<TcpListener, Error> {
    TcpListener::bind(addr).await.map_err(|error| cannot_listen(&error))
}

fn take_over(listener: std::net::TcpListener) -> Result<TcpListener, Error> {
    let taken = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    taken.map_err(|error| cannot_listen(&error))
}

#[cfg(all(test, feature = "tls", feature = "cli"))]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::Config;
    use crate::stranger_lines::LineKind;
    use crate::test_timeout::within;

    /// Regression: the TLS port of `serve`, whose files are read before the node starts, had a bound of its
    /// own.
    #[actix_rt::test]
    async fn z32_all_ports_of_a_node_share_the_bound_of_what_strangers_log() {
        let sink = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
        let _logged = tracing::subscriber::set_default(sink);
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (directory.path().join("cert"), directory.path().join("key"));
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&cert, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let mut config = Config::new();
        config.rpc.stranger_lines_max = 2;
        let node = Wakeful::start(config).unwrap();
        for _ in 0..2 {
            let certificates = Certificates::open(TlsConfig::new(&cert, &key)).unwrap();
            let door = node.tls_door(certificates).unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = node.listen_at_door(listener, &door).await.unwrap();
            let mut stranger = tokio::net::TcpStream::connect(port.addr()).await.unwrap();
            stranger.write_all(b"this is no TLS").await.unwrap();
            let mut answer = Vec::new();
            within(stranger.read_to_end(&mut answer)).await.unwrap();
            assert!(!answer.is_empty(), "it is refused, which is logged");
        }
        assert!(!node.strangers().admits(LineKind::Handshake), "the two lines are all");
        within(node.stop()).await;
    }
}
