//! Coming from tusd: its upload directory is taken over, each upload under its old URL, and goes on here.
//!
//! A request for a name that nobody knows looks into the directory; a sweep at the start takes over the rest. tusd's
//! own files stay as they are, so the way back stays open: the data file gets a second name among our files, as the
//! upload's first, immutable segment, and what comes later goes into files of our own.
//!
//! tusd's id is 128 random bits, and who knows it may write; here it is an alias of the task, and the write key of its
//! URL. The task's own id is derived from it, so that taking over twice, or again after a crash, is taking over once.

mod go_back;
pub mod info;
pub mod settings;
mod sweep;
mod take_over;

use std::sync::Arc;

pub use go_back::{Back, Report, go_back};
pub use settings::Settings;
pub(crate) use sweep::{run as sweep, with_causes};
pub(crate) use take_over::{Making, TakeOver};

use crate::storage;

/// Why an upload of tusd's is not taken over; its files are as they were.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of it cannot be read.
    #[error("its {what} cannot be read")]
    ReadFile {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What its `.info` says cannot be.
    #[error("its .info file cannot be used")]
    ReadInfo(#[from] info::Error),
    /// What is there under the name of its data is no file.
    #[error("its data is no file")]
    FindData,
    /// It has more bytes than it may.
    #[error("it has {size} bytes, which is more than its length of {length}")]
    ExceedLength {
        /// The bytes that are there.
        size: u64,
        /// Its length.
        length: u64,
    },
    /// tusd was joining it when it ended, and cannot go on with that either.
    #[error("it is a concatenation that tusd did not finish")]
    JoinParts,
    /// A tusd that runs is writing to it.
    #[error("tusd runs still and is writing to it")]
    AwaitRelease,
    /// tusd went on with it after it was taken over.
    #[error("tusd has {size} bytes of it, and {received} are known here: it went on after it was taken over")]
    FollowTusd {
        /// The bytes of tusd's.
        size: u64,
        /// The bytes known here.
        received: u64,
    },
    /// Its bytes cannot be taken in.
    #[error("its bytes cannot be taken in")]
    TakeIn(#[from] storage::Error),
    /// Its record cannot be written.
    #[error("its record cannot be written")]
    WriteRecord(#[from] windlass_task::store::Error),
    /// The store refused its record.
    #[error("its record is refused: {outcome}")]
    CreateRecord {
        /// How.
        outcome: &'static str,
    },
    /// A file of it cannot be written.
    #[error("its {what} cannot be written")]
    WriteFile {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process is stopping.
    #[error("the work was ended")]
    RunThread,
}

/// An error that several requests are told.
pub(crate) type Shared = Arc<Error>;
