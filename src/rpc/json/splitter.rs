//! [`Splitter`]: finds the ends of consecutive JSON objects on a connection.

use memchr::memchr2;

/// Maximum depth that can be counted; one bit of [`Splitter::kinds`] each.
const LEVELS: usize = 128;

/// Finds the ends of objects, however their bytes are cut. Looks at every byte once.
///
/// It tracks brackets and strings only: the parser decides whether the result is JSON. So a value
/// is never taken for longer or shorter than it is, and a malformed one is detected at its end, if
/// not earlier by its brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Splitter {
    /// Number of examined bytes of the value.
    scanned: usize,
    depth: usize,
    /// The open brackets, innermost last: 1 for an object, 0 for a list.
    kinds: u128,
    in_string: bool,
    /// True if the previous byte was a backslash inside a string.
    escaped: bool,
}

/// The beginning of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionStart {
    /// An object, possibly after white space.
    Json,
    /// White space only, so far.
    Space,
    Other,
}

impl ConnectionStart {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes.iter().find(|byte| !is_space(**byte)) {
            Some(b'{') => Self::Json,
            None if !bytes.is_empty() => Self::Space,
            _ => Self::Other,
        }
    }
}

/// The limits of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueLimits {
    pub(crate) bytes_max: usize,
    /// Maximum depth of lists and objects; at most [`LEVELS`].
    pub(crate) depth_max: usize,
}

/// The classification of the next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// This much white space, then possibly an incomplete value.
    Partial { space: usize },
    /// This much white space, then a value up to `end`.
    Whole { space: usize, end: usize },
}

/// The reason why splitting cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SplitError {
    Malformed,
    TooLong,
    TooDeep,
}

impl SplitError {
    /// Returns the reason for the log; no answer is possible.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Malformed => "malformed JSON",
            Self::TooLong => "JSON longer than rpc.frame_bytes_max",
            Self::TooDeep => "JSON deeper than rpc.json_depth_max",
        }
    }
}

impl Splitter {
    /// Finds the end of the first value in `bytes`, which begin where the last value ended; after
    /// [`Split::Partial`], call again with the same bytes (without the white space) and more.
    pub(crate) fn split(&mut self, bytes: &[u8], bounds: ValueLimits) -> Result<Split, SplitError> {
        let space = match self.scanned {
            0 => bytes.iter().take_while(|byte| is_space(**byte)).count(),
            _ => 0,
        };
        let value = bytes.get(space..).unwrap_or_default();
        match self.scan(value, bounds)? {
            Some(end) if end <= bounds.bytes_max => {
                *self = Self::default();
                Ok(Split::Whole { space, end: space + end })
            }
            None if value.len() <= bounds.bytes_max => Ok(Split::Partial { space }),
            _ => Err(SplitError::TooLong),
        }
    }

