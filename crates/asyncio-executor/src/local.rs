//! The loop's own half of an executor: the ready queue, the list of tasks that have suspended, what runs now.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use async_task::Runnable;

use crate::callback::Call;
use crate::context::{self, Apart, Context};
use crate::debug::{Debug, Subject};
use crate::exception::{ExceptionContext, ExceptionHandler};
use crate::meta::Meta;
use crate::pulse::Pulse;
use crate::run_queue::{Entry, RunQueue};
use crate::shared::{Foreign, Shared};
use crate::stats::Stats;
use crate::task_builder::TaskFactory;
use crate::trace::TaskTrace;

thread_local! {
    /// The executor entered on this thread. Constant and without a destructor, so a look costs one load.
    static CURRENT: Cell<*const Local> = const { Cell::new(ptr::null()) };
}

pub(crate) struct Local {
    pub(crate) shared: NonNull<Shared>,
    /// Metadata this loop answers for: spawned, and not yet dropped on the loop. See `shared.rs`.
    live_metas: Cell<usize>,
    ready: UnsafeCell<RunQueue>,
    /// Tasks that have suspended, in the order of the first time.
    first: Cell<*const Meta>,
    last: Cell<*const Meta>,
    living: Cell<usize>,
    /// A call of `run` is further up the stack.
    running: Cell<bool>,
    /// The task being stepped and the waker of that step; null between steps.
    current: Cell<*const Meta>,
    current_waker: Cell<*const Waker>,
    ids: Cell<(u64, u64)>,
    closing: Cell<bool>,
    turns: Cell<u64>,
    polls: Cell<u64>,
    callbacks: Cell<u64>,
    wakes: Cell<u64>,
    foreign: Cell<u64>,
    spawned: Cell<u64>,
    handler: RefCell<Option<ExceptionHandler>>,
    turn_end: RefCell<Vec<Rc<dyn TurnEnd>>>,
    /// This is the executor entered on its thread, no context is current, and it is not watched: a turn is just run.
    plain: Cell<bool>,
    /// A spawn has to look twice: the executor closes or starts tasks eagerly, or a context is current.
    spawns_oddly: Cell<bool>,
    factory: Cell<TaskFactory>,
    debug: RefCell<Option<Debug>>,
    pulse: RefCell<Option<Arc<Pulse>>>,
    /// What polls that look for it have seen, until it is fetched, see `trace.rs`.
    pub(crate) traces: RefCell<Vec<TaskTrace>>,
    /// A callback is being run: `stray` takes the context it makes if it came with none.
    pub(crate) in_call: Cell<bool>,
    pub(crate) stray: Cell<Option<Context>>,
}

/// Something to be done once when all that was ready has run, see [`at_turn_end`](crate::at_turn_end).
pub trait TurnEnd {
    /// The turn has ended. Runs outside of any task; must not panic.
    fn turn_ended(&self);
}

impl Local {
    pub(crate) fn new(pender: Box<dyn Fn() + Send + Sync>) -> Rc<Local> {
        Rc::new(Local {
            shared: Shared::new(pender),
            live_metas: Cell::new(0),
            ready: UnsafeCell::new(RunQueue::default()),
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
            living: Cell::new(0),
            running: Cell::new(false),
            current: Cell::new(ptr::null()),
            current_waker: Cell::new(ptr::null()),
            ids: Cell::new((0, 0)),
            closing: Cell::new(false),
            turns: Cell::new(0),
            polls: Cell::new(0),
            callbacks: Cell::new(0),
            wakes: Cell::new(0),
            foreign: Cell::new(0),
            spawned: Cell::new(0),
            handler: RefCell::new(None),
            turn_end: RefCell::new(Vec::new()),
            plain: Cell::new(false),
            spawns_oddly: Cell::new(false),
            factory: Cell::new(TaskFactory::Lazy),
            debug: RefCell::new(None),
            pulse: RefCell::new(None),
            traces: RefCell::default(),
            in_call: Cell::new(false),
            stray: Cell::new(None),
        })
    }

    /// The executor entered on this thread.
    #[inline]
    pub(crate) fn current<'a>() -> Option<&'a Local> {
        // SAFETY: the pointer is set by `Entered` only, which holds an `Rc` of it until it puts the former one back.
        // The lifetime is chosen by the caller; all callers are functions of this crate that use it within their
        // own call, during which the guard (further up the stack) lives.
        unsafe { CURRENT.get().as_ref() }
    }

    /// The entered executor, if it is the one `shared` belongs to.
    #[inline]
    pub(crate) fn of<'a>(shared: NonNull<Shared>) -> Option<&'a Local> {
        Local::current().filter(|local| local.shared == shared)
    }

