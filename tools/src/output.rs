//! What commands say on stdout, as long as somebody reads it.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Whoever read stdout has gone away, as `head` does when it has enough: there is nothing left to do, and nothing to complain about.
#[derive(Debug)]
pub struct Deserted;

impl fmt::Display for Deserted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads stdout")
    }
}

impl std::error::Error for Deserted {}

/// Write `text` to stdout.
///
/// # Errors
/// [`Deserted`], or why it cannot be written.
pub fn say(text: impl fmt::Display) -> Result<()> {
    let mut stdout = io::stdout().lock();
    written(write!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Return what came of writing to stdout.
///
/// # Errors
/// As [`say`].
pub fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Deserted.into()),
        outcome => outcome.context("stdout"),
    }
}
