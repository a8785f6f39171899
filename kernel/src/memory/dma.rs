//! Memory that a device reads and writes by itself.
//!
//! Devices of a PC see what the processors' caches hold, and processors write to memory in the order of the program (Intel SDM vol. 3,
//! 9.2.2 and 13.3), so that this is memory like any other. But what a device writes is nothing that the compiler knows of: all
//! accesses are volatile.

use core::ptr::NonNull;

use x86_64::structures::paging::{PhysFrame, Size4KiB};

use super::{DIRECT_MAP, PAGE_BYTES};

/// A page that a device and the kernel share, for ever. Whole 32-bit words are read and written, little-endian.
pub(crate) struct DmaPage {
    physical: u64,
    words: NonNull<u32>,
}

// SAFETY: the page is mapped on every core, and has one owner.
unsafe impl Send for DmaPage {}

impl DmaPage {
    /// So many words there are.
    pub(crate) const WORDS: usize = PAGE_BYTES as usize / size_of::<u32>();

    /// Return a frame that nobody else uses, all zeros.
    pub(super) fn new(frame: PhysFrame<Size4KiB>) -> Self {
        let physical = frame.start_address().as_u64();
        let words = NonNull::new((DIRECT_MAP + physical) as *mut u32)
            .expect("an address of the higher half is not null");
        let mut page = Self { physical, words };
        page.clear();
        page
    }

    /// Return where a device finds it.
    pub(crate) fn physical(&self) -> u64 {
        self.physical
    }

    /// Return the word of this number.
    pub(crate) fn read(&self, index: usize) -> u32 {
        assert!(index < Self::WORDS, "word {index} of a page");
        // SAFETY: the frame is RAM, so in the direct map, and was free; the word lies in it.
        unsafe { self.words.add(index).read_volatile() }
    }

    /// Set the word of this number.
    pub(crate) fn write(&mut self, index: usize, word: u32) {
        assert!(index < Self::WORDS, "word {index} of a page");
        // SAFETY: as in `read`; nobody has a reference into the page.
        unsafe { self.words.add(index).write_volatile(word) };
    }

    /// Set the words of this number and the next to an address, its low half first.
    pub(crate) fn write_address(&mut self, index: usize, address: u64) {
        self.write(index, address as u32);
        self.write(index + 1, (address >> 32) as u32);
    }

    /// Set all to zero.
    pub(crate) fn clear(&mut self) {
        (0..Self::WORDS).for_each(|index| self.write(index, 0));
    }

    /// Fill `bytes` with what stands from byte `at` on, a multiple of 4.
    pub(crate) fn read_bytes(&self, at: usize, bytes: &mut [u8]) {
        for (number, chunk) in bytes.chunks_mut(size_of::<u32>()).enumerate() {
            chunk.copy_from_slice(&self.read(at / size_of::<u32>() + number).to_le_bytes()[..chunk.len()]);
        }
    }

    /// Write `bytes` to byte `at` and what follows, a multiple of 4; up to 3 bytes behind them become zero.
    pub(crate) fn write_bytes(&mut self, at: usize, bytes: &[u8]) {
        for (number, chunk) in bytes.chunks(size_of::<u32>()).enumerate() {
            let mut word = [0; size_of::<u32>()];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write(at / size_of::<u32>() + number, u32::from_le_bytes(word));
        }
    }
}
