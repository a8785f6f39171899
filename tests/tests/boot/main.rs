//! Boots the real kernel in QEMU and talks to it.

mod builtin;
mod clock;
mod conversation;
mod cores;
mod damage;
mod fault;
mod iso;
mod keyboard;
mod memory;
mod menu;
mod power;
mod protection;
mod screen;
mod serial;
mod usb;
