//! Where a bucket is: before the host's name, or at the beginning of the path.

use reqwest::Url;

/// How requests name the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Addressing {
    /// `https://bucket.host/key`, as S3 wants it and Alibaba OSS accepts nothing else.
    #[default]
    VirtualHosted,
    /// `https://host/bucket/key`, as MinIO and what stands alone wants it.
    Path,
}

/// A bucket's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::object) struct Address {
    /// Ends with a slash.
    base: Url,
    bucket: String,
}

impl Address {
    /// A bucket of the service at `endpoint`, whose host and bucket make a URL; `None` where they do not.
    pub(in crate::storage::object) fn new(endpoint: &Url, bucket: &str, addressing: Addressing) -> Option<Self> {
        let mut base = endpoint.clone();
        match addressing {
            Addressing::VirtualHosted => {
                let host = format!("{bucket}.{}", endpoint.host_str()?);
                // Refused where the host is an address, which has no names below it.
                base.set_host(Some(&host)).ok()?;
            }
            Addressing::Path => {
                base.path_segments_mut().ok()?.pop_if_empty().push(bucket);
            }
        }
        base.path_segments_mut().ok()?.pop_if_empty().push("");
        Some(Self {
            base,
            bucket: bucket.to_owned(),
        })
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The URL of an object, or of the bucket for an empty key. Keys are made of characters that mean themselves.
    pub(super) fn url(&self, key: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}{key}", url.path());
        url.set_path(&path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_in_the_path_or_before_the_host() {
        let url = |endpoint: &str, addressing| {
            let address = Address::new(&endpoint.parse().unwrap(), "b", addressing)?;
            Some(
                address
                    .url("t/0a/key", &[("uploadId", "a+b/c=".to_owned())])
                    .to_string(),
            )
        };
        let query = "?uploadId=a%2Bb%2Fc%3D";
        assert_eq!(
            url("http://127.0.0.1:9000", Addressing::Path),
            Some(format!("http://127.0.0.1:9000/b/t/0a/key{query}"))
        );
        assert_eq!(
            url("https://oss-cn-hangzhou.example.com/", Addressing::VirtualHosted),
            Some(format!("https://b.oss-cn-hangzhou.example.com/t/0a/key{query}"))
        );
        assert_eq!(url("http://127.0.0.1:9000", Addressing::VirtualHosted), None);
    }
}
