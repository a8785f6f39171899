//! The terminal as the rest of the shell uses it: safe to print on, and with a memory for what was typed too early.
//!
//! Nothing here knows about lines or commands.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use engine::platform::Clock;

use crate::{ScreenSize, Terminal};

/// Ctrl-C as a byte (ETX).
const CTRL_C: u8 = 0x03;

/// Let the terminal mark what is pasted (xterm's bracketed paste), and go on in the next row behind the last column (DECAWM): minicom
/// does not unless it is told.
const SET_UP: &str = "\x1b[?2004h\x1b[?7h";

/// Let the terminal hand over what is pasted as if it were typed.
const DO_NOT_MARK_PASTES: &str = "\x1b[?2004l";

/// How much is read ahead of the next prompt. The rest stays in the device, which holds the sender back; a Ctrl-C among it
/// is not seen.
const MAX_TYPED_AHEAD_BYTES: usize = 64 * 1024;

/// What came of waiting for a while.
pub(crate) enum Awaited {
    Byte(u8),
    /// The time is over.
    Nothing,
    /// The input has ended for good.
    End,
}

/// A terminal, and what was typed on it while nobody was asking.
pub(crate) struct Console<'t> {
    terminal: &'t mut dyn Terminal,
    typed_ahead: VecDeque<u8>,
    marks_pastes: bool,
    /// Whether a person said that the other end is a pipe.
    is_pipe: bool,
}

impl<'t> Console<'t> {
    pub(crate) fn new(terminal: &'t mut dyn Terminal) -> Self {
        Self { terminal, typed_ahead: VecDeque::new(), marks_pastes: false, is_pipe: false }
    }

    /// Return the console with a pipe at its other end, whatever the terminal knows of that.
    pub(crate) fn at_pipe(mut self) -> Self {
        self.is_pipe = true;
        self
    }

    /// Show `text`, wherever it comes from: it cannot steer the terminal.
    pub(crate) fn print(&mut self, text: &str) {
        if text.contains(char::is_control) {
            self.terminal.write(&text.chars().filter_map(harmless).collect::<String>());
        } else if !text.is_empty() {
            self.terminal.write(text);
        }
    }

    /// Show formatted text, as [`Console::print`] does. `write!` and `writeln!` end here.
    pub(crate) fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        self.print(&alloc::fmt::format(text));
    }

    /// Send `text` as it is: the line editor's own control sequences.
    pub(crate) fn control(&mut self, text: &str) {
        if !text.is_empty() {
            self.terminal.write(text);
        }
    }

    /// Return what is known of the screen.
    pub(crate) fn screen_size(&self) -> ScreenSize {
        if self.is_pipe { ScreenSize::NoScreen } else { self.terminal.screen_size() }
    }

    /// Return whether something was typed that nobody has read yet.
    pub(crate) fn has_input(&mut self) -> bool {
        if self.typed_ahead.is_empty() {
            self.typed_ahead.extend(self.terminal.try_read());
        }
        !self.typed_ahead.is_empty()
    }

    /// Let the terminal wrap long rows, and mark what is pasted until the console is dropped. Also to be said at every prompt: a
    /// terminal that was attached later must know it as well.
    pub(crate) fn set_up_terminal(&mut self) {
        self.marks_pastes = true;
        self.control(SET_UP);
    }

    /// Wait for the next byte; `None` when the input has ended for good.
    pub(crate) fn read(&mut self) -> Option<u8> {
        self.take_typed_ahead().or_else(|| self.terminal.read())
    }

    /// Return the first byte of what was typed ahead. When it was the last, nothing of them stays in memory.
    fn take_typed_ahead(&mut self) -> Option<u8> {
        let byte = self.typed_ahead.pop_front();
        if self.typed_ahead.is_empty() {
            self.typed_ahead = VecDeque::new();
        }
        byte
    }

    /// Let `typed` be what is read next.
    pub(crate) fn put_back(&mut self, typed: &[u8]) {
        for &byte in typed.iter().rev() {
            self.typed_ahead.push_front(byte);
        }
    }

    /// Wait for the next byte until `clock` shows `until_ns`. What was typed by now comes even when that is long ago.
    pub(crate) fn read_until(&mut self, clock: &dyn Clock, until_ns: u64) -> Awaited {
        loop {
            if let Some(byte) = self.take_typed_ahead().or_else(|| self.terminal.try_read()) {
                return Awaited::Byte(byte);
            }
            if clock.now_ns() >= until_ns {
                return Awaited::Nothing;
            }
            if !self.terminal.wait() {
                return Awaited::End;
            }
        }
    }

    /// Take in what has been typed by now, and return whether Ctrl-C was among it.
    ///
    /// Ctrl-C also throws away what was typed before it, like the queue of a Unix terminal.
    pub(crate) fn interrupted(&mut self) -> bool {
        while self.typed_ahead.len() < MAX_TYPED_AHEAD_BYTES {
            match self.terminal.try_read() {
                Some(CTRL_C) => {
                    self.typed_ahead = VecDeque::new();
                    return true;
                }
                Some(byte) => self.typed_ahead.push_back(byte),
                None => break,
            }
        }
        false
    }
}

impl Drop for Console<'_> {
    fn drop(&mut self) {
        if self.marks_pastes {
            self.control(DO_NOT_MARK_PASTES);
        }
    }
}

/// Return what may be shown for `character`: control characters other than line feed and tab could move the cursor,
/// rename the window or make the terminal type something, so they show as U+FFFD; carriage returns vanish.
fn harmless(character: char) -> Option<char> {
    match character {
        '\n' | '\t' => Some(character),
        '\r' => None,
        _ if character.is_control() => Some(char::REPLACEMENT_CHARACTER),
        _ => Some(character),
    }
}

#[cfg(test)]
mod tests {
    use super::{Console, MAX_TYPED_AHEAD_BYTES};
    use crate::Terminal;
    use crate::testing::script::Script;

    #[test]
    fn reads_ahead_up_to_the_limit_and_leaves_the_rest_to_the_device() {
        let mut script = Script::piped("x".repeat(MAX_TYPED_AHEAD_BYTES) + "y");
        let mut console = Console::new(&mut script);
        assert!(!console.interrupted());
        assert_eq!(console.read(), Some(b'x'));
        drop(console);
        assert_eq!(script.try_read(), Some(b'y'));
    }

    #[test]
    fn keeps_no_memory_of_what_was_typed_ahead() {
        let mut script = Script::piped("ab");
        let mut console = Console::new(&mut script);
        assert!(!console.interrupted());
        assert_eq!([console.read(), console.read()], [Some(b'a'), Some(b'b')]);
        assert_eq!(console.typed_ahead.capacity(), 0);

        let mut script = Script::piped("ab\x03");
        let mut console = Console::new(&mut script);
        assert!(console.interrupted());
        assert_eq!(console.typed_ahead.capacity(), 0);
    }

    #[test]
    fn prints_line_feeds_and_tabs_but_no_other_control_character() {
        let mut script = Script::piped("");
        let all: String = ('\0'..='\u{a0}').collect();
        Console::new(&mut script).print(&all);
        let controls: Vec<_> = script.output().chars().filter(|character| character.is_control()).collect();
        assert_eq!(controls, ['\t', '\n']);
        // 32 of C0, DEL and 32 of C1, without tab, line feed and return.
        assert_eq!(script.output().matches('\u{fffd}').count(), 32 + 33 - 3);
    }
}
