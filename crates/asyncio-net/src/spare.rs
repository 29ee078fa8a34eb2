//! Buffers that nobody uses right now, kept by the thread: a connection that waits holds none, and one that works does not
//! allocate.

use std::cell::RefCell;

use bytes::BytesMut;

/// The size of a buffer at first.
pub(crate) const SMALL: usize = 4 * 1024;
/// The size of a buffer for a connection that has shown that it fills the small one.
pub(crate) const LARGE: usize = 64 * 1024;

const MOST_SMALL: usize = 64;
const MOST_LARGE: usize = 8;

#[derive(Default)]
struct Spares {
    small: Vec<BytesMut>,
    large: Vec<BytesMut>,
}

thread_local! {
    static SPARES: RefCell<Spares> = const { RefCell::new(Spares { small: Vec::new(), large: Vec::new() }) };
}

/// A buffer of one of the two sizes, initialised throughout.
pub(crate) fn take(large: bool) -> BytesMut {
    // `try_with`: a stream may be used by the destructor of another thread-local.
    let spare = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if large {
            spares.large.pop()
        } else {
            spares.small.pop()
        }
    });
    match spare {
        Ok(Some(buffer)) => buffer,
        _ => BytesMut::zeroed(if large { LARGE } else { SMALL }),
    }
}

/// Takes a buffer back if nobody shares its memory; forgets it otherwise. Whoever let it outgrow its size keeps it from here.
pub(crate) fn give(mut buffer: BytesMut, large: bool) {
    let size = if large { LARGE } else { SMALL };
    if buffer.len() > size {
        return;
    }
    if buffer.len() < size {
        // Parts were split off. Where they have been dropped, the whole can be had again.
        buffer.clear();
        if !buffer.try_reclaim(size) {
            return;
        }
        buffer.resize(size, 0);
    }
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        let (list, most) = if large {
            (&mut spares.large, MOST_LARGE)
        } else {
            (&mut spares.small, MOST_SMALL)
        };
        if list.len() < most {
            list.push(buffer);
        }
    });
}
