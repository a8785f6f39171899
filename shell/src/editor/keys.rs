//! Bytes to keys: UTF-8, control characters, and the escape sequences that terminals send for the other keys.
//!
//! Follows ECMA-48 5.4 (control sequences) and the VT100/xterm/Linux/rxvt key codes. A sequence that is not known is taken
//! whole and comes out as nothing, so that it never leaves garbage in the line. Neither do bytes that are not UTF-8: a
//! person sees by the missing echo that the terminal sends another encoding.
//!
//! What is pasted (xterm's bracketed paste) comes out as characters and as nothing else: line ends and tabs are text, and no
//! key can be pasted.

/// What a person pressed, or what the terminal answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character of the text; from a paste also a line feed or a tab.
    Char(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    /// Ctrl or Alt with Left.
    WordLeft,
    /// Ctrl or Alt with Right.
    WordRight,
    Up,
    Down,
    Home,
    End,
    /// Ctrl and a letter, in lower case.
    Ctrl(char),
    /// Alt (or Esc before it) and a letter, in lower case.
    Alt(char),
    AltBackspace,
    /// The terminal's answer to a cursor position request (`CSI 6 n`), counted from 1.
    CursorAt {
        row: usize,
        column: usize,
    },
}

/// Where the decoder is between two bytes.
#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Ground,
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
    /// The last key was a carriage return, which a line feed may follow that does not count.
    after_return: bool,
    /// Between the marks that a terminal sets around what is pasted.
    pasting: bool,
    /// How many Ctrl-C in a row came during a paste.
    interrupts: usize,
}

impl KeyDecoder {
    /// Take in a byte and return the key that it completes, if it does.
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Key> {
        let key = self.decode(byte)?;
        if !matches!(key, Key::CursorAt { .. }) {
            self.after_return = byte == b'\r';
        }
        if self.pasting { self.pasted(key) } else { Some(key) }
    }

    /// Return `key` of a paste as text, if it is some.
    ///
    /// Where the mark at the end was lost on the line, a person could type for ever: a second Ctrl-C in a row is theirs.
    fn pasted(&mut self, key: Key) -> Option<Key> {
        self.interrupts = if key == Key::Ctrl('c') { self.interrupts + 1 } else { 0 };
        match key {
            Key::Char(_) => Some(key),
            Key::Enter => Some(Key::Char('\n')),
            Key::Tab => Some(Key::Char('\t')),
            Key::Ctrl('c') if self.interrupts == 2 => {
                self.pasting = false;
                Some(key)
            }
            _ => None,
        }
    }

