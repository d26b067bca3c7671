//! `Upload-Checksum` (tus 1.0.0, Checksum and Checksum Trailer).

use http::{HeaderMap, HeaderName, header};

use super::Rejection;
use super::request::text;
use crate::append::Check;
use crate::digest::{Algorithm, Expected, Hasher, Malformed};
use crate::error::Error;

const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const NAME: &str = "Upload-Checksum";

/// Where a body's checksum comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// It is known before the body.
    Header(Expected),
    /// It follows the body.
    Trailer,
}

/// What a request says of its body's checksum.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Checksum>, Rejection> {
    if let Some(value) = text(headers, &UPLOAD_CHECKSUM, NAME)? {
        return parse(value).map(Checksum::Header).map(Some);
    }
    let announced = headers
        .get_all(header::TRAILER)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let trailer = announced
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(NAME));
    Ok(trailer.then_some(Checksum::Trailer))
}

fn parse(value: &str) -> Result<Expected, Rejection> {
    Expected::parse(value).map_err(|malformed| match malformed {
        Malformed::Algorithm => Rejection::ChecksumAlgorithm,
        Malformed::Digest => Rejection::Malformed {
            name: NAME,
            grammar: "an algorithm, a space and the base64 of a digest of its size",
        },
    })
}

/// The check of one body.
pub struct Verify {
    checksum: Checksum,
    hashers: Vec<(Algorithm, Hasher)>,
}

impl Verify {
    /// A check that has seen nothing. A checksum that only follows may be by any algorithm, so then all are computed.
    #[must_use]
    pub fn new(checksum: Checksum) -> Self {
        let algorithms: &[Algorithm] = match &checksum {
            Checksum::Header(expected) => &[expected.algorithm],
            Checksum::Trailer => &Algorithm::ALL,
        };
        let hashers = algorithms
            .iter()
            .map(|algorithm| (*algorithm, Hasher::new(*algorithm)))
            .collect();
        Self { checksum, hashers }
    }
}

impl Check for Verify {
    fn see(&mut self, bytes: &[u8]) {
        for (_, hasher) in &mut self.hashers {
            hasher.update(bytes);
        }
    }

    fn judge(self: Box<Self>, trailers: Option<&HeaderMap>) -> Result<(), Error> {
        let expected = match self.checksum {
            Checksum::Header(expected) => expected,
            Checksum::Trailer => {
                let value = trailers
                    .map(|trailers| text(trailers, &UPLOAD_CHECKSUM, NAME))
                    .transpose()?
                    .flatten();
                parse(value.ok_or(Rejection::Missing { name: NAME })?)?
            }
        };
        let hasher = self
            .hashers
            .into_iter()
            .find(|(algorithm, _)| *algorithm == expected.algorithm);
        if hasher.is_some_and(|(_, hasher)| expected.matches(&hasher.finish())) {
            Ok(())
        } else {
            Err(Rejection::ChecksumMismatch.into())
        }
    }
}
