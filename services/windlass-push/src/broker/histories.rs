//! Random histories of channels, run against each broker with its real part: whatever is published, read, removed, broken and
//! forgotten, a history says what its publishers were told, nothing is brought under a position but what was published
//! there, and who follows a channel is told of everything that it misses.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::contract::{channel, eventually, outgoing};
use super::memory::lock;
use super::{Broker, Outgoing, Range, Receiver, Retention};
use crate::channel::ChannelKey;
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::publication::{Message, Publication};

/// How many publications each of the channels keeps.
const KEPT: [usize; 3] = [1, 4, 30];
const NODES: usize = 2;
/// How many publications a recovery brings at most.
const RECOVERED_MAX: usize = 12;
const POSITION_ONLY: Range = Range {
    since: None,
    limit: 0,
    reverse: false,
};
/// Histories a run; `PROPTEST_CASES` says another number.
const CASES: u32 = 24;
/// A failing history is made shorter for so many runs at most: each of them waits for a real broker.
const SHRINKS_MAX: u32 = 200;

/// What happens. Numbers name a node and a channel.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Publish(usize, usize),
    Follow(usize, usize),
    Leave(usize, usize),
    Read(usize, usize, Range),
    Remove(usize, usize),
    Harm(Harm),
}

/// What is done to the part that the nodes share.
#[derive(Debug, Clone, Copy)]
pub(super) enum Harm {
    /// The connections on which publications come are cut.
    Unsubscribe,
    /// All of a node's connections are cut.
    Disconnect(usize),
    /// What is brought to a node is lost, until it is to hear again.
    Deafen(usize),
    Hear(usize),
    /// All of it is forgotten.
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || (0..NODES, 0..KEPT.len());
    let range = (prop::option::of(0_u64..12), 0_usize..8, any::<bool>()).prop_map(|(since, limit, reverse)| Range {
        since,
        limit,
        reverse,
    });
    let harm = prop_oneof![
        2 => Just(Harm::Unsubscribe),
        2 => (0..NODES).prop_map(Harm::Disconnect),
        2 => (0..NODES).prop_map(Harm::Deafen),
        2 => (0..NODES).prop_map(Harm::Hear),
        1 => Just(Harm::Forget),
    ];
    let step = prop_oneof![
        10 => at().prop_map(|(node, channel)| Step::Publish(node, channel)),
        3 => at().prop_map(|(node, channel)| Step::Follow(node, channel)),
        1 => at().prop_map(|(node, channel)| Step::Leave(node, channel)),
        3 => (at(), range).prop_map(|((node, channel), range)| Step::Read(node, channel, range)),
        1 => at().prop_map(|(node, channel)| Step::Remove(node, channel)),
        2 => harm.prop_map(Step::Harm),
    ];
    prop::collection::vec(step, 1..40)
}

/// Runs histories, each by `run`; one that fails is kept in `proptest-regressions`.
pub(super) fn check(mut run: impl FnMut(Vec<Step>)) {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        max_shrink_iters: SHRINKS_MAX,
        source_file: Some(file!()),
        ..Config::default()
    };
    let run = Mutex::new(&mut run);
    let run = |steps| {
        lock(&run)(steps);
        Ok(())
    };
    TestRunner::new(config).run(&steps(), run).unwrap();
}

/// What a node was brought, in order, until somebody looks.
#[derive(Default)]
pub(super) struct Heard(Mutex<Vec<(ChannelKey, Said)>>);

enum Said {
    Message(Message),
    Top(StreamPosition),
}

impl Receiver for Heard {
    fn publication(&self, channel: &ChannelKey, publication: &Publication) {
        if let Publication::Message { message, .. } = publication {
            lock(&self.0).push((channel.clone(), Said::Message(message.clone())));
        }
    }

    fn top(&self, channel: &ChannelKey, top: StreamPosition) {
        lock(&self.0).push((channel.clone(), Said::Top(top)));
    }

    fn control(&self, _: Bytes) {}

    fn answer(&self, question: Bytes) -> Bytes {
        question
    }
}

