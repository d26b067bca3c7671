//! Collections for what a connection has one or a few of: they hold room for what is in them and hardly more, and
//! nothing while they are empty. A `Vec` makes room for four at the first, a `HashMap` for three and their control
//! bytes; times all idle connections that is most of what subscriptions would cost.

use crate::queue::Slot;

/// Adds `item`; the list grows by half of its length, and from nothing to one.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 2).max(1));
    }
    list.push(item);
}

/// Something for each of a connection's subscriptions.
#[derive(Debug)]
pub(crate) struct BySlot<T>(Vec<(Slot, T)>);

impl<T> BySlot<T> {
    /// Puts `value` in the place of `slot`.
    pub(crate) fn insert(&mut self, slot: Slot, value: T) {
        match self.0.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact((self.0.len() / 2).max(1));
                }
                self.0.insert(place, (slot, value));
            }
        }
    }

    /// Takes out what `slot` has.
    pub(crate) fn remove(&mut self, slot: &Slot) -> Option<T> {
        let place = self.0.binary_search_by_key(slot, |(slot, _)| *slot).ok()?;
        let (_, value) = self.0.remove(place);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(value)
    }

    /// What they have, in their order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// How many have something.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The subscriptions, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().map(|(slot, _)| slot)
    }
}

impl<T> Default for BySlot<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_map_by_slot_is_a_map_and_holds_little_more_than_what_is_in_it(
            steps in proptest::collection::vec((0..20_u32, any::<bool>()), 0..100)
        ) {
            let (mut few, mut model) = (BySlot::default(), BTreeMap::new());
            for (number, (slot, add)) in steps.into_iter().enumerate() {
                let slot = Slot(slot);
                if add {
                    few.insert(slot, number);
                    model.insert(slot, number);
                } else {
                    prop_assert_eq!(few.remove(&slot), model.remove(&slot));
                }
                prop_assert!(few.keys().eq(model.keys()));
                prop_assert!(!few.0.is_empty() || few.0.capacity() == 0);
            }
        }
    }

    #[test]
    fn a_list_of_one_has_room_for_one() {
        let mut list = Vec::new();
        push(&mut list, 1);
        assert_eq!(list.capacity(), 1);
    }
}
