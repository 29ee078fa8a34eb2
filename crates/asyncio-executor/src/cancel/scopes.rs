//! The tree of scopes of one task.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Waker};

use slab::Slab;

use super::error::CancelledError;
use super::request;
use crate::local::Local;
use crate::meta::{Meta, flag};
use crate::root::Revived;

/// The scopes of one task. Made when its first scope is polled; shared by the task and its scopes.
pub(crate) struct Scopes {
    /// Null once the task has ended: scopes that outlive it have no task any more.
    task: Cell<*const Meta>,
    pub(super) nodes: RefCell<Slab<Node>>,
    /// The scope whose body is being polled, innermost.
    current: Cell<Option<usize>>,
    /// How many nodes carry a mark; the task's `SCOPE_MARKED` bit says whether it is not zero.
    marks: Cell<usize>,
}

pub(super) struct Node {
    pub(super) parent: Option<usize>,
    /// Living scopes directly below; 0 makes this an innermost one.
    children: usize,
    /// The body is being polled further up the stack.
    pub(super) polling: bool,
    /// What this was last polled with; `None` stands for the task's own waker.
    pub(super) waker: Option<Waker>,
    pub(super) hook: Hook,
    /// What cancellation has to do with this scope; most never need it.
    news: Option<Box<News>>,
}

/// What became known to a scope.
#[derive(Default)]
pub(super) struct News {
    /// The request to take before the body is polled again.
    pub(super) asked: Option<CancelledError>,
    /// A request aimed at this scope and what is below it, not yet taken by anybody.
    mark: Option<CancelledError>,
    /// A raise inside the body.
    raised: Option<CancelledError>,
    /// The request the hook accepted.
    pub(super) forwarded: Option<CancelledError>,
}

impl Node {
    pub(super) fn news_mut(&mut self) -> &mut News {
        self.news.get_or_insert_default()
    }

    fn mark(&self) -> Option<&CancelledError> {
        self.news.as_ref()?.mark.as_ref()
    }

    fn forwarded(&self) -> Option<&CancelledError> {
        self.news.as_ref()?.forwarded.as_ref()
    }

    /// Takes one of the news out, without making any.
    fn take(
        &mut self,
        which: impl FnOnce(&mut News) -> &mut Option<CancelledError>,
    ) -> Option<CancelledError> {
        which(self.news.as_mut()?).take()
    }
}

/// How a scope without a body passes a request on.
#[derive(Clone)]
pub(super) enum Hook {
    /// It has a body.
    None,
    /// It awaits this task. Valid while the node is in the tree: `Join` owns the task's handle and leaves first.
    Task(*const Meta),
    Custom(Rc<dyn Forward>),
}

/// Something that is awaited and hears of a request at once, inside `cancel()` (S47).
pub trait Forward {
    /// Passes the request on. Returns false if the thing is settled already, so that nobody is left to hear it.
    fn forward(&self, request: &CancelledError) -> bool;

    /// Whether it is settled: its result is there to be taken.
    fn is_settled(&self) -> bool;
}

impl Hook {
    pub(super) fn forward(&self, request: &CancelledError) -> bool {
        match self {
            Hook::None => false,
            // SAFETY: see the variant; the caller holds no reference into the tree.
            Hook::Task(meta) => request::request(unsafe { &**meta }, request.clone()),
            Hook::Custom(hook) => hook.forward(request),
        }
    }

    fn is_settled(&self) -> bool {
        match self {
            Hook::None => false,
            // SAFETY: see the variant.
            Hook::Task(meta) => unsafe { &**meta }.is_done(),
            Hook::Custom(hook) => hook.is_settled(),
        }
    }
}

impl Scopes {
    pub(crate) fn new(task: *const Meta) -> Rc<Scopes> {
        Rc::new(Scopes {
            task: Cell::new(task),
            nodes: RefCell::new(Slab::new()),
            current: Cell::new(None),
            marks: Cell::new(0),
        })
    }

    pub(crate) fn task_ended(&self) {
        self.task.set(ptr::null());
        // Wakers and hooks go now; a scope that is still held somewhere finds its task gone and its node too.
        let nodes = self.nodes.take();
        drop(nodes);
    }

