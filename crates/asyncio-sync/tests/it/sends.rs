//! What the types of the thread-safe family promise: each function compiles or does not.

use std::sync::Arc;

use asyncio_sync::threadsafe::{
    Barrier, BoundedSemaphore, CapacityLimiter, Condition, Event, Future, Lock, Mutex, OnceCell,
    PriorityQueue, Queue, RwLock, Semaphore, broadcast, oneshot, watch,
};

fn both<T: Send + Sync>() {}
fn send<T: Send>(_: T) {}

#[test]
fn the_thread_safe_family_is_send_and_sync() {
    both::<Barrier>();
    both::<BoundedSemaphore>();
    both::<CapacityLimiter>();
    both::<Condition>();
    both::<Event>();
    both::<Future<u8>>();
    both::<Lock>();
    both::<Mutex<std::cell::Cell<u8>>>();
    both::<OnceCell<u8>>();
    both::<PriorityQueue<u8>>();
    both::<Queue<std::cell::Cell<u8>>>();
    both::<RwLock<u8>>();
    both::<Semaphore>();
    both::<broadcast::Sender<u8>>();
    both::<broadcast::Receiver<u8>>();
    both::<oneshot::Sender<std::cell::Cell<u8>>>();
    both::<oneshot::Receiver<std::cell::Cell<u8>>>();
    both::<watch::Sender<u8>>();
    both::<watch::Receiver<u8>>();
    both::<watch::Ref<u8>>();
}

#[test]
fn what_waits_and_what_comes_of_it_may_move_to_another_thread() {
    let (lock, mutex, rwlock) = (
        Arc::new(Lock::new()),
        Arc::new(Mutex::new(1)),
        Arc::new(RwLock::new(1)),
    );
    send((lock.acquire(), lock.acquire_owned(), lock.try_acquire()));
    send((mutex.lock(), mutex.lock_owned(), mutex.try_lock()));
    send((rwlock.read(), rwlock.write_owned(), rwlock.try_read()));
    let (event, semaphore, barrier) = (Event::new(), Semaphore::new(1), Barrier::new(1).unwrap());
    send((event.wait(), semaphore.acquire(), barrier.wait()));
    send(semaphore.try_acquire());
    let queue = Queue::<u8>::new();
    send((queue.put(1), queue.get(), queue.join()));
    send(Future::<u8>::new());
    let (condition, cell) = (Condition::new(), OnceCell::new());
    let guard = condition.lock().try_acquire().unwrap();
    send(condition.wait_for(guard, |_| true));
    send(cell.get_or_init(async || 1));
    let (_sender, mut receiver) = broadcast::channel::<u8>(1);
    send(receiver.recv());
    let (watcher, mut seen) = watch::channel(1);
    send(watcher.closed());
    send(seen.changed());
    send(seen.wait_for(|n| *n == 1));
    let limiter = CapacityLimiter::new(1).unwrap();
    send((limiter.acquire(), limiter.try_acquire()));
}
