//! Looks at certificate and key again, by their content: a mounted secret changes without a signal, and a file's times
//! do not tell everything.

use std::convert::Infallible;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::certificate::Pair;
use super::{Error, Inner};

/// What the last look found that is not what is shown.
#[derive(Debug, Default)]
enum Oddity {
    /// Nothing.
    #[default]
    None,
    /// This pair, which cannot be used. Files that are replaced one after the other do not fit for a moment, so it is
    /// a fault only if it stays until the next look.
    Pair { files: Pair, told: bool },
    /// The files cannot be read.
    Unreadable { told: bool },
}

/// Looks for ever.
pub(super) async fn watch(inner: &Inner) -> Infallible {
    let mut watch = Watch::default();
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(signal) => Some(signal),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be received; certificates are looked at every so often only");
            None
        }
    };
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(inner.settings.reload.0) => false,
            () = heard(&mut hangup) => true,
        };
        watch.look(inner, asked);
    }
}

async fn heard(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending().await
    }
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The pair that is shown; none while that is the first one.
    shown: Option<Pair>,
    oddity: Oddity,
}

impl Watch {
    /// One look. `asked` by a person, it is answered in the log whatever was found.
    pub(super) fn look(&mut self, inner: &Inner, asked: bool) {
        // Two files of some KiB every few seconds: not worth another thread.
        let files = match Pair::read(&inner.settings) {
            Ok(files) => files,
            Err(error) => {
                let before = matches!(self.oddity, Oddity::Unreadable { .. });
                let told = matches!(self.oddity, Oddity::Unreadable { told: true });
                let tell = asked || before && !told;
                self.keep(inner, &error, tell);
                self.oddity = Oddity::Unreadable { told: told || tell };
                return;
            }
        };
        if &files == self.shown.as_ref().unwrap_or(&inner.first) {
            self.oddity = Oddity::None;
            inner.metrics.certificate_refused(false);
            if asked {
                tracing::info!("certificate and key have not changed");
            }
            return;
        }
        match files.identity(&inner.settings, inner.current.provider()) {
            Ok(identity) => {
                tracing::info!(not_after = identity.not_after, "new certificate");
                inner.metrics.certificate(identity.not_after);
                inner.metrics.certificate_refused(false);
                inner.metrics.certificate_reload(true);
                inner.current.replace(identity);
                self.shown = Some(files);
                self.oddity = Oddity::None;
            }
            Err(error) => {
                let (before, told) = match &self.oddity {
                    Oddity::Pair { files: before, told } if *before == files => (true, *told),
                    _ => (false, false),
                };
                let tell = asked || before && !told;
                self.keep(inner, &error, tell);
                self.oddity = Oddity::Pair {
                    files,
                    told: told || tell,
                };
            }
        }
    }

    /// The old pair stays.
    fn keep(&self, inner: &Inner, error: &Error, tell: bool) {
        if tell {
            inner.metrics.certificate_refused(true);
            inner.metrics.certificate_reload(false);
            tracing::error!(
                error = error as &dyn std::error::Error,
                "certificate and key cannot be used; the old ones stay"
            );
        }
    }
}
