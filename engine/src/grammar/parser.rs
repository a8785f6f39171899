//! The text of a grammar, read: llama.cpp's GBNF (`grammars/README.md` there), without its `<tokens>`.
//!
//! A grammar is untrusted: its size, its nesting and its repetitions have caps, and an error says where it is.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hashbrown::HashMap;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use crate::Error;

/// Grammars written by hand have some KiB, those made from JSON schemas up to some hundred.
const MAX_TEXT_BYTES: usize = 1 << 18;
/// Parentheses within parentheses; reading and compiling recurse so deep.
const MAX_DEPTH: usize = 64;
/// The largest number in `{m,n}`, llama.cpp's (`MAX_REPETITION_THRESHOLD`).
const MAX_TIMES: u32 = 2000;
/// Names are shown in messages.
const MAX_NAME_BYTES: usize = 64;

/// What a grammar says.
#[derive(Debug)]
pub(super) struct Rules<'t> {
    pub(super) rules: Vec<Rule<'t>>,
    /// Which of them all of the text must match.
    pub(super) root: usize,
}

/// A rule: what a name stands for.
#[derive(Debug)]
pub(super) struct Rule<'t> {
    pub(super) name: &'t str,
    /// Where it is defined, in bytes of the grammar.
    pub(super) at: usize,
    pub(super) body: Expr,
}

/// A pattern of characters.
#[derive(Debug)]
pub(super) enum Expr {
    Literal(String),
    /// One character of these; there is one at least.
    Class(ClassUnicode),
    /// What the rule of this number stands for.
    Rule(usize),
    Sequence(Vec<Expr>),
    Choice(Vec<Expr>),
    /// `max` is at least `min`; without one there is no end.
    Repeat {
        what: Box<Expr>,
        min: u32,
        max: Option<u32>,
    },
}

/// A name, and its rule as soon as that was read.
struct Name<'t> {
    name: &'t str,
    /// Where it occurs first.
    at: usize,
    defined: Option<(usize, Expr)>,
}

struct Parser<'t> {
    text: &'t str,
    /// Up to where it was read, in bytes.
    at: usize,
    names: Vec<Name<'t>>,
    numbers: HashMap<&'t str, usize>,
}

/// Return the rules of `text`.
///
/// # Errors
/// When it is no grammar.
pub(super) fn parse(text: &str) -> Result<Rules<'_>, Error> {
    let mut parser = Parser { text, at: 0, names: Vec::new(), numbers: HashMap::new() };
    if text.len() > MAX_TEXT_BYTES {
        let expected = format!("a grammar of at most {MAX_TEXT_BYTES} bytes");
        return Err(error_at(text, 0, expected, format!("{} bytes", text.len())));
    }
    parser.skip_space(true);
    while parser.at < text.len() {
        parser.rule()?;
        parser.skip_space(true);
    }
    let Some(&root) = parser.numbers.get("root") else {
        return Err(parser.expected("a rule named root, which all of the text matches"));
    };
    let mut rules = Vec::with_capacity(parser.names.len());
    for Name { name, at, defined } in parser.names {
        let Some((at, body)) = defined else {
            return Err(error_at(text, at, "a rule that is defined", format!("{name}, which is not")));
        };
        rules.push(Rule { name, at, body });
    }
    Ok(Rules { rules, root })
}

/// Return the error at byte `at` of the grammar `text`.
pub(super) fn error_at(
    text: &str,
    at: usize,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    let (line, column) = place(text, at);
    Error::BadGrammar { line, column, expected: expected.into(), found: found.into() }
}

