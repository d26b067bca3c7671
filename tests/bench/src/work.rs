//! What is measured: the rows of the table.

/// Bytes of a MiB.
pub const MIB: u64 = 1024 * 1024;

/// One row's work.
#[derive(Debug, Clone)]
pub struct Work {
    /// What the row is called.
    pub name: &'static str,
    /// How many uploads are made.
    pub uploads: u64,
    /// How many of them at once, each on a connection of its own that is used again for the next.
    pub at_once: u64,
    /// The size of each, bytes.
    pub size: u64,
    /// The size of the body of one PATCH, bytes.
    pub patch: u64,
    /// Whether the server runs with `survivePowerCut: true`.
    pub survive_power_cut: bool,
    /// What is counted.
    pub measure: Measure,
    /// What it is to reach: at most this; `None` where nothing is promised.
    pub reach: Option<f64>,
}

/// What a row counts of the server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// CPU seconds for a GiB of uploads.
    CpuPerGib,
    /// CPU milliseconds for an upload.
    CpuPerUpload,
    /// The most memory that was resident, in MB (10^6 bytes).
    PeakMemory,
}

impl Measure {
    /// Its unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::CpuPerGib => "CPU s/GiB",
            Self::CpuPerUpload => "CPU ms each",
            Self::PeakMemory => "MB resident",
        }
    }
}

/// The table of the documentation.
#[must_use]
pub fn all(large_mib: u64) -> Vec<Work> {
    let large = Work {
        name: "large upload, one PATCH",
        uploads: 1,
        at_once: 1,
        size: large_mib * MIB,
        patch: large_mib * MIB,
        survive_power_cut: false,
        measure: Measure::CpuPerGib,
        reach: Some(0.50),
    };
    let pieces = Work {
        name: "4 MiB in 1 MiB PATCHes, 32 at once",
        uploads: 512,
        at_once: 32,
        size: 4 * MIB,
        patch: MIB,
        reach: Some(0.65),
        ..large.clone()
    };
    let small = Work {
        name: "1 KiB, POST + PATCH, 32 at once",
        uploads: 10_000,
        at_once: 32,
        size: 1024,
        patch: 1024,
        measure: Measure::CpuPerUpload,
        reach: Some(0.25),
        ..large.clone()
    };
    let many = Work {
        name: "64 MiB, 64 at once",
        uploads: 64,
        at_once: 64,
        size: 64 * MIB,
        patch: 64 * MIB,
        measure: Measure::PeakMemory,
        reach: Some(48.0),
        ..large.clone()
    };
    let power_cut = |work: &Work, name, uploads| Work {
        name,
        uploads,
        survive_power_cut: true,
        reach: None,
        ..work.clone()
    };
    vec![
        power_cut(&large, "large upload, surviving a power cut", 1),
        power_cut(&pieces, "4 MiB in 1 MiB, surviving a power cut", 128),
        power_cut(&small, "1 KiB, surviving a power cut", 1_000),
    ]
    .into_iter()
    .fold(vec![large, pieces, small, many], |mut works, work| {
        works.push(work);
        works
    })
}

/// The same rows at a size that proves nothing but that they run.
#[must_use]
pub fn smoke() -> Vec<Work> {
    all(1)
        .into_iter()
        .map(|work| Work {
            uploads: work.uploads.min(2),
            at_once: work.at_once.min(2),
            size: work.size.min(2 * MIB),
            patch: work.patch.min(MIB),
            ..work
        })
        .collect()
}
