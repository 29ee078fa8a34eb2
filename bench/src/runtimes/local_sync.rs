//! The vocabulary of locks and queues over local-sync, for the runtimes that bring none of their own: monoio, whose
//! authors wrote it, and compio.

use std::rc::Rc;

use ::local_sync::mpsc::{bounded as slots, unbounded};
use ::local_sync::oneshot as one;
use ::local_sync::semaphore::{Semaphore, SemaphorePermit};

pub(super) use self::{permit as acquire, semaphore as lock};
pub(super) use ::local_sync::mpsc::bounded::channel as bounded;
pub(super) use ::local_sync::mpsc::unbounded::channel as queue;
pub(super) use ::local_sync::oneshot::channel as oneshot;

pub(super) async fn send<T>(sender: &unbounded::Tx<T>, value: T) {
    assert!(sender.send(value).is_ok());
}

pub(super) async fn receive<T>(receiver: &mut unbounded::Rx<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

pub(super) async fn put<T>(sender: &slots::Tx<T>, value: T) {
    assert!(sender.send(value).await.is_ok());
}

pub(super) async fn take<T>(receiver: &mut slots::Rx<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

pub(super) fn tell<T>(sender: one::Sender<T>, value: T) {
    assert!(sender.send(value).is_ok());
}

pub(super) async fn wait<T>(receiver: one::Receiver<T>) -> Option<T> {
    receiver.await.ok()
}

/// The lock too: there is no other.
pub(super) fn semaphore() -> Rc<Semaphore> {
    Rc::new(Semaphore::new(1))
}

pub(super) async fn permit(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore.acquire().await.expect("it stays open")
}
