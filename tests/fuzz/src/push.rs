//! Targets of the push service: frames, and whole conversations with its sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_push::centrifuge::codec::{Codec, protobuf};
use windlass_push::centrifuge::dialect::Dialect;
use windlass_push::centrifuge::peer::Peer;
use windlass_push::centrifuge::session::Centrifuge;
use windlass_push::client::{ClientId, Identity};
use windlass_push::codes::{ErrorCode, REASON_BYTES_MAX};
use windlass_push::fossil;
use windlass_push::plain::Plain;
use windlass_push::session::{Action, Completion, Effect, Failure, Session, Start};
use windlass_push::socket::{Message, Reader, Violation};
use windlass_push::{Config, Settings};
use windlass_task::Principal;

/// What a reader makes of bytes that come in these pieces.
fn read<'a>(mut reader: Reader, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, Option<Violation>) {
    let mut messages = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
    }
    (messages, None)
}

/// However the network cuts the bytes, the messages are the same, and within the bound. The first byte says where it
/// cuts; compressed messages are agreed when it is odd.
pub(crate) fn websocket(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let reader = || match Reader::new(1_024) {
        reader if cut % 2 == 1 => reader.inflating(),
        reader => reader,
    };
    let whole = read(reader(), [bytes]);
    for message in &whole.0 {
        let length = match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) => bytes.len(),
            Message::Pong | Message::Close(_) => 0,
        };
        assert!(length <= 1_024);
    }
    let (left, right) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(read(reader(), [left, right]), whole);
    assert_eq!(read(reader(), bytes.chunks(1)), whole);
}

pub(crate) fn centrifuge(data: &[u8]) {
    let dialect = Dialect::websocket(Codec::Json);
    let session = |settings, now| Centrifuge::new(Peer::new(ClientId::random(), dialect), settings, now, 0.5);
    converse(data, session, text);
}

pub(crate) fn centrifuge_protobuf(data: &[u8]) {
    let dialect = Dialect::websocket(Codec::Protobuf);
    let session = |settings, now| Centrifuge::new(Peer::new(ClientId::random(), dialect), settings, now, 0.5);
    converse(data, session, |bytes| Message::Binary(bytes.to_vec()));
    let _ = protobuf::decode_emulation(data);
}

pub(crate) fn plain(data: &[u8]) {
    converse(data, |settings, now| Plain::new(settings, now, 0.5), text);
}

/// What comes before the first line feed and what comes after it: texts that one is the delta of, and bytes that claim
/// to be one.
pub(crate) fn delta(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (before, after) = data.split_at(end);
    let after = after.strip_prefix(b"\n").unwrap_or_default();
    let _ = fossil::apply(before, after);
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    if let Some(delta) = fossil::diff(&before, &after) {
        assert!(delta.len() < after.len());
        let made = fossil::apply(before.as_bytes(), delta.as_bytes());
        assert_eq!(made.as_deref(), Ok(after.as_bytes()));
    }
}

fn text(bytes: &[u8]) -> Message {
    Message::Text(String::from_utf8_lossy(bytes).into_owned())
}

/// Each part of the input that begins with `!` is a message; `?` lets time pass. Effects succeed or fail by the
/// length of what was said so far.
fn converse<S: Session>(
    data: &[u8],
    session: impl FnOnce(Arc<Settings>, Instant) -> S,
    message: impl Fn(&[u8]) -> Message,
) {
    let settings = Settings::validate(&Config::default(), true).expect("the default configuration is valid");
    let mut now = Instant::now();
    let mut session = session(Arc::new(settings), now);
    let mut said = 0_usize;
    for line in data.split(|b| *b == 0x1e).take(64) {
        let Some((kind, text)) = line.split_first() else {
            continue;
        };
        said += text.len();
        match kind {
            b'?' => {
                now += Duration::from_secs(text.len() as u64);
                session.tick(now);
            }
            _ if session.is_receptive() => {
                session.receive(message(text), now);
            }
            _ => {}
        }
        if is_over(&mut session, said, now) {
            return;
        }
    }
}

fn is_over(session: &mut impl Session, said: usize, now: Instant) -> bool {
    while let Some(action) = session.action() {
        match action {
            Action::Write(frame) => assert!(!frame.is_empty()),
            Action::Note(_) => {}
            Action::Close(disconnect) => {
                assert!(disconnect.parts().1.len() <= REASON_BYTES_MAX);
                assert_eq!(session.action(), None, "nothing follows a close");
                return true;
            }
            Action::Do(effect) => session.complete(outcome(effect, !said.is_multiple_of(3)), now),
        }
    }
    false
}

fn outcome(effect: Effect, succeeds: bool) -> Completion {
    let failed = Failure::Unavailable;
    match effect {
        Effect::Authenticate(_) => Completion::Authenticated(Ok(Identity::known(Principal::local(), None))),
        Effect::ReadGrant { .. } => Completion::Granted(Ok(None)),
        Effect::Subscribe(subscribe) => Completion::Subscribed {
            slot: subscribe.slot,
            start: if succeeds { Ok(Start::Nothing) } else { Err(failed) },
        },
        Effect::Unsubscribe { slot } => Completion::Unsubscribed { slot },
        Effect::Publish { .. } => Completion::Published(if succeeds { Ok(None) } else { Err(failed) }),
        Effect::ReadHistory { .. } => Completion::History(Err(failed)),
        Effect::ReadPresence { .. } => Completion::Presence(if succeeds { Ok(Vec::new()) } else { Err(failed) }),
        Effect::CountPresence { .. } => Completion::PresenceCount(Err(failed)),
        Effect::Ask(ask) => Completion::Answered {
            about: ask.about,
            answer: Err(ErrorCode::Internal.into()),
        },
        Effect::Operate { task, .. } => Completion::Operated {
            task,
            outcome: Err(Failure::UnknownTask),
        },
    }
}
