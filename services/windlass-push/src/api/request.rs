//! What the API is asked, by the names of Centrifugo's requests. Unknown fields are ignored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::centrifuge::command::Since;
use crate::grant::WrittenGrant;
use crate::payload::Payload;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Publish {
    pub(super) channel: String,
    pub(super) data: Payload,
    pub(super) b64data: String,
    pub(super) skip_history: bool,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) idempotency_key: String,
    pub(super) delta: bool,
    pub(super) version: u64,
    pub(super) version_epoch: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Broadcast {
    pub(super) channels: Vec<String>,
    pub(super) data: Payload,
    pub(super) b64data: String,
    pub(super) skip_history: bool,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) idempotency_key: String,
    pub(super) delta: bool,
    pub(super) version: u64,
    pub(super) version_epoch: String,
}

impl Broadcast {
    /// The channels, and what would be asked of one.
    pub(super) fn split(self) -> (Vec<String>, Publish) {
        let publish = Publish {
            channel: String::new(),
            data: self.data,
            b64data: self.b64data,
            skip_history: self.skip_history,
            tags: self.tags,
            idempotency_key: self.idempotency_key,
            delta: self.delta,
            version: self.version,
            version_epoch: self.version_epoch,
        };
        (self.channels, publish)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Subscribe {
    pub(super) channel: String,
    pub(super) user: String,
    pub(super) client: String,
    #[serde(flatten)]
    pub(super) grant: WrittenGrant,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Unsubscribe {
    pub(super) channel: String,
    pub(super) user: String,
    pub(super) client: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Disconnect {
    pub(super) user: String,
    pub(super) client: String,
    pub(super) whitelist: Vec<String>,
    pub(super) disconnect: Option<DisconnectWords>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct DisconnectWords {
    pub(super) code: u32,
    pub(super) reason: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Refresh {
    pub(super) user: String,
    pub(super) client: String,
    pub(super) expired: bool,
    pub(super) expire_at: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Channel {
    pub(super) channel: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct History {
    pub(super) channel: String,
    pub(super) limit: i32,
    pub(super) since: Option<Since>,
    pub(super) reverse: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Channels {
    pub(super) pattern: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Connections {
    pub(super) user: String,
}

#[derive(Deserialize)]
pub(super) struct Batch<'a> {
    #[serde(borrow)]
    pub(super) commands: Vec<BTreeMap<String, &'a RawValue>>,
}
