//! Whether a finished upload's bytes are still those that were verified.

use windlass_task::{Finish, Record};

use crate::digest::Algorithm;
use crate::finish;
use crate::ietf::fields;
use crate::storage::{Completion, Error, Storage};

/// What reading the bytes has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// They have the digest that they had.
    Same,
    /// They have another.
    Other,
    /// They never had one that can be computed here.
    WithoutDigest,
}

/// Reads a finished upload and compares it with the digest in its completion, or the one that its creation demanded.
pub(super) async fn compare(
    storage: &dyn Storage,
    record: &Record,
    completion: Option<&Completion>,
) -> Result<Compared, Error> {
    let verified = completion.and_then(|completion| completion.digest.as_ref());
    let stated = verified.or(record.digest.as_ref());
    let stated = stated
        .and_then(|text| fields::digests(text.as_bytes()))
        .unwrap_or_default();
    if record.finish != Finish::Accepted || stated.is_empty() {
        return Ok(Compared::WithoutDigest);
    }
    let algorithms: Vec<Algorithm> = stated.iter().map(|expected| expected.algorithm).collect();
    let found = finish::compute(storage, &record.segments, record.received, &algorithms).await?;
    let same = stated.iter().all(|expected| {
        let own = found.iter().find(|own| own.algorithm == expected.algorithm);
        own.is_some_and(|own| expected.matches(&own.digest))
    });
    Ok(if same { Compared::Same } else { Compared::Other })
}
