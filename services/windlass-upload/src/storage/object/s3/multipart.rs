//! The requests on multipart uploads.

use http::{HeaderName, HeaderValue, Method, header};
use windlass_task::PartNumber;

use super::{Call, Error, Patience, Payload, S3, xml};

/// What the store calls a part's content; quoted as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::object) struct ETag(pub(super) String);

/// A part that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::object) struct StoredPart {
    pub(in crate::storage::object) number: PartNumber,
    pub(in crate::storage::object) etag: ETag,
    pub(in crate::storage::object) size: u64,
}

impl S3 {
    /// Begins a multipart upload; answers its id. A try whose answer was lost leaves one more, with nothing in it.
    pub(in crate::storage::object) async fn create_multipart(&self, key: &str) -> Result<String, Error> {
        let operation = "CreateMultipartUpload";
        let call = Call {
            query: vec![("uploads", String::new())],
            patience: Patience::BYTES,
            ..Call::new(operation, Method::POST, key)
        };
        let (_, body) = self.call(call).await?;
        let begun: xml::Begun = xml::read(&body).ok_or(Error::Read { operation })?;
        Ok(begun.upload_id)
    }

    /// Sends a part.
    pub(in crate::storage::object) async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: PartNumber,
        payload: Payload,
    ) -> Result<ETag, Error> {
        let operation = "UploadPart";
        let call = Call {
            query: part_query(upload, number),
            payload,
            patience: Patience::BYTES,
            ..Call::new(operation, Method::PUT, key)
        };
        let (headers, _) = self.call(call).await?;
        let etag = headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        etag.map(|text| ETag(text.to_owned())).ok_or(Error::Read { operation })
    }

    /// Makes a part of bytes of another object, which do not leave the store.
    pub(in crate::storage::object) async fn copy_part(
        &self,
        key: &str,
        upload: &str,
        number: PartNumber,
        from: (&str, std::ops::Range<u64>),
    ) -> Result<ETag, Error> {
        let operation = "UploadPartCopy";
        let (source, range) = from;
        let value = |text: String| HeaderValue::try_from(text).map_err(|_| Error::Name { key: source.to_owned() });
        let call = Call {
            query: part_query(upload, number),
            headers: vec![
                (
                    HeaderName::from_static("x-amz-copy-source"),
                    value(format!("/{}/{source}", self.inner.address.bucket()))?,
                ),
                (
                    HeaderName::from_static("x-amz-copy-source-range"),
                    value(format!("bytes={}-{}", range.start, range.end - 1))?,
                ),
            ],
            patience: Patience::BYTES,
            ..Call::new(operation, Method::PUT, key)
        };
        let (_, body) = self.call(call).await?;
        let copied: xml::Copied = xml::read(&body).ok_or(Error::Read { operation })?;
        Ok(ETag(copied.etag))
    }

    /// The parts that are there, by their numbers; `None` when there is no such multipart upload (any more).
    pub(in crate::storage::object) async fn list_parts(
        &self,
        key: &str,
        upload: &str,
    ) -> Result<Option<Vec<StoredPart>>, Error> {
        let operation = "ListParts";
        let mut parts = Vec::new();
        let mut marker = 0;
        loop {
            let call = Call {
                query: vec![
                    ("max-parts", "1000".to_owned()),
                    ("part-number-marker", marker.to_string()),
                    ("uploadId", upload.to_owned()),
                ],
                ..Call::new(operation, Method::GET, key)
            };
            let body = match self.call(call).await {
                Ok((_, body)) => body,
                Err(error) if error.is_gone() => return Ok(None),
                Err(error) => return Err(error),
            };
            let page: xml::ListedParts = xml::read(&body).ok_or(Error::Read { operation })?;
            let last = page.part.last().map(|part| part.part_number);
            parts.extend(page.part.into_iter().map(|part| StoredPart {
                number: PartNumber(part.part_number),
                etag: ETag(part.etag),
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

    /// Makes an object of these parts, in the order of their numbers.
    ///
    /// # Errors
    /// One for which [`Error::is_gone`] when it was completed or aborted before, also by a try whose answer was lost.
    pub(in crate::storage::object) async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[(PartNumber, ETag)],
    ) -> Result<(), Error> {
        let call = Call {
            query: vec![("uploadId", upload.to_owned())],
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"))],
            payload: bytes::Bytes::from(xml::complete(parts)).into(),
            patience: Patience::BYTES,
            ..Call::new("CompleteMultipartUpload", Method::POST, key)
        };
        self.call(call).await.map(drop)
    }

    /// Ends a multipart upload and removes its parts; what is not there is removed already.
    pub(in crate::storage::object) async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        let call = Call {
            query: vec![("uploadId", upload.to_owned())],
            ..Call::new("AbortMultipartUpload", Method::DELETE, key)
        };
        match self.call(call).await {
            Err(error) if !error.is_gone() && !error.is_missing() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The open multipart uploads whose keys begin with `prefix`, as (key, id). MinIO lists none but for a whole key.
    pub(in crate::storage::object) async fn list_multiparts(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, Error> {
        let operation = "ListMultipartUploads";
        let mut uploads = Vec::new();
        let mut markers: Option<(String, String)> = None;
        loop {
            let mut query = Vec::new();
            if let Some((key, _)) = &markers {
                query.push(("key-marker", key.clone()));
            }
            query.push(("max-uploads", "1000".to_owned()));
            query.push(("prefix", prefix.to_owned()));
            if let Some((_, upload)) = &markers {
                query.push(("upload-id-marker", upload.clone()));
            }
            query.push(("uploads", String::new()));
            let call = Call {
                query,
                ..Call::new(operation, Method::GET, "")
            };
            let (_, body) = self.call(call).await?;
            let page: xml::ListedUploads = xml::read(&body).ok_or(Error::Read { operation })?;
            uploads.extend(page.upload.into_iter().map(|upload| (upload.key, upload.upload_id)));
            let next = page.next_key_marker.zip(page.next_upload_id_marker);
            match next.filter(|next| page.is_truncated && markers.as_ref() != Some(next)) {
                Some(next) => markers = Some(next),
                None => return Ok(uploads),
            }
        }
    }
}

fn part_query(upload: &str, number: PartNumber) -> Vec<(&'static str, String)> {
    vec![("partNumber", number.0.to_string()), ("uploadId", upload.to_owned())]
}