    fn task(&self) -> Option<&Meta> {
        // SAFETY: not null means that the task has not ended, so its metadata is alive.
        unsafe { self.task.get().as_ref() }
    }

    /// Whether no scope is alive.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.borrow().is_empty()
    }

    /// The innermost scopes at or below `top` (`None`: of the whole task).
    pub(super) fn innermost(&self, top: Option<usize>) -> Vec<usize> {
        let nodes = self.nodes.borrow();
        nodes
            .iter()
            .filter(|(_, node)| node.children == 0)
            .map(|(key, _)| key)
            .filter(|key| top.is_none() || path(&nodes, *key).any(|above| Some(above) == top))
            .collect()
    }

    fn set_mark(&self, key: usize, mark: CancelledError) {
        let former = self.nodes.borrow_mut()[key].news_mut().mark.replace(mark);
        if former.is_none() {
            self.marks.set(self.marks.get() + 1);
            self.update_scope_marked();
        }
    }

    fn take_mark(&self, key: usize) -> Option<CancelledError> {
        let mark = self.nodes.borrow_mut()[key].take(|news| &mut news.mark);
        if mark.is_some() {
            self.marks.set(self.marks.get() - 1);
            self.update_scope_marked();
        }
        mark
    }

    fn update_scope_marked(&self) {
        if let Some(task) = self.task() {
            if self.marks.get() == 0 {
                task.unset(flag::SCOPE_MARKED);
            } else {
                task.set(flag::SCOPE_MARKED);
            }
        }
    }

    /// Takes every mark on `key` and above it, the task's included: one request reached a scope there (S53).
    ///
    /// Returns the outermost.
    pub(super) fn take_marks(&self, key: usize) -> Option<CancelledError> {
        let mut found = None;
        let marked: Vec<usize> = {
            let nodes = self.nodes.borrow();
            path(&nodes, key)
                .filter(|above| nodes[*above].mark().is_some())
                .collect()
        };
        for above in marked {
            found = self.take_mark(above);
        }
        if let Some(task) = self.task()
            && task.has(flag::MARKED)
        {
            task.unset(flag::MARKED | flag::ASKED);
            found = task.with_extra(|extra| extra.cancel.take()).flatten();
            // The mark is the authority; a request without a message has nothing stored beside it.
            found.get_or_insert_default();
        }
        found
    }

    /// Withdraws every request that nobody took (S56).
    pub(super) fn withdraw(&self) {
        let keys: Vec<usize> = self.nodes.borrow().iter().map(|(key, _)| key).collect();
        for key in keys {
            self.take_mark(key);
            self.nodes.borrow_mut()[key].take(|news| &mut news.asked);
        }
    }

    pub(super) fn has_marks(&self) -> bool {
        self.marks.get() != 0
    }

    /// Raises in the current scope; false if there is none.
    pub(super) fn raise(&self, error: &CancelledError) -> bool {
        let Some(key) = self.current.get() else {
            return false;
        };
        self.nodes.borrow_mut()[key].news_mut().raised = Some(error.clone());
        true
    }

    /// Turns a forwarded request whose target is settled back into a mark on the task: if the scope that forwarded
    /// it is polled now, it takes the mark with it; if it is not (a stale arm of a `select`), the request is not lost.
    pub(crate) fn revive_forwarded(&self) -> Revived {
        let forwarded: Vec<(CancelledError, Hook)> = self
            .nodes
            .borrow()
            .iter()
            .filter_map(|(_, node)| Some((node.forwarded()?.clone(), node.hook.clone())))
            .collect();
        if forwarded.is_empty() {
            return Revived::Nothing;
        }
        match forwarded.into_iter().find(|(_, hook)| hook.is_settled()) {
            Some((request, _)) => Revived::Settled(request),
            None => Revived::Waiting,
        }
    }
}

/// `key` and the scopes above it, innermost first.
fn path(nodes: &Slab<Node>, key: usize) -> impl Iterator<Item = usize> + '_ {
    std::iter::successors(Some(key), |key| nodes[*key].parent)
}

