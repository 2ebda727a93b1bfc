//! Why a frame that cannot be read ends its connection.

use super::{Fatal, protocol};
use crate::error::{Details, Error, ErrorCode};
use crate::rpc::codec::CodecError;

/// Why a frame before a login ends the connection.
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

/// Why a frame before the welcome does.
pub(super) fn bad_hello(error: CodecError) -> Fatal {
    match error {
        CodecError::TooLarge { .. } => protocol("the hello is longer than 1024 bytes"),
        error => fatal(error),
    }
}

/// Why any other does.
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
