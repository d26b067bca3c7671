//! `multipart/form-data` (RFC 7578): many files in one request, each streamed into a task of its own.
//!
//! A form cannot be resumed: when it breaks off, the file in hand fails; those before it are complete and stay.

mod bounded;

use std::sync::Arc;

use axum::body::Body;
use futures_util::TryStreamExt as _;
use http::StatusCode;
use serde::Serialize;
use windlass_task::{Answer, Metadata, Principal, Protocol, TaskId};

use self::bounded::HeaderBudget;
use crate::append::Piece;
use crate::creation::New;
use crate::error::Error as UploadError;
use crate::hooks::Asked;
use crate::service::Upload;
use crate::tus::Admission;

/// The most bytes that a field without a file may have: such fields are read over, not kept.
const FIELD_MAX_BYTES: usize = 64 * 1024;

/// A form that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content type names no boundary.
    #[error("a form's Content-Type is multipart/form-data with a boundary")]
    FindBoundary,
    /// The body is not what the boundary promises.
    #[error("the form cannot be read: {source}")]
    ParseForm {
        /// Where it went wrong.
        #[source]
        source: multer::Error,
    },
    /// There is no file in it.
    #[error("the form has no file: give at least one field a filename")]
    FindFile,
    /// There are too many.
    #[error("a form has at most {limit} files here")]
    CountFiles {
        /// The limit.
        limit: usize,
    },
    /// A field without a file is too long.
    #[error("a form field without a filename has at most {FIELD_MAX_BYTES} bytes")]
    ReadField,
    /// A field's name or type is too long to be kept.
    #[error("a file's name and type are too long: {source}")]
    KeepMetadata {
        /// Why.
        #[source]
        source: windlass_task::metadata::Error,
    },
}

impl Error {
    pub(crate) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::FindBoundary => (StatusCode::BAD_REQUEST, "form_boundary_missing"),
            Self::ParseForm { .. } => (StatusCode::BAD_REQUEST, "form_malformed"),
            Self::FindFile => (StatusCode::BAD_REQUEST, "form_without_file"),
            Self::CountFiles { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "form_files_too_many"),
            Self::ReadField => (StatusCode::PAYLOAD_TOO_LARGE, "form_field_too_large"),
            Self::KeepMetadata { .. } => (StatusCode::BAD_REQUEST, "metadata_malformed"),
        }
    }
}

/// The answer to a form: `{"files":[{"name","taskId","location","answer"?}]}`.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    files: Vec<ReceivedFile>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceivedFile {
    name: String,
    task_id: TaskId,
    location: String,
    /// A hook's words on this file: the later hook's, where both have some.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Box<Answer>>,
}

/// Whether a request's body is a form.
pub(crate) fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("multipart/form-data")
}

/// Takes all files of a form.
pub(crate) async fn take(
    upload: Arc<Upload>,
    principal: Principal,
    content_type: String,
    asked: Asked,
    body: Body,
) -> Result<Receipt, UploadError> {
    let boundary = multer::parse_boundary(content_type).ok();
    // RFC 2046 section 5.1.1: a boundary has at least one character.
    let boundary = boundary
        .filter(|boundary| !boundary.is_empty())
        .ok_or(Error::FindBoundary)?;
    let (budget, body) = HeaderBudget::watch(body.into_data_stream(), upload.config.idle_timeout);
    let mut form = multer::Multipart::new(body, boundary);
    let mut files = Vec::new();
    loop {
        budget.begin();
        let Some(field) = form.next_field().await.map_err(malformed)? else {
            break;
        };
        budget.end();
        // A browser sends a file input in which nothing was chosen with an empty name.
        let Some(name) = field.file_name().filter(|name| !name.is_empty()).map(str::to_owned) else {
            skip(field).await?;
            continue;
        };
        if files.len() >= upload.config.form_files_max {
            return Err(Error::CountFiles {
                limit: upload.config.form_files_max,
            }
            .into());
        }
        files.push(take_file(&upload, &principal, name, &asked, field).await?);
    }
    if files.is_empty() {
        return Err(Error::FindFile.into());
    }
    Ok(Receipt { files })
}

async fn take_file(
    upload: &Arc<Upload>,
    principal: &Principal,
    name: String,
    asked: &Asked,
    field: multer::Field<'_>,
) -> Result<ReceivedFile, UploadError> {
    let media_type = field.content_type().map(|media_type| media_type.to_string());
    let mut pairs = vec![("filename", name.as_bytes())];
    pairs.extend(
        media_type
            .as_deref()
            .map(|media_type| ("filetype", media_type.as_bytes())),
    );
    let metadata = Metadata::from_pairs(pairs).map_err(|source| Error::KeepMetadata { source })?;
    let new = New::begin(upload, principal, Protocol::Form, None, metadata).await?;
    let of_tenant = upload.tenants.max_size(&principal.tenant);
    let max_size = [upload.config.max_size, of_tenant].into_iter().flatten().min();
    let (task_id, location) = (new.key().id.clone(), new.location());
    let (mut session, created) = new.open(asked, None).await?;
    let admission = Admission {
        skip: 0,
        declare: None,
        room: max_size,
    };
    let taken = match session
        .take(
            field.map_ok(Piece::Bytes).map_err(|_| UploadError::ReadBody),
            admission,
            None,
        )
        .await
    {
        Ok(()) => session.end().await,
        Err(error) => Err(error),
    };
    if let Err(error) = taken {
        // The client is answered the first error; the task's own end must not hide it.
        if let Err(error) = session.fail(error.to_string()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot give a form's file up");
        }
        return Err(error);
    }
    let record = session.into_record()?;
    Ok(ReceivedFile {
        name,
        task_id,
        location,
        answer: record.answer.or_else(|| created.filter(Answer::says).map(Box::new)),
    })
}

async fn skip(mut field: multer::Field<'_>) -> Result<(), UploadError> {
    let mut size = 0;
    while let Some(chunk) = field.chunk().await.map_err(malformed)? {
        size += chunk.len();
        if size > FIELD_MAX_BYTES {
            return Err(Error::ReadField.into());
        }
    }
    Ok(())
}

fn malformed(source: multer::Error) -> UploadError {
    Error::ParseForm { source }.into()
}
