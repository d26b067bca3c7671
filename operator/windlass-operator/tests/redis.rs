//! The controller of `Redis` in a world without an API server: what it makes, who becomes the primary and when, and that a
//! world as it should be is left alone.

#[path = "redis/world.rs"]
mod world;

use std::path::Path;

use proptest::prelude::*;
use windlass_api::redis::{Switchover, UpdateStrategy};
use windlass_election::{Ordinal, Role};
use windlass_operator::redis::plan::Reason;
use windlass_redis_wire::names::PRIMARY;
use world::{World, sample};

#[test]
fn what_a_redis_becomes_is_as_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/redis");
    for name in ["smallest", "everything", "available"] {
        let mut redis = sample(&format!("redis-{name}.yaml"));
        redis.spec.switchover = None;
        let world = World::settled(redis);
        let file = folder.join(format!("{name}.yaml"));
        if std::env::var_os("WINDLASS_UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, world.text()).expect("it can be written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == world.text(),
            "redis/{name}.yaml is old: run this test with WINDLASS_UPDATE_GOLDEN=1 and look at the difference"
        );
    }
}

#[test]
fn three_members_come_up_with_one_primary_and_then_nothing_is_written() {
    let mut world = World::of(sample("redis-smallest.yaml"));
    world.settle();
    assert_eq!(world.news().iter().filter(|news| **news == "PrimaryElected").count(), 1);
    assert_eq!((world.primary(), world.open()), (Some(0), vec![Ordinal::new(0)]));
    let follows = Role::Following {
        primary: Ordinal::new(0),
    };
    assert_eq!((world.role(1), world.role(2)), (follows, follows));
    assert_eq!(world.pods[&Ordinal::new(0)].role.as_deref(), Some(PRIMARY));
    for (condition, said) in [
        ("Ready", "True/Serving"),
        ("Progressing", "False/Converged"),
        ("Degraded", "False/AsExpected"),
        ("PrimaryAvailable", "True/Serving"),
        ("ReplicationHealthy", "True/InStep"),
    ] {
        assert_eq!(world.condition(condition), said);
    }
    let version = world.redis.metadata.resource_version.clone();
    for _ in 0..20 {
        let plan = world.pass(usize::MAX);
        assert_eq!((plan.reason, plan.actions.len()), (Reason::Converged, 0));
        world.tick();
    }
    assert_eq!(world.redis.metadata.resource_version, version, "the status was written");
}

#[test]
fn what_is_decided_is_kept_before_anything_is_done() {
    let mut world = World::of(sample("redis-smallest.yaml"));
    for _ in 0..100 {
        let before = world.redis.status.clone().and_then(|status| status.standing);
        let plan = world.pass(usize::MAX);
        let after = world.redis.status.clone().and_then(|status| status.standing);
        assert!(before == after || plan.actions.is_empty(), "{plan:?}");
        world.tick();
    }
    assert_eq!(world.primary(), Some(0));
}

#[test]
fn a_primary_that_is_gone_is_followed_by_one_that_has_everything() {
    let mut world = World::settled(sample("redis-smallest.yaml"));
    world.lose(Ordinal::new(0));
    world.settle();
    assert_eq!(world.primary(), Some(1));
    assert_eq!(world.open(), [Ordinal::new(1)]);
    assert_eq!(world.news()[..2], ["FailoverBegan", "FailoverEnded"]);
    let ended = world.said.iter().find(|line| line.starts_with("! FailoverEnded"));
    assert!(ended.is_some_and(|line| line.contains("everything")), "{ended:?}");
    assert_eq!(world.condition("Ready"), "True/Serving");
}

#[test]
fn a_switchover_is_made_once_in_the_term_that_it_names() {
    let mut world = World::settled(sample("redis-smallest.yaml"));
    let term = world.term();
    world.redis.spec.switchover = Some(Switchover { to: 2, term });
    world.settle();
    assert_eq!((world.primary(), world.open()), (Some(2), vec![Ordinal::new(2)]));
    assert_eq!(world.news(), ["SwitchoverBegan", "SwitchoverEnded"]);
    assert!(world.term() > term);
    // It stays where it is written and means nothing any more, whoever the primary is.
    world.lose(Ordinal::new(2));
    world.settle();
    assert_ne!(world.primary(), Some(2));
}

#[test]
fn pods_are_made_anew_from_the_highest_ordinal_on_and_the_primarys_last() {
    let mut world = World::settled(sample("redis-smallest.yaml"));
    world.redis.spec.image = "registry.example/windlass-redis:0.2.0".to_owned();
    world.settle();
    let steps: Vec<_> = world
        .said
        .iter()
        .filter(|line| line.ends_with("made anew") || line.starts_with("! Switchover"))
        .map(|line| line.split([',', ':']).next().unwrap_or_default())
        .collect();
    assert_eq!(
        steps,
        [
            "- Pod smallest-redis-2",
            "- Pod smallest-redis-1",
            "! SwitchoverBegan",
            "! SwitchoverEnded",
            "- Pod smallest-redis-0"
        ]
    );
    assert_eq!(world.condition("Progressing"), "False/Converged");
}

