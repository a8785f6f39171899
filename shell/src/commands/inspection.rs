//! Commands that show what the model does, and how fast.

use engine::cpu::Isa;

use super::{Command, Next, Outcome, Scene};
use crate::units::megabytes;

pub(super) const COMMANDS: [Command; 1] = [Command {
    name: "stats",
    aliases: &[],
    arguments: "",
    summary: "show the speed of the last turn and the context used",
    details: "prefill is the reading of your message, decode the writing of the answer.\n\
              A turn reads only what is new: the context still holds what was before.\n",
    run: stats,
}];

fn stats(scene: &mut Scene<'_, '_, '_>, _: &str) -> Outcome {
    let machine = scene.machine;
    let (chat, console) = scene.chat()?;
    console.print(&chat.stats());
    let (isa, n_cores) = (Isa::detect(), machine.workers.count());
    writeln!(console, "machine: {isa}, cores {n_cores}, free memory {}", megabytes((machine.free_memory)()));
    Ok(Next::Prompt)
}
