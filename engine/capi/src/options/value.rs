//! Values of options, as C has them.

use crate::caller::Bytes;
use crate::errno::{Errno, Result};
use std::ffi::c_int;
use std::time::Duration;

/// Reads an `int`; what follows it is not looked at.
///
/// # Errors
/// EINVAL when there are too few bytes, EFAULT.
pub(super) fn int(value: &Bytes) -> Result<c_int> {
    if value.len() < size_of::<c_int>() {
        return Err(Errno::INVALID);
    }
    Ok(first_int(value.get()?))
}

fn first_int(bytes: &[u8]) -> c_int {
    c_int::from_ne_bytes(std::array::from_fn(|index| bytes.get(index).copied().unwrap_or(0)))
}

/// Reads an `int` that stands for yes or no.
///
/// # Errors
/// As [`int`].
pub(super) fn switch(value: &Bytes) -> Result<bool> {
    int(value).map(|value| value != 0)
}

/// Reads an `int` within bounds.
///
/// # Errors
/// As [`int`], and EINVAL outside of them.
pub(super) fn within(value: &Bytes, bounds: std::ops::RangeInclusive<c_int>) -> Result<u32> {
    let value = int(value)?;
    if bounds.contains(&value) { Ok(value.cast_unsigned()) } else { Err(Errno::INVALID) }
}

/// Reads a `struct linger`.
///
/// # Errors
/// As [`int`].
pub(super) fn linger(value: &Bytes) -> Result<Option<Duration>> {
    if value.len() < size_of::<libc::linger>() {
        return Err(Errno::INVALID);
    }
    let bytes = value.get()?;
    let (on, seconds) = (first_int(bytes), first_int(&bytes[size_of::<c_int>()..]));
    Ok((on != 0).then(|| Duration::from_secs(seconds.cast_unsigned().into())))
}

/// Writes a `struct linger`.
pub(super) fn linger_bytes(linger: Option<Duration>) -> Vec<u8> {
    let seconds = linger.map_or(0, |linger| linger.as_secs() as c_int);
    [c_int::from(linger.is_some()), seconds].iter().flat_map(|int| int.to_ne_bytes()).collect()
}

/// Reads a `struct timeval`; zero is for ever, and less than nothing not at all.
///
/// # Errors
/// As [`int`]; EDOM for microseconds that are no part of a second.
pub(super) fn time(value: &Bytes) -> Result<Option<Duration>> {
    if value.len() < size_of::<libc::timeval>() {
        return Err(Errno::INVALID);
    }
    let bytes = value.get()?;
    let word = |start: usize| i64::from_ne_bytes(std::array::from_fn(|index| bytes[start + index]));
    let (seconds, micros) = (word(0), word(size_of::<libc::time_t>()));
    let micros = u32::try_from(micros).ok().filter(|&micros| micros < 1_000_000).ok_or(Errno(libc::EDOM))?;
    Ok(match u64::try_from(seconds) {
        Err(_) => Some(Duration::ZERO),
        Ok(0) if micros == 0 => None,
        Ok(seconds) => Some(Duration::new(seconds, micros * 1_000)),
    })
}

/// Writes a `struct timeval`.
pub(super) fn time_bytes(time: Option<Duration>) -> Vec<u8> {
    let time = time.unwrap_or_default();
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    [seconds, i64::from(time.subsec_micros())].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

// What the two functions above take words for.
const _: () = assert!(size_of::<libc::time_t>() == 8 && size_of::<libc::timeval>() == 16);
const _: () = assert!(size_of::<libc::linger>() == 2 * size_of::<c_int>());

#[cfg(test)]
mod tests {
    use super::{int, linger, linger_bytes, time, time_bytes, within};
    use crate::caller::Bytes;
    use crate::errno::Errno;
    use std::time::Duration;

    fn bytes(value: &[u8]) -> Bytes<'_> {
        // SAFETY: they are there.
        unsafe { Bytes::new(value.as_ptr(), value.len()) }
    }

    #[test]
    fn ints_have_bounds() {
        assert_eq!(int(&bytes(&7_i32.to_ne_bytes())), Ok(7));
        assert_eq!(int(&bytes(&[0; 3])), Err(Errno::INVALID));
        assert_eq!(within(&bytes(&(-1_i32).to_ne_bytes()), 0..=5), Err(Errno::INVALID));
        assert_eq!(within(&bytes(&5_i32.to_ne_bytes()), 0..=5), Ok(5));
    }

    #[test]
    fn structures_come_back_as_they_were_written() {
        for value in [None, Some(Duration::ZERO), Some(Duration::from_secs(9))] {
            assert_eq!(linger(&bytes(&linger_bytes(value))), Ok(value));
        }
        for value in [None, Some(Duration::from_micros(1_500_001))] {
            assert_eq!(time(&bytes(&time_bytes(value))), Ok(value));
        }
        let odd = [0_i64, 1_000_000].map(i64::to_ne_bytes).concat();
        assert_eq!(time(&bytes(&odd)), Err(Errno(libc::EDOM)));
        let past = [-1_i64, 0].map(i64::to_ne_bytes).concat();
        assert_eq!(time(&bytes(&past)), Ok(Some(Duration::ZERO)));
    }
}
