//! Which member of a Redis may take writes, and until when: the agreement between the operator, which decides, and the
//! agents, one beside each Redis, which execute. No input or output is in here, no clock and no chance.
//!
//! Main path: the operator's [`step`] moves a [`Standing`] that is kept in the `Redis` resource and sends [`Order`]s; each
//! agent's [`Member`] keeps a [`Durable`] state on its volume, answers, and says by [`Action`]s what is to be done to its
//! Redis. [`judge`] says whether what has answered is enough to elect.
//!
//! It follows Raft's election ("In Search of an Understandable Consensus Algorithm", 2014, §5.2, §5.4) where Redis's
//! replication stands for the log and a write is acknowledged by `WAIT`; unlike there the candidate is chosen by the
//! operator, a member's acknowledged writes are lost with its process ([`Report::intact`]), and a primary that the
//! Kubernetes API cannot hear goes on by its members' promises.
//!
//! What must hold, and is checked by the simulator in a world that loses and delays messages and kills and stops members:
//! * A term has one primary.
//! * `strict`: a write that the primary and its replicas acknowledged is in the data of every later primary, unless an
//!   election said that it may not be ([`Certainty::MayLack`]); no write is acknowledged by a former primary once a later
//!   one takes writes.
//! * Within one generation no acknowledged write is missing, in `available` too: whoever may have forgotten begins a new one.
//! * Nothing empty is elected while there is anything else.

mod decider;
mod judge;
mod member;
mod tenure;
mod term;
mod word;

pub use decider::{Cause, DeciderAction, Holder, Lease, Observed, Phase, Standing, Step, WaitingOn, step};
pub use judge::{Candidacy, Certainty, Durability, Missing, Rules, Verdict, judge};
pub use member::{Action, Durable, Event, Member, Promise, Role};
pub use tenure::{Tenure, Timing};
pub use term::{Generation, Moment, Ordinal, Roster, Run, Term};
pub use word::{Order, Position, Refusal, Reply, Report, State};
