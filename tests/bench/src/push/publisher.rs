//! Publications at a pace.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::swarm::{await_reply, in_turn, read_until, upgrade};
use super::websocket::masked;
use super::{Clock, floor};

/// How publications are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the `publish` command of the Centrifuge protocol, each answered.
    Protocol,
    /// By `POST /api/publish`, each a request of its own on a connection that is kept.
    Api,
    /// The floor's.
    Floor,
}

/// One connection that publishes.
#[derive(Debug)]
struct Publisher {
    address: SocketAddr,
    stream: TcpStream,
    way: Way,
    sent: u32,
}

/// Publishes `count` times at `rate` a second to the channels that `channel` gives for the publications' numbers, over
/// `connections` at once, by turns at each of `addresses`. A publication that is late does not hold the next one up.
///
/// # Errors
/// The first publication that is refused.
pub fn publish(
    addresses: &[SocketAddr],
    way: Way,
    clock: Clock,
    pace: Pace,
    channel: impl Fn(u64) -> Option<u64> + Send + Sync,
) -> anyhow::Result<()> {
    let (next, begin) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..pace.connections)
            .map(|connection| {
                let (next, channel) = (&next, &channel);
                scope.spawn(move || {
                    let mut publisher = Publisher::open(in_turn(addresses, connection)?, way)?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= pace.count {
                            return Ok(());
                        }
                        let due = begin + Duration::from_secs_f64(number as f64 / pace.rate);
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        publisher.publish(channel(number), &clock.data())?;
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a publisher thread does not panic"))
    })
}

/// How many publications, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many.
    pub count: u64,
    /// How many a second; infinite: each connection makes its next one when the last was answered.
    pub rate: f64,
    /// Over how many connections.
    pub connections: usize,
}

/// The channel that all or one subscribe to.
#[must_use]
pub fn channel(receiver: Option<u64>) -> String {
    receiver.map_or_else(|| "bench".to_owned(), |receiver| format!("bench-{receiver}"))
}

impl Publisher {
    fn open(address: SocketAddr, way: Way) -> anyhow::Result<Self> {
        let stream = match way {
            Way::Protocol => {
                let mut stream = upgrade(address)?;
                stream.write_all(&masked(b"{\"id\":1,\"connect\":{}}"))?;
                await_reply(&mut stream, b"{\"id\":1,\"connect\"")?;
                stream
            }
            Way::Api => {
                let stream = TcpStream::connect(address)?;
                // A request goes out whole and at once, as from any HTTP client.
                stream.set_nodelay(true)?;
                stream
            }
            Way::Floor => floor::control(address)?,
        };
        Ok(Self {
            address,
            stream,
            way,
            sent: 1,
        })
    }

    /// Publishes to everybody, or to the channel of one receiver, and waits for the answer.
    fn publish(&mut self, receiver: Option<u64>, data: &str) -> anyhow::Result<()> {
        self.sent += 1;
        let (id, channel) = (self.sent, channel(receiver));
        match self.way {
            Way::Protocol => {
                let command = format!("{{\"id\":{id},\"publish\":{{\"channel\":\"{channel}\",\"data\":{data}}}}}");
                self.stream.write_all(&masked(command.as_bytes()))?;
                await_reply(&mut self.stream, format!("{{\"id\":{id},\"publish\"").as_bytes())
            }
            Way::Api => {
                let body = format!("{{\"channel\":\"{channel}\",\"data\":{data}}}");
                let (address, length) = (self.address, body.len());
                let request = format!(
                    "POST /api/publish HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\n\r\n{body}"
                );
                self.stream.write_all(request.as_bytes())?;
                let answer = read_until(&mut self.stream, |read| rest_of(read) == Some(0))?;
                let done = answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"}}");
                ensure!(done, "the API answers {}", String::from_utf8_lossy(&answer));
                Ok(())
            }
            Way::Floor => {
                let text = format!("{{\"push\":{{\"channel\":\"{channel}\",\"pub\":{{\"data\":{data}}}}}}}");
                floor::send(&mut self.stream, floor::Order::Write(receiver), text.as_bytes())
            }
        }
    }
}

/// How many bytes of an HTTP response are still to come; `None` while its head is not whole.
fn rest_of(response: &[u8]) -> Option<usize> {
    let head = response.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(response.get(..head)?).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let length: usize = length.trim().parse().ok()?;
    Some((head + 4 + length).saturating_sub(response.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_with_its_last_byte() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"result\":{}}";
        assert_eq!(rest_of(response), Some(0));
        assert_eq!(rest_of(&response[..response.len() - 2]), Some(2));
        assert_eq!(rest_of(&response[..20]), None);
    }
}
