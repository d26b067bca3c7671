//! The uploading side: raw blocking sockets, a thread a connection, one buffer for all bytes that are sent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};

use crate::floor;
use crate::work::{MIB, Work};

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// tus 1.0.0.
    Tus,
    /// The floor's.
    Floor,
}

/// Does `work` once.
///
/// # Errors
/// The first exchange that did not go as it must.
pub fn run(work: &Work, language: Language, address: SocketAddr) -> anyhow::Result<()> {
    // Not zeros, so that no file system makes holes of them.
    let bytes: Vec<u8> = (0..MIB).map(|at| (at % 251) as u8 + 1).collect();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..work.at_once)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(address, &bytes, None)?;
                    while next.fetch_add(1, Ordering::Relaxed) < work.uploads {
                        match language {
                            Language::Tus => connection.upload(work).map(drop)?,
                            Language::Floor => connection.upload_to_floor(work)?,
                        }
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a client thread does not panic"))
    })
}

/// A connection of one client.
#[derive(Debug)]
pub struct Connection<'a> {
    stream: TcpStream,
    bytes: &'a [u8],
    /// A header line with a token, or nothing.
    authorization: String,
    /// What was read and belongs to no answer yet.
    read: Vec<u8>,
}

impl<'a> Connection<'a> {
    /// Connects; what is sent are `bytes` again and again, in the name of who has the token.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(address: SocketAddr, bytes: &'a [u8], token: Option<&str>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        Ok(Self {
            stream,
            bytes,
            authorization: authorization.unwrap_or_default(),
            read: Vec::new(),
        })
    }

    /// Makes one upload; answers its path.
    ///
    /// # Errors
    /// The first exchange that did not go as it must.
    pub fn upload(&mut self, work: &Work) -> anyhow::Result<String> {
        let location = self.create(work.size)?;
        let mut offset = 0;
        while offset < work.size {
            let length = work.patch.min(work.size - offset);
            self.append(&location, offset, length)?;
            offset += length;
        }
        Ok(location)
    }

    /// Creates an upload of `size` bytes; answers its path.
    ///
    /// # Errors
    /// When the server does not.
    pub fn create(&mut self, size: u64) -> anyhow::Result<String> {
        let head = format!(
            "POST /files HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n\
             {}Upload-Length: {size}\r\nUpload-Metadata: filename YmVuY2g=\r\n\r\n",
            self.authorization
        );
        self.stream.write_all(head.as_bytes())?;
        let answer = self.answer(201)?;
        Ok(field(&answer, "location").context("no Location")?.to_owned())
    }

    /// Sends the `length` bytes of an upload that follow `offset`.
    ///
    /// # Errors
    /// When the server does not have them all then.
    pub fn append(&mut self, path: &str, offset: u64, length: u64) -> anyhow::Result<()> {
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n{}\
             Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n",
            self.authorization
        );
        self.send(head.into_bytes(), offset, length)?;
        let (answer, end) = (self.answer(204)?, offset + length);
        let reached = field(&answer, "upload-offset").and_then(|text| text.parse().ok());
        ensure!(reached == Some(end), "sent {end}, the server has {reached:?}");
        Ok(())
    }

    /// How much the server has of an upload.
    ///
    /// # Errors
    /// When it does not say.
    pub fn offset(&mut self, path: &str) -> anyhow::Result<u64> {
        let head = format!(
            "HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n{}\r\n",
            self.authorization
        );
        self.stream.write_all(head.as_bytes())?;
        let answer = self.answer(200)?;
        let offset = field(&answer, "upload-offset").context("no offset")?;
        Ok(offset.parse()?)
    }

    /// Asks for a whole file of `size` bytes, which comes then.
    ///
    /// # Errors
    /// When the server does not give it.
    pub fn begin_download(&mut self, path: &str, size: u64) -> anyhow::Result<()> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n", self.authorization);
        self.stream.write_all(head.as_bytes())?;
        let answer = self.answer(200)?;
        ensure!(field(&answer, "content-length") == Some(&*size.to_string()), "{answer}");
        Ok(())
    }

    /// Reads what [`Connection::begin_download`] has asked for, a piece at a time.
    ///
    /// # Errors
    /// When it does not come whole.
    pub fn take_download(&mut self, size: u64, mut sink: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let mut left = usize::try_from(size)?;
        let begun = self.read.split_off(0);
        sink(&begun);
        left = left.checked_sub(begun.len()).context("more than was promised")?;
        let mut piece = vec![0; 256 * 1024];
        while left > 0 {
            let wanted = left.min(piece.len());
            let count = self.stream.read(piece.get_mut(..wanted).context("a piece fits")?)?;
            ensure!(count > 0, "the server closed the connection");
            sink(piece.get(..count).unwrap_or_default());
            left -= count;
        }
        Ok(())
    }

    /// Removes an upload.
    ///
    /// # Errors
    /// When the server does not.
    pub fn remove(&mut self, path: &str) -> anyhow::Result<()> {
        let head = format!(
            "DELETE {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n{}\r\n",
            self.authorization
        );
        self.stream.write_all(head.as_bytes())?;
        self.answer(204).map(drop)
    }

    /// The server's figures, and the end of the connection.
    ///
    /// # Errors
    /// When the server does not tell them.
    pub fn metrics(mut self) -> anyhow::Result<String> {
        self.stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut text = Vec::new();
        self.stream.read_to_end(&mut text)?;
        Ok(String::from_utf8(text)?)
    }

    fn upload_to_floor(&mut self, work: &Work) -> anyhow::Result<()> {
        self.stream.write_all(&message(floor::NEW, 0))?;
        self.stream.read_exact(&mut [0])?;
        let mut left = work.size;
        while left > 0 {
            let length = work.patch.min(left);
            self.send(message(floor::APPEND, length), 0, length)?;
            self.stream.read_exact(&mut [0])?;
            left -= length;
        }
        Ok(())
    }

    /// Sends a head and `length` bytes from `at` on of what repeats itself; a short body goes out with its head, as clients
    /// send it.
    fn send(&mut self, mut head: Vec<u8>, mut at: u64, mut length: u64) -> anyhow::Result<()> {
        ensure!(!self.bytes.is_empty() || length == 0, "nothing to send");
        let period = self.bytes.len() as u64;
        if length <= 4_096 {
            let from = usize::try_from(at.checked_rem(period).unwrap_or(0))?;
            let bytes = self.bytes.iter().cycle().skip(from);
            head.extend(bytes.take(usize::try_from(length)?));
            length = 0;
        }
        self.stream.write_all(&head)?;
        while length > 0 {
            let from = usize::try_from(at % period)?;
            let piece = self.bytes.get(from..).unwrap_or_default();
            let piece = piece.get(..usize::try_from(length)?).unwrap_or(piece);
            self.stream.write_all(piece)?;
            at += piece.len() as u64;
            length -= piece.len() as u64;
        }
        Ok(())
    }

    /// Reads an answer without a body.
    fn answer(&mut self, status: u16) -> anyhow::Result<String> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if let Some(end) = self.read.windows(END.len()).position(|window| window == END) {
                let rest = self.read.split_off(end + END.len());
                let answer = String::from_utf8(std::mem::replace(&mut self.read, rest))?;
                let wanted = format!("HTTP/1.1 {status} ");
                ensure!(answer.starts_with(&wanted), "no {status}: {answer}");
                return Ok(answer);
            }
            let mut piece = [0; 4_096];
            let count = self.stream.read(&mut piece)?;
            ensure!(count > 0, "the server closed the connection");
            self.read.extend(piece.iter().take(count));
        }
    }
}

fn message(kind: u8, length: u64) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(length.to_le_bytes());
    message
}

fn field<'a>(answer: &'a str, wanted: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim())
    })
}
