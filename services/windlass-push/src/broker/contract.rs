//! What every broker must do, run against each of them with its real part. What travels between processes takes its time, so
//! what must come is waited for; what must not come would have come before something that does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use windlass_task::Tenant;

use super::memory::lock;
use super::{Attendance, Broker, Error, NodeId, Outgoing, PresenceCount, Range, Receiver, Retention, Version};
use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::publication::{Message, Publication};

const WITHIN: Duration = Duration::from_secs(30);
pub(super) const KEEP: Retention = Retention {
    size: 3,
    ttl: Duration::from_secs(60),
};

/// A broker whose nodes share something.
pub(super) trait World {
    /// A broker of it.
    type Node: Broker;

    /// One more node.
    fn join(&self, node: NodeId, receiver: Arc<dyn Receiver>) -> Self::Node;
}

/// A node that notes what it is brought.
#[derive(Default)]
pub(super) struct Noted {
    publications: Mutex<Vec<(ChannelKey, Publication)>>,
    messages: Mutex<Vec<Bytes>>,
    tops: Mutex<Vec<(ChannelKey, StreamPosition)>>,
}

impl Receiver for Noted {
    fn publication(&self, channel: &ChannelKey, publication: &Publication) {
        lock(&self.publications).push((channel.clone(), publication.clone()));
    }

    fn top(&self, channel: &ChannelKey, top: StreamPosition) {
        lock(&self.tops).push((channel.clone(), top));
    }

    fn answer(&self, question: Bytes) -> Bytes {
        question
    }

    fn control(&self, message: Bytes) {
        lock(&self.messages).push(message);
    }
}

impl Noted {
    pub(super) fn tops(&self) -> Vec<(ChannelKey, StreamPosition)> {
        lock(&self.tops).clone()
    }

    pub(super) fn all(&self) -> Vec<(ChannelKey, Publication)> {
        lock(&self.publications).clone()
    }

    /// Waits for so many publications, and gives them.
    pub(super) async fn brought(&self, count: usize) -> Vec<Publication> {
        eventually("publications", async || lock(&self.publications).len() >= count).await;
        let all = self.all();
        assert_eq!(all.len(), count, "{all:?}");
        all.into_iter().map(|(_, publication)| publication).collect()
    }

    pub(super) async fn messages(&self, expected: &[&'static [u8]]) {
        eventually("messages", async || *lock(&self.messages) == expected).await;
    }
}

pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs the whole suite, each case in a world of its own.
pub(super) async fn run<W: World>(world: impl AsyncFn() -> W) {
    the_newest_are_kept_and_read_from_both_ends(&world().await).await;
    publications_are_forgotten_before_the_position_is(&world().await).await;
    only_nodes_that_want_a_channel_are_brought_it_in_order(&world().await).await;
    publishers_at_once_give_one_order(&world().await).await;
    everything_of_a_publication_comes_and_is_remembered(&world().await).await;
    a_publication_that_may_be_a_difference_brings_the_one_before(&world().await).await;
    a_channel_without_history_has_no_positions(&world().await).await;
    a_removed_history_leaves_its_position(&world().await).await;
    an_old_version_is_not_published(&world().await).await;
    a_key_publishes_once_a_channel(&world().await).await;
    who_comes_and_goes_is_told_without_a_position(&world().await).await;
    who_was_lost_and_is_back_neither_left_nor_joined(&world().await).await;
    who_does_not_come_back_leaves(&world().await).await;
    the_connections_of_a_dead_node_leave_once(&world().await).await;
    presence_is_known_on_all_nodes_and_goes_with_its_node(&world().await).await;
    a_node_can_be_told_something(&world().await).await;
    all_nodes_answer_a_question(&world().await).await;
}

fn join<W: World>(world: &W) -> (W::Node, Arc<Noted>) {
    let noted = Arc::new(Noted::default());
    (world.join(NodeId::random(), Arc::clone(&noted) as Arc<_>), noted)
}

pub(super) fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&Tenant::default_tenant(), name)
}

pub(super) fn outgoing(data: u64) -> Outgoing {
    Outgoing {
        data: Payload::of(&data).unwrap(),
        ..Outgoing::default()
    }
}

pub(super) fn all() -> Range {
    Range {
        since: None,
        limit: usize::MAX,
        reverse: false,
    }
}