    /// Whether this is the executor entered on this thread.
    #[inline]
    pub(crate) fn is_entered(&self) -> bool {
        ptr::eq(CURRENT.get(), self)
    }

    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        let former = CURRENT.replace(Rc::as_ptr(self));
        // SAFETY: its guard is further up the stack.
        if let Some(former) = unsafe { former.as_ref() } {
            former.plain.set(false);
        }
        self.update_plain();
        Entered {
            local: self.clone(),
            former,
        }
    }

    /// Whether [`run`](Local::run) can be called as things are, see [`Executor::run_ready`](crate::Executor::run_ready).
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain.get()
    }

    /// To be called whenever something has changed that it, or `spawns_oddly`, depends on: of the executor that is entered,
    /// or becomes so.
    pub(crate) fn update_plain(&self) {
        let no_context = context::is_current_null();
        let unwatched = self.debug.borrow().is_none() && self.pulse.borrow().is_none();
        self.plain.set(self.is_entered() && no_context && unwatched);
        self.spawns_oddly
            .set(self.closing.get() || self.factory.get() == TaskFactory::Eager || !no_context);
    }

    pub(crate) fn debug(&self) -> Option<Debug> {
        self.debug.borrow().clone()
    }

    pub(crate) fn set_debug(&self, debug: Option<Debug>) {
        let former = self.debug.replace(debug);
        self.update_plain();
        drop(former);
    }

    pub(crate) fn pulse(&self) -> Option<Arc<Pulse>> {
        self.pulse.borrow().clone()
    }

    pub(crate) fn set_pulse(&self, pulse: Option<Arc<Pulse>>) {
        let former = self.pulse.replace(pulse);
        self.update_plain();
        drop(former);
    }

    #[inline]
    pub(crate) fn spawns_oddly(&self) -> bool {
        self.spawns_oddly.get()
    }

    pub(crate) fn task_factory(&self) -> TaskFactory {
        self.factory.get()
    }

    pub(crate) fn set_task_factory(&self, factory: TaskFactory) {
        self.factory.set(factory);
        self.update_plain();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(crate) fn start_closing(&self) {
        self.closing.set(true);
        self.update_plain();
    }

    // --- the ready queue ---

    #[inline]
    fn with_ready<R>(&self, f: impl FnOnce(&mut RunQueue) -> R) -> R {
        // SAFETY: loop thread only (`Local` is `!Send`), and the closures passed (all in this file) run no code but
        // the queue's own, so the exclusive borrow is unique.
        unsafe { f(&mut *self.ready.get()) }
    }

    #[inline]
    pub(crate) fn push(&self, entry: Entry) {
        self.with_ready(|ready| ready.push(entry));
    }

    #[inline]
    pub(crate) fn push_task(&self, runnable: Runnable<Meta>) {
        self.with_ready(|ready| ready.push_task(runnable));
    }

    #[inline]
    pub(crate) fn ready_len(&self) -> usize {
        self.with_ready(|ready| ready.len())
    }

    /// Runs up to `limit` entries, oldest first. The executor is entered: a step looks for it there.
    pub(crate) fn run(&self, limit: usize) -> usize {
        debug_assert!(self.is_entered());
        let _restore = self.keep_current();
        let mut polls = 0;
        let mut callbacks = 0;
        while polls + callbacks < limit {
            match self.with_ready(RunQueue::pop) {
                Some(Entry::Task(runnable)) => {
                    polls += 1;
                    self.current.set(runnable.metadata());
                    // Should not unwind: the root future catches the panics of the body and of its destructor.
                    runnable.run();
                }
                Some(Entry::Call(call)) => {
                    callbacks += 1;
                    self.current.set(ptr::null());
                    self.call(call);
                }
                Some(Entry::Wake(waker)) => {
                    callbacks += 1;
                    self.current.set(ptr::null());
                    self.wake(waker);
                }
                None => break,
            }
        }
        self.with_ready(|ready| ready.turn_used(polls + callbacks));
        self.polls.set(self.polls.get() + polls as u64);
        self.callbacks.set(self.callbacks.get() + callbacks as u64);
        polls + callbacks
    }

    /// The numbers of the tasks in the ready queue.
    pub(crate) fn ready_ids(&self) -> HashSet<u64> {
        self.with_ready(|ready| ready.tasks().map(id_of).collect())
    }

    /// Those of these tasks that are in the ready queue.
    pub(crate) fn ready_among(&self, tasks: &HashSet<u64>) -> HashSet<u64> {
        self.with_ready(|ready| {
            let ids = ready.tasks().map(id_of);
            ids.filter(|id| tasks.contains(id)).collect()
        })
    }

    /// What would run next, for a report.
    pub(crate) fn next_subject(&self) -> Option<Subject> {
        self.with_ready(|ready| ready.front())
    }

    pub(crate) fn at_turn_end(&self, hook: Rc<dyn TurnEnd>) {
        self.turn_end.borrow_mut().push(hook);
    }

    /// The number of the turn that runs, from 1.
    #[inline]
    pub(crate) fn turn_number(&self) -> u64 {
        self.turns.get()
    }

    #[inline]
    pub(crate) fn begin_turn(&self) {
        self.turns.set(self.turns.get() + 1);
    }

    #[inline]
    pub(crate) fn end_turn(&self) {
        if !self.turn_end.borrow().is_empty() {
            self.run_turn_end();
        }
    }

    #[cold]
    fn run_turn_end(&self) {
        // Taken out: a hook may ask to be called at the end of the next turn.
        let mut hooks = self.turn_end.take();
        for hook in hooks.drain(..) {
            hook.turn_ended();
        }
        let mut now = self.turn_end.borrow_mut();
        if now.is_empty() {
            // Keeps the capacity for the next turn.
            *now = hooks;
        }
    }

    /// Steps every queued task, which its `CLOSING` flag makes drop its future, and drops callbacks unrun.
    pub(crate) fn run_closing(&self) -> usize {
        let mut ran = 0;
        while let Some(entry) = self.with_ready(RunQueue::pop) {
            match entry {
                Entry::Task(runnable) => {
                    runnable.metadata().set(crate::meta::flag::CLOSING);
                    self.step(runnable);
                    ran += 1;
                }
                // Whoever waits for it is ended from the list.
                Entry::Wake(waker) => {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(waker))) {
                        self.report(ExceptionContext::panic(
                            "panic in the destructor of a waker",
                            panic,
                            None,
                            None,
                        ));
                    }
                }
                Entry::Call(call) => {
                    // A destructor that panics must not keep the others from being dropped.
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call.cancel())) {
                        self.report(ExceptionContext::panic(
                            "panic in the destructor of a callback that was dropped unrun",
                            panic,
                            Some(call.location()),
                            None,
                        ));
                    }
                }
            }
        }
        ran
    }

    /// Whether a call of `run` is further up the stack.
    pub(crate) fn is_running(&self) -> bool {
        self.running.get()
    }

    /// One step of one task, possibly within a step of another.
    pub(crate) fn step(&self, runnable: Runnable<Meta>) {
        self.polls.set(self.polls.get() + 1);
        // The outer one would otherwise be nowhere for the length of this step.
        self.keep_current_task();
        let _restore = self.keep_current();
        let _apart = Apart::set(self);
        self.current.set(runnable.metadata());
        runnable.run();
    }

    /// Notes that entries are run, and which task this happens in; undone when the guard goes, also by a panic: a
    /// pointer left behind would dangle.
    ///
    /// Once for many steps: between them nothing but this loop runs, and it does not look.
    fn keep_current(&self) -> Running<'_> {
        Running {
            local: self,
            running: self.running.replace(true),
            task: self.current.get(),
            waker: self.current_waker.get(),
        }
    }

    /// The task being stepped has ended. From here on its metadata may be freed before the step is over, and code of
    /// a user's (a waker, the destructor of an output) may still run in it.
    #[inline]
    pub(crate) fn leave_task(&self) {
        self.current.set(ptr::null());
    }

    fn wake(&self, waker: Waker) {
        // Ours do not panic; one of somebody else's combinator may.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            self.report(ExceptionContext::panic(
                "panic in a waker",
                panic,
                None,
                None,
            ));
        }
    }

    fn call(&self, call: Rc<dyn Call>) {
        let outer = self.in_call.replace(true);
        // S6, S27: a panic in a callback is reported, and the loop and the rest of the queue carry on.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call.run())) {
            // S185: in the context of the callback.
            self.report(ExceptionContext::panic(
                "panic in a callback of the event loop",
                panic,
                Some(call.location()),
                None,
            ));
        }
        self.in_call.set(outer);
        if !context::is_current_null() {
            context::set_current(ptr::null());
            drop(self.stray.take());
        }
    }

    /// The context of what runs now, which has none yet.
    #[cold]
    pub(crate) fn new_context(&self) -> Context {
        match self.current_meta() {
            Some(task) if !task.is_done() => task.context(),
            _ => {
                let context = Context::new();
                if self.in_call.get() {
                    self.adopt_context(context.clone());
                }
                // Otherwise a waker, or the destructor of something a task left behind: what is set there is lost.
                context
            }
        }
    }

    /// The rest of the callback that runs now is to run in this context.
    pub(crate) fn adopt_context(&self, context: Context) {
        context.make_current();
        self.stray.set(Some(context));
    }

    /// Takes foreign wakes and calls over into the ready queue.
    #[inline]
    pub(crate) fn take_foreign(&self) -> usize {
        if self.foreign_announced() {
            self.take_announced()
        } else {
            0
        }
    }

    #[cold]
    fn take_announced(&self) -> usize {
        // SAFETY: the loop's bias keeps `Shared` alive.
        let shared = unsafe { self.shared.as_ref() };
        let taken = shared.injector.take(|item| self.push_foreign(item));
        self.foreign.set(self.foreign.get() + taken as u64);
        taken
    }

    #[inline]
    pub(crate) fn foreign_announced(&self) -> bool {
        // SAFETY: as in `take_foreign`.
        unsafe { self.shared.as_ref() }.injector.announced()
    }

    pub(crate) fn push_foreign(&self, item: Foreign) {
        match item {
            Foreign::Wake(runnable) => self.push(Entry::Task(runnable)),
            Foreign::Call(call) => {
                self.push(Entry::Call(crate::callback::once(
                    call,
                    None,
                    Location::caller(),
                )));
            }
        }
    }

    // --- tasks that have not ended ---

    /// The next task id. Ids are process-wide and taken in blocks, so that a spawn costs no atomic.
    pub(crate) fn next_id(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        const BLOCK: u64 = 64;
        let (mut next, mut end) = self.ids.get();
        if next == end {
            next = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
            end = next + BLOCK;
        }
        self.ids.set((next + 1, end));
        next
    }

    /// A task was made.
    #[inline]
    pub(crate) fn count_spawned(&self) {
        self.spawned.set(self.spawned.get() + 1);
        self.living.set(self.living.get() + 1);
    }

    /// A task suspends for the first time, or somebody asks for a reference to it before: gives it its claim on itself
    /// and puts it into the list. One that ends in its first step was never there: until then the ready queue has it.
    pub(crate) fn keep(&self, meta: &Meta, waker: Waker) {
        meta.keep_waker(waker);
        self.link(meta);
    }

    /// A task has ended.
    #[inline]
    pub(crate) fn forget(&self, meta: &Meta) {
        self.living.set(self.living.get() - 1);
        if meta.has_waker() {
            self.unlink(meta);
        }
    }

    fn link(&self, meta: &Meta) {
        let last = self.last.replace(meta);
        meta.previous.set(last);
        // SAFETY: members of the list are not done and have their claim on themselves, so their metadata is alive.
        match unsafe { last.as_ref() } {
            Some(last) => last.next.set(meta),
            None => self.first.set(meta),
        }
    }

    fn unlink(&self, meta: &Meta) {
        let (previous, next) = (
            meta.previous.replace(ptr::null()),
            meta.next.replace(ptr::null()),
        );
        // SAFETY: neighbours are members of the list, see `link`.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.first.set(next),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => self.last.set(previous),
        }
    }

    pub(crate) fn living(&self) -> usize {
        self.living.get()
    }

    /// Calls `f` for each task that has suspended, in the order of the first time. `f` must not end or spawn tasks.
    pub(crate) fn each_suspended(&self, mut f: impl FnMut(&Meta)) {
        let _ = self.try_each_suspended(|meta| {
            f(meta);
            ControlFlow::Continue(())
        });
    }

    /// The same until `f` has seen enough.
    pub(crate) fn try_each_suspended(
        &self,
        mut f: impl FnMut(&Meta) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut at = self.first.get();
        // SAFETY: members of the list are alive, see `link`; `f` removes none.
        while let Some(meta) = unsafe { at.as_ref() } {
            at = meta.next.get();
            f(meta)?;
        }
        ControlFlow::Continue(())
    }

    /// Puts every task that waits for its first step, or is in it, into the list, so that a reference to it can be made.
    ///
    /// The former are in the ready queue and nowhere else; of that no more than `limit` tasks are looked at.
    pub(crate) fn keep_new_tasks(&self, limit: usize) {
        self.keep_current_task();
        self.with_ready(|ready| {
            for runnable in ready.tasks().take(limit) {
                let meta = runnable.metadata();
                if !meta.is_done() && !meta.has_waker() {
                    self.keep(meta, runnable.waker());
                }
            }
        });
    }

    fn keep_current_task(&self) {
        if let (Some(meta), Some(waker)) = (self.current_meta(), self.current_waker())
            && !meta.has_waker()
            && !meta.is_done()
        {
            self.keep(meta, waker.clone());
        }
    }

    #[inline]
    pub(crate) fn count_new_meta(&self) {
        self.live_metas.set(self.live_metas.get() + 1);
    }

    #[inline]
    pub(crate) fn count_dropped_meta(&self) {
        self.live_metas.set(self.live_metas.get() - 1);
    }

    // --- what runs now ---

    /// The task being stepped.
    #[inline]
    pub(crate) fn current_meta(&self) -> Option<&Meta> {
        // SAFETY: set for the length of `step`, during which the runnable keeps the metadata alive. The borrow is
        // bound to `self`, and callers use it within the step they are part of.
        unsafe { self.current.get().as_ref() }
    }

    #[inline]
    pub(crate) fn is_current(&self, meta: &Meta) -> bool {
        ptr::eq(self.current.get(), meta)
    }

    #[inline]
    pub(crate) fn set_current_waker(&self, waker: &Waker) {
        self.current_waker.set(waker);
    }

    /// Whether this very task is being stepped, and this very waker is the one of the step.
    #[inline]
    pub(crate) fn is_stepping(&self, task: *const Meta, waker: &Waker) -> bool {
        !task.is_null()
            && ptr::eq(self.current.get(), task)
            && ptr::eq(self.current_waker.get(), waker)
    }

    /// The waker of the step that runs now.
    #[inline]
    pub(crate) fn current_waker(&self) -> Option<&Waker> {
        // SAFETY: set by the root future for the length of its poll, within `step`.
        unsafe { self.current_waker.get().as_ref() }
    }

    // --- reports ---

    pub(crate) fn set_handler(
        &self,
        handler: Option<ExceptionHandler>,
    ) -> Option<ExceptionHandler> {
        self.handler.replace(handler)
    }

    pub(crate) fn handler(&self) -> Option<ExceptionHandler> {
        self.handler.borrow().clone()
    }

    /// A report about a task, made in the task's context (S185).
    #[cold]
    pub(crate) fn report_of(&self, task: &Meta, report: ExceptionContext) {
        let context = task.existing_context().unwrap_or_default();
        context.run(|| self.report(report));
    }

    pub(crate) fn report(&self, context: ExceptionContext) {
        let Some(handler) = self.handler() else {
            return context.print();
        };
        // S184: a handler that fails is itself reported, by the default one.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| handler(&context))) {
            ExceptionContext::panic("panic in the exception handler", panic, None, None).print();
            context.print();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            spawned: self.spawned.get(),
            turns: self.turns.get(),
            polls: self.polls.get(),
            callbacks: self.callbacks.get(),
            wakes: self.wakes.get(),
            foreign: self.foreign.get(),
            living: self.living.get(),
        }
    }

    #[inline]
    fn count_wake(&self) {
        self.wakes.set(self.wakes.get() + 1);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // What is still queued here was put there after `close` (see there); it is of no use to anybody.
        let left = self.with_ready(std::mem::take);
        drop(left);
        // SAFETY: this is the loop, once; metadata dropped from here on finds no entered executor of its own and
        // counts itself in `Shared`.
        unsafe { Shared::abandon(self.shared, self.live_metas.get()) }
    }
}

