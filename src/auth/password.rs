//! Passwords: hashing with Argon2id, and verification.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use super::user_store::{invalid, over};
use crate::config::AuthConfig;
use crate::error::Error;

/// Maximum number of lanes of a hash: each is computed by the verifying thread.
const LANES_MAX: u32 = 16;

/// Number of random salt bytes per password.
const SALT_BYTES: usize = 16;

/// The hash of a password with its parameters: `$argon2id$v=19$m=..,t=..,p=..$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PasswordHash {
    text: Arc<str>,
    parsed: Arc<Phc>,
}

/// Hashes a password for the user file with the parameters in `config`, which takes about 20 ms.
///
/// # Errors
///
/// `InvalidArgument`: the password is shorter than `auth.password_bytes_min` or longer than
/// `auth.password_bytes_max` (with that limit in the details), or Argon2 rejects the parameters.
pub fn hash_password(password: &str, config: &AuthConfig) -> Result<String, Error> {
    let refuse = |name: &str, value: usize, what: &str| {
        Err(over(name, value as u64, format!("the password is too {what}: {name} is {value}")))
    };
    let (min, max) = (config.password_bytes_min, config.password_bytes_max);
    if password.len() < min {
        return refuse("auth.password_bytes_min", min, "short");
    }
    if password.len() > max {
        return refuse("auth.password_bytes_max", max, "long");
    }
    hash(password, config).map_err(invalid)
}

fn hash(password: &str, config: &AuthConfig) -> Result<String, String> {
    let refuse = |error: &dyn fmt::Display| format!("cannot hash the password: {error}");
    let params = params(config).map_err(|error| refuse(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt: [u8; SALT_BYTES] = rand::random();
    let hash: Phc = argon2
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|error| refuse(&error))?;
    Ok(hash.to_string())
}

/// Returns the hashing parameters.
pub(super) fn params(config: &AuthConfig) -> Result<Params, argon2::Error> {
    let kib = u32::try_from(config.hash_memory_bytes / 1024).unwrap_or(u32::MAX);
    Params::new(kib, config.hash_passes, 1, None)
}

impl PasswordHash {
    /// Returns the hash of an unknown password, for its verification time.
    pub(super) fn decoy(config: &AuthConfig) -> Option<Self> {
        let password: u128 = rand::random();
        Self::parse(&hash(&password.to_string(), config).ok()?, config).ok()
    }

    /// Parses a hash of the file.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, without the hash: it is not an Argon2id hash, or verifying it takes more
    /// than this configuration allows, with the limit in the details.
    pub(super) fn parse(text: &str, config: &AuthConfig) -> Result<Self, Error> {
        let bad = || invalid("the password is not an Argon2id hash in PHC form");
        let parsed = Phc::new(text).map_err(|_| bad())?;
        if parsed.algorithm.as_str() != "argon2id" || parsed.salt.is_none() || parsed.hash.is_none()
        {
            return Err(invalid("the password is not an Argon2id hash with salt and output"));
        }
        let params = Params::try_from(&parsed).map_err(|_| bad())?;
        let limit = |name: &str, max: u64, takes: u64, what: &str| {
            if takes <= max {
                return Ok(());
            }
            let message =
                format!("checking the password takes {takes} {what}, but {name} is {max}");
            Err(over(name, max, message))
        };
        let (memory, passes) = (config.hash_memory_bytes_max as u64, config.hash_passes_max);
        let bytes = u64::from(params.m_cost()) * 1024;
        limit("auth.hash_memory_bytes_max", memory, bytes, "bytes")?;
        limit("auth.hash_passes_max", passes.into(), params.t_cost().into(), "passes")?;
        if params.p_cost() > LANES_MAX {
            let lanes = params.p_cost();
            let message =
                format!("checking the password takes {lanes} lanes; the maximum is {LANES_MAX}");
            return Err(invalid(message));
        }
        Ok(Self { text: text.into(), parsed: Arc::new(parsed) })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if this is the hash of `password`. Takes as long as its parameters demand.
    pub(super) fn is_of(&self, password: &str) -> bool {
        // The parameters are those of the hash.
        Argon2::default().verify_password(password.as_bytes(), &*self.parsed).is_ok()
    }
}

/// Omits the hash, which would allow guessing passwords.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::HASH_MEMORY_BYTES_MIN;

    /// Returns cheap parameters for tests.
    pub(crate) fn cheap() -> AuthConfig {
        AuthConfig { hash_memory_bytes: 64 * 1024, hash_passes: 1, ..AuthConfig::new() }
    }

    #[test]
    fn a3_a_hash_is_of_one_password_and_differs_each_time() {
        let config = cheap();
        let [one, other] = [(); 2].map(|()| hash_password("correct horse", &config).unwrap());
        assert_ne!(one, other);
        assert!(one.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{one}");
        for text in [&one, &other] {
            let hash = PasswordHash::parse(text, &config).unwrap();
            assert!(hash.is_of("correct horse") && !hash.is_of("correct horsf"));
            assert!(!hash.is_of("") && !format!("{hash:?}").contains("argon"));
        }
    }

    #[test]
    fn a3_the_defaults_are_those_of_owasp() {
        let params = params(&AuthConfig::new()).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (19 * 1024, 2, 1));
    }

    #[test]
    fn a3_the_least_memory_that_can_be_configured_is_what_the_hash_needs() {
        let with = |hash_memory_bytes| AuthConfig { hash_memory_bytes, ..AuthConfig::new() };
        assert!(params(&with(HASH_MEMORY_BYTES_MIN)).is_ok());
        assert!(params(&with(HASH_MEMORY_BYTES_MIN - 1024)).is_err());
    }

    #[test]
    fn a3_hashes_that_are_none_or_too_dear_are_refused() {
        let config = AuthConfig::new();
        let tail = "$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        for text in [
            "",
            "plain",
            "$argon2id$v=19$m=19456,t=2,p=1",
            &format!("$argon2i$v=19$m=19456,t=2,p=1{tail}"),
            &format!("$argon2id$v=19$m=4000000,t=2,p=1{tail}"),
            &format!("$argon2id$v=19$m=19456,t=200,p=1{tail}"),
            &format!("$argon2id$v=19$m=19456,t=2,p=100{tail}"),
        ] {
            let refusal = PasswordHash::parse(text, &config).unwrap_err().message;
            assert!(!refusal.contains("c2FsdHN"), "{refusal}");
        }
        PasswordHash::parse(&format!("$argon2id$v=19$m=19456,t=2,p=1{tail}"), &config).unwrap();
        assert!(
            hash_password("short", &config)
                .unwrap_err()
                .message
                .contains("auth.password_bytes_min")
        );
        let long = "x".repeat(5_000);
        assert!(
            hash_password(&long, &config).unwrap_err().message.contains("auth.password_bytes_max")
        );
    }
}
