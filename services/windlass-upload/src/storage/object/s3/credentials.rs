//! Who the requests are from: keys in files, or whatever the environment offers.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};

use crate::storage::object::exchange::{Connector, Files};

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// These files, each read again as it changes.
    Files {
        /// The key's id.
        id: PathBuf,
        /// The key.
        secret: PathBuf,
    },
    /// The first of: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a web identity (`AWS_WEB_IDENTITY_TOKEN_FILE`,
    /// `AWS_ROLE_ARN`), a container's (`AWS_CONTAINER_CREDENTIALS_…`), the instance's own.
    Environment,
}

/// What gives credentials, renewed before they end.
///
/// # Errors
/// That half of a pair is missing in the environment.
pub(super) fn provider(
    credentials: Credentials,
    region: &str,
    http: &reqwest::Client,
) -> Result<AwsCredentialProvider, object_store::Error> {
    match credentials {
        Credentials::Files { id, secret } => Ok(Arc::new(Files::new(vec![id, secret], |mut texts| {
            let secret_key = texts.pop().unwrap_or_default();
            let key_id = texts.pop().unwrap_or_default();
            Ok(AwsCredential {
                key_id,
                secret_key,
                token: None,
            })
        }))),
        Credentials::Environment => {
            // Of all that the environment says of a store, only who asks: where it is, the configuration says.
            let store = AmazonS3Builder::from_env()
                .with_bucket_name("unused")
                .with_region(region)
                .with_http_connector(Connector(http.clone()))
                .build()?;
            Ok(Arc::clone(store.credentials()))
        }
    }
}
