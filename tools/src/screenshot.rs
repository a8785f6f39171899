//! Photographs the screen of a booted machine after a short conversation, for the README.
//!
//! The machine is emulated and starts by Limine on BIOS: PVH gives no screen. What is said is typed at the machine's keyboard.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::desk::Desk;
use crate::qemu::{Accelerator, Boot, Console, Machine, Medium};

/// How long an answer may take. Under emulation on a busy machine it is a minute.
const LIMIT: Duration = Duration::from_secs(600);

/// The shell's prompts: of the menu, where there are several models, and of the conversation.
const MENU: &str = "Which model?";
const PROMPT: &str = ">>> █";

/// What is typed. The second question needs the first.
const QUESTIONS: [&str; 2] = ["What is the capital of France?", "And Germany?"];

/// Boot `iso`, talk, and write what the screen shows then to `png`.
pub fn take(iso: &Path, memory_mib: u64, png: &Path) -> Result<()> {
    let boot = Boot::Image { image: iso.into(), medium: Medium::Cd, ovmf: None };
    let machine =
        Machine { accelerator: Accelerator::Tcg, processors: 1, memory_mib, boot, console: Console::Desk };
    let mut desk = Desk::boot(&machine)?;
    // Either prompt has a blank before the cursor.
    let start = desk.wait_for(" █", LIMIT)?;
    if start.iter().any(|row| row.contains(MENU)) {
        desk.type_text("\n")?;
        desk.wait_for(PROMPT, LIMIT)?;
    }
    for question in QUESTIONS {
        desk.type_text(question)?;
        desk.wait_for(&format!(">>> {question}"), LIMIT)?;
        desk.type_text("\n")?;
        desk.wait_for(PROMPT, LIMIT)?;
    }
    desk.photograph(png)
}
