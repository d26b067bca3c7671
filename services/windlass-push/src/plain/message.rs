//! The messages, and how they stand on the wire.

use serde::{Deserialize, Serialize};
use windlass_task::feed::Standing;
use windlass_task::{Status, TaskId};

use crate::object::Object;
use crate::payload::Payload;
use crate::publication::Publication;
use crate::session::Failure;

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Up {
    /// Something about one task.
    Task {
        /// What.
        verb: Verb,
        /// The task as the client names it.
        file_id: String,
        /// Who asks, if the connection has not shown it yet or it has changed.
        token: Option<String>,
    },
    /// A message for another user of the tenant.
    Message {
        /// Whom.
        to: String,
        /// What.
        data: Payload,
    },
}

/// What is asked of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Send me its progress.
    Join,
    /// Send me no more of it.
    Leave,
    /// No more bytes for now.
    Pause,
    /// Go on.
    Resume,
}

/// Why something was not done. The texts of [`ErrorCode::parts`] are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not JSON, or not of the shape that its type demands.
    BadMessage,
    /// No such type.
    UnknownType,
    /// No such task of this owner.
    TaskNotFound,
    /// Terminated or expired.
    TaskGone,
    /// It failed.
    TaskFailed,
    /// Its state does not allow it.
    IllegalTransition,
    /// This server sees no tasks.
    NoTaskView,
    /// The connection has not shown who it is.
    TokenMissing,
    /// What it has shown is not valid.
    TokenInvalid,
    /// What it has shown has expired.
    TokenExpired,
    /// It has not the right.
    Forbidden,
    /// Messages are off.
    MessagesOff,
    /// Too many tasks on one connection.
    LimitExceeded,
    /// Something of the server does not answer.
    Unavailable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::BadMessage,
        Self::UnknownType,
        Self::TaskNotFound,
        Self::TaskGone,
        Self::TaskFailed,
        Self::IllegalTransition,
        Self::NoTaskView,
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::Forbidden,
        Self::MessagesOff,
        Self::LimitExceeded,
        Self::Unavailable,
    ];

    /// The stable code and a sentence for people.
    #[must_use]
    pub fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::BadMessage => ("bad_message", "the message is not JSON of the documented shape"),
            Self::UnknownType => ("unknown_type", "there is no message of this type"),
            Self::TaskNotFound => ("task_not_found", "there is no such task of yours"),
            Self::TaskGone => ("task_gone", "the task was terminated or has expired"),
            Self::TaskFailed => ("task_failed", "the upload has failed"),
            Self::IllegalTransition => ("illegal_transition", "the task's state does not allow this"),
            Self::NoTaskView => ("no_task_view", "this server sees no tasks"),
            Self::TokenMissing => ("token_missing", "a token is needed: send it with join"),
            Self::TokenInvalid => ("token_invalid", "the token is not valid"),
            Self::TokenExpired => ("token_expired", "the token has expired: send a new one with join"),
            Self::Forbidden => ("forbidden", "the token does not give this right"),
            Self::MessagesOff => ("messages_off", "messages between clients are not enabled here"),
            Self::LimitExceeded => ("limit_exceeded", "this connection watches too many tasks"),
            Self::Unavailable => ("unavailable", "the server cannot do this now, try again"),
        }
    }
}

impl From<Failure> for ErrorCode {
    fn from(failure: Failure) -> Self {
        match failure {
            // Whether another owner has such a task is nobody's business.
            Failure::UnknownTask | Failure::ForeignTask => Self::TaskNotFound,
            Failure::TaskGone => Self::TaskGone,
            Failure::IllegalTransition => Self::IllegalTransition,
            Failure::NoTaskView => Self::NoTaskView,
            Failure::Unavailable => Self::Unavailable,
        }
    }
}

/// What is sent to a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Down<'a> {
    /// How far a task is.
    Progress {
        /// The task.
        file_id: &'a TaskId,
        /// Whole percent.
        progress: u8,
    },
    /// Something was not done, or a task came to a bad end.
    Error {
        /// What.
        code: ErrorCode,
        /// The task as the client named it.
        file_id: Option<&'a str>,
    },
    /// Open another connection; this one is closed after so many seconds.
    Reconnect {
        /// Seconds.
        within_seconds: u64,
    },
}

impl Down<'_> {
    /// The JSON text.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let document = match self {
            Self::Progress { file_id, progress } => Document::Progress {
                file_id,
                progress: *progress,
            },
            Self::Error { code, file_id } => {
                let (code, message) = code.parts();
                Document::Error {
                    r#type: "error",
                    code,
                    message,
                    file_id: *file_id,
                }
            }
            Self::Reconnect { within_seconds } => Document::Reconnect {
                r#type: "reconnect",
                within_seconds: *within_seconds,
            },
        };
        serde_json::to_vec(&document).expect("texts and numbers always serialise")
    }
}

