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
}

impl Kind {
    /// In the order in which they are applied: what pods refer to is there before them, and routes last.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Service,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HttpRoute,
        Self::Ingress,
    ];

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

    /// Whether a pass may remove one that is not wanted any more. What serves, and what it is told, is never removed while
    /// its platform stands.
    #[must_use]
    pub const fn is_removable(self) -> bool {
        match self {
            Self::ServiceAccount | Self::NetworkPolicy | Self::HttpRoute | Self::Ingress => true,
            Self::ConfigMap | Self::Service | Self::Deployment | Self::PodDisruptionBudget => false,
        }
    }

    /// Whether a cluster may lack it.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::HttpRoute)
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
