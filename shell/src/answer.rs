//! One answer and nothing else: what other programs want of a model.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::console::Console;
use crate::shelf::Shelf;
use crate::start::Candidate;
use crate::{Machine, ModelFile, Options, ScreenSize, Terminal};

/// Show what the one model in `files`, whose weights stay in the order that they have, answers to the prompt of `options`, and nothing
/// else.
///
/// # Errors
/// A sentence, when there is not one model, when it cannot be run as `options` ask for it, or when the answer breaks off.
pub fn answer(
    terminal: &mut dyn Terminal,
    machine: &Machine,
    files: &[ModelFile<'_>],
    options: &Options,
) -> Result<(), String> {
    let mut nobody = Nobody;
    let mut quiet = Console::new(&mut nobody);
    let shelf = Shelf::open(files, &[], &[]);
    let without_settings = Options { settings: Vec::new(), ..options.clone() };
    only(&shelf)?.start(&mut quiet, machine, &shelf, Vec::new(), &without_settings, |_, chat| {
        // What cannot be set is a warning in a conversation; here, nobody would see it.
        for (name, value) in &options.settings {
            chat.set(&format!("{name} {value}"))?;
        }
        chat.say_once(&mut Console::new(terminal), options.prompt.as_deref().unwrap_or_default())
    })?
}

/// Return the model, if there is one and no other.
fn only<'s, 'f>(shelf: &'s Shelf<'f>) -> Result<&'s Candidate<'f>, String> {
    match (&shelf.models[..], shelf.refused.first()) {
        ([model], _) => Ok(model),
        ([], Some(refused)) => Err(format!("{}: {}", refused.name, refused.reason)),
        ([], None) => Err("there is no model".to_string()),
        (models, _) => Err(format!("there are {} models; name one", models.len())),
    }
}

/// A terminal at which nobody sits.
struct Nobody;

impl Terminal for Nobody {
    fn screen_size(&self) -> ScreenSize {
        ScreenSize::NoScreen
    }

    fn write(&mut self, _: &str) {}

    fn try_read(&mut self) -> Option<u8> {
        None
    }

    fn read(&mut self) -> Option<u8> {
        None
    }

    fn wait(&mut self) -> bool {
        false
    }
}
