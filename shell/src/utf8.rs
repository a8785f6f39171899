//! Whether the terminal shows UTF-8, found by how far a character moves its cursor.
//!
//! A terminal of one byte per character moves two columns for what is one in UTF-8. Who does not answer in time is taken to show
//! UTF-8, as nearly all do today; `utf8=off` says otherwise.

use alloc::vec::Vec;

use engine::platform::Clock;

use crate::ScreenSize;
use crate::console::{Awaited, Console};
use crate::editor::keys::{Key, KeyDecoder};

/// A character of two bytes, neither of which is a control character of ISO 8859; then DSR 6 (ECMA-48 8.3.35), which asks where the
/// cursor is; then all is blank again.
const PROBE: &str = "\ré\x1b[6n\r  \r";

/// The column behind one character.
const SECOND_COLUMN: usize = 2;

/// How long an answer may take: at 9600 baud the question and the answer are 20 ms, and USB adds as much.
const PATIENCE_NS: u64 = 200_000_000;

/// More is not read in search of an answer.
const MAX_TYPED_BYTES: usize = 4096;

/// Return whether the terminal shows UTF-8. What was typed meanwhile stays typed.
pub(crate) fn is_shown(console: &mut Console, clock: &dyn Clock) -> bool {
    const ESC: u8 = 0x1b;
    if console.screen_size() == ScreenSize::NoScreen {
        return true;
    }
    console.control(PROBE);
    let deadline_ns = clock.now_ns() + PATIENCE_NS;
    let (mut typed, mut decoder, mut sequence_at) = (Vec::new(), KeyDecoder::default(), 0);
    let mut is_shown = true;
    while let Awaited::Byte(byte) = console.read_until(clock, deadline_ns) {
        if byte == ESC {
            sequence_at = typed.len();
        }
        typed.push(byte);
        if let Some(Key::CursorAt { column, .. }) = decoder.feed(byte) {
            typed.truncate(sequence_at);
            is_shown = column == SECOND_COLUMN;
            break;
        }
        if typed.len() == MAX_TYPED_BYTES {
            break;
        }
    }
    console.put_back(&typed);
    is_shown
}

#[cfg(test)]
mod tests {
    use super::is_shown;
    use crate::console::Console;
    use crate::testing::script::{Kind, Script};
    use crate::tests::TickingClock;

    #[test]
    fn the_cursor_tells_and_nothing_is_left_on_the_screen() {
        for (kind, expected) in [
            (Kind::Vt100, true),
            (Kind::Local, true),
            (Kind::Latin1, false),
            (Kind::Silent, true),
            (Kind::Dumb, true),
        ] {
            let mut script = Script::new(kind, 80).types("2\x1b[A\r");
            let mut console = Console::new(&mut script);
            assert_eq!(is_shown(&mut console, &TickingClock::default()), expected);
            let typed: Vec<_> = core::iter::from_fn(|| console.read()).collect();
            assert_eq!(typed, b"2\x1b[A\r", "what was typed stays");
            drop(console);
            assert_eq!(script.screen(), "");
        }
    }
}
