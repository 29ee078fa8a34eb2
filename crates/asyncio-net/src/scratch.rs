//! One large buffer per thread to receive into, for whoever hands on what came before anybody else runs.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// As much as asyncio receives at once: enough for every UDP datagram, and for a Unix datagram of the usual limits.
pub(crate) const SIZE: usize = 256 * 1024;

thread_local! {
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The buffer, initialised throughout; it goes back to the thread on drop.
pub(crate) struct Scratch(Box<[u8]>);

impl Scratch {
    /// Where it is in use further up the stack there is a second one for as long as that lasts.
    pub(crate) fn take() -> Scratch {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        // The system hands out zeroed pages, and only those that are written to become memory.
        Scratch(spare.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice()))
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        let _ = SPARE.try_with(|spare| spare.set(Some(buffer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_used_again_and_there_is_a_second_one_where_the_first_is_in_use() {
        let first = Scratch::take();
        let second = Scratch::take();
        let (at, other) = (first.as_ptr(), second.as_ptr());
        assert_ne!(at, other);
        drop(second);
        drop(first);
        assert_eq!(
            (Scratch::take().as_ptr(), Scratch::take().len()),
            (at, SIZE)
        );
    }
}
