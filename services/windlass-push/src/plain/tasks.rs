//! The tasks that one plain connection watches.

use windlass_task::operation::Operation;
use windlass_task::{Principal, Right, TaskId, TaskKey};

use super::message::{ErrorCode, encode_publication};
use super::session::Plain;
use crate::channel::ChannelKey;
use crate::publication::Publication;
use crate::queue::{Class, Delivery, End, Slot};
use crate::session::{Action, Effect, Failure, Source, Start, Subscribe};
use crate::socket::frame;
use crate::variant::Variant;

/// The tasks, in the order in which they were joined.
#[derive(Debug)]
pub(super) struct Tasks {
    list: Vec<Joined>,
    last: Slot,
}

#[derive(Debug)]
struct Joined {
    slot: Slot,
    task: TaskId,
    seen: Seen,
}

/// What the client has seen of a task.
#[derive(Debug)]
enum Seen {
    /// Nothing: its present value is being read. What comes meanwhile is held; only the newest is worth it.
    Nothing(Option<Delivery>),
    /// The value of this revision.
    Revision(u64),
}

impl Tasks {
    /// None, whose slots follow `slot`.
    pub(super) fn starting_after(slot: Slot) -> Self {
        Self {
            list: Vec::new(),
            last: slot,
        }
    }

    fn add(&mut self, task: TaskId) -> Slot {
        self.last = Slot(self.last.0 + 1);
        self.list.push(Joined {
            slot: self.last,
            task,
            seen: Seen::Nothing(None),
        });
        self.last
    }

    fn slot_of(&self, task: &TaskId) -> Option<Slot> {
        self.list
            .iter()
            .find(|joined| joined.task == *task)
            .map(|joined| joined.slot)
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Joined> {
        self.list.iter_mut().find(|joined| joined.slot == slot)
    }

    fn remove(&mut self, slot: Slot) -> Option<TaskId> {
        let place = self.list.iter().position(|joined| joined.slot == slot)?;
        Some(self.list.remove(place).task)
    }
}

impl Plain {
    pub(super) fn join(&mut self, principal: &Principal, task: TaskId) -> Result<(), ErrorCode> {
        if !principal.may(Right::Watch) {
            return Err(ErrorCode::Forbidden);
        }
        // Who joins again wants the present value again.
        self.leave_task(&task);
        if self.tasks.list.len() >= self.settings.subscriptions_max {
            return Err(ErrorCode::LimitExceeded);
        }
        let key = TaskKey {
            tenant: principal.tenant.clone(),
            id: task.clone(),
        };
        let source = Source::Task {
            owner: principal.owner.clone(),
            key: key.clone(),
        };
        let channel = ChannelKey::of_task(&key);
        let subscribe = Subscribe::quiet(self.tasks.add(task), channel, Variant::Plain, source);
        self.wait_for(Effect::Subscribe(Box::new(subscribe)));
        Ok(())
    }

    pub(super) fn joined(&mut self, slot: Slot, start: Result<Start, Failure>) {
        let value = match start {
            Ok(Start::Value(value)) => value,
            Ok(Start::History(_) | Start::Nothing) => return,
            Err(failure) => {
                let task = self.tasks.remove(slot).map(|task| task.to_string());
                return self.error(failure.into(), task.as_deref());
            }
        };
        let Some(joined) = self.tasks.get_mut(slot) else { return };
        let before = std::mem::replace(&mut joined.seen, Seen::Revision(value.update.revision));
        if let Some(text) = encode_publication(&Publication::Task(value.update)) {
            self.actions.push_back(Action::Write(frame::text(&text)));
        }
        if let Seen::Nothing(Some(held)) = before {
            self.deliver_value(held);
        }
    }

    pub(super) fn leave_task(&mut self, task: &TaskId) {
        if let Some(slot) = self.tasks.slot_of(task) {
            self.tasks.remove(slot);
            self.effect(Effect::Unsubscribe { slot });
        }
    }

    pub(super) fn operate(
        &mut self,
        principal: &Principal,
        task: TaskId,
        operation: Operation,
    ) -> Result<(), ErrorCode> {
        if !principal.may(Right::Upload) {
            return Err(ErrorCode::Forbidden);
        }
        let task = TaskKey {
            tenant: principal.tenant.clone(),
            id: task,
        };
        self.wait_for(Effect::Operate {
            task,
            owner: principal.owner.clone(),
            operation,
        });
        Ok(())
    }

    pub(super) fn deliver_value(&mut self, delivery: Delivery) {
        let Some(joined) = self.tasks.get_mut(delivery.slot) else {
            return;
        };
        let Class::Latest(revision) = delivery.class else {
            return;
        };
        match &mut joined.seen {
            Seen::Nothing(held) => *held = Some(delivery),
            Seen::Revision(seen) if *seen >= revision => {}
            Seen::Revision(seen) => {
                *seen = revision;
                self.actions.push_back(Action::Write(delivery.frame.into_whole()));
                if delivery.end == End::Gone {
                    self.tasks.remove(delivery.slot);
                    self.effect(Effect::Unsubscribe { slot: delivery.slot });
                }
            }
        }
    }
}
