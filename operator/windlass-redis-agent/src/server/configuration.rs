//! What `redis-server` is told at its start, through its standard input: so no password is on a command line or in a file.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use windlass_redis_wire::Access;
use windlass_redis_wire::names::REPLICATION_USER;

use crate::settings::{Secret, Settings, User};

/// The agent's own user. Only through the socket in a folder that nobody else can read; it dies with the process.
pub const AGENT_USER: &str = "windlass-agent";
/// Nobody: where a Redis replicates from that follows no member. The port that `tcpmux` has and nobody uses.
pub const NOBODY: [&str; 2] = ["127.0.0.1", "1"];
/// How much of the stream of writes a primary keeps for replicas that come back, in bytes: some minutes of a busy platform's
/// commits (a record is about 1.5 KB). A replica that was away for longer copies everything.
const BACKLOG_BYTES: u64 = 64 << 20;

/// The text. It begins as nobody's replica, so that it takes no write before somebody says so, and its users may do nothing.
#[must_use]
pub fn text(settings: &Settings, socket: &Path, agent: &Secret) -> String {
    let own = settings.own();
    let (port, tls_port) = match settings.certificates {
        None => (own.redis_port, 0),
        Some(_) => (0, own.redis_port),
    };
    let listen = settings
        .listen
        .map_or_else(|| "* -::*".to_owned(), |address| address.to_string());
    let mut lines = format!(
        "port {port}\ntls-port {tls_port}\nbind {listen}\nprotected-mode no\n\
         unixsocket \"{socket}\"\nunixsocketperm 700\n\
         dir \"{data}\"\nappendonly yes\nappendfsync everysec\naof-use-rdb-preamble yes\n\
         maxmemory {memory}\nmaxmemory-policy noeviction\n\
         replicaof {nobody}\nreplica-read-only yes\nreplica-announce-ip {host}\nreplica-announce-port {redis_port}\n\
         masteruser {REPLICATION_USER}\nmasterauth {replication}\n\
         repl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-backlog-size {BACKLOG_BYTES}\nrepl-backlog-ttl 0\n\
         lazyfree-lazy-user-flush yes\nreplica-lazy-flush yes\nlogfile \"\"\n",
        socket = socket.display(),
        data = settings.data.display(),
        memory = settings.max_memory_bytes.unwrap_or_default(),
        nobody = NOBODY.join(" "),
        host = own.host,
        redis_port = own.redis_port,
        replication = settings.replication.expose(),
    );
    if let Some(certificates) = &settings.certificates {
        // Clients show passwords; members show their certificates to one another.
        let _ = write!(
            lines,
            "tls-replication yes\ntls-auth-clients optional\n\
             tls-cert-file \"{}\"\ntls-key-file \"{}\"\ntls-ca-cert-file \"{}\"\n",
            certificates.chain.display(),
            certificates.key.display(),
            certificates.authority.display(),
        );
    }
    let _ = write!(
        lines,
        "user default off\nuser {AGENT_USER} on {} ~* &* +@all\nuser {}\n",
        hash(agent),
        replica(&[&settings.replication]).join(" "),
    );
    for user in &settings.users {
        let _ = writeln!(lines, "user {}", made(user).join(" "));
    }
    lines
}

/// The user that replicas are, with these passwords: the words of `ACL SETUSER`.
#[must_use]
pub fn replica(passwords: &[&Secret]) -> Vec<String> {
    let mut words = vec![REPLICATION_USER.to_owned(), "reset".to_owned(), "on".to_owned()];
    words.extend(passwords.iter().map(|password| hash(password)));
    words.extend(["+psync", "+replconf", "+ping"].map(str::to_owned));
    words
}

/// A user with its password and without a right: the words of `ACL SETUSER`.
#[must_use]
pub fn made(user: &User) -> Vec<String> {
    vec![
        user.name.clone(),
        "reset".to_owned(),
        "on".to_owned(),
        hash(&user.password),
        "-@all".to_owned(),
    ]
}

/// What a user may do while the member is open. Services have the keys and channels that are theirs, so that they cannot write
/// the mark of a term.
#[must_use]
pub fn rights(access: Access) -> &'static [&'static str] {
    match access {
        Access::Application => &[
            "~upload:*",
            "~push:*",
            "~{push:*",
            "&upload:*",
            "&push:*",
            "+@all",
            "-@admin",
            "-@dangerous",
            "+info",
        ],
        Access::Monitoring => &["+ping", "+info", "+latency", "+slowlog|get", "+slowlog|len"],
    }
}

/// A password as the ACL keeps it.
fn hash(secret: &Secret) -> String {
    let digest = Sha256::digest(secret.expose().as_bytes());
    digest.iter().fold("#".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
