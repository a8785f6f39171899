//! Turns models/catalog.toml into constants, so that a mistake in it is found here and the kernel reads no TOML.
//!
//! The types below are those of the library with text that is owned: what `{:?}` makes of them is Rust.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::{env, fs};

use serde::Deserialize;

const CATALOG: &str = "../models/catalog.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalog {
    default: String,
    #[serde(rename = "model")]
    models: List<Model>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by Debug")]
struct Model {
    name: String,
    file: String,
    family: String,
    n_params: u64,
    licence: String,
    hub: String,
    kind: Kind,
    sampling: Table,
    demos: List<String>,
    convert: Option<String>,
    files: List<File>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Story,
    Completion,
    Chat,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by Debug")]
struct File {
    name: String,
    from: Origin,
    size_bytes: Option<u64>,
    sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "read by Debug")]
enum Origin {
    Pypi { requirement: String, member: String },
    Hub { repo: String, revision: String, path: String },
    Url(String),
    Repository,
}

/// A list, which is written as a slice.
#[derive(Deserialize)]
struct List<T>(Vec<T>);

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "&{:?}", self.0)
    }
}

/// A table of texts, which is written as a slice of pairs.
#[derive(Deserialize)]
struct Table(BTreeMap<String, String>);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("&")?;
        f.debug_list().entries(&self.0).finish()
    }
}

fn main() {
    println!("cargo::rerun-if-changed={CATALOG}");
    let text = fs::read_to_string(CATALOG).unwrap_or_else(|error| panic!("{CATALOG}: {error}"));
    let Catalog { default, models } =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{CATALOG}: {error}"));
    let default = models.0.iter().position(|model| model.name == default);
    let default = default.unwrap_or_else(|| panic!("{CATALOG}: the default is none of the models"));
    let constants = format!(
        "/// Every known model, in the order of the file.\n\
         pub const MODELS: &[Model] = {{ use Kind::*; use Origin::*; {models:?} }};\n\
         /// The model that is meant when none is named.\n\
         pub const DEFAULT: &Model = &MODELS[{default}];\n"
    );
    let out = env::var_os("OUT_DIR").expect("cargo tells build scripts where to write");
    fs::write(Path::new(&out).join("catalog.rs"), constants).expect("cargo's folder is there");
}
