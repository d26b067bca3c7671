//! One entry: `method` and `payload`, as a call of the API has them, or `event`, a CloudEvent of an upload.

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use windlass_redis::{Error, Value};
use windlass_task::{Event, Tenant};

use super::{Settings, read};
use crate::api::{self, Api};
use crate::codes::ErrorCode;

/// An entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: String,
    /// Fields and values by turns.
    pub(super) fields: Vec<String>,
}

/// A call of the API.
type ApiCall<'a> = (&'a str, Box<RawValue>, Tenant);

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is carried out.
    Done,
    /// It cannot be now.
    NotYet,
    /// It never will be, and why.
    Never(String),
}

type Written = (String, Option<Vec<String>>);

/// What `XREADGROUP` answers: the entries of one stream.
pub(super) fn taken(answer: Value) -> Result<Vec<Entry>, Error> {
    let streams: Option<Vec<(String, Vec<Written>)>> = match answer {
        // RESP3 has a map from streams to entries.
        Value::Map(streams) => {
            let read_one = |(name, entries)| Ok((read(name)?, read(entries)?));
            Some(streams.into_iter().map(read_one).collect::<Result<_, Error>>()?)
        }
        answer => read(answer)?,
    };
    let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
    Ok(entries.map(Entry::of).collect())
}

/// What `XAUTOCLAIM` answers: where to go on, the entries, and those that were deleted meanwhile.
pub(super) fn claimed(answer: Value) -> Result<Vec<Entry>, Error> {
    let (_, entries, _): (String, Vec<Written>, Vec<String>) = read(answer)?;
    Ok(entries.into_iter().map(Entry::of).collect())
}

impl Entry {
    fn of((id, fields): Written) -> Self {
        Self {
            id,
            fields: fields.unwrap_or_default(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut pairs = self.fields.chunks_exact(2);
        pairs.find_map(|pair| (pair[0] == name).then_some(pair[1].as_str()))
    }

    /// Calls the API with it.
    pub(super) async fn carry_out(&self, settings: &Settings, api: impl FnOnce(Tenant) -> Api) -> Ending {
        let call = match self.field("event") {
            Some(event) => of_event(event, settings),
            None => self.call(settings),
        };
        let (method, params, tenant) = match call {
            Ok(call) => call,
            Err(reason) => return Ending::Never(reason.to_owned()),
        };
        match api(tenant).call(method, &params).await {
            Ok(result) if has_internal_error(&result) => Ending::NotYet,
            Ok(_) => Ending::Done,
            Err(api::Error::Refused(ErrorCode::Internal)) => Ending::NotYet,
            Err(error) => {
                let (code, message, _) = error.code().parts();
                Ending::Never(format!("{code}: {message}"))
            }
        }
    }

    /// The method, its parameters with an idempotency key, and the tenant.
    fn call(&self, settings: &Settings) -> Result<ApiCall<'_>, &'static str> {
        let method = self.field("method").ok_or("the entry has no method")?;
        let payload = self.field("payload").ok_or("the entry has no payload")?;
        let tenant = match self.field("tenant") {
            Some(name) => name.parse().map_err(|_| "the tenant is not a tenant's name")?,
            None => settings.tenant.clone().unwrap_or_else(Tenant::default_tenant),
        };
        let mut params: Map<String, Json> =
            serde_json::from_str(payload).map_err(|_| "the payload is not a JSON object")?;
        if matches!(method, "publish" | "broadcast") && !params.contains_key("idempotency_key") {
            let key = self.field("key").unwrap_or(&self.id);
            params.insert("idempotency_key".to_owned(), key.into());
        }
        Ok((method, written(&params)?, tenant))
    }
}

/// An upload's event, published as it is: its id is the same whenever it comes.
fn of_event<'a>(text: &str, settings: &Settings) -> Result<ApiCall<'a>, &'static str> {
    let event: Event = serde_json::from_str(text).map_err(|_| "the event is not an upload's")?;
    let channel = settings.channel.replace("{task}", &event.subject.to_string());
    let channel = channel.replace("{owner}", &event.data.owner.to_string());
    let params = json!({"channel": channel, "data": event, "idempotency_key": event.id});
    Ok(("publish", written(&params)?, event.tenant))
}

fn written(params: &impl serde::Serialize) -> Result<Box<RawValue>, &'static str> {
    serde_json::value::to_raw_value(params).map_err(|_| "the call cannot be written")
}

/// Whether something in the replies of a broadcast or batch failed for a reason that passes.
fn has_internal_error(result: &RawValue) -> bool {
    let (code, ..) = ErrorCode::Internal.parts();
    let Ok(result) = serde_json::from_str::<Json>(result.get()) else {
        return false;
    };
    let is_internal = |reply: &Json| reply["error"]["code"] == code;
    let lists = [&result["responses"], &result["replies"]];
    lists.iter().any(|list| {
        let replies = list.as_array();
        replies.is_some_and(|replies| {
            replies.iter().any(|reply| {
                let broadcast = reply["broadcast"]["responses"].as_array();
                is_internal(reply) || broadcast.is_some_and(|responses| responses.iter().any(is_internal))
            })
        })
    })
}
