//! Reading one table of the file: every key is asked for by name, and what nobody asked for is unknown.

use super::forms::{Form, shown, shown_text};
use super::nearest::did_you_mean;
use super::report::{Report, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table that is being read. Mistakes go to the report, each with the section's name in front; what was wrong reads as
/// if it were not there.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    /// How mistakes call it: `listener "web"`; empty for the file itself.
    label: String,
    table: &'a DeTable<'a>,
    span: Span,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(super) fn root(report: &'a Report<'a>, file: &'a Spanned<DeTable<'a>>) -> Self {
        Self { report, label: String::new(), table: file.get_ref(), span: 0..0, asked: Vec::new() }
    }

    /// The table `[key]` in this one, if it is there.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.ask(key)?;
        let found = match value.get_ref() {
            DeValue::Table(table) => Some((table, value.span())),
            _ => None,
        };
        if found.is_none() {
            self.note(&value.span(), &format!("{key} must be one table, not {}", shown(value.get_ref())));
        }
        found.map(|(table, span)| self.inner(self.within(key), table, span))
    }

    /// The tables `[[key]]` in this one, in the order of the file.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.ask(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            let header = format!("{key} must be a list of tables, each begun by [[{}]]", self.header(key));
            self.note(&value.span(), &format!("{header}, not {}", shown(value.get_ref())));
            return Vec::new();
        };
        let numbered = (1..).zip(array.iter());
        numbered.filter_map(|(number, value)| self.element(key, number, value)).collect()
    }

    fn element(&self, key: &str, number: usize, value: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.note(&value.span(), &format!("{key} {number} must be a table, not {}", shown(value.get_ref())));
            return None;
        };
        let which = match table.get("name").and_then(|name| name.get_ref().as_str()) {
            Some(name) => shown_text(name),
            None => number.to_string(),
        };
        Some(self.inner(self.within(&format!("{key} {which}")), table, value.span()))
    }

    fn inner(&self, label: String, table: &'a DeTable<'a>, span: Span) -> Section<'a> {
        Section { report: self.report, label, table, span, asked: Vec::new() }
    }

    fn within(&self, label: &str) -> String {
        if self.label.is_empty() { label.to_owned() } else { format!("{}, {label}", self.label) }
    }

    /// What stands between the brackets before a table of this one: `pool.backend`.
    fn header(&self, key: &str) -> String {
        match self.label.split_whitespace().next() {
            Some(outer) => format!("{outer}.{key}"),
            None => key.to_owned(),
        }
    }

    /// How mistakes call it.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Where its header is.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// The value of an optional key.
    pub(super) fn optional<T>(&mut self, key: &'static str, form: &Form<T>) -> Option<Spanned<T>> {
        let value = self.ask(key)?;
        self.read(key, value, form)
    }

    /// The value of an optional key, or its default.
    pub(super) fn or<T>(&mut self, key: &'static str, form: &Form<T>, default: T) -> T {
        self.optional(key, form).map_or(default, Spanned::into_inner)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(&mut self, key: &'static str, form: &Form<T>) -> Option<Spanned<T>> {
        if self.ask(key).is_none() {
            self.missing(key, form);
        }
        self.optional(key, form)
    }

    /// Notes that a key is missing.
    pub(super) fn missing<T>(&self, key: &str, form: &Form<T>) {
        self.note(&self.span, &format!("{key} is missing; it must be {}", form.wanted));
    }

    /// The values of a list; none if the key is not there.
    pub(super) fn list<T>(&mut self, key: &'static str, form: &Form<T>) -> Vec<Spanned<T>> {
        match self.ask(key).map(|value| (value, value.get_ref())) {
            None => Vec::new(),
            Some((_, DeValue::Array(values))) => {
                values.iter().filter_map(|value| self.read(&format!("each of {key}"), value, form)).collect()
            }
            Some((value, other)) => {
                self.note(&value.span(), &format!("{key} must be a list, each {}, not {}", form.wanted, shown(other)));
                Vec::new()
            }
        }
    }

    /// The value of a key, of whatever form, if it is there.
    pub(super) fn ask(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key)
    }

    /// Whether a key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether a list is empty or not there.
    pub(super) fn has_no(&mut self, key: &'static str) -> bool {
        self.ask(key).is_none_or(|value| value.get_ref().as_array().is_some_and(|list| list.is_empty()))
    }

    /// Where the value of the first of `keys` that is there stands; else the header.
    pub(super) fn place_of(&self, keys: &[&str]) -> Span {
        keys.iter().find_map(|key| self.table.get(*key)).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Notes a mistake in this section.
    pub(super) fn note(&self, span: &Span, text: &str) {
        let separator = if self.label.is_empty() { "" } else { ": " };
        self.report.note(span, format!("{}{separator}{text}", self.label));
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn finish(self) {
        let strangers = self.table.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref()));
        for key in strangers {
            let hint = did_you_mean(key.get_ref(), self.asked.iter().copied());
            let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
            let known = self.asked.join(", ");
            self.note(&key.span(), &format!("unknown key {}{hint} (keys: {known})", shown_text(key.get_ref())));
        }
    }

    fn read<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, form: &Form<T>) -> Option<Spanned<T>> {
        match (form.read)(value.get_ref()) {
            Ok(good) => Some(Spanned::new(value.span(), good)),
            Err(hint) => {
                let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
                let text = format!("{key} must be {}, not {}{hint}", form.wanted, shown(value.get_ref()));
                self.note(&value.span(), &text);
                None
            }
        }
    }
}