/// One scope's place in the tree of the task that polls it. Leaves when dropped.
#[derive(Default)]
pub(crate) struct Scope {
    place: Option<(Rc<Scopes>, usize)>,
}

impl Scope {
    /// Takes a place under the current scope of the task being stepped, unless it has one in that task already.
    /// Returns false where no task is being stepped, and true otherwise.
    ///
    /// To be called by every poll before anything else.
    pub(super) fn join(&mut self, cx: &Context<'_>) -> bool {
        let Some(local) = Local::current() else {
            return false;
        };
        let Some(task) = local.current_meta() else {
            return false;
        };
        if let Some((scopes, _)) = &self.place
            && !ptr::eq(scopes.task.get(), task)
        {
            // It was polled by another task before and has moved.
            self.leave();
        }
        let foreign_waker = match local.current_waker() {
            Some(own) if own.will_wake(cx.waker()) => None,
            _ => Some(cx.waker()),
        };
        match &self.place {
            None => {
                let scopes = task.scopes();
                let parent = scopes.current.get();
                let key = {
                    let mut nodes = scopes.nodes.borrow_mut();
                    if let Some(parent) = parent {
                        nodes[parent].children += 1;
                    }
                    nodes.insert(Node {
                        parent,
                        children: 0,
                        polling: false,
                        waker: foreign_waker.cloned(),
                        hook: Hook::None,
                        news: None,
                    })
                };
                self.place = Some((scopes, key));
            }
            Some((scopes, key)) => {
                let mut nodes = scopes.nodes.borrow_mut();
                let node = &mut nodes[*key];
                let same = match (&node.waker, foreign_waker) {
                    (None, None) => true,
                    (Some(kept), Some(new)) => kept.will_wake(new),
                    _ => false,
                };
                if !same {
                    let former = std::mem::replace(&mut node.waker, foreign_waker.cloned());
                    drop(nodes);
                    drop(former);
                }
            }
        }
        true
    }

    /// The request this scope was asked to take before it polls its body (S48).
    pub(super) fn take_asked(&mut self) -> Option<CancelledError> {
        let (scopes, key) = self.place.as_ref()?;
        if scopes.task.get().is_null() {
            return None;
        }
        let asked = scopes.nodes.borrow_mut()[*key].take(|news| &mut news.asked)?;
        scopes.take_marks(*key);
        Some(asked)
    }

