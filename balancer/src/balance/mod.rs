//! Which backend a connection goes to: pure policies and the health of a pool's backends. No clock, no I/O.

/// Backends in one pool, at most.
pub const MAX_BACKENDS: usize = 256;

/// Largest table.
pub const LARGEST_TABLE: u32 = 5_000_011;

/// Whether it is a prime.
pub fn is_prime(number: u32) -> bool {
    let number = u64::from(number);
    number >= 2 && (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}