    fn decode(&mut self, byte: u8) -> Option<Key> {
        const ESC: u8 = 0x1b;
        match (core::mem::take(&mut self.state), byte) {
            // ESC and control characters interrupt whatever came before them.
            (_, ESC) => self.wait(State::Escape),
            (_, b'\n') if core::mem::take(&mut self.after_return) => None,
            (State::Escape, 0x08 | 0x7f) => Some(Key::AltBackspace),
            (_, 0x00..0x20 | 0x7f) => self.control(byte),

            (State::Escape, b'[') => self.wait(State::Csi(Parameters::default())),
            (State::Escape, b'O') => self.wait(State::Ss3),
            (State::Escape, 0x20..0x7f) => Some(Key::Alt(char::from(byte.to_ascii_lowercase()))),
            (State::Ss3, b'd') => Some(Key::WordLeft), // rxvt
            (State::Ss3, b'c') => Some(Key::WordRight),
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
            (State::Csi(parameters), 0x40..0x7f) => self.control_sequence(parameters, byte),
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
            b'\r' | b'\n' => Some(Key::Enter),
            0x08 | 0x7f => Some(Key::Backspace),
            b'\t' => Some(Key::Tab),
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

    /// Return the key of `CSI parameters final_byte`.
    fn control_sequence(&mut self, parameters: Parameters, final_byte: u8) -> Option<Key> {
        let [first, second] = parameters.values;
        // xterm adds 1 to a sum of Shift 1, Alt 2, Ctrl 4.
        let alt_or_ctrl = second.saturating_sub(1) & (2 | 4) != 0;
        match (final_byte, first) {
            (b'~', 1 | 7) => Some(Key::Home),
            (b'~', 4 | 8) => Some(Key::End),
            (b'~', 3) => Some(if alt_or_ctrl { Key::Alt('d') } else { Key::Delete }),
            (b'~', 200 | 201) => {
                self.pasting = first == 200;
                self.interrupts = 0;
                None
            }
            (b'R', row) => Some(Key::CursorAt { row: row.into(), column: second.into() }),
            (b'C', _) if alt_or_ctrl => Some(Key::WordRight),
            (b'D', _) if alt_or_ctrl => Some(Key::WordLeft),
            _ => named_by_letter(final_byte),
        }
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
    use alloc::vec::Vec;
    use alloc::{format, vec};

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
            (&["\x1b[3~", "\x1b[3;2~"], Key::Delete),
            (&["\x7f", "\x08"], Key::Backspace),
            (&["\r", "\n", "\r\n", "\x1bOM"], Key::Enter),
            (&["\x01"], Key::Ctrl('a')),
            (&["\x17"], Key::Ctrl('w')),
            (&["\t"], Key::Tab),
            (&["\x1b[1;5D", "\x1b[1;3D", "\x1bOd"], Key::WordLeft),
            (&["\x1b[1;5C", "\x1b[1;3C", "\x1bOc"], Key::WordRight),
            (&["\x1bb", "\x1bB"], Key::Alt('b')),
            (&["\x1bd", "\x1b[3;5~", "\x1b[3;3~"], Key::Alt('d')),
            (&["\x1b\x7f", "\x1b\x08"], Key::AltBackspace),
            (&["\x1b[24;80R"], Key::CursorAt { row: 24, column: 80 }),
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
            "\x1b[1;2;3;4;5u",
            "\x1b[ q",
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
    fn what_is_pasted_is_text() {
        let pasted = "one\r\ntwo\nthree\rfour\tfive";
        let typed = format!("a\x1b[200~{pasted}\x1b[201~\r");
        let mut expected: Vec<_> = "aone\ntwo\nthree\nfour\tfive".chars().map(Key::Char).collect();
        expected.push(Key::Enter);
        assert_eq!(keys(typed.as_bytes()), expected);
    }

    #[test]
    fn no_key_can_be_pasted() {
        let typed = "\x1b[200~a\x03b\x04\x1b[Ac\x1bd\x7f\x15\x0c\0\x1b[31md\x1b[24;80R\u{9b}e\x1b[201~\x03";
        let mut expected: Vec<_> = "abcde".chars().map(Key::Char).collect();
        expected.push(Key::Ctrl('c'));
        assert_eq!(keys(typed.as_bytes()), expected);
    }

    #[test]
    fn two_ctrl_c_end_a_paste_whose_end_was_lost() {
        assert_eq!(keys(b"\x1b[200~\x03a\x03\x03\r"), [Key::Char('a'), Key::Ctrl('c'), Key::Enter]);
    }

    #[test]
    fn control_characters_end_a_broken_sequence() {
        assert_eq!(keys(b"\x1b[1\x03"), [Key::Ctrl('c')]);
        assert_eq!(keys(b"\xe2\x82\r"), [Key::Enter]);
    }

    #[test]
    fn a_return_with_line_feed_counts_once_and_two_returns_twice() {
        assert_eq!(keys(b"\r\n\n\r\r"), vec![Key::Enter; 4]);
        // Even when the terminal answers in between.
        assert_eq!(keys(b"\r\x1b[1;2R\n"), [Key::Enter, Key::CursorAt { row: 1, column: 2 }]);
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
