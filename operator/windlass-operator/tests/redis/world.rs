//! A namespace with one Redis, in virtual time: objects as an API server would keep them, pods with real agents' decisions
//! (`windlass_election::Member`), and Redises that replicate at once. What is lost on the way, and when, the simulator tries
//! (tests/simulator); here it is what the controller makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::json;
use windlass_api::Redis;
use windlass_election::{
    Action as Deed, Durable, Event, Holder, Lease, Member, Moment, Order, Ordinal, Position, Reply, Report, Role, Run,
    Timing,
};
use windlass_operator::digest;
use windlass_operator::effects::{Action, Seen};
use windlass_operator::kind::{Identity, Kind};
use windlass_operator::objects::Owned;
use windlass_operator::redis::check::check;
use windlass_operator::redis::memory::Memory;
use windlass_operator::redis::observe::{Held, Keys, Objects, Observed, Pod};
use windlass_operator::redis::plan::{Plan, plan};
use windlass_operator::redis::record::Record;
use windlass_operator::redis::{status::status, validate::validate};
use windlass_redis_wire::names::{PRIMARY, ROLE};
use windlass_redis_wire::{Answer, Names};

/// Between two ticks of agents.
const TICK: Duration = Duration::from_millis(200);
/// Between two passes of the operator, in ticks.
const PASS: usize = 5;

pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) objects: BTreeMap<Identity, DynamicObject>,
    pub(crate) pods: BTreeMap<Ordinal, Node>,
    /// An image that does not start.
    pub(crate) broken: Option<String>,
    /// Everything that was carried out and told, a line each, in order.
    pub(crate) said: Vec<String>,
    lease: Option<(Lease, u64)>,
    volumes: BTreeMap<Ordinal, (Durable, Position)>,
    memory: Memory,
    now: Duration,
    versions: u64,
}

/// A pod: an agent and its Redis.
pub(crate) struct Node {
    pub(crate) role: Option<String>,
    pub(crate) revision: String,
    is_stuck: bool,
    version: u64,
    agent: Member,
    born: Duration,
    position: Position,
    is_primary: bool,
    follows: Option<Ordinal>,
}

pub(crate) fn sample(name: &str) -> Redis {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../windlass-api/samples/valid")
        .join(name);
    let text = std::fs::read_to_string(path).expect("the sample is there");
    serde_yaml::from_str(&text).expect("the sample is a Redis")
}

impl World {
    pub(crate) fn of(mut redis: Redis) -> Self {
        redis.metadata.namespace = Some("space".to_owned());
        redis.metadata.uid = Some("of-the-redis".to_owned());
        redis.metadata.generation = Some(1);
        redis.metadata.resource_version = Some("0".to_owned());
        Self {
            redis,
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            broken: None,
            said: Vec::new(),
            lease: None,
            volumes: BTreeMap::new(),
            memory: Memory::default(),
            now: Duration::ZERO,
            versions: 0,
        }
    }

    /// A world in which all is as it should be.
    pub(crate) fn settled(redis: Redis) -> Self {
        let mut world = Self::of(redis);
        world.settle();
        world.said.clear();
        world
    }

