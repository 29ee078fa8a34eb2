//! Level-triggered callbacks for descriptors the user owns: what `add_reader` and `add_writer` are
//! made of.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::{Rc, Weak};

use crate::reactor::{Directions, Inner, Reactor, Tenant, Token, tenant_of};
use crate::readiness::{Interest, Readiness};
use crate::stats::Call;

impl Reactor {
    /// Calls `callback` in every [`wait`](Reactor::wait) in which `fd` is ready, until the
    /// [`Watch`] is dropped.
    ///
    /// Level-triggered: as long as the descriptor stays ready, every wait reports it again (and
    /// does not sleep). An error or a hang-up counts as ready in both directions. A descriptor
    /// has at most one watch for each direction; a new one replaces the old, whose `Watch` then
    /// stands for nothing.
    ///
    /// The callback runs inside `wait` with no borrow held; a loop passes one that puts the user's
    /// callback into its queue. Remove the watch before closing the descriptor. If it is closed
    /// first nothing worse happens than that the callback is not called any more, or, where a
    /// duplicate is still open, goes on being called until the number comes back.
    ///
    /// # Errors
    /// `Unsupported` for regular files; `AlreadyExists` when the descriptor belongs to a
    /// [`Source`](crate::Source) that waits.
    ///
    /// ```
    /// use asyncio_reactor::{Interest, Reactor};
    /// use std::{cell::Cell, io::{Read, Write}, os::fd::AsFd, os::unix::net::UnixStream, rc::Rc, time::Duration};
    ///
    /// let reactor = Reactor::new()?;
    /// let (mut ours, mut theirs) = UnixStream::pair()?;
    /// let calls = Rc::new(Cell::new(0));
    /// let counter = calls.clone();
    /// let watch = reactor.watch(ours.as_fd(), Interest::Readable, Rc::new(move || counter.set(counter.get() + 1)))?;
    /// theirs.write_all(b"x")?;
    /// reactor.wait(None)?;
    /// reactor.wait(None)?; // nobody has read: still ready
    /// assert_eq!(calls.get(), 2);
    /// ours.read(&mut [0])?;
    /// reactor.wait(Some(Duration::ZERO))?;
    /// assert_eq!(calls.get(), 2);
    /// assert!(watch.remove());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn watch(
        &self,
        fd: BorrowedFd<'_>,
        interest: Interest,
        callback: Rc<dyn Fn()>,
    ) -> io::Result<Watch> {
        let number = fd.as_raw_fd();
        let inner = &self.inner;
        let known = inner.watched.borrow().get(&number).copied();
        let extended = known.and_then(|token| {
            let id = inner.extend_watch(token, fd, interest, &callback)?;
            Some((token, id))
        });
        let (token, id) = match extended {
            Some(extended) => extended,
            None => inner.start_watch(fd, interest, callback)?,
        };
        Ok(Watch {
            reactor: Rc::downgrade(inner),
            token,
            fd: number,
            interest,
            id,
        })
    }

    /// Removes the watch on a descriptor, whoever holds its [`Watch`]; returns whether there was
    /// one.
    ///
    /// ```
    /// # use asyncio_reactor::{Interest, Reactor};
    /// # use std::{os::fd::{AsFd, AsRawFd}, os::unix::net::UnixStream, rc::Rc};
    /// let reactor = Reactor::new()?;
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let _watch = reactor.watch(ours.as_fd(), Interest::Readable, Rc::new(|| ()))?;
    /// assert!(reactor.unwatch(ours.as_raw_fd(), Interest::Readable));
    /// assert!(!reactor.unwatch(ours.as_raw_fd(), Interest::Readable));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn unwatch(&self, fd: RawFd, interest: Interest) -> bool {
        let token = self.inner.watched.borrow().get(&fd).copied();
        token.is_some_and(|token| self.inner.end_watch(token, fd, interest, None))
    }
}

