//! What is decided and kept in the status of a Redis: it is written there, with the version that was seen, before anything is
//! done by it.

use windlass_api::Redis;
use windlass_election::{Ordinal, Phase, Roster, Standing};

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// How far the election is.
    pub standing: Standing,
    /// How many members there are.
    pub replicas: Count,
    /// How many of them the primary of this term knows of, from the first on.
    pub electors: Count,
}

/// How many members: those with the lowest ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(u16);

impl Count {
    /// So many; the schema has seen to it that they are few.
    #[must_use]
    pub fn of(members: i32) -> Self {
        Self(u16::try_from(members).unwrap_or_default())
    }

    /// One more.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Who they are.
    pub fn members(self) -> impl DoubleEndedIterator<Item = Ordinal> {
        (0..self.0).map(Ordinal::new)
    }

    /// All of them.
    #[must_use]
    pub fn roster(self) -> Roster {
        Roster::of(self.members())
    }
}

/// A standing that this operator does not understand: of a newer one, or of somebody else.
#[derive(Debug, thiserror::Error)]
#[error("status.standing is not understood")]
pub struct Unreadable(#[source] serde_json::Error);

impl Record {
    /// Of a Redis that nobody has looked at yet: all members are there from the first. Its first election is of term 1: what
    /// says that it is of term 0 has nothing in it.
    #[must_use]
    pub fn first(redis: &Redis) -> Self {
        let replicas = Count::of(redis.spec.replicas);
        let before = Standing::default();
        Self {
            standing: Standing {
                term: before.term.next(),
                ..before
            },
            replicas,
            electors: replicas,
        }
    }

    /// What a Redis's status says; `None` if nothing was decided yet.
    ///
    /// # Errors
    /// When it is not understood. Then nothing may be decided.
    pub fn read(redis: &Redis) -> Result<Option<Self>, Unreadable> {
        let Some(status) = &redis.status else { return Ok(None) };
        let Some(standing) = &status.standing else {
            return Ok(None);
        };
        Ok(Some(Self {
            standing: serde_json::from_str(standing).map_err(Unreadable)?,
            replicas: Count::of(status.replicas),
            electors: Count::of(status.electors),
        }))
    }

    /// The next one, with this standing. The primary that a term begins with was told of all members that there are.
    #[must_use]
    pub fn advance(self, standing: Standing) -> Self {
        let begins = matches!(standing.phase, Phase::Presiding { since, .. } if since == standing.term);
        Self {
            standing,
            electors: if begins { self.replicas } else { self.electors },
            ..self
        }
    }

    /// The standing as it is kept.
    ///
    /// # Panics
    /// Never: a standing is plain data.
    #[must_use]
    pub fn standing_text(&self) -> String {
        serde_json::to_string(&self.standing).expect("a standing is plain data")
    }

    /// The primary, while one presides.
    #[must_use]
    pub fn primary(&self) -> Option<Ordinal> {
        match self.standing.phase {
            Phase::Presiding { primary, .. } => Some(primary),
            Phase::Electing { .. } | Phase::Promoting { .. } | Phase::SwitchingOver { .. } => None,
        }
    }
}
