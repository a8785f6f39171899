//! Boots the real kernel in QEMU and talks to it.

mod builtin;
mod conversation;
mod cores;
mod damage;
mod fault;
mod iso;
mod menu;
mod screen;
mod usb;