/// Return line and column of byte `at` of `text`, counted from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Take `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    /// Take what comes next as long as it is made of `is_wanted`.
    fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !is_wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Skip blanks and comments, and `newlines` if they do not matter here.
    fn skip_space(&mut self, newlines: bool) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\r' | '\n') if newlines => self.at += 1,
                Some('#') => drop(self.take_while(|c| !matches!(c, '\r' | '\n'))),
                _ => return,
            }
        }
    }

    /// Return the error that something else than `expected` comes next.
    fn expected(&self, expected: impl Into<String>) -> Error {
        let found = match self.peek() {
            None => "the end of the grammar".to_string(),
            Some('\r' | '\n') => "the end of the line".to_string(),
            Some(c) => format!("{c:?}"),
        };
        error_at(self.text, self.at, expected, found)
    }

    /// Return the number of the name that comes next, and where it begins.
    fn name(&mut self, expected: &str) -> Result<(usize, usize), Error> {
        let at = self.at;
        let name = self.take_while(is_of_name);
        if name.is_empty() {
            return Err(self.expected(expected));
        }
        if name.len() > MAX_NAME_BYTES {
            let expected = format!("a name of at most {MAX_NAME_BYTES} characters");
            return Err(error_at(self.text, at, expected, format!("one of {}", name.len())));
        }
        let number = *self.numbers.entry(name).or_insert(self.names.len());
        if number == self.names.len() {
            self.names.push(Name { name, at, defined: None });
        }
        Ok((number, at))
    }

    /// Read `name ::= alternatives` and the end of its line.
    fn rule(&mut self) -> Result<(), Error> {
        let (number, at) = self.name("the name of a rule (letters, digits, - and _)")?;
        if let Some((first, _)) = self.names[number].defined {
            let (line, _) = place(self.text, first);
            let found = format!("{}, which has one in line {line}", self.names[number].name);
            return Err(error_at(self.text, at, "a name that has no rule yet", found));
        }
        self.skip_space(false);
        if !self.take("::=") {
            return Err(self.expected("::= behind the name of the rule"));
        }
        self.skip_space(true);
        let body = self.alternatives(0)?;
        match self.peek() {
            None | Some('\r' | '\n') => {}
            Some(_) => return Err(self.expected("a literal, [class], name, group, | or the end of the line")),
        }
        self.names[number].defined = Some((at, body));
        Ok(())
    }

    /// Read sequences between `|`, within `depth` parentheses.
    fn alternatives(&mut self, depth: usize) -> Result<Expr, Error> {
        let mut alternatives = alloc::vec![self.sequence(depth)?];
        while self.take("|") {
            self.skip_space(true);
            alternatives.push(self.sequence(depth)?);
        }
        Ok(Expr::Choice(alternatives))
    }

    /// Read items, each perhaps repeated, as far as there are any.
    fn sequence(&mut self, depth: usize) -> Result<Expr, Error> {
        let is_nested = depth > 0;
        let mut items = Vec::new();
        while let Some(item) = self.item(depth)? {
            self.skip_space(is_nested);
            let item = match self.times(is_nested)? {
                Some((min, max)) => Expr::Repeat { what: Box::new(item), min, max },
                None => item,
            };
            items.push(item);
            if let Some('*' | '+' | '?' | '{') = self.peek() {
                return Err(self.expected("one repetition of an item; more take parentheses around it"));
            }
        }
        Ok(Expr::Sequence(items))
    }

    fn item(&mut self, depth: usize) -> Result<Option<Expr>, Error> {
        Ok(Some(match self.peek() {
            Some('"') => self.literal()?,
            Some('[') => self.class()?,
            Some('.') => {
                self.at += 1;
                let mut any = ClassUnicode::empty();
                any.negate();
                Expr::Class(any)
            }
            Some('(') => {
                if depth == MAX_DEPTH {
                    return Err(self.expected(format!("at most {MAX_DEPTH} parentheses within each other")));
                }
                self.at += 1;
                self.skip_space(true);
                let group = self.alternatives(depth + 1)?;
                if !self.take(")") {
                    return Err(self.expected("a literal, [class], name, group, | or )"));
                }
                group
            }
            Some(c) if is_of_name(c) => Expr::Rule(self.name("")?.0),
            Some('*' | '+' | '?' | '{') => return Err(self.expected("an item before its repetition")),
            _ => return Ok(None),
        }))
    }

    /// Read `*`, `+`, `?`, `{m}`, `{m,}` or `{m,n}`, if there is one.
    fn times(&mut self, is_nested: bool) -> Result<Option<(u32, Option<u32>)>, Error> {
        let times = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.at += 1;
                self.skip_space(is_nested);
                let min = self.number()?;
                self.skip_space(is_nested);
                let mut max = Some(min);
                if self.take(",") {
                    self.skip_space(is_nested);
                    let at = self.at;
                    max = if self.peek() == Some('}') { None } else { Some(self.number()?) };
                    if let Some(max) = max
                        && max < min
                    {
                        let expected = format!("at least {min}, how often it occurs at least");
                        return Err(error_at(self.text, at, expected, max.to_string()));
                    }
                    self.skip_space(is_nested);
                }
                if self.peek() != Some('}') {
                    return Err(self.expected(", or } behind how often the item occurs"));
                }
                (min, max)
            }
            _ => return Ok(None),
        };
        self.at += 1;
        self.skip_space(is_nested);
        Ok(Some(times))
    }

    fn number(&mut self) -> Result<u32, Error> {
        let at = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.expected("a number"));
        }
        let number = digits.parse().ok().filter(|&number| number <= MAX_TIMES);
        number.ok_or_else(|| {
            // What is longer than any number is not worth showing.
            let found = digits.get(..20).map_or_else(|| digits.to_string(), |digits| format!("{digits}..."));
            error_at(self.text, at, format!("at most {MAX_TIMES} times"), found)
        })
    }

    fn literal(&mut self) -> Result<Expr, Error> {
        self.at += 1;
        let mut literal = String::new();
        while !self.take("\"") {
            literal.push(self.character("the closing \" (a newline in it is written \\n)")?);
        }
        Ok(Expr::Literal(literal))
    }

    fn class(&mut self) -> Result<Expr, Error> {
        let start = self.at;
        self.at += 1;
        let is_negated = self.take("^");
        let expected = "the closing ] (a newline in it is written \\n)";
        let mut ranges = Vec::new();
        while !self.take("]") {
            let at = self.at;
            let first = self.character(expected)?;
            // A last hyphen stands for itself.
            let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]");
            let last = if is_range {
                self.at += 1;
                self.character(expected)?
            } else {
                first
            };
            if last < first {
                let found = format!("{first:?} to {last:?}");
                return Err(error_at(self.text, at, "a range from a smaller character to a larger", found));
            }
            ranges.push(ClassUnicodeRange::new(first, last));
        }
        let is_empty = ranges.is_empty();
        let mut class = ClassUnicode::new(ranges);
        if is_negated {
            class.negate();
        }
        if is_empty || class.ranges().is_empty() {
            return Err(error_at(self.text, start, "a class of characters", "one with none in it"));
        }
        Ok(Expr::Class(class))
    }

    /// Read a character of a literal or a class, which may be escaped; where none is, `expected` says what should be.
    fn character(&mut self, expected: &str) -> Result<char, Error> {
        let c = match self.peek() {
            None | Some('\r' | '\n') => return Err(self.expected(expected)),
            Some(c) => c,
        };
        if c != '\\' {
            self.at += c.len_utf8();
            return Ok(c);
        }
        let start = self.at;
        self.at += 1;
        let c = match self.peek() {
            Some('x') => return self.coded(start, 2),
            Some('u') => return self.coded(start, 4),
            Some('U') => return self.coded(start, 8),
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(c @ ('\\' | '"' | '[' | ']' | '-')) => c,
            _ => return Err(self.expected("n, r, t, x, u, U, \\, \", [, ] or - behind a backslash")),
        };
        self.at += 1;
        Ok(c)
    }

    /// Read the letter and the `n_digits` hexadecimal digits of an escape that begins at `start`.
    fn coded(&mut self, start: usize, n_digits: usize) -> Result<char, Error> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..n_digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return Err(self.expected(format!("{n_digits} hexadecimal digits")));
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        char::from_u32(code).ok_or_else(|| {
            error_at(
                self.text,
                start,
                "a Unicode character (up to 10FFFF, no surrogate)",
                format!("{code:04X}"),
            )
        })
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}
