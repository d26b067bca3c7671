//! What Redis says of itself.

use redis::Value;
use windlass_election::Term;

/// What is written in the data about the primaries that wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The last one's term; 0 if there was none.
    pub term: Term,
    /// What the data is called.
    pub generation: u64,
    /// How far it counted in its term.
    pub beat: u64,
}

/// `INFO`, and the mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its process.
    pub process: u32,
    /// Its process's random id.
    pub run: String,
    /// Its version.
    pub version: String,
    /// Whether it loads its files, or what its primary sent.
    pub is_loading: bool,
    /// Whether it calls itself a primary.
    pub is_primary: bool,
    /// Whom it follows, of a replica.
    pub follows: Option<(String, u16)>,
    /// Whether it gets its primary's writes as they come.
    pub link_is_up: bool,
    /// Whether it copies all of the data.
    pub is_syncing: bool,
    /// Whether it hands over.
    pub is_handing_over: bool,
    /// How many replicas it has.
    pub replicas: usize,
    /// How far it is in its stream of writes, in bytes.
    pub offset: u64,
    /// How many changes there were, counted anew at times.
    pub changes: u64,
    /// What it takes of memory, in bytes.
    pub used_bytes: u64,
    /// The mark; nothing is known of it while it loads.
    pub mark: Option<Mark>,
}

impl Info {
    /// Reads the answers to `INFO` and to `HMGET` of the mark.
    pub(super) fn read(text: &str, mark: &Value) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim_end)
        };
        let number = |name: &str| field(name)?.parse::<u64>().ok();
        let is_loading = field("loading")? != "0";
        let host = field("master_host");
        Some(Self {
            process: field("process_id")?.parse().ok()?,
            run: field("run_id")?.to_owned(),
            version: field("redis_version")?.to_owned(),
            is_loading,
            is_primary: field("role")? == "master",
            follows: host.and_then(|host| Some((host.to_owned(), field("master_port")?.parse().ok()?))),
            link_is_up: field("master_link_status") == Some("up"),
            is_syncing: field("master_sync_in_progress") == Some("1"),
            is_handing_over: field("master_failover_state").is_some_and(|state| state != "no-failover"),
            replicas: usize::try_from(number("connected_slaves")?).ok()?,
            offset: number("master_repl_offset")?,
            changes: number("rdb_changes_since_last_save")?,
            used_bytes: number("used_memory")?,
            mark: read_mark(mark).filter(|_| !is_loading),
        })
    }
}

fn read_mark(answer: &Value) -> Option<Mark> {
    let Value::Array(fields) = answer else { return None };
    let [term, generation, beat] = fields.as_slice() else {
        return None;
    };
    let number = |field: &Value| match field {
        Value::Nil => Some(0),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    };
    Some(Mark {
        term: Term::new(number(term)?),
        generation: number(generation)?,
        beat: number(beat)?,
    })
}
