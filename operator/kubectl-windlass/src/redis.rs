//! The verbs of a Redis, and the text that they print.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use windlass_api::Redis;
use windlass_api::redis::{Member, MemberRole};

use crate::verbs::MANAGER;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Say how a Redis is: its conditions, its term, and each of its members
    Status {
        /// The Redis
        redis: String,
    },
    /// Make a replica the primary, in order: writes pause, and none is lost
    Switchover {
        /// The Redis
        redis: String,
        /// The member's ordinal; the first replica that is in step without it
        #[arg(long, value_name = "N")]
        to: Option<u8>,
    },
}

pub(crate) async fn run(client: Client, namespace: &str, verb: Verb) -> anyhow::Result<String> {
    match verb {
        Verb::Status { redis } => status(client, namespace, &redis).await,
        Verb::Switchover { redis, to } => switchover(client, namespace, &redis, to).await,
    }
}

async fn status(client: Client, namespace: &str, name: &str) -> anyhow::Result<String> {
    let redis = get(&Api::namespaced(client, namespace), name).await?;
    describe(&redis).context("a text takes what is written")
}

fn describe(redis: &Redis) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let Some(status) = &redis.status else {
        return Ok("no operator has looked at it yet\n".to_owned());
    };
    if status.observed_generation != redis.metadata.generation {
        writeln!(
            text,
            "of an older version: the operator has not looked at the newest yet"
        )?;
    }
    for condition in &status.conditions {
        writeln!(
            text,
            "{:<19} {:<8} {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        )?;
    }
    writeln!(text, "{:<19} {}", "term", status.term)?;
    for member in &status.members {
        let Member {
            ordinal,
            role,
            in_step,
            updated,
        } = member;
        let step = if *in_step { "in step" } else { "not in step" };
        let version = if *updated { "" } else { ", of an older version" };
        writeln!(text, "member {ordinal:<12} {:<8} {step}{version}", role.as_str())?;
    }
    Ok(text)
}

/// Asks for a switchover, in the present term, so that it is made once or not at all.
async fn switchover(client: Client, namespace: &str, name: &str, to: Option<u8>) -> anyhow::Result<String> {
    let api: Api<Redis> = Api::namespaced(client, namespace);
    let redis = get(&api, name).await?;
    let (to, term) = heir(&redis, to.map(i32::from))?;
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let change = json!({
        "metadata": { "resourceVersion": redis.metadata.resource_version },
        "spec": { "switchover": { "to": to, "term": term } },
    });
    let patched = api.patch(name, &parameters, &Patch::Merge(change)).await;
    patched.with_context(|| format!("cannot change the Redis {name}"))?;
    Ok(format!(
        "member {to} is asked to take over in term {term}: `kubectl windlass redis status {name}` says how far it is\n"
    ))
}

/// Who is to take over, and in which term that is asked.
fn heir(redis: &Redis, to: Option<i32>) -> anyhow::Result<(i32, i64)> {
    let status = redis.status.as_ref().context("no operator has looked at it yet")?;
    let primary = status.primary.context("there is no primary that could hand over")?;
    let may = |member: &&Member| member.role == MemberRole::Replica && member.in_step;
    let Some(to) = to else {
        let heir = status.members.iter().find(may).context("no replica is in step")?;
        return Ok((heir.ordinal, status.term));
    };
    ensure!(to != primary, "member {to} is the primary");
    let Some(member) = status.members.iter().find(|member| member.ordinal == to) else {
        bail!("there is no member {to}");
    };
    ensure!(may(&member), "member {to} is not in step with the primary");
    Ok((to, status.term))
}

async fn get(api: &Api<Redis>, name: &str) -> anyhow::Result<Redis> {
    api.get(name)
        .await
        .with_context(|| format!("cannot read the Redis {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis() -> Redis {
        serde_json::from_value(json!({
            "apiVersion": "windlass.dev/v1alpha1",
            "kind": "Redis",
            "metadata": { "name": "main", "generation": 1 },
            "spec": { "image": "r:1", "storage": { "ephemeral": {} } },
            "status": {
                "observedGeneration": 1, "term": 4, "primary": 0, "replicas": 3, "electors": 3,
                "conditions": [{
                    "type": "ReplicationHealthy", "status": "False", "reason": "OutOfStep",
                    "message": "not in step: main-redis-1", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "members": [
                    { "ordinal": 0, "role": "primary", "inStep": true, "updated": false },
                    { "ordinal": 1, "role": "replica", "inStep": false, "updated": true },
                    { "ordinal": 2, "role": "replica", "inStep": true, "updated": true },
                ],
            },
        }))
        .expect("a Redis")
    }

    #[test]
    fn a_status_says_who_is_what() {
        let lines = describe(&redis()).expect("a text");
        assert_eq!(
            lines.lines().collect::<Vec<_>>(),
            [
                "ReplicationHealthy  False    OutOfStep: not in step: main-redis-1",
                "term                4",
                "member 0            primary  in step, of an older version",
                "member 1            replica  not in step",
                "member 2            replica  in step",
            ]
        );
    }

    #[test]
    fn a_switchover_goes_to_a_replica_that_has_everything_and_names_the_term() {
        let redis = redis();
        assert_eq!(heir(&redis, None).expect("there is one"), (2, 4));
        assert_eq!(heir(&redis, Some(2)).expect("it may"), (2, 4));
        for (to, said) in [
            (0, "member 0 is the primary"),
            (1, "member 1 is not in step with the primary"),
            (3, "there is no member 3"),
        ] {
            let refused = heir(&redis, Some(to)).expect_err("it may not");
            assert_eq!(refused.to_string(), said);
        }
    }
}