/// Puts back what was current before some entries were run.
struct Running<'a> {
    local: &'a Local,
    running: bool,
    task: *const Meta,
    waker: *const Waker,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.local.running.set(self.running);
        self.local.current.set(self.task);
        self.local.current_waker.set(self.waker);
    }
}

/// Where async-task puts a task that was woken. A plain function, not a closure: a captured variable would cost two
/// more atomics per wake, so the way home is in the metadata.
pub(crate) fn schedule(runnable: Runnable<Meta>) {
    let shared = runnable.metadata().shared;
    match Local::of(shared) {
        Some(local) => {
            local.count_wake();
            local.push_task(runnable);
        }
        // SAFETY: `shared` is the runnable's own.
        None => unsafe { Shared::send_home(shared, runnable) },
    }
}

/// Keeps an executor entered on this thread. Never leaves this crate: guards must end in the order opposite to their
/// making, which a closure (`Executor::enter`) ensures and a value in a user's hands would not.
pub(crate) struct Entered {
    local: Rc<Local>,
    former: *const Local,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.local.plain.set(false);
        CURRENT.set(self.former);
        // SAFETY: the former executor is alive: its guard is further up the stack.
        if let Some(former) = unsafe { self.former.as_ref() } {
            former.update_plain();
        }
    }
}

fn id_of(runnable: &Runnable<Meta>) -> u64 {
    runnable.metadata().id()
}
