//! The reader's buffer: what came and was not asked for yet, and the search for separators in it. No I/O.

use bytes::{Buf, Bytes, BytesMut};

use crate::spare::{self, LARGE, SMALL};

/// A piece of at most this length is copied out: that is cheaper than sharing the buffer.
const COPIED: usize = 512;
/// A piece smaller than this part of the buffer is copied too, so that whoever keeps it does not keep much more alive.
const SHARED_PART: usize = 8;

/// Bytes that are added at the end and taken from the front.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    /// Initialised throughout: what is not data is room, and costs no zeroing to be offered again. Empty when nothing is lent.
    memory: BytesMut,
    /// The data are `memory[start..end]`.
    start: usize,
    end: usize,
    /// The size as which `memory` was borrowed from the thread.
    large: bool,
    /// It has neither of the two sizes any more, and is not for others to keep, even if only a part of it is left in sight.
    outgrown: bool,
    /// Nothing more will come.
    ended: bool,
    /// Whether the connection has filled a buffer lately, and should be lent a large one.
    busy: bool,
}

/// What a search for a separator has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// The chunk, separator included, has this length.
    Found(usize),
    /// Not yet; no separator begins before `scanned`.
    More { scanned: usize },
    /// Longer than the limit. The fields are those of [`LimitOverrunError`](crate::LimitOverrunError).
    Overrun { consumed: usize, found: bool },
}

impl ReadBuffer {
    pub(crate) fn data(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room behind the data, at least one byte, and not so much that there could be more than `most` bytes of data.
    pub(crate) fn room(&mut self, most: usize) -> &mut [u8] {
        debug_assert!(self.len() < most);
        if self.memory.is_empty() {
            self.memory = spare::take(self.busy);
            self.large = self.busy;
            self.outgrown = false;
        }
        let allowed = most - self.len();
        let enough = allowed.min(self.preferred() / 4);
        if self.memory.len() - self.end < enough {
            self.make_room(allowed, enough);
        }
        let until = self.memory.len().min(self.start.saturating_add(most));
        &mut self.memory[self.end..until]
    }

    /// Notes that the first `n` of `room` bytes have been filled.
    pub(crate) fn added(&mut self, n: usize, room: usize) {
        self.end += n;
        debug_assert!(n <= room && self.end <= self.memory.len());
        if n == room && room >= SMALL / 4 {
            self.busy = true;
        } else if n < SMALL / 4 {
            self.busy = false;
        }
    }

    /// Takes up to `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        let n = n.min(self.len());
        if n <= COPIED || n < self.memory.len() / SHARED_PART {
            let piece = Bytes::copy_from_slice(&self.data()[..n]);
            self.consume(n);
            return piece;
        }
        self.memory.advance(self.start);
        let piece = self.memory.split_to(n).freeze();
        self.end -= self.start + n;
        self.start = 0;
        self.taken();
        piece
    }

    /// Copies as much as there is and fits.
    pub(crate) fn copy_to(&mut self, target: &mut [u8]) -> usize {
        let n = target.len().min(self.len());
        target[..n].copy_from_slice(&self.data()[..n]);
        self.consume(n);
        n
    }

