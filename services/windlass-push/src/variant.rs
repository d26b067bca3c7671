//! The forms in which a publication goes out. Each is made at most once for all who receive it.

use std::sync::Arc;

use bytes::Bytes;
use tracing::Span;
use windlass_serve::{step, trace};
use windlass_task::TaskUpdate;

use crate::centrifuge::dialect::Dialect;
use crate::centrifuge::{delta, push};
use crate::channel::ChannelKey;
use crate::fossil;
use crate::publication::{Message, Publication};
use crate::socket::frame;
use crate::{events, plain};

/// One form: what a subscription's connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The Centrifuge protocol.
    Centrifuge(Dialect),
    /// The Centrifuge protocol, with publications as the difference from the one before.
    Deltas(Dialect),
    /// The plain protocol over WebSocket.
    Plain,
    /// Server-sent events.
    Events,
}

impl Variant {
    /// How many there are.
    pub const COUNT: usize = 2 * Dialect::COUNT + 2;

    /// Its place among them.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Centrifuge(dialect) => dialect.index(),
            Self::Deltas(dialect) => Dialect::COUNT + dialect.index(),
            Self::Plain => 2 * Dialect::COUNT,
            Self::Events => 2 * Dialect::COUNT + 1,
        }
    }
}

/// A publication in one form, ready to be written with everything round it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The same for everybody.
    Whole(Bytes),
    /// Shorter for those who have the publication before.
    Next(Arc<Next>),
}

/// The two frames of a publication that is like the one before.
#[derive(Debug, PartialEq, Eq)]
pub struct Next {
    whole: Bytes,
    delta: Bytes,
}

impl Frame {
    /// One that is shorter, `delta`, for who has the publication before.
    #[must_use]
    pub fn next(whole: Bytes, delta: Bytes) -> Self {
        Self::Next(Arc::new(Next { whole, delta }))
    }

    /// How many bytes it has at most.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(whole) => whole.len(),
            Self::Next(next) => next.whole.len(),
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes for who has not the publication before.
    #[must_use]
    pub fn into_whole(self) -> Bytes {
        match self {
            Self::Whole(whole) => whole,
            Self::Next(next) => next.whole.clone(),
        }
    }

    /// The bytes for who has it.
    #[must_use]
    pub fn into_next(self) -> Bytes {
        match self {
            Self::Whole(whole) => whole,
            Self::Next(next) => next.delta.clone(),
        }
    }
}

impl<B: Into<Bytes>> From<B> for Frame {
    fn from(whole: B) -> Self {
        Self::Whole(whole.into())
    }
}

/// The forms of one publication.
#[derive(Debug)]
pub struct Forms<'a> {
    channel: &'a ChannelKey,
    publication: &'a Publication,
    /// Those that were asked for; a publication need not have a form, as data that is not JSON has none in a JSON
    /// protocol.
    made: [Option<Option<Frame>>; Variant::COUNT],
    /// The difference from the publication before, once it was asked for; the same for all encodings.
    delta: Option<Option<String>>,
    /// The last step of the publication's trace, from the first form that was asked for.
    span: Option<Span>,
}

/// Bytes in a trace, whose last step ends when the last receiver of them has been written to or given up.
struct Traced {
    bytes: Bytes,
    _span: Span,
}

impl AsRef<[u8]> for Traced {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Forms<'a> {
    /// None of them is made yet.
    #[must_use]
    pub fn of(channel: &'a ChannelKey, publication: &'a Publication) -> Self {
        Self {
            channel,
            publication,
            made: Default::default(),
            delta: None,
            span: None,
        }
    }

    /// The publication in this form; `None` when it has no such form.
    pub fn frame(&mut self, variant: Variant) -> Option<Frame> {
        if self.made[variant.index()].is_none() {
            let made = self.make(variant).map(|frame| self.trace(frame));
            self.made[variant.index()] = Some(made);
        }
        self.made[variant.index()].clone().flatten()
    }

    fn make(&mut self, variant: Variant) -> Option<Frame> {
        let Self {
            channel, publication, ..
        } = *self;
        match (variant, publication) {
            (Variant::Deltas(dialect), Publication::Message { message, .. }) => self.make_next(dialect, message),
            (Variant::Centrifuge(dialect) | Variant::Deltas(dialect), publication) => {
                let push = push::publication(channel.name(), publication);
                dialect.encode(&push).ok().map(Frame::Whole)
            }
            (Variant::Plain, publication) => {
                plain::encode_publication(publication).map(|text| Frame::Whole(frame::text(&text)))
            }
            (Variant::Events, publication) => events::encode_publication(publication).map(Frame::Whole),
        }
    }

    /// The same frame as a part of the trace that the publication was made in, where that is recorded.
    fn trace(&mut self, frame: Frame) -> Frame {
        let Publication::Task(TaskUpdate {
            key,
            traceparent: Some(traceparent),
            ..
        }) = self.publication
        else {
            return frame;
        };
        let span = self.span.get_or_insert_with(|| {
            let span = step!("push", otel.kind = "producer", task = %key.id);
            trace::follow(&span, Some(traceparent));
            span
        });
        match frame {
            Frame::Whole(bytes) if !span.is_disabled() => Frame::Whole(Bytes::from_owner(Traced {
                bytes,
                _span: span.clone(),
            })),
            // What has no difference from the one before has none here either: a task's values are shown whole.
            frame => frame,
        }
    }

    fn make_next(&mut self, dialect: Dialect, message: &Message) -> Option<Frame> {
        let shown = push::of_message(message);
        let encode = |shown| dialect.encode(&push::shown(self.channel.name(), shown)).ok();
        let whole = encode(delta::whole(shown.clone(), dialect.codec))?;
        let difference = self.delta.get_or_insert_with(|| difference(self.publication));
        let Some(difference) = difference else {
            return Some(Frame::Whole(whole));
        };
        let delta = encode(delta::next(shown, difference, dialect.codec))?;
        Some(Frame::next(whole, delta))
    }
}

/// The difference of a publication's data from that of the one before, if it is known and worth it.
fn difference(publication: &Publication) -> Option<String> {
    let Publication::Message {
        message,
        before: Some(before),
    } = publication
    else {
        return None;
    };
    fossil::diff(before.text()?, message.data.text()?)
}

#[cfg(test)]
mod tests;
