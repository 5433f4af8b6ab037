//! The Toeplitz hash: for every bit of the input that is set, the 32 bits of the key that begin at the same place, all added
//! without carry (Microsoft, "RSS hashing functions").

/// The longest input in bytes: two IPv6 addresses and two ports.
pub(super) const LONGEST_INPUT: usize = 36;
/// The bytes of the key that such an input needs: the last bit's 32 bits begin one bit before its end.
pub(super) const KEY_LEN: usize = LONGEST_INPUT + 4;

/// The hash of one key, as a table: what each value of each byte of the input contributes. Being linear, the hash of the
/// input is the sum of that.
#[derive(Clone, Debug)]
pub(super) struct Toeplitz([[u32; 256]; LONGEST_INPUT]);

impl Toeplitz {
    pub(super) fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut table = [[0; 256]; LONGEST_INPUT];
        for (position, contributions) in table.iter_mut().enumerate() {
            for value in 1..256_usize {
                // The lowest bit that is set, and the rest, which is known already.
                let bit = 7 - value.trailing_zeros() as usize;
                contributions[value] = contributions[value & (value - 1)] ^ bits_from(key, 8 * position + bit);
            }
        }
        Self(table)
    }

    /// The hash of an input of at most [`LONGEST_INPUT`] bytes.
    pub(super) fn hash(&self, input: &[u8]) -> u32 {
        debug_assert!(input.len() <= LONGEST_INPUT);
        input.iter().zip(&self.0).fold(0, |hash, (&byte, contributions)| hash ^ contributions[usize::from(byte)])
    }
}

/// The 32 bits of the key from this one on, the leftmost bit being number 0.
fn bits_from(key: &[u8; KEY_LEN], bit: usize) -> u32 {
    let bytes = &key[bit / 8..bit / 8 + 5];
    let window = bytes.iter().fold(0_u64, |window, &byte| window << 8 | u64::from(byte));
    (window >> (8 - bit % 8)) as u32
}

#[cfg(test)]
mod tests {
    use super::{KEY_LEN, LONGEST_INPUT, Toeplitz};
    use proptest::prelude::*;

    /// Word for word as it is defined.
    fn defined(key: &[u8; KEY_LEN], input: &[u8]) -> u32 {
        let mut key: Vec<bool> =
            key.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
        let mut result = 0;
        for bit in input.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)) {
            if bit {
                result ^= key[..32].iter().fold(0, |word, &bit| word << 1 | u32::from(bit));
            }
            key.rotate_left(1);
        }
        result
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_the_definition(
            key: [u8; 40],
            input in prop::collection::vec(any::<u8>(), 0..=LONGEST_INPUT),
        ) {
            prop_assert_eq!(Toeplitz::new(&key).hash(&input), defined(&key, &input));
        }
    }

    #[test]
    fn every_bit_of_the_input_adds_its_own_bits_of_the_key() {
        let key = std::array::from_fn(|i| (i as u8).wrapping_mul(167) ^ 0x5a);
        let toeplitz = Toeplitz::new(&key);
        for bit in 0..8 * LONGEST_INPUT {
            let mut input = [0; LONGEST_INPUT];
            input[bit / 8] = 0x80 >> (bit % 8);
            assert_eq!(toeplitz.hash(&input), defined(&key, &input), "bit {bit}");
        }
    }
}
