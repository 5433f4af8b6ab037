//! A line becomes words.

use std::collections::HashMap;

/// A word of a line and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first column, from 1.
    pub column: usize,
}

/// The kinds of words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A name, a number, a duration.
    Word(String),
    /// `$name`, or `$peer.name` as (`peer`, `name`).
    Var(Option<String>, String),
    /// `"…"`, escapes resolved.
    Text(Vec<u8>),
    /// `->`, `<-`, `..` or a single sign.
    Sign(&'static str),
}

impl Kind {
    /// How a message names it.
    pub fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Var(None, name) => format!("`${name}`"),
            Self::Var(Some(peer), name) => format!("`${peer}.{name}`"),
            Self::Text(_) => "a text in quotes".into(),
            Self::Sign(sign) => format!("`{sign}`"),
        }
    }
}

/// Where in the line something is wrong, and what.
pub(super) type LexError = (usize, String);

const SIGNS: [&str; 13] = ["->", "<-", "..", "<", ">", ",", "+", "-", "*", "/", "@", ":", "_"];

/// Cuts `line` into words. `loops` holds the value of each loop variable; it takes the variable's place, and joins the
/// word before it when nothing stands between (`c$i` is `c3`).
pub(super) fn lex(line: &str, loops: &HashMap<String, u64>) -> Result<Vec<Token>, LexError> {
    let mut lexer = Lexer { line, at: 0, loops };
    let mut tokens: Vec<Token> = Vec::new();
    let mut end_of_last = None;
    while let Some(first) = lexer.skip_blanks() {
        let start = lexer.at;
        let kind = match first {
            '"' => Kind::Text(lexer.text()?),
            '$' => lexer.variable()?,
            c if is_word(c) && c != '_' => Kind::Word(lexer.word()),
            '_' if lexer.rest()[1..].starts_with(is_word) => Kind::Word(lexer.word()),
            _ => Kind::Sign(lexer.sign()?),
        };
        let joined = end_of_last == Some(start) && line[start..].starts_with('$');
        end_of_last = Some(lexer.at);
        if joined && let (Some(last), Kind::Word(value)) = (tokens.last_mut(), &kind) {
            match &mut last.kind {
                Kind::Word(word) | Kind::Var(_, word) => {
                    word.push_str(value);
                    continue;
                }
                Kind::Text(_) | Kind::Sign(_) => {}
            }
        }
        tokens.push(Token { kind, column: line[..start].chars().count() + 1 });
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

struct Lexer<'a> {
    line: &'a str,
    at: usize,
    loops: &'a HashMap<String, u64>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    /// The first character after blanks; `None` at the end of the line or at a comment.
    fn skip_blanks(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next().filter(|&c| c != '#')
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, LexError> {
        Err((self.line[..self.at].chars().count() + 1, message.into()))
    }

    /// A word; a number may hold one point with a digit behind it (`1.5s`).
    fn word(&mut self) -> String {
        let rest = self.rest();
        let numeric = rest.starts_with(|c: char| c.is_ascii_digit());
        let mut end = 0;
        for (index, c) in rest.char_indices() {
            let decimal = numeric && c == '.' && rest[index + 1..].starts_with(|d: char| d.is_ascii_digit());
            if !is_word(c) && !decimal {
                break;
            }
            end = index + c.len_utf8();
        }
        self.at += end;
        rest[..end].to_owned()
    }

    fn variable(&mut self) -> Result<Kind, LexError> {
        self.at += 1;
        let name = self.word();
        if name.is_empty() {
            return self.error("after `$` comes a name, as in `$iss`");
        }
        if let Some(value) = self.loops.get(&name) {
            return Ok(Kind::Word(value.to_string()));
        }
        if self.rest().starts_with('.') && self.rest()[1..].starts_with(is_word) {
            self.at += 1;
            return Ok(Kind::Var(Some(name), self.word()));
        }
        Ok(Kind::Var(None, name))
    }

    fn sign(&mut self) -> Result<&'static str, LexError> {
        let rest = self.rest();
        let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) else {
            let c = rest.chars().next().unwrap_or(' ');
            return self.error(format!("`{c}` means nothing here"));
        };
        self.at += sign.len();
        Ok(sign)
    }

    fn text(&mut self) -> Result<Vec<u8>, LexError> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return self.error("the text has no closing `\"`");
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(bytes),
                '\\' => bytes.push(self.escape()?),
                c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    fn escape(&mut self) -> Result<u8, LexError> {
        let c = self.rest().chars().next();
        self.at += c.map_or(0, char::len_utf8);
        match c {
            Some('n') => Ok(b'\n'),
            Some('r') => Ok(b'\r'),
            Some('t') => Ok(b'\t'),
            Some(c @ ('"' | '\\')) => Ok(c as u8),
            Some('x') => {
                let byte = self.rest().get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                self.at += if byte.is_some() { 2 } else { 0 };
                byte.map_or_else(|| self.error("after `\\x` come two hexadecimal digits"), Ok)
            }
            _ => self.error("an escape is one of \\n \\r \\t \\\" \\\\ \\xNN"),
        }
    }
}
