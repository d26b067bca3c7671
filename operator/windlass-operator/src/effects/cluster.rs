//! Effects in a cluster.
//!
//! Objects are applied server-side by one field manager, so that what is dropped from them is removed from the cluster
//! too. Each write names uid and version of what was seen; one that was overtaken is refused, and the next pass decides
//! anew. Nothing is sent once this process does not lead.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::{Action, Effects, Error, Mood, Seen};
use crate::election::lease::Leadership;
use crate::kind::Identity;
use crate::metrics::Metrics;
use crate::objects;
use crate::redis::agents::Agents;
use crate::watch::Reference;

/// Whose fields are the operator's.
pub const MANAGER: &str = "windlass-operator";
/// On each object: the term of the leader who wrote it last. It is no reason to write it again.
const TERM: &str = "windlass.dev/term";

/// Effects for one resource.
#[derive(Clone)]
pub struct Cluster {
    /// How the API server is reached.
    pub client: Client,
    /// Whether it may be written to.
    pub leadership: Leadership,
    /// Tells events.
    pub recorder: Recorder,
    /// Counts writes.
    pub metrics: Metrics,
    /// The kind of the resource.
    pub resource: ApiResource,
    /// Which it is; its objects are in the same namespace.
    pub of: Reference,
    /// What events speak of.
    pub regarding: ObjectReference,
    /// Who is ordered, if the resource has agents.
    pub agents: Option<Agents>,
}

impl Effects for Cluster {
    async fn carry_out(&self, action: Action) -> Result<(), Error> {
        let Some(term) = self.leadership.term() else {
            return Err(Error::Lead {
                action: action.to_string(),
            });
        };
        let said = action.to_string();
        tracing::info!(
            kind = self.resource.kind,
            namespace = self.of.namespace,
            name = self.of.name,
            term = term.0,
            action = said,
            "carrying out"
        );
        let (verb, done) = match action {
            Action::Apply {
                what, mut object, seen, ..
            } => {
                let parameters = PatchParams {
                    force: seen.is_some(),
                    ..PatchParams::apply(MANAGER)
                };
                // Without an object there is nothing to force: whoever makes it meanwhile keeps it.
                if let Some(seen) = seen {
                    object.metadata.uid = Some(seen.uid);
                    object.metadata.resource_version = Some(seen.version);
                }
                let annotations = object.metadata.annotations.get_or_insert_default();
                annotations.insert(TERM.to_owned(), term.0.to_string());
                let api = objects::api(&self.client, &self.of, what.kind);
                let applied = api.patch(&what.name, &parameters, &Patch::Apply(&*object)).await;
                ("apply", applied.map(drop))
            }
            Action::Remove { what, seen } | Action::Restart { what, seen } => {
                let parameters = DeleteParams {
                    preconditions: Some(Preconditions {
                        resource_version: Some(seen.version),
                        uid: Some(seen.uid),
                    }),
                    propagation_policy: Some(PropagationPolicy::Background),
                    ..DeleteParams::default()
                };
                let api = objects::api(&self.client, &self.of, what.kind);
                ("remove", api.delete(&what.name, &parameters).await.map(drop))
            }
            Action::Report(status) => ("report", self.write_status(status, None).await),
            Action::Commit { status, seen } => ("report", self.write_status(status, Some(seen)).await),
            Action::Generate { what, object, keys } => ("generate", self.generate(&what, *object, &keys).await),
            Action::Label { what, seen, key, value } => {
                let change = json!({ "metadata": { "labels": { key: value } } });
                ("label", self.merge(&what, seen, change).await)
            }
            Action::Hold {
                what,
                seen,
                holder,
                transitions,
            } => {
                // The time is for people; nobody decides by it.
                let change = json!({ "spec": {
                    "holderIdentity": holder,
                    "leaseTransitions": transitions,
                    "renewTime": MicroTime(Timestamp::now()),
                } });
                ("hold", self.merge(&what, seen, change).await)
            }
            Action::Order { to, order } => {
                let Some(agents) = &self.agents else {
                    return Err(Error::Order { action: said });
                };
                agents.order(to, &order).await;
                return Ok(());
            }
            Action::Tell { mood, reason, note } => {
                let event = Event {
                    type_: match mood {
                        Mood::Normal => EventType::Normal,
                        Mood::Warning => EventType::Warning,
                    },
                    reason,
                    note: Some(note),
                    action: "Reconcile".to_owned(),
                    secondary: None,
                };
                ("tell", self.recorder.publish(&event, &self.regarding).await)
            }
        };
        self.metrics.wrote(verb, done.is_ok());
        match done {
            Ok(()) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() => Err(Error::Overtaken { action: said }),
            // Somebody else removed it.
            Err(kube::Error::Api(status)) if verb == "remove" && status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Request { action: said, source }),
        }
    }
}

impl Cluster {
    /// Writes the whole status; if `seen`, only that version's.
    async fn write_status(&self, status: Value, seen: Option<Seen>) -> Result<(), kube::Error> {
        let mut document = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": { "name": self.of.name },
            "status": status,
        });
        if let Some(seen) = seen {
            document["metadata"]["uid"] = seen.uid.into();
            document["metadata"]["resourceVersion"] = seen.version.into();
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.of.namespace, &self.resource);
        let (parameters, patch) = (PatchParams::apply(MANAGER).force(), Patch::Apply(document));
        api.patch_status(&self.of.name, &parameters, &patch).await.map(drop)
    }

    /// Makes a Secret with values of its own. Of two that do so at once the first is right.
    async fn generate(&self, what: &Identity, mut object: DynamicObject, keys: &[&str]) -> Result<(), kube::Error> {
        let values: Map<String, Value> = keys
            .iter()
            .map(|key| ((*key).to_owned(), Value::String(secret())))
            .collect();
        object.data["stringData"] = Value::Object(values);
        let api = objects::api(&self.client, &self.of, what.kind);
        match api.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            made => made.map(drop),
        }
    }

    /// Changes a part of an object that others write too, if it is as it was seen.
    async fn merge(&self, what: &Identity, seen: Seen, mut change: Value) -> Result<(), kube::Error> {
        change["metadata"]["uid"] = seen.uid.into();
        change["metadata"]["resourceVersion"] = seen.version.into();
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = objects::api(&self.client, &self.of, what.kind);
        api.patch(&what.name, &parameters, &Patch::Merge(change))
            .await
            .map(drop)
    }
}

/// 256 bits that nobody else knows, in hexadecimal.
fn secret() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
