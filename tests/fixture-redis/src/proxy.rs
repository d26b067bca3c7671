//! A network between a client and a server that does harm on command.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::deaf::Words;

/// What is done with what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It passes.
    Pass,
    /// Requests pass; with the first reply to one the connection is cut instead.
    LoseReplies,
    /// Nothing passes, and nothing is lost: it comes when the way is free again.
    Hold,
    /// What was published is lost on its way to who has subscribed; all else passes.
    Deafen,
    /// Connections are cut, and new ones at once.
    Cut,
}

/// A TCP proxy, gone with its connections when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    target: Arc<watch::Sender<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to `target`, on a free port.
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port can be bound");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let target = Arc::new(watch::Sender::new(target));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&mode), Arc::clone(&target)));
        Self {
            address,
            mode,
            target,
            accepting,
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients of Redis are given.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Everything passes from now on.
    pub fn pass(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    /// The next request of each connection is delivered and its reply lost with the connection.
    pub fn lose_replies(&self) {
        self.mode.send_replace(Mode::LoseReplies);
    }

    /// Nothing passes until [`Proxy::pass`], and nothing is lost.
    pub fn hold(&self) {
        self.mode.send_replace(Mode::Hold);
    }

    /// From now on what was published is lost on its way to who has subscribed, on connections that stand and answer.
    pub fn deafen(&self) {
        self.mode.send_replace(Mode::Deafen);
    }

    /// Cuts all connections, and new ones at once until [`Proxy::pass`].
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// New connections go to another server; those there are are cut.
    pub fn turn_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, mode: Arc<watch::Sender<Mode>>, target: Arc<watch::Sender<SocketAddr>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        connections.spawn(serve(client, mode.subscribe(), target.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(client: TcpStream, mut mode: watch::Receiver<Mode>, mut target: watch::Receiver<SocketAddr>) {
    if *mode.borrow_and_update() == Mode::Cut {
        return;
    }
    let address = *target.borrow_and_update();
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = carry(from_client, to_server, mode.clone(), false) => {}
        () = carry(from_server, to_client, mode.clone(), true) => {}
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        _ = target.changed() => {}
    }
}

/// Carries one direction until it ends or is to end.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>, replies: bool) {
    let (mut buffer, mut words) = (vec![0; 64 * 1024], Words::default());
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let Ok(now) = mode.wait_for(|mode| *mode != Mode::Hold).await.map(|mode| *mode) else {
            return;
        };
        if now == Mode::Cut || now == Mode::LoseReplies && replies {
            return;
        }
        let passed = if replies {
            words.take(&buffer[..count], now == Mode::Deafen)
        } else {
            buffer[..count].to_vec()
        };
        if to.write_all(&passed).await.is_err() {
            return;
        }
    }
}
