//! A client that speaks WebSocket by hand, so that it can also speak it wrongly.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::DEADLINE;

pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    /// The close code and reason.
    Close(Option<(u16, String)>),
    /// The connection ended.
    End,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        Self::open_with(address, path, "", b"").await
    }

    /// Opens with more headers, and with bytes that follow the request at once.
    pub(crate) async fn open_with(address: SocketAddr, path: &str, headers: &str, early: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(&[request.as_bytes(), early].concat()).await.unwrap();
        let mut client = Self {
            stream,
            received: Vec::new(),
        };
        let response = timeout(DEADLINE, client.read_head()).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 101"), "{response}");
        // The key of RFC 6455's own example, and its answer.
        assert!(response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{response}");
        client
    }

    async fn read_head(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.read_more().await, "the connection ended in the handshake");
        }
    }

    async fn read_more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.received.extend_from_slice(&buffer[..count]);
        count > 0
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_raw(&frame(0x81, text.as_bytes())).await;
    }

    /// Sends as much as the server takes; it may have closed by now.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Frame {
        timeout(DEADLINE, self.read_frame())
            .await
            .expect("nothing came in time")
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Frame::Text(text) => return text,
                Frame::Ping => {}
                other => panic!("no text but {other:?}"),
            }
        }
    }

    /// What the server closes with, whatever it says before.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Frame::Close(close) => return close.map(|(code, _)| code),
                Frame::End => return None,
                Frame::Text(_) | Frame::Ping | Frame::Pong(_) => {}
            }
        }
    }

    async fn read_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.parse() {
                return frame;
            }
            if !self.read_more().await {
                return Frame::End;
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let bytes = &self.received;
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        assert_eq!(second & 0x80, 0, "a server's frame is not masked");
        let (length, header) = match second {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let payload = bytes.get(header..header + length as usize)?.to_vec();
        self.received.drain(..header + length as usize);
        Some(match first {
            0x81 => Frame::Text(String::from_utf8(payload).unwrap()),
            0x88 => Frame::Close(
                payload
                    .split_first_chunk()
                    .map(|(code, reason)| (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())),
            ),
            0x89 => Frame::Ping,
            0x8A => Frame::Pong(payload),
            other => panic!("unexpected frame {other:#x}"),
        })
    }
}

/// A masked frame as a client sends it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A client of the Centrifuge protocol that has connected and subscribed to `channel`.
pub(crate) async fn subscriber(address: SocketAddr, channel: &str) -> Client {
    let mut client = Client::open(address, "/connection/websocket").await;
    let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#);
    client
        .send(&format!("{{\"id\":1,\"connect\":{{}}}}\n{subscribe}"))
        .await;
    let mut replies = String::new();
    while !replies.contains(r#"{"id":2,"subscribe":"#) {
        replies.push_str(&client.text().await);
    }
    client
}

/// Publishes on `channel` as `client`, and waits for the reply.
pub(crate) async fn publish(client: &mut Client, channel: &str, data: &str) {
    client
        .send(&format!(
            r#"{{"id":9,"publish":{{"channel":"{channel}","data":{data}}}}}"#
        ))
        .await;
    while client.text().await != r#"{"id":9,"publish":{}}"# {}
}
