//! The answer to HTTP, which no port speaks: in HTTP, so that its clients show it.

/// What requests begin with; the last is the preface of HTTP/2.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI * HTTP/2.0",
];

/// Whether a connection that begins with `start`, all of it or its first bytes, begins with a request.
pub(super) fn is_request(start: &[u8]) -> bool {
    !start.is_empty()
        && METHODS.iter().any(|method| method.starts_with(start) || start.starts_with(method))
}

/// Whether more bytes must come before [`is_request`] is certain of what `start` begins.
pub(super) fn is_undecided(start: &[u8]) -> bool {
    METHODS.iter().any(|method| start.len() < method.len() && method.starts_with(start))
}

/// A response with a sentence; the end of the connection is its end.
macro_rules! refusal {
    ($sentence:literal) => {
        concat!(
            "HTTP/1.1 400 Bad Request\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Connection: close\r\n\r\n",
            $sentence,
            "\n"
        )
    };
}
pub(super) use refusal;

#[cfg(test)]
mod tests {
    use super::is_request;

    #[test]
    fn requests_are_known_by_their_methods() {
        for request in ["GET / HTTP/1.1\r\n", "GET /", "GET", "P", "PRI * HT", "OPTIONS"] {
            assert!(is_request(request.as_bytes()), "{request}");
        }
        for other in ["", "get key", "PING\r\n", "GETS", "{", "\x16\x03", "HELO mail", "*1\r\n"] {
            assert!(!is_request(other.as_bytes()), "{other}");
        }
    }
}
