//! `multipart/form-data` as text, right or wrong.

use crate::wire::Request;

/// The boundary of the forms made here.
pub const BOUNDARY: &str = "----end-to-end-7c1d";

/// A form under construction.
#[derive(Debug, Clone, Default)]
pub struct Form(Vec<u8>);

impl Form {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more part with these header lines, exactly.
    #[must_use]
    pub fn part(mut self, headers: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(format!("--{BOUNDARY}\r\n").as_bytes());
        self.0.extend_from_slice(headers.as_ref());
        self.0.extend_from_slice(b"\r\n\r\n");
        self.0.extend_from_slice(content.as_ref());
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// One more file, its name as it stands between the quotes.
    #[must_use]
    pub fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let mut headers = b"Content-Disposition: form-data; name=\"file\"; filename=\"".to_vec();
        headers.extend_from_slice(name.as_ref());
        headers.extend_from_slice(b"\"\r\nContent-Type: application/octet-stream");
        self.part(headers, content)
    }

    /// One more field without a file.
    #[must_use]
    pub fn field(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.part(format!("Content-Disposition: form-data; name=\"{name}\""), content)
    }

    /// The body without its end.
    #[must_use]
    pub fn open_end(self) -> Vec<u8> {
        self.0
    }

    /// The body with its end.
    #[must_use]
    pub fn body(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }

    /// The request with the whole form.
    #[must_use]
    pub fn request(self) -> Request {
        head().body(self.body())
    }
}

/// A form's request without a body so far.
#[must_use]
pub fn head() -> Request {
    Request::new("POST", "/files/").header("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}"))
}
