//! Echo (RFC 862): what comes in goes out.

use super::session::Session;
use std::collections::VecDeque;

/// Bytes that one connection may have waiting; past that the peer's window closes.
const LIMIT: usize = 64 * 1024;

/// An echo conversation.
#[derive(Debug, Default)]
pub struct Echo {
    waiting: VecDeque<u8>,
    ended: bool,
}

impl Session for Echo {
    fn receive(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(LIMIT - self.waiting.len());
        self.waiting.extend(&bytes[..taken]);
        taken
    }

    fn receive_end(&mut self) {
        self.ended = true;
    }

    fn transmit(&mut self, room: &mut [u8]) -> usize {
        let (front, _) = self.waiting.as_slices();
        let len = front.len().min(room.len());
        room[..len].copy_from_slice(&front[..len]);
        self.waiting.drain(..len);
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        len
    }

    fn is_over(&self) -> bool {
        self.ended && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Echo, LIMIT, Session};

    #[test]
    fn everything_comes_back_in_order_and_then_it_is_over() {
        let sent: Vec<u8> = (0..200_000u32).map(|i| (i / 7) as u8).collect();
        let (mut echo, mut got, mut offset, mut room) = (Echo::default(), Vec::new(), 0, [0; 1000]);
        while got.len() < sent.len() {
            offset += echo.receive(&sent[offset..]);
            assert!(offset - got.len() <= LIMIT);
            let len = echo.transmit(&mut room);
            got.extend_from_slice(&room[..len]);
        }
        assert_eq!(got, sent);
        assert!(!echo.is_over());
        echo.receive_end();
        assert!(echo.is_over());
    }
}
