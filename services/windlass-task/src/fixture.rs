//! The one task that tests of this crate and of others begin with. Compiled for tests only.

use std::time::Duration;

use crate::epoch::{Generation, HolderId, Token, WriterEpoch};
use crate::id::{Origin, Owner, TaskId, TaskKey, Tenant};
use crate::metadata::Metadata;
use crate::record::{Creation, Protocol, Record};
use crate::time::UnixMillis;

/// The creation of a tus upload of the local owner, with a new id, no key and a day to live.
#[must_use]
pub fn creation(length: Option<u64>) -> Creation {
    Creation {
        key: TaskKey {
            tenant: Tenant::default_tenant(),
            id: TaskId::generate(&Origin::local()),
        },
        owner: Owner::local(),
        protocol: Protocol::Tus,
        length,
        metadata: Metadata::default(),
        token: Token {
            generation: Generation(1),
            epoch: WriterEpoch(1),
            holder: HolderId::from_u128(1),
        },
        write_key: None,
        lifetime: Duration::from_secs(86_400),
        concat: None,
        digest: None,
        aliases: Vec::new(),
    }
}

/// The record of such an upload of `protocol`'s, created at the epoch of the clock.
#[must_use]
pub fn record(protocol: Protocol, length: Option<u64>) -> Record {
    let creation = Creation {
        protocol,
        ..creation(length)
    };
    Record::create(creation, UnixMillis(0))
}
