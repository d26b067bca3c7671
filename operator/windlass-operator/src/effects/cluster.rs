//! Effects in a cluster.
//!
//! Objects are applied server-side by one field manager, so that what is dropped from them is removed from the cluster
//! too. Each write names uid and version of what was seen; one that was overtaken is refused, and the next pass decides
//! anew. Nothing is sent once this process does not lead.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client};
use serde_json::json;

use super::{Action, Effects, Error, Mood};
use crate::election::lease::Leadership;
use crate::metrics::Metrics;
use crate::objects;
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
            Action::Remove { what, seen } => {
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
            Action::Report(status) => {
                let document = json!({
                    "apiVersion": self.resource.api_version,
                    "kind": self.resource.kind,
                    "metadata": { "name": self.of.name },
                    "status": status,
                });
                let api: Api<DynamicObject> =
                    Api::namespaced_with(self.client.clone(), &self.of.namespace, &self.resource);
                let (parameters, patch) = (PatchParams::apply(MANAGER).force(), Patch::Apply(document));
                let patched = api.patch_status(&self.of.name, &parameters, &patch).await;
                ("report", patched.map(drop))
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
