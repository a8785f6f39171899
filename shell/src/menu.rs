//! Which model to talk to.

use crate::console::Console;
use crate::editor::{Entered, LineEditor};
use crate::start::Candidate;

/// What the person chose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The model at this place of the list.
    Model(usize),
    /// There is no model to choose.
    None,
    Leave,
}

/// Let the person choose one of `candidates`; one alone is chosen at once.
pub(crate) fn choose(console: &mut Console, editor: &mut LineEditor, candidates: &[Candidate]) -> Choice {
    match candidates.len() {
        0 => return Choice::None,
        1 => return Choice::Model(0),
        _ => {}
    }
    for (number, candidate) in (1..).zip(candidates) {
        writeln!(console, "{number}  {}", candidate.describe());
    }
    loop {
        match editor.read_line(console, "Which model? [1] ") {
            Entered::Line(line) => match line.trim() {
                "" => return Choice::Model(0),
                "/exit" => return Choice::Leave,
                typed => match number_of(typed, candidates) {
                    Some(index) => return Choice::Model(index),
                    None => {
                        let last = candidates.len();
                        writeln!(
                            console,
                            "There is no model {typed}: type a number from 1 to {last}, or /exit to leave."
                        );
                    }
                },
            },
            Entered::Interrupt { .. } => console.print("/exit or Ctrl-D leaves.\n"),
            Entered::End => return Choice::Leave,
        }
    }
}

/// Return the index of the candidate that `typed` names by its number.
fn number_of(typed: &str, candidates: &[Candidate]) -> Option<usize> {
    let index = typed.parse::<usize>().ok()?.checked_sub(1)?;
    (index < candidates.len()).then_some(index)
}
