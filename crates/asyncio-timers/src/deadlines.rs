//! The pure structure: values in the order of their deadlines.
//!
//! An implicit 4-ary heap of 16-byte nodes, four children to a cache line, over a slab that holds the values and knows
//! where in the heap each one is. So an entry is removed from the middle of the heap, and nothing of it stays behind.
//!
//! Why no timing wheel: the common deadline, later than everything set before it, costs this heap one comparison to
//! insert, so a wheel gains little (`benches/deadlines.rs`; the barest wheel, without cascades, was a third faster for
//! timeouts cancelled among 100 000 others, and no faster for one alone). For that it gives up the exact next
//! deadline, which a virtual clock jumps to, and needs a heap beside it for the order within a slot.

use std::fmt;
use std::num::NonZeroU64;

use crate::LoopTime;

/// Names one entry of a [`Deadlines`]. A key is never reused: once its entry is gone, it finds nothing.
///
/// A key means something only to the `Deadlines` that gave it out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Counts insertions from 1. At one a nanosecond it would last for centuries, so no key comes up twice.
    id: NonZeroU64,
    slot: u32,
}

/// Values ordered by deadline; equal deadlines keep the order in which they were set.
///
/// Reads no clock: the time is an argument of [`pop_due`](Deadlines::pop_due).
///
/// Inserting, rescheduling and removing cost O(log n), with base 4; inserting a deadline later than all others, and
/// removing the latest one, is O(1). Removing leaves nothing behind.
///
/// Memory follows the number of entries down as well as up: when fewer than a quarter of the slots are in use, the
/// unused ones at the end are given back: at once when the last entry leaves, else within the next removals, an
/// eighth as many as there are slots. (An entry does not move, so one that lives long and was inserted at the height of a burst keeps the slots before it, some
/// 30 bytes and a value each, until it goes.)
///
/// ```
/// use asyncio_timers::{Deadlines, LoopTime};
///
/// let at = LoopTime::from_nanos;
/// let mut deadlines = Deadlines::new();
/// deadlines.insert(at(20), "second");
/// let never = deadlines.insert(at(15), "never");
/// deadlines.insert(at(10), "first");
///
/// assert_eq!(deadlines.next(), Some(at(10)));
/// assert_eq!(deadlines.remove(never), Some("never"));
/// assert_eq!(deadlines.pop_due(at(20)), Some((at(10), "first")));
/// assert_eq!(deadlines.pop_due(at(20)), Some((at(20), "second")));
/// assert_eq!(deadlines.pop_due(at(20)), None);
/// ```
pub struct Deadlines<T> {
    /// No node sorts before its parent, which for index `i` is `(i - 1) / 4`.
    heap: Vec<Node>,
    /// For each slot its place in the heap or, in a free one, the next free slot. Apart from the entries because moving
    /// nodes writes here, and sixteen of these fit a cache line.
    places: Vec<u32>,
    entries: Vec<Entry<T>>,
    first_free: u32,
    next_id: NonZeroU64,
    next_turn: u32,
    /// After how many more removals to look whether memory can be given back.
    removals_to_look: usize,
}

#[derive(Clone, Copy)]
struct Node {
    when: LoopTime,
    /// Which of two equal deadlines was set first, in the upper half; the slot below it. One word rather than two
    /// halves, for the processor to read it back as it was written.
    turn_and_slot: u64,
}

struct Entry<T> {
    /// The id of the key that fits, [`VACANT`] in a free slot.
    id: u64,
    value: Option<T>,
}

/// No key has this id.
const VACANT: u64 = 0;

/// Ends the list of free slots; no slot has this number.
const NONE: u32 = u32::MAX;

/// Below this many slots memory is not worth giving back.
const KEPT: usize = 256;

impl<T> Deadlines<T> {
    /// No deadlines, and no memory taken yet.
    pub const fn new() -> Self {
        Deadlines {
            heap: Vec::new(),
            places: Vec::new(),
            entries: Vec::new(),
            first_free: NONE,
            next_id: NonZeroU64::MIN,
            next_turn: 0,
            removals_to_look: KEPT,
        }
    }

