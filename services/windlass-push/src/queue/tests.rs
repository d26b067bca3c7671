use super::*;
use proptest::prelude::*;

const BOUND: usize = 4_000;

fn stream(slot: u32, size: usize) -> Delivery {
    Delivery {
        slot: Slot(slot),
        class: Class::Stream(None),
        end: End::Open,
        frame: vec![0; size].into(),
    }
}

fn notice(slot: u32, size: usize) -> Delivery {
    Delivery {
        class: Class::Notice,
        ..stream(slot, size)
    }
}

fn latest(slot: u32, revision: u64, size: usize) -> Delivery {
    Delivery {
        slot: Slot(slot),
        class: Class::Latest(revision),
        end: End::Open,
        frame: vec![0; size].into(),
    }
}

fn drain(queue: &mut Queue) -> Vec<Item> {
    std::iter::from_fn(|| queue.take()).collect()
}

#[test]
fn a_newer_value_takes_the_place_of_the_waiting_one() {
    let mut queue = Queue::new(BOUND);
    queue.deliver(latest(1, 1, 10));
    queue.deliver(stream(2, 10));
    assert_eq!(queue.deliver(latest(1, 3, 20)), Put::Conflated);
    assert_eq!(queue.deliver(latest(1, 2, 30)), Put::Ignored);
    assert_eq!(
        drain(&mut queue),
        [Item::Delivery(latest(1, 3, 20)), Item::Delivery(stream(2, 10))]
    );
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn on_overflow_only_the_heaviest_stream_is_given_up() {
    let mut queue = Queue::new(BOUND);
    queue.deliver(stream(1, 100));
    for _ in 0..10 {
        queue.deliver(stream(2, 200));
    }
    queue.deliver(latest(3, 1, 50));
    assert_eq!(queue.deliver(stream(1, 900)), Put::Overflowed);
    assert_eq!(queue.deliver(stream(2, 1)), Put::Ignored);
    assert_eq!(
        drain(&mut queue),
        [
            Item::Delivery(stream(1, 100)),
            Item::Delivery(latest(3, 1, 50)),
            Item::Delivery(stream(1, 900)),
            Item::Overflow(Slot(2)),
        ]
    );
    assert_eq!(
        queue.deliver(stream(2, 1)),
        Put::Queued,
        "once told, the slot may be used up to its end"
    );
}

#[test]
fn a_frame_that_can_never_fit_gives_its_own_stream_up() {
    let mut queue = Queue::new(BOUND);
    queue.deliver(stream(1, 10));
    assert_eq!(queue.deliver(stream(2, BOUND)), Put::Overflowed);
    assert_eq!(
        drain(&mut queue),
        [Item::Delivery(stream(1, 10)), Item::Overflow(Slot(2))]
    );
}

#[test]
fn a_stream_is_given_up_with_its_notices_and_for_its_notices_alone() {
    for others in [0, 5] {
        let mut queue = Queue::new(BOUND);
        for _ in 0..others {
            queue.deliver(stream(1, 200));
        }
        let put = std::iter::repeat_with(|| queue.deliver(notice(1, 100)));
        assert!(
            put.take_while(|put| *put == Put::Queued).count() < BOUND / 100,
            "the bound holds"
        );
        assert_eq!(drain(&mut queue), [Item::Overflow(Slot(1))]);
        assert_eq!(queue.bytes(), 0);
    }
}

#[test]
fn at_the_hard_bound_the_connection_is_given_up() {
    let mut queue = Queue::new(BOUND);
    let mut put = Put::Queued;
    for slot in 0..100 {
        put = queue.deliver(latest(slot, 1, 500));
        if put == Put::GivenUp {
            break;
        }
    }
    assert_eq!(put, Put::GivenUp);
    assert_eq!(queue.deliver(stream(7, 1)), Put::Ignored);
    assert_eq!(drain(&mut queue), [Item::Order(Order::Disconnect(Disconnect::Slow))]);
}

#[test]
fn an_order_to_disconnect_leaves_nothing_else_to_do() {
    let mut queue = Queue::new(BOUND);
    queue.deliver(stream(1, 10));
    assert_eq!(queue.order(Order::Disconnect(Disconnect::Shutdown)), Put::GivenUp);
    assert_eq!(queue.order(Order::Leave(Duration::ZERO)), Put::Ignored);
    assert_eq!(
        drain(&mut queue),
        [Item::Order(Order::Disconnect(Disconnect::Shutdown))]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Stream { slot: u32, size: usize },
    Latest { slot: u32, size: usize },
    Order,
    Take(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u32..4, 0_usize..900).prop_map(|(slot, size)| Step::Stream { slot, size }),
        4 => (10_u32..14, 0_usize..200).prop_map(|(slot, size)| Step::Latest { slot, size }),
        1 => Just(Step::Order),
        2 => (0_usize..6).prop_map(Step::Take),
    ];
    prop::collection::vec(step, 0..120)
}

/// What the reader of a queue has seen, checked against what was put in.
#[derive(Default)]
struct Reader {
    offsets: HashMap<Slot, u64>,
    revisions: HashMap<Slot, u64>,
    orders: usize,
}

impl Reader {
    fn see(&mut self, item: Item) {
        match item {
            Item::Order(_) => self.orders += 1,
            // The subscriber starts again from wherever its stream is then.
            Item::Overflow(slot) => {
                self.offsets.remove(&slot);
            }
            Item::Delivery(Delivery {
                slot,
                class: Class::Stream(position),
                ..
            }) => {
                let offset = position.expect("the test gives positions").offset;
                if let Some(before) = self.offsets.insert(slot, offset) {
                    assert_eq!(offset, before + 1, "a gap or a repetition in {slot:?}");
                }
            }
            Item::Delivery(Delivery {
                class: Class::Notice | Class::Top(_),
                ..
            }) => {}
            Item::Delivery(Delivery {
                slot,
                class: Class::Latest(revision),
                ..
            }) => {
                let before = self.revisions.insert(slot, revision).unwrap_or(0);
                assert!(revision > before, "an older value after a newer one");
            }
        }
    }
}

proptest! {
    #[test]
    fn order_conflation_and_bounds_hold(steps in steps()) {
        let mut queue = Queue::new(BOUND);
        let (mut reader, mut orders, mut number) = (Reader::default(), 0, 0);
        let mut offsets: HashMap<u32, u64> = HashMap::new();
        let mut last: HashMap<Slot, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::Stream { slot, size } => {
                    let offset = offsets.entry(slot).or_default();
                    *offset += 1;
                    let position = StreamPosition { offset: *offset, epoch: crate::position::StreamEpoch(1) };
                    queue.deliver(Delivery { class: Class::Stream(Some(position)), ..stream(slot, size) });
                }
                Step::Latest { slot, size } => {
                    number += 1;
                    last.insert(Slot(slot), number);
                    queue.deliver(latest(slot, number, size));
                }
                Step::Order => {
                    orders += 1;
                    queue.order(Order::Leave(Duration::ZERO));
                }
                Step::Take(count) => {
                    for _ in 0..count {
                        if let Some(item) = queue.take() {
                            reader.see(item);
                        }
                    }
                }
            }
            prop_assert!(queue.bytes() <= BOUND * HARD_FACTOR);
            let sum: usize = queue.items.iter().flatten().map(cost).sum();
            prop_assert_eq!(queue.bytes(), sum);
        }
        prop_assume!(queue.given_up().is_none());
        for item in drain(&mut queue) {
            reader.see(item);
        }
        prop_assert_eq!(reader.orders, orders);
        prop_assert_eq!(reader.revisions, last, "each channel ends with its last value");
        prop_assert_eq!(queue.bytes(), 0);
    }
}
