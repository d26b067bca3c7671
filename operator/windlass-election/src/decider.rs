//! The operator's part: one pass over one Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::{Candidacy, Durability, Missing, Rules, Verdict, judge};
use crate::member::Role;
use crate::tenure::Timing;
use crate::term::{Generation, Ordinal, Roster, Term};
use crate::word::{Order, Report, State};

/// What is kept in the resource's status: written, with its `resourceVersion`, before anything is done by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The greatest term there has been.
    pub term: Term,
    /// How far things are.
    pub phase: Phase,
}

/// How far things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Phase {
    /// A member is the primary. Left when its lease stands still or is given up, when a member has seen a later term, or for
    /// a switchover.
    Presiding {
        /// Who.
        primary: Ordinal,
        /// The term that it was made primary in.
        since: Term,
    },
    /// Members leave the former primary and report. Left for `Promoting` when the reports suffice; for `Presiding` when the
    /// former primary renewed before its lease was taken.
    Electing {
        /// The primary before, if there was one.
        former: Option<Ordinal>,
        /// Why.
        cause: Cause,
    },
    /// The candidate is made the primary. Left when it has renewed its lease, or for the next election after
    /// [`Timing::deadline`].
    Promoting {
        /// The primary before.
        former: Option<Ordinal>,
        /// Who is to be it, and with what.
        candidacy: Candidacy,
    },
    /// A planned handover. Left when the successor has renewed its lease; for `Presiding` as before when nothing came of
    /// it; for an election when the primary is lost in it.
    SwitchingOver {
        /// The primary.
        from: Ordinal,
        /// The term of its lease.
        since: Term,
        /// Who succeeds.
        to: Ordinal,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Electing {
            former: None,
            cause: Cause::First,
        }
    }
}

/// Why there is an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Cause {
    /// There was no primary yet.
    First,
    /// The primary's lease stood still for its whole length.
    Stale,
    /// The primary gave its lease up: its Redis died.
    Released,
    /// A member has an order of a later term, or the lease is of another.
    Ahead,
    /// The candidate did not come, or is another process than the one that reported.
    Silent,
    /// A handover ended with nobody.
    HandoverFailed,
}

/// Who has the lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Holder {
    /// Nobody: given up, by a primary that takes no writes any more, or never had.
    #[default]
    Nobody,
    /// A primary, that has renewed it itself.
    Member(Ordinal),
    /// A candidate that has not renewed it yet, so that it cannot take writes.
    Granted(Ordinal),
    /// A successor, by the primary before it, that may take writes until its own right ends.
    Handed(Ordinal),
    /// The operator, for an election.
    Decider {
        /// Whether the primary's right had ended for certain when it was taken.
        ended: bool,
    },
}

/// The lease, a Kubernetes object of its own that is only ever changed with its `resourceVersion`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Who has it.
    pub holder: Holder,
    /// In which term.
    pub term: Term,
}

/// What the operator sees in a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// All members there are.
    pub roster: Roster,
    /// When a write counts.
    pub durability: Durability,
    /// The term whose election may lose data (`spec.allowDataLoss`).
    pub may_lose: Option<Term>,
    /// The member that is to be the primary, if somebody wants one.
    pub wanted: Option<Ordinal>,
    /// The lease.
    pub lease: Lease,
    /// For how long this process has seen it unchanged, without having lost sight of it.
    pub unchanged_for: Duration,
    /// For how long this process has seen the standing as it is.
    pub standing_for: Duration,
    /// What members say now.
    pub states: BTreeMap<Ordinal, State>,
    /// What members have reported in the standing's term.
    pub reports: BTreeMap<Ordinal, Report>,
}

/// What the operator does. Each may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeciderAction {
    /// Send an order.
    Send(Ordinal, Order),
    /// Write the lease, if it is as it was observed.
    Write(Lease),
}

/// What it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingOn {
    /// Nothing: there is a primary.
    Nothing,
    /// A promise to the primary holds, whose lease stands still: it takes writes by it.
    Promise,
    /// The lease, which was written just now.
    Lease,
    /// The end of the former primary's right.
    Fence,
    /// Members' reports.
    Reports(Missing),
    /// The candidate.
    Candidate,
    /// A handover.
    Handover,
}

/// What comes of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The standing stays; this is to be done by it.
    Stay(WaitingOn, Vec<DeciderAction>),
    /// The standing is to be written first. Nothing is done before.
    Advance(Standing),
}

