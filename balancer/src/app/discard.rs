//! Discard (RFC 863): what comes in is thrown away.

use super::session::Session;

/// A connection that is read until its peer ends it.
#[derive(Debug, Default)]
pub struct Discard {
    ended: bool,
}

impl Session for Discard {
    fn receive(&mut self, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn receive_end(&mut self) {
        self.ended = true;
    }

    fn transmit(&mut self, _room: &mut [u8]) -> usize {
        0
    }

    fn is_over(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::{Discard, Session};

    #[test]
    fn everything_is_taken_and_nothing_answered() {
        let mut discard = Discard::default();
        assert_eq!((discard.receive(&[1; 1000]), discard.transmit(&mut [0; 10])), (1000, 0));
        assert!(!discard.is_over());
        discard.receive_end();
        assert!(discard.is_over());
    }
}
