//! The API by which an application's backend publishes, asks and steers, by the names and shapes of Centrifugo's.
//!
//! One key acts for one tenant, and may do everything there. What concerns a user goes to every node that has one of
//! its connections; what is asked of all nodes is asked of each, and the answers are put together.

mod ask;
pub(crate) mod glob;
mod publish;
mod request;
mod steer;

pub(crate) use ask::{Answer, ChannelInfo, ChannelState, ConnectionInfo, ConnectionState, NodeInfo, Question};
pub use steer::{Act, UserControl};

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use windlass_task::Tenant;

use crate::broker;
use crate::channel::{self, ChannelKey, Kind, NameError};
use crate::codes::ErrorCode;
use crate::config::ChannelOptions;
use crate::push::Push;

/// How many commands one batch may have: each is answered, and all of them before the response.
const BATCH_MAX: usize = 1_000;

/// The API for one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    push: Arc<Push>,
    tenant: Tenant,
}

/// Why a call gives no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    /// It is not of the documented shape.
    Malformed,
    /// There is no such method.
    UnknownMethod,
    /// What it asks for cannot be done.
    Refused(ErrorCode),
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::Unreachable | broker::Error::UnknownNode => Self::Refused(ErrorCode::Internal),
        }
    }
}

impl Error {
    /// The error as a response shows it.
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::Malformed => ErrorCode::BadRequest,
            Self::UnknownMethod => ErrorCode::MethodNotFound,
            Self::Refused(code) => code,
        }
    }
}

/// What a method gives, as it is embedded in a response.
pub(crate) type Outcome = Result<Box<RawValue>, Error>;

impl Api {
    pub(crate) fn new(push: Arc<Push>, tenant: Tenant) -> Self {
        Self { push, tenant }
    }

    /// Calls the method of this name.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn call(&self, method: &str, params: &RawValue) -> Outcome {
        match method {
            "publish" => written(self.publish(read(params)?).await?),
            "broadcast" => written(self.broadcast(read(params)?).await?),
            "subscribe" => written(self.subscribe(read(params)?).await?),
            "unsubscribe" => written(self.unsubscribe(read(params)?).await?),
            "disconnect" => written(self.disconnect(read(params)?).await?),
            "refresh" => written(self.refresh(read(params)?).await?),
            "presence" => written(self.presence(read(params)?).await?),
            "presence_stats" => written(self.presence_stats(read(params)?).await?),
            "history" => written(self.history(read(params)?).await?),
            "history_remove" => written(self.history_remove(read(params)?).await?),
            "channels" => written(self.channels(read(params)?).await?),
            "connections" => written(self.connections(read(params)?).await?),
            "info" => written(self.info().await?),
            "batch" => Box::pin(self.batch(params)).await,
            _ => Err(Error::UnknownMethod),
        }
    }

    /// Several commands, each of which has a reply in its place. They are carried out one after the other also where
    /// the caller would let them overlap.
    async fn batch(&self, params: &RawValue) -> Outcome {
        let request: request::Batch<'_> = read(params)?;
        if request.commands.len() > BATCH_MAX {
            return Err(ErrorCode::LimitExceeded.into());
        }
        let mut replies = Vec::with_capacity(request.commands.len());
        for command in request.commands {
            let mut methods = command.into_iter();
            let reply = match (methods.next(), methods.next()) {
                (Some((method, params)), None) if method != "batch" => {
                    let outcome = self.call(&method, params).await;
                    BatchReply::of(method, outcome)
                }
                (_, _) => BatchReply::of(String::new(), Err(Error::Malformed)),
            };
            replies.push(reply);
        }
        written(BatchResult { replies })
    }

    /// A stream of this name, and its options. The channels of tasks are the service's own.
    fn stream(&self, name: &str) -> Result<(ChannelKey, Arc<ChannelOptions>), ErrorCode> {
        let settings = self.push.settings();
        match channel::classify(name, &settings.channels) {
            Ok(Kind::Stream(options)) => Ok((ChannelKey::new(&self.tenant, name), options)),
            Ok(Kind::Task(_) | Kind::NoTask) => Err(ErrorCode::NotAvailable),
            Err(NameError::UnknownNamespace) => Err(ErrorCode::UnknownChannel),
            Err(NameError::Empty | NameError::TooLong | NameError::Control | NameError::Pattern) => {
                Err(ErrorCode::BadRequest)
            }
        }
    }
}

#[derive(Serialize)]
struct BatchResult {
    replies: Vec<BatchReply>,
}

/// `{"<method>": result}` or `{"error": …}`.
#[derive(Serialize)]
#[serde(untagged)]
enum BatchReply {
    Done(std::collections::BTreeMap<String, Box<RawValue>>),
    Refused { error: ErrorDocument },
}

impl BatchReply {
    fn of(method: String, outcome: Outcome) -> Self {
        match outcome {
            Ok(result) => Self::Done([(method, result)].into()),
            Err(error) => Self::Refused { error: error.into() },
        }
    }
}

/// An error as every form of the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorDocument {
    code: u32,
    message: &'static str,
}

impl From<Error> for ErrorDocument {
    fn from(error: Error) -> Self {
        let (code, message, _) = error.code().parts();
        Self { code, message }
    }
}

/// A result that says only that it was done.
#[derive(Debug, Serialize)]
struct Done {}

fn read<'a, T: serde::Deserialize<'a>>(params: &'a RawValue) -> Result<T, Error> {
    serde_json::from_str(params.get()).map_err(|_| Error::Malformed)
}

fn written(result: impl Serialize) -> Outcome {
    to_raw_value(&result).map_err(|_| Error::Refused(ErrorCode::Internal))
}
