//! Following a primary: whom, once that is known to be worth it, and whether all of it has come.

use windlass_election::{Event, Ordinal, Role};
use windlass_redis_wire::{Link, Sight};

use super::{Agent, Error, Message};

/// What Redis is to be.
#[derive(Debug, Default)]
pub(super) enum Aim {
    /// As it starts, or as it was fenced.
    #[default]
    Alone,
    /// A primary.
    Primary,
    /// A replica.
    Follow {
        /// Whose.
        primary: Ordinal,
        /// Whether Redis was told.
        is_told: bool,
        /// What the primary had when they met: how far it was, asked once the link was up.
        met: Option<u64>,
        /// Why it was not told.
        trouble: Option<&'static str>,
    },
}

impl Aim {
    pub(super) fn follow(primary: Ordinal) -> Self {
        Self::Follow {
            primary,
            is_told: false,
            met: None,
            trouble: None,
        }
    }

    /// Of one that follows by a handover.
    pub(super) fn told(primary: Ordinal) -> Self {
        Self::Follow {
            primary,
            is_told: true,
            met: None,
            trouble: None,
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Follow { primary, trouble, .. } => trouble.map(|trouble| format!("member {primary} {trouble}")),
            Self::Alone | Self::Primary => None,
        }
    }
}

impl Agent {
    /// A replica was looked at: it is told whom to follow, and the member when it has everything.
    pub(super) async fn follow_up(&mut self) -> Result<(), Error> {
        let Role::Following { primary } = self.member.durable().role else {
            return Ok(());
        };
        let host = self.settings.members.get(&primary);
        let at = host.map(|member| (member.host.clone(), member.redis_port));
        let Some(info) = &self.info else { return Ok(()) };
        let (is_linked, offset, follows) = (info.link() == Some(Link::Up), info.offset, info.follows.clone());
        match &self.aim {
            Aim::Follow {
                primary: aimed,
                is_told: true,
                met,
                ..
            } if *aimed == primary && follows == at => {
                if !is_linked || self.member.is_in_step() {
                    return Ok(());
                }
                if met.is_some_and(|met| offset >= met) {
                    return self.tell(Event::InStep { with: primary }, None).await;
                }
                self.scout(primary, true);
            }
            Aim::Follow {
                primary: aimed,
                is_told: false,
                ..
            } if *aimed == primary => self.scout(primary, false),
            // It should follow and does not: it was fenced for having called itself a primary, or its process is new.
            Aim::Alone | Aim::Primary | Aim::Follow { .. } => {
                self.aim = Aim::follow(primary);
                self.scout(primary, false);
            }
        }
        Ok(())
    }

    /// Asks the primary how far it is.
    fn scout(&mut self, primary: Ordinal, was_linked: bool) {
        if !self.beside.scouts() {
            return;
        }
        let (peers, post) = (self.peers.clone(), self.post.clone());
        tokio::spawn(async move {
            let sight = peers.sight(primary).await.ok();
            let message = Message::Scouted {
                primary,
                was_linked,
                sight,
            };
            let _ = post.send(message).await;
        });
    }

    /// The primary has said how it is. Its data is followed once it has the mark of the term: then it was promoted in it, and
    /// is not empty, so that what is here is not lost to nothing.
    pub(super) async fn scouted(&mut self, primary: Ordinal, was_linked: bool, sight: Option<Sight>) {
        self.beside.scouted();
        let term = self.member.durable().term;
        let at = self.settings.members.get(&primary).cloned();
        let redis = self.redis.clone();
        let Aim::Follow {
            primary: aimed,
            is_told,
            met,
            trouble,
        } = &mut self.aim
        else {
            return;
        };
        if *aimed != primary {
            return;
        }
        let Some(sight) = sight else {
            *trouble = Some("does not say how it is");
            return;
        };
        if *is_told {
            if was_linked && sight.is_open && sight.role == Role::Primary && sight.term == term {
                *met = sight.position.map(|position| position.offset);
            }
            return;
        }
        let presides = matches!(sight.role, Role::Primary | Role::Yielding { .. });
        if !presides || sight.position.is_none_or(|position| position.term < term) {
            *trouble = Some("is not the primary yet, or has no data of this term: its data is not taken");
            return;
        }
        let (Some(at), Some(redis)) = (at, redis) else { return };
        match redis.follow(&at.host, at.redis_port).await {
            Ok(()) => (*is_told, *trouble) = (true, None),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "redis does not follow");
                self.redis = None;
            }
        }
    }
}
