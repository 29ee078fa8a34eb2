//! Which action is in force for which signal, and which one it took the place of.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::action::Action;
use crate::signal::Signal;
use crate::slots::Slot;

/// The signals whose action is ours. Never locked by the handler.
static REGISTRY: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Entry {
    signal: Signal,
    /// What was in force before us, and will be after us.
    former: Action,
    in_force: InForce,
    /// Those who listen, and those who only want our handler in force.
    listeners: usize,
    /// Who hears of it while nobody listens, once; then the default action is in force.
    stand_in: Option<&'static Slot>,
}

/// Which action we have set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InForce {
    /// None, or the former one again.
    Former,
    /// Our handler.
    Ours,
    /// Our handler, which the kernel replaces by the default action when it calls it.
    OursOnce,
    Default,
}

/// Has a signal delivered to a place.
pub(crate) fn listen(signal: Signal, slot: &'static Slot) -> io::Result<()> {
    signal.check_can_be_heard()?;
    let mut registry = lock();
    // Before the action is set: the first signal must find the place.
    slot.want(signal, true);
    let result = change(&mut registry, signal, |entry| entry.listeners += 1);
    if result.is_err() {
        slot.want(signal, false);
    }
    result
}

/// Ends it.
pub(crate) fn unlisten(signal: Signal, slot: &'static Slot) {
    let mut registry = lock();
    // The kernel accepted an action for this signal before; it has no reason to refuse one now.
    let _ = change(&mut registry, signal, |entry| entry.listeners -= 1);
    slot.want(signal, false);
}

/// Has our handler in force, with nobody to tell, where the program's own action is an unwanted one; false where it is not.
pub(crate) fn hold_instead_of(
    signal: Signal,
    unwanted: impl Fn(&Action) -> bool,
) -> io::Result<bool> {
    let mut registry = lock();
    let is_unwanted = match registry.iter().find(|entry| entry.signal == signal) {
        // Ours is in force now, but whoever listens may stop.
        Some(entry) => unwanted(&entry.former),
        None => unwanted(&Action::current(signal)?),
    };
    if is_unwanted {
        change(&mut registry, signal, |entry| entry.listeners += 1)?;
    }
    Ok(is_unwanted)
}

/// Ends it.
pub(crate) fn release(signal: Signal) {
    // As in `unlisten`.
    let _ = change(&mut lock(), signal, |entry| entry.listeners -= 1);
}

/// Puts a place where the default action is; false if the program handles or ignores the signal, or somebody listens.
pub(crate) fn stand_in(signal: Signal, slot: &'static Slot) -> io::Result<bool> {
    signal.check_can_be_heard()?;
    let mut registry = lock();
    if registry.iter().any(|entry| entry.signal == signal) || !Action::current(signal)?.is_default()
    {
        return Ok(false);
    }
    change(&mut registry, signal, |entry| entry.stand_in = Some(slot))?;
    Ok(true)
}

/// Ends it.
pub(crate) fn end_stand_in(signal: Signal, slot: &'static Slot) {
    let mut registry = lock();
    let _ = change(&mut registry, signal, |entry| entry.stand_in = None);
    slot.want(signal, false);
}

fn lock() -> MutexGuard<'static, Vec<Entry>> {
    // Nothing in here panics between two changes that belong together.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes who is interested in a signal, and sets the action that this asks for.
fn change(
    registry: &mut Vec<Entry>,
    signal: Signal,
    change: impl FnOnce(&mut Entry),
) -> io::Result<()> {
    let at = match registry.iter().position(|entry| entry.signal == signal) {
        Some(at) => at,
        None => {
            registry.push(Entry {
                signal,
                former: Action::current(signal)?,
                in_force: InForce::Former,
                listeners: 0,
                stand_in: None,
            });
            registry.len() - 1
        }
    };
    let entry = &mut registry[at];
    change(entry);
    let result = entry.apply();
    // An error is the answer to the first listener of a signal, or never comes.
    if result.is_err() || entry.in_force == InForce::Former {
        registry.swap_remove(at);
    }
    result
}

impl Entry {
    fn apply(&mut self) -> io::Result<()> {
        let signal = self.signal;
        let wanted = match self.stand_in {
            _ if self.listeners > 0 => InForce::Ours,
            Some(slot) if slot.has_heard(signal) => InForce::Default,
            Some(_) => InForce::OursOnce,
            None => InForce::Former,
        };
        if wanted == self.in_force {
            return Ok(());
        }
        if let Some(slot) = self.stand_in {
            slot.want(signal, wanted == InForce::OursOnce);
        }
        match wanted {
            InForce::Ours => Action::ours(false).set(signal)?,
            InForce::OursOnce => Action::ours(true).set(signal)?,
            InForce::Default => Action::default().set(signal)?,
            // Where it is not ours any more somebody has set another one since; that is theirs to end.
            InForce::Former if !Action::current(signal)?.is_ours() => {}
            InForce::Former => self.former.set(signal)?,
        }
        self.in_force = wanted;
        Ok(())
    }
}
