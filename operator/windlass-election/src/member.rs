//! One agent's part: what it may do to the Redis beside it.
//!
//! It is told [`Event`]s and answers with [`Action`]s, to be done in their order; the process may die between any two.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tenure::{Tenure, Timing};
use crate::term::{Generation, Moment, Ordinal, Roster, Run, Term};
use crate::word::{Order, Refusal, Reply, State};

/// What a member keeps on its volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Durable {
    /// The greatest term that it took an order of. It takes none of an earlier one.
    pub term: Term,
    /// What it is in that term.
    pub role: Role,
    /// What it has promised last.
    pub promise: Option<Promise>,
    /// The process of its Redis that was last in step with a primary, or was one.
    pub in_step: Option<Run>,
}

/// What a member is in its term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Role {
    /// Nobody's: its Redis neither takes writes, nor follows, nor feeds. Left by `Promote` of the same term or `Follow`.
    #[default]
    Detached,
    /// A replica. Left by any order of a later term, unless promised.
    Following {
        /// Of whom.
        primary: Ordinal,
    },
    /// A replica that becomes the primary as soon as its Redis does. Left by that, or by an order of a later term.
    Succeeding {
        /// Whom it succeeds.
        from: Ordinal,
    },
    /// The primary, who takes writes while its [`Tenure`] holds.
    Primary,
    /// A primary that hands over. Left when its Redis follows the other.
    Yielding {
        /// To whom.
        to: Ordinal,
    },
    /// It was the primary of this term, or was about to be, and is so no more. Left by an order of a later term, or to follow
    /// whom it handed over to.
    Deposed,
}

/// Neither to be promoted nor to follow another in a term above this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// The term of the primary that has it.
    pub term: Term,
    /// For how long from when it was given; after a restart from then, since nobody knows when it was given.
    pub lasts: Duration,
}

/// What happens to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An order came.
    Order(Order),
    /// The lease was renewed, by a request made at `asked`.
    Renewed {
        /// The term that it was renewed for.
        term: Term,
        /// When it was asked for.
        asked: Moment,
    },
    /// The lease is another's, or of another term.
    Lost {
        /// The term that it was to be renewed for.
        term: Term,
    },
    /// A member has given the promise that was asked for at `asked`.
    Promised {
        /// To the primary of this term.
        term: Term,
        /// Who.
        by: Ordinal,
        /// When it was asked.
        asked: Moment,
    },
    /// The lease is now the successor's, or could not be given to it.
    Transferred {
        /// The term that begins.
        term: Term,
        /// Whether it is.
        done: bool,
    },
    /// The handover ended: this Redis follows the other, or does not.
    HandedOver {
        /// The term that began.
        term: Term,
        /// Whether it does.
        done: bool,
    },
    /// A Redis process has started beside the agent. It takes no writes, follows nobody and feeds nobody.
    Started {
        /// Which.
        run: Run,
    },
    /// The Redis has all that its primary had when they met.
    InStep {
        /// That primary.
        with: Ordinal,
    },
    /// The Redis says that it is a primary.
    IsPrimary,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write this to the volume and have it there (fsync of file and folder) before anything else.
    Persist(Durable),
    /// Stop writes, cut the clients, neither follow nor feed anybody. Never waits for a client.
    Fence,
    /// Answer a `Detach` with what is there now.
    Report(Term),
    /// Follow this member, unless its data is empty and ours is not.
    Follow(Ordinal),
    /// Become a primary that takes no writes yet; first write the term and the generation into the data.
    Promote(Term, Generation),
    /// Take writes.
    Open,
    /// Write the term of a primary that took over, into data whose generation stays.
    Mark(Term),
    /// Renew the lease for this term, if it is still ours.
    Renew(Term),
    /// Say that nobody has the lease any more, if it is ours in this term.
    Release(Term),
    /// Give the lease to the successor, in the term that begins, if it is ours in the first.
    Transfer {
        /// The term in which it is ours.
        held: Term,
        /// The one that begins.
        begins: Term,
        /// The successor.
        to: Ordinal,
    },
    /// `FAILOVER TO` the successor, which waits until it has everything.
    HandOver(Term, Ordinal),
    /// Ask a member for a promise.
    Ask(Ordinal, Order),
    /// Answer the order.
    Reply(Reply),
}

/// An agent. It lives as long as its process; what outlives it is [`Durable`].
#[derive(Debug, Clone)]
pub struct Member {
    me: Ordinal,
    timing: Timing,
    durable: Durable,
    /// The Redis process that runs, once one does.
    run: Option<Run>,
    /// Until when the promise holds, on this process's clock.
    promised_until: Moment,
    /// A primary's right; it has one as long as the process in which it was promoted.
    tenure: Option<Tenure>,
    /// The tenure's term while it hands over, which is not yet in `durable`'s role.
    held: Term,
    is_open: bool,
    /// Whether the running Redis has been told to follow.
    follows: bool,
    /// Who else there is, for a successor.
    roster: Roster,
    /// Since when a successor's Redis is a primary and no lease has confirmed it.
    unconfirmed: Option<Moment>,
    renewed: Option<Moment>,
}

