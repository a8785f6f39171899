//! What the tests of the shell share: a scripted terminal, random numbers.

pub(crate) mod random;
pub(crate) mod script;
