//! A terminal that types by a script and shows what it got on the screen of a terminal emulator.
//!
//! A step waits for a text on the terminal before it types, so that a test can press a key in the middle of an answer.
//! Who waits for input while the script waits for a text has a deadlock: the test fails and shows the screen.

use std::collections::VecDeque;
use std::num::NonZero;

use unicode_segmentation::UnicodeSegmentation;

use crate::{ScreenSize, Terminal};

enum Step {
    Type(VecDeque<u8>),
    WaitFor(String),
}

/// What kind of terminal is at the other end.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A pipe: the shell knows that there is no screen.
    Dumb,
    /// A serial line to a terminal that understands ECMA-48 and answers where its cursor is.
    Vt100,
    /// The same, but it takes every byte for a character.
    Latin1,
    /// The same, but it shows emoji that are joined as one.
    Joining,
    /// A serial line to a terminal that answers nothing.
    Silent,
    /// A terminal whose size the host knows.
    Local,
}

/// Rows of a screen on which no test scrolls.
const ROWS: u16 = 100;

/// DSR 6: the terminal types where its cursor is.
const ASK_FOR_CURSOR: &str = "\x1b[6n";

/// What a terminal that joins emoji is taken to show: the emulator shows them side by side.
const JOINED: &str = "合";

/// A scripted terminal.
pub(crate) struct Script {
    kind: Kind,
    steps: VecDeque<Step>,
    /// What the terminal itself sends.
    replies: VecDeque<u8>,
    screen: vt100::Parser,
    output: String,
    /// Up to where `output` was looked through by the steps that waited.
    seen: usize,
}

impl Script {
    /// Return a terminal with an empty script.
    pub(crate) fn new(kind: Kind, columns: u16) -> Self {
        Self::of_size(kind, ROWS, columns)
    }

    /// Return a terminal with `rows`, which scrolls, and an empty script.
    pub(crate) fn of_size(kind: Kind, rows: u16, columns: u16) -> Self {
        let screen = vt100::Parser::new(at_least_one(rows), at_least_one(columns), 0);
        Self {
            kind,
            steps: VecDeque::new(),
            replies: VecDeque::new(),
            screen,
            output: String::new(),
            seen: 0,
        }
    }

    /// Return a dumb terminal on which all of `bytes` is typed at once, as a pipe does.
    pub(crate) fn piped(bytes: impl AsRef<[u8]>) -> Self {
        Self::new(Kind::Dumb, 80).types(bytes)
    }

    /// Type `bytes`.
    pub(crate) fn types(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push_back(Step::Type(bytes.as_ref().iter().copied().collect()));
        self
    }

    /// Wait until `text` is shown, behind what was waited for before.
    pub(crate) fn after(mut self, text: &str) -> Self {
        self.steps.push_back(Step::WaitFor(text.into()));
        self
    }

    /// Return all that was written, with every control sequence.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Change the size of the screen, as a person does with a window.
    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.screen_mut().set_size(at_least_one(rows), at_least_one(columns));
    }

    /// Return how many rows and columns the screen has.
    pub(crate) fn size(&self) -> (u16, u16) {
        let (rows, columns) = self.screen.screen().size();
        (rows.get(), columns.get())
    }

    /// Return what is on the screen, without the blanks at the ends of its rows.
    pub(crate) fn screen(&self) -> String {
        let rows = self.screen.screen().rows(0, self.size().1);
        rows.map(|row| row.trim_end().to_string()).collect::<Vec<_>>().join("\n").trim_end().to_string()
    }

    /// Return row and column of the cursor, on the last column if that was written.
    pub(crate) fn cursor(&self) -> (u16, u16) {
        let (row, column) = self.screen.screen().cursor_position();
        (row, column.min(self.size().1 - 1))
    }

    /// Let the emulator show `text`.
    fn show(&mut self, text: &str) {
        let text = text.replace('\n', "\r\n");
        match self.kind {
            // One wide character is shown like several emoji that are joined.
            Kind::Joining => {
                let joined = |cluster: &str| cluster.contains('\u{200d}') && cluster.chars().count() > 2;
                let shown =
                    text.graphemes(true).map(|cluster| if joined(cluster) { JOINED } else { cluster });
                self.screen.process(shown.collect::<String>().as_bytes());
            }
            Kind::Latin1 => {
                self.screen.process(text.bytes().map(char::from).collect::<String>().as_bytes());
            }
            _ => self.screen.process(text.as_bytes()),
        }
    }

    /// Go on in the script as far as the output allows, and return the next byte.
    fn next_byte(&mut self) -> Option<u8> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(reply);
        }
        loop {
            match self.steps.front_mut()? {
                Step::Type(bytes) => match bytes.pop_front() {
                    Some(byte) => return Some(byte),
                    None => drop(self.steps.pop_front()),
                },
                Step::WaitFor(text) => {
                    let at = self.output[self.seen..].find(&*text)?;
                    self.seen += at + text.len();
                    self.steps.pop_front();
                }
            }
        }
    }
}

fn at_least_one(n: u16) -> NonZero<u16> {
    NonZero::new(n).expect("a screen has rows and columns")
}

impl Terminal for Script {
    fn write(&mut self, text: &str) {
        self.output.push_str(text);
        let mut parts = text.split(ASK_FOR_CURSOR);
        parts.next().inspect(|part| self.show(part));
        for part in parts {
            if self.kind != Kind::Silent {
                let (row, column) = self.cursor();
                self.replies.extend(format!("\x1b[{};{}R", row + 1, column + 1).bytes());
            }
            self.show(part);
        }
    }

    fn screen_size(&self) -> ScreenSize {
        let (rows, columns) = self.size();
        match self.kind {
            Kind::Dumb => ScreenSize::NoScreen,
            Kind::Local => ScreenSize::Known { rows: rows.into(), columns: columns.into() },
            Kind::Vt100 | Kind::Latin1 | Kind::Joining | Kind::Silent => ScreenSize::Unknown,
        }
    }

    fn try_read(&mut self) -> Option<u8> {
        self.next_byte()
    }

    fn wait(&mut self) -> bool {
        !self.steps.is_empty()
    }

    fn read(&mut self) -> Option<u8> {
        let byte = self.next_byte();
        if let (None, Some(Step::WaitFor(text))) = (byte, self.steps.front()) {
            panic!("the shell waits for input, the script for {text:?}:\n{}", self.output);
        }
        byte
    }
}
