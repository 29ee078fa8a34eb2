//! The tree of scopes of one task.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Waker};

use slab::Slab;

use super::error::CancelledError;
use super::nodes::Nodes;
use super::request;
use crate::await_edges::{AwaitEdge, Awaited, Entry};
use crate::local::Local;
use crate::meta::{Meta, flag};

/// The scopes of one task. Made when its first scope is polled; shared by the task and its scopes.
pub(crate) struct Scopes {
    /// Null once the task has ended: scopes that outlive it have no task any more.
    task: Cell<*const Meta>,
    pub(super) nodes: RefCell<Nodes>,
    /// The scope whose body is being polled, innermost.
    current: Cell<Option<usize>>,
    /// How many nodes carry a mark; the task's `SCOPE_MARKED` bit says whether it is not zero.
    marks: Cell<usize>,
    /// The number of the latest request, and of the latest that somebody took: a forwarded one that comes back and is
    /// not later than that has been heard.
    requests: Cell<u64>,
    taken: Cell<u64>,
    /// Some node has, or had, news: the usual poll asks this once instead of each node.
    any_news: Cell<bool>,
    /// What is awaited without a scope, for those who look; no part of the tree.
    pub(crate) watches: RefCell<Slab<Entry>>,
}

pub(super) struct Node {
    pub(super) parent: Option<usize>,
    /// Living scopes directly below; 0 makes this an innermost one.
    children: usize,
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
    forwarded: Option<Forwarded>,
}

impl News {
    /// Notes the request to take before the body is polled again: the first one, also where that was passed on (S53).
    pub(super) fn ask(&mut self, error: &CancelledError) {
        let forwarded = self.forwarded.as_ref().map(|forwarded| &forwarded.request);
        self.asked
            .get_or_insert_with(|| forwarded.unwrap_or(error).clone());
    }
}

/// A request that a hook accepted, until the scope hears how that ended.
struct Forwarded {
    request: CancelledError,
    /// Which it was, see [`Scopes::requests`].
    number: u64,
    /// The scope it was aimed at; `None` for the task.
    target: Option<usize>,
    /// The thing was settled and the scope was not polled for it.
    overdue: bool,
}

impl Node {
    fn mark(&self) -> Option<&CancelledError> {
        self.news.as_ref()?.mark.as_ref()
    }

    fn forwarded(&self) -> Option<&Forwarded> {
        self.news.as_ref()?.forwarded.as_ref()
    }

    /// Takes one of the news out, without making any.
    fn take<T>(&mut self, which: impl FnOnce(&mut News) -> &mut Option<T>) -> Option<T> {
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

    /// What it is called by those who look at what a task waits for.
    fn label(&self) -> &'static str {
        "awaitable"
    }

    /// Calls `each` with everything that is awaited through it, for those who look.
    fn each_awaited(&self, _each: &mut dyn FnMut(Awaited)) {}
}

impl Hook {
    fn is_settled(&self) -> bool {
        match self {
            Hook::None => false,
            // SAFETY: see the variant; called with the node just looked up in the tree.
            Hook::Task(meta) => unsafe { &**meta }.is_done(),
            Hook::Custom(hook) => hook.is_settled(),
        }
    }
}

impl Scopes {
    pub(crate) fn new(task: *const Meta) -> Rc<Scopes> {
        Rc::new(Scopes {
            task: Cell::new(task),
            nodes: RefCell::default(),
            current: Cell::new(None),
            marks: Cell::new(0),
            requests: Cell::new(0),
            taken: Cell::new(0),
            any_news: Cell::new(false),
            watches: RefCell::default(),
        })
    }

    pub(crate) fn task_ended(&self) {
        self.task.set(ptr::null());
        // Wakers and hooks go now; a scope that is still held somewhere finds its task gone and its node too.
        let nodes = self.nodes.take();
        let watches = self.watches.take();
        drop((nodes, watches));
    }

    fn task(&self) -> Option<&Meta> {
        // SAFETY: not null means that the task has not ended, so its metadata is alive.
        unsafe { self.task.get().as_ref() }
    }

    /// Whether these are the scopes of this task, which has not ended.
    pub(crate) fn are_of(&self, task: &Meta) -> bool {
        ptr::eq(self.task.get(), task)
    }

