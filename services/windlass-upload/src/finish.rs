//! The verdict over a whole upload: a step of its own that is stored, so that it is never given twice or forgotten.
//!
//! The document beside the data is durable before the commit: a store that is rebuilt from the storage gives no other
//! verdict than the one that was acknowledged.

use futures_util::TryStreamExt as _;
use windlass_task::change::{Change, Verdict};
use windlass_task::{Segment, TaskKey};

use crate::content::{self, HEAD_BYTES};
use crate::digest::{Algorithm, Expected, Hasher};
use crate::error::Error;
use crate::ietf::fields;
use crate::service::Upload;
use crate::storage::{self, Completion, Storage};

/// An upload whose bytes are all durable.
pub(crate) struct Whole<'a> {
    pub(crate) key: &'a TaskKey,
    pub(crate) length: u64,
    pub(crate) segments: &'a [Segment],
    /// The digests that it must have, as a `Repr-Digest` field value.
    pub(crate) demanded: Option<&'a str>,
    /// Whether its SHA-256 is wanted anyway.
    pub(crate) wanted: bool,
}

/// What came out.
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    /// The digests of the whole, as a `Repr-Digest` field value, where they were computed.
    pub(crate) digest: Option<String>,
}

/// Decides over an upload, and makes the verdict durable beside it.
pub(crate) async fn decide(upload: &Upload, whole: Whole<'_>) -> Result<Decision, Error> {
    let completion = judge(upload, &whole).await?;
    upload.storage().write_completion(whole.key, &completion).await?;
    let Completion { digest, reason, .. } = completion;
    let verdict = reason.map_or(Verdict::Accept, |reason| Verdict::Refuse { reason });
    Ok(Decision { verdict, digest })
}

/// Judges an upload by what it must be, without writing that down.
pub(crate) async fn judge(upload: &Upload, whole: &Whole<'_>) -> Result<Completion, Error> {
    let demanded = whole
        .demanded
        .and_then(|text| fields::digests(text.as_bytes()))
        .unwrap_or_default();
    let mut algorithms: Vec<Algorithm> = demanded.iter().map(|expected| expected.algorithm).collect();
    if whole.wanted && !algorithms.contains(&Algorithm::Sha256) {
        algorithms.push(Algorithm::Sha256);
    }
    let found = if algorithms.is_empty() {
        Vec::new()
    } else {
        compute(upload.storage(), whole.segments, whole.length, &algorithms).await?
    };
    let matches = |expected: &Expected| {
        found
            .iter()
            .any(|own: &Expected| own.algorithm == expected.algorithm && expected.matches(&own.digest))
    };
    if let Some(found) = unwanted(upload, whole).await? {
        return Ok(Completion::refused(whole.length, content::refusal(found)));
    }
    if demanded.iter().all(matches) {
        Ok(Completion {
            digest: (!found.is_empty()).then(|| to_field(&found)),
            ..Completion::accepted(whole.length)
        })
    } else {
        let reason = "the upload does not have the digest that Repr-Digest states".to_owned();
        Ok(Completion::refused(whole.length, reason))
    }
}

/// What the upload is, if that is not taken.
async fn unwanted(upload: &Upload, whole: &Whole<'_>) -> Result<Option<&'static str>, Error> {
    let rules = &upload.config.content;
    if !rules.are_there() {
        return Ok(None);
    }
    let wanted = whole.length.min(HEAD_BYTES as u64);
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut bytes = upload.storage().read(whole.segments, 0..wanted).await?;
    while let Some(piece) = bytes.try_next().await? {
        head.extend_from_slice(&piece);
    }
    Ok(rules.unwanted(&head))
}

/// What a verdict changes in the record.
pub(crate) fn changes(upload: &Upload, verdict: Verdict) -> Vec<Change> {
    let held = upload.config.quarantine && verdict == Verdict::Accept;
    let quarantine = held.then_some(Change::Quarantine);
    quarantine.into_iter().chain([Change::Finish(verdict)]).collect()
}

/// Reads the whole upload back: what is stored is judged, not what was received.
pub(crate) async fn compute(
    storage: &dyn Storage,
    segments: &[Segment],
    length: u64,
    algorithms: &[Algorithm],
) -> Result<Vec<Expected>, storage::Error> {
    let mut hashers: Vec<_> = algorithms
        .iter()
        .map(|algorithm| (*algorithm, Hasher::new(*algorithm)))
        .collect();
    let mut bytes = storage.read(segments, 0..length).await?;
    while let Some(piece) = bytes.try_next().await? {
        for (_, hasher) in &mut hashers {
            hasher.update(&piece);
        }
    }
    Ok(hashers
        .into_iter()
        .map(|(algorithm, hasher)| Expected {
            algorithm,
            digest: hasher.finish(),
        })
        .collect())
}

/// A dictionary of byte sequences (RFC 9530 section 3).
fn to_field(digests: &[Expected]) -> String {
    use base64::Engine as _;
    let encode = |digest: &[u8]| base64::engine::general_purpose::STANDARD.encode(digest);
    let member = |expected: &Expected| {
        expected
            .algorithm
            .http_name()
            .map(|name| format!("{name}=:{}:", encode(&expected.digest)))
    };
    digests.iter().filter_map(member).collect::<Vec<_>>().join(", ")
}
