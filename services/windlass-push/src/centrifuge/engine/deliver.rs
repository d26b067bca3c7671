//! Publications on their way to the client.

use super::subscriptions::Progress;
use super::{Engine, Output};
use crate::codes::UnsubscribeCode;
use crate::queue::{Class, Delivery, End, Slot};
use crate::session::Effect;

/// What is to be done with a delivery.
enum Verdict {
    /// The client gets it.
    Forward,
    /// The client has it already.
    Skip,
    /// Something before it is missing.
    Gap,
}

impl Engine {
    /// A publication came for one of the subscriptions, or for one that has ended.
    pub fn deliver(&mut self, delivery: Delivery) {
        let bytes_max = self.settings.queue_bytes_max;
        let Some(subscription) = self.subscriptions.get_mut(delivery.slot) else {
            return;
        };
        if let Progress::Starting(held) = &mut subscription.progress {
            return held.hold(delivery, bytes_max);
        }
        match judge(&mut subscription.progress, delivery.class) {
            Verdict::Skip => {}
            Verdict::Gap => self.end(delivery.slot, UnsubscribeCode::InsufficientState),
            Verdict::Forward => {
                let frame = subscription.deltas.choose(delivery.frame, delivery.class);
                self.outputs.push_back(Output::Forward(frame));
                // The frame said so to the client.
                if delivery.end == End::Gone {
                    self.subscriptions.remove(delivery.slot);
                    self.effect(Effect::Unsubscribe { slot: delivery.slot });
                }
            }
        }
    }

    /// What waited for a subscription did not fit and is gone.
    pub fn overflow(&mut self, slot: Slot) {
        match self
            .subscriptions
            .get_mut(slot)
            .map(|subscription| &mut subscription.progress)
        {
            None => {}
            Some(Progress::Starting(held)) => held.give_up(),
            Some(Progress::Unpositioned | Progress::Stream(_) | Progress::Latest(_)) => {
                self.end(slot, UnsubscribeCode::InsufficientState);
            }
        }
    }
}

/// Holds a publication against what the client has, and notes that it has it.
fn judge(progress: &mut Progress, class: Class) -> Verdict {
    match (progress, class) {
        (Progress::Stream(has), Class::Stream(Some(next))) => {
            if next.epoch != has.epoch {
                return Verdict::Gap;
            }
            if next.offset <= has.offset {
                return Verdict::Skip;
            }
            if next.offset - has.offset > 1 {
                return Verdict::Gap;
            }
            *has = next;
            Verdict::Forward
        }
        (Progress::Latest(has), Class::Latest(next)) => {
            if next <= *has {
                return Verdict::Skip;
            }
            *has = next;
            Verdict::Forward
        }
        // Somebody who has subscribed since then may be further.
        (Progress::Stream(has), Class::Top(top)) if top.epoch == has.epoch && top.offset <= has.offset => Verdict::Skip,
        (Progress::Stream(_), Class::Top(_)) => Verdict::Gap,
        (_, Class::Top(_)) => Verdict::Skip,
        // Who comes and goes has no position.
        (_, Class::Notice) => Verdict::Forward,
        // A channel without positions, or one that lost them when its options changed: nothing can be checked.
        (Progress::Unpositioned, _)
        | (Progress::Stream(_), Class::Stream(None) | Class::Latest(_))
        | (Progress::Latest(_), Class::Stream(_))
        | (Progress::Starting(_), _) => Verdict::Forward,
    }
}
