//! The search in the history, with Ctrl-R as in readline.

use alloc::string::String;

use super::history::History;
use super::keys::Key;

/// A search that goes on.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) query: String,
    /// The entry that was found, counted back from the newest, which is 1; 0 before the first letter.
    pub(super) steps_up: usize,
    /// The place of the query in it.
    pub(super) place: usize,
}

/// What a key does to a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes on.
    Found,
    /// It goes on where it was: no entry is like this.
    NotFound,
    /// It is given up.
    Cancelled,
    /// The key is none of its own: what was found is taken.
    Taken,
}

impl Search {
    /// Do what `key` asks for.
    pub(super) fn take(&mut self, history: &History, key: Key) -> Step {
        let mut query = self.query.clone();
        let from = match key {
            Key::Char(letter) if !letter.is_control() => {
                query.push(letter);
                self.steps_up
            }
            Key::Backspace => {
                query.pop();
                0
            }
            Key::Ctrl('r') => self.steps_up + 1,
            Key::Ctrl('g') => return Step::Cancelled,
            _ => return Step::Taken,
        };
        if query.is_empty() {
            *self = Self::default();
            return Step::Found;
        }
        match history.find(&query, from) {
            Some((steps_up, place)) => {
                *self = Self { query, steps_up, place };
                Step::Found
            }
            None => Step::NotFound,
        }
    }
}