    /// What the task waits for, as far as scopes and watches know.
    pub(crate) fn edges(&self) -> Vec<AwaitEdge> {
        let hooks: Vec<Hook> = {
            let nodes = self.nodes.borrow();
            nodes.iter().map(|(_, node)| node.hook.clone()).collect()
        };
        // While nothing but hooks of ours was looked at; those of others may be a user's code.
        let mut edges: Vec<AwaitEdge> = hooks
            .iter()
            .filter_map(|hook| match hook {
                // SAFETY: see the variant; nothing ran since the tree was looked at.
                Hook::Task(task) => Some(Awaited::Task(unsafe { &**task }.id())),
                _ => None,
            })
            .map(|task| AwaitEdge {
                label: "task",
                on: vec![task],
            })
            .collect();
        for hook in hooks {
            if let Hook::Custom(hook) = hook {
                let mut on = Vec::new();
                hook.each_awaited(&mut |awaited| on.push(awaited));
                let label = hook.label();
                edges.push(AwaitEdge { label, on });
            }
        }
        let watches: Vec<_> = {
            let watches = self.watches.borrow();
            watches.iter().map(|(_, entry)| entry.ask()).collect()
        };
        edges.extend(watches.into_iter().map(|ask| ask()));
        edges
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

    /// The news of a node, made if there are none.
    pub(super) fn news<'n>(&self, node: &'n mut Node) -> &'n mut News {
        self.any_news.set(true);
        node.news.get_or_insert_default()
    }

    /// Whether the body of `key` is being polled further up the stack.
    pub(super) fn is_polling(&self, key: usize) -> bool {
        let nodes = self.nodes.borrow();
        let current = self.current.get();
        current.is_some_and(|current| path(&nodes, current).any(|at| at == key))
    }

    pub(super) fn set_mark(&self, key: usize, mark: CancelledError) {
        let former = self
            .news(&mut self.nodes.borrow_mut()[key])
            .mark
            .replace(mark);
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

    /// Notes that a new request is on its way.
    pub(super) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Notes that somebody reacts to what was requested so far.
    fn count_taken(&self) {
        self.taken.set(self.requests.get());
    }

    /// Takes every mark on `key` and above it, the task's included: one request reached a scope there (S53).
    ///
    /// Returns the outermost, and the scope it was on (`None`: the task).
    fn take_marks(&self, key: usize) -> Option<(CancelledError, Option<usize>)> {
        let mut found = None;
        let marked: Vec<usize> = {
            let nodes = self.nodes.borrow();
            path(&nodes, key)
                .filter(|above| nodes[*above].mark().is_some())
                .collect()
        };
        for above in marked {
            found = self.take_mark(above).map(|mark| (mark, Some(above)));
        }
        if let Some(task) = self.task()
            && task.has(flag::MARKED)
        {
            task.unset(flag::MARKED | flag::ASKED);
            // The mark is the authority; a request without a message has nothing stored beside it.
            let mark = task.with_extra(|extra| extra.cancel.take()).flatten();
            found = Some((mark.unwrap_or_default(), None));
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
        self.news(&mut self.nodes.borrow_mut()[key]).raised = Some(error.clone());
        true
    }

    /// The hook of `key` accepted the latest request: it is out of the way until the scope hears how that ended.
    pub(super) fn note_forwarded(
        &self,
        key: usize,
        target: Option<usize>,
        request: &CancelledError,
    ) {
        if !self.nodes.borrow().contains(key) {
            // The hook has run code that dropped the scope.
            return;
        }
        self.take_marks(key);
        let mut nodes = self.nodes.borrow_mut();
        let news = self.news(&mut nodes[key]);
        let request = match news.forwarded.take() {
            Some(former) => former.request,
            None => request.clone(),
        };
        news.forwarded = Some(Forwarded {
            request,
            number: self.requests.get(),
            target,
            overdue: false,
        });
        drop(nodes);
        if let Some(task) = self.task() {
            task.set(flag::FORWARDED);
        }
    }

    /// The body was polled and is pending: if a scope that passed a request on was not polled although the thing is
    /// settled (a stale arm of a `select`), its request is not lost but becomes a mark again.
    ///
    /// It gets one more poll first: the thing may have been settled in this very poll, after the scope's.
    pub(crate) fn revive_forwarded(&self) {
        let mut any = false;
        let mut again = false;
        let keys: Vec<usize> = {
            let nodes = self.nodes.borrow();
            let forwarded = nodes.iter().filter(|(_, node)| node.forwarded().is_some());
            forwarded.map(|(key, _)| key).collect()
        };
        for key in keys {
            let hook = match self.nodes.borrow_mut().get_mut(key) {
                Some(node) if node.forwarded().is_some() => node.hook.clone(),
                _ => continue,
            };
            any = true;
            if !hook.is_settled() {
                continue;
            }
            again = true;
            let forwarded = {
                let mut nodes = self.nodes.borrow_mut();
                let Some(node) = nodes.get_mut(key) else {
                    continue;
                };
                match &mut self.news(node).forwarded {
                    Some(forwarded) if !forwarded.overdue => {
                        forwarded.overdue = true;
                        continue;
                    }
                    forwarded => forwarded.take(),
                }
            };
            if let Some(forwarded) = forwarded {
                self.revive(key, forwarded);
            }
        }
        if let Some(task) = self.task() {
            if !any {
                task.unset(flag::FORWARDED);
            }
            if again {
                request::rouse(task);
            }
        }
    }

    /// The scope `key` will not hear how the request it passed on ended: unless somebody else took it, it becomes a
    /// mark again on what it was aimed at.
    fn revive(&self, key: usize, forwarded: Forwarded) {
        if forwarded.number <= self.taken.get() {
            return;
        }
        let alive = match forwarded.target {
            None => true,
            Some(target) => path(&self.nodes.borrow(), key).any(|above| above == target),
        };
        if alive {
            self.put_mark(forwarded.target, forwarded.request);
        }
    }

    /// Marks a scope, or the task.
    fn put_mark(&self, target: Option<usize>, request: CancelledError) {
        match (target, self.task()) {
            (Some(target), _) => self.set_mark(target, request),
            (None, Some(task)) => {
                task.set(flag::MARKED);
                task.with_new_extra(|extra| extra.cancel = Some(request));
            }
            (None, None) => {}
        }
    }
}

/// `key` and the scopes above it, innermost first.
fn path(nodes: &Nodes, key: usize) -> impl Iterator<Item = usize> + '_ {
    std::iter::successors(Some(key), |key| nodes[*key].parent)
}