/// One pass. The same standing and the same observation give the same step.
#[must_use]
pub fn step(standing: &Standing, observed: &Observed, timing: &Timing) -> Step {
    match standing.phase {
        Phase::Presiding { primary, since } => preside(standing, observed, timing, primary, since),
        Phase::Electing { former, cause } => elect(standing, observed, timing, former, cause),
        Phase::Promoting { former, candidacy } => promote(standing, observed, timing, former, candidacy),
        Phase::SwitchingOver { from, since, to } => switch_over(standing, observed, timing, (from, since, to)),
    }
}

fn preside(standing: &Standing, observed: &Observed, timing: &Timing, primary: Ordinal, since: Term) -> Step {
    let lease = observed.lease;
    let begin = |cause| begin_election(standing, observed, Some(primary), cause);
    match (lease.holder, lease.term == since) {
        (Holder::Member(holder), true) if holder == primary => {
            if observed.unchanged_for >= timing.lease {
                return if observed.states.values().any(|state| state.is_promised) {
                    Step::Stay(WaitingOn::Promise, Vec::new())
                } else {
                    begin(Cause::Stale)
                };
            }
        }
        (Holder::Nobody, true) => return begin(Cause::Released),
        (Holder::Nobody | Holder::Member(_) | Holder::Granted(_) | Holder::Handed(_) | Holder::Decider { .. }, _) => {
            return begin(Cause::Ahead);
        }
    }
    if newest(observed) > since {
        return begin(Cause::Ahead);
    }
    if let Some(to) = observed
        .wanted
        .filter(|to| *to != primary && is_replica(observed, *to, since, primary))
    {
        return Step::Advance(Standing {
            term: standing.term.next(),
            phase: Phase::SwitchingOver {
                from: primary,
                since,
                to,
            },
        });
    }
    let astray = observed.roster.but(primary).filter(|member| {
        let state = observed.states.get(member);
        state.is_some_and(|state| state.term < since || state.role != (Role::Following { primary }))
    });
    let follow = |member| DeciderAction::Send(member, Order::Follow { term: since, primary });
    Step::Stay(WaitingOn::Nothing, astray.map(follow).collect())
}

fn elect(standing: &Standing, observed: &Observed, timing: &Timing, former: Option<Ordinal>, cause: Cause) -> Step {
    let (term, lease) = (standing.term, observed.lease);
    if newest(observed) > term || lease.term > term {
        return begin_election(standing, observed, former, Cause::Ahead);
    }
    let stands_still = observed.unchanged_for >= timing.lease;
    let take = |ended| {
        let holder = Holder::Decider { ended };
        Step::Stay(WaitingOn::Lease, vec![DeciderAction::Write(Lease { holder, term })])
    };
    let ended = match lease.holder {
        Holder::Member(holder) if cause == Cause::Stale && !stands_still && Some(holder) == former => {
            let phase = Phase::Presiding {
                primary: holder,
                since: lease.term,
            };
            return Step::Advance(Standing { term, phase });
        }
        Holder::Member(_) | Holder::Handed(_) => return take(stands_still),
        Holder::Nobody | Holder::Granted(_) => return take(true),
        Holder::Decider { ended } if lease.term < term => return take(ended || stands_still),
        Holder::Decider { ended } => ended,
    };
    let rules = Rules {
        roster: observed.roster.clone(),
        durability: observed.durability,
        may_lose: observed.may_lose == Some(term),
        was_patient: observed.standing_for >= timing.patience,
    };
    let left_itself = former.is_some_and(|former| observed.reports.contains_key(&former));
    let waiting = match judge(&rules, &observed.reports) {
        Verdict::Elect(candidacy) if ended || stands_still || left_itself => {
            let phase = Phase::Promoting { former, candidacy };
            return Step::Advance(Standing { term, phase });
        }
        Verdict::Elect(_) => WaitingOn::Fence,
        Verdict::Wait(missing) => WaitingOn::Reports(missing),
    };
    let silent = observed
        .roster
        .iter()
        .filter(|member| !observed.reports.contains_key(member));
    let detach = |member| DeciderAction::Send(member, Order::Detach { term });
    Step::Stay(waiting, silent.map(detach).collect())
}

