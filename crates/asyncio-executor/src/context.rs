//! Context variables: values that belong to a flow of control, and the contexts they lie in.
//!
//! A [`Context`] is a handle to a cell that holds an immutable map. Copying it copies one pointer; a change makes a new
//! map unless nobody else holds the old one. Every thread has one *current* context, a plain pointer: null stands for
//! an empty one that nobody has asked for yet, and that is what tasks without variables run in. They pay nothing: who
//! switches to a context of his own says so in a flag that is looked at anyway (`flag::CONTEXT`, `Local::is_plain`).
//!
//! Who owns what is current, so that the pointer is good:
//!
//! - in a step: the task's metadata (`Extra::context`);
//! - in a callback: the callback, or `Local::stray` if it came without a context and then set a variable;
//! - inside [`Context::run`]: the borrow of the caller;
//! - on a thread otherwise: its [`Root`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::exception::ExceptionContext;
use crate::local::Local;

type Value = Arc<dyn Any + Send + Sync>;
/// By number of the variable, ascending. Programs have a handful of variables: a search in one line of cells beats a tree.
type Map = Vec<(u64, Value)>;

thread_local! {
    /// Without a destructor, so that a look costs one load.
    static CURRENT: Cell<*const Inner> = const { Cell::new(ptr::null()) };
    static ROOT: Root = const { Root(RefCell::new(None)) };
}

/// The context of a thread outside of tasks and callbacks, made by the first variable that is set there.
struct Root(RefCell<Option<Context>>);

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(context) = self.0.get_mut()
            && context.is_current()
        {
            set_current(ptr::null());
        }
    }
}

/// A set of values of context variables; asyncio: `contextvars.Context`.
///
/// A handle: clones are the same context, [`copy`](Context::copy) makes another one. It may travel between threads.
///
/// # Examples
///
/// ```
/// use asyncio_executor::{Context, ContextVar, copy_context};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// USER.set("alice");
/// let context = copy_context();
/// context.run(|| USER.set("bob"));
/// assert_eq!(context.get(&USER), Some("bob"));
/// assert_eq!(USER.get(), Some("alice"));
/// assert_eq!(Context::new().get(&USER), None);
/// ```
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// `None` for an empty map. Never locked while code of a user's runs.
    map: Mutex<Option<Arc<Map>>>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Map>>> {
        // Nothing that can panic runs under the lock.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn value(&self, variable: u64) -> Option<Value> {
        let map = self.lock();
        let map = map.as_ref()?;
        let at = map.binary_search_by_key(&variable, |(id, _)| *id).ok()?;
        Some(map[at].1.clone())
    }

    /// Sets or removes a value; returns the former one, for the caller to drop.
    fn replace(&self, variable: u64, value: Option<Value>) -> Option<Value> {
        let mut map = self.lock();
        let found = map.as_ref().map_or(Err(0), |map| {
            map.binary_search_by_key(&variable, |(id, _)| *id)
        });
        match (found, value) {
            (Ok(at), Some(value)) => {
                let entries = Arc::make_mut(map.as_mut()?);
                Some(std::mem::replace(&mut entries[at].1, value))
            }
            (Ok(at), None) => {
                let entries = Arc::make_mut(map.as_mut()?);
                let (_, former) = entries.remove(at);
                if entries.is_empty() {
                    *map = None;
                }
                Some(former)
            }
            (Err(at), Some(value)) => {
                Arc::make_mut(map.get_or_insert_default()).insert(at, (variable, value));
                None
            }
            (Err(_), None) => None,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let map = self
            .map
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Contexts end with tasks and callbacks, where a destructor of a user's that panics has nobody to tell.
        if let Some(map) = map
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(map)))
        {
            crate::report(ExceptionContext::panic(
                "panic in the destructor of a context variable's value",
                panic,
                None,
                None,
            ));
        }
    }
}

impl Context {
    /// An empty context.
    pub fn new() -> Context {
        Context::with_map(None)
    }

    fn with_map(map: Option<Arc<Map>>) -> Context {
        Context {
            inner: Arc::new(Inner {
                map: Mutex::new(map),
            }),
        }
    }

    /// Another context with the same values. Copies one pointer.
    pub fn copy(&self) -> Context {
        Context::with_map(self.inner.lock().clone())
    }

