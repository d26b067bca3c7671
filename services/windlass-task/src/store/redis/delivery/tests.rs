use super::*;
use crate::event::EventType;
use crate::fixture::record;
use crate::record::Protocol;

const A: Partition = Partition(1);
const B: Partition = Partition(2);

fn event() -> Event {
    Event::of(EventType::Created, &record(Protocol::Tus, None), UnixMillis(0), None)
}

fn id(sequence: u64) -> StreamId {
    StreamId { time: 1, sequence }
}

fn gain(state: &mut State, partition: Partition, acknowledged: &[(&str, StreamId)]) {
    let acknowledged = acknowledged
        .iter()
        .map(|(group, id)| ((*group).to_owned(), *id))
        .collect();
    state.gain(partition, "1".to_owned(), Instant::now(), acknowledged, Vec::new());
}

fn positions(state: &State, group: &'static str, after: Position) -> Vec<u64> {
    state
        .after(group, after, 100)
        .iter()
        .map(|(position, _)| position.0)
        .collect()
}

#[tokio::test]
async fn each_group_has_what_it_has_not_had_and_the_slowest_keeps_it_in_memory() {
    let mut state = State::default();
    let (slow, fast) = (state.join("slow"), state.join("fast"));
    gain(&mut state, A, &[("slow", id(1)), ("fast", id(2))]);
    for sequence in 2..=4 {
        state.append(A, id(sequence), event());
    }
    state.append(A, id(4), event());
    assert_eq!(positions(&state, "slow", slow), [1, 2, 3]);
    assert_eq!(positions(&state, "fast", fast), [2, 3], "it had the first before");

    state.acknowledge("fast", Position(3));
    assert_eq!(positions(&state, "slow", slow), [1, 2, 3]);
    state.acknowledge("slow", Position(2));
    assert_eq!(state.join("slow"), Position(2));
    assert_eq!(
        positions(&state, "slow", Position(0)),
        [3],
        "what everybody has is forgotten"
    );
    let dirty = state.take_dirty();
    assert_eq!(dirty.len(), 1);
    assert_eq!(dirty[0].2, BTreeMap::from([("fast", id(4)), ("slow", id(3))]));
    assert!(state.take_dirty().is_empty());
}

#[tokio::test]
async fn what_is_another_processs_is_delivered_no_more_and_its_groups_begin_again() {
    let mut state = State::default();
    let at = state.join("group");
    gain(&mut state, A, &[]);
    gain(&mut state, B, &[]);
    state.append(A, id(1), event());
    state.append(B, id(1), event());
    state.lose(A);
    assert!(state.has_moved("group"));
    assert_eq!(state.join("group"), at);
    assert!(!state.has_moved("group"));
    assert_eq!(positions(&state, "group", at), [2]);
    state.append(A, id(2), event());
    assert_eq!(positions(&state, "group", at), [2], "it is not this process's");
    state.acknowledge("group", Position(2));
    let written: Vec<_> = state
        .take_dirty()
        .into_iter()
        .map(|(partition, ..)| partition)
        .collect();
    assert_eq!(written, [B]);
}

#[tokio::test]
async fn what_is_held_back_is_not_read_and_goes_with_its_partition() {
    let mut state = State::default();
    let at = state.join("group");
    let held = HeldAt {
        partition: A,
        id: id(1),
        since: UnixMillis(1),
        lost: false,
        event: Arc::new(event()),
    };
    let mine = vec![
        ("group".to_owned(), held.clone()),
        ("of a former build".to_owned(), held),
    ];
    state.gain(A, "1".to_owned(), Instant::now(), HashMap::new(), mine);
    state.append(A, id(1), event());
    state.append(A, id(2), event());
    assert!(state.has_moved("group"), "it has to learn what is held");
    let [held] = state.held("group", 10).try_into().unwrap();
    assert_eq!(state.after("group", at, 10).len(), 1);
    state.let_go("group", held.position, true);
    assert!(state.held("group", 10)[0].lost);
    state.lose(A);
    assert!(state.held("group", 10).is_empty());
}

#[test]
fn stream_ids_are_ordered_by_number() {
    let parsed: Vec<StreamId> = ["9-1", "10-0", "10-2", "10-10"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    assert!(parsed.is_sorted());
    assert_eq!(parsed[3].to_string(), "10-10");
    for bad in ["", "1", "a-1", "1-", "1-1-1"] {
        assert!(bad.parse::<StreamId>().is_err(), "{bad:?}");
    }
}
