//! bootlm's kernel: takes a machine over from its loader, and gives it to a conversation with a language model.
//!
//! What it is not: an operating system. There are no processes, no file system, no scheduler and no user mode. The models are in
//! memory when it starts, one flow of control runs from [`start`] to power-off, and interrupts do nothing but end a wait.
//!
//! This file is the boot sequence: [`start`] makes the machine ours, [`main`] uses it.

#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod boot;
mod console;
mod drivers;
mod log;
mod memory;
mod models;
mod panic;
mod power;
mod selftest;
mod smp;
mod step;

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::time::Duration;

use arch::apic::Apic;
use arch::entropy::HardwareEntropy;
use arch::gdt::{self, ExceptionStack, Segments};
use arch::tsc::Tsc;
use arch::{idt, machine_check, stack};
use boot::BootInfo;
use console::{Console, Keyboards};
use drivers::acpi::power::Power;
use drivers::framebuffer::Framebuffer;
use drivers::hpet;
use drivers::ps2::Ps2Keyboard;
use drivers::serial::Serial;
use drivers::usb::{Controllers, Usb};
use engine::cpu::Kernels;
use engine::platform::{Clock, Workers};
use memory::{Account, Memory, STACK_BYTES, heap};
use screen::Keys;
use shell::{Ending, Host, Keeper, Machine, ModelFile, Options};
use smp::{Cores, wake};

/// The command line's words that are the kernel's own; the shell takes the others.
const OWN_OPTIONS: [&str; 8] = ["baud", "cores", "initrd", "isa", "keymap", "log", "selftest", "usb"];

/// The machine, made ours.
struct Kernel {
    boot: BootInfo,
    clock: Tsc,
    cores: &'static Cores,
    console: Console,
    power: Power,
    account: Account,
}

/// Make the machine ours: exceptions are reported, the clock runs, memory is in our own page tables. Then call [`main`].
///
/// `entry_tsc` is the time stamp counter at entry. The vector units are enabled and the boot stack is in use.
fn start(entry_tsc: u64, read_boot_info: impl FnOnce() -> BootInfo) -> ! {
    arch::set_core_number(0);
    gdt::load_early();
    idt::load();
    machine_check::enable();
    step::begin(format_args!("taking the machine over"));
    let mut serial = Serial::open();
    let mut clock = Tsc::since(entry_tsc);
    log::begin(&clock);
    let boot = read_boot_info();
    boot.log();
    if let (Some(serial), Some(baud)) = (&mut serial, boot.option("baud")) {
        set_baud_rate(serial, baud);
    }

    selftest::overflow_boot_stack(&boot, "early-stack-overflow");
    // SAFETY: the loader describes this machine, and is done with it.
    let mut memory = unsafe { Memory::take_over(&boot, &clock) };
    selftest::overflow_boot_stack(&boot, "boot-stack-overflow");
    if !clock.is_measured() {
        clock = clock.measured(hpet::rate(boot.rsdp, &mut memory));
        log::begin(&clock);
    }
    clock.log();
    let stack = memory.new_stack(STACK_BYTES);
    let exception_stacks = [(); ExceptionStack::COUNT].map(|()| memory.new_stack(ExceptionStack::BYTES));
    let apic = Apic::new(&mut memory, &clock);
    if let Some(serial) = &mut serial {
        serial.listen(&apic);
    }
    let framebuffer = boot.framebuffer.as_ref().map(|found| Framebuffer::map(&mut memory, found));
    let controllers = if uses_usb(&boot) { Controllers::find(&mut memory) } else { Controllers::default() };
    let n_cores = boot.option("cores").map_or(usize::MAX, n_cores);
    let arrived = wake::wake(&boot, n_cores, &mut memory, &apic, &clock);
    let power = Power::find(boot.rsdp, &mut memory);
    let account = memory.fill_heap(&boot);
    ::log::info!("heap: {} bytes", heap::free_bytes());

    Box::leak(Box::new(Segments::new())).load(exception_stacks);
    let cores = wake::start(arrived, &apic, &clock);
    let screen = framebuffer.and_then(|framebuffer| {
        framebuffer.open().map_err(|why| ::log::warn!("the screen cannot be used: {why}")).ok()
    });
    let keys =
        boot.option("keymap").map_or_else(|| Ok(Keys::default()), Keys::new).unwrap_or_else(|unknown| {
            ::log::warn!("{unknown}; it is us now");
            Keys::default()
        });
    // The firmware's keyboard ends where USB is taken from it, so that one is looked for afterwards.
    let usb = Usb::open(controllers, clock);
    let keyboards = Keyboards { keys, ps2: Ps2Keyboard::open(), usb };
    let console = Console::new(serial, screen, keyboards, apic);
    let kernel = Box::leak(Box::new(Kernel { boot, clock, cores, console, power, account }));
    // SAFETY: the stack is new and nobody else's.
    unsafe { stack::switch(stack, main, kernel) }
}