    /// Adds a value, to come out when `when` has come.
    ///
    /// # Panics
    ///
    /// With four billion entries at once.
    ///
    /// ```
    /// # use asyncio_timers::{Deadlines, LoopTime};
    /// let mut deadlines = Deadlines::new();
    /// let key = deadlines.insert(LoopTime::from_nanos(10), "value");
    /// assert_eq!(deadlines.when(key), Some(LoopTime::from_nanos(10)));
    /// ```
    pub fn insert(&mut self, when: LoopTime, value: T) -> Key {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        let turn = self.take_turn();
        let entry = Entry {
            id: id.get(),
            value: Some(value),
        };
        let slot = if self.first_free == NONE {
            self.push_slot(entry)
        } else {
            let slot = self.first_free;
            self.first_free = self.places[slot as usize];
            self.entries[slot as usize] = entry;
            slot
        };
        let node = Node::new(when, turn, slot);
        self.heap.push(node);
        self.sift_up(self.heap.len() - 1, node);
        Key { id, slot }
    }

    /// Takes an entry out; `None` when it has already left.
    ///
    /// ```
    /// # use asyncio_timers::{Deadlines, LoopTime};
    /// let mut deadlines = Deadlines::new();
    /// let key = deadlines.insert(LoopTime::from_nanos(10), "value");
    /// assert_eq!(deadlines.remove(key), Some("value"));
    /// assert_eq!(deadlines.remove(key), None);
    /// ```
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.place(key)?;
        Some(self.remove_at(place).1)
    }

    /// Whether the entry is still here.
    pub fn contains(&self, key: Key) -> bool {
        self.place(key).is_some()
    }

    /// The value of an entry, while it is here.
    pub fn get(&self, key: Key) -> Option<&T> {
        self.entries
            .get(key.slot as usize)
            .filter(|entry| entry.id == key.id.get())?
            .value
            .as_ref()
    }

    /// The value of an entry, to be changed; its deadline stays.
    ///
    /// ```
    /// # use asyncio_timers::{Deadlines, LoopTime};
    /// let mut deadlines = Deadlines::new();
    /// let key = deadlines.insert(LoopTime::from_nanos(10), 1);
    /// *deadlines.get_mut(key).unwrap() += 1;
    /// assert_eq!(deadlines.remove(key), Some(2));
    /// ```
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries
            .get_mut(key.slot as usize)
            .filter(|entry| entry.id == key.id.get())?
            .value
            .as_mut()
    }

    /// The deadline of an entry, while it is here.
    pub fn when(&self, key: Key) -> Option<LoopTime> {
        self.place(key).map(|place| self.heap[place].when)
    }

    /// Gives an entry another deadline, earlier or later; false when it has already left. Its key stays valid.
    ///
    /// It counts as set anew: among equal deadlines it goes last.
    ///
    /// ```
    /// # use asyncio_timers::{Deadlines, LoopTime};
    /// let mut deadlines = Deadlines::new();
    /// let key = deadlines.insert(LoopTime::from_nanos(10), "value");
    /// assert!(deadlines.reschedule(key, LoopTime::from_nanos(5)));
    /// assert_eq!(deadlines.next(), Some(LoopTime::from_nanos(5)));
    /// ```
    pub fn reschedule(&mut self, key: Key, when: LoopTime) -> bool {
        if !self.contains(key) {
            return false;
        }
        // Before the place is looked up: taking a turn may, once in four billion times, reorder the heap.
        let turn = self.take_turn();
        let place = self.places[key.slot as usize] as usize;
        self.settle(place, Node::new(when, turn, key.slot));
        true
    }

    /// The earliest deadline.
    #[inline]
    pub fn next(&self) -> Option<LoopTime> {
        self.heap.first().map(|node| node.when)
    }

    /// Takes out the earliest entry if its deadline is not later than `now`.
    ///
    /// ```
    /// # use asyncio_timers::{Deadlines, LoopTime};
    /// let mut deadlines = Deadlines::new();
    /// deadlines.insert(LoopTime::from_nanos(10), "value");
    /// assert_eq!(deadlines.pop_due(LoopTime::from_nanos(9)), None);
    /// assert_eq!(deadlines.pop_due(LoopTime::from_nanos(12)), Some((LoopTime::from_nanos(10), "value")));
    /// ```
    pub fn pop_due(&mut self, now: LoopTime) -> Option<(LoopTime, T)> {
        if self.next()? > now {
            return None;
        }
        Some(self.remove_at(0))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Drops every entry and gives the memory back. Keys given out before find nothing, also later.
    ///
    /// ```
    /// # use asyncio_timers::{Deadlines, LoopTime};
    /// let mut deadlines = Deadlines::new();
    /// let old = deadlines.insert(LoopTime::ZERO, "old");
    /// deadlines.clear();
    /// deadlines.insert(LoopTime::ZERO, "new");
    /// assert_eq!(deadlines.get(old), None);
    /// ```
    pub fn clear(&mut self) {
        drop(self.take());
    }

    /// Moves everything out, and leaves this empty but aware of the keys it has given out.
    pub(crate) fn take(&mut self) -> Self {
        let next_id = self.next_id;
        std::mem::replace(
            self,
            Deadlines {
                next_id,
                ..Deadlines::new()
            },
        )
    }

    /// Separates the entries here now from those inserted later, see [`pop_due_of`](Self::pop_due_of).
    pub(crate) fn round(&self) -> Round {
        Round {
            before: self.next_id,
        }
    }

    /// Like [`pop_due`](Self::pop_due), but passes over what was inserted after the round began.
    pub(crate) fn pop_due_of(&mut self, round: Round, now: LoopTime) -> Option<(LoopTime, T)> {
        let first = self.heap.first()?;
        if first.when > now {
            return None;
        }
        if self.began_before(round, first) {
            return Some(self.remove_at(0));
        }
        self.find_due_below(round, now)
            .map(|place| self.remove_at(place))
    }

    /// The rare case that a latecomer is due before the next entry of the round: somebody set a timer for the past.
    ///
    /// A latecomer hides at most its four children, so the search visits no more than the due latecomers and theirs.
    #[cold]
    fn find_due_below(&self, round: Round, now: LoopTime) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut latecomers = vec![0];
        while let Some(place) = latecomers.pop() {
            for child in children(place).take_while(|child| *child < self.heap.len()) {
                let node = &self.heap[child];
                if node.when > now {
                    continue;
                }
                if !self.began_before(round, node) {
                    latecomers.push(child);
                } else if best.is_none_or(|best| node.order() < self.heap[best].order()) {
                    best = Some(child);
                }
            }
        }
        best
    }

    fn began_before(&self, round: Round, node: &Node) -> bool {
        self.entries[node.slot() as usize].id < round.before.get()
    }

    /// The place in the heap of a key's entry, while it is here.
    #[inline]
    fn place(&self, key: Key) -> Option<usize> {
        let entry = self.entries.get(key.slot as usize)?;
        (entry.id == key.id.get()).then(|| self.places[key.slot as usize] as usize)
    }

    fn remove_at(&mut self, place: usize) -> (LoopTime, T) {
        let (when, slot) = (self.heap[place].when, self.heap[place].slot());
        let last = self.heap.pop().expect("the heap has a node at this place");
        if place < self.heap.len() {
            self.settle(place, last);
        }

        let entry = &mut self.entries[slot as usize];
        entry.id = VACANT;
        let value = entry
            .value
            .take()
            .expect("a slot in the heap holds a value");
        self.places[slot as usize] = self.first_free;
        self.first_free = slot;
        self.removals_to_look = self.removals_to_look.saturating_sub(1);
        if self.entries.len() > KEPT && (self.removals_to_look == 0 || self.heap.is_empty()) {
            self.give_back();
        }
        (when, value)
    }

    /// Puts a node where it belongs, starting from a place whose own node is no longer needed.
    fn settle(&mut self, place: usize, node: Node) {
        if place > 0 && node.order() < self.heap[parent(place)].order() {
            self.sift_up(place, node);
        } else {
            self.sift_down(place, node);
        }
    }

    /// Moves the hole at `place` towards the root until `node` may fill it.
    #[inline]
    fn sift_up(&mut self, mut place: usize, node: Node) {
        while place > 0 {
            let above = self.heap[parent(place)];
            if above.order() < node.order() {
                break;
            }
            self.fill(place, above);
            place = parent(place);
        }
        self.fill(place, node);
    }

    /// Moves the hole at `place` away from the root until `node` may fill it.
    fn sift_down(&mut self, mut place: usize, node: Node) {
        loop {
            let first = children(place).start;
            // Either four children in one cache line, compared without branching, or the few at the heap's end.
            let smallest = if let Some(four) = self.heap.get(first..first + 4) {
                let [a, b, c, d] = [
                    four[0].order(),
                    four[1].order(),
                    four[2].order(),
                    four[3].order(),
                ];
                let (left, left_order) = if b < a { (1, b) } else { (0, a) };
                let (right, right_order) = if d < c { (3, d) } else { (2, c) };
                first
                    + if right_order < left_order {
                        right
                    } else {
                        left
                    }
            } else if first < self.heap.len() {
                let end = self.heap.len();
                (first..end)
                    .min_by_key(|child| self.heap[*child].order())
                    .expect("there is a first child")
            } else {
                break;
            };
            let below = self.heap[smallest];
            if node.order() < below.order() {
                break;
            }
            self.fill(place, below);
            place = smallest;
        }
        self.fill(place, node);
    }

    #[inline]
    fn fill(&mut self, place: usize, node: Node) {
        self.heap[place] = node;
        self.places[node.slot() as usize] = place as u32;
    }

    /// The number that keeps equal deadlines in order.
    #[inline]
    fn take_turn(&mut self) -> u32 {
        if self.next_turn == u32::MAX {
            self.renumber();
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        turn
    }

    /// Starts counting turns from the front again; the price, paid once in four billion insertions, of small nodes.
    #[cold]
    fn renumber(&mut self) {
        // A sorted array is a heap.
        self.heap.sort_unstable_by_key(Node::order);
        for (place, node) in self.heap.iter_mut().enumerate() {
            *node = Node::new(node.when, place as u32, node.slot());
            self.places[node.slot() as usize] = place as u32;
        }
        self.next_turn = self.heap.len() as u32;
    }

    fn push_slot(&mut self, entry: Entry<T>) -> u32 {
        let slot = self.entries.len() as u32;
        assert!(
            self.entries.len() < NONE as usize,
            "no room for more than {NONE} deadlines"
        );
        self.entries.push(entry);
        self.places.push(0);
        slot
    }

    /// If few slots are in use, gives back those behind the last one in use.
    ///
    /// Costs a walk over the slots, which the removals between two looks have paid for: an eighth as many.
    #[cold]
    fn give_back(&mut self) {
        if self.heap.len() < self.entries.len() / 4 {
            let used = self
                .entries
                .iter()
                .rposition(|entry| entry.id != VACANT)
                .map_or(0, |last| last + 1);
            self.entries.truncate(used);
            self.places.truncate(used);
            // Low slots first, for the end to become free again.
            self.first_free = NONE;
            for slot in (0..used).rev() {
                if self.entries[slot].id == VACANT {
                    self.places[slot] = self.first_free;
                    self.first_free = slot as u32;
                }
            }
            // Twice what is there, lest the next insertion grow it again.
            self.entries.shrink_to((2 * used).max(KEPT));
            self.places.shrink_to((2 * used).max(KEPT));
            self.heap.shrink_to((2 * self.heap.len()).max(KEPT));
        }
        self.removals_to_look = (self.entries.len() / 8).max(KEPT);
    }
}

