//! The framebuffer that the loader set up: the memory behind [`screen`]'s terminal, and behind the report of a failure.
//!
//! Not here: setting a mode. The screen stays as the loader left it.

use core::ptr::NonNull;
use core::slice;

use screen::{Layout, Report, Screen, Unsupported};
use spin::Once;

use crate::boot;
use crate::memory::Memory;

/// A framebuffer in our own page tables.
#[derive(Clone, Copy)]
pub(crate) struct Framebuffer {
    start: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

// SAFETY: the address is valid on every core.
unsafe impl Send for Framebuffer {}
// SAFETY: likewise; who writes there is `open`'s and `for_report`'s business.
unsafe impl Sync for Framebuffer {}

/// What a report is shown on.
static MAPPED: Once<Framebuffer> = Once::new();

impl Framebuffer {
    /// Map what the loader describes. To be called once.
    pub(crate) fn map(memory: &mut Memory, found: &boot::Framebuffer) -> Self {
        let start = memory.map_framebuffer(&found.range);
        let bytes = (found.range.end - found.range.start) as usize;
        *MAPPED.call_once(|| Self { start, layout: found.layout, bytes })
    }

    /// Return the terminal on this framebuffer. To be called once.
    ///
    /// # Errors
    /// What is unusual about the screen, when it cannot be written.
    pub(crate) fn open(self) -> Result<Screen<'static>, Unsupported> {
        Screen::new(self.layout, self.memory())
    }

    fn memory(self) -> &'static mut [u8] {
        // SAFETY: `map` mapped so many bytes for ever, and only the terminal has them. There are two users only while a failure is
        // reported, and then nothing returns to the first. Any bytes are pixels.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

/// Return an empty report over whatever the screen shows; `None` without a screen.
pub(crate) fn for_report() -> Option<Report<'static>> {
    let framebuffer = MAPPED.get()?;
    Report::new(framebuffer.layout, framebuffer.memory()).ok()
}
