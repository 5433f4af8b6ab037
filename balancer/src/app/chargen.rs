//! Character generator (RFC 864): bytes for as long as the peer listens; what it sends is thrown away.

use super::session::Session;

/// The printing characters of ASCII, in their order.
const CHARACTERS: [u8; 95] = {
    let (mut characters, mut at) = ([b' '; 95], 0);
    while at < characters.len() {
        characters[at] += at as u8;
        at += 1;
    }
    characters
};
/// A line: 72 characters, carriage return, line feed.
const LINE: usize = 74;

/// RFC 864's pattern: each line begins one character further on in the ring of characters than the one before.
static PATTERN: [u8; LINE * CHARACTERS.len()] = {
    let (mut pattern, mut at) = ([0; LINE * CHARACTERS.len()], 0);
    while at < pattern.len() {
        pattern[at] = match at % LINE {
            72 => b'\r',
            73 => b'\n',
            column => CHARACTERS[(at / LINE + column) % CHARACTERS.len()],
        };
        at += 1;
    }
    pattern
};

/// A connection that is written until its peer ends it.
#[derive(Debug, Default)]
pub struct Chargen {
    /// In the pattern.
    at: usize,
    ended: bool,
}

impl Session for Chargen {
    fn receive(&mut self, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn receive_end(&mut self) {
        self.ended = true;
    }

    fn transmit(&mut self, room: &mut [u8]) -> usize {
        if self.ended {
            return 0;
        }
        let mut filled = 0;
        while filled < room.len() {
            let piece = (PATTERN.len() - self.at).min(room.len() - filled);
            room[filled..filled + piece].copy_from_slice(&PATTERN[self.at..self.at + piece]);
            self.at = (self.at + piece) % PATTERN.len();
            filled += piece;
        }
        filled
    }

    fn is_over(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::{Chargen, LINE, PATTERN, Session};

    #[test]
    fn lines_are_those_of_the_rfc() {
        let mut room = [0; 3 * LINE];
        assert_eq!(Chargen::default().transmit(&mut room), room.len());
        let text = String::from_utf8(room.to_vec()).expect("ASCII");
        let lines: Vec<_> = text.split_terminator("\r\n").collect();
        assert_eq!(lines[0], " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg");
        assert_eq!(lines[1], &format!("{}h", &lines[0][1..]));
        assert_eq!(lines[2], &format!("{}i", &lines[1][1..]));
    }

    #[test]
    fn pieces_make_the_same_stream_over_and_over() {
        let (mut chargen, mut seen) = (Chargen::default(), Vec::new());
        for size in [1, 1000, PATTERN.len(), PATTERN.len() - 1001] {
            let mut room = vec![0; size];
            assert_eq!(chargen.transmit(&mut room), size);
            seen.extend(room);
        }
        assert_eq!(seen, PATTERN.repeat(2));
    }

    #[test]
    fn it_is_over_when_the_peer_ends() {
        let mut chargen = Chargen::default();
        assert_eq!(chargen.receive(b"anything"), 8);
        assert!(!chargen.is_over());
        chargen.receive_end();
        assert!(chargen.is_over());
        assert_eq!(chargen.transmit(&mut [0; 10]), 0);
    }
}