fn promote(
    standing: &Standing,
    observed: &Observed,
    timing: &Timing,
    former: Option<Ordinal>,
    candidacy: Candidacy,
) -> Step {
    let candidate = candidacy.member;
    let (term, lease) = (standing.term, observed.lease);
    let again = |cause| begin_election(standing, observed, former, cause);
    if newest(observed) > term {
        return again(Cause::Ahead);
    }
    match lease.holder {
        Holder::Member(holder) if holder == candidate && lease.term == term => Step::Advance(Standing {
            term,
            phase: Phase::Presiding {
                primary: candidate,
                since: term,
            },
        }),
        _ if observed.standing_for >= timing.deadline => again(Cause::Silent),
        Holder::Decider { .. } if lease.term == term => {
            let holder = Holder::Granted(candidate);
            Step::Stay(WaitingOn::Lease, vec![DeciderAction::Write(Lease { holder, term })])
        }
        Holder::Granted(holder) if holder == candidate && lease.term == term => {
            let state = observed.states.get(&candidate);
            let is_another = |state: &State| state.role == Role::Detached && state.term == term && !state.is_in_step;
            if candidacy.intact && state.is_some_and(is_another) {
                return again(Cause::Silent);
            }
            let order = Order::Promote {
                term,
                intact: candidacy.intact,
                roster: observed.roster.clone(),
                generation: Generation::begun_in(term),
            };
            Step::Stay(WaitingOn::Candidate, vec![DeciderAction::Send(candidate, order)])
        }
        Holder::Nobody if lease.term == term => again(Cause::Released),
        Holder::Nobody | Holder::Member(_) | Holder::Granted(_) | Holder::Handed(_) | Holder::Decider { .. } => {
            again(Cause::Ahead)
        }
    }
}

fn switch_over(
    standing: &Standing,
    observed: &Observed,
    timing: &Timing,
    (from, since, to): (Ordinal, Term, Ordinal),
) -> Step {
    let (term, lease) = (standing.term, observed.lease);
    let begin = |cause| begin_election(standing, observed, Some(from), cause);
    let stands_still = observed.unchanged_for >= timing.lease;
    match (lease.holder, lease.term) {
        (Holder::Member(holder), held) if holder == to && held == term => Step::Advance(Standing {
            term,
            phase: Phase::Presiding {
                primary: to,
                since: term,
            },
        }),
        (Holder::Handed(holder), held) if holder == to && held == term => match stands_still {
            true => begin(Cause::HandoverFailed),
            false => Step::Stay(WaitingOn::Handover, Vec::new()),
        },
        (Holder::Member(holder), held) if holder == from && held == since && !stands_still => {
            let takes_part = |member: Ordinal| observed.states.get(&member).is_some_and(|state| state.term >= term);
            if observed.standing_for >= timing.deadline {
                return match takes_part(to) || takes_part(from) {
                    true => begin(Cause::HandoverFailed),
                    false => Step::Advance(Standing {
                        term,
                        phase: Phase::Presiding { primary: from, since },
                    }),
                };
            }
            let ready = observed
                .states
                .get(&to)
                .is_some_and(|state| state.term == term && state.role == Role::Succeeding { from });
            let action = match ready {
                true => DeciderAction::Send(from, Order::HandOver { term, to }),
                false => {
                    let roster = observed.roster.clone();
                    DeciderAction::Send(to, Order::Succeed { term, from, roster })
                }
            };
            Step::Stay(WaitingOn::Handover, vec![action])
        }
        (Holder::Nobody, _) => begin(Cause::Released),
        (Holder::Member(_) | Holder::Granted(_) | Holder::Handed(_) | Holder::Decider { .. }, _) => {
            begin(Cause::HandoverFailed)
        }
    }
}

fn begin_election(standing: &Standing, observed: &Observed, former: Option<Ordinal>, cause: Cause) -> Step {
    let greatest = standing.term.max(newest(observed)).max(observed.lease.term);
    Step::Advance(Standing {
        term: greatest.next(),
        phase: Phase::Electing { former, cause },
    })
}

/// The greatest term that a member knows of.
fn newest(observed: &Observed) -> Term {
    observed
        .states
        .values()
        .map(|state| state.term)
        .max()
        .unwrap_or_default()
}

fn is_replica(observed: &Observed, member: Ordinal, since: Term, primary: Ordinal) -> bool {
    observed
        .states
        .get(&member)
        .is_some_and(|state| state.term == since && state.role == Role::Following { primary } && state.is_in_step)
}
