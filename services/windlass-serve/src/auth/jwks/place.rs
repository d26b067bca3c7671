//! Where a key set is read from, within bounds of size and time.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Url};

use super::Error;
use crate::auth::settings::{self, JwksPlace};

/// The largest set that is taken, bytes. The largest of public identity providers, with certificates, has 20 KiB.
const SET_BYTES: usize = 256 * 1024;

/// The longest time for one reading.
const READ_TIME: Duration = Duration::from_secs(10);

/// A place that can be read again and again.
#[derive(Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Url(Box<Client>, Url),
}

impl Place {
    /// # Errors
    /// When `caFile` cannot be read or the client not be made.
    pub(crate) fn open(place: &JwksPlace) -> Result<Self, settings::Error> {
        match place {
            JwksPlace::File(path) => Ok(Self::File(path.clone())),
            JwksPlace::Url { url, ca_file } => {
                let url = Url::parse(url).expect("the settings hold a URL that was parsed before");
                // The one provider of the process; that somebody has set it before is as good.
                crate::tls::install_provider();
                // A redirect could lead from https to http, or into the cluster.
                let mut builder = Client::builder()
                    .redirect(reqwest::redirect::Policy::none())
                    .timeout(READ_TIME);
                if let Some(path) = ca_file {
                    let pem = std::fs::read(path).map_err(|source| settings::Error::ReadFile {
                        key: "auth.jwks.caFile",
                        path: path.clone(),
                        source,
                    })?;
                    let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(settings::Error::MakeClient)?;
                    builder = builder.tls_certs_only(roots);
                }
                let client = builder.build().map_err(settings::Error::MakeClient)?;
                Ok(Self::Url(Box::new(client), url))
            }
        }
    }

    /// The text of the set.
    pub(crate) async fn read(&self) -> Result<Vec<u8>, Error> {
        let reading = async {
            match self {
                Self::File(path) => read_file(path.clone()).await,
                Self::Url(client, url) => fetch(client, url).await,
            }
        };
        tokio::time::timeout(READ_TIME, reading)
            .await
            .unwrap_or(Err(Error::Time(READ_TIME)))
    }
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, Error> {
    use tokio::io::AsyncReadExt as _;
    let file = tokio::fs::File::open(path).await.map_err(Error::ReadFile)?;
    let mut text = Vec::new();
    file.take(SET_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .await
        .map_err(Error::ReadFile)?;
    bounded(text)
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, Error> {
    let mut response = client.get(url.clone()).send().await.map_err(Error::Fetch)?;
    if response.status() != http::StatusCode::OK {
        return Err(Error::Answer(response.status()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::Fetch)? {
        if text.len() + chunk.len() > SET_BYTES {
            return Err(Error::Size(SET_BYTES));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

fn bounded(text: Vec<u8>) -> Result<Vec<u8>, Error> {
    if text.len() > SET_BYTES {
        return Err(Error::Size(SET_BYTES));
    }
    Ok(text)
}