    /// Drops up to `n` bytes.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n.min(self.len());
        self.taken();
    }

    fn taken(&mut self) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            if self.outgrown || self.ended {
                self.give_back();
            }
        }
    }

    /// To be called when nothing happens for now: memory that is not needed goes back to the thread.
    pub(crate) fn rest(&mut self) {
        if self.memory.is_empty() && self.memory.capacity() == 0 {
            // Nothing is lent; the usual case of a reader that waits.
        } else if self.is_empty() {
            self.give_back();
        } else if self.large && self.len() <= SMALL / 2 {
            // A little of a message must not hold a large buffer for as long as its sender likes.
            self.move_to(false);
        } else if self.outgrown && self.len() <= LARGE / 2 {
            // Nor must what came behind a large message hold the memory of that.
            self.move_to(true);
        }
    }

    /// As [`rest`](ReadBuffer::rest), when nothing more will come: what is in here goes with the last byte.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.rest();
    }

    fn move_to(&mut self, large: bool) {
        let mut memory = spare::take(large);
        let n = self.copy_to(&mut memory);
        self.give_back();
        (self.memory, self.end) = (memory, n);
        (self.large, self.outgrown) = (large, false);
    }

    fn give_back(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        (self.start, self.end) = (0, 0);
        if memory.capacity() > 0 && !self.outgrown {
            spare::give(memory, self.large);
        }
    }

    fn preferred(&self) -> usize {
        if self.busy { LARGE } else { SMALL }
    }

    #[cold]
    fn make_room(&mut self, allowed: usize, enough: usize) {
        let len = self.len();
        self.memory.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, len);
        if self.memory.len() - len >= enough {
            return;
        }
        let size = if len + enough <= self.preferred() {
            self.preferred()
        } else {
            // No more than twice of what did come, whatever was announced.
            (len.saturating_add(allowed)).min((len * 2).max(LARGE))
        };
        // Cut first: what is behind the data need not be moved along.
        self.memory.truncate(len);
        self.memory.resize(size, 0);
        self.large = size >= LARGE;
        self.outgrown = size != SMALL && size != LARGE;
    }

    /// Looks for the separator whose end comes first, where none begins before `scanned` (S208).
    ///
    /// There is at least one separator, and none is empty.
    pub(crate) fn search(&self, separators: &[&[u8]], scanned: usize, limit: usize) -> Search {
        let data = self.data();
        let first = separators
            .iter()
            .filter_map(|separator| {
                let start = scanned + find(data.get(scanned..)?, separator)?;
                Some((start + separator.len(), start))
            })
            .min_by_key(|&(end, _)| end);
        if let Some((end, start)) = first {
            return if start > limit {
                Search::Overrun {
                    consumed: start,
                    found: true,
                }
            } else {
                Search::Found(end)
            };
        }
        let longest = separators
            .iter()
            .map(|separator| separator.len())
            .max()
            .unwrap_or(1);
        // A separator may have begun in the last bytes.
        let scanned = (data.len() + 1).saturating_sub(longest).max(scanned);
        if scanned > limit {
            Search::Overrun {
                consumed: scanned,
                found: false,
            }
        } else {
            Search::More { scanned }
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn find(data: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => memchr::memchr(*byte, data),
        _ => memchr::memmem::find(data, separator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(buffer: &mut ReadBuffer, mut data: &[u8], most: usize) {
        while !data.is_empty() {
            let room = buffer.room(most);
            let (n, size) = (room.len().min(data.len()), room.len());
            room[..n].copy_from_slice(&data[..n]);
            buffer.added(n, size);
            data = &data[n..];
        }
    }

    fn filled(data: &[u8]) -> ReadBuffer {
        let mut buffer = ReadBuffer::default();
        feed(&mut buffer, data, usize::MAX);
        buffer
    }

    #[test]
    fn a_buffer_that_was_outgrown_is_kept_by_nobody() {
        // A little less than there is room for: what is left behind it looks like a small buffer.
        let message = vec![b'x'; 4 * 1024 * 1024 - 1000];
        let mut buffer = filled(&message);
        drop(buffer.take(usize::MAX));
        assert_eq!(buffer.memory.capacity(), 0);
        assert_eq!(spare::take(true).capacity(), LARGE);

        // What came behind it moves out.
        let mut buffer = filled(&message);
        drop(buffer.take(message.len() - 10_000));
        buffer.rest();
        assert_eq!((buffer.len(), buffer.memory.capacity()), (10_000, LARGE));
        drop(buffer.take(9_000));
        buffer.rest();
        assert_eq!((buffer.len(), buffer.memory.capacity()), (1_000, SMALL));
    }

    #[test]
    fn the_last_byte_takes_the_memory_with_it() {
        let mut buffer = filled(b"the end");
        buffer.end();
        buffer.consume(3);
        assert_eq!(buffer.take(usize::MAX), " end");
        assert_eq!(buffer.memory.capacity(), 0);
    }

    #[test]
    fn the_separator_whose_end_comes_first_wins() {
        let buffer = filled(b"one;two\r\nthree\n");
        assert_eq!(buffer.search(&[b"\r\n", b";"], 0, 100), Search::Found(4));
        assert_eq!(buffer.search(&[b"\r\n"], 0, 100), Search::Found(9));
        assert_eq!(
            buffer.search(&[b"wo\r\nt", b"\r\n"], 0, 100),
            Search::Found(9)
        );
        assert_eq!(
            buffer.search(&[b"nix"], 0, 100),
            Search::More { scanned: 13 }
        );
    }

    #[test]
    fn the_limit_counts_the_bytes_before_the_separator_and_equal_is_fine() {
        let buffer = filled(b"12345\n");
        assert_eq!(buffer.search(&[b"\n"], 0, 5), Search::Found(6));
        assert_eq!(
            buffer.search(&[b"\n"], 0, 4),
            Search::Overrun {
                consumed: 5,
                found: true
            }
        );
        let buffer = filled(b"12345");
        assert_eq!(buffer.search(&[b"\n"], 0, 5), Search::More { scanned: 5 });
        assert_eq!(
            buffer.search(&[b"\n"], 0, 4),
            Search::Overrun {
                consumed: 5,
                found: false
            }
        );
        assert_eq!(buffer.search(&[b"\r\n"], 0, 4), Search::More { scanned: 4 });
    }

    #[test]
    fn a_buffer_at_rest_holds_no_memory_and_a_little_data_no_large_one() {
        let mut buffer = filled(&[7; LARGE]);
        assert!(buffer.large);
        buffer.consume(LARGE - 10);
        buffer.rest();
        assert_eq!((buffer.memory.len(), buffer.data()), (SMALL, &[7; 10][..]));
        buffer.consume(10);
        buffer.rest();
        assert_eq!(buffer.memory.capacity(), 0);
    }

    #[test]
    fn memory_that_was_shared_is_used_again_once_the_pieces_are_gone() {
        let mut buffer = filled(&[1; 4000]);
        let first = buffer.memory.as_ptr();
        for _ in 0..3 {
            drop(buffer.take(1000));
        }
        feed(&mut buffer, &[2; 2000], usize::MAX);
        assert_eq!(
            (buffer.memory.as_ptr(), buffer.memory.len()),
            (first, SMALL)
        );
        assert_eq!(buffer.len(), 3000);
    }

    #[test]
    fn a_piece_that_is_kept_keeps_its_bytes() {
        let mut buffer = filled(&[1; SMALL]);
        let kept = buffer.take(2000);
        let also = buffer.take(2000);
        for round in 2..50 {
            feed(&mut buffer, &[round; 3000], usize::MAX);
            buffer.take(3000);
            buffer.rest();
        }
        assert!(kept.iter().chain(&also).all(|&byte| byte == 1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Feed(Vec<u8>),
        Take(usize),
        Copy(usize),
        Consume(usize),
        Search,
        Rest,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Bytes of a small alphabet, so that separators occur; sizes on both sides of every threshold.
        let bytes = prop_oneof![
            proptest::collection::vec(0..4u8, 0..20),
            proptest::collection::vec(0..4u8, 0..9000),
            (1..4u8, 0..200_000usize).prop_map(|(byte, n)| vec![byte; n]),
        ];
        let size = prop_oneof![0..20usize, 0..5000usize, 0..200_000usize];
        let step = prop_oneof![
            4 => bytes.prop_map(Step::Feed),
            2 => size.clone().prop_map(Step::Take),
            1 => size.clone().prop_map(Step::Copy),
            1 => size.prop_map(Step::Consume),
            2 => Just(Step::Search),
            1 => Just(Step::Rest),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn it_behaves_as_a_vector_does(steps in steps(), keep in any::<bool>()) {
            let (mut buffer, mut model) = (ReadBuffer::default(), Vec::new());
            let mut kept = Vec::new();
            for step in steps {
                match step {
                    Step::Feed(data) => {
                        model.extend_from_slice(&data);
                        feed(&mut buffer, &data, usize::MAX);
                    }
                    Step::Take(n) => {
                        let piece: Vec<u8> = model.drain(..n.min(model.len())).collect();
                        let taken = buffer.take(n);
                        prop_assert_eq!(&taken[..], &piece[..]);
                        if keep {
                            kept.push((taken, piece));
                        }
                    }
                    Step::Copy(n) => {
                        let mut target = vec![0; n];
                        let n = buffer.copy_to(&mut target);
                        let piece: Vec<u8> = model.drain(..n).collect();
                        prop_assert_eq!(&target[..n], &piece[..]);
                    }
                    Step::Consume(n) => {
                        model.drain(..n.min(model.len()));
                        buffer.consume(n);
                    }
                    Step::Search => {
                        let separators: [&[u8]; 2] = [&[0, 1], &[3]];
                        let end = (1..=model.len())
                            .find(|&end| separators.iter().any(|separator| model[..end].ends_with(separator)));
                        let found = match buffer.search(&separators, 0, usize::MAX) {
                            Search::Found(end) => Some(end),
                            _ => None,
                        };
                        prop_assert_eq!(found, end);
                    }
                    Step::Rest => buffer.rest(),
                }
                prop_assert_eq!(buffer.data(), &model[..]);
            }
            for (taken, piece) in kept {
                prop_assert_eq!(&taken[..], &piece[..]);
            }
        }

        #[test]
        fn a_search_in_steps_finds_what_a_search_of_the_whole_finds(
            data in proptest::collection::vec(0..3u8, 0..200),
            cuts in proptest::collection::vec(1..10usize, 1..20),
        ) {
            let separators: [&[u8]; 2] = [&[0, 0, 1], &[2, 2]];
            let whole = filled(&data).search(&separators, 0, usize::MAX);
            let (mut buffer, mut rest) = (ReadBuffer::default(), &data[..]);
            let mut stepwise = buffer.search(&separators, 0, usize::MAX);
            let mut cuts = cuts.iter().cycle();
            while let (Search::More { scanned }, false) = (stepwise, rest.is_empty()) {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                feed(&mut buffer, now, usize::MAX);
                rest = later;
                stepwise = buffer.search(&separators, scanned, usize::MAX);
            }
            prop_assert_eq!(stepwise, whole);
        }

        #[test]
        fn there_is_never_more_data_than_allowed(sizes in proptest::collection::vec(1..300usize, 1..50), most in 1..600usize) {
            let mut buffer = ReadBuffer::default();
            for size in sizes {
                while buffer.len() >= most {
                    buffer.consume(size);
                }
                let room = buffer.room(most);
                prop_assert!(!room.is_empty());
                let n = room.len();
                buffer.added(n, n);
                prop_assert!(buffer.len() <= most);
            }
        }
    }
}
