//! Cancellation as a request: counts, scopes, delivery, raising.
//!
//! Vocabulary. A *request* is somebody's wish that a task end (`Task::cancel`, a timeout, a group). A *scope* is a
//! future inside a task that wants to hear of it. A *raise* is the unwinding, scope by scope, that follows.
//!
//! Where a request goes. The scopes of one task form a tree (`scopes.rs`): while it polls its body a scope is the
//! *current* one, and a scope polled for the first time hangs itself under the current one. A request goes to the
//! *innermost* scopes, those without living children:
//!
//! - one that was suspended is *asked*: it is woken and takes the request before it polls its body again (S48);
//! - one that is being polled (a task that cancels itself) takes it when its body next returns `Pending` (S50);
//! - one without a body (an awaited task, a future, a gather) is given it at once, inside `cancel()`, and forwards it
//!   there and then (S47, S62).
//!
//! Until somebody took it, the request also lies as a *mark* on what it was aimed at (the task, or one scope of it),
//! so that it cannot be lost with a scope that is dropped or never polled again: whichever scope next sees its body
//! return `Pending` under a marked ancestor takes it; if there is none, the task itself, which then ends.
//!
//! Taking it means: clear the marks, drop the body, react. A raise marks the nearest enclosing scope instead, which
//! drops its body as soon as that returns `Pending`.

pub(crate) mod catch;
pub(crate) mod error;
pub(crate) mod finally;
mod nodes;
pub(crate) mod raise;
pub(crate) mod request;
pub(crate) mod scopes;

pub use catch::{CatchCancelled, catch_cancelled};
pub use error::{CancelledError, PanicPayload, TaskError};
pub use finally::finally;
pub use raise::raise_cancelled;
pub use scopes::{Forward, ForwardScope};
