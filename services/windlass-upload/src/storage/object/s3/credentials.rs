//! Who the requests are from: keys in files, or whatever the environment offers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use tokio::time::Instant;

use super::super::exchange::Connector;

/// How often files with keys are looked at: a rotated secret is in use within this.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::object) enum Credentials {
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
pub(in crate::storage::object) fn provider(
    credentials: &Credentials,
    region: &str,
    http: &reqwest::Client,
) -> Result<AwsCredentialProvider, object_store::Error> {
    match credentials {
        Credentials::Files { id, secret } => {
            let files = Files {
                id: id.clone(),
                secret: secret.clone(),
                read: Mutex::default(),
            };
            Ok(Arc::new(files))
        }
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

#[derive(Debug)]
struct Files {
    id: PathBuf,
    secret: PathBuf,
    read: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

#[async_trait]
impl CredentialProvider for Files {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, credential)) = known
            && at.elapsed() < LOOK_EVERY
        {
            return Ok(credential);
        }
        let credential = Arc::new(AwsCredential {
            key_id: read(&self.id).await?,
            secret_key: read(&self.secret).await?,
            token: None,
        });
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), Arc::clone(&credential)));
        Ok(credential)
    }
}

async fn read(path: &Path) -> object_store::Result<String> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| object_store::Error::Generic {
        store: "S3",
        source: Box::new(source),
    })?;
    Ok(text.trim().to_owned())
}
