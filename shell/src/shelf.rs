//! What the files turned out to be: models that can be talked to, and files that cannot be used.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use catalog::Model;
use engine::format::{self, File};

use crate::nearest::nearest;
use crate::settings::{LOOKUP, OFF};
use crate::start::Candidate;
use crate::{ModelFile, Options};

/// The models and the other files.
pub(crate) struct Shelf<'f> {
    /// In the order of the files; a person counts them from 1.
    pub(crate) models: Vec<Candidate<'f>>,
    pub(crate) refused: Vec<Refused<'f>>,
}

/// A file that cannot be used.
pub(crate) struct Refused<'f> {
    /// The file's name.
    pub(crate) name: &'f str,
    pub(crate) reason: String,
}

impl<'f> Shelf<'f> {
    /// Return what is in `files`. Those named in `unsound` are not looked into, and the models of the files named in `unfit` cannot
    /// be used, for the reasons given with them.
    pub(crate) fn open(
        files: &'f [ModelFile<'_>],
        unsound: &[(String, String)],
        unfit: &[(String, String)],
    ) -> Self {
        let why_unsound =
            |name: &str| unsound.iter().find(|(file, _)| file == name).map(|(_, reason)| reason);
        let mut shelf = Self { models: Vec::new(), refused: Vec::new() };
        // Nothing is in a file that nobody is to look into.
        let bytes =
            |file: &'f ModelFile<'_>| if why_unsound(file.name).is_some() { &[] } else { &*file.bytes };
        let files: Vec<_> = files.iter().map(|file| File { name: file.name, bytes: bytes(file) }).collect();
        for found in format::models(&files) {
            match Candidate::open(found) {
                Ok(candidate) => shelf.models.push(candidate),
                Err((name, error)) => {
                    let reason = why_unsound(name).cloned().unwrap_or_else(|| error.to_string());
                    shelf.refused.push(Refused { name, reason });
                }
            }
        }
        for (name, reason) in unfit {
            if let Some(index) = shelf.models.iter().position(|model| model.file_name() == name) {
                let name = shelf.models.remove(index).file_name();
                shelf.refused.push(Refused { name, reason: reason.clone() });
            }
        }
        shelf
    }

    /// Return the known models of which there is no file.
    pub(crate) fn absent(&self) -> impl Iterator<Item = &'static Model> {
        let is_here = |known: &Model| {
            self.models.iter().any(|model| model.known().is_some_and(|model| model.name == known.name))
                || self
                    .refused
                    .iter()
                    .any(|file| catalog::of_file(file.name).is_some_and(|m| m.name == known.name))
        };
        catalog::MODELS.iter().filter(move |known| !is_here(known))
    }

    /// Return the index of the model that a person calls `wanted`: its number, its name or its file's, or how one of these
    /// begins.
    ///
    /// # Errors
    /// A sentence for the person, when there is none.
    pub(crate) fn find(&self, wanted: &str) -> Result<usize, String> {
        if let Some(index) = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1))
            && index < self.models.len()
        {
            return Ok(index);
        }
        let begins =
            |name: &str| name.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted));
        let matching = |is_it: &dyn Fn(&str) -> bool| {
            self.models.iter().position(|model| is_it(model.name()) || is_it(model.file_name()))
        };
        let exactly = matching(&|name| name.eq_ignore_ascii_case(wanted));
        exactly.or_else(|| matching(&begins)).ok_or_else(|| self.no_such_model(wanted))
    }

    /// Return the index of the model that drafts, where `options` name one that is here.
    pub(crate) fn draft_model(&self, options: &Options) -> Option<usize> {
        let (_, wanted) = options.settings.iter().rev().find(|(name, _)| name == "speculative")?;
        (![OFF, LOOKUP].contains(&wanted.as_str())).then(|| self.find(wanted).ok()).flatten()
    }

    fn no_such_model(&self, wanted: &str) -> String {
        if let Some(known) = catalog::find(wanted) {
            return format!("{} is not here: no file of it was loaded.", known.name);
        }
        let n_models = self.models.len();
        let near = nearest(wanted, self.models.iter().map(Candidate::name));
        match (near, n_models) {
            (Some(near), _) => format!("There is no model {wanted}; did you mean {near}?"),
            (None, 0) => "There is no model to talk to.".to_string(),
            (None, 1) => format!("There is no model {wanted}; the only one is 1."),
            (None, _) => {
                format!("There is no model {wanted}: type a number from 1 to {n_models}, or a name.")
            }
        }
    }
}
