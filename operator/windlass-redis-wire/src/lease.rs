//! How a [`Lease`] is written down in Kubernetes' object of that name: the holder as text in `spec.holderIdentity`, the term
//! in `spec.leaseTransitions`. It is only ever changed with its `resourceVersion`; who renews it writes `spec.renewTime`, a
//! time that nobody compares with a clock.

use windlass_election::{Holder, Lease, Ordinal, Term};

/// What a Kubernetes lease says, and is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not written by an operator or an agent that this one knows.
    #[error("nobody knows a holder {0:?}")]
    Holder(String),
    /// A term is from 0.
    #[error("{0} is not a term")]
    Term(i32),
}

/// Reads `spec.holderIdentity` and `spec.leaseTransitions`; what is absent is nobody's, in the term before the first.
///
/// # Errors
///
/// Somebody else wrote it: whoever reads that must neither write to Redis nor elect.
pub fn read(identity: Option<&str>, transitions: Option<i32>) -> Result<Lease, Unreadable> {
    let identity = identity.unwrap_or_default();
    let unknown = || Unreadable::Holder(identity.to_owned());
    let holder = match identity.split_once('/') {
        None if identity.is_empty() => Holder::Nobody,
        None if identity == "operator" => Holder::Decider { ended: false },
        Some(("operator", "ended")) => Holder::Decider { ended: true },
        Some((kind, ordinal)) => {
            let ordinal = Ordinal::new(ordinal.parse().map_err(|_| unknown())?);
            match kind {
                "member" => Holder::Member(ordinal),
                "granted" => Holder::Granted(ordinal),
                "handed" => Holder::Handed(ordinal),
                _ => return Err(unknown()),
            }
        }
        None => return Err(unknown()),
    };
    let term = transitions.unwrap_or_default();
    let term = u64::try_from(term).map_err(|_| Unreadable::Term(term))?;
    Ok(Lease {
        holder,
        term: Term::new(term),
    })
}

/// The two fields of it. A term beyond what Kubernetes' number holds (two thousand million elections) stays at the greatest.
#[must_use]
pub fn write(lease: Lease) -> (String, i32) {
    let identity = match lease.holder {
        Holder::Nobody => String::new(),
        Holder::Member(ordinal) => format!("member/{ordinal}"),
        Holder::Granted(ordinal) => format!("granted/{ordinal}"),
        Holder::Handed(ordinal) => format!("handed/{ordinal}"),
        Holder::Decider { ended: false } => "operator".to_owned(),
        Holder::Decider { ended: true } => "operator/ended".to_owned(),
    };
    (identity, i32::try_from(lease.term.number()).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let holders = [
            Holder::Nobody,
            Holder::Member(Ordinal::new(0)),
            Holder::Granted(Ordinal::new(1)),
            Holder::Handed(Ordinal::new(65_535)),
            Holder::Decider { ended: false },
            Holder::Decider { ended: true },
        ];
        for holder in holders {
            let lease = Lease {
                holder,
                term: Term::new(12),
            };
            let (identity, transitions) = write(lease);
            assert_eq!(read(Some(&identity), Some(transitions)), Ok(lease), "{identity}");
        }
    }

    #[test]
    fn a_lease_without_a_word_is_nobodys() {
        assert_eq!(read(None, None), Ok(Lease::default()));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_believed() {
        for identity in [
            "redis-0",
            "member/",
            "member/-1",
            "member/65536",
            "ended",
            "operator/",
            "/",
            "granted",
        ] {
            assert_eq!(
                read(Some(identity), Some(1)),
                Err(Unreadable::Holder(identity.to_owned()))
            );
        }
        assert_eq!(read(Some("member/0"), Some(-1)), Err(Unreadable::Term(-1)));
    }
}