/// A message between users, as its receiver sees it.
#[derive(Debug, Serialize)]
pub(super) struct Letter<'a> {
    pub(super) r#type: &'static str,
    pub(super) from: &'a str,
    pub(super) data: &'a Payload,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Document<'a> {
    Progress {
        file_id: &'a TaskId,
        progress: u8,
    },
    Error {
        r#type: &'static str,
        code: &'static str,
        message: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<&'a str>,
    },
    Reconnect {
        r#type: &'static str,
        within_seconds: u64,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpDocument {
    r#type: String,
    file_id: Option<String>,
    token: Option<String>,
    to: Option<String>,
    #[serde(default)]
    data: Payload,
}

/// The message in a text frame. Fields that it does not need are ignored.
///
/// # Errors
/// Which error the client is told.
pub fn decode(text: &str) -> Result<Up, ErrorCode> {
    let Object(document): Object<UpDocument> = serde_json::from_str(text).map_err(|_| ErrorCode::BadMessage)?;
    let verb = match document.r#type.as_str() {
        "join" => Verb::Join,
        "leave" => Verb::Leave,
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "message" if document.data.is_empty() => return Err(ErrorCode::BadMessage),
        "message" => {
            return Ok(Up::Message {
                to: document.to.ok_or(ErrorCode::BadMessage)?,
                data: document.data,
            });
        }
        _ => return Err(ErrorCode::UnknownType),
    };
    let file_id = document.file_id.ok_or(ErrorCode::BadMessage)?;
    Ok(Up::Task {
        verb,
        file_id,
        token: document.token,
    })
}

/// A publication as it is sent down; `None` for what has no plain form.
#[must_use]
pub fn encode_publication(publication: &Publication) -> Option<Vec<u8>> {
    match publication {
        // What travels to a user is written by its sender's server as it is sent down.
        Publication::Joined(_) | Publication::Left(_) => None,
        Publication::Message { message, .. } => Some(message.data.bytes().to_vec()),
        Publication::Task(update) => {
            let id = &update.key.id;
            let code = match update.standing {
                Standing::Live(Status::Pending | Status::Uploading | Status::Paused | Status::Completed) => {
                    return Some(
                        Down::Progress {
                            file_id: id,
                            progress: update.progress,
                        }
                        .encode(),
                    );
                }
                Standing::Live(Status::Failed) => ErrorCode::TaskFailed,
                Standing::Gone(_) => ErrorCode::TaskGone,
            };
            Some(
                Down::Error {
                    code,
                    file_id: Some(&id.to_string()),
                }
                .encode(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_read_and_what_is_none_is_named() {
        let join = Up::Task {
            verb: Verb::Join,
            file_id: "a".into(),
            token: Some("t".into()),
        };
        assert_eq!(decode(r#"{"type":"join","fileId":"a","token":"t","more":1}"#), Ok(join));
        assert!(matches!(
            decode(r#"{"type":"message","to":"b","data":null}"#),
            Ok(Up::Message { .. })
        ));
        for (text, code) in [
            ("", ErrorCode::BadMessage),
            ("{", ErrorCode::BadMessage),
            ("null", ErrorCode::BadMessage),
            ("[1]", ErrorCode::BadMessage),
            (r#"["join","a"]"#, ErrorCode::BadMessage),
            (r#""join""#, ErrorCode::BadMessage),
            ("{}", ErrorCode::BadMessage),
            (r#"{"type":7}"#, ErrorCode::BadMessage),
            (r#"{"type":"fly"}"#, ErrorCode::UnknownType),
            (r#"{"type":"join"}"#, ErrorCode::BadMessage),
            (r#"{"type":"join","fileId":7}"#, ErrorCode::BadMessage),
            (r#"{"type":"message","data":1}"#, ErrorCode::BadMessage),
            (r#"{"type":"message","to":"b"}"#, ErrorCode::BadMessage),
        ] {
            assert_eq!(decode(text), Err(code), "{text}");
        }
    }

    #[test]
    fn what_is_sent_down_has_the_documented_shape() {
        let id: TaskId = "local-018f0000-0000-7000-8000-000000000000".parse().unwrap();
        let text = |down: Down<'_>| String::from_utf8(down.encode()).unwrap();
        assert_eq!(
            text(Down::Progress {
                file_id: &id,
                progress: 0
            }),
            format!(r#"{{"fileId":"{id}","progress":0}}"#)
        );
        assert_eq!(
            text(Down::Error {
                code: ErrorCode::TaskGone,
                file_id: Some("x")
            }),
            r#"{"type":"error","code":"task_gone","message":"the task was terminated or has expired","fileId":"x"}"#
        );
        assert_eq!(
            text(Down::Reconnect { within_seconds: 2 }),
            r#"{"type":"reconnect","withinSeconds":2}"#
        );
    }

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.parts().0).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_decoder_panic(text in "\\PC*") {
            let _ = decode(&text);
        }
    }
}
