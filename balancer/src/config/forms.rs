//! The forms that values take. Each says in words what it wants; the same words are in the error and in the reference.

use super::nearest::did_you_mean;
use std::fmt::Display;
use std::ops::RangeInclusive;
use toml::de::DeValue;

/// Characters of a value that an error repeats.
const LONGEST_SHOWN: usize = 64;

/// What else may be said to someone who gave a wrong value; empty where there is nothing.
pub(super) type Hint = String;

type Read<T> = Box<dyn Fn(&DeValue<'_>) -> Result<T, Hint>>;

/// A form: what it wants, and how it is read.
pub(super) struct Form<T> {
    /// Fits into "must be …, not 5".
    pub(super) wanted: String,
    pub(super) read: Read<T>,
}

impl<T> Form<T> {
    pub(super) fn new(wanted: impl Into<String>, read: impl Fn(&DeValue<'_>) -> Result<T, Hint> + 'static) -> Self {
        Self { wanted: wanted.into(), read: Box::new(read) }
    }

    /// A form of text.
    pub(super) fn of_text(wanted: impl Into<String>, read: impl Fn(&str) -> Result<T, Hint> + 'static) -> Self {
        Self::new(wanted, move |value| value.as_str().ok_or_else(Hint::new).and_then(&read))
    }
}

/// `true` or `false`.
pub(super) fn switch() -> Form<bool> {
    Form::new("true or false", |value| value.as_bool().ok_or_else(Hint::new))
}

/// A whole number within `range`.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> Form<T>
where
    T: TryFrom<i64> + PartialOrd + Display + 'static,
{
    let wanted = format!("a number from {} to {}", range.start(), range.end());
    Form::new(wanted, move |value| integer_in(value, &range).ok_or_else(Hint::new))
}

/// A whole number within `range`, or a word that stands for something else.
pub(super) fn integer_or<T, U>(
    range: RangeInclusive<T>,
    make: fn(T) -> U,
    (word, meaning): (&'static str, fn() -> U),
) -> Form<U>
where
    T: TryFrom<i64> + PartialOrd + Display + 'static,
    U: 'static,
{
    let wanted = format!("a number from {} to {}, or {word:?}", range.start(), range.end());
    Form::new(wanted, move |value| match value.as_str() {
        Some(text) if text == word => Ok(meaning()),
        Some(text) => Err(did_you_mean(text, [word]).unwrap_or_default()),
        None => integer_in(value, &range).map(make).ok_or_else(Hint::new),
    })
}

fn integer_in<T: TryFrom<i64> + PartialOrd>(value: &DeValue<'_>, range: &RangeInclusive<T>) -> Option<T> {
    let number = T::try_from(whole(value)?).ok()?;
    range.contains(&number).then_some(number)
}

/// The number that `value` is, unless it is none or does not fit.
pub(super) fn whole(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// One of several words.
pub(super) fn word<T: Copy + 'static>(words: &'static [(&'static str, T)]) -> Form<T> {
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    Form::of_text(either(&quoted), move |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| did_you_mean(text, words.iter().map(|(word, _)| *word)).unwrap_or_default())
    })
}

/// "a, b or c".
fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A name of a listener, a pool or a backend: it appears in metrics, logs and addresses of the control socket.
pub(super) fn name() -> Form<String> {
    Form::of_text("1 to 64 letters, digits, \"-\", \"_\" and \".\"", |text| {
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let fits = (1..=64).contains(&text.len()) && text.chars().all(letter);
        fits.then(|| text.to_owned()).ok_or_else(Hint::new)
    })
}

/// A name that something else must have.
pub(super) fn name_of(what: &str) -> Form<String> {
    Form::of_text(format!("the name of {what}"), |text| Ok(text.to_owned()))
}

/// The value as an error shows it: as it was written, shortened.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => shown_text(text),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Text as an error shows it.
pub(super) fn shown_text(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