pub(super) async fn publish(node: &impl Broker, name: &str, data: u64) -> StreamPosition {
    let published = node.publish(&channel(name), outgoing(data), KEEP).await;
    published.unwrap().unwrap()
}

pub(super) async fn offsets(node: &impl Broker, name: &str, range: Range) -> Vec<u64> {
    let history = node.history(&channel(name), range).await.unwrap();
    history
        .publications
        .iter()
        .map(|message| message.position.unwrap().offset)
        .collect()
}

fn message(publication: &Publication) -> &Message {
    match publication {
        Publication::Message { message, .. } => message,
        other => panic!("no message but {other:?}"),
    }
}

fn info(user: &str, client: ClientId) -> ClientInfo {
    ClientInfo {
        user: user.into(),
        client: client.to_string(),
        conn_info: Payload::of(&user).unwrap(),
        chan_info: Payload::from_bytes(&[0, 1]),
    }
}

async fn the_newest_are_kept_and_read_from_both_ends(world: &impl World) {
    let (node, _) = join(world);
    for data in 1..=5 {
        assert_eq!(publish(&node, "a", data).await.offset, data);
    }
    let range = |since, limit, reverse| Range { since, limit, reverse };
    for (asked, expected) in [
        (range(None, usize::MAX, false), &[3, 4, 5][..]),
        (range(Some(3), usize::MAX, false), &[4, 5]),
        (range(Some(9), usize::MAX, false), &[]),
        (range(Some(u64::MAX), usize::MAX, false), &[]),
        (range(None, 2, false), &[3, 4]),
        (range(None, 2, true), &[5, 4]),
        (range(Some(5), usize::MAX, true), &[4, 3]),
        (range(Some(0), usize::MAX, true), &[]),
        (range(None, 0, false), &[]),
    ] {
        assert_eq!(offsets(&node, "a", asked).await, expected, "{asked:?}");
    }
}

async fn publications_are_forgotten_before_the_position_is(world: &impl World) {
    let (node, _) = join(world);
    let retention = Retention {
        ttl: Duration::from_millis(100),
        ..KEEP
    };
    let before = node
        .publish(&channel("a"), outgoing(1), retention)
        .await
        .unwrap()
        .unwrap();
    eventually("an empty history", async || {
        let history = node.history(&channel("a"), all()).await.unwrap();
        assert_eq!(history.top, before);
        history.publications.is_empty()
    })
    .await;
    assert_eq!(publish(&node, "a", 2).await.offset, 2);
}

async fn only_nodes_that_want_a_channel_are_brought_it_in_order(world: &impl World) {
    let ((first, at_first), (second, at_second)) = (join(world), join(world));
    second.subscribe(&channel("a")).await.unwrap();
    for data in 1..=3 {
        publish(&first, "a", data).await;
        publish(&first, "b", data).await;
    }
    at_second.brought(3).await;
    for (number, (name, publication)) in (1..).zip(at_second.all()) {
        assert_eq!(name, channel("a"));
        assert_eq!(message(&publication).position.unwrap().offset, number);
    }
    second.unsubscribe(&channel("a")).await.unwrap();
    second.subscribe(&channel("c")).await.unwrap();
    publish(&first, "a", 4).await;
    publish(&first, "c", 1).await;
    let brought = at_second.brought(4).await;
    assert_eq!(
        message(&brought[3]).position.unwrap().offset,
        1,
        "what is left comes no more"
    );
    assert!(at_first.all().is_empty());
}

async fn publishers_at_once_give_one_order(world: &impl World) {
    let ((node, noted), (other, _)) = (join(world), join(world));
    node.subscribe(&channel("a")).await.unwrap();
    let publishing = (0..200).map(|data| publish(if data % 2 == 0 { &node } else { &other }, "a", data));
    let positions = futures_util::future::join_all(publishing).await;
    let brought = noted.brought(200).await;
    assert!(
        brought
            .iter()
            .map(|one| message(one).position.unwrap().offset)
            .eq(1..=200)
    );
    for (data, position) in (0_u64..).zip(positions) {
        let at = usize::try_from(position.offset - 1).unwrap();
        assert_eq!(message(&brought[at]).data, Payload::of(&data).unwrap());
    }
}

