//! `--failure-log`: one JSON object a line for each failure, also for those that a later try made good.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use windlass_task::UnixMillis;

use crate::target::Failure;

/// An open log.
#[derive(Debug)]
pub(crate) struct FailureLog {
    file: Mutex<File>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    file: std::borrow::Cow<'a, str>,
    /// Empty before the upload is created.
    task_id: &'a str,
    /// The highest offset that the server had acknowledged.
    offset: u64,
    /// Null without an answer.
    status: Option<u16>,
    code: &'a str,
    message: &'a str,
    /// Unix milliseconds.
    time: UnixMillis,
    /// Whether the file was given up for it.
    r#final: bool,
}

impl FailureLog {
    /// Opens the file to append to it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: Mutex::new(OpenOptions::new().create(true).append(true).open(path)?),
        })
    }

    pub(crate) fn write(&self, file: &Path, task: &str, offset: u64, failure: &Failure, last: bool) {
        let entry = Entry {
            file: file.to_string_lossy(),
            task_id: task,
            offset,
            status: failure.status,
            code: &failure.code,
            message: &failure.message,
            time: UnixMillis::now(),
            r#final: last,
        };
        let mut line = serde_json::to_vec(&entry).expect("strings and numbers always serialise");
        line.push(b'\n');
        let mut log = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line: several processes may append to one log.
        if let Err(error) = log.write_all(&line) {
            eprintln!("windlass put: cannot write the failure log: {error}");
        }
    }
}
