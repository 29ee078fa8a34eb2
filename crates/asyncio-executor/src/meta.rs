//! A task's metadata: what the loop, the handles and the wakers of one task share.
//!
//! It lies in the task's one allocation, in front of the future. Every cell here belongs to the loop's thread, and
//! the task empties the ones that hold `!Send` things when it ends (`Meta::retire`), so that what a foreign thread
//! may drop later, together with the last waker, is plain data.

use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::Waker;

use crate::callback::Call;
use crate::cancel::CancelledError;
use crate::cancel::scopes::Scopes;
use crate::context::{self, Context};
use crate::exception::ExceptionContext;
use crate::local::Local;
use crate::place::Place;
use crate::shared::Shared;
use crate::task::{Seen, TaskInfo};

/// Bits of [`Meta::flags`], sixteen at most. `DONE` excludes all the others but the three outcomes, `DETACHED`
/// and `SEEN`.
pub(crate) mod flag {
    /// The future has returned or was dropped; the outcome is in the task's cell.
    pub(crate) const DONE: u32 = 1 << 0;
    /// With `DONE`: it ended cancelled.
    pub(crate) const CANCELLED: u32 = 1 << 1;
    /// With `DONE`: it ended by a panic.
    pub(crate) const PANICKED: u32 = 1 << 2;
    /// The handle was dropped: nobody can look at the outcome.
    pub(crate) const DETACHED: u32 = 1 << 3;
    /// A request aimed at the whole task is not delivered yet; taken where the body next suspends (S50).
    pub(crate) const MARKED: u32 = 1 << 4;
    /// The request found no scope and the task suspended: the next poll drops the future before polling it (S45).
    pub(crate) const ASKED: u32 = 1 << 5;
    /// A raise found no scope around it: the future is dropped as soon as it returns `Pending`.
    pub(crate) const RAISED: u32 = 1 << 6;
    /// The loop closes: the next poll drops the future whatever scopes it has.
    pub(crate) const CLOSING: u32 = 1 << 7;
    /// Some scope carries an undelivered request aimed at it alone (a timeout's, a group's).
    pub(crate) const SCOPE_MARKED: u32 = 1 << 8;

    /// Some scope has passed a request on to what it awaits.
    pub(crate) const FORWARDED: u32 = 1 << 9;
    /// The task's own waker is kept in its metadata: it has suspended before, or somebody asked for a reference.
    pub(crate) const HAS_WAKER: u32 = 1 << 10;
    /// A request is on its way through this task to what it awaits; ends the way where tasks await each other.
    pub(crate) const ASKING: u32 = 1 << 11;
    /// `extra` has a context: it is made current for the length of each step.
    pub(crate) const CONTEXT: u32 = 1 << 12;
    /// The handle has looked at the outcome: `extra` has it now.
    pub(crate) const SEEN: u32 = 1 << 13;
    /// The next poll is for finding out where the task hangs.
    pub(crate) const TRACED: u32 = 1 << 14;

    /// What must be looked at before the body is polled.
    pub(crate) const BEFORE_POLL: u32 = ASKED | CLOSING | CONTEXT | TRACED;
    /// What must be looked at when the body returned `Pending`.
    pub(crate) const AT_PENDING: u32 = MARKED | RAISED | FORWARDED | CONTEXT;
}

pub(crate) struct Meta {
    pub(crate) shared: NonNull<Shared>,
    /// From the top: number (40 bits), requests not taken back (8 bits), flags (16 bits).
    word: Cell<u64>,
    /// Where it was spawned, unless `extra` has it.
    place: Place,
    /// How much smaller the parent's number is; 0 for no parent, `u32::MAX` if `extra` has it.
    parent: u32,
    /// Neighbours in the loop's list of tasks that have suspended.
    pub(crate) previous: Cell<*const Meta>,
    pub(crate) next: Cell<*const Meta>,
    /// The task's claim on itself, from its first suspension to its end: keeps it alive while nobody else does
    /// (S36) and lets a request wake it. A task that ends in its first step never pays for it.
    waker: UnsafeCell<Option<Waker>>,
    /// What few tasks use; allocated when used.
    extra: UnsafeCell<Option<Box<Extra>>>,
}

/// The rarely used part. What may be dropped on any thread stays after the end (`name`, and `context`, in which reports
/// about the task are made); the rest is emptied.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    /// The request behind `MARKED`, or the raise behind `RAISED`.
    pub(crate) cancel: Option<CancelledError>,
    pub(crate) scopes: Option<Rc<Scopes>>,
    pub(crate) done: Vec<(u64, Rc<dyn Call>)>,
    context: Option<Context>,
    next_callback: u64,
    /// What did not fit in its short form.
    location: Option<&'static Location<'static>>,
    parent: Option<u64>,
    /// The outcome, if the handle looked at it. The handle's own: it takes it out before it gives the task up, so that this
    /// is empty whenever somebody else may drop the metadata.
    pub(crate) seen: Option<Seen>,
}