    /// Polls a body as the current scope. The scope has joined.
    pub(super) fn poll_body<R>(&self, poll: impl FnOnce() -> R) -> R {
        let Some((scopes, key)) = &self.place else {
            return poll();
        };
        /// Also when the body panics.
        struct Restore<'a>(&'a Scopes, usize, Option<usize>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.current.set(self.2);
                if let Some(node) = self.0.nodes.borrow_mut().get_mut(self.1) {
                    node.polling = false;
                }
            }
        }
        scopes.nodes.borrow_mut()[*key].polling = true;
        let _restore = Restore(scopes, *key, scopes.current.replace(Some(*key)));
        poll()
    }

    /// What unwinds this scope now that its body returned `Pending`: a raise inside, or a request that marks it or
    /// something around it (S50).
    pub(super) fn interrupted(&mut self) -> Option<CancelledError> {
        let (scopes, key) = self.place.as_ref()?;
        let task = scopes.task()?;
        let raised = scopes.nodes.borrow_mut()[*key].take(|news| &mut news.raised);
        if raised.is_some() {
            return raised;
        }
        if task.has(flag::MARKED | flag::SCOPE_MARKED) {
            return scopes.take_marks(*key);
        }
        None
    }

    /// Aims a request at this scope and what is below it, see [`request`].
    pub(super) fn request(&mut self, error: CancelledError) {
        if let Some((scopes, key)) = &self.place
            && let Some(task) = scopes.task()
        {
            task.cancelling.set(task.cancelling.get() + 1);
            scopes.set_mark(*key, error.clone());
            request::ask_innermost(task, scopes, Some(*key), &error);
        }
    }

    /// Gives the place up. Scopes below that are still alive move up.
    pub(super) fn leave(&mut self) {
        let Some((scopes, key)) = self.place.take() else {
            return;
        };
        if scopes.task.get().is_null() {
            return;
        }
        let node = {
            let mut nodes = scopes.nodes.borrow_mut();
            let node = nodes.remove(key);
            if node.children > 0 {
                for (_, orphan) in nodes.iter_mut() {
                    if orphan.parent == Some(key) {
                        orphan.parent = node.parent;
                    }
                }
            }
            if let Some(parent) = node.parent {
                nodes[parent].children += node.children;
                nodes[parent].children -= 1;
            }
            node
        };
        if node.mark().is_some() {
            // A request aimed at this scope alone goes with it.
            scopes.marks.set(scopes.marks.get() - 1);
            scopes.update_scope_marked();
        }
        // Wakers and hooks are dropped with no borrow held.
        drop(node);
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The scope of a future that has no body of its own but awaits something that can be asked to end: an awaited task,
/// a promise, a gather (design: "a scope without a body").
///
/// A leaf future holds one and calls, in each poll: [`take_request`](ForwardScope::take_request) first,
/// then looks at the thing; if it is pending [`suspend`](ForwardScope::suspend), if it is settled
/// [`finish`](ForwardScope::finish). What the first or the last returns is to be raised
/// ([`CancelledError::propagate`]) instead of, or according to, the thing's outcome.
#[derive(Default)]
pub struct ForwardScope {
    scope: Scope,
}

impl ForwardScope {
    /// A scope that has not been polled yet.
    pub fn new() -> ForwardScope {
        ForwardScope::default()
    }

    /// The request that came when the thing was settled but not yet taken: the result is lost to this await (S48).
    pub fn take_request(&mut self) -> Option<CancelledError> {
        let request = self.scope.take_asked();
        if request.is_some() {
            self.scope.leave();
        }
        request
    }

    /// The thing is pending: takes a place in the task's tree of scopes, with `forward` as the way a request goes.
    pub fn suspend(&mut self, cx: &Context<'_>, forward: impl FnOnce() -> Rc<dyn Forward>) {
        self.suspend_on(cx, || Hook::Custom(forward()));
    }

    /// The same for an awaited task, without an allocation.
    ///
    /// # Safety
    ///
    /// The metadata stays alive until this scope finished or was dropped.
    pub(crate) unsafe fn suspend_on_task(&mut self, cx: &Context<'_>, task: *const Meta) {
        self.suspend_on(cx, || Hook::Task(task));
    }

    fn suspend_on(&mut self, cx: &Context<'_>, hook: impl FnOnce() -> Hook) {
        if !self.scope.join(cx) {
            return;
        }
        let Some((scopes, key)) = &self.scope.place else {
            return;
        };
        if matches!(scopes.nodes.borrow()[*key].hook, Hook::None) {
            let hook = hook();
            scopes.nodes.borrow_mut()[*key].hook = hook;
        }
        // S51: a task that cancelled itself and now suspends here: what it awaits is asked first.
        if let Some(task) = scopes.task()
            && task.has(flag::MARKED | flag::SCOPE_MARKED)
            && let Some(error) = scopes.take_marks(*key)
        {
            request::forward_or_ask(task, scopes, *key, &error);
        }
    }

    /// The thing is settled: gives the place up and returns the request that was passed on to it, if any.
    pub fn finish(&mut self) -> Option<CancelledError> {
        let (scopes, key) = self.scope.place.as_ref()?;
        let forwarded = if scopes.task.get().is_null() {
            None
        } else {
            scopes.nodes.borrow_mut()[*key].take(|news| &mut news.forwarded)
        };
        if forwarded.is_some() {
            // `revive_forwarded` may have marked the task for it.
            scopes.take_marks(*key);
        }
        self.scope.leave();
        forwarded
    }
}

impl fmt::Debug for ForwardScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardScope")
            .field("suspended", &self.scope.place.is_some())
            .finish()
    }
}
