//! The files that an agent was told by, read again while it runs: passwords, certificates and members change without a restart.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::Handle;
use crate::settings::{Error, Settings};

/// How often they are read. Kubernetes renews what is mounted within about a minute, so this adds little.
const READ_EVERY: Duration = Duration::from_secs(5);

/// Reads them for ever, and gives the agent what is new. What cannot be used changes nothing, and is said once.
pub async fn run(read: impl Fn() -> Result<Settings, Error> + Clone + Send + 'static, handle: Handle) {
    let mut failed: Option<String> = None;
    loop {
        tokio::time::sleep(READ_EVERY).await;
        let read = read.clone();
        let settings = match tokio::task::spawn_blocking(read).await {
            Ok(settings) => settings,
            // The runtime ends.
            Err(_) => return,
        };
        match settings {
            Ok(settings) => {
                failed = None;
                if settings != *handle.settings() {
                    handle.configure(Arc::new(settings)).await;
                }
            }
            Err(error) => {
                let words = error.to_string();
                if failed.as_ref() != Some(&words) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "the new configuration cannot be used; the one before stays in use"
                    );
                }
                failed = Some(words);
            }
        }
    }
}
