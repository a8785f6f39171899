//! What the tests of the shell share: a scripted terminal, and a model whose answers a test decides.

pub(crate) mod chain_model;
pub(crate) mod script;
