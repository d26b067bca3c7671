//! What an agent is told by its file: JSON, written by the operator, read again when it has changed. Secrets are in files of
//! their own, which this names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use windlass_election::Ordinal;

/// An agent's configuration. All agents of a Redis have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// The name of the Kubernetes lease, in the pod's namespace.
    pub lease: String,
    /// All members there are, an agent's own among them.
    pub members: BTreeMap<Ordinal, Member>,
    /// What data may take in memory, in bytes (`maxmemory`, with `noeviction`); as much as there is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_bytes: Option<u64>,
    /// The users of the ACL, besides the agent's own and the replicas'. Each has its rights while the member is open only.
    pub users: Vec<User>,
    /// With it both ports speak TLS only, and so do replicas to their primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Where a member is reached by the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// A host name, looked up anew at each connection, or an address.
    pub host: String,
    /// The port of its Redis.
    pub redis_port: u16,
    /// The port of its agent.
    pub agent_port: u16,
}

/// A user of the ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Its name.
    pub name: String,
    /// The file with its password, in the folder of secrets.
    pub password: PathBuf,
    /// What it may do.
    pub access: Access,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// All that a client of Windlass' services needs: keys and channels, no administration.
    Application,
    /// To read how the server is: `INFO`, `LATENCY`, `SLOWLOG`. Not the data.
    Monitoring,
}

/// Files of TLS, in the folder of certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// What the certificates of members and operator are signed by (PEM).
    pub authority: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_it_was_written_and_nothing_unknown_passes() {
        let text = r#"{"lease":"shop-redis","members":{"0":{"host":"a","redisPort":6379,"agentPort":7380}},"users":[{"name":"windlass","password":"windlass","access":"application"}]}"#;
        let configuration: Configuration = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&configuration).unwrap(), text);
        let unknown = text.replacen("\"lease\"", "\"leese\":1,\"lease\"", 1);
        let refused = serde_json::from_str::<Configuration>(&unknown).unwrap_err().to_string();
        assert!(refused.contains("leese"), "{refused}");
    }
}
