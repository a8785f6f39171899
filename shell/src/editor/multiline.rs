//! Messages of several lines: `"""` around them, or a backslash at a line's end.
//!
//! The quotes stand at the start of the message or of a command's argument, and at its end. Elsewhere they are text, so that
//! pasted code stays what it is.

use alloc::string::String;

const QUOTES: &str = "\"\"\"";

/// A text that opens with quotes.
struct Quoted<'t> {
    /// A command and what else stands before the quotes.
    head: &'t str,
    /// What stands after them, without the quotes that close it.
    body: &'t str,
    closed: bool,
}

/// Return `text` in its parts if it opens with quotes.
fn quoted(text: &str) -> Option<Quoted<'_>> {
    let (head, rest) = text.split_once(QUOTES)?;
    let opens = head.trim().is_empty() || head.trim_start().starts_with('/') && head.ends_with(' ');
    opens.then(|| match rest.trim_end().strip_suffix(QUOTES) {
        Some(body) => Quoted { head, body, closed: true },
        None => Quoted { head, body: rest, closed: false },
    })
}

/// Return whether `text` opens with quotes that are not closed.
pub(super) fn is_open(text: &str) -> bool {
    quoted(text).is_some_and(|quoted| !quoted.closed)
}

/// Return what is said by `text`: without the quotes around it, and without the line feeds next to them.
pub(super) fn content(text: &str) -> String {
    let Some(Quoted { head, body, .. }) = quoted(text) else {
        return text.into();
    };
    let body = body.strip_prefix('\n').unwrap_or(body);
    let body = body.strip_suffix('\n').unwrap_or(body);
    [head, body].concat()
}

#[cfg(test)]
mod tests {
    use super::{content, is_open};

    #[test]
    fn quotes_are_open_until_they_close() {
        for text in ["\"\"\"", "\"\"\"a\nb", "  \"\"\"a\"\"\" b", "/system \"\"\"a", "\"\"\"\"", "\"\"\"\"\""]
        {
            assert!(is_open(text), "{text}");
        }
        for text in [
            "",
            "a",
            "\"\"\"a\"\"\"",
            "\"\"\"\n\"\"\"  ",
            "\"\"\"\"\"\"",
            "x = \"\"\"doc",
            "/a\"\"\"",
            "\"\"",
        ] {
            assert!(!is_open(text), "{text}");
        }
    }

    #[test]
    fn the_quotes_are_not_said() {
        for (text, said) in [
            ("a\nb", "a\nb"),
            ("\"\"\"a\nb\"\"\"", "a\nb"),
            ("\"\"\"\n  a\n\nb\n\"\"\"", "  a\n\nb"),
            ("/system \"\"\"\nBe brief.\n\"\"\" ", "/system Be brief."),
            ("\"\"\"\"\"\"", ""),
            ("\"\"\"cut off", "cut off"),
            ("x = \"\"\"doc\"\"\"", "x = \"\"\"doc\"\"\""),
        ] {
            assert_eq!(content(text), said, "{text}");
        }
    }
}