const FLAG_BITS: u32 = 16;
const FLAGS: u64 = (1 << FLAG_BITS) - 1;
const ONE_REQUEST: u64 = 1 << FLAG_BITS;
const REQUESTS: u64 = 0xff << FLAG_BITS;
const ID_SHIFT: u32 = FLAG_BITS + 8;

// SAFETY: a `Meta` is reachable from foreign threads through `Runnable<Meta>` and wakers. These read `shared` only
// (immutable, itself thread-safe) and may drop the `Meta`. Everything else is touched on the loop's thread only:
// by `Local` while it runs the task, and by `Task` and `TaskRef`, which are `!Send`. When a foreign thread drops the
// last reference the task is done (the loop's `waker` claim is gone), and `retire` has emptied the `!Send` fields; what
// came later, `seen`, the handle has taken out before it gave its own reference up.
unsafe impl Send for Meta {}
// SAFETY: as above.
unsafe impl Sync for Meta {}

impl Meta {
    #[inline]
    pub(crate) fn new(
        shared: NonNull<Shared>,
        location: &'static Location<'static>,
        id: u64,
        parent: u64,
    ) -> Meta {
        let place = Place::new(location);
        let distance = if parent == 0 {
            0
        } else {
            id.wrapping_sub(parent)
        };
        let meta = Meta {
            shared,
            word: Cell::new(id << ID_SHIFT),
            place,
            parent: u32::try_from(distance).unwrap_or(u32::MAX),
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            waker: UnsafeCell::new(None),
            extra: UnsafeCell::new(None),
        };
        if place.is_too_far() || meta.parent == u32::MAX {
            meta.keep_long(location, parent);
        }
        meta
    }

    #[cold]
    fn keep_long(&self, location: &'static Location<'static>, parent: u64) {
        self.with_new_extra(|extra| {
            extra.location = Some(location);
            extra.parent = Some(parent);
        });
    }

    /// Its number, unique in the process until 2^40 tasks were made.
    pub(crate) fn id(&self) -> u64 {
        self.word.get() >> ID_SHIFT
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.place
            .location()
            .or_else(|| self.with_extra(|extra| extra.location).flatten())
            .unwrap_or(Location::caller())
    }

    /// The number of the task that spawned it.
    pub(crate) fn parent(&self) -> Option<u64> {
        match self.parent {
            0 => None,
            u32::MAX => self.with_extra(|extra| extra.parent).flatten(),
            distance => Some(self.id().wrapping_sub(u64::from(distance))),
        }
    }

    /// Requests for cancellation not taken back; counted up to 255.
    #[inline]
    pub(crate) fn cancelling(&self) -> u32 {
        ((self.word.get() & REQUESTS) >> FLAG_BITS) as u32
    }

    pub(crate) fn count_request(&self) {
        if self.word.get() & REQUESTS != REQUESTS {
            self.word.set(self.word.get() + ONE_REQUEST);
        }
    }