#[test]
fn a_supervised_update_stops_before_the_switchover() {
    let mut redis = sample("redis-smallest.yaml");
    redis.spec.update_strategy = UpdateStrategy { supervised: true };
    let mut world = World::settled(redis);
    world.redis.spec.image = "registry.example/windlass-redis:0.2.0".to_owned();
    world.settle();
    assert_eq!(
        (world.primary(), world.condition("Progressing").as_str()),
        (Some(0), "False/WaitingForSwitchover")
    );
    let term = world.term();
    world.redis.spec.switchover = Some(Switchover { to: 1, term });
    world.settle();
    assert_eq!(
        (world.primary(), world.condition("Progressing").as_str()),
        (Some(1), "False/Converged")
    );
}

#[test]
fn a_version_that_does_not_start_gives_way_to_the_next_whether_there_is_a_primary_or_not() {
    let image = |version| format!("registry.example/windlass-redis:{version}");
    let mut world = World::of(sample("redis-smallest.yaml"));
    world.broken = Some(image("0.1.0"));
    for _ in 0..20 {
        world.pass(usize::MAX);
        world.tick();
    }
    assert_eq!(world.primary(), None);
    world.redis.spec.image = image("0.2.0");
    world.settle();
    assert_eq!(world.condition("Ready"), "True/Serving");
    // Of another that does not start only one pod is made.
    world.broken = Some(image("0.3.0"));
    world.redis.spec.image = image("0.3.0");
    for _ in 0..20 {
        world.pass(usize::MAX);
        world.tick();
    }
    assert_eq!(
        (
            world.condition("Ready").as_str(),
            world.condition("Progressing").as_str()
        ),
        ("True/Serving", "True/RollingOut")
    );
    world.redis.spec.image = image("0.2.0");
    world.settle();
    assert_eq!(world.condition("Progressing"), "False/Converged");
    assert_eq!((world.primary(), world.term()), (Some(0), 1));
}

#[test]
fn members_are_added_one_at_a_time() {
    let mut world = World::settled(sample("redis-smallest.yaml"));
    world.redis.spec.replicas = 5;
    let mut most = 3;
    for _ in 0..60 {
        world.pass(usize::MAX);
        let now = world.pods.len();
        assert!(now <= most + 1, "two came at once");
        most = now;
        world.tick();
    }
    let status = world.redis.status.clone().expect("it is reported on");
    assert_eq!((most, status.replicas, status.electors), (5, 5, 3));
    // The next primary knows all.
    world.redis.spec.switchover = Some(Switchover {
        to: 4,
        term: world.term(),
    });
    world.settle();
    let status = world.redis.status.clone().expect("it is reported on");
    assert_eq!((status.primary, status.electors), (Some(4), 5));
}

#[test]
fn a_suspended_redis_is_reported_on_and_nothing_is_done() {
    let mut world = World::settled(sample("redis-smallest.yaml"));
    world.redis.spec.suspend = true;
    world.redis.spec.image = "registry.example/windlass-redis:0.2.0".to_owned();
    world.settle();
    assert_eq!(world.news(), ["Suspended"]);
    assert_eq!(world.said.len(), 1, "{:?}", world.said);
    assert_eq!(world.condition("Ready"), "True/Serving");
}

#[test]
fn an_election_that_cannot_end_says_what_to_do_and_does_it_when_it_is_told_to() {
    let mut world = World::settled(sample("redis-smallest.yaml"));
    // Two of three are gone for good: what they alone acknowledged nobody else has.
    let lost = [Ordinal::new(0), Ordinal::new(1)];
    for _ in 0..80 {
        for member in lost {
            if world.pods.contains_key(&member) {
                world.lose(member);
            }
        }
        world.pass(usize::MAX);
        world.tick();
    }
    for member in lost {
        if world.pods.contains_key(&member) {
            world.lose(member);
        }
    }
    world.pass(usize::MAX);
    assert_eq!(
        (world.primary(), world.condition("Degraded").as_str()),
        (None, "True/ElectionStuck")
    );
    world.redis.spec.allow_data_loss = Some(world.term());
    world.settle();
    assert_eq!(world.primary(), Some(2));
    let ended = world.said.iter().find(|line| line.starts_with("! FailoverEnded"));
    assert!(ended.is_some_and(|line| line.contains("may lack")), "{ended:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The operator dies after any number of actions of any pass, while the image changes and pods are lost.
    #[test]
    fn whatever_a_pass_leaves_undone_the_next_ones_do(
        steps in prop::collection::vec((0..6_usize, 0..4_u8), 1..40)
    ) {
        let mut world = World::of(sample("redis-smallest.yaml"));
        for (survived, harm) in steps {
            world.pass(survived);
            match harm {
                0 => world.redis.spec.image = format!("registry.example/windlass-redis:0.{survived}.0"),
                1 => {
                    let member = Ordinal::new(u16::try_from(survived % 3).expect("small"));
                    if world.pods.contains_key(&member) {
                        world.lose(member);
                    }
                }
                _ => {}
            }
            world.tick();
            prop_assert!(world.open().len() <= 1);
        }
        world.settle();
        prop_assert_eq!(world.condition("Ready"), "True/Serving");
        prop_assert_eq!(world.open().len(), 1);
    }
}
