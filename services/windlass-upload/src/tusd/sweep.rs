//! The sweep at the start: what nobody has asked for yet is taken over too, so that tusd's directory is needed no more.

use std::path::Path;

use tokio::sync::mpsc;
use windlass_task::Alias;

use super::Error;
use super::take_over::{TakeOver, names_file};

/// Names that are read ahead of the work.
const NAMES_AHEAD: usize = 256;

/// What came of a sweep.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    taken_over: u64,
    known: u64,
    refused: u64,
}

/// Goes through tusd's directory once.
pub(crate) async fn run(take_over: &TakeOver) {
    let directory = take_over.inner.settings.directory.clone();
    let (names, mut found) = mpsc::channel(NAMES_AHEAD);
    let reading = tokio::task::spawn_blocking(move || list(&directory, &names));
    let mut tally = Tally::default();
    while let Some(name) = found.recv().await {
        let outcome = match name {
            Ok(id) => visit(take_over, &id, &mut tally)
                .await
                .map_err(|error| (shown(id.as_str()), error)),
            Err(name) => Err((shown(&name), "its id is none that can be taken over".to_owned())),
        };
        if let Err((name, reason)) = outcome {
            tally.refused += 1;
            tracing::warn!(upload = name, reason, "an upload of tusd's is not taken over");
        }
    }
    match reading.await {
        Ok(Ok(())) => tracing::info!(
            taken_over = tally.taken_over,
            known = tally.known,
            refused = tally.refused,
            "swept tusd's directory"
        ),
        Ok(Err(error)) => tracing::error!(%error, "tusd's directory cannot be read"),
        Err(_) => {}
    }
}

async fn visit(take_over: &TakeOver, id: &Alias, tally: &mut Tally) -> Result<(), String> {
    let inner = &take_over.inner;
    let told = |error: &Error| with_causes(error);
    let known = inner.store.resolve(take_over.tenant(), id).await;
    match known.map_err(|error| with_causes(&error))? {
        Some(task) => {
            tally.known += 1;
            let compared = inner.compare(id, &task).await;
            if compared.is_err() {
                inner.metrics.tusd_upload("refused");
            }
            compared.map_err(|error| told(&error))
        }
        None => {
            if take_over.take(id).await.map_err(|error| told(&error))?.is_some() {
                tally.taken_over += 1;
            }
            Ok(())
        }
    }
}

fn list(directory: &Path, names: &mpsc::Sender<Result<Alias, String>>) -> std::io::Result<()> {
    for id in ids(directory)? {
        if names.blocking_send(id?).is_err() {
            break;
        }
    }
    Ok(())
}

/// The id of each `.info` file, or its name where that is none.
pub(super) fn ids(directory: &Path) -> std::io::Result<impl Iterator<Item = std::io::Result<Result<Alias, String>>>> {
    let id = |entry: std::io::Result<std::fs::DirEntry>| match entry {
        Err(error) => Some(Err(error)),
        Ok(entry) => {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".info")?;
            Some(Ok(stem.parse().ok().filter(names_file).ok_or_else(|| stem.to_owned())))
        }
    };
    Ok(std::fs::read_dir(directory)?.filter_map(id))
}

/// The beginning of an id, enough to find the file: the whole of it gives the right to write.
pub(super) fn shown(id: &str) -> String {
    let start: String = id.chars().take(8).collect();
    format!("{start}…")
}

pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
