//! Prefixes whose sources are dropped or let through: lists in the file, and files of their own.

use super::forms::{Form, Hint, shown_text};
use super::report::Report;
use super::sections::ShieldDraft;
use super::settings::MAX_PREFIXES;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use synward_ebpf::{ListVerdict, Prefix, PrefixError};
use toml::Spanned;

/// Largest file of prefixes that is read, in bytes: as many as there may be at their longest, and as many comments.
const LARGEST_FILE: u64 = 16 << 20;
/// Mistakes of one file that are told one by one: it may be no list at all.
const MOST_TOLD: usize = 10;

const WANTED: &str = "an address or a network such as \"192.0.2.1\", \"10.0.0.0/8\" or \"2001:db8::/32\"";

/// A prefix.
pub(super) fn prefix() -> Form<Prefix> {
    Form::of_text(WANTED, parse)
}

/// A file of prefixes.
pub(super) fn prefix_file() -> Form<PathBuf> {
    Form::of_text("an absolute path", |text| {
        let fits = text.starts_with('/') && !text.contains('\0');
        fits.then(|| text.into()).ok_or_else(Hint::new)
    })
}

/// The longest prefix around `address` that is listed, and its verdict: the one that decides.
pub(crate) fn deciding(
    address: IpAddr,
    listed: impl Fn(Prefix) -> Option<ListVerdict>,
) -> Option<(Prefix, ListVerdict)> {
    let around = (0..=Prefix::from(address).length()).rev().map(|length| Prefix::of(address, length));
    around.filter_map(|prefix| Some((prefix, listed(prefix)?))).next()
}

fn parse(text: &str) -> Result<Prefix, Hint> {
    text.parse().map_err(|error| match error {
        PrefixError::Syntax { .. } => Hint::new(),
        PrefixError::TooLong { most, .. } => format!("an address of this family has only {most} bits"),
        PrefixError::HostBits { address, network } => {
            format!("write \"{network}\" for the network or \"{address}\" for the address alone")
        }
    })
}

/// A prefix with what becomes of it, and where that is said.
struct Entry {
    prefix: Prefix,
    verdict: ListVerdict,
    place: Place,
}

/// Where something stands.
enum Place {
    /// In the configuration, at this byte.
    Here(usize),
    /// In a file of prefixes.
    File { file: String, line: usize, column: usize },
}

impl Place {
    fn note(&self, report: &Report<'_>, text: String) {
        match self {
            Self::Here(start) => report.note(&(*start..*start), text),
            Self::File { file, line, column } => report.note_in(file, (*line, *column), text),
        }
    }

    fn words(&self, report: &Report<'_>) -> String {
        match self {
            Self::Here(start) => format!("line {}", report.line(&(*start..*start))),
            Self::File { file, line, .. } => format!("{file}:{line}"),
        }
    }
}

/// All prefixes of a draft, those of the files that it names among them, each with one verdict. Notes what is wrong with them.
pub(super) fn gather(draft: &ShieldDraft, report: &Report<'_>) -> BTreeMap<Prefix, ListVerdict> {
    let mut entries = Vec::new();
    let lists = [
        (ListVerdict::Drop, &draft.drop, &draft.drop_file, "drop_file"),
        (ListVerdict::Allow, &draft.allow, &draft.allow_file, "allow_file"),
    ];
    for (verdict, list, file, key) in lists {
        entries.extend(list.iter().map(|it| Entry {
            prefix: *it.get_ref(),
            verdict,
            place: Place::Here(it.span().start),
        }));
        if let Some(path) = file {
            match read_file(path, report) {
                Ok(prefixes) => {
                    entries.extend(prefixes.into_iter().map(|(prefix, place)| Entry { prefix, verdict, place }));
                }
                Err(problem) => report.note(&path.span(), format!("{}: {key}: {problem}", draft.label)),
            }
        }
    }
    no_prefix_in_both(&entries, draft, report);
    let all: BTreeMap<_, _> = entries.iter().map(|entry| (entry.prefix, entry.verdict)).collect();
    if all.len() > MAX_PREFIXES as usize {
        let count = all.len();
        let text = format!("{}: {count} prefixes to drop and allow; at most {MAX_PREFIXES} are possible", draft.label);
        report.note(&draft.span, text);
    }
    all
}

/// The prefixes of a file, one on each line, comments behind "#"; or why it cannot be read.
fn read_file(path: &Spanned<PathBuf>, report: &Report<'_>) -> Result<Vec<(Prefix, Place)>, String> {
    let (file, bytes) = super::read_file(path.get_ref(), LARGEST_FILE).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let mut prefixes = Vec::new();
    let mut wrong = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.split('#').next().unwrap_or_default();
        let word = content.trim();
        if word.is_empty() {
            continue;
        }
        let indent = content.len() - content.trim_start().len();
        let place = Place::File { file: file.clone(), line: number, column: content[..indent].chars().count() + 1 };
        match parse(word) {
            Ok(prefix) => prefixes.push((prefix, place)),
            Err(hint) => {
                wrong += 1;
                if wrong <= MOST_TOLD {
                    let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
                    place.note(report, format!("each line must be {WANTED}, not {}{hint}", shown_text(word)));
                }
            }
        }
    }
    if wrong > MOST_TOLD {
        let text = format!("{} more lines of {file} are no prefixes; is it a list of prefixes?", wrong - MOST_TOLD);
        report.note(&path.span(), text);
    }
    Ok(prefixes)
}

fn no_prefix_in_both(entries: &[Entry], draft: &ShieldDraft, report: &Report<'_>) {
    let mut first: HashMap<Prefix, &Entry> = HashMap::new();
    for entry in entries {
        let earlier = *first.entry(entry.prefix).or_insert(entry);
        if earlier.verdict != entry.verdict {
            let (label, prefix, there) = (&draft.label, entry.prefix, earlier.place.words(report));
            entry.place.note(report, format!("{label}: {prefix} is to be both dropped and allowed (see {there})"));
        }
    }
}
