//! Bytes to keys: UTF-8, control characters, and the escape sequences that terminals send for the other keys.
//!
//! Follows ECMA-48 5.4 (control sequences) and the VT100/xterm/Linux key codes. A sequence that is not known is taken
//! whole and comes out as nothing, so that it never leaves garbage in the line. Neither do bytes that are not UTF-8: a
//! person sees by the missing echo that the terminal sends another encoding.

/// What a person pressed, or what the terminal answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    /// Ctrl and a letter, in lower case.
    Ctrl(char),
    /// The terminal's answer to a cursor position request (`CSI 6 n`): the column, counted from 1.
    CursorColumn(usize),
}

/// Where the decoder is between two bytes.
#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Ground,
    /// After a carriage return, which a line feed may follow that does not count.
    AfterReturn,
    /// After ESC.
    Escape,
    /// After `ESC O` (SS3): one byte names the key.
    Ss3,
    /// After `ESC [` (CSI): parameters, then a final byte.
    Csi(Parameters),
    /// After `ESC [ [` (Linux console, F1 to F5): one byte more.
    LinuxFunctionKey,
    /// Inside a character of several bytes.
    Utf8 { bytes: [u8; 4], len: usize, expected: usize },
}

/// The numbers of a control sequence. Two are enough for every key and for the cursor position.
#[derive(Debug, Clone, Copy, Default)]
struct Parameters {
    values: [u16; 2],
    current: usize,
}

impl Parameters {
    fn digit(&mut self, digit: u8) {
        if let Some(value) = self.values.get_mut(self.current) {
            *value = value.saturating_mul(10).saturating_add(digit.into());
        }
    }
}

/// Turns typed bytes into keys.
#[derive(Debug, Default)]
pub(crate) struct KeyDecoder {
    state: State,
}

impl KeyDecoder {
    /// Take in a byte and return the key that it completes, if it does.
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Key> {
        const ESC: u8 = 0x1b;
        match (core::mem::take(&mut self.state), byte) {
            // ESC and control characters interrupt whatever came before them.
            (_, ESC) => self.wait(State::Escape),
            (State::AfterReturn, b'\n') => None,
            (_, 0x00..0x20 | 0x7f) => self.control(byte),

            (State::Escape, b'[') => self.wait(State::Csi(Parameters::default())),
            (State::Escape, b'O') => self.wait(State::Ss3),
            (State::Escape, 0x20..0x7f) => None, // Alt and a key
            (State::Ss3, 0x20..0x7f) => named_by_letter(byte),

            (State::Csi(parameters), b'[') if parameters.values == [0; 2] => {
                self.wait(State::LinuxFunctionKey)
            }
            (State::Csi(mut parameters), b'0'..=b'9') => {
                parameters.digit(byte - b'0');
                self.wait(State::Csi(parameters))
            }
            (State::Csi(mut parameters), b';') => {
                parameters.current += 1;
                self.wait(State::Csi(parameters))
            }
            // Other parameter and intermediate bytes (ECMA-48 5.4) belong to sequences of which no key is one.
            (State::Csi(parameters), 0x20..0x40) => self.wait(State::Csi(parameters)),
            (State::Csi(parameters), 0x40..0x7f) => control_sequence(parameters, byte),
            (State::LinuxFunctionKey, 0x20..0x7f) => None,

            (State::Utf8 { bytes, len, expected }, 0x80..0xc0) => {
                self.continuation(bytes, len, expected, byte)
            }
            (_, 0x20..0x7f) => Some(Key::Char(char::from(byte))),
            (_, 0x80..) => self.first_of_several(byte),
        }
    }

    fn wait(&mut self, state: State) -> Option<Key> {
        self.state = state;
        None
    }

    fn control(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'\r' => {
                self.state = State::AfterReturn;
                Some(Key::Enter)
            }
            b'\n' => Some(Key::Enter),
            0x08 | 0x7f => Some(Key::Backspace),
            // A tab would make columns depend on where the line stands on the screen.
            b'\t' => Some(Key::Char(' ')),
            0x01..=0x1a => Some(Key::Ctrl(char::from(byte - 1 + b'a'))),
            _ => None,
        }
    }

    /// Take the first byte of a character of 2 to 4 bytes (RFC 3629, section 3).
    fn first_of_several(&mut self, byte: u8) -> Option<Key> {
        let expected = match byte {
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            _ => return None,
        };
        self.wait(State::Utf8 { bytes: [byte, 0, 0, 0], len: 1, expected })
    }

    fn continuation(&mut self, mut bytes: [u8; 4], mut len: usize, expected: usize, byte: u8) -> Option<Key> {
        bytes[len] = byte;
        len += 1;
        if len < expected {
            return self.wait(State::Utf8 { bytes, len, expected });
        }
        let character = core::str::from_utf8(&bytes[..len]).ok()?.chars().next()?;
        // C1 control characters (U+0080 to U+009F) would steer the terminal when echoed.
        (!character.is_control()).then_some(Key::Char(character))
    }
}

