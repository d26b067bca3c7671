//! What is done to a primary, and what is there of it afterwards.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;
use windlass_election::{Ordinal, Phase, Role, Timing};

use crate::clients::{Writer, connect};
use crate::wait::eventually;
use crate::world::{World, brisk, calm};

/// Waits for a primary of a later term than `term` that all follow, lets some more be written, and looks for all of it.
async fn nothing_is_missing_later(world: &World, term: u64, writer: Writer) -> Ordinal {
    eventually("a primary of a later term", async || {
        let standing = world.operator.standing();
        let presides = matches!(standing.phase, Phase::Presiding { .. });
        (presides && standing.term.number() > term).then_some(())
    })
    .await;
    world.settled("a primary that all follow").await;
    world.more(&writer).await;
    println!("write pause as one client saw it: {} ms", writer.pause().as_millis());
    let written = writer.end().await;
    let primary = world.settled("a primary that all follow").await;
    assert_eq!(world.missing(primary, &written).await, Vec::<u64>::new());
    primary
}

fn term(world: &World) -> u64 {
    world.operator.standing().term.number()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_whose_redis_is_killed_gives_way_at_once_and_nothing_acknowledged_is_lost() {
    let mut world = World::start(calm()).await;
    let writer = world.writer().await;
    let (former, term) = (world.settled("the primary").await, term(&world));
    world.place(former).signal(Signal::KILL);
    let primary = nothing_is_missing_later(&world, term, writer).await;
    assert_ne!(primary, former, "its process was not in step any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_stopped_is_ended_and_another_takes_over() {
    let mut world = World::start(calm()).await;
    let writer = world.writer().await;
    let (former, term) = (world.settled("the primary").await, term(&world));
    world.place(former).signal(Signal::STOP);
    let primary = nothing_is_missing_later(&world, term, writer).await;
    assert_ne!(primary, former);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_stands_still_past_its_lease_has_its_redis_ended_by_the_guard() {
    let mut world = World::start(brisk()).await;
    let writer = world.writer().await;
    let (former, term) = (world.settled("the primary").await, term(&world));
    // Until well after another may have been elected.
    world.place(former).freeze(brisk().lease + Duration::from_secs(2));
    let primary = nothing_is_missing_later(&world, term, writer).await;
    let role = world.sight(former).unwrap().role;
    assert!(primary == former || role == Role::Following { primary }, "{role:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_goes_on_by_promises_while_the_lease_cannot_be_reached() {
    let timing = Timing {
        // A slow machine must not let them end.
        promise: Duration::from_secs(30),
        ..brisk()
    };
    let world = World::start(timing).await;
    let writer = world.writer().await;
    let (primary, term) = (world.settled("the primary").await, term(&world));
    world.api.go_away(true);
    let began = Instant::now();
    eventually("a while longer than the lease", async || {
        (began.elapsed() > timing.lease).then_some(())
    })
    .await;
    world.more(&writer).await;
    assert!(world.sight(primary).unwrap().is_open);
    world.api.go_away(false);
    world.more(&writer).await;
    assert_eq!(world.settled("the same primary").await, primary);
    assert_eq!(crate::elections::term(&world), term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_primary_that_comes_back_empty_takes_nobodys_data_away() {
    // Its lease stands still until its time is over: nobody is left who would give it up.
    let mut world = World::start(brisk()).await;
    let writer = world.writer().await;
    let (former, term) = (world.settled("the primary").await, term(&world));
    let place = world.place(former);
    place.kill();
    place.lose_volume();
    place.start();
    let primary = nothing_is_missing_later(&world, term, writer).await;
    assert_ne!(primary, former);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_start_anew_find_a_primary_among_them_with_what_their_files_have() {
    let mut world = World::start(calm()).await;
    let writer = world.writer().await;
    let term = term(&world);
    let written = writer.end().await;
    for place in world.places.values_mut() {
        place.kill();
    }
    for place in world.places.values_mut() {
        place.start();
    }
    eventually("a primary of a later term", async || {
        (crate::elections::term(&world) > term && world.operator.primary().is_some()).then_some(())
    })
    .await;
    let primary = world.settled("a primary that all follow").await;
    // What was written last may not have come to the disk.
    let first = written.first().into_iter().copied().collect();
    assert_eq!(world.missing(primary, &first).await, Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_handover_loses_nothing_and_names_its_heir() {
    let world = World::start(calm()).await;
    let writer = world.writer().await;
    let (former, term) = (world.settled("the primary").await, term(&world));
    let heir = world.other(former);
    world.operator.want(heir);
    let primary = nothing_is_missing_later(&world, term, writer).await;
    assert_eq!(primary, heir);
    let mut connection = connect(&world.address(primary)).await.unwrap();
    for partition in [0, 255] {
        let named: String = redis::cmd("HGET")
            .arg(format!("upload:generation:{{{partition}}}"))
            .arg("heir")
            .query_async(&mut connection)
            .await
            .unwrap();
        let run = world.sight(primary).unwrap().run.unwrap();
        assert!(named.starts_with(&format!("{run}:")), "{named}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_told_to_end_gives_its_lease_up_with_all_that_was_written() {
    let mut world = World::start(calm()).await;
    let writer = world.writer().await;
    let (former, term) = (world.settled("the primary").await, term(&world));
    world.place(former).stop().await;
    let primary = nothing_is_missing_later(&world, term, writer).await;
    assert_ne!(primary, former);
}
