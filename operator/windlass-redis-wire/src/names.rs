//! What things of a Redis are called, and where they are reached.

use windlass_election::Ordinal;

/// The port of Redis.
pub const REDIS_PORT: u16 = 6379;
/// The port of an agent: orders, health, metrics.
pub const AGENT_PORT: u16 = 7380;
/// The label of a pod that says whether clients are sent to it: [`PRIMARY`], or something else.
pub const ROLE: &str = "windlass.dev/role";
/// The value of [`ROLE`] at the one pod that clients are sent to.
pub const PRIMARY: &str = "primary";
/// The value of [`ROLE`] at the others.
pub const REPLICA: &str = "replica";
/// The key of the agents' configuration in its ConfigMap.
pub const CONFIGURATION: &str = "redis.json";
/// The key of the orders' token in the Secret.
pub const TOKEN: &str = "agent-token";
/// The key of the replicas' password in the Secret.
pub const REPLICATION: &str = "replication-password";
/// The ACL user that replicas are to their primary.
pub const REPLICATION_USER: &str = "windlass-replica";
/// The ACL user of Windlass' services, and its password's key in the Secret.
pub const SERVICES: &str = "windlass";

/// The names of one Redis' objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    base: String,
    namespace: String,
}

impl Names {
    /// Of the Redis of this name.
    #[must_use]
    pub fn of(name: &str, namespace: &str) -> Self {
        Self {
            base: format!("{name}-redis"),
            namespace: namespace.to_owned(),
        }
    }

    /// Of its pods' set, its lease, ConfigMap, Secret, budget, policy, account, role, and the Service of the primary.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Of the Service by which members have names of their own.
    #[must_use]
    pub fn members(&self) -> String {
        format!("{}-members", self.base)
    }

    /// Of a member's pod.
    #[must_use]
    pub fn pod(&self, member: Ordinal) -> String {
        format!("{}-{member}", self.base)
    }

    /// Of a member's volume claim.
    #[must_use]
    pub fn claim(&self, member: Ordinal) -> String {
        format!("data-{}", self.pod(member))
    }

    /// The host by which other members and the operator reach a member.
    #[must_use]
    pub fn host(&self, member: Ordinal) -> String {
        format!("{}.{}.{}.svc", self.pod(member), self.members(), self.namespace)
    }

    /// The host by which clients reach the primary.
    #[must_use]
    pub fn primary(&self) -> String {
        format!("{}.{}.svc", self.base, self.namespace)
    }

    /// The member whose pod this is.
    #[must_use]
    pub fn member(&self, pod: &str) -> Option<Ordinal> {
        let ordinal = pod.strip_prefix(&self.base)?.strip_prefix('-')?.parse().ok()?;
        Some(Ordinal::new(ordinal)).filter(|member| self.pod(*member) == pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_names_its_member_and_no_other() {
        let names = Names::of("shop", "eu");
        assert_eq!(names.host(Ordinal::new(2)), "shop-redis-2.shop-redis-members.eu.svc");
        assert_eq!(names.member("shop-redis-2"), Some(Ordinal::new(2)));
        for other in [
            "shop-redis",
            "shop-redis-",
            "shop-redis-02",
            "shop-redis-x",
            "shopping-redis-2",
            "redis-2",
        ] {
            assert_eq!(names.member(other), None, "{other}");
        }
    }
}
