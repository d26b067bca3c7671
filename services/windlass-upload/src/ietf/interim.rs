//! 104 (Upload Resumption Supported): where the upload is before its body has ended, and how far it has come.
//!
//! Only on a listener that permits it, and only to a client that knows what it is: one that states a version of the
//! table, or speaks as the RFC will. What is told is acknowledged: recorded, and durable before that.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::Instant;
use windlass_serve::Informational;

use super::{INTEROP_VERSION, Row};
use crate::tus::response::UPLOAD_OFFSET;

/// The status (section 5).
const UPLOAD_RESUMPTION_SUPPORTED: u16 = 104;

/// The least time between two offsets: a client that shows progress needs no more, and each costs it a parse.
const BETWEEN: Duration = Duration::from_secs(1);

/// Tells one request's client.
#[derive(Debug)]
pub(crate) struct Interims {
    informational: Informational,
    row: &'static Row,
    told: Option<(Instant, u64)>,
}

impl Interims {
    /// None where nothing may be told: the listener does not permit it, or the client states a version that is not known.
    pub(crate) fn of(informational: Option<Informational>, headers: &HeaderMap, row: &'static Row) -> Option<Self> {
        let known = row.interop.is_some() || !headers.contains_key(INTEROP_VERSION);
        informational.filter(|_| known).map(|informational| Self {
            informational,
            row,
            told: None,
        })
    }

    /// Where the upload is; `fields` are its limits.
    pub(crate) fn created(&self, location: &HeaderValue, mut fields: HeaderMap) {
        fields.insert(header::LOCATION, location.clone());
        self.send(fields);
    }

    /// How far it has come, if that is news and not too soon.
    pub(crate) fn progressed(&mut self, offset: u64) {
        let now = Instant::now();
        let soon = |(at, before): (Instant, u64)| before >= offset || now.duration_since(at) < BETWEEN;
        if !self.row.progress || offset == 0 || self.told.is_some_and(soon) {
            return;
        }
        self.told = Some((now, offset));
        let mut fields = HeaderMap::new();
        fields.insert(UPLOAD_OFFSET, offset.into());
        self.send(fields);
    }

    fn send(&self, mut fields: HeaderMap) {
        if let Some(version) = self.row.interop {
            fields.insert(INTEROP_VERSION, u64::from(version).into());
        }
        let status = StatusCode::from_u16(UPLOAD_RESUMPTION_SUPPORTED).expect("104 is a status");
        if let Err(error) = self.informational.send(status, &fields) {
            // The final response says the same.
            tracing::debug!(%error, "interim response not sent");
        }
    }
}
