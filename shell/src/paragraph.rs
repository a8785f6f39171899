//! Words in rows, as wide as the narrowest of screens.

use alloc::string::String;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns of a VT100, which every terminal has; the last one is left free, since some wrap when it is written.
const COLUMNS: usize = 79;

/// Return `items` behind `first`, `gap` between them, in rows that end in "\n"; all but the first row are indented as far as
/// `first` reaches.
pub(crate) fn paragraph<S: AsRef<str>>(first: &str, items: impl IntoIterator<Item = S>, gap: &str) -> String {
    let indent = first.width();
    let mut text = String::from(first);
    let mut column = indent;
    for item in items {
        let item = item.as_ref();
        if column > indent && column + gap.width() + item.width() > COLUMNS {
            text.push('\n');
            text.extend(core::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            text.push_str(gap);
            column += gap.width();
        }
        text.push_str(item);
        column += item.width();
    }
    text.push('\n');
    text
}

/// Return `text` cut to `columns`, with blanks behind it if it is narrower. It may come from a file: control characters are
/// replaced, so that it is one row.
pub(crate) fn cell(text: &str, columns: usize) -> String {
    let mut cell = String::new();
    let mut column = 0;
    for character in text.chars() {
        let character = if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
        let width = character.width().unwrap_or(0);
        if column + width > columns {
            break;
        }
        cell.push(character);
        column += width;
    }
    cell.extend(core::iter::repeat_n(' ', columns - column));
    cell
}

#[cfg(test)]
mod tests {
    use super::{cell, paragraph};

    #[test]
    fn breaks_between_items_and_indents() {
        let text = paragraph("- ", ["abc"; 20], ", ");
        let rows: Vec<_> = text.lines().collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], format!("- {}", ["abc"; 15].join(", ")));
        assert_eq!(rows[1], format!("  {}", ["abc"; 5].join(", ")));
        assert_eq!(paragraph("x ", [""; 0], " "), "x \n");
    }

    #[test]
    fn an_item_wider_than_the_row_stands_alone() {
        let long = "x".repeat(100);
        assert_eq!(paragraph("", ["a", &long, "b"], " "), format!("a\n{long}\nb\n"));
    }

    #[test]
    fn cells_count_columns_and_stay_one_row() {
        assert_eq!(cell("ab", 4), "ab  ");
        assert_eq!(cell("abcdef", 4), "abcd");
        assert_eq!(cell("漢字漢", 5), "漢字 ");
        assert_eq!(cell("a\nb\x1b", 4), "a\u{fffd}b\u{fffd}");
    }
}
