//! Hash slots: which of a cluster's 16384 parts a key is in.

/// How many slots there are (Redis Cluster specification, "Key distribution model").
const SLOTS: usize = 16_384;
const WORDS: usize = SLOTS / 64;

/// The hash slot of a key or channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a key: of what stands in its first pair of braces, if that is not empty, else of all of it.
    #[must_use]
    pub fn of(key: impl AsRef<[u8]>) -> Self {
        Self(crc16(tag(key.as_ref())) % SLOTS as u16)
    }

    /// Its number, below 16384.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The slot with this number, if there is one.
    pub(crate) fn numbered(number: u16) -> Option<Self> {
        (usize::from(number) < SLOTS).then_some(Self(number))
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS as u16).map(Self)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

fn tag(key: &[u8]) -> &[u8] {
    let tagged = || {
        let open = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[open..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    };
    tagged().unwrap_or(key)
}

/// CRC-16/XMODEM: polynomial 0x1021, nothing reflected, begins with 0 (the specification's appendix A).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let begun = crc ^ (u16::from(*byte) << 8);
        (0..8).fold(begun, |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

/// A set of slots.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Slots(Box<[u64; WORDS]>);

impl Slots {
    pub(crate) fn none() -> Self {
        Self(Box::new([0; WORDS]))
    }

    pub(crate) fn all() -> Self {
        Self(Box::new([u64::MAX; WORDS]))
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] >> (slot.index() % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        self.0[slot.index() / 64] &= !(1 << (slot.index() % 64));
    }

    pub(crate) fn extend(&mut self, more: &Self) {
        self.0
            .iter_mut()
            .zip(more.0.iter())
            .for_each(|(word, more)| *word |= more);
    }

    pub(crate) fn keep(&mut self, kept: &Self) {
        self.0
            .iter_mut()
            .zip(kept.0.iter())
            .for_each(|(word, kept)| *word &= kept);
    }

    /// Those of this set that are not in another.
    pub(crate) fn without(&self, others: &Self) -> Self {
        let mut left = self.clone();
        left.0
            .iter_mut()
            .zip(others.0.iter())
            .for_each(|(word, other)| *word &= !other);
        left
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} slots", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_specification_and_of_what_stands_in_braces() {
        // The check value of the specification's appendix A.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(Slot::of("123456789"), Slot(12_739));
        assert_eq!(Slot::of("{user1000}.following"), Slot::of("{user1000}.followers"));
        assert_eq!(Slot::of("foo{}{bar}"), Slot(crc16(b"foo{}{bar}") % 16_384));
        assert_eq!(Slot::of("foo{{bar}}zap"), Slot::of("{bar"));
        assert_eq!(Slot::of("foo{bar}{zap}"), Slot::of("bar"));
        assert_eq!(Slot::of("a{b"), Slot(crc16(b"a{b") % 16_384));
    }

    #[test]
    fn sets_of_slots_add_and_take_away() {
        let (mut some, one) = (Slots::none(), Slot::numbered(16_383).unwrap());
        some.insert(one);
        some.insert(Slot::numbered(64).unwrap());
        assert_eq!((some.len(), some.has(one)), (2, true));
        let mut rest = Slots::all().without(&some);
        assert_eq!((rest.len(), rest.has(one)), (16_382, false));
        rest.extend(&some);
        assert_eq!(rest, Slots::all());
        some.remove(one);
        rest.keep(&some);
        assert_eq!(rest.len(), 1);
        assert!(Slots::none().is_empty() && Slot::numbered(16_384).is_none());
    }
}