    /// Lets time pass until nothing is written for some passes.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..600 {
            let before = self.said.len();
            self.pass(usize::MAX);
            self.tick();
            quiet = if self.said.len() == before { quiet + 1 } else { 0 };
            if quiet == 10 {
                return;
            }
        }
        panic!("it does not come to rest: {:#?}", self.said);
    }

    pub(crate) fn primary(&self) -> Option<i32> {
        self.redis.status.as_ref().and_then(|status| status.primary)
    }

    pub(crate) fn term(&self) -> i64 {
        self.redis.status.as_ref().map_or(0, |status| status.term)
    }

    pub(crate) fn condition(&self, of: &str) -> String {
        let conditions = self.redis.status.iter().flat_map(|status| &status.conditions);
        let found = conditions.into_iter().find(|condition| condition.type_ == of);
        found.map_or_else(String::new, |found| format!("{}/{}", found.status, found.reason))
    }

    /// Who takes writes, by what the agents do.
    pub(crate) fn open(&self) -> Vec<Ordinal> {
        let open = self.pods.iter().filter(|(_, node)| node.agent.is_open());
        open.map(|(member, _)| *member).collect()
    }

    /// The pod is gone, and made again if somebody makes it; its volume stays.
    pub(crate) fn lose(&mut self, member: Ordinal) {
        let node = self.pods.remove(&member).expect("it is there");
        self.volumes
            .insert(member, (node.agent.durable().clone(), node.position));
    }

    /// The StatefulSet makes the pods that are missing.
    pub(crate) fn revive(&mut self) {
        let Some(set) = self.set() else { return };
        let (revision, replicas) = (revision(set), set.data["spec"]["replicas"].as_i64().unwrap_or_default());
        let image = &set.data["spec"]["template"]["spec"]["containers"][0]["image"];
        let is_stuck = self.broken.as_deref().is_some_and(|broken| image == broken);
        for ordinal in 0..u16::try_from(replicas).expect("few") {
            let member = Ordinal::new(ordinal);
            if self.pods.contains_key(&member) {
                continue;
            }
            self.versions += 1;
            let (durable, position) = self.volumes.get(&member).cloned().unwrap_or_default();
            let mut node = Node {
                role: None,
                revision: revision.clone(),
                is_stuck,
                version: self.versions,
                agent: Member::start(member, Timing::default(), durable, Moment::default()),
                born: self.now,
                position,
                is_primary: false,
                follows: None,
            };
            let run = Run::new(self.versions.to_string());
            let deeds = node.agent.handle(Event::Started { run }, Moment::default());
            self.pods.insert(member, node);
            self.perform(member, deeds);
        }
    }

    /// Agents do what is theirs to do by themselves.
    pub(crate) fn tick(&mut self) {
        self.revive();
        for _ in 0..PASS {
            self.now += TICK;
            let members: Vec<_> = self.pods.keys().copied().collect();
            for member in members {
                self.replicate(member);
                self.tell(member, Event::Tick);
            }
        }
    }

    /// A replica has what its primary has, at once.
    fn replicate(&mut self, member: Ordinal) {
        let Some(node) = self.pods.get(&member) else { return };
        if node.is_primary {
            self.tell(member, Event::IsPrimary);
            return;
        }
        let Some(with) = node.follows else { return };
        let Some(primary) = self.pods.get(&with).filter(|primary| primary.is_primary) else {
            return;
        };
        let position = primary.position;
        self.pods.get_mut(&member).expect("it is there").position = position;
        self.tell(member, Event::InStep { with });
    }

    fn tell(&mut self, member: Ordinal, event: Event) -> Vec<Deed> {
        let Some(node) = self.pods.get_mut(&member).filter(|node| !node.is_stuck) else {
            return Vec::new();
        };
        let deeds = node.agent.handle(event, Moment::at(self.now - node.born));
        self.perform(member, deeds.clone());
        deeds
    }

    fn perform(&mut self, member: Ordinal, deeds: Vec<Deed>) {
        for deed in deeds {
            let asked = self.pods.get(&member).map(|node| Moment::at(self.now - node.born));
            let (Some(node), Some(asked)) = (self.pods.get_mut(&member), asked) else {
                return;
            };
            match deed {
                Deed::Persist(durable) => drop(self.volumes.insert(member, (durable, node.position))),
                Deed::Fence => (node.is_primary, node.follows) = (false, None),
                Deed::Follow(primary) => (node.is_primary, node.follows) = (false, Some(primary)),
                Deed::Promote(term, _) | Deed::Mark(term) => {
                    (node.is_primary, node.follows) = (true, None);
                    node.position = Position {
                        term,
                        offset: node.position.offset + 1,
                    };
                }
                Deed::Renew(term) => {
                    let event = match self.claim(member, term, Holder::Member(member), term) {
                        true => Event::Renewed { term, asked },
                        false => Event::Lost { term },
                    };
                    self.tell(member, event);
                }
                Deed::Release(term) => drop(self.claim(member, term, Holder::Nobody, term)),
                Deed::Transfer { held, begins, to } => {
                    let done = self.claim(member, held, Holder::Handed(to), begins);
                    self.tell(member, Event::Transferred { term: begins, done });
                }
                Deed::HandOver(term, to) => {
                    (node.is_primary, node.follows) = (false, Some(to));
                    let position = node.position;
                    if let Some(heir) = self.pods.get_mut(&to) {
                        (heir.is_primary, heir.follows, heir.position) = (true, None, position);
                    }
                    self.tell(member, Event::HandedOver { term, done: true });
                }
                Deed::Ask(other, order) => {
                    let answers = self.tell(other, Event::Order(order));
                    if let Some(Deed::Reply(Reply::Promised { term })) = answers.last() {
                        let (term, by) = (*term, other);
                        self.tell(member, Event::Promised { term, by, asked });
                    }
                }
                Deed::Open | Deed::Report(_) | Deed::Reply(_) => {}
            }
        }
    }

    fn claim(
        &mut self,
        by: Ordinal,
        held: windlass_election::Term,
        holder: Holder,
        term: windlass_election::Term,
    ) -> bool {
        let Some((lease, version)) = &mut self.lease else {
            return false;
        };
        let is_mine = matches!(lease.holder, Holder::Member(me) | Holder::Granted(me) | Holder::Handed(me) if me == by);
        if !is_mine || lease.term != held {
            return false;
        }
        self.versions += 1;
        (*lease, *version) = (Lease { holder, term }, self.versions);
        true
    }

    fn order(&mut self, to: Ordinal, order: Order) -> Option<Answer> {
        let deeds = self.tell(to, Event::Order(order));
        let node = self.pods.get(&to)?;
        deeds.iter().find_map(|deed| match deed {
            Deed::Reply(reply) => Some(Answer::Reply(*reply)),
            Deed::Report(term) => Some(Answer::Report(Report {
                term: *term,
                position: node.position,
                intact: node.agent.is_in_step(),
            })),
            _ => None,
        })
    }

    pub(crate) fn observe(&mut self) -> Observed {
        let names = self.names();
        let now = self.now;
        let members: Vec<_> = self.pods.keys().copied().collect();
        let mut states = BTreeMap::new();
        for member in members {
            if let Some(Answer::Reply(Reply::State(state))) = self.order(member, Order::Probe) {
                states.insert(member, state);
                self.memory.hear_state(member, state, now);
            }
        }
        let standing = self.redis.status.as_ref().and_then(|status| status.standing.clone());
        let of_lease = Identity {
            kind: Kind::Lease,
            name: names.base().to_owned(),
        };
        if self.objects.contains_key(&of_lease) && self.lease.is_none() {
            self.lease = Some((Lease::default(), 0));
        }
        let held = self.lease.map(|(lease, version)| Held {
            seen: seen(version),
            lease: Ok(lease),
            unchanged_for: self.memory.saw_lease(&version.to_string(), now, now),
        });
        let secret = Identity {
            kind: Kind::Secret,
            name: names.base().to_owned(),
        };
        let keys = |names: &[&str], is_own| Keys {
            is_own,
            keys: names.iter().map(|key| (*key).to_owned()).collect(),
        };
        let objects = Objects {
            owned: Owned {
                objects: self.objects.clone(),
                foreign: BTreeSet::new(),
                unserved: BTreeSet::new(),
            },
            secret: self
                .objects
                .contains_key(&secret)
                .then(|| keys(&["agent-token", "replication-password", "windlass"], true)),
            tls: Some(keys(&["tls.crt", "tls.key", "ca.crt"], false)),
        };
        let term = Record::read(&self.redis)
            .expect("it is understood")
            .map_or_else(Default::default, |record| record.standing.term);
        let pod = |node: &Node| Pod {
            seen: seen(node.version),
            role: node.role.clone(),
            is_leaving: false,
            is_stuck: node.is_stuck,
            revision: Some(node.revision.clone()),
            address: None,
        };
        Observed {
            redis: self.redis.clone(),
            objects: Some(objects),
            pods: self.pods.iter().map(|(member, node)| (*member, pod(node))).collect(),
            lease: held,
            standing_for: self.memory.saw_standing(&standing.unwrap_or_default(), now, now),
            states,
            recent: self.memory.recent(now),
            reports: self.memory.reports(term),
        }
    }

    /// Plans, checks, and carries out the first `most` actions.
    pub(crate) fn pass(&mut self, most: usize) -> Plan {
        let observed = self.observe();
        let timing = Timing::default();
        let plan = plan(&observed, validate(&observed), &timing);
        let checked = check(&plan, &observed);
        assert_eq!(checked, Ok(()), "{plan:?}");
        let news = status(&observed, &plan, None, &timing, &Time(Timestamp::UNIX_EPOCH));
        for action in news.into_iter().chain(plan.actions.clone()).take(most) {
            self.carry_out(action);
        }
        plan
    }

    fn carry_out(&mut self, action: Action) {
        let names = self.names();
        // What stays said is not news; what a status says is in the world.
        if !matches!(action, Action::Commit { .. }) {
            self.said.push(action.to_string());
        }
        self.versions += 1;
        let version = self.versions;
        match action {
            Action::Commit { status, seen } => {
                assert_eq!(Some(seen.version), self.redis.metadata.resource_version);
                self.redis.metadata.resource_version = Some(version.to_string());
                self.redis.status = Some(serde_json::from_value(status).expect("a status"));
            }
            Action::Apply { what, object, .. } | Action::Generate { what, object, .. } => {
                let mut object = *object;
                object.metadata.uid = Some(format!("of {what}"));
                object.metadata.resource_version = Some(version.to_string());
                object.metadata.generation = Some(1);
                if what.kind == Kind::StatefulSet {
                    object.data["status"] = json!({ "observedGeneration": 1, "updateRevision": revision(&object) });
                }
                self.objects.insert(what, object);
                self.revive();
            }
            Action::Remove { what, .. } => drop(self.objects.remove(&what)),
            Action::Label { what, key, value, seen } => {
                assert_eq!(key, ROLE);
                let member = names.member(&what.name).expect("a member's pod");
                let is_taken = self.pods.values().any(|node| node.role.as_deref() == Some(PRIMARY));
                assert!(value != PRIMARY || !is_taken, "two pods have the label");
                let node = self.pods.get_mut(&member).expect("it is there");
                assert_eq!(seen, self::seen(node.version));
                (node.role, node.version) = (Some(value.to_owned()), version);
            }
            Action::Restart { what, .. } => {
                self.lose(names.member(&what.name).expect("a member's pod"));
                self.revive();
            }
            Action::Hold {
                seen,
                holder,
                transitions,
                ..
            } => {
                let lease = windlass_redis_wire::read(Some(&holder), Some(transitions)).expect("it is understood");
                let held = self.lease.as_mut().filter(|(_, version)| seen == self::seen(*version));
                if let Some(held) = held {
                    *held = (lease, version);
                }
            }
            Action::Order { to, order } => {
                if let Some(answer) = self.order(to, order) {
                    self.memory.hear(to, answer);
                }
            }
            Action::Tell { .. } => {}
            Action::Report(_) => panic!("the status of a Redis is committed"),
        }
    }

    fn set(&self) -> Option<&DynamicObject> {
        let what = Identity {
            kind: Kind::StatefulSet,
            name: self.names().base().to_owned(),
        };
        self.objects.get(&what)
    }

    fn names(&self) -> Names {
        Names::of(self.redis.metadata.name.as_deref().unwrap_or_default(), "space")
    }

    /// All objects without what the API server counts.
    pub(crate) fn text(&self) -> String {
        let plain = self.objects.values().cloned().map(|mut object| {
            object.metadata.uid = None;
            object.metadata.resource_version = None;
            object.metadata.generation = None;
            if let Some(fields) = object.data.as_object_mut() {
                fields.remove("status");
            }
            serde_yaml::to_string(&object).expect("plain data")
        });
        plain.collect::<Vec<_>>().join("---\n")
    }

    /// What was told of elections, in order.
    pub(crate) fn news(&self) -> Vec<&str> {
        let told = self.said.iter().filter_map(|line| line.strip_prefix("! "));
        told.filter_map(|line| line.split(':').next()).collect()
    }

    /// The role of a member, as its agent has it.
    pub(crate) fn role(&self, member: u16) -> Role {
        self.pods[&Ordinal::new(member)].agent.durable().role
    }
}

fn seen(version: u64) -> Seen {
    Seen {
        uid: String::new(),
        version: version.to_string(),
    }
}

fn revision(set: &DynamicObject) -> String {
    digest::of_json(&set.data["spec"]["template"])
}
