//! [`KeyRequest`]: a request about one key whose bytes lie in a buffer that it shares with others.

use super::facts::DiskUse;
use super::{DeleteRequest, Durability, GetRequest, KeyRange, KvRequest, Revision, SetRequest};

/// The most bytes of a key and its value in a [`KeyBuffer`].
const BYTES_MAX: usize = 4 * 1024;

/// A request about one key, as most requests are: without a lease, a time to live or an idempotency key.
/// Its bytes lie in the [`KeyBuffer`] of its message, so that it is passed on without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRequest {
    pub(crate) action: KeyAction,
    pub(crate) durability: Option<Durability>,
    start: u32,
    key_bytes: u32,
    value_bytes: u32,
}

/// The action of a [`KeyRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyAction {
    Get { revision: Revision },
    Set { only_if_changed: bool, return_previous: bool },
    Delete { return_previous: bool },
}

impl KeyAction {
    pub(crate) fn is_write(self) -> bool {
        !matches!(self, Self::Get { .. })
    }
}

/// The keys and values of the [`KeyRequest`]s of one message.
///
/// Bounded by the bytes that they were read from.
#[derive(Debug, Default)]
pub(crate) struct KeyBuffer(Vec<u8>);

impl KeyBuffer {
    /// Makes a buffer in the memory of `bytes`.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self(bytes)
    }

    /// Returns the memory of the buffer.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a request; returns `None` if its key and value are too long for the buffer.
    pub(crate) fn push(
        &mut self,
        durability: Option<Durability>,
        KeyView { action, key, value }: KeyView<'_>,
    ) -> Option<KeyRequest> {
        if key.len().saturating_add(value.len()) > BYTES_MAX {
            return None;
        }
        let start = u32::try_from(self.0.len()).ok()?;
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(value);
        let (key_bytes, value_bytes) = (key.len() as u32, value.len() as u32);
        Some(KeyRequest { action, durability, start, key_bytes, value_bytes })
    }

    /// Returns the key of a request of this buffer.
    pub(crate) fn key(&self, request: &KeyRequest) -> &[u8] {
        self.view(request).key
    }

    /// Returns a request of this buffer with its bytes.
    #[inline]
    pub(crate) fn view(&self, request: &KeyRequest) -> KeyView<'_> {
        let rest = self.0.get(request.start as usize..).unwrap_or_default();
        let (key, rest) = rest.split_at_checked(request.key_bytes as usize).unwrap_or_default();
        let value = rest.get(..request.value_bytes as usize).unwrap_or_default();
        KeyView { action: request.action, key, value }
    }
}

/// A [`KeyRequest`] with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyView<'a> {
    pub(crate) action: KeyAction,
    pub(crate) key: &'a [u8],
    /// The value of a set.
    pub(crate) value: &'a [u8],
}

impl KeyView<'_> {
    /// Returns the request with bytes of its own.
    pub(crate) fn to_owned(self) -> KvRequest {
        let key = self.key.into();
        match self.action {
            KeyAction::Get { revision } => KvRequest::Get(GetRequest { key, revision }),
            KeyAction::Set { only_if_changed, return_previous } => KvRequest::Set(SetRequest {
                key,
                value: self.value.into(),
                lease: 0,
                ttl: None,
                only_if_changed,
                return_previous,
            }),
            KeyAction::Delete { return_previous } => {
                KvRequest::Delete(DeleteRequest { range: KeyRange::Key(key), return_previous })
            }
        }
    }
}

/// A request to the keys as it is executed: most of them are about one key, whose bytes are borrowed.
#[derive(Debug)]
pub(crate) enum KvCall<'a> {
    Key(KeyView<'a>),
    Owned(KvRequest),
}

impl From<KvRequest> for KvCall<'_> {
    fn from(request: KvRequest) -> Self {
        Self::Owned(request)
    }
}

impl KvCall<'_> {
    pub(crate) fn into_owned(self) -> KvRequest {
        match self {
            Self::Key(view) => view.to_owned(),
            Self::Owned(request) => request,
        }
    }

    /// Returns what the request does to the disk.
    pub(crate) fn disk(&self) -> DiskUse {
        match self {
            Self::Key(view) => match view.action {
                KeyAction::Get { .. } => DiskUse::Nothing,
                KeyAction::Set { .. } => DiskUse::Growth,
                KeyAction::Delete { .. } => DiskUse::Record,
            },
            Self::Owned(request) => request.facts().disk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_buffer_have_their_own_bytes() {
        let mut keys = KeyBuffer::default();
        let set = KeyAction::Set { only_if_changed: false, return_previous: false };
        let set = keys.push(None, KeyView { action: set, key: b"a", value: b"1" }).unwrap();
        let get = keys
            .push(None, KeyView { action: KeyAction::Get { revision: 7 }, key: b"bc", value: b"" })
            .unwrap();
        let delete = KeyAction::Delete { return_previous: true };
        let delete = keys
            .push(Some(Durability::Fsync), KeyView { action: delete, key: b"d", value: b"" })
            .unwrap();
        assert_eq!(keys.view(&set).to_owned(), KvRequest::Set(SetRequest::new("a", "1")));
        let owned = GetRequest { key: "bc".into(), revision: 7 };
        assert_eq!(keys.view(&get).to_owned(), KvRequest::Get(owned));
        let owned = DeleteRequest { range: KeyRange::key("d"), return_previous: true };
        assert_eq!(keys.view(&delete).to_owned(), KvRequest::Delete(owned));
        assert_eq!(delete.durability, Some(Durability::Fsync));
        for request in [&set, &get, &delete] {
            let view = keys.view(request);
            assert_eq!(KvCall::Key(view).disk(), view.to_owned().facts().disk);
            assert_eq!(request.action.is_write(), view.to_owned().is_write());
        }
    }

    #[test]
    fn s10_long_keys_and_values_are_not_copied_into_the_buffer() {
        let mut keys = KeyBuffer::default();
        let set = KeyAction::Set { only_if_changed: false, return_previous: false };
        let value = &[0; BYTES_MAX];
        let set = KeyView { action: set, key: b"k", value };
        assert!(keys.push(None, set).is_none() && keys.is_empty());
        assert!(keys.push(None, KeyView { value: &value[1..], ..set }).is_some());
        assert!(KeyBuffer::new(keys.into_bytes()).is_empty(), "only its memory is kept");
    }
}
