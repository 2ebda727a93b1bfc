//! [`Pattern`]: the names of a grant, in text form.

use std::fmt;
use std::str::FromStr;

use crate::model::Blob;

/// The keys, topics, services or links of a grant.
///
/// Written as the name itself, or as a prefix followed by `*`; `*` alone means every name. `\*` and
/// `\\` stand for those characters, `\xNN` for the byte NN.
///
/// ```
/// use wakeful::auth::Pattern;
///
/// assert_eq!(Pattern::parse("config/*").unwrap(), Pattern::Prefix("config/".into()));
/// assert_eq!(Pattern::parse(r"odd\*").unwrap(), Pattern::One("odd*".into()));
/// assert!(Pattern::parse("a*b").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// Exactly this name.
    One(Blob),
    /// Every name with this prefix.
    Prefix(Blob),
}

impl Pattern {
    /// Returns the pattern of every name.
    pub fn all() -> Self {
        Self::Prefix(Blob::default())
    }

    /// Parses the text form of a pattern.
    ///
    /// # Errors
    ///
    /// A sentence: the text is empty, has a `*` before its end, or an unknown escape.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{}`: {why}", text.escape_debug()));
        let mut name = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        loop {
            rest = match rest {
                [] if name.is_empty() => {
                    return refuse("a grant needs a name; `*` stands for every name");
                }
                [] => return Ok(Self::One(Blob::from(name))),
                [b'*'] => return Ok(Self::Prefix(Blob::from(name))),
                [b'*', ..] => {
                    return refuse("`*` is allowed only at the end; write \\* for the character");
                }
                [b'\\', b'x', high, low, after @ ..] => {
                    let digit = |byte: &u8| char::from(*byte).to_digit(16);
                    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                        return refuse("\\x needs two hexadecimal digits");
                    };
                    name.push((high * 16 + low) as u8);
                    after
                }
                [b'\\', byte @ (b'*' | b'\\'), after @ ..] => {
                    name.push(*byte);
                    after
                }
                [b'\\', ..] => return refuse("the only escapes are \\*, \\\\ and \\xNN"),
                [byte, after @ ..] => {
                    name.push(*byte);
                    after
                }
            };
        }
    }

    /// Returns true if `name` matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::One(one) => **one == *name,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

/// Writes the text form.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::One(name) | Self::Prefix(name)) = self;
        for chunk in name.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '*' | '\\' => write!(f, "\\{c}")?,
                    c if c.is_control() => {
                        let mut bytes = [0; 4];
                        for byte in c.encode_utf8(&mut bytes).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if matches!(self, Self::Prefix(_)) { f.write_str("*") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a2_a_pattern_that_means_nothing_is_refused() {
        for text in ["", "a*b", "**", r"\", r"\y", r"\x1", r"\xgg", r"a\"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert_eq!(Pattern::parse("*").unwrap(), Pattern::all());
        assert_eq!(
            Pattern::parse(r"\x00\xff*").unwrap(),
            Pattern::Prefix([0, 255].as_ref().into())
        );
    }

    proptest! {
        #[test]
        fn a2_patterns_are_read_as_they_are_written(
            name in proptest::collection::vec(any::<u8>(), 0..8),
            prefix: bool,
        ) {
            let pattern = if prefix || name.is_empty() {
                Pattern::Prefix(name.into())
            } else {
                Pattern::One(name.into())
            };
            prop_assert_eq!(Pattern::parse(&pattern.to_string()).unwrap(), pattern);
        }
    }
}