    /// Runs a closure in this context: variables have the values they have here, and what it sets stays here.
    ///
    /// Unlike Python's, a context may be entered again while it is entered, also on another thread.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Also when `f` panics.
        struct Leave(*const Inner);
        impl Drop for Leave {
            fn drop(&mut self) {
                set_current(self.0);
            }
        }
        let _leave = Leave(CURRENT.get());
        self.make_current();
        f()
    }

    /// The value of a variable in this context, if it was set here. The variable's default does not count.
    pub fn get<T: Clone + Send + Sync + 'static>(&self, variable: &ContextVar<T>) -> Option<T> {
        let value = self.inner.value(variable.id())?;
        value.downcast_ref().cloned()
    }

    /// Whether a variable was set in this context.
    pub fn contains<T: Send + Sync + 'static>(&self, variable: &ContextVar<T>) -> bool {
        self.inner.value(variable.id()).is_some()
    }

    /// How many variables are set in this context.
    pub fn len(&self) -> usize {
        self.inner.lock().as_ref().map_or(0, |map| map.len())
    }

    /// Whether no variable is set in this context.
    pub fn is_empty(&self) -> bool {
        self.inner.lock().is_none()
    }

    /// Whether both handles lead to the same context, not only to equal values.
    pub fn same_context(&self, other: &Context) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    fn is_current(&self) -> bool {
        ptr::eq(CURRENT.get(), self.pointer())
    }

    pub(crate) fn pointer(&self) -> *const Inner {
        Arc::as_ptr(&self.inner)
    }

    /// The caller keeps it alive until another one is made current.
    pub(crate) fn make_current(&self) {
        set_current(self.pointer());
    }
}

impl Default for Context {
    fn default() -> Context {
        Context::new()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("len", &self.len()).finish()
    }
}

/// A copy of the current context; asyncio: `contextvars.copy_context`. Copies one pointer.
pub fn copy_context() -> Context {
    copy_current().unwrap_or_default()
}

/// The same, with nothing for an empty one.
#[inline]
pub(crate) fn copy_current() -> Option<Context> {
    if is_current_null() { None } else { copy_set() }
}

#[cold]
fn copy_set() -> Option<Context> {
    let map = current()?.lock().clone()?;
    Some(Context::with_map(Some(map)))
}

#[inline]
pub(crate) fn is_current_null() -> bool {
    CURRENT.get().is_null()
}

/// Whoever calls this keeps the context alive until the next call.
pub(crate) fn set_current(context: *const Inner) {
    CURRENT.set(context);
    if let Some(local) = Local::current() {
        local.update_plain();
    }
}

fn current<'a>() -> Option<&'a Inner> {
    // SAFETY: null or owned as the module text says, by something further up the stack or in the task being stepped.
    // The lifetime is the caller's choice; all callers are in this file and look at it within one call, in which
    // nothing is switched.
    unsafe { CURRENT.get().as_ref() }
}

/// The current context, as a handle: for the variable that is set in it.
fn current_or_new() -> Context {
    let pointer = CURRENT.get();
    if !pointer.is_null() {
        // SAFETY: every `Inner` lies in an `Arc` (`Context::with_map`), and it is alive as `current` says; the count
        // raised here is the new handle's.
        let inner = unsafe {
            Arc::increment_strong_count(pointer);
            Arc::from_raw(pointer)
        };
        return Context { inner };
    }
    match Local::current() {
        Some(local) if local.is_running() => local.new_context(),
        _ => {
            // Lost at the very end of a thread.
            let root = ROOT.try_with(|root| root.0.borrow_mut().get_or_insert_default().clone());
            root.inspect(Context::make_current).unwrap_or_default()
        }
    }
}

/// A variable with a value in each [`Context`]; asyncio: `contextvars.ContextVar`.
///
/// A task and a callback see the values that were current where they were *made*, and what they set nobody else sees
/// (S243, S244). So a request's number, a user or a deadline is there at any depth without being handed down.
///
/// Values may cross threads with their context ([`to_thread`](https://docs.python.org/3/library/asyncio-task.html)
/// takes it along), so they are `Send + Sync`. They are looked at by clone; put large ones in an `Arc`.
///
/// Variables are meant to be `static`; one that is dropped leaves its values in the contexts it was set in.
///
/// # Examples
///
/// ```
/// use asyncio_executor::{ContextVar, Executor, spawn, yield_now};
///
/// static REQUEST: ContextVar<u32> = ContextVar::new("request");
///
/// Executor::new().run(async {
///     REQUEST.set(1);
///     let task = spawn(async {
///         let seen = REQUEST.get();
///         REQUEST.set(7);
///         seen
///     });
///     REQUEST.set(2); // too late for the task
///     assert_eq!(task.await.unwrap(), Some(1));
///     assert_eq!(REQUEST.get(), Some(2)); // and the task's 7 is its own
/// }).unwrap();
/// ```
pub struct ContextVar<T: 'static> {
    name: &'static str,
    default: Option<T>,
    /// 0 until it is first used.
    id: AtomicU64,
}