async fn everything_of_a_publication_comes_and_is_remembered(world: &impl World) {
    let (node, noted) = join(world);
    node.subscribe(&channel("a")).await.unwrap();
    let outgoing = Outgoing {
        data: Payload::of(&"grüß\n").unwrap(),
        info: Some(info("ada", ClientId::random())),
        tags: [("kind".to_owned(), "news".to_owned())].into(),
        ..Outgoing::default()
    };
    let position = node.publish(&channel("a"), outgoing.clone(), KEEP).await.unwrap();
    let expected = Message {
        data: outgoing.data,
        info: outgoing.info,
        tags: Some(Arc::new(outgoing.tags)),
        position,
    };
    assert_eq!(message(&noted.brought(1).await[0]), &expected);
    let history = node.history(&channel("a"), all()).await.unwrap();
    assert_eq!((history.publications, Some(history.top)), (vec![expected], position));
}

async fn a_publication_that_may_be_a_difference_brings_the_one_before(world: &impl World) {
    let (node, noted) = join(world);
    node.subscribe(&channel("a")).await.unwrap();
    for (data, delta) in [(1, true), (2, true), (3, false)] {
        let outgoing = Outgoing {
            delta,
            ..outgoing(data)
        };
        node.publish(&channel("a"), outgoing, KEEP).await.unwrap();
    }
    let before = |publication: &Publication| match publication {
        Publication::Message { before, .. } => before.clone(),
        other => panic!("no message but {other:?}"),
    };
    let brought: Vec<_> = noted.brought(3).await.iter().map(before).collect();
    assert_eq!(brought, [None, Some(Payload::of(&1).unwrap()), None]);
}

async fn a_channel_without_history_has_no_positions(world: &impl World) {
    let (node, noted) = join(world);
    node.subscribe(&channel("a")).await.unwrap();
    let published = node.publish(&channel("a"), outgoing(1), Retention::NONE).await;
    assert_eq!(published, Ok(None));
    assert_eq!(message(&noted.brought(1).await[0]).position, None);
    assert_eq!(offsets(&node, "a", all()).await, [0; 0]);
}

async fn a_removed_history_leaves_its_position(world: &impl World) {
    let (node, _) = join(world);
    let before = publish(&node, "a", 1).await;
    node.remove_history(&channel("a")).await.unwrap();
    let history = node.history(&channel("a"), all()).await.unwrap();
    assert_eq!((history.publications.len(), history.top), (0, before));
    assert_eq!(publish(&node, "a", 2).await.offset, 2);
    assert_eq!(offsets(&node, "a", all()).await, [2]);
}

async fn an_old_version_is_not_published(world: &impl World) {
    let (node, noted) = join(world);
    node.subscribe(&channel("a")).await.unwrap();
    for (number, epoch, expected) in [
        (5, "x", 1),
        (5, "x", 1),
        (4, "x", 1),
        (3, "", 1),
        (6, "", 2),
        (10, "x", 3),
        // Counted elsewhere, so it says nothing of the one before.
        (1, "y", 4),
        (7, "x", 5),
        // More than a double counts exactly.
        (u64::MAX - 1, "x", 6),
        (u64::MAX, "x", 7),
        (u64::MAX - 1, "x", 7),
    ] {
        let epoch = epoch.to_owned();
        let outgoing = Outgoing {
            version: Some(Version { number, epoch }),
            ..outgoing(number)
        };
        let position = node.publish(&channel("a"), outgoing, KEEP).await.unwrap().unwrap();
        assert_eq!(position.offset, expected, "{number}");
    }
    noted.brought(7).await;
    let unversioned = publish(&node, "a", 9).await;
    assert_eq!(unversioned.offset, 8, "what has no version is published");
}

async fn a_key_publishes_once_a_channel(world: &impl World) {
    let ((node, noted), (other, _)) = (join(world), join(world));
    node.subscribe(&channel("a")).await.unwrap();
    let keyed = |key: &str| Outgoing {
        idempotency_key: Some(key.to_owned()),
        ..outgoing(1)
    };
    for (at, name, key, expected) in [
        (&node, "a", "k", 1),
        (&node, "a", "k", 1),
        (&other, "a", "k", 1),
        (&other, "a", "l", 2),
        (&node, "b", "k", 1),
    ] {
        let published = at.publish(&channel(name), keyed(key), KEEP).await.unwrap();
        assert_eq!(
            published.map(|position| position.offset),
            Some(expected),
            "{name} {key}"
        );
    }
    for _ in 0..2 {
        let published = node.publish(&channel("a"), keyed("m"), Retention::NONE).await;
        assert_eq!(published, Ok(None));
    }
    publish(&node, "a", 2).await;
    noted.brought(4).await;
}

