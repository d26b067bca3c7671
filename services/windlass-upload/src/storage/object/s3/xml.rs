//! The bodies of S3's answers and of the one request that has one.

use quick_xml::escape::escape;
use serde::Deserialize;
use windlass_task::PartNumber;

use crate::storage::object::store::Tag;

/// A page of a listing of objects.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Objects {
    pub(super) contents: Vec<Content>,
    pub(super) is_truncated: bool,
}

/// An object in a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) last_modified: String,
}

/// The answer to a multipart upload's beginning.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Begun {
    pub(super) upload_id: String,
}

/// The answer to a part that was copied.
#[derive(Debug, Deserialize)]
pub(super) struct Copied {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}

/// A page of a listing of parts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedParts {
    pub(super) part: Vec<Part>,
    pub(super) is_truncated: bool,
    pub(super) next_part_number_marker: Option<u32>,
}

/// A part in a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Part {
    pub(super) part_number: u32,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
}

/// A page of a listing of multipart uploads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedUploads {
    pub(super) upload: Vec<Upload>,
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: Option<String>,
    pub(super) next_upload_id_marker: Option<String>,
}

/// An open multipart upload in a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
    pub(super) initiated: String,
}

/// The request that completes a multipart upload of these parts.
pub(super) fn complete(parts: &[(PartNumber, Tag)]) -> String {
    let mut text = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (number, tag) in parts {
        let etag = escape(tag.0.as_str());
        text.push_str(&format!(
            "<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>",
            number.0
        ));
    }
    text.push_str("</CompleteMultipartUpload>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::object::xml::read;

    #[test]
    fn listings_are_read_with_and_without_anything_in_them() {
        let listed: Objects = read(
            b"<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated><Contents><Key>a&amp;b</Key><Size>3</Size>\
            <LastModified>2026-11-22T20:00:00.000Z</LastModified></Contents><Contents><Key>c</Key><Size>0</Size>\
            <LastModified>x</LastModified></Contents></ListBucketResult>",
        )
        .unwrap();
        assert_eq!(
            listed
                .contents
                .first()
                .map(|content| (content.key.as_str(), content.size)),
            Some(("a&b", 3))
        );
        assert!(listed.is_truncated && listed.contents.len() == 2);
        let empty: ListedParts = read(b"<ListPartsResult></ListPartsResult>").unwrap();
        assert!(empty.part.is_empty() && !empty.is_truncated);
    }

    #[test]
    fn parts_are_named_with_their_tags_escaped() {
        let parts = [(PartNumber(7), Tag("\"a&b\"".to_owned()))];
        let part = "<Part><PartNumber>7</PartNumber><ETag>&quot;a&amp;b&quot;</ETag></Part>";
        assert!(complete(&parts).contains(part));
    }
}
