//! The requests on objects and on multipart uploads.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, Method, header};
use windlass_task::{PartNumber, UnixMillis};

use super::{Error, Payload, S3, xml};
use crate::storage::object::exchange::Call;
use crate::storage::object::retry::Patience;
use crate::storage::object::store::{
    Finish, Listed, Object, Open, OpenPage, PAGE_KEYS, Place, Rules, Store, StoredPart, Tag,
};
use crate::storage::object::xml::read;

/// The least that a part must have, but for the last: 5 MiB on S3, R2 and MinIO; Alibaba OSS takes less.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// The most that one part can have, copied or sent: 5 GiB on all of them. A little less, so that what follows it is no
/// part of a few bytes.
const COPY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

#[async_trait]
impl Store for S3 {
    fn rules(&self) -> Rules {
        Rules {
            name: "s3",
            part_bytes_min: PART_BYTES_MIN,
            copy_bytes_max: COPY_BYTES_MAX,
            parts_stay: None,
        }
    }

    async fn put(&self, key: &str, payload: Payload, patience: Patience) -> Result<(), Error> {
        let call = Call {
            payload,
            patience,
            ..self.request("PutObject", Method::PUT, key, &[])
        };
        self.call(call).await.map(drop)
    }

    async fn create(&self, key: &str, payload: Payload, patience: Patience) -> Result<bool, Error> {
        let call = Call {
            payload,
            patience,
            headers: vec![self.create_only.header()],
            ..self.request("PutObject", Method::PUT, key, &[])
        };
        match self.call(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_taken() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        match self.call(self.request("GetObject", Method::GET, key, &[])).await {
            Ok((_, body)) => Ok(Some(body)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, key: String, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        self.exchange.read(key, range).boxed()
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Error> {
        let call = self.request("HeadObject", Method::HEAD, key, &[]);
        self.exchange.size(call).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.call(self.request("DeleteObject", Method::DELETE, key, &[])).await {
            Err(error) if !error.is_missing() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listed, Error> {
        let operation = "ListObjectsV2";
        let mut query = vec![
            ("list-type", "2".to_owned()),
            ("max-keys", limit.to_string()),
            ("prefix", prefix.to_owned()),
        ];
        query.extend(after.map(|after| ("start-after", after.to_owned())));
        let (_, body) = self.call(self.request(operation, Method::GET, "", &query)).await?;
        let page: xml::Objects = read(&body).ok_or(Error::Read { operation })?;
        let objects = page.contents.into_iter().map(|content| {
            let modified = parse_time(&content.last_modified).ok_or(Error::Read { operation })?;
            Ok(Object {
                key: content.key,
                size: content.size,
                modified,
            })
        });
        Ok(Listed {
            objects: objects.collect::<Result<_, Error>>()?,
            more: page.is_truncated,
        })
    }

    /// A try whose answer was lost leaves one more multipart upload, with nothing in it.
    async fn begin(&self, key: &str) -> Result<String, Error> {
        let operation = "CreateMultipartUpload";
        let call = Call {
            patience: Patience::BYTES,
            ..self.request(operation, Method::POST, key, &[("uploads", String::new())])
        };
        let (_, body) = self.call(call).await?;
        let begun: xml::Begun = read(&body).ok_or(Error::Read { operation })?;
        Ok(begun.upload_id)
    }

    async fn put_part(&self, place: Place<'_>, payload: Payload) -> Result<Tag, Error> {
        let operation = "UploadPart";
        let call = Call {
            payload,
            patience: Patience::BYTES,
            ..self.request(operation, Method::PUT, place.key, &part_query(place))
        };
        let (headers, _) = self.call(call).await?;
        let etag = headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        etag.map(|text| Tag(text.to_owned())).ok_or(Error::Read { operation })
    }

    async fn copy_part(&self, place: Place<'_>, from: &str, range: Range<u64>) -> Result<Option<Tag>, Error> {
        let operation = "UploadPartCopy";
        let value = |text: String| HeaderValue::try_from(text).map_err(|_| Error::Name { key: from.to_owned() });
        let call = Call {
            headers: vec![
                (
                    HeaderName::from_static("x-amz-copy-source"),
                    value(format!("/{}/{from}", self.address.bucket()))?,
                ),
                (
                    HeaderName::from_static("x-amz-copy-source-range"),
                    value(format!("bytes={}-{}", range.start, range.end - 1))?,
                ),
            ],
            patience: Patience::BYTES,
            ..self.request(operation, Method::PUT, place.key, &part_query(place))
        };
        let (_, body) = self.call(call).await?;
        let copied: xml::Copied = read(&body).ok_or(Error::Read { operation })?;
        Ok(Some(Tag(copied.etag)))
    }

    async fn list_parts(&self, key: &str, upload: &str) -> Result<Option<Vec<StoredPart>>, Error> {
        let operation = "ListParts";
        let mut parts = Vec::new();
        let mut marker = 0;
        loop {
            let query = [
                ("max-parts", PAGE_KEYS.to_string()),
                ("part-number-marker", marker.to_string()),
                ("uploadId", upload.to_owned()),
            ];
            let body = match self.call(self.request(operation, Method::GET, key, &query)).await {
                Ok((_, body)) => body,
                Err(error) if error.is_gone() => return Ok(None),
                Err(error) => return Err(error),
            };
            let page: xml::ListedParts = read(&body).ok_or(Error::Read { operation })?;
            let last = page.part.last().map(|part| part.part_number);
            parts.extend(page.part.into_iter().map(|part| StoredPart {
                number: PartNumber(part.part_number),
                tag: Tag(part.etag),
                size: part.size,
            }));
            match page
                .next_part_number_marker
                .or(last)
                .filter(|next| page.is_truncated && *next > marker)
            {
                Some(next) => marker = next,
                None => return Ok(Some(parts)),
            }
        }
    }

    async fn finish(&self, key: &str, upload: &str, parts: &[(PartNumber, Tag)]) -> Result<Finish, Error> {
        let operation = "CompleteMultipartUpload";
        let call = Call {
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"))],
            payload: Bytes::from(xml::complete(parts)).into(),
            patience: Patience::BYTES,
            ..self.request(operation, Method::POST, key, &[("uploadId", upload.to_owned())])
        };
        match self.call(call).await {
            Ok(_) => Ok(Finish::Done),
            Err(error) if error.is_gone() => Ok(Finish::Gone),
            Err(error) if error.has_code("InvalidPart") => Ok(Finish::Stale),
            Err(error) => Err(error),
        }
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        let query = [("uploadId", upload.to_owned())];
        let call = self.request("AbortMultipartUpload", Method::DELETE, key, &query);
        match self.call(call).await {
            Err(error) if !error.is_gone() && !error.is_missing() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// MinIO lists none but for a whole key.
    async fn list_open_page(&self, prefix: &str, after: Option<(&str, &str)>, limit: usize) -> Result<OpenPage, Error> {
        let operation = "ListMultipartUploads";
        let mut query = Vec::new();
        if let Some((key, _)) = after {
            query.push(("key-marker", key.to_owned()));
        }
        query.push(("max-uploads", limit.to_string()));
        query.push(("prefix", prefix.to_owned()));
        if let Some((_, upload)) = after {
            query.push(("upload-id-marker", upload.to_owned()));
        }
        query.push(("uploads", String::new()));
        let (_, body) = self.call(self.request(operation, Method::GET, "", &query)).await?;
        let page: xml::ListedUploads = read(&body).ok_or(Error::Read { operation })?;
        let open = page.upload.into_iter().map(|upload| {
            let began = parse_time(&upload.initiated).ok_or(Error::Read { operation })?;
            Ok(Open {
                key: upload.key,
                upload: upload.upload_id,
                began,
            })
        });
        let next = page.next_key_marker.zip(page.next_upload_id_marker);
        let moves = |(key, upload): &(String, String)| after != Some((key.as_str(), upload.as_str()));
        Ok(OpenPage {
            open: open.collect::<Result<_, Error>>()?,
            next: next.filter(|next| page.is_truncated && moves(next)),
        })
    }
}

fn part_query(place: Place<'_>) -> [(&'static str, String); 2] {
    [
        ("partNumber", place.number.0.to_string()),
        ("uploadId", place.upload.to_owned()),
    ]
}

/// `2026-11-22T20:00:00.000Z`.
fn parse_time(text: &str) -> Option<UnixMillis> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000)
        .ok()
        .map(UnixMillis)
}
