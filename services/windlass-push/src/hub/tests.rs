use bytes::Bytes;

use super::*;
use crate::centrifuge::codec::Codec;
use crate::centrifuge::dialect::Dialect;
use crate::payload::Payload;
use crate::position::{StreamEpoch, StreamPosition};
use crate::publication::Message;
use crate::queue::{Class, Item};

#[derive(Debug, Default)]
struct Left(Mutex<Vec<ChannelKey>>);

impl Watcher for Left {
    fn left(&self, channel: &ChannelKey) {
        lock(&self.0).push(channel.clone());
    }
}

fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&windlass_task::Tenant::default_tenant(), name)
}

fn publication(offset: u64) -> Publication {
    let position = Some(StreamPosition {
        offset,
        epoch: StreamEpoch(1),
    });
    let message = Message {
        data: Payload::of(&offset).unwrap(),
        info: None,
        tags: Default::default(),
        position,
    };
    Publication::Message { message, before: None }
}

fn hub() -> (Arc<Hub>, Arc<Left>) {
    let left = Arc::new(Left::default());
    (Arc::new(Hub::new(Arc::clone(&left) as Arc<_>)), left)
}

fn frames(outbox: &Outbox) -> Vec<Bytes> {
    let frame = |item| match item {
        Item::Delivery(delivery) => delivery.frame.into_whole(),
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(|| outbox.take()).map(frame).collect()
}

const CENTRIFUGE: Variant = Variant::Centrifuge(Dialect::websocket(Codec::Json));

#[test]
fn a_publication_is_encoded_once_for_all_who_get_the_same() {
    let (hub, _) = hub();
    let (a, b, c) = (
        Arc::new(Outbox::new(9_999)),
        Arc::new(Outbox::new(9_999)),
        Arc::new(Outbox::new(9_999)),
    );
    let news = channel("news");
    let _subscriptions = [
        hub.subscribe(&news, &a, Wanted::publications(Slot(1), CENTRIFUGE)),
        hub.subscribe(&news, &b, Wanted::publications(Slot(2), CENTRIFUGE)),
        hub.subscribe(&news, &c, Wanted::publications(Slot(3), Variant::Plain)),
        hub.subscribe(&channel("other"), &c, Wanted::publications(Slot(4), Variant::Plain)),
    ];
    assert_eq!(hub.publish(&news, &publication(1)).deliveries, 3);
    let (a, b, c) = (frames(&a), frames(&b), frames(&c));
    assert_eq!(
        &a[0][2..],
        br#"{"push":{"channel":"news","pub":{"data":1,"offset":1}}}"#
    );
    assert_eq!(a[0].as_ptr(), b[0].as_ptr(), "the bytes are shared");
    assert_eq!(&c[0][2..], b"1");
    assert_eq!(c.len(), 1);
}

#[test]
fn who_left_gets_nothing_and_the_last_to_leave_is_told_of() {
    let (hub, left) = hub();
    let outbox = Arc::new(Outbox::new(9_999));
    let news = channel("news");
    let first = hub.subscribe(&news, &outbox, Wanted::publications(Slot(1), CENTRIFUGE));
    let second = hub.subscribe(&news, &outbox, Wanted::publications(Slot(2), CENTRIFUGE));
    drop(first);
    assert!(hub.has(&news) && lock(&left.0).is_empty());
    assert_eq!(hub.publish(&news, &publication(1)).deliveries, 1);
    drop(second);
    assert!(!hub.has(&news));
    assert_eq!((hub.channels(), lock(&left.0).as_slice()), (0, &[news.clone()][..]));
    assert_eq!(hub.publish(&news, &publication(2)), Fanout::default());
    let _again = hub.subscribe(&news, &outbox, Wanted::publications(Slot(3), CENTRIFUGE));
    assert_eq!(hub.publish(&news, &publication(3)).deliveries, 1);
}

#[test]
fn a_slow_reader_loses_its_stream_and_nobody_else_does() {
    let (hub, _) = hub();
    let (slow, quick) = (Arc::new(Outbox::new(500)), Arc::new(Outbox::new(500)));
    let news = channel("news");
    let _subscriptions = [
        hub.subscribe(&news, &slow, Wanted::publications(Slot(1), CENTRIFUGE)),
        hub.subscribe(&news, &quick, Wanted::publications(Slot(1), CENTRIFUGE)),
    ];
    let mut overflowed = 0;
    for offset in 1..=20 {
        overflowed += hub.publish(&news, &publication(offset)).overflowed;
        assert_eq!(frames(&quick).len(), 1);
        assert!(slow.bytes() <= 1_000);
    }
    assert_eq!(overflowed, 1);
    assert_eq!(slow.take(), Some(Item::Overflow(Slot(1))));
}

#[test]
fn comings_and_goings_of_many_threads_lose_nobody() {
    let (hub, _) = hub();
    let news = channel("news");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (hub, news) = (&hub, &news);
            scope.spawn(move || {
                for round in 0..500 {
                    let outbox = Arc::new(Outbox::new(usize::MAX / 4));
                    let subscription = hub.subscribe(news, &outbox, Wanted::publications(Slot(round), CENTRIFUGE));
                    hub.publish(news, &publication(u64::from(round)));
                    assert!(
                        !frames(&outbox).is_empty(),
                        "thread {thread} subscribed and got nothing"
                    );
                    drop(subscription);
                }
            });
        }
    });
    assert_eq!(hub.channels(), 0);
}

#[test]
fn what_has_no_form_in_a_variant_is_not_sent_in_it() {
    let (hub, _) = hub();
    let outbox = Arc::new(Outbox::new(9_999));
    let _subscription = hub.subscribe(
        &channel("news"),
        &outbox,
        Wanted::publications(Slot(1), Variant::Events),
    );
    assert_eq!(hub.publish(&channel("news"), &publication(1)), Fanout::default());
    assert_eq!(
        publication(1).class(),
        Class::Stream(Some(StreamPosition {
            offset: 1,
            epoch: StreamEpoch(1)
        }))
    );
}
