//! The planner of `Platform` in a world without an API server: what it makes, that it comes to an end, and what it never
//! does. The same plans against a real API server are in tests/cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use proptest::prelude::*;
use serde_json::json;
use windlass_api::{Platform, SecretKey};
use windlass_operator::effects::print::Print;
use windlass_operator::effects::record::Record;
use windlass_operator::effects::{Action, Cause, Effects as _};
use windlass_operator::kind::{Identity, Kind};
use windlass_operator::platform::check::{Violation, check};
use windlass_operator::platform::observe::{Found, Observed};
use windlass_operator::platform::plan::{Plan, Reason, plan};
use windlass_operator::platform::{status::status, validate::validate};

/// Objects as an API server would keep them, and one Platform.
struct World {
    platform: Platform,
    objects: BTreeMap<Identity, DynamicObject>,
    missing: BTreeSet<SecretKey>,
    /// Keys that pods mount and no spec names.
    keys: BTreeSet<SecretKey>,
    versions: u64,
}

impl World {
    fn of(mut platform: Platform) -> Self {
        platform.metadata.namespace = Some("space".to_owned());
        platform.metadata.uid = Some("of-the-platform".to_owned());
        platform.metadata.generation = Some(1);
        Self {
            platform,
            objects: BTreeMap::new(),
            missing: BTreeSet::new(),
            keys: BTreeSet::new(),
            versions: 0,
        }
    }

    fn observe(&self) -> Observed {
        let mut secrets = BTreeMap::new();
        let text = serde_json::to_value(&self.platform.spec).expect("plain data");
        let mut read = |key: SecretKey| {
            let found = if self.missing.contains(&key) {
                Found::NoSecret
            } else {
                Found::Value(format!("digest of {}", key.name))
            };
            secrets.insert(key, found);
        };
        collect_keys(&text, &mut read);
        self.keys.iter().cloned().for_each(&mut read);
        Observed {
            platform: self.platform.clone(),
            owned: self.objects.clone(),
            foreign: BTreeSet::new(),
            unserved: BTreeSet::new(),
            secrets,
            claim: self.platform.spec.storage.volume.as_ref().map(|_| true),
        }
    }

    /// Plans, checks, and carries out the first `most` actions.
    fn pass(&mut self, most: usize) -> Plan {
        let observed = self.observe();
        let plan = plan(&observed, validate(&observed));
        assert_eq!(check(&plan, &observed), Ok(()));
        for action in plan.actions.iter().take(most) {
            self.carry_out(action);
        }
        plan
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Apply { what, object, .. } => {
                self.versions += 1;
                let mut object = (**object).clone();
                object.metadata.uid = Some(format!("of {what}"));
                object.metadata.resource_version = Some(self.versions.to_string());
                self.objects.insert(what.clone(), object);
            }
            Action::Remove { what, .. } => drop(self.objects.remove(what)),
            Action::Report(_)
            | Action::Commit { .. }
            | Action::Tell { .. }
            | Action::Generate { .. }
            | Action::Label { .. }
            | Action::Restart { .. }
            | Action::Hold { .. }
            | Action::Order { .. } => panic!("a Platform's plan only writes objects"),
        }
    }

    /// Passes until there is nothing to do.
    fn converge(&mut self) {
        for _ in 0..3 {
            if self.pass(usize::MAX).actions.is_empty() {
                return;
            }
        }
        panic!("a third pass still finds something to do");
    }

    /// All objects without what the API server counts.
    fn text(&self) -> String {
        let plain = self.objects.values().cloned().map(|mut object| {
            object.metadata.uid = None;
            object.metadata.resource_version = None;
            serde_yaml::to_string(&object).expect("plain data")
        });
        plain.collect::<Vec<_>>().join("---\n")
    }
}

/// Every `{ name, key }` of a spec is a Secret's.
fn collect_keys(value: &serde_json::Value, found: &mut impl FnMut(SecretKey)) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Ok(key) = serde_json::from_value::<SecretKey>(value.clone()) {
                found(key);
            }
            fields.values().for_each(|field| collect_keys(field, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_keys(item, found)),
        _ => {}
    }
}

