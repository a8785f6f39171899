//! The line editor: a person's keys become a message.
//!
//! It knows keys ([`keys`]), texts ([`text`]), the screen ([`view`]) and earlier messages ([`history`]), not what a message
//! means but for the quotes of several lines ([`multiline`]).

mod history;
pub(crate) mod keys;
mod layout;
mod multiline;
mod search;
mod text;
mod view;
mod width;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::console::Console;
use history::History;
use keys::{Key, KeyDecoder};
use search::{Search, Step};
use text::Text;
use view::View;

/// What came of asking for a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// A message, without the end of its last line.
    Line(String),
    /// Ctrl-C, with or without something in the line.
    Interrupt { line_was_empty: bool },
    /// Ctrl-D on an empty line, or the end of the input.
    End,
}

/// Edits messages, one after the other, and remembers them.
#[derive(Debug, Default)]
pub(crate) struct LineEditor {
    pub(crate) decoder: KeyDecoder,
    history: History,
    view: View,
    prompt: &'static str,
    text: Text,
    search: Option<Search>,
    /// The words that Tab completes at the start of a message.
    words: Vec<String>,
}

impl LineEditor {
    /// Return an editor in which Tab completes `words` at the start of a message.
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self { words, ..Self::default() }
    }

    /// Forget all that was entered and cut out, between two lines.
    pub(crate) fn forget(&mut self) {
        self.view.let_go();
        (self.history, self.text, self.search) = (History::default(), Text::default(), None);
    }

    /// Show `prompt` and return what is entered behind it. What follows stands in the next row.
    pub(crate) fn read_line(&mut self, console: &mut Console, prompt: &'static str) -> Entered {
        self.begin(console, prompt);
        let entered = loop {
            if !console.has_input() {
                self.show(console);
            }
            let Some(byte) = console.read() else {
                // A pipe's last line may lack its end.
                break if self.text.is_empty() { Entered::End } else { self.enter() };
            };
            if let Some(entered) = self.take(console, byte) {
                break entered;
            }
        };
        let mark = if matches!(entered, Entered::Interrupt { .. }) { "^C" } else { "" };
        self.view.finish(console, self.prompt, self.text.as_str(), mark);
        entered
    }

    /// Begin an empty text behind `prompt`.
    fn begin(&mut self, console: &mut Console, prompt: &'static str) {
        self.prompt = prompt;
        self.text.set("", 0);
        self.search = None;
        self.view.start(console, prompt);
    }

    /// Bring the screen up to date.
    fn show(&mut self, console: &mut Console) {
        match self.search.as_ref() {
            Some(search) => {
                let prompt = format!("(search) {}: ", search.query);
                let found = self.history.get(search.steps_up).unwrap_or_default();
                self.view.show(console, &prompt, found, search.place);
            }
            None => self.view.show(console, self.prompt, self.text.as_str(), self.text.cursor()),
        }
    }

    /// Take in a typed byte and return what was entered if that is the end of it.
    fn take(&mut self, console: &mut Console, byte: u8) -> Option<Entered> {
        let key = self.decoder.feed(byte)?;
        if let Key::CursorAt { row, column } = key {
            self.view.answer(row, column);
            return None;
        }
        if self.searches(key) {
            return None;
        }
        match key {
            Key::Enter if !self.goes_on() => Some(self.enter()),
            Key::Enter => {
                self.insert("\n");
                None
            }
            Key::Ctrl('c') => {
                self.history.leave();
                Some(Entered::Interrupt { line_was_empty: self.text.is_empty() })
            }
            Key::Ctrl('d') if self.text.is_empty() => Some(Entered::End),
            key => {
                self.edit(console, key);
                None
            }
        }
    }

    /// Hand the message out and remember it.
    fn enter(&mut self) -> Entered {
        self.history.add(self.text.as_str());
        Entered::Line(multiline::content(self.text.as_str()))
    }

    /// Return whether Enter is to begin a new line of the message: after a backslash, which goes away, and within quotes.
    fn goes_on(&mut self) -> bool {
        let (text, cursor) = (self.text.as_str(), self.text.cursor());
        if multiline::is_open(text) {
            return true;
        }
        let goes_on = text[..cursor].ends_with('\\') && cursor == self.text.line_end();
        if goes_on {
            self.text.remove(cursor - 1);
        }
        goes_on
    }

    /// Do what `key` asks for.
    fn edit(&mut self, console: &mut Console, key: Key) {
        if let Some(place) = self.end_of_cut(key) {
            return self.text.cut(place);
        }
        self.text.end_cut();
        let text = &mut self.text;
        match key {
            Key::Char(character) => self.insert(character.encode_utf8(&mut [0; 4])),
            Key::Tab => self.complete(console),
            Key::Backspace => text.remove(text.left()),
            Key::Delete | Key::Ctrl('d') => text.remove(text.right()),
            Key::Left | Key::Ctrl('b') => text.go(text.left()),
            Key::Right | Key::Ctrl('f') => text.go(text.right()),
            Key::WordLeft | Key::Alt('b') => text.go(text.word_start()),
            Key::WordRight | Key::Alt('f') => text.go(text.word_end()),
            Key::Home | Key::Ctrl('a') => text.go(text.line_start()),
            Key::End | Key::Ctrl('e') => text.go(text.line_end()),
            Key::Up | Key::Ctrl('p') => match text.line_above() {
                Some(place) => text.go(place),
                None => self.recall(|history, text| history.older(text)),
            },
            Key::Down | Key::Ctrl('n') => match text.line_below() {
                Some(place) => text.go(place),
                None => self.recall(|history, _| history.newer()),
            },
            Key::Ctrl('y') => {
                if !text.paste() {
                    self.view.ring();
                }
            }
            Key::Ctrl('l') => self.view.clear_screen(console),
            Key::Ctrl('r') => self.search = Some(Search::default()),
            Key::Enter | Key::CursorAt { .. } | Key::Ctrl(_) | Key::Alt(_) | Key::AltBackspace => {}
        }
    }

    /// Return up to where `key` cuts out, if that is what it does. At a line's end or start, the line feed is cut out.
    fn end_of_cut(&self, key: Key) -> Option<usize> {
        let text = &self.text;
        Some(match key {
            Key::Ctrl('k') if text.cursor() == text.line_end() => text.right(),
            Key::Ctrl('k') => text.line_end(),
            Key::Ctrl('u') if text.cursor() == text.line_start() => text.left(),
            Key::Ctrl('u') => text.line_start(),
            Key::Ctrl('w') => text.blank_word_start(),
            Key::AltBackspace => text.word_start(),
            Key::Alt('d') => text.word_end(),
            _ => return None,
        })
    }

    fn insert(&mut self, text: &str) {
        if !self.text.insert(text) {
            self.view.ring();
        }
    }

    /// Put an entry of the history in place of the text.
    fn recall(&mut self, entry: impl FnOnce(&mut History, &str) -> Option<String>) {
        match entry(&mut self.history, self.text.as_str()) {
            Some(text) => self.text.set(&text, text.len()),
            None => self.view.ring(),
        }
    }

    /// Complete the word before the cursor, if it is the first one and begins like a command.
    fn complete(&mut self, console: &mut Console) {
        let typed = &self.text.as_str()[..self.text.cursor()];
        if !typed.starts_with('/') || typed.contains(char::is_whitespace) {
            return self.insert("\t");
        }
        let found: Vec<_> =
            self.words.iter().map(String::as_str).filter(|word| word.starts_with(typed)).collect();
        match found[..] {
            [] => self.view.ring(),
            [word] => {
                let rest = format!("{} ", &word[typed.len()..]);
                self.insert(&rest);
            }
            [first, ..] => {
                let is_common = |end: &usize| found.iter().all(|word| word.starts_with(&first[..*end]));
                let end = (typed.len()..=first.len()).take_while(is_common).last().unwrap_or(typed.len());
                if end > typed.len() {
                    let rest = String::from(&first[typed.len()..end]);
                    return self.insert(&rest);
                }
                self.view.finish(console, self.prompt, self.text.as_str(), "");
                writeln!(console, "{}", found.join("  "));
                self.view.start(console, self.prompt);
            }
        }
    }

    /// Let a search have `key` if there is one, and return whether that is all.
    fn searches(&mut self, key: Key) -> bool {
        let Some(search) = &mut self.search else {
            return false;
        };
        match search.take(&self.history, key) {
            Step::Found => {}
            Step::NotFound => self.view.ring(),
            Step::Cancelled => self.search = None,
            Step::Taken => {
                if let Some(found) = self.history.get(search.steps_up).map(String::from) {
                    self.history.go(search.steps_up, self.text.as_str());
                    self.text.set(&found, search.place);
                }
                self.search = None;
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
