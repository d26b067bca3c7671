//! The kinds of objects that the operator makes, and how one of them is named.

use std::fmt;

use kube::core::ApiResource;

/// A kind that the operator makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Whom pods run as.
    ServiceAccount,
    /// A service's configuration file.
    ConfigMap,
    /// Who may reach whom.
    NetworkPolicy,
    /// The address of pods.
    Service,
    /// Pods.
    Deployment,
    /// How many pods may be taken away at once.
    PodDisruptionBudget,
    /// The way in by Gateway API.
    HttpRoute,
    /// The way in without it.
    Ingress,
    /// Passwords and tokens. Only ever made, never read back into anything that is written.
    Secret,
    /// What pods may ask of the API server.
    Role,
    /// Who has that role.
    RoleBinding,
    /// Who is the primary of a Redis, and until when.
    Lease,
    /// Pods that have names and volumes of their own.
    StatefulSet,
    /// One pod.
    Pod,
    /// A Redis, run by this operator.
    Redis,
}

impl Kind {
    /// Group, version, kind and plural; the group of the core is empty.
    const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Role => ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease", "leases"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Redis => (windlass_api::GROUP, "v1alpha1", "Redis", "redises"),
        }
    }

    /// As an object names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.names().2
    }

    /// How the API server serves it.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: if group.is_empty() {
                version.to_owned()
            } else {
                format!("{group}/{version}")
            },
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// Whether a pass may remove one that is not wanted any more. What serves, what it is told, and what has data is never
    /// removed while its resource stands. (A pod of a StatefulSet is removed to be made again: no pass over what is wanted does
    /// that.)
    #[must_use]
    pub const fn is_removable(self) -> bool {
        match self {
            Self::ServiceAccount | Self::NetworkPolicy | Self::HttpRoute | Self::Ingress => true,
            Self::ConfigMap
            | Self::Service
            | Self::Deployment
            | Self::PodDisruptionBudget
            | Self::Secret
            | Self::Role
            | Self::RoleBinding
            | Self::Lease
            | Self::StatefulSet
            | Self::Pod
            | Self::Redis => false,
        }
    }

    /// Whether a cluster may lack it.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::HttpRoute | Self::Redis)
    }
}

/// One object of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}
