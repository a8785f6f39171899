//! What the tests of the shell share: a scripted terminal.

pub(crate) mod script;
