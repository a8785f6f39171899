//! A terminal that types by a script and shows what it got on the screen of a terminal emulator.
//!
//! A step waits for a text on the terminal before it types, so that a test can press a key in the middle of an answer.
//! Who waits for input while the script waits for a text has a deadlock: the test fails and shows the screen.

use std::collections::VecDeque;
use std::num::NonZero;

use crate::Terminal;

enum Step {
    Type(VecDeque<u8>),
    WaitFor(String),
}

/// What kind of terminal is at the other end.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// It understands text, backspace, return and line feed, and its keyboard may send escape sequences.
    Dumb,
    /// It understands ECMA-48 and answers how wide it is.
    Vt100,
}

/// Rows of the screen: enough that no test scrolls.
const ROWS: u16 = 100;

/// A scripted terminal.
pub(crate) struct Script {
    kind: Kind,
    columns: u16,
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
        let size = [ROWS, columns].map(|n| NonZero::new(n).expect("a screen has rows and columns"));
        let screen = vt100::Parser::new(size[0], size[1], 0);
        Self {
            kind,
            columns,
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

    /// Return what is on the screen, without the blanks at the ends of its rows.
    pub(crate) fn screen(&self) -> String {
        let rows: Vec<_> =
            self.screen.screen().rows(0, self.columns).map(|row| row.trim_end().to_string()).collect();
        rows.join("\n").trim_end().to_string()
    }

    /// Return row and column of the cursor; behind the last column is the start of the next row.
    pub(crate) fn cursor(&self) -> (u16, u16) {
        let (row, column) = self.screen.screen().cursor_position();
        if column == self.columns { (row + 1, 0) } else { (row, column) }
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

impl Terminal for Script {
    fn write(&mut self, text: &str) {
        self.output.push_str(text);
        self.screen.process(text.replace('\n', "\r\n").as_bytes());
        if self.kind == Kind::Vt100 && text.contains("\x1b[6n") {
            self.replies.extend(format!("\x1b[1;{}R", self.columns).bytes());
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
