//! Orders and answers by HTTP.
//!
//! `POST` of an [`Order`](windlass_election::Order) to [`ORDERS`] is answered 200 with an [`Answer`], also where the answer
//! is a refusal. Without the right token it is 401, what is no order 400, and 503 while the agent cannot know yet. Whoever
//! asked and heard nothing does not know whether it was done; each order may be repeated.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_election::{Ordinal, Position, Reply, Report, Role, Term};

/// Where orders are sent.
pub const ORDERS: &str = "/v1/orders";
/// Where a [`Sight`] is to be had, by the same token: for people, decides nothing.
pub const SIGHT: &str = "/v1/state";
/// The longest order.
pub const BODY_MAX: usize = 16 * 1024;
/// After so long an order counts as unheard. A fence must be over by then, so that the operator may ask again.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// What an agent answers to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// To all but `Detach`, and to that if it is refused.
    Reply(Reply),
    /// To `Detach`.
    Report(Report),
}

/// How a member looks from where its agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// The member.
    pub member: Ordinal,
    /// The greatest term that it took an order of.
    pub term: Term,
    /// What it is in that term.
    pub role: Role,
    /// Whether clients may write to it.
    pub is_open: bool,
    /// Whether its data is in step with its primary's.
    pub is_in_step: bool,
    /// Whether it has promised its primary not to leave it now.
    pub is_promised: bool,
    /// How far its data goes; absent while its Redis does not answer.
    pub position: Option<Position>,
    /// Its connection to its primary, of a replica.
    pub link: Option<Link>,
    /// The random id of its Redis' process (`run_id`), by which a primary that hands over names its heir.
    #[serde(default)]
    pub run: Option<String>,
    /// The version of its Redis.
    pub version: Option<String>,
    /// What its data takes, in bytes of memory.
    pub used_bytes: Option<u64>,
    /// Why it does not do what it was told, in a sentence.
    pub trouble: Option<String>,
}

/// A replica's connection to its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Link {
    /// There is none.
    Down,
    /// All of the data is being copied.
    Loading,
    /// It gets writes as they come.
    Up,
}
