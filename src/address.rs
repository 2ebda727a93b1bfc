//! Addresses as users write them, `HOST:PORT`, and the network that counts as one address.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use crate::error::{Error, ErrorCode};

/// Schemes of URLs that stand for TLS.
const TLS_SCHEMES: [&str; 3] = ["https", "wss", "tls"];

/// Checks that `text` is `HOST:PORT`. Does not resolve the host.
///
/// # Errors
/// `InvalidArgument`, with what to write instead.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    let refused = refusal(text);
    refused.map_or(Ok(()), |why| Err(Error::new(ErrorCode::InvalidArgument, why)))
}

/// Returns the error for a port that cannot be opened: `InvalidArgument` if it is not an address,
/// otherwise `Unavailable`.
pub(crate) fn cannot_listen(error: &io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::InvalidInput => ErrorCode::InvalidArgument,
        _ => ErrorCode::Unavailable,
    };
    Error::new(code, format!("cannot listen: {error}"))
}

/// Returns what counts as one address: for IPv6 the network, because the owner of one address has all
/// addresses with the same first 64 bits.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Returns why `text` is not an address; `None` if it is one.
fn refusal(text: &str) -> Option<String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit('@').next().unwrap_or_default();
        let tls = if TLS_SCHEMES.contains(&scheme) { ", and ask for TLS (--tls)" } else { "" };
        return Some(format!(
            "`{text}` is a URL, and an address is HOST:PORT; write `{}`{tls}",
            with_port(place)
        ));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
        return Some(format!("`{text}` is not an address; write HOST:PORT, as in localhost:7117"));
    }
    let host_end = if text.starts_with('[') { text.find(']').map(|at| at + 1) } else { None };
    let (host, port) = match host_end {
        Some(end) => (text.get(..end), text.get(end..).and_then(|rest| rest.strip_prefix(':'))),
        None if text.matches(':').count() > 1 => {
            let (host, port) = text.rsplit_once(':').unwrap_or_default();
            return Some(format!(
                "`{text}`: an IPv6 address stands in brackets; write `[{host}]:{port}` or \
                 `[{text}]:PORT`"
            ));
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    match (host, port) {
        (Some(""), _) => {
            Some(format!("`{text}` has no host; write HOST:PORT, as in localhost:7117"))
        }
        (_, None | Some("")) => {
            let place = with_port(text.trim_end_matches(':'));
            Some(format!("`{text}` has no port; write HOST:PORT, as in `{place}`"))
        }
        (_, Some(port)) if !is_port(port) => {
            Some(format!("`{text}`: `{port}` is not a port; a port is a number up to 65535"))
        }
        _ => None,
    }
}

/// Returns the address with a port; the default one if it has none.
fn with_port(place: &str) -> String {
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
    match place {
        "" => "HOST:PORT".to_owned(),
        _ if has_port => place.to_owned(),
        _ => format!("{place}:7117"),
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|digit| digit.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_an_address() {
        for text in ["localhost:7117", "127.0.0.1:0", "[::1]:7117", "db.example:65535", "a_b:1"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write_instead() {
        for (text, instead) in [
            ("http://db:7117", "write `db:7117`"),
            ("http://db:7117/path?query", "write `db:7117`"),
            ("https://user:secret@db:1", "write `db:1`, and ask for TLS (--tls)"),
            ("tcp://db", "write `db:7117`"),
            ("http://", "write `HOST:PORT`"),
            ("db", "as in `db:7117`"),
            ("db:", "as in `db:7117`"),
            (":7117", "no host"),
            ("", "no host"),
            ("db:http", "`http` is not a port"),
            ("db:65536", "a number up to 65535"),
            ("db:+1", "`+1` is not a port"),
            ("::1:7117", "write `[::1]:7117`"),
            ("[::1]", "as in `[::1]:7117`"),
            ("[::1]7117", "has no port"),
            ("db:7117/", "HOST:PORT"),
            ("db 7117", "HOST:PORT"),
        ] {
            let refusal = check(text).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidArgument);
            assert!(refusal.message.contains(instead), "{text}: {refusal}");
        }
    }
}
