//! The list of models: those that are here with their measures, files that cannot be used, and known models that are not
//! here.

use alloc::format;
use alloc::string::String;

use crate::Machine;
use crate::console::Console;
use crate::paragraph::{cell, paragraph};
use crate::shelf::{Refused, Shelf};
use crate::units::{bytes, parameters};

/// What stands for here and not here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    yes: &'static str,
    no: &'static str,
}

impl Marks {
    pub(super) const UTF8: Self = Self { yes: "✓", no: "✗" };
    pub(super) const ASCII: Self = Self { yes: "+", no: "-" };
}

/// Show all models.
pub(super) fn show(console: &mut Console, machine: &Machine, shelf: &Shelf, marks: Marks) {
    if !shelf.models.is_empty() {
        console.print("     model                        size weights   type family context    needs\n");
    }
    for (number, candidate) in (1..).zip(&shelf.models) {
        let (model, needs) = (candidate.model(), candidate.memory_needed(machine));
        let mark = if needs.fits { marks.yes } else { marks.no };
        writeln!(
            console,
            "{mark} {number:>2} {} {:>8} {:>7} {:>6} {} {:>7} {:>8}",
            cell(candidate.name(), 24),
            bytes(model.size_bytes()),
            parameters(model.n_params()),
            model.file_type(),
            cell(model.architecture(), 6),
            model.hparams().n_ctx_train,
            bytes(needs.bytes),
        );
    }
    for refused in &shelf.refused {
        console.print(&refusal(refused, marks));
    }
    let absent = shelf.absent().map(|known| format!("{} {}", marks.no, known.name));
    let absent = paragraph("", absent, "  ");
    if !absent.trim().is_empty() {
        console.print(&absent);
    }
    let free = bytes((machine.free_memory)());
    writeln!(console, "A conversation needs so much memory beside its model; {free} are free.");
}

/// Return the rows that tell why a file cannot be used.
pub(super) fn refusal(refused: &Refused, marks: Marks) -> String {
    let Refused { name, reason } = refused;
    paragraph(&format!("{}    ", marks.no), format!("{name}: cannot be used: {reason}").split(' '), " ")
}
