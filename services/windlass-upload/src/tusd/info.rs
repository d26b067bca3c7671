//! tusd's `.info` file: JSON, field by field as its file store writes it (v1 and v2), read strictly.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use windlass_task::{Alias, Metadata, metadata};

/// The longest `.info` file that is read, bytes. tusd's hold a client's metadata, which came in one header, twice at
/// most.
pub(super) const INFO_MAX_BYTES: u64 = 256 * 1024;

/// An `.info` file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no JSON of the shape, or has a field that tusd does not write.
    #[error("it is not what tusd writes")]
    Parse(#[from] serde_json::Error),
    /// It is longer than any that tusd writes.
    #[error("it is longer than {INFO_MAX_BYTES} bytes")]
    Size,
    /// It belongs to another upload.
    #[error("its ID is not its file's name")]
    MatchId,
    /// It was written for another store than tusd's directory.
    #[error("its Storage.Type is {kind:?}, not \"filestore\"")]
    MatchStore {
        /// Which.
        kind: String,
    },
    /// The data is kept under another name, as a `pre-create` hook may ask of tusd.
    #[error("its Storage.Path does not end in its ID: move the data to <ID> beside the .info file, and drop the Path")]
    MatchPath,
    /// It says that the upload is partial and final.
    #[error("it says both IsPartial and IsFinal")]
    ChooseKind,
    /// The metadata do not fit what can be kept.
    #[error("its metadata cannot be kept")]
    KeepMetadata(#[from] metadata::Error),
    /// The URLs of the parts cannot be shown in a header.
    #[error("its PartialUploads cannot be ids")]
    NameParts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "ID")]
    id: String,
    size: u64,
    #[serde(default)]
    size_is_deferred: bool,
    /// Always as at creation: the size of the data is the offset. Read for its type only.
    #[serde(default, rename = "Offset")]
    _offset: u64,
    #[serde(default)]
    meta_data: Option<BTreeMap<String, String>>,
    #[serde(default)]
    is_partial: bool,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    partial_uploads: Option<Vec<String>>,
    #[serde(default)]
    storage: Option<BTreeMap<String, String>>,
}

/// An upload's part in a concatenation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// None.
    Whole,
    /// It is made to be joined with others.
    Partial,
    /// It is others, joined: in tusd a copy of their bytes.
    Final {
        /// tusd's ids of its parts, in order.
        parts: Vec<Alias>,
    },
}

/// What tusd knows of an upload, but for its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The length in bytes; `None` while it is deferred.
    pub length: Option<u64>,
    /// What the client says of its file.
    pub metadata: Metadata,
    /// Its part in a concatenation.
    pub joined: Joined,
}

/// Reads the `.info` file of the upload `id`.
///
/// # Errors
/// [`Error`] for whatever tusd would not have written, or cannot be kept here.
pub fn read(text: &[u8], id: &Alias) -> Result<Info, Error> {
    if text.len() as u64 > INFO_MAX_BYTES {
        return Err(Error::Size);
    }
    let document: Document = serde_json::from_slice(text)?;
    if document.id != id.as_str() {
        return Err(Error::MatchId);
    }
    let storage = document.storage.unwrap_or_default();
    match storage.get("Type") {
        Some(kind) if kind != "filestore" => return Err(Error::MatchStore { kind: kind.clone() }),
        Some(_) | None => {}
    }
    // The path is one of tusd's working folder; what counts is that the data is beside the `.info` file.
    let path = storage.get("Path").filter(|path| !path.is_empty());
    if path.is_some_and(|path| Path::new(path).file_name() != Some(id.as_str().as_ref())) {
        return Err(Error::MatchPath);
    }
    let joined = match (document.is_partial, document.is_final) {
        (true, true) => return Err(Error::ChooseKind),
        (true, false) => Joined::Partial,
        (false, false) => Joined::Whole,
        (false, true) => {
            let parts = document.partial_uploads.unwrap_or_default();
            let parts = parts.iter().map(|part| part.parse().map_err(|_| Error::NameParts));
            Joined::Final {
                parts: parts.collect::<Result<_, _>>()?,
            }
        }
    };
    let pairs = document.meta_data.unwrap_or_default();
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
    Ok(Info {
        length: (!document.size_is_deferred).then_some(document.size),
        metadata: Metadata::from_pairs(pairs)?,
        joined,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "c1a0ad7ee5d0f1f9a3c1b0ad7ee5d0f1";

    fn id() -> Alias {
        ID.parse().unwrap()
    }

    fn written(more: &str) -> String {
        format!(r#"{{"ID":"{ID}","Size":11,{more}"Offset":0}}"#)
    }

    #[test]
    fn what_tusd_writes_is_read() {
        let text = format!(
            r#"{{"ID":"{ID}","Size":11,"SizeIsDeferred":false,"Offset":0,"MetaData":{{"filename":"ä.txt","filetype":""}},
               "IsPartial":false,"IsFinal":false,"PartialUploads":null,
               "Storage":{{"InfoPath":"data/{ID}.info","Path":"data/{ID}","Type":"filestore"}}}}"#
        );
        let info = read(text.as_bytes(), &id()).unwrap();
        assert_eq!(info.length, Some(11));
        assert_eq!(info.metadata.filename(), Some("ä.txt"));
        assert_eq!(info.joined, Joined::Whole);
        let deferred = written(r#""SizeIsDeferred":true,"#);
        assert_eq!(read(deferred.as_bytes(), &id()).unwrap().length, None);
        let joined = written(r#""IsFinal":true,"PartialUploads":["a","b"],"#);
        let parts = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        assert_eq!(read(joined.as_bytes(), &id()).unwrap().joined, Joined::Final { parts });
    }

    #[test]
    fn what_tusd_would_not_have_written_says_what_is_wrong() {
        for (text, says) in [
            (String::new(), "not what tusd writes"),
            (written(r#""Colour":"red","#), "not what tusd writes"),
            (written("").replace("11", "-1"), "not what tusd writes"),
            (written("").replace("c1a0", "d1a0"), "ID"),
            (written(r#""Storage":{"Type":"s3store"},"#), "s3store"),
            (written(r#""Storage":{"Path":"/srv/videos/film.mp4"},"#), "Storage.Path"),
            (written(r#""Storage":{"Path":"/srv/.."},"#), "Storage.Path"),
            (written(r#""IsPartial":true,"IsFinal":true,"#), "both"),
            (written(r#""IsFinal":true,"PartialUploads":["a b"],"#), "PartialUploads"),
            (written(r#""MetaData":{"a b":"c"},"#), "metadata"),
        ] {
            let error = read(text.as_bytes(), &id()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text, &id());
        }
    }
}
