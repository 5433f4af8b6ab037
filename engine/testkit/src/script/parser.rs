//! A text becomes a script.

use super::header::{self, KernelRun, Setup};
use super::lexer::{Kind, Token, lex};
use super::line::Line;
use super::{Peer, Script, ScriptError, Step, TargetKind, When};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// More steps than this come from a loop that was meant otherwise.
const MAX_STEPS: usize = 100_000;

pub(super) fn parse(path: &Path, text: &str) -> Result<Script, ScriptError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut reader = Reader {
        path,
        lines: &lines,
        setup: Setup::default(),
        peers: vec![Peer::nth(0, "a".into())],
        steps: Vec::new(),
        loops: HashMap::new(),
    };
    let end = reader.block(0, None)?;
    debug_assert_eq!(end, lines.len());
    reader.check_kernel_time()?;
    let Reader { setup, peers, steps, .. } = reader;
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Ok(Script { name, path: path.to_owned(), setup, peers, steps })
}

struct Reader<'a> {
    path: &'a Path,
    lines: &'a [&'a str],
    setup: Setup,
    peers: Vec<Peer>,
    steps: Vec<Step>,
    loops: HashMap<String, u64>,
}

impl<'a> Reader<'a> {
    fn error_at<T>(&self, index: usize, column: usize, message: impl Into<String>) -> Result<T, ScriptError> {
        let text = self.lines.get(index).copied().unwrap_or_default().to_owned();
        Err(ScriptError { path: self.path.to_owned(), line: index + 1, column, text, message: message.into() })
    }

    /// Reads lines from `start` to the end of the script, or to the `end` of the loop whose `for` stands at `opened`;
    /// returns the index of the line after.
    fn block(&mut self, start: usize, opened: Option<usize>) -> Result<usize, ScriptError> {
        let mut index = start;
        while let Some(text) = self.lines.get(index).copied() {
            let tokens = lex(text, &self.loops).or_else(|(column, message)| self.error_at(index, column, message))?;
            match tokens.first().map(|token| &token.kind) {
                None => index += 1,
                Some(Kind::Word(word)) if word == "end" => {
                    if opened.is_none() {
                        return self.error_at(index, 1, "`end` without `for`");
                    }
                    return Ok(index + 1);
                }
                Some(Kind::Word(word)) if word == "for" => index = self.repeat(index, tokens)?,
                Some(_) => {
                    self.line(index, tokens)?;
                    index += 1;
                }
            }
        }
        match opened {
            Some(opened) => self.error_at(opened, 1, "this `for` has no `end`"),
            None => Ok(index),
        }
    }

    /// `for $i in 1..9` … `end`
    fn repeat(&mut self, index: usize, tokens: Vec<Token>) -> Result<usize, ScriptError> {
        let mut line = Line::new(self.path, self.lines[index], index, tokens, &mut self.peers);
        line.word_is("for")?;
        let (_, name) = line.variable("a loop variable not used by a loop around this one, as in `for $i in 1..9`")?;
        line.word_is("in")?;
        let first: u64 = line.number("the first value, as in `for $i in 1..9`")?;
        line.sign("..")?;
        let last: u64 = line.number("the last value, as in `for $i in 1..9`")?;
        line.end()?;
        let mut next = index + 1;
        for value in first..=last {
            self.loops.insert(name.clone(), value);
            next = self.block(index + 1, Some(index))?;
            if self.steps.len() > MAX_STEPS {
                return self.error_at(index, 1, format!("this loop makes the script longer than {MAX_STEPS} steps"));
            }
        }
        if first > last {
            return self.error_at(index, 1, format!("the loop never runs: {first} is more than {last}"));
        }
        self.loops.remove(&name);
        Ok(next)
    }

    fn line(&mut self, index: usize, tokens: Vec<Token>) -> Result<(), ScriptError> {
        let path = self.path;
        let text = self.lines[index];
        if let Some(Token { kind: Kind::Word(word), .. }) = tokens.first()
            && header::is_header(word)
            && (word != "mtu" || self.steps.is_empty())
            && !matches!(tokens.get(1), Some(Token { kind: Kind::Sign(":" | "->" | "<-"), .. }))
        {
            if !self.steps.is_empty() {
                return self.error_at(index, 1, format!("`{word}` belongs in the header, before the first step"));
            }
            let word = word.clone();
            let mut line = Line::new(path, text, index, tokens, &mut self.peers);
            line.word_is(&word)?;
            return header::read(&word, &mut line, &mut self.setup);
        }
        let mut line = Line::new(path, text, index, tokens, &mut self.peers);
        let step = line.step()?;
        self.steps.push(step);
        Ok(())
    }

    /// A script must say how long the kernel needs, and that must cover the times it mentions.
    fn check_kernel_time(&self) -> Result<(), ScriptError> {
        let mut now = Duration::ZERO;
        for step in self.steps.iter().filter(|step| step.only != Some(TargetKind::Engine)) {
            now = match step.when {
                When::Same => now,
                When::At(at) | When::Between(at, _) => at.max(now),
                When::After(wait) => now + wait,
            };
        }
        match self.setup.kernel {
            KernelRun::Unsaid => self.error_at(
                0,
                1,
                "the header does not say how long the kernel needs, as in `kernel 2s` or `kernel skip \"reason\"`",
            ),
            KernelRun::For(time) if time < now => {
                self.error_at(0, 1, format!("the steps last {now:?}, the header gives the kernel {time:?}"))
            }
            KernelRun::For(_) | KernelRun::Skip(_) => Ok(()),
        }
    }
}