/// A callback on a descriptor, in force until this is dropped; see [`Reactor::watch`].
#[must_use = "dropping a watch removes it: keep it for as long as the callback shall be called"]
pub struct Watch {
    reactor: Weak<Inner>,
    token: Token,
    fd: RawFd,
    interest: Interest,
    /// Which of the callbacks this direction has had: a replaced watch removes nothing.
    id: u64,
}

impl Watch {
    /// Removes the watch, as dropping does; returns whether it was still in force, that is: neither
    /// replaced nor removed.
    pub fn remove(self) -> bool {
        self.end()
    }

    /// Leaves the watch in force without a guard: until [`Reactor::unwatch`], another watch in its place, or the end of
    /// the reactor.
    ///
    /// ```
    /// # use asyncio_reactor::{Interest, Reactor};
    /// # use std::{os::fd::{AsFd, AsRawFd}, os::unix::net::UnixStream, rc::Rc};
    /// # let reactor = Reactor::new()?;
    /// # let (ours, _theirs) = UnixStream::pair()?;
    /// reactor.watch(ours.as_fd(), Interest::Readable, Rc::new(|| ()))?.detach();
    /// assert!(reactor.unwatch(ours.as_raw_fd(), Interest::Readable));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn detach(mut self) {
        self.reactor = Weak::new();
    }

    /// Whether it is this reactor that watches.
    ///
    /// ```
    /// # use asyncio_reactor::{Interest, Reactor};
    /// # use std::{os::fd::AsFd, os::unix::net::UnixStream, rc::Rc};
    /// let (reactor, other) = (Reactor::new()?, Reactor::new()?);
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let watch = reactor.watch(ours.as_fd(), Interest::Readable, Rc::new(|| ()))?;
    /// assert!(watch.is_by(&reactor) && !watch.is_by(&other));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn is_by(&self, reactor: &Reactor) -> bool {
        std::ptr::eq(self.reactor.as_ptr(), Rc::as_ptr(&reactor.inner))
    }

    /// The direction that is watched.
    pub fn interest(&self) -> Interest {
        self.interest
    }

    fn end(&self) -> bool {
        let Some(inner) = self.reactor.upgrade() else {
            return false;
        };
        inner.end_watch(self.token, self.fd, self.interest, Some(self.id))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("fd", &self.fd)
            .field("interest", &self.interest)
            .finish_non_exhaustive()
    }
}

/// The callbacks of one watched descriptor.
#[derive(Default)]
pub(crate) struct Watchers {
    reader: Option<Watcher>,
    writer: Option<Watcher>,
    last_id: u64,
}

struct Watcher {
    id: u64,
    callback: Rc<dyn Fn()>,
    /// Whether it is in force. An event that has been taken from the kernel and not told yet looks here.
    in_force: Rc<Cell<bool>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.in_force.set(false);
    }
}

impl Watchers {
    fn of(&mut self, interest: Interest) -> &mut Option<Watcher> {
        match interest {
            Interest::Readable => &mut self.reader,
            Interest::Writable => &mut self.writer,
        }
    }

    /// Puts a callback into its place, and hands back its number and the one that was there.
    fn set(&mut self, interest: Interest, callback: Rc<dyn Fn()>) -> (u64, Option<Watcher>) {
        self.last_id += 1;
        let id = self.last_id;
        let in_force = Rc::new(Cell::new(true));
        let callback = {
            let in_force = in_force.clone();
            Rc::new(move || {
                if in_force.get() {
                    callback();
                }
            })
        };
        let watcher = Watcher {
            id,
            callback,
            in_force,
        };
        (id, self.of(interest).replace(watcher))
    }

    pub(crate) fn directions(&self) -> Directions {
        Directions {
            readable: self.reader.is_some(),
            writable: self.writer.is_some(),
        }
    }

    pub(crate) fn ready(&self, news: Readiness, mut each: impl FnMut(Rc<dyn Fn()>)) {
        for (interest, watcher) in [
            (Interest::Readable, &self.reader),
            (Interest::Writable, &self.writer),
        ] {
            if let Some(watcher) = watcher.as_ref().filter(|_| news.is_ready(interest)) {
                each(watcher.callback.clone());
            }
        }
    }
}