/// A channel as its publishers were told.
struct Stream {
    key: ChannelKey,
    kept_max: usize,
    top: Option<StreamPosition>,
    kept: VecDeque<(u64, Payload)>,
    /// All that was ever published, by epoch and offset.
    published: BTreeMap<(u64, u64), Payload>,
    /// Epochs that have ended.
    ended: HashSet<u64>,
}

impl Stream {
    /// Somebody is told where the top is; the first to be told after everything was forgotten is told of a new life.
    fn is_told(&mut self, top: StreamPosition) {
        match self.top {
            Some(known) => assert_eq!(top, known, "{:?}", self.key),
            None => {
                assert!(
                    !self.ended.contains(&top.epoch.0),
                    "a former life goes on: {:?}",
                    self.key
                );
                assert_eq!(top.offset, 0);
                self.top = Some(top);
            }
        }
    }

    fn is_published(&mut self, position: StreamPosition, data: Payload) {
        let before = StreamPosition {
            offset: position.offset - 1,
            ..position
        };
        self.is_told(before);
        self.top = Some(position);
        self.published.insert((position.epoch.0, position.offset), data.clone());
        self.kept.push_back((position.offset, data));
        while self.kept.len() > self.kept_max {
            self.kept.pop_front();
        }
    }

    fn is_forgotten(&mut self) {
        self.kept.clear();
        self.ended.extend(self.top.take().map(|top| top.epoch.0));
    }

    fn part(&self, range: Range) -> Vec<(u64, Payload)> {
        let kept = self.kept.iter().cloned();
        if range.reverse {
            let before = kept
                .rev()
                .filter(|(offset, _)| range.since.is_none_or(|since| *offset < since));
            before.take(range.limit).collect()
        } else {
            let after = kept.filter(|(offset, _)| range.since.is_none_or(|since| *offset > since));
            after.take(range.limit).collect()
        }
    }
}

/// Two nodes and what they share, for as long as one history.
pub(super) struct World<'a, N> {
    nodes: [(&'a N, &'a Heard); NODES],
    streams: Vec<Stream>,
    /// Where those are that follow a channel at a node.
    followers: BTreeMap<(usize, usize), StreamPosition>,
    published: u64,
    name: String,
}

impl<'a, N: Broker> World<'a, N> {
    /// With channels that no other history has: `name` is in their names.
    pub(super) fn new(name: &str, nodes: [(&'a N, &'a Heard); NODES]) -> Self {
        let stream = |(number, kept_max): (usize, &usize)| Stream {
            key: channel(&format!("{name}-{number}")),
            kept_max: *kept_max,
            top: None,
            kept: VecDeque::new(),
            published: BTreeMap::new(),
            ended: HashSet::new(),
        };
        Self {
            nodes,
            streams: KEPT.iter().enumerate().map(stream).collect(),
            followers: BTreeMap::new(),
            published: 0,
            name: name.to_owned(),
        }
    }

    /// Lets a history happen, and then sees that everybody comes to the end of it.
    pub(super) async fn live(mut self, steps: Vec<Step>, mut harm: impl AsyncFnMut(Harm)) {
        // A history that failed has not undone its harm.
        for node in 0..NODES {
            harm(Harm::Hear(node)).await;
        }
        for step in steps {
            match step {
                Step::Publish(node, channel) => self.publish(node, channel).await,
                Step::Follow(node, channel) => self.follow(node, channel).await,
                Step::Leave(node, channel) => self.leave(node, channel).await,
                Step::Read(node, channel, range) => drop(self.ask(node, channel, range).await),
                Step::Remove(node, channel) => {
                    let (node, _) = self.nodes[node];
                    node.remove_history(&self.streams[channel].key).await.unwrap();
                    self.streams[channel].kept.clear();
                }
                Step::Harm(done) => {
                    harm(done).await;
                    if matches!(done, Harm::Forget) {
                        self.streams.iter_mut().for_each(Stream::is_forgotten);
                    }
                }
            }
            self.hear().await;
        }
        for node in 0..NODES {
            harm(Harm::Hear(node)).await;
        }
        // What was lost on the way is found with the next publication at the latest.
        for channel in 0..KEPT.len() {
            self.publish(0, channel).await;
        }
        eventually("everybody at the end", async || {
            self.hear().await;
            let mut followers = self.followers.iter();
            followers.all(|(&(_, channel), position)| self.streams[channel].top == Some(*position))
        })
        .await;
        let followed: Vec<_> = self.followers.keys().copied().collect();
        for (node, channel) in followed {
            self.leave(node, channel).await;
        }
    }

