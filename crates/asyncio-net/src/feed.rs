//! A stream without a connection: what it gives is fed by hand.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use crate::changes::Changes;
use crate::error::Lost;

/// What feeds a [`StreamReader`](crate::StreamReader) that has no connection, for authors of protocols and for tests; from
/// [`StreamReader::pair`](crate::StreamReader::pair). asyncio: the methods `feed_data`, `feed_eof` and `set_exception` of a
/// `StreamReader`.
///
/// It is a handle: clones feed the same reader, also while a task reads. When the last one is dropped the stream
/// ends, as by [`feed_eof`](StreamFeeder::feed_eof).
///
/// ```
/// # asyncio_runtime::run(async {
/// let (feeder, mut reader) = asyncio_net::StreamReader::pair(64 * 1024);
/// let reading = asyncio_executor::spawn(async move { reader.readline().await });
/// feeder.feed_data("a li");
/// feeder.feed_data("ne\n");
/// assert_eq!(reading.await.unwrap()?, "a line\n");
/// # Ok::<(), asyncio_net::StreamError>(()) })?;
/// # Ok::<(), asyncio_net::StreamError>(())
/// ```
pub struct StreamFeeder {
    feed: Rc<Feed>,
}

/// What lies between a feeder and its reader.
pub(crate) struct Feed {
    pieces: RefCell<VecDeque<Bytes>>,
    /// The length of all pieces.
    len: Cell<usize>,
    limit: usize,
    ended: Cell<bool>,
    error: RefCell<Option<Lost>>,
    feeders: Cell<usize>,
    reader_dropped: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    /// Told when the reader has taken something, or is gone.
    changes: Changes,
    /// Called once when no more than the limit waits, or the reader is gone.
    when_low: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl StreamFeeder {
    /// Adds data at the end of the stream. [`Bytes`] are not copied here. After the end, or when the reader is gone, they are
    /// dropped.
    ///
    /// # Panics
    /// After [`feed_eof`](StreamFeeder::feed_eof).
    pub fn feed_data(&self, data: impl Into<Bytes>) {
        assert!(!self.feed.ended.get(), "`feed_data` after `feed_eof`");
        let data = data.into();
        if data.is_empty() || self.feed.reader_dropped.get() {
            return;
        }
        self.feed.len.set(self.feed.len.get() + data.len());
        self.feed.pieces.borrow_mut().push_back(data);
        self.feed.wake();
    }

    /// Ends the stream: what was fed is still read, then comes the end.
    pub fn feed_eof(&self) {
        self.feed.ended.set(true);
        self.feed.wake();
    }

    /// Makes every later read fail with this error, also if there are data (S212). The first error stays.
    pub fn set_exception(&self, error: &io::Error) {
        let lost = Lost::new(error);
        self.feed.error.borrow_mut().get_or_insert(lost);
        self.feed.wake();
    }

    /// Whether more than twice the limit waits to be read, so that whoever feeds should stop (S210). [`drain`](StreamFeeder::drain)
    /// waits until he may go on.
    pub fn is_full(&self) -> bool {
        self.feed.is_full()
    }

    /// If the feeder [is full](StreamFeeder::is_full), waits until no more than the limit waits to be read (S210), or the reader
    /// is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn drain(&self) {
        if !self.is_full() {
            return;
        }
        let feed = &*self.feed;
        let low = || (feed.len.get() <= feed.limit || feed.reader_dropped.get()).then_some(());
        feed.changes.until(low).await;
    }

    /// Has `callback` called once, by the read or the drop of the reader after which no more than the limit waits (S210). It
    /// takes the place of an earlier one.
    pub(crate) fn when_low(&self, callback: impl FnOnce() + 'static) {
        let former = self.feed.when_low.replace(Some(Box::new(callback)));
        drop(former);
    }

    /// The error that every later read gives.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.feed.check()
    }

    pub(crate) fn new(limit: usize) -> (StreamFeeder, Rc<Feed>) {
        let feed = Rc::new(Feed {
            pieces: RefCell::default(),
            len: Cell::new(0),
            limit,
            ended: Cell::new(false),
            error: RefCell::new(None),
            feeders: Cell::new(1),
            reader_dropped: Cell::new(false),
            reader: RefCell::new(None),
            changes: Changes::default(),
            when_low: RefCell::new(None),
        });
        (StreamFeeder { feed: feed.clone() }, feed)
    }
}

impl Clone for StreamFeeder {
    fn clone(&self) -> StreamFeeder {
        self.feed.feeders.set(self.feed.feeders.get() + 1);
        StreamFeeder {
            feed: self.feed.clone(),
        }
    }
}

impl Drop for StreamFeeder {
    fn drop(&mut self) {
        let left = self.feed.feeders.get() - 1;
        self.feed.feeders.set(left);
        if left == 0 {
            self.feed_eof();
        }
    }
}

impl fmt::Debug for StreamFeeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamFeeder")
            .field("waiting", &self.feed.len.get())
            .field("ended", &self.feed.ended.get())
            .finish_non_exhaustive()
    }
}

/// The reader's side.
impl Feed {
    /// Takes what there is and fits; 0 means the end.
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let mut taken = 0;
        while taken < room.len() {
            // Taken out: with the last byte goes whatever owned it, which may feed more.
            let Some(mut piece) = self.pieces.borrow_mut().pop_front() else {
                break;
            };
            let n = piece.len().min(room.len() - taken);
            room[taken..taken + n].copy_from_slice(&piece[..n]);
            piece.advance(n);
            taken += n;
            self.len.set(self.len.get() - n);
            if !piece.is_empty() {
                self.pieces.borrow_mut().push_front(piece);
            }
        }
        if taken > 0 {
            self.became_less();
            return Poll::Ready(Ok(taken));
        }
        if self.ended.get() {
            return Poll::Ready(Ok(0));
        }
        let former = self.reader.replace(Some(cx.waker().clone()));
        drop(former);
        Poll::Pending
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        match &*self.error.borrow() {
            Some(error) => Err(error.to_error()),
            None => Ok(()),
        }
    }

    pub(crate) fn reader_dropped(&self) {
        self.reader_dropped.set(true);
        let (pieces, reader) = (self.pieces.take(), self.reader.take());
        drop((pieces, reader));
        self.len.set(0);
        self.became_less();
    }

    fn became_less(&self) {
        self.changes.announce();
        if self.len.get() <= self.limit {
            let when_low = self.when_low.take();
            if let Some(callback) = when_low {
                callback();
            }
        }
    }

    fn is_full(&self) -> bool {
        self.len.get() > self.limit.saturating_mul(2)
    }

    fn wake(&self) {
        let waker = self.reader.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
