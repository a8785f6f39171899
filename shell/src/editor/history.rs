//! What was entered before, the walk through it with Up and Down, and the search in it.

use alloc::collections::VecDeque;
use alloc::string::String;

/// How many lines are remembered.
const MAX_LINES: usize = 100;

/// Lines entered before, the oldest first, and where in them a person is.
#[derive(Debug, Default)]
pub(crate) struct History {
    lines: VecDeque<String>,
    /// How many steps up from the line being written.
    steps_up: usize,
    /// The line being written, kept while older ones are shown.
    draft: String,
}

impl History {
    /// Remember `line` and go back to the end. Empty lines and repetitions are not worth a step.
    pub(crate) fn add(&mut self, line: &str) {
        self.steps_up = 0;
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.into());
    }

    /// Go back to the end without remembering anything.
    pub(crate) fn leave(&mut self) {
        self.steps_up = 0;
    }

    /// Return the next older line; `line` is what is being shown.
    pub(crate) fn older(&mut self, line: &str) -> Option<String> {
        if self.steps_up == self.lines.len() {
            return None;
        }
        self.go(self.steps_up + 1, line);
        self.get(self.steps_up).map(String::from)
    }

    /// Return how many steps up an entry that contains `query` lies, and the place of `query` in it: the first entry at
    /// `steps_up` steps or more. One step up is the newest.
    pub(crate) fn find(&self, query: &str, steps_up: usize) -> Option<(usize, usize)> {
        let entries = (1..).zip(self.lines.iter().rev()).skip(steps_up.saturating_sub(1));
        entries.filter_map(|(steps, line)| Some((steps, line.rfind(query)?))).next()
    }

    /// Return the entry `steps_up` steps up.
    pub(crate) fn get(&self, steps_up: usize) -> Option<&str> {
        Some(self.lines.get(self.lines.len().checked_sub(steps_up)?)?)
    }

    /// Go to the entry `steps_up` steps up; `line` is what is being shown.
    pub(crate) fn go(&mut self, steps_up: usize, line: &str) {
        if self.steps_up == 0 {
            self.draft = line.into();
        }
        self.steps_up = steps_up;
    }

    /// Return the next newer line, after the newest the one that was being written.
    pub(crate) fn newer(&mut self) -> Option<String> {
        self.steps_up = self.steps_up.checked_sub(1)?;
        match self.steps_up {
            0 => Some(core::mem::take(&mut self.draft)),
            steps => self.get(steps).map(String::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::{History, MAX_LINES};

    #[test]
    fn walks_up_and_back_down_to_the_draft() {
        let mut history = History::default();
        history.add("one");
        history.add("two");
        assert_eq!(history.older("dra").as_deref(), Some("two"));
        assert_eq!(history.older("two").as_deref(), Some("one"));
        assert_eq!(history.older("one"), None);
        assert_eq!(history.newer().as_deref(), Some("two"));
        assert_eq!(history.newer().as_deref(), Some("dra"));
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn leaves_out_blank_lines_and_repetitions() {
        let mut history = History::default();
        for line in ["one", "one", " ", ""] {
            history.add(line);
        }
        assert_eq!(history.older("").as_deref(), Some("one"));
        assert_eq!(history.older("one"), None);
    }

    #[test]
    fn finds_the_newest_entry_that_contains_a_text() {
        let mut history = History::default();
        for line in ["one two", "two\nthree two", "four"] {
            history.add(line);
        }
        assert_eq!(history.find("two", 0), Some((2, 10)));
        assert_eq!(history.find("two", 3), Some((3, 4)));
        assert_eq!(history.find("two", 4), None);
        assert_eq!(history.find("five", 0), None);
        history.go(3, "draft");
        assert_eq!(history.get(3), Some("one two"));
        assert_eq!(history.newer().as_deref(), Some("two\nthree two"));
    }

    #[test]
    fn forgets_the_oldest_line_when_full() {
        let mut history = History::default();
        for number in 0..=MAX_LINES {
            history.add(&format!("line {number}"));
        }
        let mut oldest = None;
        while let Some(line) = history.older("") {
            oldest = Some(line);
        }
        assert_eq!(oldest.as_deref(), Some("line 1"));
    }
}
