//! A plan of repair: a file of lines, so that it can be read, shortened and taken in whatever its length.
//!
//! The first line says what the file is, each other is a step with the reason for it. Whoever applies it may delete lines.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use windlass_task::UnixMillis;

use super::finding::{Finding, Step};

/// The version of the format that this build reads and writes.
const VERSION: u32 = 1;
/// The longest line that is read, bytes: a step lists an upload's pieces, of which there are some hundred at most.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    windlass_verify_plan: u32,
    made: UnixMillis,
}

/// A step with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// What was found.
    pub why: String,
    /// What is to be done.
    #[serde(flatten)]
    pub step: Step,
}

/// A file that is no plan, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file cannot be read or written.
    #[error("the plan cannot be read or written")]
    UseFile(#[from] std::io::Error),
    /// It is something else.
    #[error("this is no plan of `windlass verify`")]
    FindHeader,
    /// It is of another release.
    #[error("the plan has version {version}, which this build does not read")]
    ReadVersion {
        /// Its version.
        version: u32,
    },
    /// A line makes no sense.
    #[error("line {line} of the plan cannot be read")]
    ReadLine {
        /// Which, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// A plan that is being written.
#[derive(Debug)]
pub struct Plan<W> {
    file: W,
}

impl<W: Write> Plan<W> {
    /// A plan without a step.
    ///
    /// # Errors
    /// [`PlanError::UseFile`].
    pub fn begin(mut file: W) -> Result<Self, PlanError> {
        let header = Header {
            windlass_verify_plan: VERSION,
            made: UnixMillis::now(),
        };
        write_line(&mut file, &header)?;
        Ok(Self { file })
    }

    /// Adds what is to be done about a finding, if anything is.
    ///
    /// # Errors
    /// [`PlanError::UseFile`].
    pub fn add(&mut self, finding: &Finding) -> Result<(), PlanError> {
        let Some(step) = finding.step.clone() else {
            return Ok(());
        };
        let why = finding.flaw.to_string();
        Ok(write_line(&mut self.file, &Planned { why, step })?)
    }

    /// Sees that all of it is written.
    ///
    /// # Errors
    /// [`PlanError::UseFile`].
    pub fn end(mut self) -> Result<(), PlanError> {
        Ok(self.file.flush()?)
    }
}

fn write_line(file: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

/// The steps of a plan, as they are read.
///
/// # Errors
/// [`PlanError`] for what is no plan.
pub(super) fn read(mut file: impl BufRead) -> Result<impl Iterator<Item = Result<Planned, PlanError>>, PlanError> {
    let first = read_line(&mut file)?.unwrap_or_default();
    let header: Header = serde_json::from_str(&first).map_err(|_| PlanError::FindHeader)?;
    if header.windlass_verify_plan != VERSION {
        return Err(PlanError::ReadVersion {
            version: header.windlass_verify_plan,
        });
    }
    let mut line = 1;
    Ok(std::iter::from_fn(move || {
        loop {
            line += 1;
            match read_line(&mut file) {
                Ok(Some(text)) if text.trim().is_empty() => {}
                Ok(Some(text)) => {
                    let read = serde_json::from_str(&text);
                    return Some(read.map_err(|source| PlanError::ReadLine { line, source }));
                }
                Ok(None) => return None,
                Err(error) => return Some(Err(error.into())),
            }
        }
    }))
}

fn read_line(file: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    let count = std::io::Read::take(&mut *file, LINE_BYTES_MAX).read_line(&mut text)?;
    Ok((count > 0).then_some(text))
}

impl Planned {
    /// The steps of a plan, one after the other.
    ///
    /// # Errors
    /// [`PlanError`] for what is no plan; a line that cannot be read is one in its place.
    pub fn read(file: impl BufRead) -> Result<impl Iterator<Item = Result<Self, PlanError>>, PlanError> {
        read(file)
    }
}
