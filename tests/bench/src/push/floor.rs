//! The floor: what any server must do to bring these frames to as many sockets, and nothing else. A bare loop writes
//! the frame that it was given to one socket or to all; no HTTP, no protocol, no channels, no queues.
//!
//! A connection says what it is by its first byte: a receiver, or one that controls. A control message is a kind, a
//! receiver's number of 8 bytes and the frame's length of 4, little endian, then the frame; it is answered by one byte.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, RwLock};

use anyhow::{Context as _, bail};

use super::websocket::{masked, unmasked};

const RECEIVER: u8 = b'r';
const CONTROL: u8 = b'c';
const ALL: u8 = b'a';
const ONE: u8 = b'1';
const PING: u8 = b'p';

/// What the floor is to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Write it to this receiver, or to all.
    Write(Option<u64>),
    /// Write it to all and read an answer from each.
    Ping,
}

type Receivers = Arc<RwLock<Vec<TcpStream>>>;

/// Serves until the process is killed.
///
/// # Errors
/// When there is no port to listen on.
pub fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("ready on http://{}", listener.local_addr()?);
    let receivers = Receivers::default();
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        if kind == [RECEIVER] {
            // Answered when it is on the list, so that no later order misses it.
            let mut answer = stream.try_clone()?;
            receivers.write().expect("no thread panics").push(stream);
            answer.write_all(b".")?;
            continue;
        }
        let receivers = Arc::clone(&receivers);
        std::thread::spawn(move || {
            if let Err(error) = obey(stream, &receivers) {
                eprintln!("floor: {error:#}");
            }
        });
    }
}

fn obey(mut control: TcpStream, receivers: &Receivers) -> anyhow::Result<()> {
    let mut frame = Vec::new();
    let mut answer = masked(b"{}");
    loop {
        let mut head = [0; 13];
        if control.read_exact(&mut head).is_err() {
            return Ok(());
        }
        let [kind, rest @ ..] = head;
        let (number, length) = rest.split_first_chunk::<8>().context("a head has 13 bytes")?;
        frame.resize(u32::from_le_bytes(length.try_into()?) as usize, 0);
        control.read_exact(&mut frame)?;
        let receivers = receivers.read().expect("no thread panics");
        match kind {
            ONE => {
                let number = usize::try_from(u64::from_le_bytes(*number))?;
                let mut receiver = receivers.get(number).context("no such receiver")?;
                receiver.write_all(&frame)?;
            }
            ALL | PING => {
                for mut receiver in receivers.iter() {
                    receiver.write_all(&frame)?;
                }
                if kind == PING {
                    for mut receiver in receivers.iter() {
                        receiver.read_exact(&mut answer)?;
                    }
                }
            }
            kind => bail!("an order of kind {kind}"),
        }
        control.write_all(b".")?;
    }
}

/// Connects a receiver.
///
/// # Errors
/// When there is no connection.
pub fn receiver(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = connect(address, RECEIVER)?;
    stream.read_exact(&mut [0])?;
    Ok(stream)
}

/// Connects one that controls.
///
/// # Errors
/// When there is no connection.
pub fn control(address: SocketAddr) -> anyhow::Result<TcpStream> {
    connect(address, CONTROL)
}

fn connect(address: SocketAddr, kind: u8) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[kind])?;
    Ok(stream)
}

/// Gives an order with a text for its frame, and waits until it is carried out.
///
/// # Errors
/// When the floor ends.
pub fn send(control: &mut TcpStream, order: Order, text: &[u8]) -> anyhow::Result<()> {
    let (kind, number) = match order {
        Order::Write(Some(number)) => (ONE, number),
        Order::Write(None) => (ALL, 0),
        Order::Ping => (PING, 0),
    };
    let frame = unmasked(text);
    let mut message = vec![kind];
    message.extend(number.to_le_bytes());
    message.extend(u32::try_from(frame.len())?.to_le_bytes());
    message.extend(frame);
    control.write_all(&message)?;
    control.read_exact(&mut [0])?;
    Ok(())
}
