//! Which model to talk to.
//!
//! The list is shown once; what changes is one row below it, which is redrawn with backspaces alone, so that arrows and the
//! countdown work on every terminal.

mod list;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;

use crate::commands::{self, Next, Scene};
use crate::console::{Awaited, Console};
use crate::editor::LineEditor;
use crate::editor::keys::Key;
use crate::prompt::Leaving;
use crate::row::Row;
use crate::shelf::Shelf;
use crate::{Machine, Options, ScreenSize, utf8};
use list::Marks;

/// How long a person has to press a key before the default is taken.
const COUNTDOWN_NS: u64 = 10 * SECOND_NS;
const SECOND_NS: u64 = 1_000_000_000;

/// A longer answer names no model.
const MAX_TYPED_BYTES: usize = 60;

/// What the person chose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The model at this place of the shelf.
    Model(usize),
    /// There is no model to choose.
    None,
    Leave(Leaving),
}

/// The menu, and whether a person has come back to it.
pub(crate) struct Menu<'o> {
    options: &'o Options,
    /// Nothing until some are needed: the terminal is asked then.
    marks: Option<Marks>,
    /// Whether somebody asked for the menu, and so is there to choose.
    pub(crate) was_asked_for: bool,
    /// How many files that cannot be used were told.
    n_told: usize,
}

impl<'o> Menu<'o> {
    pub(crate) fn new(options: &'o Options) -> Self {
        Self { options, marks: None, was_asked_for: false, n_told: 0 }
    }

    /// Let the person choose one of the models of `shelf`; at the start, one alone is chosen at once.
    pub(crate) fn choose(
        &mut self,
        console: &mut Console,
        editor: &mut LineEditor,
        machine: &Machine,
        shelf: &Shelf,
    ) -> Choice {
        if shelf.models.len() <= 1 && !self.was_asked_for {
            for refused in shelf.refused.iter().skip(self.n_told) {
                let marks = self.marks(console, machine);
                console.print(&list::refusal(refused, marks));
            }
            self.n_told = shelf.refused.len();
            return if shelf.models.is_empty() { Choice::None } else { Choice::Model(0) };
        }
        let marks = self.marks(console, machine);
        list::show(console, machine, shelf, marks);
        self.n_told = shelf.refused.len();
        if shelf.models.is_empty() {
            return Choice::None;
        }
        let default = self.default(console, machine, shelf);
        if self.options.prompt.is_some() && !self.was_asked_for {
            // What is to be said is known, and perhaps nobody is there.
            return Choice::Model(default);
        }
        // A countdown is for somebody who sees it; who comes through a pipe says what they want, or nothing.
        let counts_down = !self.was_asked_for && console.screen_size() != ScreenSize::NoScreen;
        let deadline_ns = counts_down.then(|| machine.clock.now_ns() + COUNTDOWN_NS);
        Question { console, editor, machine, shelf, selected: default, typed: String::new(), deadline_ns }
            .ask()
    }

    /// Return marks that the terminal can show.
    fn marks(&mut self, console: &mut Console, machine: &Machine) -> Marks {
        *self.marks.get_or_insert_with(|| {
            let is_utf8 = self.options.utf8.unwrap_or_else(|| utf8::is_shown(console, machine.clock));
            if is_utf8 { Marks::UTF8 } else { Marks::ASCII }
        })
    }

    /// Return the index of the model that is taken when nobody says otherwise.
    fn default(&self, console: &mut Console, machine: &Machine, shelf: &Shelf) -> usize {
        if let Some(wanted) = &self.options.model {
            match shelf.find(wanted) {
                Ok(index) => return index,
                Err(reason) => writeln!(console, "command line: model={wanted}: {reason}"),
            }
        }
        shelf.models.iter().position(|model| model.memory_needed(machine).fits).unwrap_or(0)
    }
}

/// A person being asked.
struct Question<'q, 't, 'f> {
    console: &'q mut Console<'t>,
    editor: &'q mut LineEditor,
    machine: &'q Machine<'q>,
    shelf: &'q Shelf<'f>,
    /// The index of the model that Enter takes.
    selected: usize,
    /// What was typed.
    typed: String,
    /// When the selected one is taken by itself.
    deadline_ns: Option<u64>,
}

