//! A TCP proxy that stops at a given byte, so that harm can be done in the very middle of a body.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use crate::eventually;

/// Between a client and a server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes from clients that were passed on.
    passed: usize,
    /// Passes no more than this until it is raised.
    hold_at: usize,
    /// The first line and the Upload-Offset of each request.
    requests: Vec<(String, Option<u64>)>,
}

impl Proxy {
    /// Passes `hold_at` bytes, then none until [`Proxy::release`].
    pub(crate) fn start(server: SocketAddr, hold_at: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.state.lock().unwrap().hold_at = hold_at;
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, shared) = (client.unwrap(), Arc::clone(&accepting));
                // A server that is down is a connection that is closed at once.
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || answers(from, to));
                std::thread::spawn(move || requests(client, server, &shared));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it holds.
    pub(crate) fn wait_until_held(&self) {
        eventually("the proxy holds", || {
            let state = self.shared.state.lock().unwrap();
            (state.passed >= state.hold_at).then_some(())
        });
    }

    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().hold_at = usize::MAX;
        self.shared.changed.notify_all();
    }

    /// The Upload-Offset of each PATCH so far.
    pub(crate) fn patches(&self) -> Vec<u64> {
        let state = self.shared.state.lock().unwrap();
        state
            .requests
            .iter()
            .filter(|(line, _)| line.starts_with("PATCH "))
            .map(|(_, offset)| offset.unwrap())
            .collect()
    }
}

fn answers(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn requests(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let mut state = shared.state.lock().unwrap();
        state.requests.extend(request(&buffer[..count]));
        while state.passed >= state.hold_at {
            state = shared.changed.wait(state).unwrap();
        }
        state.passed += count;
        drop(state);
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

/// The head of a request, which begins a piece because a client waits for each answer.
fn request(piece: &[u8]) -> Option<(String, Option<u64>)> {
    let head = piece
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|end| &piece[..end])?;
    let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    let line = head.lines().next()?;
    let line = line.ends_with("http/1.1").then(|| line.to_ascii_uppercase())?;
    let offset = head
        .lines()
        .find_map(|line| line.strip_prefix("upload-offset: ")?.parse().ok());
    Some((line, offset))
}
