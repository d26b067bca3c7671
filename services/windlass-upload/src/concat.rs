//! Joining partial uploads into a final one (tus 1.0.0, Concatenation): nothing is copied.
//!
//! A final upload lists its parts' segments; the bytes stay the parts'. Order: the final record is created first,
//! naming its parts; then each part is told that it is adopted, so that its bytes outlive it; once all parts are
//! complete, their segments are listed in one commit. Whatever dies in between, the final upload is there to be
//! gone on with, or expires and disowns its parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use windlass_task::change::{Change, Refusal};
use windlass_task::{
    Answer, Commit, Concat, Entry, Expected, Finish, Outcome, Principal, Record, Segment, Status, TaskId, TaskKey,
};

use crate::creation::New;
use crate::error::Error;
use crate::finish::{self, Whole};
use crate::hooks::Asked;
use crate::location::parse_path;
use crate::service::{Upload, failure};
use crate::tus::Rejection;
use crate::verdict;

/// A final upload waits for parts that are still being uploaded, so it lives longer than they do.
pub(crate) const LIFETIMES: u32 = 7;

/// What a final upload is made of.
pub(crate) struct Final<'a> {
    /// Its parts in order.
    pub(crate) urls: &'a [String],
    /// The `Upload-Concat` field that named them.
    pub(crate) header: String,
}

/// Creates the final upload `new` of the parts at the URLs, joined at once when all are complete; with what `pre-create`
/// adds to the answer.
pub(crate) async fn create_final(
    upload: &Arc<Upload>,
    principal: &Principal,
    new: New,
    Final { urls, header }: Final<'_>,
    host: Option<&str>,
    asked: &Asked,
) -> Result<(Record, Option<Answer>), Error> {
    let mut parts = Vec::with_capacity(urls.len());
    for (index, url) in urls.iter().enumerate() {
        let part = find_part(upload, principal, url, host).await?;
        parts.push(part.ok_or(Rejection::ConcatPart { position: index + 1 })?.key.id);
    }
    let key = new.key().clone();
    let joined = Concat::Final {
        parts: parts.clone(),
        header,
    };
    let new = new.living_longer(LIFETIMES).in_concatenation(Some(joined));
    let (record, answer) = new.record(asked).await?;
    let distinct: BTreeSet<TaskId> = parts.into_iter().collect();
    for id in distinct {
        let part = TaskKey {
            tenant: key.tenant.clone(),
            id,
        };
        let adopt = Commit::present(part, vec![Change::Adopt { by: key.id.clone() }]);
        match upload.commit(adopt).await? {
            Outcome::Committed(Entry::Live(_)) => {}
            other => return Err(failure(other)),
        }
    }
    let joined = join(upload, &key, asked).await?.unwrap_or(record);
    if joined.finish != Finish::VerdictPending {
        return Ok((joined, answer));
    }
    let asking = verdict::ask(upload, &key, asked.clone(), false);
    Ok((asking.wait(upload, &key).await?, answer))
}

/// Tells the parts of a final upload again that it lists their bytes, after a store may have forgotten it, and joins it if
/// that is forgotten too.
pub(crate) async fn adopt_again(upload: &Arc<Upload>, record: Record) -> Result<Record, Error> {
    let Some(Concat::Final { parts, .. }) = &record.concat else {
        return Ok(record);
    };
    for id in parts.iter().collect::<BTreeSet<_>>() {
        let part = TaskKey {
            tenant: record.key.tenant.clone(),
            id: id.clone(),
        };
        // The part's own record may be of an earlier generation, or forgotten with this one.
        let adopted_by = match upload.entry(&part).await? {
            Some(Entry::Live(part)) => match part.concat {
                Some(Concat::Partial { adopted_by }) => adopted_by,
                Some(Concat::Final { .. }) | None => continue,
            },
            // It was ended before anybody could know who lists its bytes: nothing is removed until the store is whole.
            Some(Entry::Gone(part)) if part.stored => part.adopted_by,
            Some(Entry::Gone(_)) | None => continue,
        };
        let by = record.key.id.clone();
        if adopted_by.contains(&by) {
            continue;
        }
        match upload
            .commit(Commit::present(part, vec![Change::AdoptAgain { by }]))
            .await?
        {
            Outcome::Committed(_) | Outcome::Refused(Refusal::Gone | Refusal::Concat, _) => {}
            other => return Err(failure(other)),
        }
    }
    Ok(join(upload, &record.key, &Asked::default()).await?.unwrap_or(record))
}

