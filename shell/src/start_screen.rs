//! What a person sees first: which machine this is, and what it has.

use engine::cpu::Processor;

use crate::console::Console;
use crate::units::{bytes, seconds};
use crate::{Host, Machine};

/// Return the line that names the program.
pub(crate) fn version(machine: &Machine) -> &'static str {
    match machine.host {
        Host::BareMetal { .. } => {
            concat!("bootlm ", env!("CARGO_PKG_VERSION"), ", a language model on bare metal")
        }
        Host::Program => concat!("bootlm ", env!("CARGO_PKG_VERSION"), ", a language model as a program"),
    }
}

/// Show the machine; its host was ready at `host_ns` of its clock.
pub(crate) fn show(console: &mut Console, machine: &Machine, host_ns: u64) {
    writeln!(console, "{}", version(machine));
    writeln!(console, "processor  {}", Processor::detect().name);
    writeln!(console, "cores      {}, computing with {}", machine.workers.count(), machine.kernels.isa());
    writeln!(
        console,
        "memory     {}, {} of it free",
        bytes(machine.memory_bytes),
        bytes((machine.free_memory)())
    );
    if let Host::BareMetal { loader, clock, date, .. } = machine.host {
        writeln!(console, "boot       by {loader} in {} s; clock {clock}", seconds(host_ns));
        if let Some(date) = date() {
            writeln!(console, "date       {date}");
        }
    }
    console.print("\n");
}