/// Return the key of `CSI parameters final_byte`. Modifiers (`CSI 1 ; 5 D` is Ctrl-Left) make no difference.
fn control_sequence(parameters: Parameters, final_byte: u8) -> Option<Key> {
    match (final_byte, parameters.values) {
        (b'~', [1 | 7, _]) => Some(Key::Home),
        (b'~', [4 | 8, _]) => Some(Key::End),
        (b'~', [3, _]) => Some(Key::Delete),
        (b'R', [_, column]) => Some(Key::CursorColumn(column.into())),
        _ => named_by_letter(final_byte),
    }
}

/// Return the key that a VT100 names by a letter, after CSI or (in application mode) after SS3.
fn named_by_letter(letter: u8) -> Option<Key> {
    match letter {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'H' => Some(Key::Home),
        b'F' => Some(Key::End),
        b'M' => Some(Key::Enter), // the keypad's, in application mode
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{Key, KeyDecoder};

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = KeyDecoder::default();
        bytes.iter().filter_map(|&byte| decoder.feed(byte)).collect()
    }

    #[test]
    fn names_the_keys_of_vt100_xterm_linux_and_rxvt() {
        for (sequences, key) in [
            (&["\x1b[A", "\x1bOA", "\x1b[1;5A"][..], Key::Up),
            (&["\x1b[B", "\x1bOB"], Key::Down),
            (&["\x1b[C", "\x1bOC", "\x1b[1;2C"], Key::Right),
            (&["\x1b[D", "\x1bOD"], Key::Left),
            (&["\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~"], Key::Home),
            (&["\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~"], Key::End),
            (&["\x1b[3~", "\x1b[3;5~"], Key::Delete),
            (&["\x7f", "\x08"], Key::Backspace),
            (&["\r", "\n", "\r\n", "\x1bOM"], Key::Enter),
            (&["\x01"], Key::Ctrl('a')),
            (&["\x17"], Key::Ctrl('w')),
            (&["\x1b[24;80R"], Key::CursorColumn(80)),
        ] {
            for sequence in sequences {
                assert_eq!(keys(sequence.as_bytes()), [key], "{sequence:?}");
            }
        }
    }

    #[test]
    fn takes_unknown_sequences_whole() {
        for sequence in [
            "\x1b[15~",
            "\x1bOP",
            "\x1b[[A",
            "\x1b[?1;2c",
            "\x1b[200~",
            "\x1b[1;2;3;4;5u",
            "\x1b[ q",
            "\x1bf",
            "\x1b\x1b[99~",
            "\u{9b}",
            "\0",
            "\x1f",
        ] {
            let mut typed = sequence.as_bytes().to_vec();
            typed.push(b'x');
            assert_eq!(keys(&typed), [Key::Char('x')], "{sequence:?}");
        }
    }

    #[test]
    fn control_characters_end_a_broken_sequence() {
        assert_eq!(keys(b"\x1b[1\x03"), [Key::Ctrl('c')]);
        assert_eq!(keys(b"\xe2\x82\r"), [Key::Enter]);
    }

    #[test]
    fn a_return_with_line_feed_counts_once_and_two_returns_twice() {
        assert_eq!(keys(b"\r\n\n\r\r"), vec![Key::Enter; 4]);
    }

    #[test]
    fn decodes_characters_of_every_length() {
        let text = "aé€🦀";
        assert_eq!(keys(text.as_bytes()), text.chars().map(Key::Char).collect::<Vec<_>>());
    }

    #[test]
    fn drops_bytes_that_are_not_utf8_and_nothing_else() {
        // A stray byte, an overlong slash, a surrogate, a byte beyond Unicode, a Latin-1 e with acute.
        for garbage in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe9"] {
            let mut typed = garbage.to_vec();
            typed.extend("xé".as_bytes());
            assert_eq!(keys(&typed), [Key::Char('x'), Key::Char('é')], "{garbage:?}");
        }
    }
}
