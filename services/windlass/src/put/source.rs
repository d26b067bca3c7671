//! The file that is uploaded: read in order from any offset, and watched for changes.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::meter::Meter;

/// One read from disk: large enough that a spinning disk streams.
const READ_BYTES: usize = 1024 * 1024;

/// Reads ahead of the socket.
const READ_AHEAD: usize = 2;

/// What is handed to the socket at once: small enough that a slow line (50 kB/s) still shows progress every second
/// or two, which is what stall detection looks at.
const SLICE_BYTES: usize = 64 * 1024;

/// Why a file cannot be uploaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot open it")]
    OpenFile(#[source] io::Error),
    #[error("it is not a regular file")]
    RequireRegular,
    #[error("the file changed while it was being uploaded")]
    Changed,
}

/// An open file as it was when it was opened.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<File>,
    path: PathBuf,
    stamp: Stamp,
}

/// What must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified_nanos: i64,
}

impl Source {
    /// Opens the file. Its path becomes absolute, without symbolic links.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let path = path.canonicalize().map_err(Error::OpenFile)?;
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !path.metadata().map_err(Error::OpenFile)?.is_file() {
            return Err(Error::RequireRegular);
        }
        let file = File::open(&path).map_err(Error::OpenFile)?;
        let stamp = stamp(&file).map_err(Error::OpenFile)?;
        Ok(Self {
            file: Arc::new(file),
            path,
            stamp,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's own name.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn size(&self) -> u64 {
        self.stamp.size
    }

    pub(crate) fn modified_nanos(&self) -> i64 {
        self.stamp.modified_nanos
    }

    /// Fails when the file is not as it was, open or under its name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let named = std::fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata));
        match (stamp(&self.file), named) {
            (Ok(open), Ok(named)) if open == self.stamp && named == self.stamp => Ok(()),
            _ => Err(Error::Changed),
        }
    }

    /// The bytes from `offset` to the end, as a request's body.
    pub(crate) fn body(&self, offset: u64, meter: Arc<Meter>) -> FileBody {
        let (sender, pieces) = mpsc::channel(READ_AHEAD);
        let (file, size) = (Arc::clone(&self.file), self.stamp.size);
        tokio::task::spawn_blocking(move || read(&file, offset, size, &sender));
        FileBody {
            pieces,
            current: Bytes::new(),
            left: size - offset,
            meter,
        }
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        // Saturates beyond the year 2262, where a change would be noticed by size only.
        let nanos = metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec());
        Self {
            size: metadata.len(),
            modified_nanos: nanos,
        }
    }
}

fn stamp(file: &File) -> io::Result<Stamp> {
    Ok(Stamp::of(&file.metadata()?))
}

/// Reads in a thread of its own until the end, an error, or nobody listening.
fn read(file: &File, mut offset: u64, size: u64, sender: &mpsc::Sender<io::Result<Bytes>>) {
    while offset < size {
        let length = usize::try_from(size - offset).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut buffer = BytesMut::zeroed(length);
        let piece = match file.read_at(&mut buffer, offset) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
            Ok(count) => {
                buffer.truncate(count);
                offset += count as u64;
                Ok(buffer.freeze())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if sender.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}

/// The rest of a file.
#[derive(Debug)]
pub(crate) struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    left: u64,
    meter: Arc<Meter>,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        // Being asked for more is the sign that the socket has taken what it got before.
        body.meter.took();
        if body.left == 0 {
            return Poll::Ready(None);
        }
        if body.current.is_empty() {
            body.meter.set_reading(true);
            let piece = ready!(body.pieces.poll_recv(cx));
            body.meter.set_reading(false);
            match piece {
                Some(Ok(piece)) => body.current = piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Err(io::Error::other("the reader ended early")))),
            }
        }
        let slice = body.current.split_to(body.current.len().min(SLICE_BYTES));
        body.left -= slice.len() as u64;
        body.meter.handed(slice.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write as _;

    async fn collect(source: &Source, offset: u64) -> io::Result<Vec<u8>> {
        let meter = Arc::new(Meter::default());
        meter.begin(offset, source.size());
        let mut body = source.body(offset, Arc::clone(&meter));
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            bytes.extend_from_slice(&frame?.into_data().unwrap());
            assert_eq!(
                body.size_hint().exact(),
                Some(source.size() - offset - bytes.len() as u64)
            );
        }
        assert!(meter.is_all_handed());
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_file_is_read_from_any_offset_to_its_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let source = Source::open(file.path()).unwrap();
        for offset in [0, 1, 1_048_576, 2_499_999, 2_500_000] {
            assert_eq!(
                collect(&source, offset).await.unwrap(),
                content[usize::try_from(offset).unwrap()..]
            );
        }
        source.check().unwrap();
    }

    #[tokio::test]
    async fn a_file_that_changes_is_noticed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0; 100]).unwrap();
        let source = Source::open(file.path()).unwrap();
        file.as_file().set_len(50).unwrap();
        assert_eq!(
            collect(&source, 0).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert!(matches!(source.check(), Err(Error::Changed)));
        // Another file under the same name is a change too, even of the same size.
        let source = Source::open(file.path()).unwrap();
        let other = tempfile::NamedTempFile::new_in(file.path().parent().unwrap()).unwrap();
        other.as_file().set_len(50).unwrap();
        other.as_file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        std::fs::rename(other.path(), file.path()).unwrap();
        assert!(matches!(source.check(), Err(Error::Changed)));
    }

    #[test]
    fn only_regular_files_are_taken() {
        assert!(matches!(
            Source::open(Path::new("/dev/null")),
            Err(Error::RequireRegular)
        ));
        assert!(matches!(Source::open(Path::new("/tmp")), Err(Error::RequireRegular)));
        assert!(matches!(Source::open(Path::new("/nowhere/x")), Err(Error::OpenFile(_))));
    }
}
