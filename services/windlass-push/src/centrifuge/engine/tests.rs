use std::time::Duration;

use windlass_serve::auth::TokenError;
use windlass_task::{Principal, Right, Rights};

use super::*;
use crate::broker::{History, Range};
use crate::centrifuge::codec::{Codec, json};
use crate::centrifuge::dialect::Dialect;
use crate::centrifuge::reply::Push;
use crate::client::{ClientId, Identity};
use crate::codes::UnsubscribeCode;
use crate::config::Config;
use crate::payload::Payload;
use crate::position::{StreamEpoch, StreamPosition};
use crate::publication::Message;
use crate::queue::{Class, Delivery, End};
use crate::session::{Source, Start, Subscribe};

mod ask;
mod commands;
mod grants;
mod limits;
mod recovery;

const EPOCH: StreamEpoch = StreamEpoch(7);
const TASK: &str = "task:local-018f0000-0000-7000-8000-000000000000";

/// An engine and the time, driven by JSON text.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) now: Instant,
}

impl Bench {
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::validate(&Config::default(), true).unwrap();
        change(&mut settings);
        let now = Instant::now();
        Self {
            engine: Engine::new(
                Peer::new(ClientId::random(), Dialect::websocket(Codec::Json)),
                Arc::new(settings),
                now,
                1.0,
            ),
            now,
        }
    }

    fn opened() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn connected() -> Self {
        Self::connected_as(Rights::ALL, None, |_| {})
    }

    fn connected_as(rights: Rights, expires_in: Option<Duration>, change: impl FnOnce(&mut Settings)) -> Self {
        let mut bench = Self::with(change);
        bench.say(r#"{"id":1,"connect":{}}"#);
        bench.take();
        let principal = Principal {
            rights,
            ..Principal::local()
        };
        bench.complete(Completion::Authenticated(Ok(Identity::known(principal, expires_in))));
        bench.take();
        bench
    }

    pub(super) fn say(&mut self, text: &str) {
        for command in Codec::Json.decode(text.as_bytes()) {
            match command {
                Ok(command) => self.engine.command(command, self.now),
                Err(_) => self.engine.garbage(),
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        self.engine.complete(completion, self.now);
    }

    /// Everything that the engine wants by now.
    pub(super) fn take(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.engine.output()).collect()
    }

    /// What the client is sent by now, as text; effects and closes in their own notation.
    fn heard(&mut self) -> Vec<String> {
        let text = |output| match output {
            Output::Reply(reply) => {
                let mut frame = Vec::new();
                json::encode(&reply, &mut frame).unwrap();
                String::from_utf8(frame).unwrap()
            }
            Output::Forward(frame) => format!("frame {}", String::from_utf8_lossy(&frame)),
            Output::Do(_) => "effect".to_owned(),
            Output::Note(note) => format!("{note:?}"),
            Output::Close(disconnect) => format!("close {}", disconnect.parts().0),
        };
        self.take().into_iter().map(text).collect()
    }

    /// Says something that needs no effect, and gives what the client hears.
    fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.heard().join(" ")
    }

    /// Subscribes to a stream whose top is at `top`; the slot.
    fn subscribe(&mut self, channel: &str, top: u64) -> Slot {
        self.say(&format!(r#"{{"id":9,"subscribe":{{"channel":"{channel}"}}}}"#));
        let slot = subscription(self.take()).slot;
        self.complete(Completion::Subscribed {
            slot,
            start: Ok(Start::History(history(0..0, top))),
        });
        self.take();
        slot
    }
}

fn subscription(outputs: Vec<Output>) -> Subscribe {
    match outputs.into_iter().next() {
        Some(Output::Do(Effect::Subscribe(subscribe))) => *subscribe,
        other => panic!("no subscription but {other:?}"),
    }
}

fn message(offset: u64) -> Message {
    Message {
        data: Payload::of(&offset).unwrap(),
        info: None,
        tags: Default::default(),
        position: Some(StreamPosition { offset, epoch: EPOCH }),
    }
}

fn history(offsets: std::ops::Range<u64>, top: u64) -> History {
    History {
        publications: offsets.map(message).collect(),
        top: StreamPosition {
            offset: top,
            epoch: EPOCH,
        },
    }
}

fn delivery(slot: Slot, offset: u64) -> Delivery {
    let class = Class::Stream(Some(StreamPosition { offset, epoch: EPOCH }));
    Delivery {
        slot,
        class,
        end: End::Open,
        frame: offset.to_string().into(),
    }
}

fn value(slot: Slot, revision: u64, end: End) -> Delivery {
    Delivery {
        slot,
        class: Class::Latest(revision),
        end,
        frame: revision.to_string().into(),
    }
}
