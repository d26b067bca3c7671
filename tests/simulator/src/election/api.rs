//! A model of the Kubernetes API: two objects, each changed only by who knows its version.

use windlass_election::{Holder, Lease, Ordinal, Standing, Term};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

#[derive(Debug, Clone, Copy)]
pub(super) struct Versioned<T> {
    pub(super) object: T,
    pub(super) version: Version,
}

impl<T> Versioned<T> {
    fn new(object: T) -> Self {
        Self {
            object,
            version: Version(0),
        }
    }

    /// Whether it was written.
    fn replace(&mut self, expected: Version, object: T) -> bool {
        let fits = self.version == expected;
        if fits {
            self.object = object;
            self.version.0 += 1;
        }
        fits
    }
}

pub(super) struct Api {
    pub(super) standing: Versioned<Standing>,
    pub(super) lease: Versioned<Lease>,
}

/// What an agent asks of the API about the lease.
#[derive(Debug, Clone, Copy)]
pub(super) enum Claim {
    Renew(Term),
    Release(Term),
    Transfer { held: Term, begins: Term, to: Ordinal },
}

impl Api {
    pub(super) fn new() -> Self {
        Self {
            standing: Versioned::new(Standing::default()),
            lease: Versioned::new(Lease::default()),
        }
    }

    pub(super) fn write_standing(&mut self, expected: Version, standing: Standing) -> bool {
        self.standing.replace(expected, standing)
    }

    pub(super) fn write_lease(&mut self, expected: Version, lease: Lease) -> bool {
        self.lease.replace(expected, lease)
    }

    /// Reads and replaces, as an agent does with the version that it has read. Whether it was its to change.
    pub(super) fn claim(&mut self, by: Ordinal, claim: Claim) -> bool {
        let Versioned { object, version } = self.lease;
        let is_mine =
            |holder| matches!(holder, Holder::Member(me) | Holder::Granted(me) | Holder::Handed(me) if me == by);
        let holds = |term| is_mine(object.holder) && object.term == term;
        let next = match claim {
            Claim::Renew(term) if holds(term) => Lease {
                holder: Holder::Member(by),
                term,
            },
            Claim::Release(term) if holds(term) => Lease {
                holder: Holder::Nobody,
                term,
            },
            Claim::Transfer { held, begins, to } if holds(held) => Lease {
                holder: Holder::Handed(to),
                term: begins,
            },
            Claim::Renew(_) | Claim::Release(_) | Claim::Transfer { .. } => return false,
        };
        self.lease.replace(version, next)
    }
}
