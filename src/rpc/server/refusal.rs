//! The reasons why unreadable input ends a connection.

use crate::error::{Details, Error, ErrorCode};
use crate::front::{Fatal, protocol};
use crate::rpc::codec::CodecError;
use crate::rpc::frame::{LINK_PREFACE, PREFACE};
use crate::rpc::http;

/// Returns the reason for an unreadable frame before the login.
pub(super) fn bad_login(error: CodecError) -> Fatal {
    let CodecError::TooLarge { bytes, max } = error else { return fatal(error) };
    let name = "rpc.login_frame_bytes_max".to_owned();
    let message = format!(
        "frame body of {bytes} bytes, but before a login at most {max} are allowed ({name}); the \
         connection closes"
    );
    let details = Details::Limit { name, value: max as u64 };
    Fatal::Error(Error::new(ErrorCode::FrameTooLarge, message).with_details(details))
}

/// Returns the reason for an unreadable hello.
pub(super) fn bad_hello(error: CodecError) -> Fatal {
    match error {
        CodecError::TooLarge { .. } => protocol("the hello is longer than 1024 bytes"),
        error => fatal(error),
    }
}

/// Returns the reason for any other unreadable frame.
pub(super) fn fatal(error: CodecError) -> Fatal {
    let message = format!("{error}; the connection closes");
    Fatal::Error(match error {
        CodecError::TooLarge { max, .. } => {
            let name = "rpc.frame_bytes_max".to_owned();
            Error::new(ErrorCode::FrameTooLarge, message)
                .with_details(Details::Limit { name, value: max as u64 })
        }
        _ => Error::new(ErrorCode::Protocol, message),
    })
}

/// Returns true if [`not_wakeful`] needs more bytes, so that its answer does not depend on how the
/// bytes arrive.
pub(in crate::rpc) fn is_undecided(start: &[u8]) -> bool {
    start.len() < PREFACE.len() && (LINK_PREFACE.starts_with(start) || http::is_undecided(start))
}

/// Returns the refusal of a peer whose first bytes are not the preface.
pub(in crate::rpc) fn not_wakeful(start: &[u8]) -> &'static str {
    let same = start.iter().zip(&PREFACE).take_while(|(a, b)| a == b).count();
    match start {
        _ if same == PREFACE.len() - 1 => {
            "ERR wakeful: this server speaks version 1 of its protocol, the client another; \
             update the older of the two\n"
        }
        [b'W', b'A', b'K', b'E', b'L', ..] if LINK_PREFACE.starts_with(start) => {
            "ERR wakeful: this port takes clients, not links; dial the port that a relay says it is \
             accepting on\n"
        }
        [b'[', ..] => {
            "ERR wakeful: JSON is one object after the other here, without batches; see the JSON \
             chapter of docs/protocol.md\n"
        }
        [0x16, ..] => "ERR wakeful: no TLS on this port; connect without it, or to the TLS port\n",
        _ if http::is_request(start) => http::refusal!(
            "This port speaks the Wakeful protocol and JSON, not HTTP. Use `wakeful status --addr \
             HOST:PORT`, a client library, or JSON, one object a line: \
             printf '{\"method\":\"Wakeful.Status\",\"params\":[{}],\"id\":1}' | nc -N HOST PORT. \
             docs/protocol.md has both protocols, examples/embed_actix_web.rs an HTTP server of \
             one's own."
        ),
        _ => "ERR wakeful: this port speaks the wakeful protocol; see docs/protocol.md\n",
    }
}