impl<T: Send + Sync + 'static> ContextVar<T> {
    /// A variable that is not set anywhere. The name is for people.
    pub const fn new(name: &'static str) -> ContextVar<T> {
        ContextVar {
            name,
            default: None,
            id: AtomicU64::new(0),
        }
    }

    /// A variable that has a value where it is not set.
    pub const fn with_default(name: &'static str, default: T) -> ContextVar<T> {
        ContextVar {
            name,
            default: Some(default),
            id: AtomicU64::new(0),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its value in the current context, or else its default.
    #[inline]
    pub fn get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.with(|value| value.cloned())
    }

    /// Its value in the current context, or else `default`, whatever its own default is.
    pub fn get_or(&self, default: T) -> T
    where
        T: Clone,
    {
        match self.value() {
            Some(value) => value.downcast_ref().cloned().unwrap_or(default),
            None => default,
        }
    }

    /// Lets a closure look at the value, or the default, without cloning it.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        match self.value() {
            Some(value) => f(value.downcast_ref().or(self.default.as_ref())),
            None => f(self.default.as_ref()),
        }
    }

    /// Sets it in the current context. The token takes it back ([`reset`](ContextVar::reset)); dropping the token
    /// changes nothing.
    pub fn set(&self, value: T) -> Token<T> {
        let context = current_or_new();
        let variable = self.id();
        let former = context.inner.replace(variable, Some(Arc::new(value)));
        Token {
            variable,
            former,
            context,
            value: PhantomData,
        }
    }

    /// Puts the value back that it had before the `set` that gave the token: that of an outer one, or none.
    ///
    /// # Errors
    ///
    /// [`ResetError`] when the token is another variable's, or was given in another context than the current one.
    pub fn reset(&self, token: Token<T>) -> Result<(), ResetError> {
        if token.variable != self.id() {
            return Err(ResetError::AnotherVariable);
        }
        token.put_back()
    }

    #[inline]
    fn value(&self) -> Option<Value> {
        current()?.value(self.id())
    }

    fn id(&self) -> u64 {
        match self.id.load(Ordering::Relaxed) {
            0 => self.take_id(),
            id => id,
        }
    }

    #[cold]
    fn take_id(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let new = NEXT.fetch_add(1, Ordering::Relaxed);
        // Relaxed: the number is all there is to see. Who comes second takes the first one's.
        match (self.id).compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(other) => other,
        }
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextVar")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a variable was before it was set; from [`ContextVar::set`]. asyncio: `contextvars.Token`.
pub struct Token<T: 'static> {
    variable: u64,
    former: Option<Value>,
    context: Context,
    value: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> Token<T> {
    /// The value before, in that context; `None` if it was not set.
    pub fn old_value(&self) -> Option<T>
    where
        T: Clone,
    {
        self.former.as_ref()?.downcast_ref().cloned()
    }

    /// Puts the old value back when dropped: the variable is set for the length of a block.
    ///
    /// ```
    /// use asyncio_executor::ContextVar;
    ///
    /// static DEPTH: ContextVar<u32> = ContextVar::with_default("depth", 0);
    ///
    /// {
    ///     let _deeper = DEPTH.set(1).guard();
    ///     assert_eq!(DEPTH.get(), Some(1));
    /// }
    /// assert_eq!(DEPTH.get(), Some(0));
    /// ```
    pub fn guard(self) -> TokenGuard<T> {
        TokenGuard { token: Some(self) }
    }

    fn put_back(self) -> Result<(), ResetError> {
        if !self.context.is_current() {
            return Err(ResetError::AnotherContext);
        }
        let latest = self.context.inner.replace(self.variable, self.former);
        drop(latest);
        Ok(())
    }
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("was_set", &self.former.is_some())
            .finish_non_exhaustive()
    }
}

/// Resets a variable when it is dropped; from [`Token::guard`]. Dropped in another context it leaves both alone.
#[must_use = "dropped at once it resets the variable at once; bind it to a name"]
pub struct TokenGuard<T: Send + Sync + 'static> {
    token: Option<Token<T>>,
}

impl<T: Send + Sync + 'static> Drop for TokenGuard<T> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            let _ = token.put_back();
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for TokenGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGuard").finish_non_exhaustive()
    }
}

/// Why a context variable was not reset; Python: `ValueError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetError {
    /// The token was given by another variable.
    AnotherVariable,
    /// The token was given in another context than the current one.
    AnotherContext,
}

impl fmt::Display for ResetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResetError::AnotherVariable => {
                "the token was given by another context variable: reset the one whose `set` returned it"
            }
            ResetError::AnotherContext => {
                "the token was given in another context: reset a variable in the task or callback that set it"
            }
        })
    }
}

impl std::error::Error for ResetError {}

/// Sets apart what was current, so that something else runs in a context of its own, or in none; put back when dropped.
pub(crate) struct Apart<'a> {
    local: &'a Local,
    former: *const Inner,
    stray: Option<Context>,
    in_call: bool,
}

impl<'a> Apart<'a> {
    pub(crate) fn set(local: &'a Local) -> Apart<'a> {
        let former = CURRENT.get();
        set_current(ptr::null());
        Apart {
            local,
            former,
            stray: local.stray.take(),
            in_call: local.in_call.replace(false),
        }
    }
}

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        set_current(self.former);
        self.local.stray.set(self.stray.take());
        self.local.in_call.set(self.in_call);
    }
}
