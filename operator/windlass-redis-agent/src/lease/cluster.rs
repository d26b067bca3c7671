//! The lease as an object of Kubernetes (`coordination.k8s.io/v1`), which the operator makes.

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease as Object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use windlass_election::Ordinal;

use super::{Claim, LeaseStore, Unreached, claimed};

/// How often a claim is made anew when somebody else changed the object in between. The operator and one agent do, seldom.
const TRIES: usize = 3;

/// The one object.
#[derive(Debug, Clone)]
pub struct ClusterLease {
    api: Api<Object>,
    name: String,
}

impl ClusterLease {
    /// The lease of this name.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    /// Whether it was the member's to change; nothing when another was faster.
    async fn try_claim(&self, by: Ordinal, claim: Claim) -> Result<Option<bool>, Unreached> {
        let mut object = self.api.get(&self.name).await.map_err(unreached)?;
        let spec = object.spec.get_or_insert_default();
        let lease =
            windlass_redis_wire::read(spec.holder_identity.as_deref(), spec.lease_transitions).map_err(unreached)?;
        let Some(next) = claimed(lease, by, claim) else {
            return Ok(Some(false));
        };
        let (holder, term) = windlass_redis_wire::write(next);
        // For people, and so that the object changes with each renewal; nobody decides by the time.
        (spec.renew_time, spec.lease_transitions) = (Some(MicroTime(Timestamp::now())), Some(term));
        // Kubernetes wants no empty holder.
        spec.holder_identity = Some(holder).filter(|holder| !holder.is_empty());
        match self.api.replace(&self.name, &PostParams::default(), &object).await {
            Ok(_) => Ok(Some(true)),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
            Err(error) => Err(unreached(error)),
        }
    }
}

#[async_trait]
impl LeaseStore for ClusterLease {
    async fn claim(&self, by: Ordinal, claim: Claim) -> Result<bool, Unreached> {
        for _ in 0..TRIES {
            if let Some(done) = self.try_claim(by, claim).await? {
                return Ok(done);
            }
        }
        Err(unreached("others change it without a pause"))
    }
}

fn unreached(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unreached {
    Unreached(error.into())
}
