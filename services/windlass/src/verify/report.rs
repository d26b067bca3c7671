//! Findings on stdout, sorted.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;
use windlass_upload::verify::{Cost, Finding, Progress};

use super::Format;

/// How many findings are held to be sorted, some ten MiB of them. Where there are more, they are written in runs of this
/// many, each sorted.
const SORTED_MAX: usize = 20_000;

/// What is written at the end.
#[derive(Debug, Default)]
struct Sums {
    /// By [`Cost::ALL`].
    findings: [u64; Cost::ALL.len()],
    /// The garbage, and what of it the collector will remove, bytes.
    garbage: u64,
    collected: u64,
}

/// Writes findings down.
pub(super) struct Report {
    format: Format,
    out: BufWriter<Stdout>,
    held: Vec<Finding>,
    sums: Sums,
}

/// The last line for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    summary: &'a Progress,
    findings: serde_json::Map<String, serde_json::Value>,
    garbage_bytes: u64,
    collected_bytes: u64,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            out: BufWriter::new(io::stdout()),
            held: Vec::new(),
            sums: Sums::default(),
        }
    }

    /// Adds a finding.
    pub(super) fn add(&mut self, finding: Finding) -> io::Result<()> {
        let cost = finding.flaw.cost();
        for (of, count) in Cost::ALL.iter().zip(&mut self.sums.findings) {
            *count += u64::from(*of == cost);
        }
        if cost == Cost::Garbage {
            let bytes = finding.flaw.bytes().unwrap_or(0);
            self.sums.garbage += bytes;
            self.sums.collected += if finding.collected { bytes } else { 0 };
        }
        self.held.push(finding);
        if self.held.len() >= SORTED_MAX {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what is held, and the sums; answers whether nothing was found.
    pub(super) fn end(mut self, progress: &Progress) -> io::Result<bool> {
        self.write()?;
        let found: u64 = self.sums.findings.iter().sum();
        let by_cost = || Cost::ALL.iter().zip(self.sums.findings);
        match self.format {
            Format::Text => {
                let found: Vec<String> = by_cost()
                    .filter(|(_, count)| *count > 0)
                    .map(|(cost, count)| format!("{count} {}", cost.as_str()))
                    .collect();
                let found = if found.is_empty() {
                    "nothing wrong".to_owned()
                } else {
                    found.join(", ")
                };
                eprintln!(
                    "windlass verify: {found}; {} records and {} stored uploads ({} bytes) looked at",
                    progress.records, progress.uploads, progress.bytes
                );
                if progress.compared + progress.without_digest > 0 {
                    eprintln!(
                        "windlass verify: {} finished uploads compared with their digest, {} have none",
                        progress.compared, progress.without_digest
                    );
                }
                if self.sums.garbage > 0 {
                    eprintln!(
                        "windlass verify: {} bytes of garbage, of which the collector will remove {}",
                        self.sums.garbage, self.sums.collected
                    );
                }
            }
            Format::Json => {
                let summary = Summary {
                    summary: progress,
                    findings: by_cost()
                        .map(|(cost, count)| (cost.as_str().to_owned(), count.into()))
                        .collect(),
                    garbage_bytes: self.sums.garbage,
                    collected_bytes: self.sums.collected,
                };
                serde_json::to_writer(&mut self.out, &summary)?;
                writeln!(self.out)?;
            }
        }
        self.out.flush()?;
        Ok(found == 0)
    }

    fn write(&mut self) -> io::Result<()> {
        self.held.sort_by(|one, other| one.order().cmp(&other.order()));
        // A walk over Redis may come to a task twice.
        self.held.dedup();
        for finding in self.held.drain(..) {
            match self.format {
                Format::Text => writeln!(self.out, "{finding}")?,
                Format::Json => {
                    serde_json::to_writer(&mut self.out, &finding.shown())?;
                    writeln!(self.out)?;
                }
            }
        }
        self.out.flush()
    }
}
