//! Logs: to stderr, as text for people or JSON for machines. Traces begin with them: see [`crate::trace`].
//!
//! Nothing here or in a handler logs a token, a payload, or a raw path (an upload's URL may hold its write key).

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::trace;

/// The environment variable that sets levels, such as `debug` or `info,windlass_upload=trace`.
const VARIABLE: &str = "WINDLASS_LOG";

/// Without the variable: our own crates and everybody else's from INFO on.
const DEFAULT: &str = "info";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the process's logs to stderr from here on, and its traces to a collector if the environment names one. A second
/// call changes nothing.
///
/// A `WINDLASS_LOG` that cannot be read is said so, and the default taken: a process that does not start for want of
/// a log level helps nobody.
pub fn start(format: Format) {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let parsed = EnvFilter::builder().parse(if wanted.is_empty() { DEFAULT } else { &wanted });
    let (filter, refused) = match parsed {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    let (traces, unsent) = match trace::layer() {
        Ok(layer) => (layer, None),
        Err(error) => (None, Some(error)),
    };
    let registry = tracing_subscriber::registry().with(traces);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        Format::Text => registry
            .with(layer.with_ansi(std::io::stderr().is_terminal()).with_filter(filter))
            .try_init(),
        Format::Json => registry
            .with(
                layer
                    .json()
                    .flatten_event(true)
                    .with_span_list(false)
                    .with_filter(filter),
            )
            .try_init(),
    };
    if started.is_err() {
        return;
    }
    if let Some(error) = refused {
        tracing::warn!(variable = VARIABLE, %error, "log filter not understood, using the default");
    }
    if let Some(error) = unsent {
        tracing::warn!(error, "no traces are sent");
    }
}
