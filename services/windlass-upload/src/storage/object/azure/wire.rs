//! The bodies of Azure's answers and of the one request that has one, and the ids of blocks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use windlass_task::PartNumber;

use crate::storage::object::store::Tag;

/// A page of a listing of blobs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listing {
    pub(super) blobs: Blobs,
    pub(super) next_marker: String,
}

/// The blobs of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Blobs {
    pub(super) blob: Vec<Blob>,
}

/// A blob in a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Blob {
    pub(super) name: String,
    pub(super) properties: Properties,
}

/// What a listing says of a blob.
#[derive(Debug, Deserialize)]
pub(super) struct Properties {
    #[serde(rename = "Last-Modified")]
    pub(super) last_modified: String,
    #[serde(rename = "Content-Length", default)]
    pub(super) content_length: u64,
}

/// The blocks of a blob.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BlockList {
    pub(super) committed_blocks: Blocks,
    pub(super) uncommitted_blocks: Blocks,
}

/// Some blocks.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Blocks {
    pub(super) block: Vec<Block>,
}

/// A block.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) size: u64,
}

/// The id of a block: the object's beginning and the part's number, each in so many digits that all ids of a blob have one
/// length, as they must.
pub(super) fn block_id(upload: &str, number: PartNumber) -> String {
    BASE64_STANDARD.encode(format!("{upload}-{:08x}", number.0))
}

/// What a block is a part of, and its number; `None` when it is not ours.
pub(super) fn read_block_id(id: &str) -> Option<(String, PartNumber)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(id).ok()?).ok()?;
    let (upload, number) = text.split_once('-')?;
    let number = u32::from_str_radix(number, 16).ok()?;
    Some((upload.to_owned(), PartNumber(number)))
}

/// The request that makes a blob of these blocks. Their ids need no escape in XML.
pub(super) fn commit(parts: &[(PartNumber, Tag)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for (_, id) in parts {
        text.push_str(&format!("<Uncommitted>{}</Uncommitted>", id.0));
    }
    text.push_str("</BlockList>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::object::xml::read;

    #[test]
    fn the_ids_of_blocks_have_one_length_and_read_back() {
        let numbers = [1, 10_000, u32::MAX].map(PartNumber);
        let ids = numbers.map(|number| block_id("0123456789abcdef", number));
        assert!(ids.iter().all(|id| id.len() == ids[0].len() && id.len() <= 64));
        for (id, number) in ids.iter().zip(numbers) {
            assert_eq!(read_block_id(id), Some(("0123456789abcdef".to_owned(), number)));
        }
        for other in ["", "AAAA", "%%", "YWJj"] {
            assert_eq!(read_block_id(other), None);
        }
    }

    #[test]
    fn listings_are_read_with_and_without_anything_in_them() {
        let page: Listing = read(
            b"<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"x\" ContainerName=\"c\">\
            <Prefix>a</Prefix><Blobs><Blob><Name>a/b</Name><Properties><Last-Modified>Sun, 22 Nov 2026 20:00:00 GMT\
            </Last-Modified><Etag>0x1</Etag><Content-Length>3</Content-Length></Properties></Blob></Blobs>\
            <NextMarker>2!x</NextMarker></EnumerationResults>",
        )
        .unwrap();
        let blob = &page.blobs.blob[0];
        assert_eq!((blob.name.as_str(), blob.properties.content_length), ("a/b", 3));
        assert_eq!(page.next_marker, "2!x");
        let empty: Listing = read(b"<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>").unwrap();
        assert!(empty.blobs.blob.is_empty() && empty.next_marker.is_empty());
        let blocks: BlockList = read(
            b"<BlockList><CommittedBlocks /><UncommittedBlocks><Block><Name>eA==</Name><Size>5</Size></Block>\
            </UncommittedBlocks></BlockList>",
        )
        .unwrap();
        assert_eq!(
            (
                blocks.committed_blocks.block.len(),
                blocks.uncommitted_blocks.block[0].size
            ),
            (0, 5)
        );
    }
}
