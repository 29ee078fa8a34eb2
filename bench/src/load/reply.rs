//! When a reply is whole: as long as the message it echoes, or as its `Content-Length` says.

use std::io;

pub(super) const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What an echo is asked to send back.
pub(super) fn message(bytes: usize) -> Vec<u8> {
    // A period that divides no power of two, so that pieces in the wrong place are seen.
    (0..bytes).map(|index| (index % 251) as u8).collect()
}

/// The part of a reply that has come.
pub(super) enum Reply {
    Echo { received: usize },
    Http { received: Vec<u8> },
}

impl Reply {
    pub(super) fn echo() -> Self {
        Self::Echo { received: 0 }
    }

    pub(super) fn http() -> Self {
        Self::Http {
            received: Vec::new(),
        }
    }

    /// Adds a piece; true if the reply to `request` is whole with it, and the next one begins.
    pub(super) fn take(&mut self, piece: &[u8], request: &[u8]) -> io::Result<bool> {
        match self {
            Self::Echo { received } => {
                let before = *received;
                *received += piece.len();
                if request.get(before..*received) != Some(piece) {
                    return Err(io::Error::other("the server changed a message"));
                }
                let whole = *received == request.len();
                if whole {
                    *received = 0;
                }
                Ok(whole)
            }
            // Nearly every response comes in one piece and is looked at where it lies.
            Self::Http { received } if received.is_empty() => {
                let whole = is_whole(piece)?;
                if !whole {
                    received.extend_from_slice(piece);
                }
                Ok(whole)
            }
            Self::Http { received } => {
                received.extend_from_slice(piece);
                let whole = is_whole(received)?;
                if whole {
                    received.clear();
                }
                Ok(whole)
            }
        }
    }
}

/// Whether these bytes are a whole HTTP response, a good one, with nothing after it.
fn is_whole(response: &[u8]) -> io::Result<bool> {
    let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = std::str::from_utf8(&response[..end]).map_err(io::Error::other)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let length = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.parse::<usize>().ok());
    match length {
        Some(length) if status == "HTTP/1.1 200 OK" => {
            match response.len().cmp(&(end + 4 + length)) {
                std::cmp::Ordering::Less => Ok(false),
                std::cmp::Ordering::Equal => Ok(true),
                std::cmp::Ordering::Greater => {
                    Err(io::Error::other("more than the response asked for"))
                }
            }
        }
        _ => Err(io::Error::other(format!("an odd response: {head:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn a_response_is_whole_at_its_last_byte_wherever_it_is_cut() {
        for cut in 1..RESPONSE.len() {
            let mut reply = Reply::http();
            for _ in 0..2 {
                assert!(!reply.take(&RESPONSE[..cut], REQUEST).unwrap());
                assert!(reply.take(&RESPONSE[cut..], REQUEST).unwrap());
            }
        }
    }

    #[test]
    fn a_response_that_is_no_success_or_too_long_is_an_error() {
        let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert!(Reply::http().take(refused, REQUEST).is_err());
        let longer = [RESPONSE, b"!"].concat();
        assert!(Reply::http().take(&longer, REQUEST).is_err());
    }

    #[test]
    fn an_echo_with_a_piece_in_the_wrong_place_is_an_error() {
        let message = message(16 * 1024);
        let (first, second) = message.split_at(4096);
        let mut reply = Reply::echo();
        assert!(!reply.take(first, &message).unwrap());
        assert!(reply.take(second, &message).unwrap());
        assert!(!reply.take(first, &message).unwrap());
        assert!(reply.take(first, &message).is_err());
    }
}
