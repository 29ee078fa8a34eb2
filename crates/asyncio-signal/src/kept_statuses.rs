//! Children whose end can be asked for, in a program that ignores SIGCHLD.

use std::io;

use crate::action::Action;
use crate::registry;
use crate::signal::SIGCHLD;

/// While one of these lives the kernel keeps the exit status of a child that ends until somebody asks for it.
///
/// A program may have inherited from whoever started it that SIGCHLD is ignored. Then the kernel forgets children as they
/// end, and `std`, which waits for the fork of a program that cannot be loaded, panics. For `asyncio-process`, around the
/// start of a child. Whoever listens to the signal meanwhile hears of it as ever, and the action that was in force comes
/// back with the last of them. A program that is started meanwhile has the default action.
#[doc(hidden)]
#[derive(Debug)]
#[must_use = "dropping it has the kernel forget children again: keep it for as long as their ends are asked for"]
pub struct KeptStatuses(());

impl KeptStatuses {
    /// `None` where the kernel keeps them anyway.
    ///
    /// # Errors
    /// What the system says when it lets nobody set an action.
    pub fn ask() -> io::Result<Option<KeptStatuses>> {
        let held = registry::hold_instead_of(SIGCHLD, Action::forgets_children)?;
        Ok(held.then(|| KeptStatuses(())))
    }
}

impl Drop for KeptStatuses {
    fn drop(&mut self) {
        registry::release(SIGCHLD);
    }
}
