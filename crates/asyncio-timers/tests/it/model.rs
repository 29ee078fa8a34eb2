//! `Deadlines` against the plainest structure that does the same: a `BTreeMap` by deadline and order of setting.

use std::collections::BTreeMap;

use asyncio_timers::{Deadlines, Key};
use proptest::prelude::*;

use crate::at;

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    /// The `usize`s choose among all keys ever given out, most of them stale after a while.
    Remove(usize),
    Reschedule(usize, u64),
    Change(usize),
    PopDue(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few different deadlines, for many to be equal.
    let when = 0..20_u64;
    let step = prop_oneof![
        10 => when.clone().prop_map(Step::Insert),
        4 => any::<usize>().prop_map(Step::Remove),
        4 => (any::<usize>(), when.clone()).prop_map(|(key, when)| Step::Reschedule(key, when)),
        2 => any::<usize>().prop_map(Step::Change),
        4 => when.prop_map(Step::PopDue),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..200)
}

#[derive(Default)]
struct Model {
    /// By deadline and order of setting.
    entries: BTreeMap<(u64, u64), u64>,
    /// For every key given out, where its entry is now.
    keys: Vec<(Key, Option<(u64, u64)>)>,
    settings: u64,
}

impl Model {
    fn set(&mut self, when: u64, value: u64) -> (u64, u64) {
        self.settings += 1;
        self.entries.insert((when, self.settings), value);
        (when, self.settings)
    }

    fn forget(&mut self, gone: (u64, u64)) {
        for (_, place) in &mut self.keys {
            if *place == Some(gone) {
                *place = None;
            }
        }
    }
}

proptest! {
    #[test]
    fn deadlines_do_what_an_ordered_map_does(steps in steps()) {
        let (mut deadlines, mut model) = (Deadlines::new(), Model::default());
        for (value, step) in (0_u64..).zip(steps) {
            let chosen = |index: usize| index % model.keys.len().max(1);
            match step {
                Step::Insert(when) => {
                    let key = deadlines.insert(at(when), value);
                    prop_assert!(model.keys.iter().all(|(other, _)| *other != key), "a key is never reused");
                    let place = model.set(when, value);
                    model.keys.push((key, Some(place)));
                }
                _ if model.keys.is_empty() => {}
                Step::Remove(index) => {
                    let (key, place) = model.keys[chosen(index)];
                    let expected = place.map(|place| model.entries.remove(&place).unwrap());
                    prop_assert_eq!(deadlines.remove(key), expected);
                    place.into_iter().for_each(|place| model.forget(place));
                }
                Step::Reschedule(index, when) => {
                    let index = chosen(index);
                    let (key, place) = model.keys[index];
                    prop_assert_eq!(deadlines.reschedule(key, at(when)), place.is_some());
                    if let Some(place) = place {
                        let value = model.entries.remove(&place).unwrap();
                        model.keys[index].1 = Some(model.set(when, value));
                    }
                }
                Step::Change(index) => {
                    let (key, place) = model.keys[chosen(index)];
                    prop_assert_eq!(deadlines.when(key), place.map(|(when, _)| at(when)));
                    prop_assert_eq!(deadlines.get(key), place.map(|place| &model.entries[&place]));
                    if let Some(found) = deadlines.get_mut(key) {
                        *found += 1000;
                        *model.entries.get_mut(&place.unwrap()).unwrap() += 1000;
                    }
                }
                Step::PopDue(now) => {
                    let due = model.entries.first_key_value().map(|(place, value)| (*place, *value));
                    let due = due.filter(|((when, _), _)| *when <= now);
                    prop_assert_eq!(deadlines.pop_due(at(now)), due.map(|((when, _), value)| (at(when), value)));
                    if let Some((place, _)) = due {
                        model.entries.remove(&place);
                        model.forget(place);
                    }
                }
                Step::Clear => {
                    deadlines.clear();
                    model.entries.clear();
                    model.keys.iter_mut().for_each(|(_, place)| *place = None);
                }
            }
            prop_assert_eq!(deadlines.len(), model.entries.len());
            prop_assert_eq!(deadlines.is_empty(), model.entries.is_empty());
            prop_assert_eq!(deadlines.next(), model.entries.keys().next().map(|(when, _)| at(*when)));
            prop_assert!(model.keys.iter().all(|(key, place)| deadlines.contains(*key) == place.is_some()));
        }
    }
}
