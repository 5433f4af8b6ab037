//! A stream of bytes that both sides of a test can make: incompressible, and different at every offset.

/// Byte `n` of the stream is byte `n % 8` of SplitMix64's output number `n / 8` (Steele et al., OOPSLA 2014).
#[derive(Debug, Default)]
pub struct Pattern {
    offset: u64,
}

impl Pattern {
    /// Fills `room` with the next bytes.
    pub fn fill(&mut self, mut room: &mut [u8]) {
        while !room.is_empty() {
            let word = word(self.offset / 8).to_le_bytes();
            let rest = &word[(self.offset % 8) as usize..];
            let len = rest.len().min(room.len());
            room[..len].copy_from_slice(&rest[..len]);
            room = &mut room[len..];
            self.offset += len as u64;
        }
    }
}

fn word(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn pieces_of_any_size_make_the_same_stream() {
        let mut whole = [0; 4096];
        Pattern::default().fill(&mut whole);
        let (mut pieces, mut pattern, mut at) = ([0; 4096], Pattern::default(), 0);
        for size in (1..).take_while(|size| size * (size + 1) / 2 <= 4096) {
            pattern.fill(&mut pieces[at..at + size]);
            at += size;
        }
        assert_eq!(whole[..at], pieces[..at]);
        // The first output of SplitMix64 seeded with zero.
        assert_eq!(whole[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
    }
}
