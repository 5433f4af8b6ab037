//! A line that is being read, word by word.

use super::lexer::{Kind, Token};
use super::{Peer, PeerId, ScriptError};
use std::path::Path;
use std::time::Duration;

/// A line being read.
pub(super) struct Line<'a> {
    path: &'a Path,
    /// As written.
    pub text: &'a str,
    /// Where it stands, from 0.
    pub index: usize,
    tokens: Vec<Token>,
    at: usize,
    /// Everybody mentioned so far.
    pub peers: &'a mut Vec<Peer>,
}

impl<'a> Line<'a> {
    /// The line that stands at `index` of its script as `text`, cut into `tokens`.
    pub fn new(path: &'a Path, text: &'a str, index: usize, tokens: Vec<Token>, peers: &'a mut Vec<Peer>) -> Self {
        Self { path, text, index, tokens, at: 0, peers }
    }

    /// The error that here should stand `wanted`.
    pub fn wanted<T>(&self, wanted: &str) -> Result<T, ScriptError> {
        let (column, found) = match self.tokens.get(self.at) {
            Some(token) => (token.column, token.kind.describe()),
            None => (self.text.trim_end().chars().count() + 1, "the end of the line".into()),
        };
        Err(ScriptError {
            path: self.path.to_owned(),
            line: self.index + 1,
            column,
            text: self.text.to_owned(),
            message: format!("here stands {found}, wanted {wanted}"),
        })
    }

    pub fn at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub fn end(&self) -> Result<(), ScriptError> {
        if self.at_end() { Ok(()) } else { self.wanted("the end of the line") }
    }

    pub fn peek_kind(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub fn peek_second(&self) -> Option<&Kind> {
        self.tokens.get(self.at + 1).map(|token| &token.kind)
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek_kind(), Some(Kind::Word(found)) if found == word);
        self.at += usize::from(found);
        found
    }

    pub fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek_kind(), Some(Kind::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    pub fn sign(&mut self, sign: &str) -> Result<(), ScriptError> {
        if self.take_sign(sign) { Ok(()) } else { self.wanted(&format!("`{sign}`")) }
    }

    pub fn word_is(&mut self, word: &str) -> Result<(), ScriptError> {
        if self.take_word(word) { Ok(()) } else { self.wanted(&format!("`{word}`")) }
    }

    pub fn word(&mut self, wanted: &str) -> Result<String, ScriptError> {
        let Some(Kind::Word(word)) = self.peek_kind() else { return self.wanted(wanted) };
        let word = word.clone();
        self.at += 1;
        Ok(word)
    }

    pub fn variable(&mut self, wanted: &str) -> Result<(Option<String>, String), ScriptError> {
        let Some(Kind::Var(peer, name)) = self.peek_kind() else { return self.wanted(wanted) };
        let found = (peer.clone(), name.clone());
        self.at += 1;
        Ok(found)
    }

    /// One of `words`; returns which.
    pub fn choice(&mut self, words: &[&str]) -> Result<usize, ScriptError> {
        let found = words.iter().position(|word| self.take_word(word));
        found.map_or_else(|| self.wanted(&format!("`{}`", words.join("` or `"))), Ok)
    }

    pub fn text(&mut self, wanted: &str) -> Result<Vec<u8>, ScriptError> {
        let Some(Kind::Text(bytes)) = self.peek_kind() else { return self.wanted(wanted) };
        let bytes = bytes.clone();
        self.at += 1;
        Ok(bytes)
    }

    /// A number that fits `N`, decimal or `0x…`.
    pub fn number<N: TryFrom<u64>>(&mut self, wanted: &str) -> Result<N, ScriptError> {
        let Some(Kind::Word(word)) = self.peek_kind() else { return self.wanted(wanted) };
        let value = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        let Some(value) = value.ok().and_then(|value| N::try_from(value).ok()) else { return self.wanted(wanted) };
        self.at += 1;
        Ok(value)
    }

    pub fn duration(&mut self) -> Result<Duration, ScriptError> {
        const WANTED: &str = "a time, as in `12ms` or `1.5s`";
        let Some(Kind::Word(word)) = self.peek_kind() else { return self.wanted(WANTED) };
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &word[digits.len()..] {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            _ => return self.wanted(WANTED),
        };
        let Ok(amount) = digits.parse::<f64>() else { return self.wanted(WANTED) };
        self.at += 1;
        Ok(Duration::from_nanos((amount * unit * 1e9).round() as u64))
    }

    /// The peer called `name`, who is new when nobody is called so yet.
    pub fn peer(&mut self, name: String) -> PeerId {
        let known = self.peers.iter().position(|peer| peer.name == name);
        known.unwrap_or_else(|| {
            self.peers.push(Peer::nth(self.peers.len(), name));
            self.peers.len() - 1
        })
    }

    /// Goes back `words` words, so that an error points there.
    pub fn back(&mut self, words: usize) {
        self.at = self.at.saturating_sub(words);
    }
}