    fn scan(&mut self, value: &[u8], bounds: ValueLimits) -> Result<Option<usize>, SplitError> {
        let mut rest = value.get(self.scanned..).unwrap_or_default();
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                // Most input is inside strings, so their end is searched for quickly.
                match byte {
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {
                        let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                        rest = rest.get(plain..).unwrap_or_default();
                    }
                }
            } else {
                self.structure(*byte, bounds)?;
                if self.depth == 0 {
                    return Ok(Some(value.len() - rest.len()));
                }
            }
        }
        self.scanned = value.len();
        Ok(None)
    }

    /// Processes a byte outside of strings.
    fn structure(&mut self, byte: u8, bounds: ValueLimits) -> Result<(), SplitError> {
        match byte {
            // Every request is an object.
            byte if self.depth == 0 && byte != b'{' => return Err(SplitError::Malformed),
            b'"' => self.in_string = true,
            b'{' => self.open(true, bounds)?,
            b'[' => self.open(false, bounds)?,
            b'}' => self.close(true)?,
            b']' => self.close(false)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, object: bool, bounds: ValueLimits) -> Result<(), SplitError> {
        if self.depth >= bounds.depth_max.min(LEVELS) {
            return Err(SplitError::TooDeep);
        }
        self.depth += 1;
        self.kinds = self.kinds << 1 | u128::from(object);
        Ok(())
    }

    fn close(&mut self, object: bool) -> Result<(), SplitError> {
        if self.kinds & 1 != u128::from(object) {
            return Err(SplitError::Malformed);
        }
        self.depth -= 1;
        self.kinds >>= 1;
        Ok(())
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::store::tests::cases;

    const BOUNDS: ValueLimits = ValueLimits { bytes_max: 1 << 20, depth_max: 64 };

    /// Returns the values split off `pieces`, each checked by the parser as a connection does, and
    /// the error at which splitting ends.
    fn split_all(pieces: &[&[u8]], bounds: ValueLimits) -> (Vec<Vec<u8>>, Option<SplitError>) {
        let (mut splitter, mut held, mut values) = (Splitter::default(), Vec::new(), Vec::new());
        for piece in pieces {
            held.extend_from_slice(piece);
            loop {
                match splitter.split(&held, bounds) {
                    Err(error) => return (values, Some(error)),
                    Ok(Split::Partial { space }) => {
                        held.drain(..space);
                        break;
                    }
                    Ok(Split::Whole { space, end }) => {
                        let value = held[space..end].to_vec();
                        if serde_json::from_slice::<&RawValue>(&value).is_err() {
                            return (values, Some(SplitError::Malformed));
                        }
                        values.push(value);
                        held.drain(..end);
                    }
                }
            }
        }
        (values, None)
    }

    /// Returns the values that serde_json parses from the same bytes, up to the first that is not
    /// an object.
    fn reference(bytes: &[u8]) -> Vec<Vec<u8>> {
        let stream = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
        let values = stream.map_while(|value| value.ok()).map(|value| value.get().as_bytes());
        values.take_while(|value| value[0] == b'{').map(<[u8]>::to_vec).collect()
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let text = "[a-z\"\\\\{}\\[\\]:, \u{1}é\u{10348}]{0,6}";
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            text.prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                vec((text, inner), 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Generates mostly objects, separated by white space, and sometimes other input.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let object = vec(("[a-c{\"\\\\]{0,3}", json()), 0..4)
            .prop_map(|it| serde_json::Value::Object(it.into_iter().collect()).to_string());
        let other =
            prop_oneof![json().prop_map(|it| it.to_string()), "[{}\\[\\],:\"\\\\ a1-]{0,8}"];
        let item = prop_oneof![9 => object, 1 => other];
        vec((item, "[ \t\r\n]{0,3}"), 0..6)
            .prop_map(|items| items.into_iter().flat_map(|(a, b)| [a, b]).collect::<String>())
            .prop_map(String::into_bytes)
    }

    proptest! {
        #![proptest_config(cases(400))]

        /// Splits exactly as the parser would, wherever the input is cut.
        #[test]
        fn g1_values_are_split_as_the_parser_splits_them(
            bytes in stream(),
            cuts in vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|it| &bytes[it[0]..it[1]]).collect();
            let split = split_all(&pieces, BOUNDS);
            prop_assert_eq!(&split, &split_all(&[&bytes], BOUNDS));
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&split, &split_all(&singly, BOUNDS));
            prop_assert_eq!(split.0, reference(&bytes));
        }

        #[test]
        fn g1_any_bytes_are_split_the_same_however_they_are_cut(bytes in vec(any::<u8>(), 0..40)) {
            let bytes = [b"{".as_slice(), &bytes].concat();
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            let split = split_all(&[&bytes], BOUNDS);
            prop_assert_eq!(&split, &split_all(&singly, BOUNDS));
            prop_assert_eq!(split.0, reference(&bytes));
        }
    }

    #[test]
    fn s10_a_value_has_a_length_and_a_depth() {
        let value: &[u8] = br#"{"a":[[1]]} "#;
        let bounds = |bytes_max, depth_max| ValueLimits { bytes_max, depth_max };
        assert_eq!(split_all(&[value], bounds(11, 3)).0.len(), 1);
        assert_eq!(split_all(&[value], bounds(10, 3)).1, Some(SplitError::TooLong));
        assert_eq!(split_all(&[&value[..11]], bounds(10, 3)).1, Some(SplitError::TooLong));
        assert_eq!(split_all(&[value], bounds(11, 2)).1, Some(SplitError::TooDeep));
        let deep = [b"{\"a\":".as_slice(), &[b'['; 1000]].concat();
        assert_eq!(split_all(&[&deep], bounds(5000, 1 << 20)).1, Some(SplitError::TooDeep));
    }

    #[test]
    fn g4_brackets_that_do_not_match_are_malformed_at_once() {
        for bytes in ["{]", "{[}", "x", "[", "5", "null", "{}x", "\"{}\""] {
            let error = split_all(&[bytes.as_bytes()], BOUNDS).1;
            assert_eq!(error, Some(SplitError::Malformed), "{bytes}");
        }
    }

    #[test]
    fn g1_every_byte_is_looked_at_once() {
        let mut splitter = Splitter::default();
        let mut value = br#"{"a":""#.to_vec();
        for _ in 0..100_000 {
            value.push(b'x');
            assert_eq!(splitter.split(&value, BOUNDS), Ok(Split::Partial { space: 0 }));
            assert_eq!(splitter.scanned, value.len());
        }
    }
}