impl Node {
    fn new(when: LoopTime, turn: u32, slot: u32) -> Self {
        Node {
            when,
            turn_and_slot: u64::from(turn) << 32 | u64::from(slot),
        }
    }

    fn slot(&self) -> u32 {
        self.turn_and_slot as u32
    }

    /// Deadline first, then turn. The slot never decides, no two turns are equal; it only makes this a plain load.
    #[inline]
    fn order(&self) -> u128 {
        u128::from(self.when.as_nanos()) << 64 | u128::from(self.turn_and_slot)
    }
}

/// Separates the entries of a [`Deadlines`] that were there at some moment from later ones.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    before: NonZeroU64,
}

impl Key {
    /// Whether the entry was inserted before the round began.
    pub(crate) fn is_before(self, round: Round) -> bool {
        self.id < round.before
    }
}

fn parent(place: usize) -> usize {
    (place - 1) / 4
}

fn children(place: usize) -> std::ops::Range<usize> {
    4 * place + 1..4 * place + 5
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Deadlines::new()
    }
}

impl<T> fmt::Debug for Deadlines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadlines")
            .field("len", &self.len())
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}

/// Opaque, apart from telling keys apart.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> LoopTime {
        LoopTime::from_nanos(nanos)
    }

    fn drain(deadlines: &mut Deadlines<u64>) -> Vec<u64> {
        std::iter::from_fn(|| deadlines.pop_due(LoopTime::MAX))
            .map(|(_, value)| value)
            .collect()
    }

    /// A steady trickle, for the structure to notice that a burst of a hundred thousand is over.
    fn use_for_a_while(deadlines: &mut Deadlines<u64>) {
        for value in 0..100_000 / 8 {
            let key = deadlines.insert(at(value), value);
            deadlines.remove(key);
        }
    }

    #[test]
    fn the_last_of_a_burst_gives_its_memory_back_at_once() {
        let mut deadlines = Deadlines::new();
        for value in 0..100_000 {
            deadlines.insert(at(value), value);
        }
        drain(&mut deadlines);
        assert!(
            deadlines.entries.capacity() <= KEPT,
            "{}",
            deadlines.entries.capacity()
        );
    }

    impl<T> Deadlines<T> {
        /// What every public call relies on and leaves true.
        fn check(&self) {
            for (place, node) in self.heap.iter().enumerate() {
                assert!(
                    place == 0 || self.heap[parent(place)].order() < node.order(),
                    "order at {place}"
                );
                assert_eq!(
                    self.places[node.slot() as usize] as usize,
                    place,
                    "place of slot {}",
                    node.slot()
                );
                assert_ne!(self.entries[node.slot() as usize].id, VACANT);
            }
            let mut free = 0;
            let mut slot = self.first_free;
            while slot != NONE {
                assert_eq!(self.entries[slot as usize].id, VACANT);
                assert!(self.entries[slot as usize].value.is_none());
                free += 1;
                slot = self.places[slot as usize];
            }
            assert_eq!(
                free + self.heap.len(),
                self.entries.len(),
                "every slot is in the heap or free"
            );
        }
    }

    #[test]
    fn order_of_equal_deadlines_survives_the_end_of_the_turn_counter() {
        let mut deadlines = Deadlines::new();
        deadlines.next_turn = u32::MAX - 10;
        for value in 0..100 {
            deadlines.insert(at(7 - value % 2), value);
            deadlines.check();
        }
        let odd_then_even = (0..100)
            .filter(|v| v % 2 == 1)
            .chain((0..100).filter(|v| v % 2 == 0));
        assert_eq!(drain(&mut deadlines), odd_then_even.collect::<Vec<_>>());
    }

    #[test]
    fn rescheduling_at_the_end_of_the_turn_counter_moves_the_right_entry() {
        let mut deadlines = Deadlines::new();
        let keys: Vec<_> = (0..20)
            .map(|value| deadlines.insert(at(100 - value), value))
            .collect();
        deadlines.next_turn = u32::MAX;
        assert!(deadlines.reschedule(keys[3], at(1)));
        deadlines.check();
        assert_eq!(deadlines.pop_due(at(1)), Some((at(1), 3)));
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let mut deadlines = Deadlines::new();
        let first = deadlines.insert(at(0), 0);
        let keys: Vec<_> = (1..100_000)
            .map(|value| deadlines.insert(at(value), value))
            .collect();
        for key in keys {
            deadlines.remove(key);
        }
        use_for_a_while(&mut deadlines);
        deadlines.check();
        assert!(deadlines.contains(first));
        assert!(
            deadlines.entries.capacity() <= 2 * KEPT,
            "{}",
            deadlines.entries.capacity()
        );
        assert!(
            deadlines.places.capacity() <= 2 * KEPT,
            "{}",
            deadlines.places.capacity()
        );
        assert!(
            deadlines.heap.capacity() <= 2 * KEPT,
            "{}",
            deadlines.heap.capacity()
        );
    }

    #[test]
    fn an_entry_at_the_end_holds_the_slots_only_while_it_lives() {
        let mut deadlines = Deadlines::new();
        let early = deadlines.insert(at(0), 0);
        let keys: Vec<_> = (1..100_000)
            .map(|value| deadlines.insert(at(value), value))
            .collect();
        let (last, rest) = keys.split_last().unwrap();
        for key in rest {
            deadlines.remove(*key);
        }
        use_for_a_while(&mut deadlines);
        deadlines.check();
        assert_eq!(deadlines.entries.len(), 100_000);
        assert!(deadlines.heap.capacity() <= 2 * KEPT);
        deadlines.remove(*last);
        use_for_a_while(&mut deadlines);
        deadlines.check();
        assert!(deadlines.contains(early));
        assert!(
            deadlines.entries.capacity() <= 2 * KEPT,
            "{}",
            deadlines.entries.capacity()
        );
    }

    #[test]
    fn keys_from_before_the_memory_was_given_back_find_nothing() {
        let mut deadlines = Deadlines::new();
        let old: Vec<_> = (0..1000)
            .map(|value| deadlines.insert(at(value), value))
            .collect();
        drain(&mut deadlines);
        let new: Vec<_> = (0..1000)
            .map(|value| deadlines.insert(at(value), value))
            .collect();
        assert!(old.iter().all(|key| !deadlines.contains(*key)));
        assert!(new.iter().all(|key| deadlines.contains(*key)));
    }

    #[test]
    fn a_round_passes_over_what_was_inserted_after_it_began() {
        let mut deadlines = Deadlines::new();
        for value in 10..30 {
            deadlines.insert(at(value), value);
        }
        let round = deadlines.round();
        for value in 0..10 {
            deadlines.insert(at(value), value);
        }
        let fired: Vec<_> = std::iter::from_fn(|| deadlines.pop_due_of(round, at(24)))
            .map(|(_, value)| value)
            .collect();
        assert_eq!(fired, (10..25).collect::<Vec<_>>());
        deadlines.check();
        assert_eq!(
            drain(&mut deadlines),
            (0..10).chain(25..30).collect::<Vec<_>>()
        );
    }

    #[test]
    fn random_removals_keep_the_heap_in_order() {
        let mut deadlines = Deadlines::new();
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut keys = Vec::new();
        for step in 0..3000 {
            match random() % 5 {
                0..=2 => keys.push(deadlines.insert(at(random() % 64), step)),
                3 if !keys.is_empty() => {
                    let key = keys.swap_remove(random() as usize % keys.len());
                    deadlines.remove(key);
                }
                _ if !keys.is_empty() => {
                    let key = keys[random() as usize % keys.len()];
                    deadlines.reschedule(key, at(random() % 64));
                }
                _ => {}
            }
            deadlines.check();
        }
    }

    #[test]
    fn a_key_and_its_absence_take_two_words() {
        assert_eq!(size_of::<Option<Key>>(), 16);
        assert_eq!(size_of::<Node>(), 16);
    }
}
