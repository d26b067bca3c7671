//! Three places, an API and an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use windlass_election::{Durability, Ordinal, Role, Timing};
use windlass_redis_agent::agent::Pace;
use windlass_redis_agent::peers::Peers;
use windlass_redis_agent::settings::{Certificates, Secret, Settings, User};
use windlass_redis_wire::{Access, Member, Sight};

use crate::api::Api;
use crate::clients::{Writer, connect, key};
use crate::operator::Operator;
use crate::place::{Place, unused_port};
use crate::wait::eventually;

pub(crate) const USER: &str = "windlass";
pub(crate) const PASSWORD: &str = "tested";

/// Where a Redis listens.
#[derive(Debug, Clone)]
pub(crate) struct Address(u16);

impl Address {
    pub(crate) fn port(&self) -> u16 {
        self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "127.0.0.1:{}", self.0)
    }
}

pub(crate) struct World {
    pub(crate) places: BTreeMap<Ordinal, Place>,
    pub(crate) api: Arc<Api>,
    pub(crate) operator: Operator,
    pub(crate) peers: Peers,
    _folder: TempDir,
}

/// For what need not wait for a lease's end: nobody's right ends because a machine is slow.
pub(crate) fn calm() -> Timing {
    Timing {
        lease: Duration::from_secs(40),
        tenure: Duration::from_secs(30),
        renewal: Duration::from_millis(300),
        promise: Duration::from_secs(20),
        patience: Duration::from_secs(1),
        deadline: Duration::from_secs(20),
    }
}

/// For what is about a lease's end. A machine may stand still for a second and a half.
pub(crate) fn brisk() -> Timing {
    Timing {
        lease: Duration::from_secs(5),
        tenure: Duration::from_secs(3),
        promise: Duration::from_secs(5),
        ..calm()
    }
}

impl World {
    /// Three members, one of whom is the primary that the others are in step with.
    pub(crate) async fn start(timing: Timing) -> Self {
        Self::start_with(timing, None).await
    }

    /// The same, with these certificates.
    pub(crate) async fn start_with(timing: Timing, certificates: Option<Certificates>) -> Self {
        let world = Self::begin(timing, certificates);
        world.settled("the first primary").await;
        world
    }

    /// Three members that just start, in `strict`.
    fn begin(timing: Timing, certificates: Option<Certificates>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = TempDir::new().unwrap();
        let members: BTreeMap<_, _> = (0..3).map(|number| (Ordinal::new(number), member())).collect();
        let api = Arc::new(Api::default());
        let settings = |me: Ordinal| Settings {
            me,
            members: members.clone(),
            lease: "shop-redis".to_owned(),
            max_memory_bytes: None,
            users: vec![User {
                name: USER.to_owned(),
                password: Secret::new("a password", PASSWORD).unwrap(),
                access: Access::Application,
            }],
            token: Secret::new("a token", "token").unwrap(),
            replication: Secret::new("a password", "replicas").unwrap(),
            certificates: certificates.clone(),
            listen: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            data: folder.path().join(me.to_string()),
        };
        let pace = Pace {
            silence: Duration::from_secs(2),
            handover: Duration::from_secs(4),
            ..Pace::of(&timing)
        };
        let place = |me: &Ordinal| {
            let mut place = Place::new(settings(*me), Arc::clone(&api), timing, pace);
            place.start();
            (*me, place)
        };
        let places: BTreeMap<_, _> = members.keys().map(place).collect();
        // As the operator asks: whoever does not answer soon has not answered.
        let peers = Peers::new(Arc::new(settings(Ordinal::new(0))), Duration::from_millis(500)).unwrap();
        let roster = settings(Ordinal::new(0)).roster();
        let durability = Durability::Strict { copies: 2 };
        let operator = Operator::start(Arc::clone(&api), peers.clone(), roster, timing, durability);
        Self {
            places,
            api,
            operator,
            peers,
            _folder: folder,
        }
    }

    pub(crate) fn place(&mut self, member: Ordinal) -> &mut Place {
        self.places.get_mut(&member).unwrap()
    }

    pub(crate) fn sight(&self, member: Ordinal) -> Option<Sight> {
        Some(self.places.get(&member)?.view()?.sight)
    }

    /// The primary, once it is open and all who run follow it in step.
    pub(crate) async fn settled(&self, what: &str) -> Ordinal {
        eventually(what, async || {
            let primary = self.operator.primary()?;
            let is_open = self.sight(primary)?.is_open;
            let follow = self.places.keys().filter(|member| **member != primary).all(|member| {
                self.sight(*member)
                    .is_none_or(|sight| sight.role == Role::Following { primary } && sight.is_in_step)
            });
            (is_open && follow).then_some(primary)
        })
        .await
    }

    /// Someone else than this one.
    pub(crate) fn other(&self, than: Ordinal) -> Ordinal {
        *self.places.keys().find(|member| **member != than).unwrap()
    }

    pub(crate) fn address(&self, member: Ordinal) -> Address {
        Address(self.places.get(&member).unwrap().settings.own().redis_port)
    }

    /// A client that writes, once something of it was acknowledged.
    pub(crate) async fn writer(&self) -> Writer {
        let addresses = self.places.keys().map(|member| self.address(*member));
        let writer = Writer::start(addresses.collect());
        self.more(&writer).await;
        writer
    }

    /// Waits until some more was acknowledged.
    pub(crate) async fn more(&self, writer: &Writer) {
        let before = writer.count();
        eventually("acknowledged writes", async || {
            (writer.count() > before + 20).then_some(())
        })
        .await;
    }

    /// What the primary lacks of these.
    pub(crate) async fn missing(&self, primary: Ordinal, written: &BTreeSet<u64>) -> Vec<u64> {
        let mut connection = connect(&self.address(primary)).await.unwrap();
        let mut missing = Vec::new();
        for number in written {
            let there: bool = redis::cmd("EXISTS")
                .arg(key(*number))
                .query_async(&mut connection)
                .await
                .unwrap();
            if !there {
                missing.push(*number);
            }
        }
        missing
    }
}

fn member() -> Member {
    Member {
        host: Ipv4Addr::LOCALHOST.to_string(),
        redis_port: unused_port(),
        agent_port: unused_port(),
    }
}
