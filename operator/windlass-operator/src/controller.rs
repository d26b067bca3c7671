//! What looks after one kind of resource, and what it is given to do so. The driver is the same for all.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::core::ApiResource;
use kube::runtime::events::{Recorder, Reporter};

use crate::effects::cluster::{Cluster, MANAGER};
use crate::election::lease::Leadership;
use crate::kind::Kind;
use crate::metrics::Metrics;
use crate::watch::Reference;

/// Looks after one kind of resource. Clones are the same.
pub trait Controller: Clone + Send + Sync + 'static {
    /// The label that has the name of its resource, on each object that is to be watched.
    const LABEL: &'static str;
    /// The kinds of those objects.
    const WATCHED: &'static [Kind];
    /// Why a pass did not come to its end.
    type Error: std::error::Error + Send + 'static;

    /// The kind of resource.
    fn resource(&self) -> ApiResource;

    /// Observes one resource and passes over it. There is one pass over a resource at a time.
    fn pass(&self, tools: &Tools, of: &Reference) -> impl Future<Output = Result<Passed, Self::Error>> + Send;
}

/// How a pass ended that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// There is no such resource any more.
    Gone,
    /// It was passed over.
    Done {
        /// How much was written.
        writes: usize,
        /// When to look again if nothing happens.
        again: Duration,
    },
}

/// What a controller works with. Clones are the same.
#[derive(Clone)]
pub struct Tools {
    /// How the API server is reached.
    pub client: Client,
    /// Whether it may write.
    pub leadership: Leadership,
    /// What it counts.
    pub metrics: Metrics,
}

impl Tools {
    /// Effects for one resource.
    #[must_use]
    pub fn effects(&self, resource: ApiResource, of: &Reference, regarding: ObjectReference) -> Cluster {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: None,
        };
        Cluster {
            client: self.client.clone(),
            leadership: self.leadership.clone(),
            recorder: Recorder::new(self.client.clone(), reporter),
            metrics: self.metrics.clone(),
            resource,
            of: of.clone(),
            regarding,
            agents: None,
        }
    }
}