impl Member {
    /// An agent that starts, with what is on its volume. A promise counts from now anew.
    #[must_use]
    pub fn start(me: Ordinal, timing: Timing, durable: Durable, now: Moment) -> Self {
        let promised_until = durable.promise.map_or(now, |promise| now + promise.lasts);
        Self {
            me,
            timing,
            held: durable.term,
            durable,
            run: None,
            promised_until,
            tenure: None,
            is_open: false,
            follows: false,
            roster: Roster::default(),
            unconfirmed: None,
            renewed: None,
        }
    }

    /// What is, or is about to be, on its volume.
    #[must_use]
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Whether its Redis takes writes by its will.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Until when its Redis takes writes by its will, as things stand; nothing while it takes none.
    #[must_use]
    pub fn open_until(&self) -> Option<Moment> {
        self.tenure.as_ref().filter(|_| self.is_open)?.until()
    }

    /// Whether a promise of it holds, so that it would not detach.
    #[must_use]
    pub fn is_promised(&self, now: Moment) -> bool {
        self.promised_until > now
    }

    /// Whether the Redis process that runs is the one that was in step, or was the primary.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.run.is_some() && self.durable.in_step == self.run
    }

    /// Takes an event. The actions are to be done in order.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        match event {
            Event::Order(order) => self.order(order, now),
            Event::Renewed { term, asked } => self.renewed(term, asked, now),
            Event::Lost { term } => self.lost(term),
            Event::Promised { term, by, asked } => {
                if let (true, Some(tenure)) = (term == self.held, self.tenure.as_mut()) {
                    tenure.promised(by, asked, &self.timing);
                }
                Vec::new()
            }
            Event::Transferred { term, done } => self.transferred(term, done),
            Event::HandedOver { term, done } => self.handed_over(term, done),
            Event::Started { run } => self.started(run),
            Event::InStep { with } => {
                if self.durable.role != (Role::Following { primary: with }) || self.is_in_step() {
                    return Vec::new();
                }
                self.durable.in_step = self.run.clone();
                vec![self.persist()]
            }
            Event::IsPrimary => self.is_primary(now),
            Event::Tick => self.tick(now),
        }
    }

    fn order(&mut self, order: Order, now: Moment) -> Vec<Action> {
        match order {
            Order::Probe => vec![Action::Reply(Reply::State(State {
                term: self.durable.term,
                role: self.durable.role,
                is_promised: self.is_promised(now),
                is_in_step: self.is_in_step(),
            }))],
            Order::Detach { term } => self.detach(term, now),
            Order::Promote {
                term,
                intact,
                roster,
                generation,
            } => self.promote(term, intact, &roster, generation),
            Order::Follow { term, primary } => self.follow(term, primary, now),
            Order::Promise { term, lasts } => self.promise(term, lasts, now),
            Order::Succeed { term, from, roster } => self.succeed(term, from, roster, now),
            Order::HandOver { term, to } => self.hand_over(term, to, now),
        }
    }

    fn detach(&mut self, term: Term, now: Moment) -> Vec<Action> {
        if term == self.durable.term && self.durable.role == Role::Detached {
            return vec![Action::Report(term)];
        }
        if let Some(refusal) = self.refuses(term, now) {
            return refused(refusal);
        }
        self.enter(term, Role::Detached);
        vec![self.persist(), Action::Fence, Action::Report(term)]
    }

    fn promote(&mut self, term: Term, intact: bool, roster: &Roster, generation: Generation) -> Vec<Action> {
        match (term == self.durable.term, self.durable.role) {
            (true, Role::Primary) => vec![Action::Reply(Reply::Accepted)],
            // A process that was started since has less than what it was chosen for.
            (true, Role::Detached) if self.run.is_some() && (self.is_in_step() || !intact) => {
                self.enter(term, Role::Primary);
                // What may lack something is the data to be in step with once it takes writes, not before.
                self.durable.in_step = self.run.clone().filter(|_| intact);
                self.tenure = Some(Tenure::begin(roster.but(self.me)));
                vec![
                    self.persist(),
                    Action::Promote(term, generation),
                    Action::Reply(Reply::Accepted),
                    Action::Renew(term),
                ]
            }
            (true, role) => refused(Refusal::Unfit { role }),
            (false, _) => refused(Refusal::Stale {
                seen: self.durable.term,
            }),
        }
    }

    fn follow(&mut self, term: Term, primary: Ordinal, now: Moment) -> Vec<Action> {
        let role = Role::Following { primary };
        if term == self.durable.term {
            match self.durable.role {
                Role::Following { primary: present } if present == primary => {}
                // One that died in handing over: the term's primary is the successor.
                Role::Deposed if primary == self.me => return refused(Refusal::Unfit { role: Role::Deposed }),
                Role::Detached | Role::Deposed => {
                    self.enter(term, role);
                    self.durable.in_step = None;
                }
                unfit @ (Role::Following { .. } | Role::Succeeding { .. } | Role::Primary | Role::Yielding { .. }) => {
                    return refused(Refusal::Unfit { role: unfit });
                }
            }
        } else {
            if let Some(refusal) = self.refuses(term, now) {
                return refused(refusal);
            }
            self.enter(term, role);
            self.durable.in_step = None;
        }
        let mut actions = vec![self.persist()];
        actions.extend(self.follow_once(primary));
        actions.push(Action::Reply(Reply::Accepted));
        actions
    }

    fn promise(&mut self, term: Term, lasts: Duration, now: Moment) -> Vec<Action> {
        match (term == self.durable.term, self.durable.role) {
            (true, Role::Following { .. } | Role::Detached) => {
                self.durable.promise = Some(Promise { term, lasts });
                self.promised_until = self.promised_until.max(now + lasts);
                vec![self.persist(), Action::Reply(Reply::Promised { term })]
            }
            (true, role) => refused(Refusal::Unfit { role }),
            (false, _) => refused(Refusal::Stale {
                seen: self.durable.term,
            }),
        }
    }

    fn succeed(&mut self, term: Term, from: Ordinal, roster: Roster, now: Moment) -> Vec<Action> {
        let role = Role::Succeeding { from };
        if term == self.durable.term && self.durable.role == role {
            return vec![Action::Reply(Reply::Accepted)];
        }
        if let Some(refusal) = self.refuses(term, now) {
            return refused(refusal);
        }
        if self.durable.role != (Role::Following { primary: from }) || !self.is_in_step() {
            return refused(Refusal::Unfit {
                role: self.durable.role,
            });
        }
        let follows = self.follows;
        self.enter(term, role);
        // It goes on following, until it is told by its Redis that it does not.
        self.follows = follows;
        self.roster = roster;
        vec![self.persist(), Action::Reply(Reply::Accepted)]
    }

    fn hand_over(&mut self, term: Term, to: Ordinal, now: Moment) -> Vec<Action> {
        let role = Role::Yielding { to };
        if term == self.durable.term && self.durable.role == role {
            return vec![Action::Reply(Reply::Accepted)];
        }
        if let Some(refusal) = self.refuses(term, now) {
            return refused(refusal);
        }
        if self.durable.role != Role::Primary || !self.is_open {
            return refused(Refusal::Unfit {
                role: self.durable.role,
            });
        }
        // The right to take writes stays that of the term in which it was given, until it ends.
        (self.durable.term, self.durable.role) = (term, role);
        vec![
            self.persist(),
            Action::Reply(Reply::Accepted),
            Action::Transfer {
                held: self.held,
                begins: term,
                to,
            },
        ]
    }

    fn transferred(&mut self, term: Term, done: bool) -> Vec<Action> {
        match self.durable.role {
            Role::Yielding { to } if term == self.durable.term && done && self.is_open => {
                vec![Action::HandOver(term, to)]
            }
            Role::Yielding { .. } if term == self.durable.term => self.depose(),
            Role::Yielding { .. }
            | Role::Detached
            | Role::Following { .. }
            | Role::Succeeding { .. }
            | Role::Primary
            | Role::Deposed => Vec::new(),
        }
    }

    fn handed_over(&mut self, term: Term, done: bool) -> Vec<Action> {
        match self.durable.role {
            Role::Yielding { to } if term == self.durable.term && done => {
                self.enter(term, Role::Following { primary: to });
                self.follows = true;
                vec![self.persist()]
            }
            Role::Yielding { .. } if term == self.durable.term => self.depose(),
            Role::Yielding { .. }
            | Role::Detached
            | Role::Following { .. }
            | Role::Succeeding { .. }
            | Role::Primary
            | Role::Deposed => Vec::new(),
        }
    }

    fn started(&mut self, run: Run) -> Vec<Action> {
        self.run = Some(run);
        self.follows = false;
        match self.durable.role {
            // What it had acknowledged may be lost with the process: another may have it.
            Role::Primary | Role::Yielding { .. } | Role::Succeeding { .. } => {
                let held = self.held;
                let mut actions = self.depose();
                actions.push(Action::Release(held));
                actions
            }
            Role::Following { primary } => self.follow_once(primary),
            Role::Detached | Role::Deposed => Vec::new(),
        }
    }

    fn is_primary(&mut self, now: Moment) -> Vec<Action> {
        match self.durable.role {
            Role::Primary | Role::Yielding { .. } => Vec::new(),
            Role::Succeeding { .. } => {
                self.follows = false;
                self.unconfirmed.get_or_insert(now);
                vec![Action::Renew(self.durable.term)]
            }
            Role::Detached | Role::Following { .. } | Role::Deposed => {
                self.follows = false;
                vec![Action::Fence]
            }
        }
    }

    fn renewed(&mut self, term: Term, asked: Moment, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if matches!(self.durable.role, Role::Succeeding { .. }) && term == self.durable.term {
            if self.unconfirmed.is_none() {
                return actions;
            }
            let roster = std::mem::take(&mut self.roster);
            self.enter(term, Role::Primary);
            self.durable.in_step = self.run.clone();
            self.tenure = Some(Tenure::begin(roster.but(self.me)));
            // Its Redis takes writes since the handover.
            self.is_open = true;
            actions.extend([self.persist(), Action::Mark(term)]);
        }
        if term != self.held {
            return actions;
        }
        let Some(tenure) = self.tenure.as_mut() else {
            return actions;
        };
        tenure.renew(asked, &self.timing);
        let holds = tenure.holds(now);
        self.renewed = Some(asked);
        if !self.is_open && self.durable.role == Role::Primary && holds {
            self.is_open = true;
            if !self.is_in_step() {
                self.durable.in_step.clone_from(&self.run);
                actions.push(self.persist());
            }
            actions.push(Action::Open);
        }
        actions
    }

    fn lost(&mut self, term: Term) -> Vec<Action> {
        match self.durable.role {
            Role::Primary | Role::Succeeding { .. } if term == self.durable.term => self.depose(),
            // While it hands over, its own lease is gone by its own deed.
            Role::Primary
            | Role::Succeeding { .. }
            | Role::Yielding { .. }
            | Role::Detached
            | Role::Following { .. }
            | Role::Deposed => Vec::new(),
        }
    }

    fn tick(&mut self, now: Moment) -> Vec<Action> {
        if self
            .unconfirmed
            .is_some_and(|since| now.since(since) >= self.timing.deadline)
        {
            return self.depose();
        }
        let Some(tenure) = self.tenure.as_mut() else {
            return match (self.unconfirmed, self.durable.role) {
                (Some(_), Role::Succeeding { .. }) => vec![Action::Renew(self.durable.term)],
                _ => Vec::new(),
            };
        };
        let mut actions = Vec::new();
        if self.is_open && !tenure.holds(now) {
            self.is_open = false;
            actions.push(Action::Fence);
        }
        if self.durable.role != Role::Primary {
            return actions;
        }
        if self.is_open {
            let order = Order::Promise {
                term: self.held,
                lasts: self.timing.promise,
            };
            let asked = tenure.asks(now, &self.timing);
            actions.extend(asked.into_iter().map(|member| Action::Ask(member, order.clone())));
        }
        if self.renewed.is_none_or(|at| now.since(at) >= self.timing.renewal) {
            actions.push(Action::Renew(self.held));
        }
        actions
    }

    /// Why an order of this term is not taken, if it is to be taken only once a term.
    fn refuses(&self, term: Term, now: Moment) -> Option<Refusal> {
        if term <= self.durable.term {
            return Some(Refusal::Stale {
                seen: self.durable.term,
            });
        }
        let binding = self.durable.promise.is_some_and(|promise| promise.term < term);
        (binding && self.promised_until > now).then(|| Refusal::Promised {
            remaining: self.promised_until.since(now),
        })
    }

    /// Leaves all that belonged to what it was.
    fn enter(&mut self, term: Term, role: Role) {
        self.durable.term = term;
        self.durable.role = role;
        self.held = term;
        self.tenure = None;
        self.is_open = false;
        self.follows = false;
        self.unconfirmed = None;
        self.renewed = None;
    }

    fn depose(&mut self) -> Vec<Action> {
        self.enter(self.durable.term, Role::Deposed);
        vec![self.persist(), Action::Fence]
    }

    fn follow_once(&mut self, primary: Ordinal) -> Vec<Action> {
        if self.follows || self.run.is_none() {
            return Vec::new();
        }
        self.follows = true;
        vec![Action::Follow(primary)]
    }

    fn persist(&self) -> Action {
        Action::Persist(self.durable.clone())
    }
}

fn refused(refusal: Refusal) -> Vec<Action> {
    vec![Action::Reply(Reply::Refused(refusal))]
}

#[cfg(test)]
mod tests;
