//! What was written and has not been sent.

/// Bytes that leave at the front in the order in which they came.
#[derive(Default)]
pub(crate) struct WriteBuffer {
    bytes: Vec<u8>,
    /// How many at the front have been sent already.
    sent: usize,
}

/// The most memory an empty buffer keeps for the next time.
const KEPT: usize = 4 * 1024;

impl WriteBuffer {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        // What was sent is moved over only when it is at least as much as what must be moved: each byte moves once on average.
        if self.sent > self.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(data);
    }

    pub(crate) fn sent(&mut self, n: usize) {
        self.sent += n;
        debug_assert!(self.sent <= self.bytes.len());
        if self.is_empty() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.sent = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut buffer = WriteBuffer::default();
        buffer.push(b"hello");
        buffer.sent(3);
        buffer.push(b" world");
        assert_eq!(buffer.unsent(), b"lo world");
        buffer.sent(8);
        assert!(buffer.is_empty());
    }

    #[test]
    fn memory_stays_bounded_by_what_is_unsent_and_large_memory_is_given_back() {
        let mut buffer = WriteBuffer::default();
        buffer.push(&[0; 1000]);
        for _ in 0..10_000 {
            buffer.push(&[0; 1000]);
            buffer.sent(1000);
        }
        assert!(
            buffer.bytes.capacity() < 8000,
            "{}",
            buffer.bytes.capacity()
        );
        buffer.push(&[0; 100_000]);
        buffer.sent(buffer.len());
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
