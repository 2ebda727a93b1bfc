//! [`client_name`]: a client's name for itself, safe to show.

/// Maximum length of a client's name.
const BYTES_MAX: usize = 256;

/// Returns a client's name for itself as it is shown to operators, escaped so that no part of it can
/// be taken for the server's own text about the client, and without control characters.
///
/// # Errors
/// The name is too long.
pub(crate) fn client_name(said: &str) -> Result<String, &'static str> {
    if said.len() > BYTES_MAX {
        return Err("the client's name is longer than 256 bytes");
    }
    let mut shown = String::with_capacity(said.len());
    for c in said.chars().filter(|c| !c.is_control()) {
        match c {
            // The server's own text about a client encloses the name in parentheses.
            '(' | ')' | '\\' => shown.extend(['\\', c]),
            '\'' | '"' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_what_a_client_calls_itself_passes_for_nothing_else() {
        let shown = |said| client_name(said).unwrap();
        assert_eq!(shown("wakeful watch"), "wakeful watch");
        assert_eq!(shown("Jos\u{e9}'s \"app\""), "Jos\u{e9}'s \"app\"");
        assert_eq!(shown("x) as root ("), r"x\) as root \(");
        assert_eq!(shown(r"x\) as root"), r"x\\\) as root");
        assert_eq!(shown("a\u{202e}b\n\u{7}c"), r"a\u{202e}bc");
        assert!(client_name(&"x".repeat(257)).is_err());
    }
}
