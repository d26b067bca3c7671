//! Answers, read as strictly as a test can ask for.

use std::{fmt, io};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::ANSWER_WITHIN;

/// No answer's head is longer, bytes; a longer one is no answer.
const HEAD_MAX: usize = 64 * 1024;
/// How much of a body a failed test shows, characters.
const BODY_SHOWN: usize = 500;

/// An answer with its whole body.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The interim statuses that came before it.
    pub interim: Vec<u16>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.text().chars().take(BODY_SHOWN).collect();
        f.debug_struct("Response")
            .field("interim", &self.interim)
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &body)
            .finish()
    }
}

impl Response {
    /// The value of a header.
    ///
    /// # Panics
    /// When it stands twice: none of ours may.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(there, _)| there.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice: {self:?}");
        value
    }

    /// The `Upload-Offset`.
    ///
    /// # Panics
    /// When it is no number.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.number("Upload-Offset")
    }

    /// The `Retry-After` in seconds.
    ///
    /// # Panics
    /// When it is no number.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.number("Retry-After")
    }

    /// A header that is a number.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.header(name)
            .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {self:?}")))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The stable code of a problem; empty where the answer is none.
    #[must_use]
    pub fn code(&self) -> String {
        if self.header("Content-Type") != Some("application/problem+json") || self.body.is_empty() {
            return String::new();
        }
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Reads one answer from `reader`; `buffer` holds what was read ahead.
pub(super) async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut Vec<u8>,
    method: &str,
) -> io::Result<Response> {
    let within = tokio::time::timeout(ANSWER_WITHIN, read_final(reader, buffer, method));
    within
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {ANSWER_WITHIN:?}")))?
}

async fn read_final<R: AsyncRead + Unpin>(reader: &mut R, buffer: &mut Vec<u8>, method: &str) -> io::Result<Response> {
    let mut interim = Vec::new();
    loop {
        let (status, headers) = read_head(reader, buffer).await?;
        if (100..200).contains(&status) && status != 101 {
            interim.push(status);
            continue;
        }
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
            interim,
        };
        if method != "HEAD" && !matches!(status, 101 | 204 | 304) {
            response.body = read_body(reader, buffer, &response).await?;
        }
        return Ok(response);
    }
}

pub(super) async fn read_head<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut Vec<u8>,
) -> io::Result<(u16, Vec<(String, String)>)> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_MAX {
            return Err(malformed("an answer's head does not end"));
        }
        more(reader, buffer).await?;
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.trim_end().split("\r\n");
    let status = lines
        .next()
        .and_then(|line| {
            line.strip_prefix("HTTP/1.1 ")
                .or_else(|| line.strip_prefix("HTTP/1.0 "))
        })
        .and_then(|line| line.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| malformed(&format!("no status line: {head}")))?;
    let headers = lines
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| malformed(&format!("no header: {line}")))?;
            Ok((name.to_owned(), value.trim().to_owned()))
        })
        .collect::<io::Result<_>>()?;
    Ok((status, headers))
}

async fn read_body<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut Vec<u8>,
    response: &Response,
) -> io::Result<Vec<u8>> {
    if response.header("Transfer-Encoding") == Some("chunked") {
        return read_chunked(reader, buffer).await;
    }
    if let Some(length) = response.number("Content-Length") {
        return exactly(reader, buffer, usize::try_from(length).map_err(io::Error::other)?).await;
    }
    while reader.read_buf(buffer).await? > 0 {}
    Ok(std::mem::take(buffer))
}

async fn read_chunked<R: AsyncRead + Unpin>(reader: &mut R, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            more(reader, buffer).await?;
        };
        let line: Vec<u8> = buffer.drain(..end + 2).collect();
        let size = std::str::from_utf8(&line[..end])
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or_else(|| malformed("no chunk size"))?;
        let data = exactly(reader, buffer, size + 2).await?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&data[..size]);
    }
}

pub(super) async fn exactly<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut Vec<u8>,
    size: usize,
) -> io::Result<Vec<u8>> {
    while buffer.len() < size {
        more(reader, buffer).await?;
    }
    Ok(buffer.drain(..size).collect())
}

async fn more<R: AsyncRead + Unpin>(reader: &mut R, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.reserve(64 * 1024);
    match reader.read_buf(buffer).await? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "closed in the middle of an answer: {:?}",
                String::from_utf8_lossy(buffer)
            ),
        )),
        _ => Ok(()),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
