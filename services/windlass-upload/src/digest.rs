//! Digests of bodies and of whole uploads, under the names that tus and HTTP (RFC 9530) give them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;
use subtle::ConstantTimeEq as _;

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-1; tus demands it of every server with checksums.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// CRC-32 (IEEE 802.3), big-endian.
    Crc32,
    /// CRC-32C (Castagnoli), big-endian.
    Crc32c,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 6] = [
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Crc32c,
        Self::Crc32,
        Self::Md5,
    ];

    /// Its name in `Upload-Checksum` and `Tus-Checksum-Algorithm`.
    #[must_use]
    pub fn tus_name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
        }
    }

    /// Its key in `Repr-Digest` and `Content-Digest` (RFC 9530 section 5); CRC-32 has none.
    #[must_use]
    pub fn http_name(self) -> Option<&'static str> {
        match self {
            Self::Md5 => Some("md5"),
            Self::Sha1 => Some("sha"),
            Self::Sha256 => Some("sha-256"),
            Self::Sha512 => Some("sha-512"),
            Self::Crc32c => Some("crc32c"),
            Self::Crc32 => None,
        }
    }

    /// The size of its digests in bytes.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Crc32 | Self::Crc32c => 4,
        }
    }
}

/// A digest that bytes are to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// What comes out of it.
    pub digest: Vec<u8>,
}

/// A text that is no `algorithm base64-digest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The algorithm is not one of ours.
    Algorithm,
    /// The digest is not base64, or not of the algorithm's size.
    Digest,
}

impl Expected {
    /// Reads the value of an `Upload-Checksum` header (tus 1.0.0, Checksum).
    ///
    /// # Errors
    /// Which part cannot be read.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (name, digest) = text.trim().split_once(' ').ok_or(Malformed::Digest)?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.tus_name() == name)
            .ok_or(Malformed::Algorithm)?;
        let digest = STANDARD.decode(digest.trim_start()).map_err(|_| Malformed::Digest)?;
        if digest.len() != algorithm.size() {
            return Err(Malformed::Digest);
        }
        Ok(Self { algorithm, digest })
    }

    /// Whether `found` is this digest.
    #[must_use]
    pub fn matches(&self, found: &[u8]) -> bool {
        self.digest.as_slice().ct_eq(found).into()
    }
}

/// A digest in the making.
pub struct Hasher(State);

enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
    Crc32(crc32fast::Hasher),
    Crc32c(u32),
}

impl Hasher {
    /// A digest of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
            Algorithm::Crc32 => State::Crc32(crc32fast::Hasher::new()),
            Algorithm::Crc32c => State::Crc32c(0),
        })
    }

    /// Takes bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Md5(state) => state.update(bytes),
            State::Sha1(state) => state.update(bytes),
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
            State::Crc32(state) => state.update(bytes),
            State::Crc32c(state) => *state = crc32c::crc32c_append(*state, bytes),
        }
    }

    /// The digest of everything that was taken.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            State::Md5(state) => state.finalize().to_vec(),
            State::Sha1(state) => state.finalize().to_vec(),
            State::Sha256(state) => state.finalize().to_vec(),
            State::Sha512(state) => state.finalize().to_vec(),
            State::Crc32(state) => state.finalize().to_be_bytes().to_vec(),
            State::Crc32c(state) => state.to_be_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_gives_its_published_digest_of_123456789() {
        for (algorithm, hex) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                Algorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"12345");
            hasher.update(b"6789");
            let digest = hasher.finish();
            let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, hex, "{algorithm:?}");
            assert_eq!(digest.len(), algorithm.size());
        }
    }

    #[test]
    fn a_checksum_is_read_whole_or_refused() {
        let good = Expected::parse("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
        assert_eq!((good.algorithm, good.digest.len()), (Algorithm::Sha1, 20));
        assert_eq!(
            Expected::parse("sha3 Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
            Err(Malformed::Algorithm)
        );
        for bad in [
            "",
            "sha1",
            "sha1 ",
            "sha1 !!!",
            "sha1 AAAA",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            assert_eq!(Expected::parse(bad), Err(Malformed::Digest), "{bad:?}");
        }
    }
}