impl Question<'_, '_, '_> {
    /// Return what the person chose.
    fn ask(mut self) -> Choice {
        loop {
            let mut row = Row::start(self.console, "Which model? ");
            let entered = self.read_row(&mut row);
            row.show(self.console, &self.answer(), self.answer().len());
            match entered {
                Some(entered) => {
                    self.console.print("\n");
                    if let Some(choice) = self.choice(entered) {
                        return choice;
                    }
                }
                None => self.console.print(match self.typed.is_empty() {
                    true => "^C\n/exit or Ctrl-D leaves.\n",
                    false => "^C\n",
                }),
            }
            self.typed.clear();
        }
    }

    /// Take keys until the row is entered; nothing when it is to be begun anew.
    fn read_row(&mut self, row: &mut Row) -> Option<Entered> {
        // What was typed already is taken before a countdown is shown.
        let mut wake_ns = 0;
        loop {
            let answer = self.answer();
            let countdown = match self.deadline_ns {
                Some(deadline_ns) if wake_ns > 0 => {
                    let left_ns = deadline_ns.saturating_sub(self.machine.clock.now_ns());
                    format!("(starts in {} s)", left_ns.div_ceil(SECOND_NS))
                }
                _ => String::new(),
            };
            row.show(self.console, &format!("{answer}{countdown}"), answer.len());
            let awaited = match self.deadline_ns {
                Some(_) => self.console.read_until(self.machine.clock, wake_ns),
                None => self.console.read().map_or(Awaited::End, Awaited::Byte),
            };
            match awaited {
                Awaited::Byte(byte) => match self.take(byte) {
                    Some(Taken::Entered(entered)) => return Some(entered),
                    Some(Taken::Interrupt) => return None,
                    None => {}
                },
                Awaited::Nothing => {
                    let now_ns = self.machine.clock.now_ns();
                    match self.deadline_ns {
                        Some(deadline_ns) if now_ns >= deadline_ns => return Some(Entered::Row),
                        Some(deadline_ns) => wake_ns = deadline_ns.min(now_ns + SECOND_NS),
                        None => {}
                    }
                }
                // A pipe's last line may lack its end.
                Awaited::End if !self.typed.is_empty() => return Some(Entered::Row),
                Awaited::End => return Some(Entered::End),
            }
        }
    }

    /// Take in a typed byte, and return what that leads to beyond another look of the row.
    fn take(&mut self, byte: u8) -> Option<Taken> {
        let last = self.shelf.models.len() - 1;
        let key = self.editor.decoder.feed(byte)?;
        // What the terminal answers by itself is no key.
        if !matches!(key, Key::CursorAt { .. }) {
            self.deadline_ns = None;
        }
        match key {
            Key::Enter => return Some(Taken::Entered(Entered::Row)),
            Key::Ctrl('c') => return Some(Taken::Interrupt),
            Key::Ctrl('d') if self.typed.is_empty() => return Some(Taken::Entered(Entered::End)),
            Key::Up => self.select(self.selected.checked_sub(1).unwrap_or(last)),
            Key::Down => self.select(if self.selected == last { 0 } else { self.selected + 1 }),
            Key::Backspace => drop(self.typed.pop()),
            Key::Ctrl('u') => self.typed.clear(),
            // One column each, so that a backspace is one step.
            Key::Char(character @ ' '..='~') if self.typed.len() < MAX_TYPED_BYTES => {
                self.typed.push(character)
            }
            _ => {}
        }
        None
    }

    fn select(&mut self, index: usize) {
        self.selected = index;
        self.typed.clear();
    }

    /// Return what stands behind the question.
    fn answer(&self) -> String {
        format!("[{}] {}", self.selected + 1, self.typed)
    }

    /// Return the choice that was entered; nothing when another one must follow.
    fn choice(&mut self, entered: Entered) -> Option<Choice> {
        if entered == Entered::End {
            return Some(Choice::Leave(Leaving::Exit));
        }
        let typed = self.typed.trim();
        if typed.is_empty() {
            return Some(Choice::Model(self.selected));
        }
        if typed.starts_with('/') {
            let scene = Scene { console: self.console, machine: self.machine, shelf: self.shelf, chat: None };
            match commands::run(typed, &mut { scene }) {
                Ok(Next::Prompt | Next::Forget) => {}
                Ok(Next::Leave(Leaving::Model(index))) => return Some(Choice::Model(index)),
                Ok(Next::Leave(leaving)) => return Some(Choice::Leave(leaving)),
                Err(error) => writeln!(self.console, "{error}"),
            }
            return None;
        }
        match self.shelf.find(typed) {
            Ok(index) => Some(Choice::Model(index)),
            Err(reason) => {
                writeln!(self.console, "{reason} /exit leaves.");
                None
            }
        }
    }
}

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entered {
    /// With Enter, or by itself.
    Row,
    /// With the end of the input.
    End,
}

/// What a key led to.
enum Taken {
    Entered(Entered),
    Interrupt,
}
