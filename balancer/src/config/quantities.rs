//! Durations and sizes, as people write them.

use super::forms::{Form, Hint, whole};
use super::nearest::did_you_mean;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// Units of time in milliseconds, the longest first.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Units of memory in bytes, the largest first.
const SIZES: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A duration within `range`: a whole number and its unit.
pub(super) fn duration(range: RangeInclusive<Duration>) -> Form<Duration> {
    Form::new(wanted_duration(&range), move |value| duration_in(value, &range))
}

/// A duration within `range`, or a word that stands for something else.
pub(super) fn duration_or<U: 'static>(
    range: RangeInclusive<Duration>,
    make: fn(Duration) -> U,
    (word, meaning): (&'static str, fn() -> U),
) -> Form<U> {
    Form::new(format!("{}, or {word:?}", wanted_duration(&range)), move |value| match value.as_str() {
        Some(text) if text == word => Ok(meaning()),
        Some(text) if text.chars().all(char::is_alphabetic) => Err(did_you_mean(text, [word]).unwrap_or_default()),
        _ => duration_in(value, &range).map(make),
    })
}

fn wanted_duration(range: &RangeInclusive<Duration>) -> String {
    let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
    format!("a duration from {least:?} to {most:?} (units: {})", names(TIMES.iter().rev()))
}

fn duration_in(value: &DeValue<'_>, range: &RangeInclusive<Duration>) -> Result<Duration, Hint> {
    let Some(text) = value.as_str() else {
        return Err(whole(value).map(|number| format!("give it a unit, such as \"{number}s\"")).unwrap_or_default());
    };
    let duration = Duration::from_millis(with_unit(text, &TIMES)?);
    range.contains(&duration).then_some(duration).ok_or_else(Hint::new)
}

/// Reads a duration as it is written in the file: a whole number and its unit.
///
/// # Errors
/// What is wrong with it, and how it is written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let milliseconds = with_unit(text, &TIMES).map_err(|hint| {
        let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
        format!("write a number and its unit, such as \"90s\", \"10m\" or \"12h\"{hint}")
    })?;
    Ok(Duration::from_millis(milliseconds))
}

/// A size in bytes within `range`: a number, or text with a unit.
pub(super) fn size<T: Copy + PartialOrd + Into<u64> + TryFrom<u64> + 'static>(range: RangeInclusive<T>) -> Form<T> {
    let (least, most) = (show_size(*range.start()), show_size(*range.end()));
    let wanted = format!("a size from {least:?} to {most:?}, in bytes or with a unit ({})", names(SIZES.iter().rev()));
    Form::new(wanted, move |value| {
        let bytes = match value.as_str() {
            Some(text) => Some(with_unit(text, &SIZES)?),
            None => whole(value).and_then(|bytes| u64::try_from(bytes).ok()),
        };
        let bytes = bytes.and_then(|bytes| T::try_from(bytes).ok());
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(Hint::new)
    })
}

/// Reads a whole number and one of the units behind it.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Result<u64, Hint> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().map_err(|_| Hint::new())?;
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor = factor.ok_or_else(|| unit_hint(unit, units))?;
    number.checked_mul(factor).ok_or_else(Hint::new)
}

/// What to say of an unknown unit.
fn unit_hint(unit: &str, units: &[(&str, u64)]) -> Hint {
    let near = |name: &str| {
        let (name, unit) = (name.to_ascii_lowercase(), unit.trim().to_ascii_lowercase());
        !unit.is_empty() && (name == unit || name.replace('i', "") == unit || name.starts_with(&unit))
    };
    match units.iter().find(|(name, _)| near(name)) {
        Some((name, _)) => format!("the unit is written {name:?}"),
        None if unit.is_empty() => format!("the unit is missing ({})", names(units.iter())),
        None => format!("there is no unit {unit:?}"),
    }
}

fn names<'a>(units: impl Iterator<Item = &'a (&'a str, u64)>) -> String {
    units.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// A duration as it would be written in the file, in the longest unit that is exact.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(milliseconds, &TIMES).unwrap_or_else(|| "0s".to_owned())
}

/// A size as it would be written in the file, in the largest unit that is exact.
pub(super) fn show_size(bytes: impl Into<u64>) -> String {
    let bytes = bytes.into();
    show(bytes, &SIZES).unwrap_or_else(|| bytes.to_string())
}

fn show(number: u64, units: &[(&str, u64)]) -> Option<String> {
    let (name, factor) = units.iter().find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor))?;
    Some(format!("{}{name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for (text, milliseconds) in
            [("250ms", 250), ("5s", 5000), ("2m", 120_000), ("90s", 90_000), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(with_unit(text, &TIMES), Ok(milliseconds), "{text}");
            assert_eq!(show_duration(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(show_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn sizes_are_shown_as_they_are_written() {
        for (text, bytes) in [("1KiB", 1024), ("256KiB", 262_144), ("1MiB", 1 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(with_unit(text, &SIZES), Ok(bytes), "{text}");
            assert_eq!(show_size(u32::try_from(bytes).unwrap()), text);
        }
    }

    #[test]
    fn wrong_units_are_explained() {
        let cases = [
            ("5", "the unit is missing (d, h, m, s, ms)"),
            ("5S", "the unit is written \"s\""),
            ("5sec", "there is no unit \"sec\""),
            ("5 s", "the unit is written \"s\""),
            ("1.5s", "there is no unit \".5s\""),
            ("s", ""),
            ("-5s", ""),
            ("99999999999999999999s", ""),
            ("18446744073709551615d", ""),
        ];
        for (text, hint) in cases {
            assert_eq!(with_unit(text, &TIMES), Err(hint.to_owned()), "{text}");
        }
        assert_eq!(with_unit("4KB", &SIZES), Err("the unit is written \"KiB\"".to_owned()));
        assert_eq!(with_unit("4k", &SIZES), Err("the unit is written \"KiB\"".to_owned()));
    }
}
