//! Orders as they come over the network.

use http::StatusCode;
use windlass_election::{Generation, Order, Refusal, Reply, Term};
use windlass_redis_agent::peers;
use windlass_redis_wire::Answer;

use crate::world::{World, calm};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_refused_and_what_is_a_strangers_is_not_heard() {
    let world = World::start(calm()).await;
    let primary = world.settled("the primary").await;
    let other = world.other(primary);
    let seen = world.sight(other).unwrap().term;
    let promote = Order::Promote {
        term: Term::default(),
        intact: false,
        roster: world.places[&other].settings.roster(),
        generation: Generation::default(),
    };
    for late in [Order::Detach { term: seen }, promote] {
        let answer = world.peers.order(other, &late).await.unwrap();
        assert_eq!(
            answer,
            Answer::Reply(Reply::Refused(Refusal::Stale { seen })),
            "{late:?}"
        );
    }
    let stranger = windlass_redis_agent::settings::Settings {
        token: windlass_redis_agent::settings::Secret::new("a token", "tokem").unwrap(),
        ..(*world.places[&other].settings).clone()
    };
    let stranger = peers::Peers::new(stranger.into(), crate::wait::WITHIN).unwrap();
    let refused = stranger.order(other, &Order::Probe).await.unwrap_err();
    let peers::Error::Refuse { status, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.settled("the same primary").await, primary);
}