    /// Publishes as one who does not give up, under one key.
    async fn publish(&mut self, node: usize, channel: usize) {
        self.published += 1;
        let (node, _) = self.nodes[node];
        let stream = &mut self.streams[channel];
        let outgoing = Outgoing {
            idempotency_key: Some(format!("{}-{}", self.name, self.published)),
            ..outgoing(self.published)
        };
        let retention = Retention {
            size: stream.kept_max,
            ttl: Duration::from_secs(600),
        };
        let mut position = None;
        eventually("a publication", async || {
            position = node
                .publish(&stream.key, outgoing.clone(), retention)
                .await
                .ok()
                .flatten();
            position.is_some()
        })
        .await;
        let position = position.expect("it was waited for");
        stream.is_published(position, outgoing.data);
    }

    /// Subscribes and begins at the top, as a client without a position.
    async fn follow(&mut self, at: usize, channel: usize) {
        let (node, _) = self.nodes[at];
        let key = self.streams[channel].key.clone();
        eventually("a subscription", async || node.subscribe(&key).await.is_ok()).await;
        let top = self.ask(at, channel, POSITION_ONLY).await;
        self.followers.insert((at, channel), top);
    }

    async fn leave(&mut self, at: usize, channel: usize) {
        let (node, _) = self.nodes[at];
        node.unsubscribe(&self.streams[channel].key).await.unwrap();
        self.followers.remove(&(at, channel));
    }

    /// Reads a history and compares it with what was published; gives the top.
    async fn ask(&mut self, at: usize, channel: usize, range: Range) -> StreamPosition {
        let (node, _) = self.nodes[at];
        let stream = &mut self.streams[channel];
        let mut read = None;
        eventually("a history", async || {
            read = node.history(&stream.key, range).await.ok();
            read.is_some()
        })
        .await;
        let history = read.expect("it was waited for");
        stream.is_told(history.top);
        let publications = history.publications.into_iter().map(|message| {
            let position = message.position.expect("what is remembered has a position");
            assert_eq!(position.epoch, history.top.epoch);
            (position.offset, message.data)
        });
        assert_eq!(
            publications.collect::<Vec<_>>(),
            stream.part(range),
            "{:?} {range:?}",
            stream.key
        );
        history.top
    }

    /// Takes what was brought, as the connections of a node do.
    async fn hear(&mut self) {
        for at in 0..NODES {
            let heard = std::mem::take(&mut *lock(&self.nodes[at].1.0));
            for (key, said) in heard {
                let Some(channel) = self.streams.iter().position(|stream| stream.key == key) else {
                    continue;
                };
                let Some(&position) = self.followers.get(&(at, channel)) else {
                    continue;
                };
                self.understand(at, channel, position, said).await;
            }
        }
    }

    async fn understand(&mut self, at: usize, channel: usize, position: StreamPosition, said: Said) {
        let is_next = |said: StreamPosition| said.epoch == position.epoch && said.offset == position.offset + 1;
        let is_known = |said: StreamPosition| said.epoch == position.epoch && said.offset <= position.offset;
        match said {
            Said::Message(message) => {
                let said = message.position.expect("the channel has a history");
                if is_next(said) {
                    let published = self.streams[channel].published.get(&(said.epoch.0, said.offset));
                    assert_eq!(
                        Some(&message.data),
                        published,
                        "{:?} at {said:?}",
                        self.streams[channel].key
                    );
                    self.followers.insert((at, channel), said);
                } else if !is_known(said) {
                    self.recover(at, channel, position).await;
                }
            }
            Said::Top(top) if is_known(top) => {}
            Said::Top(_) => self.recover(at, channel, position).await,
        }
    }

    /// Comes back at a position, as a client does that was told of a gap.
    async fn recover(&mut self, at: usize, channel: usize, position: StreamPosition) {
        let since = Range {
            since: Some(position.offset),
            limit: RECOVERED_MAX,
            reverse: false,
        };
        let top = self.ask(at, channel, since).await;
        self.followers.insert((at, channel), top);
    }
}
