use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use windlass_serve::Authenticator;

use super::*;
use crate::centrifuge::codec::Codec;
use crate::client::ClientId;
use crate::config::{Config, Settings};
use crate::queue::{Class, Delivery, End, Slot};
use crate::session::Instruction;
use crate::socket::{Reader, Socket};

/// A session that lets everything through and counts what it was told.
#[derive(Default)]
struct Open {
    actions: VecDeque<Action>,
    messages: usize,
    /// Closes after so many messages.
    patience: usize,
}

impl Session for Open {
    fn receive(&mut self, _: Message, _: std::time::Instant) {
        self.messages += 1;
        if self.messages == self.patience {
            self.actions.push_back(Action::Close(Disconnect::Closed));
        }
    }

    fn complete(&mut self, _: Completion, _: std::time::Instant) {}

    fn deliver(&mut self, delivery: Delivery) {
        self.actions.push_back(Action::Write(delivery.frame.into_whole()));
    }

    fn overflow(&mut self, _: Slot) {}

    fn leave(&mut self, _: Duration, _: std::time::Instant) {}

    fn tick(&mut self, _: std::time::Instant) {}

    fn deadline(&self) -> Option<std::time::Instant> {
        None
    }

    fn is_receptive(&self) -> bool {
        true
    }

    fn instruct(&mut self, _: Instruction, _: std::time::Instant) {}

    fn farewell(&self, disconnect: &Disconnect) -> Bytes {
        frame::close(disconnect.parts().0, disconnect.parts().1)
    }

    fn action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

/// A running driver, its queue, and the client's end of a connection that holds `buffer` bytes.
fn run(buffer: usize, patience: usize) -> (tokio::task::JoinHandle<()>, Arc<Outbox>, DuplexStream) {
    let settings = Settings::validate(&Config::default(), true).unwrap();
    let push = Push::new(settings, Authenticator::Loopback, None);
    let (server, client) = tokio::io::duplex(buffer);
    let outbox = Arc::new(Outbox::new(10_000));
    let desk = Desk::new(
        Arc::clone(&push),
        Arc::clone(&outbox),
        ClientId::random(),
        crate::desk::Shown::default(),
        crate::metrics::Transport::Plain,
        Codec::Json,
    );
    let session = Open {
        patience,
        ..Open::default()
    };
    let driver = Box::new(Driver::new(
        push,
        Socket::new(server, b"", Reader::new(1_000)),
        session,
        desk,
        Arc::clone(&outbox),
    ));
    (tokio::spawn(driver.run()), outbox, client)
}

fn value(slot: u32, size: usize) -> Delivery {
    let frame = frame::text(&vec![b'x'; size]);
    Delivery {
        slot: Slot(slot),
        class: Class::Latest(1),
        end: End::Open,
        frame: frame.into(),
    }
}

/// What ten thousand idle connections keep ten thousand times. Whoever makes it larger should know.
#[test]
fn the_state_of_a_connection_stays_small() {
    type Real<S> = Driver<Socket<windlass_serve::Socket>, S>;
    let sizes = [
        (
            "centrifuge",
            size_of::<Real<crate::centrifuge::session::Centrifuge>>(),
            832,
        ),
        ("plain", size_of::<Real<crate::plain::Plain>>(), 832),
        ("outbox", size_of::<Outbox>(), 192),
        ("desk", size_of::<Desk>(), 160),
    ];
    let grown: Vec<_> = sizes.into_iter().filter(|(_, size, bound)| size > bound).collect();
    assert!(grown.is_empty(), "{grown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_closed_as_slow_at_the_hard_bound() {
    let (driver, outbox, mut client) = run(100, usize::MAX);
    let mut slot = 0;
    while outbox.deliver(value(slot, 500)) != crate::queue::Put::GivenUp {
        slot += 1;
        tokio::task::yield_now().await;
    }
    assert!(outbox.bytes() < 1_000, "what waited is forgotten");
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert!(received.ends_with(&frame::close(3008, "slow")), "{received:?}");
    driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_leave_is_left_without_one() {
    let (driver, outbox, client) = run(10, usize::MAX);
    outbox.order(Order::Disconnect(Disconnect::Shutdown));
    let begin = Instant::now();
    driver.await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    drop(client);
}

#[tokio::test]
async fn a_flood_of_publications_does_not_keep_the_client_from_being_heard() {
    const ASKED: usize = 50;
    let (driver, outbox, client) = run(64 * 1024, ASKED);
    let (mut reader, mut writer) = tokio::io::split(client);
    let flood = tokio::spawn(async move {
        for slot in 0.. {
            outbox.deliver(value(slot % 8, 100));
            tokio::task::yield_now().await;
        }
    });
    let drain = tokio::spawn(async move {
        let mut sink = vec![0; 64 * 1024];
        while reader.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    });
    // Empty masked texts; after so many the session closes.
    writer.write_all(&[0x81, 0x80, 0, 0, 0, 0].repeat(ASKED)).await.unwrap();
    writer.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), driver)
        .await
        .expect("never heard")
        .unwrap();
    flood.abort();
    drain.await.unwrap();
}