/// A partial upload that the caller may write to, by its URL on this server; `None` when it is no such thing.
async fn find_part(
    upload: &Arc<Upload>,
    principal: &Principal,
    url: &str,
    host: Option<&str>,
) -> Result<Option<Record>, Error> {
    let path = parse_url(url, upload.config.public_url.as_deref(), host);
    let Some(target) = path.and_then(|path| parse_path(path, upload.tusd.as_ref())) else {
        return Ok(None);
    };
    let record = async {
        let key = upload.find(&target).await?;
        upload.authorise(upload.load(&key).await?, principal, &target)
    };
    match record.await {
        Ok(record) => Ok(matches!(record.concat, Some(Concat::Partial { .. })).then_some(record)),
        Err(Error::FindUpload | Error::ReachUpload { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path that a URL names, if it is one of this server's: a path, or an absolute URL of the public address or of
/// the host that the request itself was sent to.
fn parse_url<'a>(url: &'a str, public_url: Option<&str>, host: Option<&str>) -> Option<&'a str> {
    let own = public_url.and_then(|base| url.strip_prefix(base.trim_end_matches('/')));
    let of_host = || {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        rest.strip_prefix(host?)
    };
    if url.starts_with('/') {
        Some(url)
    } else {
        own.or_else(of_host)
    }
}

/// Completes a final upload whose parts are all complete. `None` while some are not, or when it is not to be joined.
pub(crate) async fn join(upload: &Arc<Upload>, key: &TaskKey, asked: &Asked) -> Result<Option<Record>, Error> {
    let Some(Entry::Live(record)) = upload.entry(key).await? else {
        return Ok(None);
    };
    let Some(Concat::Final { parts, .. }) = &record.concat else {
        return Ok(None);
    };
    if record.status.is_final() {
        return Ok(Some(*record));
    }
    if record.finish == Finish::VerdictPending {
        verdict::ask(upload, key, asked.clone(), false);
        return Ok(Some(*record));
    }
    let mut segments = Vec::new();
    let mut length = 0;
    for id in parts {
        let part = TaskKey {
            tenant: key.tenant.clone(),
            id: id.clone(),
        };
        match upload.entry(&part).await? {
            Some(Entry::Live(part)) if part.status == Status::Completed => {
                segments.extend(part.segments.iter().map(|segment| shifted(segment, length)));
                length += part.received;
            }
            Some(Entry::Live(part)) if !part.status.is_final() => return Ok(None),
            Some(Entry::Gone(part)) if part.lent_to(&key.id).is_some() => {
                let lent = part.lent_to(&key.id).unwrap_or_default();
                segments.extend(lent.iter().map(|segment| shifted(segment, length)));
                length += part.offset;
            }
            Some(Entry::Live(_) | Entry::Gone(_)) | None => return fail(upload, *record).await.map(Some),
        }
    }
    let verdict = if upload.asks_before_finish() || !upload.storage().is_sealed(&segments) {
        None
    } else {
        let whole = Whole {
            key,
            length,
            segments: &segments,
            demanded: record.digest.as_deref(),
            wanted: false,
        };
        Some(finish::decide(upload, whole).await?.verdict)
    };
    let mut changes = vec![Change::DeclareLength(length)];
    if length > 0 {
        changes = vec![
            Change::Advance {
                received: length,
                segments,
            },
            Change::DeclareLength(length),
        ];
    }
    changes.extend(verdict.into_iter().flat_map(|verdict| finish::changes(upload, verdict)));
    let expected = Expected::Holder {
        token: record.token,
        received: record.received,
    };
    let commit = Commit {
        key: key.clone(),
        expected,
        changes,
        traceparent: None,
    };
    match upload.commit(commit).await? {
        Outcome::Committed(Entry::Live(record)) => {
            if record.finish == Finish::VerdictPending {
                // Not waited for here: whoever completes a part does not wait for the whole's verdict.
                verdict::ask(upload, key, asked.clone(), false);
            }
            Ok(Some(*record))
        }
        // Somebody else joined it in the meantime.
        Outcome::Conflict(Some(Entry::Live(record))) => Ok(Some(*record)),
        Outcome::Refused(Refusal::Verdict | Refusal::Transition(_), Some(Entry::Live(record))) => Ok(Some(*record)),
        other => Err(failure(other)),
    }
}

async fn fail(upload: &Upload, record: Record) -> Result<Record, Error> {
    let reason = "a part was terminated, expired or failed before it was complete".to_owned();
    match upload
        .commit(Commit::present(record.key, vec![Change::Fail { reason }]))
        .await?
    {
        Outcome::Committed(Entry::Live(record)) => Ok(*record),
        other => Err(failure(other)),
    }
}

fn shifted(segment: &Segment, by: u64) -> Segment {
    Segment {
        start: segment.start + by,
        end: segment.end + by,
        ..segment.clone()
    }
}

/// Joins what has waited for a part that is complete now. If this process dies first, the part's event does it.
pub(crate) async fn part_advanced(upload: &Arc<Upload>, part: &Record) {
    let Some(Concat::Partial { adopted_by }) = &part.concat else {
        return;
    };
    if !part.status.is_final() {
        return;
    }
    for id in adopted_by {
        let key = TaskKey {
            tenant: part.key.tenant.clone(),
            id: id.clone(),
        };
        if let Err(error) = Box::pin(join(upload, &key, &Asked::default())).await {
            tracing::warn!(task = %id, error = &error as &dyn std::error::Error, "a concatenation has to wait");
        }
    }
}

/// Tells the parts of a final upload that is gone that it lists their bytes no more.
pub(crate) async fn disown(
    upload: &Upload,
    tenant: &windlass_task::Tenant,
    id: &TaskId,
    parts: &[TaskId],
) -> Result<(), Error> {
    for part in parts.iter().collect::<BTreeSet<_>>() {
        let key = TaskKey {
            tenant: tenant.clone(),
            id: part.clone(),
        };
        let commit = Commit::present(key, vec![Change::Disown { by: id.clone() }]);
        match upload.commit(commit).await? {
            Outcome::Committed(_) | Outcome::Refused(Refusal::Absent, None) => {}
            other => return Err(failure(other)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_this_server_name_parts() {
        let id = TaskId::generate(&windlass_task::Origin::local());
        let path = format!("/files/default/{id}/key");
        let read = |url: &str| {
            let path = parse_url(url, Some("https://up.example.org/"), Some("127.0.0.1:8080"));
            path.and_then(|path| parse_path(path, None)).is_some()
        };
        assert!(read(&path));
        assert!(read(&format!("https://up.example.org{path}")));
        assert!(read(&format!("http://127.0.0.1:8080{path}")));
        for foreign in [
            format!("http://evil.example{path}"),
            format!("http://127.0.0.1:8080.evil.example{path}"),
            format!("//evil.example{path}"),
            format!("/other{path}"),
            format!("{path}/more"),
            "/files/".to_owned(),
            String::new(),
        ] {
            assert!(!read(&foreign), "{foreign}");
        }
    }
}