/// Somebody who is announced, in the presence or not.
fn attending(info: &ClientInfo, present: bool) -> Attendance {
    Attendance {
        info: info.clone(),
        present,
        announced: true,
    }
}

/// Somebody of whom only the presence says that it is there.
pub(super) fn present(info: ClientInfo) -> Attendance {
    Attendance {
        info,
        present: true,
        announced: false,
    }
}

/// A connection of a user, which a broker that is not reached yet does not wait for.
pub(super) async fn add_user(node: &impl Broker, tenant: &Tenant, user: &str, client: ClientId) {
    eventually("a user's connection", async || {
        node.add_user(tenant, user, client).await.is_ok()
    })
    .await;
}

async fn who_comes_and_goes_is_told_without_a_position(world: &impl World) {
    let ((node, noted), (other, _)) = (join(world), join(world));
    let x = channel("x");
    node.subscribe(&x).await.unwrap();
    let (a, b) = (ClientId::random(), ClientId::random());
    let ada = info("ada", a);
    other.enter(&x, a, attending(&ada, false)).await.unwrap();
    // Of these nobody is told.
    other.enter(&x, b, present(info("bob", b))).await.unwrap();
    other.leave(&x, b).await.unwrap();
    other.leave(&x, a).await.unwrap();
    other.leave(&x, a).await.unwrap();
    assert_eq!(publish(&node, "x", 1).await.offset, 1);
    let brought = noted.brought(3).await;
    assert_eq!(brought[..2], [Publication::Joined(ada.clone()), Publication::Left(ada)]);
}

async fn who_was_lost_and_is_back_neither_left_nor_joined(world: &impl World) {
    let ((first, noted), (second, _)) = (join(world), join(world));
    let x = channel("x");
    first.subscribe(&x).await.unwrap();
    let [a, b, c, d] = [(); 4].map(|()| ClientId::random());
    let ada = info("ada", a);
    first.enter(&x, a, attending(&ada, true)).await.unwrap();
    first.lose(&x, a).await.unwrap();
    // A node that has no time to renew its lease is not seen for a moment.
    let shown = async |expected: &[ClientInfo]| {
        eventually("the presence", async || {
            second.presence(&x).await.as_deref() == Ok(expected)
        })
        .await;
    };
    let as_known = std::slice::from_ref(&ada);
    shown(as_known).await;
    // Of this one others see something else, so it is another.
    let other = ClientInfo {
        conn_info: Payload::of(&"at work").unwrap(),
        ..info("ada", b)
    };
    second.enter(&x, b, attending(&other, false)).await.unwrap();
    second.enter(&x, c, attending(&info("ada", c), true)).await.unwrap();
    shown(as_known).await;
    // The grace of the first connection ends.
    first.leave(&x, a).await.unwrap();
    shown(as_known).await;
    // Nobody was lost any more, so this is one more.
    let more = info("ada", d);
    first.enter(&x, d, attending(&more, false)).await.unwrap();
    second.leave(&x, c).await.unwrap();
    shown(&[]).await;
    let joined = [&ada, &other, &more].map(|info| Publication::Joined(info.clone()));
    let expected: Vec<_> = joined.into_iter().chain([Publication::Left(ada)]).collect();
    assert_eq!(noted.brought(4).await, expected);
}

async fn who_does_not_come_back_leaves(world: &impl World) {
    let (node, noted) = join(world);
    let x = channel("x");
    node.subscribe(&x).await.unwrap();
    let clients = [("ada", ClientId::random()), ("", ClientId::random())];
    for (user, client) in clients {
        node.enter(&x, client, attending(&info(user, client), true))
            .await
            .unwrap();
        node.lose(&x, client).await.unwrap();
    }
    // Nobody can tell those apart whom nobody knows.
    let another = ClientId::random();
    node.enter(&x, another, attending(&info("", another), false))
        .await
        .unwrap();
    for (_, client) in clients {
        node.leave(&x, client).await.unwrap();
    }
    assert_eq!(node.presence(&x).await, Ok(Vec::new()));
    let infos = clients.map(|(user, client)| info(user, client));
    let joined = infos
        .iter()
        .cloned()
        .chain([info("", another)])
        .map(Publication::Joined);
    let expected: Vec<_> = joined.chain(infos.iter().cloned().map(Publication::Left)).collect();
    assert_eq!(noted.brought(5).await, expected);
}