fn sample(name: &str) -> Platform {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../windlass-api/samples/valid")
        .join(name);
    let text = std::fs::read_to_string(path).expect("the sample is there");
    serde_yaml::from_str(&text).expect("the sample is a Platform")
}

#[test]
fn what_a_platform_becomes_is_as_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["smallest", "everything", "managed", "oss", "gcs", "azure"] {
        let mut world = World::of(sample(&format!("{name}.yaml")));
        world.converge();
        // Of the kinds of storage only the configuration differs.
        if matches!(name, "oss" | "gcs" | "azure") {
            world
                .objects
                .retain(|what, _| what.kind == Kind::ConfigMap && what.name.ends_with("upload"));
        }
        let file = folder.join(format!("{name}.yaml"));
        if std::env::var_os("WINDLASS_UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, world.text()).expect("it can be written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == world.text(),
            "{} is old: run this test with WINDLASS_UPDATE_GOLDEN=1 and look at the difference",
            file.strip_prefix(&folder)
                .map_or_else(|_| PathBuf::new(), Path::to_owned)
                .display()
        );
    }
}

#[tokio::test]
async fn a_plan_that_is_printed_is_the_plan_that_is_carried_out() {
    let world = World::of(sample("smallest.yaml"));
    let observed = world.observe();
    let (print, record) = (Print::default(), Record::default());
    for action in plan(&observed, validate(&observed)).actions {
        print.carry_out(action.clone()).await.expect("printing cannot fail");
        record.carry_out(action).await.expect("recording cannot fail");
    }
    let lines: Vec<_> = record.actions().iter().map(ToString::to_string).collect();
    assert_eq!(print.into_text().trim_end(), lines.join("\n"));
    assert_eq!(
        lines.first().map(String::as_str),
        Some("+ ServiceAccount smallest-push")
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some("+ PodDisruptionBudget smallest-upload")
    );
}

#[test]
fn a_converged_world_needs_no_write_and_one_that_somebody_changed_says_where() {
    let mut world = World::of(sample("everything.yaml"));
    world.converge();
    assert_eq!(world.pass(0).reason, Reason::Converged);
    let what = Identity {
        kind: Kind::Deployment,
        name: "everything-upload".to_owned(),
    };
    world.objects.get_mut(&what).expect("it is there").data["spec"]["replicas"] = json!(1);
    let actions = world.pass(usize::MAX).actions;
    assert!(
        matches!(&actions[..], [Action::Apply { cause: Cause::Drifted(path), .. }] if path == "spec.replicas"),
        "{actions:?}"
    );
    world.platform.spec.upload.replicas += 1;
    let actions = world.pass(usize::MAX).actions;
    assert!(
        matches!(
            &actions[..],
            [Action::Apply {
                cause: Cause::Wanted,
                ..
            }]
        ),
        "{actions:?}"
    );
    assert_eq!(world.pass(0).reason, Reason::Converged);
}

#[test]
fn what_is_not_wanted_any_more_is_removed_and_what_serves_never_is() {
    let mut world = World::of(sample("everything.yaml"));
    world.converge();
    world.platform.spec.routes = None;
    world.platform.spec.network_policy.enabled = false;
    let removed: Vec<_> = world
        .pass(usize::MAX)
        .actions
        .into_iter()
        .filter(|it| matches!(it, Action::Remove { .. }))
        .collect();
    let lines: Vec<_> = removed.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "- NetworkPolicy everything-push",
            "- NetworkPolicy everything-upload",
            "- HTTPRoute everything",
            "- Ingress everything"
        ]
    );
    world.converge();
    // However it came about, a plan that would do more is refused.
    let observed = world.observe();
    for kind in [Kind::Deployment, Kind::Service, Kind::ConfigMap] {
        let what = Identity {
            kind,
            name: "everything-push".to_owned(),
        };
        let seen = windlass_operator::effects::Seen {
            uid: String::new(),
            version: String::new(),
        };
        let plan = Plan {
            reason: Reason::Differs,
            actions: vec![Action::Remove { what, seen }],
        };
        assert!(matches!(check(&plan, &observed), Err(Violation::Remove { .. })));
    }
}

