//! A WebSocket client (RFC 6455) that can also send what no client may.

use serde_json::Value;

use crate::tus::Client;
use crate::wire::{Request, Wire};

/// A WebSocket after its handshake.
#[derive(Debug)]
pub struct Socket {
    wire: Wire,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// A ping, which [`Socket::next`] has answered.
    Ping,
    /// A pong.
    Pong,
    /// The end, with its code, which [`Socket::next`] has answered.
    Close(Option<u16>),
}

/// The opcode of a text frame.
pub const TEXT: u8 = 1;
/// The opcode of a binary frame.
pub const BINARY: u8 = 2;
/// The opcode of a close frame.
pub const CLOSE: u8 = 8;
/// The opcode of a ping.
pub const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

impl Socket {
    /// Opens one at this path.
    ///
    /// # Panics
    /// When the server does not switch protocols.
    pub async fn open(client: &Client, path: &str) -> Self {
        let mut wire = client.connect().await;
        let response = wire.exchange(&handshake(path)).await.expect("a handshake is answered");
        assert_eq!(response.status, 101, "{response:?}");
        // The accept value of the key below, as RFC 6455 section 1.3 computes it for its example.
        assert_eq!(
            response.header("Sec-WebSocket-Accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        Self { wire }
    }

    /// Sends a JSON text.
    ///
    /// # Panics
    /// When the connection has broken.
    pub async fn send_json(&mut self, value: &Value) {
        let sent = self.wire.send(frame(TEXT, value.to_string().as_bytes())).await;
        sent.expect("a message can be sent");
    }

    /// Sends exactly these bytes in place of a frame; a server that has closed already is no fault.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.wire.send(bytes).await;
    }

    /// The next message; `None` after the connection has ended or when nothing comes for very long.
    pub async fn next(&mut self) -> Option<Message> {
        let head = self.wire.take(2).await.ok()?;
        let length = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.wire.take(2).await.ok()?.try_into().ok()?)),
            127 => u64::from_be_bytes(self.wire.take(8).await.ok()?.try_into().ok()?),
            length => u64::from(length),
        };
        assert_eq!(head[1] & MASKED, 0, "a server does not mask");
        let payload = self.wire.take(usize::try_from(length).ok()?).await.ok()?;
        Some(match head[0] & 0x0f {
            TEXT => Message::Text(String::from_utf8(payload).expect("a text is UTF-8")),
            BINARY => Message::Binary(payload),
            PING => {
                self.send_raw(&frame(PONG, &payload)).await;
                Message::Ping
            }
            PONG => Message::Pong,
            CLOSE => {
                self.send_raw(&frame(CLOSE, &payload)).await;
                Message::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code)))
            }
            opcode => panic!("the server sent opcode {opcode}"),
        })
    }

    /// The next text as JSON, pings aside.
    ///
    /// # Panics
    /// When another message or the end comes first.
    pub async fn next_json(&mut self) -> Value {
        loop {
            match self.next().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).expect("a message is JSON"),
                Some(Message::Ping) => {}
                other => panic!("expected a text, got {other:?}"),
            }
        }
    }

    /// Reads to the end; the code of the close frame if there was one.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Some(Message::Close(code)) => return code,
                Some(_) => {}
                None => return None,
            }
        }
    }
}

/// The request that opens a WebSocket.
#[must_use]
pub fn handshake(path: &str) -> Request {
    Request::new("GET", path)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// A whole frame as a client sends it, masked.
#[must_use]
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FINAL | opcode];
    match payload.len() {
        length @ ..126 => frame.push(MASKED | length as u8),
        length @ 126..65_536 => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
