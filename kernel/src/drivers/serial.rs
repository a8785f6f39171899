//! The first serial port that answers, 115200 baud unless the command line says otherwise, 8 bits, no parity, one stop bit; polled both
//! ways.
//!
//! Not here: ports on cards and on USB, and line editing (the shell does it).

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use uart_16550::backend::Backend;
use uart_16550::spec::FIFO_SIZE;
use uart_16550::spec::registers::{IER, LSR, offsets};
use uart_16550::{BaudRate, Config, InitError, Uart16550};
use x86_64::instructions::port::Port;

use crate::arch::apic::Apic;
use crate::arch::{features, pic};

/// The serial line to a person.
pub(crate) struct Serial {
    port: Uart16550<Com>,
    /// Whether what is received ends a wait.
    interrupts: bool,
}

/// Where a PC may have ports, COM1 to COM4, and on which lines of the legacy interrupt controllers.
const PLACES: [(u16, u8); 4] = [(0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3)];

/// Which of these is in use.
static PLACE: AtomicUsize = AtomicUsize::new(0);

impl Serial {
    /// Return the first port whose scratch register keeps what is written to it, set up; nothing where there is none.
    pub(crate) fn open() -> Option<Self> {
        (0..PLACES.len()).find_map(|place| {
            let mut serial = Self::at(place);
            serial.set_baud_rate(BaudRate::Baud115200.to_integer()).ok()?;
            PLACE.store(place, Ordering::Relaxed);
            Some(serial)
        })
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
        Self::at(PLACE.load(Ordering::Relaxed))
    }

    fn at(place: usize) -> Self {
        let port = Com { base: PLACES[place].0, keep_input: false, kept: ArrayVec::new() };
        // SAFETY: at these places is a serial port or nothing on every PC, and its registers touch no memory. There are two handles
        // only while a failure is reported, and then nothing returns to the first.
        Self { port: unsafe { Uart16550::new_with_backend(port) }, interrupts: false }
    }

    /// Let what is received end a wait on the core of `apic`, if the machine's interrupts get there: the port is asked for one to see.
    pub(crate) fn listen(&mut self, apic: &Apic) {
        let place = PLACE.load(Ordering::Relaxed);
        log::info!("serial: COM{}", place + 1);
        pic::has_interrupted();
        pic::listen_to(PLACES[place].1);
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

/// The registers of a port.
///
/// Setting the port up discards what it has received. But input that is piped into a virtual machine begins with the machine, so
/// what came too early is kept here. More of it comes as soon as that is read, and switching the queue on would discard it; as a hypervisor
/// holds the sender back where there is no queue, it then stays as it was found.
#[derive(Debug)]
struct Com {
    base: u16,
    keep_input: bool,
    /// Received and not read yet: before the port's queue was emptied, or while something was sent.
    kept: ArrayVec<u8, { 64 * FIFO_SIZE }>,
}

impl Com {
    fn register(&self, offset: u8) -> Port<u8> {
        Port::new(self.base + u16::from(offset))
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
}

impl Backend for Com {
    unsafe fn read(&mut self, offset: u8) -> u8 {
        // SAFETY: the caller keeps to the port's 8 registers.
        let value = unsafe { self.register(offset).read() };
        if self.keep_input && offset == offsets::DATA as u8 {
            // Without room for it, it is lost as it would be on the line.
            let _ = self.kept.try_push(value);
        }
        value
    }

    unsafe fn write(&mut self, offset: u8, value: u8) {
        if self.keep_input && offset == offsets::FCR as u8 {
            self.keep_pending();
            if features::hypervisor() && !self.kept.is_empty() {
                return;
            }
        }
        // SAFETY: the caller keeps to the port's 8 registers.
        unsafe { self.register(offset).write(value) };
    }
}