/// Return how many cores are to compute, as the command line says.
fn n_cores(wanted: &str) -> usize {
    wanted.parse().ok().filter(|n_cores| *n_cores > 0).unwrap_or_else(|| {
        ::log::warn!("cores={wanted} is no number from 1 up; all of them compute");
        usize::MAX
    })
}

/// Return the inner loops that the command line asks for.
fn kernels(isa: &str) -> &'static Kernels {
    Kernels::named(isa).unwrap_or_else(|why| {
        let kernels = Kernels::detect();
        ::log::warn!("isa={isa}: {why}; it is {} now", kernels.isa());
        kernels
    })
}

/// Return whether USB is to be taken from the firmware, as the command line says.
fn uses_usb(boot: &BootInfo) -> bool {
    match boot.option("usb") {
        None | Some("on") => true,
        Some("off") => false,
        Some(other) => {
            ::log::warn!("usb={other} is neither on nor off; it is on now");
            true
        }
    }
}

/// Let the serial line be as fast as the command line says.
fn set_baud_rate(serial: &mut Serial, baud: &str) {
    match baud.parse().map(|bits_per_second| serial.set_baud_rate(bits_per_second)) {
        Ok(Ok(())) => ::log::info!("serial: {baud} baud"),
        Ok(Err(error)) => ::log::warn!("baud={baud}: {error}; it is 115200 now"),
        Err(_) => ::log::warn!("baud={baud} is no number, such as 9600; it is 115200 now"),
    }
}

/// Use the machine: for a self-test or a conversation. Then power off, or start again.
extern "C" fn main(kernel: &'static mut Kernel) -> ! {
    let &mut Kernel { ref boot, ref clock, cores, ref mut console, ref power, ref account } = kernel;
    let ending = match boot.option("selftest") {
        Some(name) => {
            selftest::run(name, boot, cores, clock, console);
            Ending::Done
        }
        None => talk(boot, account, clock, cores, console),
    };
    console.flush();
    if ending == Ending::Reboot {
        power::reset(power);
    }
    power::off(power);
    let _ = writeln!(console, "bootlm has ended; the machine can be switched off.");
    console.flush();
    arch::halt()
}

/// The kernel, as the shell tells it what it does.
struct Guard<'k>(&'k Cores);

impl Keeper for Guard<'_> {
    fn begin(&self, what: fmt::Arguments<'_>) {
        step::begin(what);
    }

    fn set_writable(&self, bytes: &[u8], writable: bool) {
        memory::set_writable(bytes, writable);
        self.0.run(&|_| memory::forget_translations());
    }
}

/// Leave the machine to the shell until the person has enough of it.
fn talk(boot: &BootInfo, account: &Account, clock: &Tsc, cores: &Cores, console: &mut Console) -> Ending {
    let mut files = models::files(boot);
    let mut files: Vec<ModelFile> = files
        .iter_mut()
        .map(|file| ModelFile { name: &file.name, bytes: &mut *file.bytes, may_change: true })
        .collect();
    // The console cannot fail.
    let _ = console.write_str(&log::at_start(boot.option("log")));

    let machine = Machine {
        keeper: &Guard(cores),
        clock,
        workers: cores,
        kernels: boot.option("isa").map_or_else(Kernels::detect, kernels),
        entropy: &HardwareEntropy,
        free_memory: &heap::free_bytes,
        memory_bytes: boot.memory_bytes(),
        host: Host::BareMetal {
            loader: &boot.loader,
            clock: &clock.to_string(),
            date: &|| Some(boot.date?.after(Duration::from_nanos(clock.now_ns())).to_string()),
            log: &log::all,
            memory: account,
        },
    };
    let options = Options::parse(&boot.command_line, &OWN_OPTIONS);
    shell::run(console, &machine, &mut files, &options)
}
