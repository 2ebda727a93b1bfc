//! Tokens: random, shown once, stored as a hash.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The prefix of every token, by which leaked tokens can be found.
const PREFIX: &str = "wakeful_";

/// Number of bytes that identify a token; they are not secret.
pub(super) const ID_BYTES: usize = 8;

/// Number of secret bytes of a token.
const SECRET_BYTES: usize = 32;

/// The id of a token, in its text and in the file.
pub(super) type TokenId = [u8; ID_BYTES];

/// The hash of a whole token.
pub(super) type TokenHash = [u8; 32];

/// A new token: shown once, and never again.
///
/// 256 bits of it are random and cannot be guessed, so its hash needs neither salt nor work.
pub struct NewToken {
    id: TokenId,
    text: String,
}

impl NewToken {
    /// Draws a random token.
    pub fn draw() -> Self {
        let (id, secret): (TokenId, [u8; SECRET_BYTES]) = (rand::random(), rand::random());
        Self { id, text: format!("{PREFIX}{}_{}", hex(&id), hex(&secret)) }
    }

    /// Returns the id, which [`UserStore::tokens`](super::UserStore::user) lists and by which the token is
    /// revoked.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// Returns the whole token, for the client that logs in with it.
    pub fn secret(&self) -> &str {
        &self.text
    }

    pub(super) fn hash(&self) -> TokenHash {
        hash(&self.text)
    }
}

/// Prints no secrets.
impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Returns the id that a token claims; `None` if the text is not a token.
pub(super) fn id_of(token: &str) -> Option<TokenId> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    (secret.len() == SECRET_BYTES * 2).then_some(())?;
    unhex(id)
}

pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Returns true if `token` has this hash, in constant time.
pub(super) fn is(token: &str, expected: &TokenHash) -> bool {
    hash(token).ct_eq(expected).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes exactly `BYTES` bytes of lower-case hexadecimal.
pub(super) fn unhex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? * 16 + digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_a_token_proves_itself_and_no_other() {
        let [one, other] = [NewToken::draw(), NewToken::draw()];
        assert_eq!(one.secret().len(), PREFIX.len() + 16 + 1 + 64);
        assert_eq!(id_of(one.secret()).map(|id| hex(&id)), Some(one.id()));
        assert!(is(one.secret(), &one.hash()) && !is(other.secret(), &one.hash()));
        let mut changed = one.secret().to_owned();
        let last = if changed.pop() == Some('0') { '1' } else { '0' };
        changed.push(last);
        assert!(id_of(&changed).is_some() && !is(&changed, &one.hash()));
    }

    #[test]
    fn a3_what_is_no_token_has_no_name() {
        let token = NewToken::draw();
        let text = token.secret();
        for bad in ["", "wakeful_", "wakeful__", &text[1..], &text[..text.len() - 1], "x"] {
            assert_eq!(id_of(bad), None, "{bad}");
        }
        assert_eq!(id_of(&text.replacen("wakeful_", "wakeful_G", 1)), None);
        assert_eq!(unhex::<2>("00fF"), None);
        assert_eq!(unhex::<2>("00ff"), Some([0, 255]));
    }
}
