//! The tenants' limits as they are written.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::Deserialize;
use windlass_task::Tenant;

/// The `upload.tenants` section: what every tenant may have, and what single ones may instead.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// What a tenant may have that is not named.
    pub default: Limits,
    /// By tenant, in place of the whole default.
    pub named: BTreeMap<Tenant, Limits>,
}

/// What a tenant may have over all processes; without a number, as much as there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// The largest upload, bytes.
    pub max_size_bytes: Option<u64>,
    /// Unfinished uploads at once.
    pub uploads: Option<u64>,
    /// Bytes of bodies a second.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Bytes that may be in memory on their way to an object store; the byte budget of each process tenants share evenly
    /// besides.
    pub bytes_in_flight: Option<NonZeroU64>,
}

impl Settings {
    /// What this tenant may have.
    pub(crate) fn of(&self, tenant: &Tenant) -> &Limits {
        self.named.get(tenant).unwrap_or(&self.default)
    }
}