impl Inner {
    fn start_watch(
        &self,
        fd: BorrowedFd<'_>,
        interest: Interest,
        callback: Rc<dyn Fn()>,
    ) -> io::Result<(Token, u64)> {
        let mut watchers = Watchers::default();
        let (id, _) = watchers.set(interest, callback);
        let directions = watchers.directions();
        let token = self.insert(fd, Tenant::Watch(Box::new(watchers)), |backend, token| {
            backend.add_level(fd, token, directions)
        })?;
        self.watched.borrow_mut().insert(fd.as_raw_fd(), token);
        Ok((token, id))
    }

    /// Adds a direction to a watch, or replaces it. `None` if that watch is one of another descriptor, which has been closed
    /// and had the same number; it ends.
    fn extend_watch(
        &self,
        token: Token,
        fd: BorrowedFd<'_>,
        interest: Interest,
        callback: &Rc<dyn Fn()>,
    ) -> Option<u64> {
        let mut slots = self.slots.borrow_mut();
        let watchers = watchers_of(tenant_of(&mut slots, token))
            .expect("the map of watches names slots of watches");
        let mut directions = watchers.directions();
        match interest {
            Interest::Readable => directions.readable = true,
            Interest::Writable => directions.writable = true,
        }
        // Even where the directions are the same: it is by this that the kernel says whether it knows the descriptor.
        self.counters.count(Call::Control);
        if self.backend.set_level(fd, token, directions).is_err() {
            self.watched.borrow_mut().remove(&fd.as_raw_fd());
            let stale = slots.remove(token.index());
            drop(slots);
            drop(stale);
            return None;
        }
        let (id, replaced) = watchers.set(interest, callback.clone());
        drop(slots);
        // A callback is dropped with no borrow held: it may own anything.
        drop(replaced);
        Some(id)
    }

    /// Removes one direction; with `id` only if it is that very callback.
    fn end_watch(&self, token: Token, fd: RawFd, interest: Interest, id: Option<u64>) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(watchers) = watchers_of(tenant_of(&mut slots, token)) else {
            return false;
        };
        let place = watchers.of(interest);
        let Some(ended) = place.take_if(|watcher| id.is_none_or(|id| id == watcher.id)) else {
            return false;
        };
        let left = watchers.directions();
        // SAFETY: the caller of `watch` is asked to keep the descriptor open until the watch is
        // removed. If it was closed nevertheless, the number is only looked up in this
        // reactor's own epoll set, where it is not found, because `forget_closed_watch` and
        // `extend_watch` drop the watch as soon as another tenant of this reactor brings the
        // same number.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        self.counters.count(Call::Control);
        // Errors mean that the descriptor was closed first; then there is nothing left to remove.
        if left == Directions::NONE {
            slots.remove(token.index());
            self.watched.borrow_mut().remove(&fd);
            let _ = self.backend.delete(borrowed);
        } else {
            let _ = self.backend.set_level(borrowed, token, left);
        }
        drop(slots);
        drop(ended);
        true
    }

    /// A source has registered `fd` successfully: if there is a watch on that number, its
    /// descriptor was closed without removing the watch, and the number means something else
    /// now.
    pub(crate) fn forget_closed_watch(&self, fd: RawFd, source: Token) {
        if self.watched.borrow().is_empty() {
            return;
        }
        let Some(stale) = self.watched.borrow_mut().remove(&fd) else {
            return;
        };
        debug_assert_ne!(stale, source);
        let slot = self.slots.borrow_mut().remove(stale.index());
        drop(slot);
    }
}

fn watchers_of(slot: Option<&mut crate::reactor::Slot>) -> Option<&mut Watchers> {
    match slot.map(|slot| &mut slot.tenant) {
        Some(Tenant::Watch(watchers)) => Some(watchers),
        _ => None,
    }
}
