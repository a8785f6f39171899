//! How byte-level BPE vocabularies write bytes as characters.
//!
//! GPT-2's `bytes_to_unicode` (encoder.py of openai/gpt-2): the printable characters of Latin-1 stand for themselves, and
//! the other 68 bytes, in order, for the characters from U+0100 on. A space is written `Ġ`, a newline `Ċ`.

use alloc::vec::Vec;

/// Where the characters of the bytes that are not printable begin.
const SHIFTED: u32 = 0x100;

/// Return whether a byte stands for itself.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// The bytes that do not stand for themselves, in order.
const NOT_PRINTABLE: [u8; 68] = {
    let mut bytes = [0; 68];
    let (mut byte, mut i) = (0, 0);
    while byte <= u8::MAX as usize {
        if !is_printable(byte as u8) {
            bytes[i] = byte as u8;
            i += 1;
        }
        byte += 1;
    }
    assert!(i == bytes.len());
    bytes
};

/// Return the character that `byte` is written as.
pub(super) fn to_char(byte: u8) -> char {
    match NOT_PRINTABLE.binary_search(&byte) {
        Ok(i) => char::from_u32(SHIFTED + i as u32).unwrap_or('\u{fffd}'),
        Err(_) => char::from(byte),
    }
}

/// Return the bytes that `piece` is written for; a character that stands for no byte is its own UTF-8.
pub(super) fn to_bytes(piece: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(piece.len());
    for c in piece.chars() {
        let shifted = (c as u32).checked_sub(SHIFTED).and_then(|i| NOT_PRINTABLE.get(i as usize));
        match (u8::try_from(c), shifted) {
            (_, Some(&byte)) => bytes.push(byte),
            (Ok(byte), None) if is_printable(byte) => bytes.push(byte),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own_and_comes_back() {
        let mut chars: Vec<char> = (0..=u8::MAX).map(to_char).collect();
        for (byte, c) in (0..=u8::MAX).zip(&chars) {
            assert_eq!(to_bytes(c.encode_utf8(&mut [0; 4])), [byte]);
        }
        // Known from GPT-2's vocabulary.
        assert_eq!((chars[b' ' as usize], chars[b'\n' as usize], chars[b'A' as usize]), ('Ġ', 'Ċ', 'A'));
        chars.sort_unstable();
        chars.dedup();
        assert_eq!(chars.len(), 256);
    }
}
