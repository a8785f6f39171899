//! The first serial port, 115200 baud unless the command line says otherwise, 8 bits, no parity, one stop bit; polled both ways.
//!
//! Not here: finding ports (COM1 is where every PC and hypervisor has it) and line editing (the shell does it).

use core::fmt;

use arrayvec::ArrayVec;
use uart_16550::backend::Backend;
use uart_16550::spec::FIFO_SIZE;
use uart_16550::spec::registers::{IER, LSR, MCR, offsets};
use uart_16550::{BaudRate, Config, InitError, Uart16550};
use x86_64::instructions::port::Port;

use crate::arch::apic::Apic;
use crate::arch::pic;

/// The serial line to a person.
pub(crate) struct Serial {
    port: Uart16550<Com1>,
    /// Whether what is received ends a wait.
    interrupts: bool,
}

/// The line of the legacy interrupt controllers that COM1 has on every PC.
const INTERRUPT_LINE: u8 = 4;

impl Serial {
    /// Return the port, set up; an error if no port answers.
    pub(crate) fn open() -> Result<Self, InitError> {
        let mut serial = Self::for_report();
        serial.set_baud_rate(BaudRate::Baud115200.to_integer())?;
        Ok(serial)
    }

    /// Send and receive this many bits per second from now on.
    ///
    /// # Errors
    /// When no port answers, or it cannot be that fast or slow.
    pub(crate) fn set_baud_rate(&mut self, bits_per_second: u32) -> Result<(), InitError> {
        self.port.backend_mut().keep_input = true;
        let baud_rate = BaudRate::Custom(bits_per_second);
        let done = self.port.init(Config { baud_rate, ..Config::default() });
        self.port.backend_mut().keep_input = false;
        done
    }

    /// Return the port as it is, for a report when nothing else can be relied upon. With no port there, what is written is lost.
    pub(crate) fn for_report() -> Self {
        let port = Com1 { keep_input: false, kept: ArrayVec::new() };
        // SAFETY: COM1 is a serial port or nothing on every PC, and its registers touch no memory. There are two handles only
        // while a failure is reported, and then nothing returns to the first.
        Self { port: unsafe { Uart16550::new_with_backend(port) }, interrupts: false }
    }

    /// Let what is received end a wait on the core of `apic`, if the machine's interrupts get there: the port is asked for one to see.
    pub(crate) fn listen(&mut self, apic: &Apic) {
        pic::has_interrupted();
        pic::listen_to(INTERRUPT_LINE);
        apic.listen_to_legacy(true);
        self.let_interrupt(IER::THR_EMPTY); // it is, so that this comes at once
        apic.wait(1);
        self.interrupts = pic::has_interrupted();
        if self.interrupts {
            self.let_interrupt(IER::DATA_READY);
            log::info!("serial: what is received ends a wait");
        } else {
            self.let_interrupt(IER::empty());
            log::info!("serial: no interrupt comes through; the line is looked at every millisecond");
            pic::listen_to_none();
            apic.listen_to_legacy(false);
        }
    }

    /// Return for how many milliseconds nobody needs to look at the port when it is waited for with [`Apic::wait`].
    ///
    /// Without interrupts it is the time in which a line of 115200 baud brings fewer bytes than the port can hold (16).
    pub(crate) fn patience_ms(&self) -> u32 {
        if self.interrupts { u32::MAX } else { 1 }
    }

    fn let_interrupt(&mut self, when: IER) {
        // SAFETY: an interrupt of this port only ends a wait.
        unsafe { self.port.backend_mut().write(offsets::IER as u8, when.bits()) };
    }

    /// Return the next received byte if there is one.
    ///
    /// The port holds 16 bytes. A hypervisor waits while they are full; on a real line what comes then is lost, so they are
    /// also looked at while something is being sent: a paste goes on while its start is shown.
    pub(crate) fn try_read(&mut self) -> Option<u8> {
        let kept = &mut self.port.backend_mut().kept;
        if kept.is_empty() { self.port.try_receive_byte().ok() } else { kept.pop_at(0) }
    }

    /// Send `bytes`, and keep what is received while the port has no room for them.
    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n_sent = self.port.send_bytes(rest);
            rest = &rest[n_sent..];
            if n_sent == 0
                && !self.port.backend_mut().kept.is_full()
                && let Ok(byte) = self.port.try_receive_byte()
            {
                self.port.backend_mut().kept.push(byte);
            }
        }
    }

    /// Wait until everything written has left the port.
    pub(crate) fn flush(&mut self) {
        while !self.port.lsr().contains(LSR::TRANSMITTER_EMPTY) {
            core::hint::spin_loop();
        }
    }
}

impl fmt::Write for Serial {
    /// Send text, with the carriage returns that a terminal needs.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.send(b"\r\n");
            }
            self.send(line.as_bytes());
        }
        Ok(())
    }
}

/// The registers of COM1.
///
/// Setting the port up discards what it has received. But input that is piped into a virtual machine begins with the machine, so
/// what came too early is kept here.
#[derive(Debug)]
struct Com1 {
    keep_input: bool,
    /// Received and not read yet: before the port's queue was emptied, or while something was sent.
    kept: ArrayVec<u8, { 64 * FIFO_SIZE }>,
}

impl Com1 {
    fn register(offset: u8) -> Port<u8> {
        const COM1: u16 = 0x3f8;
        Port::new(COM1 + u16::from(offset))
    }

    /// Keep what is there now. A port that never runs dry is not waited for.
    fn keep_pending(&mut self) {
        for _ in 0..FIFO_SIZE {
            // SAFETY: these registers are two of the port's 8.
            unsafe {
                if self.read(offsets::LSR as u8) & LSR::DATA_READY.bits() == 0 {
                    return;
                }
                self.read(offsets::DATA as u8);
            }
        }
    }

    /// Write the queue's control register, which empties the queue, and lose nothing by it.
    ///
    /// In loopback mode a read does not make QEMU fill the queue again. What it holds back then, it brings with the first read
    /// after the loopback; with nothing to read, nothing would ever come.
    fn reset_queue(&mut self, control: u8) {
        // SAFETY: these registers are three of the port's 8; reading an empty queue does nothing on a real port.
        unsafe {
            Self::register(offsets::MCR as u8).write(MCR::LOOP_BACK.bits());
            self.keep_pending();
            Self::register(offsets::FCR as u8).write(control);
            Self::register(offsets::MCR as u8).write(0);
            Self::register(offsets::DATA as u8).read();
        }
    }
}

impl Backend for Com1 {
    unsafe fn read(&mut self, offset: u8) -> u8 {
        // SAFETY: the caller keeps to the port's 8 registers.
        let value = unsafe { Self::register(offset).read() };
        if self.keep_input && offset == offsets::DATA as u8 {
            // Without room for it, it is lost as it would be on the line.
            let _ = self.kept.try_push(value);
        }
        value
    }

    unsafe fn write(&mut self, offset: u8, value: u8) {
        if self.keep_input && offset == offsets::FCR as u8 {
            self.reset_queue(value);
        } else {
            // SAFETY: the caller keeps to the port's 8 registers.
            unsafe { Self::register(offset).write(value) };
        }
    }
}
