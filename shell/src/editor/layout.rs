//! Where prompt and text stand on a screen that is so many columns wide.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use unicode_segmentation::UnicodeSegmentation;

use super::width::Widths;

/// What stands before every further line of a text, as wide as the prompt `>>> `. As in ollama and Python.
const CONTINUATION: &str = "... ";

/// A tab looks like this wherever it stands.
const TAB: &str = "    ";

/// Prompt and text in rows.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) rows: Vec<String>,
    /// The row and the column of the cursor.
    pub(super) cursor: (usize, usize),
}

/// Lay `prompt` and `text` out in rows, with the cursor before the byte `cursor` of `text`.
///
/// The last column stays free, but for the cursor. What has been written there moves the cursor on some terminals, on others not
/// yet, and on some (minicom's own setting) never.
pub(super) fn lay_out(widths: &Widths, columns: usize, prompt: &str, text: &str, cursor: usize) -> Layout {
    let mut page = Page { widths, columns, rows: vec![String::new()], column: 0 };
    page.put_all(prompt);
    let mut place = None;
    for (index, cluster) in text.grapheme_indices(true) {
        let shown = match cluster {
            "\n" => "",
            "\t" => TAB,
            _ => cluster,
        };
        page.make_room(shown);
        if index >= cursor {
            place.get_or_insert(page.place());
        }
        if cluster == "\n" {
            page.begin_row();
            page.put_all(CONTINUATION);
        } else if widths.of(cluster) >= columns {
            // Marks and joiners without end make a cluster that no row has room for.
            cluster.chars().for_each(|part| page.put(part.encode_utf8(&mut [0; 4])));
        } else {
            page.put(shown);
        }
    }
    let cursor = place.unwrap_or(page.place());
    Layout { rows: page.rows, cursor }
}

/// Rows that are being filled.
struct Page<'w> {
    widths: &'w Widths,
    columns: usize,
    rows: Vec<String>,
    column: usize,
}

impl Page<'_> {
    fn place(&self) -> (usize, usize) {
        (self.rows.len() - 1, self.column)
    }

    fn put_all(&mut self, text: &str) {
        text.graphemes(true).for_each(|cluster| self.put(cluster));
    }

    /// Begin a row if `cluster` does not fit into this one.
    fn make_room(&mut self, cluster: &str) {
        if self.column > 0 && self.column + self.widths.of_all(cluster) >= self.columns {
            self.begin_row();
        }
    }

    fn put(&mut self, cluster: &str) {
        self.make_room(cluster);
        self.column += self.widths.of_all(cluster);
        if let Some(row) = self.rows.last_mut() {
            row.push_str(cluster);
        }
    }

    fn begin_row(&mut self) {
        self.rows.push(String::new());
        self.column = 0;
    }
}
