//! Which loop a thread means when none runs.

use std::cell::RefCell;
use std::io;

use asyncio_executor::{Task, TaskRef};

use crate::event_loop::EventLoop;
use crate::handle::{LoopHandle, try_running_loop};

thread_local! {
    static SET: RefCell<Option<LoopHandle>> = const { RefCell::new(None) };
}

/// Makes a loop; asyncio: `new_event_loop`. It does not become the thread's.
///
/// # Errors
///
/// See [`Builder::build`](crate::Builder::build).
#[track_caller]
pub fn new_event_loop() -> io::Result<EventLoop> {
    EventLoop::new()
}

/// Says which loop this thread means while none runs, or that it means none; asyncio: `set_event_loop`.
///
/// Whoever made the loop still owns it. Nothing in this workspace depends on what is set here.
///
/// # Examples
///
/// ```
/// use asyncio_runtime::{get_event_loop, new_event_loop, set_event_loop};
///
/// let event_loop = new_event_loop()?;
/// set_event_loop(Some(&event_loop));
/// assert_eq!(get_event_loop(), event_loop.handle());
/// get_event_loop().call_soon_threadsafe(|| println!("called"))?;
/// event_loop.run_until_complete(async {})?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn set_event_loop(event_loop: Option<&EventLoop>) {
    let handle = event_loop.map(EventLoop::handle);
    let former = SET.replace(handle);
    drop(former);
}

/// The loop that runs on this thread, or else the one that was set; asyncio: `get_event_loop`.
///
/// # Panics
///
/// Where there is neither.
#[track_caller]
pub fn get_event_loop() -> LoopHandle {
    try_running_loop()
        .or_else(|| SET.with_borrow(Clone::clone))
        .expect(
            "no event loop in this thread: call `get_event_loop` inside `asyncio::run(async { … })`, or \
             `set_event_loop` first",
        )
}

/// Asks a task for its loop.
pub trait GetLoop {
    /// The loop the task belongs to; asyncio: `Task.get_loop`.
    ///
    /// ```
    /// use asyncio_runtime::{GetLoop, get_running_loop};
    ///
    /// asyncio_runtime::run(async {
    ///     let task = asyncio_executor::spawn(async {});
    ///     assert_eq!(task.get_loop(), get_running_loop());
    /// });
    /// ```
    fn get_loop(&self) -> LoopHandle;
}

impl<T> GetLoop for Task<T> {
    fn get_loop(&self) -> LoopHandle {
        LoopHandle::new(self.remote())
    }
}

impl GetLoop for TaskRef {
    fn get_loop(&self) -> LoopHandle {
        LoopHandle::new(self.remote())
    }
}
