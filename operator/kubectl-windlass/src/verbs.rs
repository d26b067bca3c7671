//! What each verb does, and the text that it prints.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::Subcommand;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use windlass_api::Platform;
use windlass_api::platform::ServiceStatus;
use windlass_operator::platform::{observe, preview};
use windlass_operator::watch::Reference;

use crate::redis;

/// Whose fields those become that are written.
pub(crate) const MANAGER: &str = "kubectl-windlass";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Say how a Platform is: its conditions, its pods, and where clients reach it
    Status {
        /// The Platform
        platform: String,
    },
    /// Say what the operator would write now, and write nothing
    ///
    /// The plan is made by the operator's own code from what is there now. `+` is made, `~` changed, `-` removed.
    Plan {
        /// The Platform
        platform: String,
    },
    /// Stop the operator from writing; what runs goes on, and its status is kept up to date
    Suspend {
        /// The Platform
        platform: String,
    },
    /// Let the operator write again
    Resume {
        /// The Platform
        platform: String,
    },
    /// Look at a Redis, or hand its primary's part over
    #[command(subcommand)]
    Redis(redis::Verb),
}

pub(crate) async fn run(client: Client, namespace: String, verb: Verb) -> anyhow::Result<String> {
    match verb {
        Verb::Status { platform } => status(client, &namespace, &platform).await,
        Verb::Plan { platform } => plan(client, namespace, platform).await,
        Verb::Suspend { platform } => suspend(client, &namespace, &platform, true).await,
        Verb::Resume { platform } => suspend(client, &namespace, &platform, false).await,
        Verb::Redis(verb) => redis::run(client, &namespace, verb).await,
    }
}

async fn status(client: Client, namespace: &str, name: &str) -> anyhow::Result<String> {
    let api: Api<Platform> = Api::namespaced(client, namespace);
    let platform = api
        .get(name)
        .await
        .with_context(|| format!("cannot read the Platform {name}"))?;
    describe(&platform).context("a text takes what is written")
}

fn describe(platform: &Platform) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let Some(status) = &platform.status else {
        return Ok("no operator has looked at it yet\n".to_owned());
    };
    if status.observed_generation != platform.metadata.generation {
        writeln!(
            text,
            "of an older version: the operator has not looked at the newest yet"
        )?;
    }
    for condition in &status.conditions {
        writeln!(
            text,
            "{:<12} {:<8} {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        )?;
    }
    for (service, pods) in [("upload", &status.upload), ("push", &status.push)] {
        if let Some(ServiceStatus { wanted, updated, ready }) = pods {
            writeln!(
                text,
                "{service:<12} {ready} of {wanted} pods serve, {updated} of the newest version"
            )?;
        }
    }
    if let Some(url) = &status.url {
        writeln!(text, "{:<12} {url}", "url")?;
    }
    Ok(text)
}

async fn plan(client: Client, namespace: String, name: String) -> anyhow::Result<String> {
    let reference = Reference { namespace, name };
    let observed = observe::observe(&client, &reference).await?;
    let observed =
        observed.with_context(|| format!("there is no Platform {} here, or it is being deleted", reference.name))?;
    Ok(preview(&observed).await?)
}

async fn suspend(client: Client, namespace: &str, name: &str, suspend: bool) -> anyhow::Result<String> {
    let api: Api<Platform> = Api::namespaced(client, namespace);
    // Merged and not applied: whoever else writes the spec keeps its fields.
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let change = json!({ "spec": { "suspend": suspend } });
    let patched = api.patch(name, &parameters, &Patch::Merge(change)).await;
    patched.with_context(|| format!("cannot change the Platform {name}"))?;
    let said = if suspend {
        "is suspended: nothing is written until it is resumed"
    } else {
        "is looked after again"
    };
    Ok(format!("{name} {said}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_from_the_top_and_says_when_it_is_old() {
        let platform = serde_json::from_value(json!({
            "apiVersion": "windlass.dev/v1alpha1",
            "kind": "Platform",
            "metadata": { "name": "main", "generation": 2 },
            "spec": {
                "images": { "upload": "u:1", "push": "p:1" }, "auth": {}, "storage": {},
                "redis": { "external": { "url": "redis://r" } },
            },
            "status": {
                "observedGeneration": 1,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Serving", "message": "all pods serve",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "push": { "wanted": 2, "updated": 2, "ready": 1 },
                "url": "https://up.example.org",
            },
        }))
        .expect("a Platform");
        let lines = describe(&platform).expect("a text");
        assert_eq!(
            lines.lines().collect::<Vec<_>>(),
            [
                "of an older version: the operator has not looked at the newest yet",
                "Ready        True     Serving: all pods serve",
                "push         1 of 2 pods serve, 2 of the newest version",
                "url          https://up.example.org",
            ]
        );
    }
}
