//! The lease of the primary, and what an agent may do with it: only what is its own already.

use async_trait::async_trait;
use windlass_election::{Holder, Lease, Ordinal, Term};

pub mod cluster;

/// What an agent wants of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// That it is this member's in this term, and was renewed now.
    Renew(Term),
    /// That it is nobody's.
    Release(Term),
    /// That it is the successor's.
    Transfer {
        /// The term in which it is this member's.
        held: Term,
        /// The one that begins.
        begins: Term,
        /// The successor.
        to: Ordinal,
    },
}

/// Nobody knows what became of a claim.
#[derive(Debug, thiserror::Error)]
#[error("the lease was not reached")]
pub struct Unreached(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where the lease is kept.
#[async_trait]
pub trait LeaseStore: Send + Sync + 'static {
    /// Reads it and changes just what was read ([`claimed`]). Whether it was the member's to change.
    ///
    /// # Errors
    /// It may have been changed, or be changed later.
    async fn claim(&self, by: Ordinal, claim: Claim) -> Result<bool, Unreached>;
}

/// What a claim makes of the lease; nothing, if it is not the member's in that term.
#[must_use]
pub fn claimed(lease: Lease, by: Ordinal, claim: Claim) -> Option<Lease> {
    let (Claim::Renew(term) | Claim::Release(term) | Claim::Transfer { held: term, .. }) = claim;
    let is_own = match lease.holder {
        Holder::Member(holder) | Holder::Granted(holder) | Holder::Handed(holder) => holder == by,
        Holder::Nobody | Holder::Decider { .. } => false,
    };
    if !is_own || lease.term != term {
        return None;
    }
    Some(match claim {
        Claim::Renew(term) => Lease {
            holder: Holder::Member(by),
            term,
        },
        Claim::Release(term) => Lease {
            holder: Holder::Nobody,
            term,
        },
        Claim::Transfer { begins, to, .. } => Lease {
            holder: Holder::Handed(to),
            term: begins,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Ordinal = Ordinal::new(1);
    const OTHER: Ordinal = Ordinal::new(2);

    #[test]
    fn what_is_anothers_or_of_another_term_is_left_alone() {
        let term = Term::new(4);
        for holder in [
            Holder::Nobody,
            Holder::Member(OTHER),
            Holder::Granted(OTHER),
            Holder::Handed(OTHER),
            Holder::Decider { ended: true },
        ] {
            assert_eq!(claimed(Lease { holder, term }, ME, Claim::Renew(term)), None);
        }
        let own = Lease {
            holder: Holder::Member(ME),
            term,
        };
        for claim in [Claim::Renew(term.next()), Claim::Release(Term::new(3))] {
            assert_eq!(claimed(own, ME, claim), None);
        }
    }

    #[test]
    fn a_grant_is_taken_up_and_handed_on() {
        let term = Term::new(4);
        let granted = Lease {
            holder: Holder::Granted(ME),
            term,
        };
        let renewed = claimed(granted, ME, Claim::Renew(term)).unwrap();
        assert_eq!(renewed.holder, Holder::Member(ME));
        let begins = term.next();
        let claim = Claim::Transfer {
            held: term,
            begins,
            to: OTHER,
        };
        let handed = claimed(renewed, ME, claim).unwrap();
        assert_eq!((handed.holder, handed.term), (Holder::Handed(OTHER), begins));
        assert_eq!(
            claimed(handed, OTHER, Claim::Renew(begins)).unwrap().holder,
            Holder::Member(OTHER)
        );
        assert_eq!(claimed(handed, ME, Claim::Release(term)), None);
    }
}
