//! The answer to an HTTP request on a port that does not speak HTTP: an HTTP response, so that HTTP
//! clients show it.

/// The beginnings of requests; the last one is the preface of HTTP/2.
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

/// Returns whether a connection that begins with `start` begins with an HTTP request.
pub(super) fn is_request(start: &[u8]) -> bool {
    !start.is_empty()
        && METHODS.iter().any(|method| method.starts_with(start) || start.starts_with(method))
}

/// Returns whether [`is_request`] needs more bytes than `start` to decide.
pub(super) fn is_undecided(start: &[u8]) -> bool {
    METHODS.iter().any(|method| start.len() < method.len() && method.starts_with(start))
}

/// Makes a response with a sentence; the end of the connection ends it.
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