/// One scope's place in the tree of the task that polls it. Leaves when dropped.
#[derive(Default)]
pub(crate) struct Scope {
    place: Option<(Rc<Scopes>, usize)>,
}

impl Scope {
    /// Takes a place under the current scope of the task being stepped, or moves there with all that is below it.
    /// Returns false where no task is being stepped, and true otherwise.
    ///
    /// To be called by every poll before anything else.
    #[inline]
    pub(super) fn join(&mut self, cx: &Context<'_>) -> bool {
        self.is_in_place(cx) || self.take_place(cx)
    }

    /// Whether nothing has changed since the last poll: the usual case of the second and later ones.
    #[inline]
    fn is_in_place(&self, cx: &Context<'_>) -> bool {
        let (Some((scopes, key)), Some(local)) = (&self.place, Local::current()) else {
            return false;
        };
        local.is_stepping(scopes.task.get(), cx.waker())
            && matches!(
                scopes.nodes.borrow().get(*key),
                Some(node) if node.waker.is_none() && node.parent == scopes.current.get()
            )
    }

    fn take_place(&mut self, cx: &Context<'_>) -> bool {
        let Some(local) = Local::current() else {
            self.leave();
            return false;
        };
        let Some(task) = local.current_meta() else {
            self.leave();
            return false;
        };
        if let Some((scopes, _)) = &self.place
            && !ptr::eq(scopes.task.get(), task)
        {
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
                        waker: foreign_waker.cloned(),
                        hook: Hook::None,
                        news: None,
                    })
                };
                self.place = Some((scopes, key));
            }
            Some((scopes, key)) => {
                let mut nodes = scopes.nodes.borrow_mut();
                let (former_parent, parent) = (nodes[*key].parent, scopes.current.get());
                if former_parent != parent {
                    // An arm that outlived its `select` and is awaited somewhere else now.
                    if let Some(former) = former_parent {
                        nodes[former].children -= 1;
                    }
                    if let Some(parent) = parent {
                        nodes[parent].children += 1;
                    }
                    nodes[*key].parent = parent;
                }
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

    /// Gives the place up if it is not in the task being stepped: this was polled by another task before.
    fn leave_if_moved(&mut self) {
        if let Some((scopes, _)) = &self.place {
            let here = Local::current().and_then(Local::current_meta);
            if !here.is_some_and(|task| ptr::eq(scopes.task.get(), task)) {
                self.leave();
            }
        }
    }

    /// The request this scope was asked to take before it polls its body (S48).
    #[inline]
    pub(super) fn take_asked(&mut self) -> Option<CancelledError> {
        match &self.place {
            Some((scopes, _)) if scopes.any_news.get() => self.take_asked_if_any(),
            _ => None,
        }
    }

    #[cold]
    fn take_asked_if_any(&mut self) -> Option<CancelledError> {
        let (scopes, key) = self.place.as_ref()?;
        if scopes.task.get().is_null() {
            return None;
        }
        let asked = scopes.nodes.borrow_mut()[*key].take(|news| &mut news.asked)?;
        scopes.take_marks(*key);
        scopes.count_taken();
        Some(asked)
    }

    /// Polls a body as the current scope. The scope has joined.
    #[inline]
    pub(super) fn poll_body<R>(&self, poll: impl FnOnce() -> R) -> R {
        let Some((scopes, key)) = &self.place else {
            return poll();
        };
        /// Also when the body panics.
        struct Restore<'a>(&'a Scopes, Option<usize>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.current.set(self.1);
            }
        }
        let _restore = Restore(scopes, scopes.current.replace(Some(*key)));
        poll()
    }

    /// What unwinds this scope now that its body returned `Pending`: a raise inside, or a request that marks it or
    /// something around it (S50).
    #[inline]
    pub(super) fn interrupted(&mut self) -> Option<CancelledError> {
        let (scopes, _) = self.place.as_ref()?;
        let task = scopes.task()?;
        if !scopes.any_news.get() && !task.has(flag::MARKED | flag::SCOPE_MARKED) {
            return None;
        }
        self.interrupted_by()
    }

    #[cold]
    fn interrupted_by(&mut self) -> Option<CancelledError> {
        let (scopes, key) = self.place.as_ref()?;
        let task = scopes.task()?;
        let raised = scopes.nodes.borrow_mut()[*key].take(|news| &mut news.raised);
        let error = match raised {
            Some(raised) => raised,
            None if task.has(flag::MARKED | flag::SCOPE_MARKED) => scopes.take_marks(*key)?.0,
            None => return None,
        };
        scopes.count_taken();
        Some(error)
    }

    /// Aims a request at this scope and what is below it, see [`request`]. Returns whether an earlier one is on its way.
    pub(super) fn request(&mut self, error: CancelledError) -> bool {
        let Some((scopes, key)) = &self.place else {
            return false;
        };
        let Some(task) = scopes.task() else {
            return false;
        };
        let earlier = task.has(flag::MARKED | flag::SCOPE_MARKED);
        request::request_below(task, scopes, *key, &error);
        // Under a combinator that polls what was woken only: those asked may be queued there from an earlier wake, which
        // the poll that makes this request has used up.
        let combinator = {
            let nodes = scopes.nodes.borrow();
            nodes.get(*key).and_then(|node| node.waker.clone())
        };
        if let Some(waker) = combinator {
            waker.wake();
        }
        earlier
    }

    /// Gives the place up. Scopes below that are still alive move up.
    pub(super) fn leave(&mut self) {
        let Some((scopes, key)) = self.place.take() else {
            return;
        };
        let Some(task) = scopes.task() else { return };
        let forwarded = if scopes.any_news.get() {
            scopes.nodes.borrow_mut()[key].take(|news| &mut news.forwarded)
        } else {
            None
        };
        if let Some(forwarded) = forwarded {
            scopes.revive(key, forwarded);
            // What is around this scope sees the mark when its body returns `Pending`.
            if task.has(flag::MARKED | flag::SCOPE_MARKED) {
                request::rouse(task);
            }
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
            } else if nodes.is_empty() {
                scopes.any_news.set(false);
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
    #[inline]
    fn drop(&mut self) {
        if self.place.is_some() {
            self.leave();
        }
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
    #[inline]
    pub fn take_request(&mut self) -> Option<CancelledError> {
        self.scope.place.as_ref()?;
        self.scope.leave_if_moved();
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
            && let Some((error, target)) = scopes.take_marks(*key)
        {
            scopes.count_request();
            match request::Round::begin(task) {
                Some(mut round) => {
                    if round.forward_or_ask(scopes, *key, target, &error) {
                        request::rouse(task);
                    }
                    round.go_on(&error);
                }
                // A hook of this task polls it: let it be asked when that is over.
                None => {
                    scopes.put_mark(target, error);
                    request::rouse(task);
                }
            }
        }
    }

    /// The thing is settled: gives the place up and returns the request that was passed on to it, if any.
    #[inline]
    pub fn finish(&mut self) -> Option<CancelledError> {
        self.scope.place.as_ref()?;
        self.finish_suspended()
    }

    fn finish_suspended(&mut self) -> Option<CancelledError> {
        let (scopes, key) = self.scope.place.as_ref()?;
        let forwarded = if scopes.task.get().is_null() {
            None
        } else {
            scopes.nodes.borrow_mut()[*key].take(|news| &mut news.forwarded)
        };
        if forwarded.is_some() {
            scopes.count_taken();
        }
        self.scope.leave();
        Some(forwarded?.request)
    }
}

impl fmt::Debug for ForwardScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardScope")
            .field("suspended", &self.scope.place.is_some())
            .finish()
    }
}
