//! The clients: thousands of connections that one thread reads, so that they take little of the machine's time.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::websocket::{Frame, TEXT, masked};
use super::{Clock, Moment, floor};

/// How many sockets are asked for at once.
const EVENTS: usize = 1_024;
/// How often is looked whether enough was heard.
const LOOK: rustix::event::Timespec = rustix::event::Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Connections with one subscription each.
#[derive(Debug)]
pub struct Swarm {
    epoll: OwnedFd,
    members: Vec<Member>,
    clock: Clock,
    heard: Heard,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
}

/// What all of them heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// How long after its making each publication came, one for each client that got it.
    pub delays: Vec<Duration>,
    /// How long after its making each publication came to the last of those who got it.
    pub last: HashMap<Moment, Duration>,
    /// Pings, all answered.
    pub pings: u64,
}

impl Swarm {
    /// Clients of the Centrifuge protocol, by turns at each of `addresses`, each subscribed to the channel that `channel`
    /// gives for its number.
    ///
    /// # Errors
    /// The first that does not get its connection or its subscription.
    pub fn of_service(
        addresses: &[SocketAddr],
        count: usize,
        clock: Clock,
        channel: impl Fn(usize) -> String,
    ) -> anyhow::Result<Self> {
        Self::gather(count, clock, |number| {
            let mut stream = upgrade(in_turn(addresses, number)?)?;
            let commands = format!(
                "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{}\"}}}}",
                channel(number)
            );
            stream.write_all(&masked(commands.as_bytes()))?;
            await_reply(&mut stream, b"{\"id\":2,\"subscribe\"")?;
            Ok(stream)
        })
    }

    /// Receivers of the floor.
    ///
    /// # Errors
    /// The first that does not get its connection.
    pub fn of_floor(address: SocketAddr, count: usize, clock: Clock) -> anyhow::Result<Self> {
        Self::gather(count, clock, |_| floor::receiver(address))
    }

    fn gather(
        count: usize,
        clock: Clock,
        mut open: impl FnMut(usize) -> anyhow::Result<TcpStream>,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut members = Vec::with_capacity(count);
        for number in 0..count {
            let stream = open(number).with_context(|| format!("connection {number}"))?;
            stream.set_nonblocking(true)?;
            let place = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &stream, place, epoll::EventFlags::IN)?;
            members.push(Member {
                stream,
                rest: Vec::new(),
            });
        }
        Ok(Self {
            epoll,
            members,
            clock,
            heard: Heard::default(),
        })
    }

    /// Listens until `enough` is true of what was heard since the last call, and gives it out.
    ///
    /// # Errors
    /// A connection that ends, or the `deadline`.
    pub fn listen(&mut self, deadline: Instant, enough: impl Fn(&Heard) -> bool) -> anyhow::Result<Heard> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut buffer = vec![0; 64 * 1024];
        while !enough(&self.heard) {
            ensure!(
                Instant::now() < deadline,
                "not everything came: {} publications",
                self.heard.delays.len()
            );
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&LOOK))?;
            for event in events.drain(..) {
                let place = usize::try_from(event.data.u64())?;
                let member = self.members.get_mut(place).context("an event of nobody")?;
                member.read(&mut buffer, self.clock, &mut self.heard)?;
            }
        }
        Ok(std::mem::take(&mut self.heard))
    }
}

impl Member {
    fn read(&mut self, buffer: &mut [u8], clock: Clock, heard: &mut Heard) -> anyhow::Result<()> {
        let count = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let new = buffer.get(..count).context("no more is read than fits")?;
        if self.rest.is_empty() {
            let read = take(new, &mut self.stream, clock, heard)?;
            self.rest.extend(new.iter().skip(read));
        } else {
            self.rest.extend(new);
            let read = take(&self.rest, &mut self.stream, clock, heard)?;
            self.rest.drain(..read);
        }
        Ok(())
    }
}

/// Takes the whole frames in `bytes`; says how many bytes these were.
fn take(bytes: &[u8], stream: &mut TcpStream, clock: Clock, heard: &mut Heard) -> anyhow::Result<usize> {
    let mut read = 0;
    while let Some(frame) = Frame::first(&bytes[read..]) {
        read += frame.size;
        ensure!(frame.opcode == TEXT, "a frame of opcode {}", frame.opcode);
        match clock.made(frame.payload) {
            Some((made, delay)) => {
                heard.delays.push(delay);
                let last = heard.last.entry(made).or_default();
                *last = delay.max(*last);
            }
            None if frame.payload == b"{}" => {
                // Eight bytes always fit a socket's buffer.
                stream.write_all(&masked(b"{}"))?;
                heard.pings += 1;
            }
            None => bail!("heard {:?}", String::from_utf8_lossy(frame.payload)),
        }
    }
    Ok(read)
}

/// The address whose turn it is.
///
/// # Errors
/// When there is none.
pub fn in_turn(addresses: &[SocketAddr], number: usize) -> anyhow::Result<SocketAddr> {
    addresses
        .iter()
        .copied()
        .cycle()
        .nth(number % addresses.len().max(1))
        .context("no address")
}

/// A WebSocket to the service.
///
/// # Errors
/// When it is refused.
pub fn upgrade(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let head = format!(
        "GET /connection/websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let answer = read_until(&mut stream, |read| read.ends_with(b"\r\n\r\n"))?;
    ensure!(
        answer.starts_with(b"HTTP/1.1 101 "),
        "no upgrade: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(stream)
}

/// Reads until a whole frame has come that contains `wanted`. Nothing may come after it yet.
///
/// # Errors
/// When the connection ends before.
pub fn await_reply(stream: &mut TcpStream, wanted: &[u8]) -> anyhow::Result<()> {
    let whole = |read: &[u8]| {
        let mut rest = read;
        let mut found = false;
        while let Some(frame) = Frame::first(rest) {
            found |= frame.payload.windows(wanted.len()).any(|window| window == wanted);
            rest = &rest[frame.size..];
        }
        found && rest.is_empty()
    };
    read_until(stream, whole).map(drop)
}

/// Reads until it is enough.
///
/// # Errors
/// When the server closes the connection before.
pub fn read_until(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> anyhow::Result<Vec<u8>> {
    let (mut read, mut piece) = (Vec::new(), [0; 4_096]);
    while !enough(&read) {
        let count = stream.read(&mut piece)?;
        ensure!(
            count > 0,
            "the server closed the connection after {:?}",
            String::from_utf8_lossy(&read)
        );
        read.extend(piece.iter().take(count));
    }
    Ok(read)
}
