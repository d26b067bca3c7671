//! The random key in an upload's URL that gives the right to write where no token is demanded.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::epoch::random_bytes;

/// 128 random bits, shown once, in the `Location` of the creation.
pub struct WriteKey([u8; 16]);

impl WriteKey {
    /// A fresh key.
    #[must_use]
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// The key as it stands in a URL: 22 characters of unpadded base64url.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What the record keeps of it.
    #[must_use]
    pub fn hash(&self) -> WriteKeyHash {
        WriteKeyHash::of(&self.to_text())
    }
}

/// SHA-256 of a write key's text, base64url: a record or a backup that leaks gives no right to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriteKeyHash(String);

impl WriteKeyHash {
    /// The hash of a key's text: one of ours, or a foreign secret that serves as one.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes())))
    }

    /// Whether `presented` is the key, compared in constant time.
    #[must_use]
    pub fn admits(&self, presented: &str) -> bool {
        let presented = Self::of(presented);
        self.0.as_bytes().ct_eq(presented.0.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_itself_is_admitted() {
        let (key, other) = (WriteKey::random(), WriteKey::random());
        let hash = key.hash();
        assert!(hash.admits(&key.to_text()));
        assert!(!hash.admits(&other.to_text()));
        assert!(!hash.admits(""));
        assert!(!hash.admits(&key.to_text()[1..]));
        assert_eq!(key.to_text().len(), 22);
    }
}