    pub(crate) fn uncount_request(&self) -> u32 {
        if self.word.get() & REQUESTS != 0 {
            self.word.set(self.word.get() - ONE_REQUEST);
        }
        self.cancelling()
    }

    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        (self.word.get() & FLAGS) as u32
    }

    #[inline]
    pub(crate) fn set_flags(&self, flags: u32) {
        self.word.set(self.word.get() & !FLAGS | u64::from(flags));
    }

    #[inline]
    pub(crate) fn has(&self, bits: u32) -> bool {
        self.word.get() & u64::from(bits) != 0
    }

    #[inline]
    pub(crate) fn set(&self, bits: u32) {
        self.word.set(self.word.get() | u64::from(bits));
    }

    #[inline]
    pub(crate) fn unset(&self, bits: u32) {
        self.word.set(self.word.get() & !u64::from(bits));
    }

    pub(crate) fn is_done(&self) -> bool {
        self.has(flag::DONE)
    }

    /// Whether the task was stepped and suspended at least once.
    #[inline]
    pub(crate) fn has_waker(&self) -> bool {
        self.has(flag::HAS_WAKER)
    }

    pub(crate) fn clone_waker(&self) -> Option<Waker> {
        // SAFETY: loop thread only; cloning a waker of async-task runs no code that could come back here.
        unsafe { (*self.waker.get()).clone() }
    }

    pub(crate) fn keep_waker(&self, waker: Waker) {
        debug_assert!(!self.has_waker() && !self.is_done());
        self.set(flag::HAS_WAKER);
        // SAFETY: loop thread only; the slot was empty, so nothing is dropped.
        unsafe { *self.waker.get() = Some(waker) };
    }

    /// Appends the task to its loop's queue unless it is there or runs already.
    pub(crate) fn wake(&self) {
        // SAFETY: loop thread only; `wake_by_ref` ends in `schedule`, which touches the queue and not this cell.
        if let Some(waker) = unsafe { (*self.waker.get()).as_ref() } {
            waker.wake_by_ref();
        }
        // No waker: it was never stepped and is in the queue already, or it is being stepped for the first time and
        // looks at its flags itself, or it is done.
    }

    /// Reads or changes the rare part, if there is one.
    pub(crate) fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> Option<R> {
        // SAFETY: loop thread only; the closures passed in this crate run no foreign code (no drop of a user's value,
        // no wake, no callback), so the exclusive borrow is unique.
        unsafe { (*self.extra.get()).as_deref_mut().map(f) }
    }

    /// The same, making the rare part if there is none.
    pub(crate) fn with_new_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        // SAFETY: as in `with_extra`.
        unsafe { f((*self.extra.get()).get_or_insert_default()) }
    }

    pub(crate) fn name(&self) -> String {
        match self.given_name() {
            Some(name) => name.into(),
            None => TaskInfo::default_name(self.id()),
        }
    }

    pub(crate) fn given_name(&self) -> Option<Box<str>> {
        self.with_extra(|extra| extra.name.clone()).flatten()
    }

    pub(crate) fn set_name(&self, name: &str) {
        self.with_new_extra(|extra| extra.name = Some(name.into()));
    }

    /// Gives a task that has none its context, from the next step on.
    pub(crate) fn set_context(&self, context: Context) {
        debug_assert!(
            self.existing_context().is_none(),
            "a step may be running in it"
        );
        self.with_new_extra(|extra| extra.context = Some(context));
        if !self.is_done() {
            self.set(flag::CONTEXT);
        }
    }

    pub(crate) fn existing_context(&self) -> Option<Context> {
        self.with_extra(|extra| extra.context.clone()).flatten()
    }

    /// Its context, made when first asked for.
    pub(crate) fn context(&self) -> Context {
        let context = self.existing_context().unwrap_or_else(|| {
            let context = Context::new();
            self.set_context(context.clone());
            context
        });
        // A step that began without one, up to now.
        if Local::of(self.shared).is_some_and(|local| local.is_current(self))
            && context::is_current_null()
        {
            context.make_current();
        }
        context
    }

    /// Makes its context current, for a step.
    pub(crate) fn enter_context(&self) {
        if let Some(pointer) = self
            .with_extra(|extra| extra.context.as_ref().map(Context::pointer))
            .flatten()
        {
            context::set_current(pointer);
        }
    }

    /// The table of this task's scopes, made when first asked for.
    pub(crate) fn scopes(&self) -> Rc<Scopes> {
        self.with_new_extra(|extra| {
            extra
                .scopes
                .get_or_insert_with(|| Scopes::new(ptr::from_ref(self)))
                .clone()
        })
    }

    pub(crate) fn existing_scopes(&self) -> Option<Rc<Scopes>> {
        self.with_extra(|extra| extra.scopes.clone()).flatten()
    }

    /// Registers a callback for the end; the id is unique within the task.
    pub(crate) fn add_done_callback(&self, callback: Rc<dyn Call>) -> u64 {
        self.with_new_extra(|extra| {
            extra.next_callback += 1;
            extra.done.push((extra.next_callback, callback));
            extra.next_callback
        })
    }

    pub(crate) fn remove_done_callback(&self, id: u64) -> bool {
        let removed = self
            .with_extra(|extra| {
                let at = extra.done.iter().position(|(known, _)| *known == id)?;
                Some(extra.done.remove(at))
            })
            .flatten();
        // Dropped here, with no borrow held.
        removed.is_some()
    }

    /// The task has ended: empties every cell that holds something `!Send` and hands its done callbacks to `queue`.
    #[inline]
    pub(crate) fn retire(&self, queue: impl FnMut(Rc<dyn Call>)) {
        if self.has_waker() {
            self.unset(flag::HAS_WAKER);
            // SAFETY: loop thread only. Dropping a waker of this very task cannot free it: the runnable that is being
            // run holds a reference. async-task's drop runs no user code here.
            drop(unsafe { (*self.waker.get()).take() });
        }
        // SAFETY: loop thread only; only looked at.
        if unsafe { (*self.extra.get()).is_some() } {
            self.retire_extra(queue);
        }
    }

    #[cold]
    fn retire_extra(&self, mut queue: impl FnMut(Rc<dyn Call>)) {
        // The step is over as far as the task is concerned.
        if !context::is_current_null() {
            context::set_current(ptr::null());
        }
        let (scopes, cancel, done) = self
            .with_extra(|extra| {
                (
                    extra.scopes.take(),
                    extra.cancel.take(),
                    std::mem::take(&mut extra.done),
                )
            })
            .unwrap_or_default();
        if let Some(scopes) = scopes {
            // Scopes are left only where somebody keeps them; what their hooks and wakers do when dropped must not keep
            // the callbacks below from being queued.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scopes.task_ended())) {
                crate::report(ExceptionContext::panic(
                    "panic in the destructor of something a task awaited",
                    panic,
                    Some(self.location()),
                    None,
                ));
            }
        }
        drop(cancel);
        for (_, callback) in done {
            queue(callback);
        }
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        debug_assert!(self.waker.get_mut().is_none());
        if let Some(local) = Local::of(self.shared) {
            local.count_dropped_meta();
        } else {
            // SAFETY: away from the loop (another thread, or no longer entered): this metadata's own count.
            unsafe { Shared::release(self.shared) }
        }
    }
}
