//! What the machine is at, in words: for the report of a failure.

use core::fmt::{self, Write};

use arrayvec::ArrayString;
use spin::Mutex;

static STEP: Mutex<ArrayString<160>> = Mutex::new(ArrayString::new_const());

/// Remember that this begins, in place of what was remembered before. What is too long for a line of a report is cut off.
pub(crate) fn begin(what: fmt::Arguments<'_>) {
    let mut step = STEP.lock();
    step.clear();
    // It fails where the room ends.
    let _ = Cut(&mut step).write_fmt(what);
}

/// What was last begun. It waits for no lock: the failure may have come while it was held.
pub(crate) struct Report;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match STEP.try_lock() {
            Some(step) => f.write_str(&step),
            None => f.write_str("between two steps"),
        }
    }
}

/// Takes as many characters as there is room for.
struct Cut<'s>(&'s mut ArrayString<160>);

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.0.try_push(character).map_err(|_| fmt::Error))
    }
}