#[test]
fn a_suspended_or_broken_platform_is_reported_on_and_not_written() {
    let now = Time(Timestamp::UNIX_EPOCH);
    let mut world = World::of(sample("smallest.yaml"));
    let key = SecretKey {
        name: "tokens".to_owned(),
        key: "secret".to_owned(),
    };
    world.missing.insert(key);
    let broken = world.pass(usize::MAX);
    let reported = format!("{:?}", status(&world.observe(), &broken, None, &now));
    assert!(
        broken.actions.is_empty() && reported.contains("make the Secret tokens with the key secret"),
        "{reported}"
    );
    world.missing.clear();
    world.platform.spec.suspend = true;
    let suspended = world.pass(usize::MAX);
    assert_eq!(
        (suspended.reason.clone(), suspended.actions.len()),
        (Reason::Suspended, 0)
    );
    // Said once: the same status again is neither written nor told.
    let said = status(&world.observe(), &suspended, None, &now);
    let [Action::Report(report), ..] = &said[..] else {
        panic!("{said:?}")
    };
    world.platform.status = Some(serde_json::from_value(report.clone()).expect("a status"));
    assert!(status(&world.observe(), &suspended, None, &now).is_empty());
}

#[test]
fn a_secret_that_changes_makes_new_pods_of_those_who_mount_it() {
    let mut world = World::of(sample("smallest.yaml"));
    world.converge();
    let mut observed = world.observe();
    for found in observed.secrets.values_mut() {
        *found = Found::Value("another".to_owned());
    }
    let lines: Vec<_> = plan(&observed, validate(&observed))
        .actions
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lines, ["~ Deployment smallest-push", "~ Deployment smallest-upload"]);
}

#[test]
fn a_redis_of_its_own_is_made_first_and_pods_wait_for_its_password() {
    let mut world = World::of(sample("managed.yaml"));
    let password = SecretKey {
        name: "managed-redis".to_owned(),
        key: "windlass".to_owned(),
    };
    world.keys.insert(password.clone());
    world.missing.insert(password.clone());
    world.converge();
    let has = |world: &World, kind| world.objects.keys().any(|what| what.kind == kind);
    assert!(has(&world, Kind::Redis) && !has(&world, Kind::Deployment));
    let redis = world.objects.iter().find(|(what, _)| what.kind == Kind::Redis);
    let made: Option<windlass_api::RedisSpec> =
        redis.and_then(|(_, made)| serde_json::from_value(made.data["spec"].clone()).ok());
    assert_eq!(made, world.platform.spec.redis.managed);
    world.missing.remove(&password);
    world.converge();
    assert!(has(&world, Kind::Deployment));
}

/// Changes of a spec that a user may make.
fn change() -> impl Strategy<Value = u8> {
    0..8_u8
}

fn make(platform: &mut Platform, change: u8) {
    let spec = &mut platform.spec;
    match change {
        0 => spec.upload.replicas = 5,
        1 => spec.upload.replicas = 2,
        2 => spec.routes = None,
        3 => spec.routes = sample("everything.yaml").spec.routes,
        4 => spec.network_policy.enabled = !spec.network_policy.enabled,
        5 => spec.push.service_account = Some("mine".to_owned()),
        6 => spec.push.service_account = None,
        _ => spec.drain.deadline_seconds += 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn all_ways_to_a_spec_end_in_one_world_also_where_a_pass_dies_after_any_write(
        steps in prop::collection::vec((change(), 0..20_usize), 0..8)
    ) {
        let mut world = World::of(sample("smallest.yaml"));
        for (step, survived) in steps {
            make(&mut world.platform, step);
            world.pass(survived);
        }
        world.converge();
        let mut fresh = World::of(world.platform.clone());
        fresh.converge();
        prop_assert_eq!(world.text(), fresh.text());
    }
}
