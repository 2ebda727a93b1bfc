//! [`Tail`]: the end of a stream, as the reason of a failure.

/// Keeps the last bytes of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let over = self.bytes.len().saturating_sub(self.bytes_max);
        self.bytes.drain(..over);
    }

    /// Returns the last whole lines as text; the end of the last line if it alone is too long.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_end();
        // The first line may be cut off.
        let cut = self.bytes.len() == self.bytes_max;
        match text.split_once('\n') {
            Some((_, whole)) if cut => whole.to_owned(),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(bytes_max: usize, parts: &[&str]) -> String {
        let mut tail = Tail::new(bytes_max);
        parts.iter().for_each(|part| tail.push(part.as_bytes()));
        tail.text()
    }

    #[test]
    fn the_last_whole_lines_are_kept() {
        assert_eq!(tail(100, &["a\nb", "c\nd\n"]), "a\nbc\nd");
        assert_eq!(tail(6, &["first\nse", "cond\n3\n"]), "3");
        assert_eq!(tail(4, &["abcdef"]), "cdef");
        assert_eq!(tail(4, &[]), "");
    }
}
