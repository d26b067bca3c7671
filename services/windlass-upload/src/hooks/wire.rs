//! What goes over the wire: tusd's hook request and response in JSON, field by field.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use windlass_task::{Alias, Answer, Concat, Metadata, Record, TaskKey};

use super::Asked;
use crate::storage::Storage;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    pub(super) r#type: &'static str,
    pub(super) event: Event,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Event {
    pub(super) upload: Upload,
    #[serde(rename = "HTTPRequest")]
    pub(super) request: HttpRequest,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Upload {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) size_is_deferred: bool,
    pub(super) offset: u64,
    pub(super) meta_data: BTreeMap<String, String>,
    pub(super) is_partial: bool,
    pub(super) is_final: bool,
    pub(super) partial_uploads: Option<Vec<String>>,
    pub(super) storage: Option<BTreeMap<&'static str, String>>,
}

impl Upload {
    /// The upload of a record; all its bytes count here, also the one that clients are not shown yet.
    pub(super) fn of(record: &Record, storage: &dyn Storage) -> Self {
        Self {
            id: id_of(&record.key, &record.aliases),
            size: record.length.unwrap_or(0),
            size_is_deferred: record.length.is_none(),
            offset: record.received,
            meta_data: pairs(&record.metadata),
            is_partial: matches!(record.concat, Some(Concat::Partial { .. })),
            is_final: matches!(record.concat, Some(Concat::Final { .. })),
            partial_uploads: match &record.concat {
                Some(Concat::Final { parts, .. }) => Some(parts.iter().map(ToString::to_string).collect()),
                Some(Concat::Partial { .. }) | None => None,
            },
            storage: place(record, storage),
        }
    }
}

/// The name that the receiver knows an upload by: of one that was taken over, the one it had where it was created.
pub(super) fn id_of(key: &TaskKey, aliases: &[Alias]) -> String {
    aliases.first().map_or_else(|| key.id.to_string(), ToString::to_string)
}

/// Where the bytes are: `Path` when one file is the upload, `Segments` always.
fn place(record: &Record, storage: &dyn Storage) -> Option<BTreeMap<&'static str, String>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Place {
        path: String,
        start: u64,
        end: u64,
    }
    let places: Option<Vec<Place>> = record
        .segments
        .iter()
        .map(|segment| {
            Some(Place {
                path: storage.path_of(segment)?.to_string_lossy().into_owned(),
                start: segment.start,
                end: segment.end,
            })
        })
        .collect();
    let places = places.filter(|places| !places.is_empty())?;
    let mut storage = BTreeMap::from([("Type", "disk".to_owned())]);
    if let [one] = &places[..] {
        storage.insert("Path", one.path.clone());
    }
    storage.insert("Segments", serde_json::to_string(&places).ok()?);
    Some(storage)
}

/// Values that are no UTF-8 have their other bytes replaced, as Go's encoder does.
pub(super) fn pairs(metadata: &Metadata) -> BTreeMap<String, String> {
    metadata
        .pairs()
        .map(|(key, value)| (key.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HttpRequest {
    pub(super) method: String,
    #[serde(rename = "URI")]
    pub(super) uri: String,
    pub(super) remote_addr: String,
    pub(super) header: BTreeMap<String, Vec<String>>,
}

impl HttpRequest {
    /// The request that caused the call, as far as there is one. Its path is without the key: whoever reads the
    /// receiver's log gets no right to write.
    pub(super) fn of(asked: &Asked, uri: String) -> Self {
        let asked = asked.0.as_deref();
        Self {
            method: asked.map(|asked| asked.method.to_string()).unwrap_or_default(),
            uri,
            remote_addr: asked
                .and_then(|asked| asked.peer)
                .map(|peer| peer.to_string())
                .unwrap_or_default(),
            header: asked.map(|asked| fields(&asked.headers)).unwrap_or_default(),
        }
    }
}

/// Go writes `Upload-Length` where HTTP does not care; receivers look fields up by that spelling.
fn fields(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        fields.entry(canonical(name.as_str())).or_default().push(value);
    }
    fields
}

fn canonical(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = c == '-';
            c
        })
        .collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Response {
    #[serde(rename = "HTTPResponse")]
    http_response: Option<HttpResponse>,
    pub(super) reject_upload: bool,
    pub(super) reject_termination: bool,
    pub(super) stop_upload: bool,
    pub(super) change_file_info: Option<Changes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HttpResponse {
    status_code: u16,
    body: Option<String>,
    header: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Changes {
    #[serde(rename = "ID")]
    pub(super) id: Option<String>,
    pub(super) meta_data: Option<BTreeMap<String, String>>,
    pub(super) storage: Option<BTreeMap<String, String>>,
}

impl Response {
    /// The words for the client.
    pub(super) fn answer(&mut self) -> Answer {
        let said = self.http_response.take().unwrap_or_default();
        Answer {
            status: Some(said.status_code).filter(|status| (100..=599).contains(status)),
            body: said.body.unwrap_or_default(),
            fields: said.header.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_with_nulls_or_nothing_is_one_that_agrees() {
        for text in [
            "{}",
            r#"{"HTTPResponse":null,"ChangeFileInfo":null}"#,
            r#"{"HTTPResponse":{"Header":null}}"#,
        ] {
            let mut response: Response = serde_json::from_str(text).unwrap();
            assert!(!response.reject_upload && !response.stop_upload);
            assert_eq!(response.answer().status, None);
        }
    }

    #[test]
    fn fields_are_spelt_as_go_spells_them() {
        assert_eq!(canonical("x-http-method-override"), "X-Http-Method-Override");
        assert_eq!(canonical("host"), "Host");
    }
}
