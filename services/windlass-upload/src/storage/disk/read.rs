//! Reading a range out of a list of segments, without holding more of it than one piece.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use windlass_task::Segment;

use super::{Disk, failed};
use crate::storage::{Bytestream, Error};

/// How much is read at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// The bytes `range` of the upload that `segments` make up.
pub(super) fn stream(disk: Disk, segments: Vec<Segment>, range: Range<u64>) -> Bytestream {
    let pieces = segments.into_iter().filter_map(move |segment| {
        let (start, end) = (segment.start.max(range.start), segment.end.min(range.end));
        (start < end).then_some((segment, start..end))
    });
    stream::iter(pieces)
        .flat_map(move |(segment, range)| {
            let state = Reading {
                disk: disk.clone(),
                segment,
                range,
                file: None,
            };
            stream::try_unfold(state, Reading::next)
        })
        .boxed()
}

struct Reading {
    disk: Disk,
    segment: Segment,
    /// What is left, in positions of the upload.
    range: Range<u64>,
    file: Option<File>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let size = PIECE_BYTES.min(self.range.end - self.range.start);
        let at = self.range.start - self.segment.start;
        let path = self.disk.path(&self.segment.key);
        let file = self.file.take();
        // Not on the threads that write: a disk that is slow to read must not hold up who uploads.
        let piece = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; usize::try_from(size).expect("a piece fits memory")];
            let read = || {
                let file = file.map_or_else(|| File::open(&path), Ok)?;
                file.read_exact_at(&mut buffer, at)?;
                Ok(file)
            };
            let file = read().map_err(|source| failed("read", &path, source))?;
            Ok((file, Bytes::from(buffer)))
        });
        let (file, bytes) = piece.await.map_err(|_| Error::RunThread)??;
        self.file = Some(file);
        self.range.start += size;
        Ok(Some((bytes, self)))
    }
}