async fn the_connections_of_a_dead_node_leave_once(world: &impl World) {
    let ((first, at_first), (second, at_second), (third, _)) = (join(world), join(world), join(world));
    let x = channel("x");
    for node in [&first, &second] {
        node.subscribe(&x).await.unwrap();
    }
    let [a, b, c] = [(); 3].map(|()| ClientId::random());
    // One that was there, one that was lost, and one whose client was back before the end.
    let (ada, bob, cid) = (info("ada", a), info("bob", b), info("cid", c));
    for (client, who) in [(a, &ada), (b, &bob), (c, &cid)] {
        third.enter(&x, client, attending(who, true)).await.unwrap();
    }
    for client in [b, c] {
        third.lose(&x, client).await.unwrap();
    }
    let back = ClientId::random();
    first
        .enter(&x, back, attending(&info("cid", back), true))
        .await
        .unwrap();
    drop(third);
    let left = |publications: Vec<Publication>| {
        let mut left: Vec<_> = publications.into_iter().skip(3).collect();
        left.sort_by_key(|publication| match publication {
            Publication::Left(info) => info.user.clone(),
            other => panic!("nobody left but {other:?}"),
        });
        left
    };
    let expected = [Publication::Left(ada), Publication::Left(bob)];
    for noted in [at_first, at_second] {
        assert_eq!(left(noted.brought(5).await), expected);
    }
    let there = vec![cid];
    eventually("the presence", async || {
        second.presence(&x).await.as_ref() == Ok(&there)
    })
    .await;
}

async fn presence_is_known_on_all_nodes_and_goes_with_its_node(world: &impl World) {
    let ((first, _), (second, _)) = (join(world), join(world));
    let (a, b, c) = (ClientId::random(), ClientId::random(), ClientId::random());
    let x = channel("x");
    first.enter(&x, a, present(info("ada", a))).await.unwrap();
    second.enter(&x, b, present(info("ada", b))).await.unwrap();
    second.enter(&x, c, present(info("bob", c))).await.unwrap();
    let all = PresenceCount { clients: 3, users: 2 };
    eventually("three clients", async || first.count_presence(&x).await == Ok(all)).await;
    second.leave(&x, c).await.unwrap();
    eventually("two clients", async || first.presence(&x).await.unwrap().len() == 2).await;
    drop(second);
    let own = vec![info("ada", a)];
    eventually("one client", async || first.presence(&x).await.as_ref() == Ok(&own)).await;
    first.leave(&x, a).await.unwrap();
    assert_eq!(first.count_presence(&x).await, Ok(PresenceCount::default()));
}

async fn a_node_can_be_told_something(world: &impl World) {
    let ((first, at_first), (second, at_second)) = (join(world), join(world));
    let to_second = second.node();
    eventually("the second node", async || {
        first.tell(to_second, Bytes::from_static(b"hello")).await.is_ok()
    })
    .await;
    at_second.messages(&[b"hello"]).await;
    first.tell(first.node(), Bytes::from_static(b"me")).await.unwrap();
    let tenant = Tenant::default_tenant();
    add_user(&first, &tenant, "ada", ClientId::random()).await;
    first
        .tell_user(&tenant, "ada", Bytes::from_static(b"ada"))
        .await
        .unwrap();
    at_first.messages(&[b"me", b"ada"]).await;
    drop(second);
    eventually("no second node", async || {
        first.tell(to_second, Bytes::new()).await == Err(Error::UnknownNode)
    })
    .await;
}

async fn all_nodes_answer_a_question(world: &impl World) {
    let (first, _) = join(world);
    let (second, _third) = (join(world), join(world));
    eventually("three answers", async || {
        first.survey(Bytes::from_static(b"?")).await == Ok(vec![Bytes::from_static(b"?"); 3])
    })
    .await;
    drop(second);
    eventually("two answers", async || {
        first.survey(Bytes::from_static(b"?")).await.unwrap().len() == 2
    })
    .await;
}
