//! One HTTP client for the store and for whoever gives credentials for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;

/// How long a connection may take to come to be.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a request for credentials may take: the instance's own service answers in milliseconds or is not there.
const CREDENTIALS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection is kept without use. S3 closes its own after some 20 s, and a request that meets that is lost.
const IDLE_FOR: Duration = Duration::from_secs(15);

/// A client that trusts the system's authorities and these certificates, and follows no redirect.
pub(in crate::storage::object) fn client(
    trusted: Vec<reqwest::Certificate>,
) -> Result<reqwest::Client, reqwest::Error> {
    windlass_serve::tls::install_provider();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .pool_idle_timeout(IDLE_FOR)
        // No store speaks HTTP/2, and one connection for all parts would be slower than many.
        .http1_only()
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(Names));
    for certificate in trusted {
        builder = builder.add_root_certificate(certificate);
    }
    builder.build()
}

/// The system's names, and those below `localhost`, which are this machine's everywhere (RFC 6761 section 6.3) although
/// not every system's resolver knows.
#[derive(Debug)]
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let local = name.as_str() == "localhost" || name.as_str().ends_with(".localhost");
            let found: Addrs = if local {
                Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            } else {
                Box::new(
                    tokio::net::lookup_host((name.as_str(), 0))
                        .await?
                        .collect::<Vec<_>>()
                        .into_iter(),
                )
            };
            Ok(found)
        })
    }
}

/// The same client in the shape in which credentials are asked for.
#[derive(Debug, Clone)]
pub(in crate::storage::object) struct Connector(pub(in crate::storage::object) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string().parse::<reqwest::Url>();
        let url = url.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(reqwest::Body::wrap(body));
        let answered = timeout(CREDENTIALS_WITHIN, async {
            let response = self.0.execute(request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, response.bytes().await?))
        });
        let failed = |error: reqwest::Error| HttpError::new(HttpErrorKind::Request, error.without_url());
        let answered = answered
            .await
            .map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
        let (status, headers, body) = answered.map_err(failed)?;
        let mut response = HttpResponse::new(HttpResponseBody::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
