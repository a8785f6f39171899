//! The known models as a table, for a person.

use std::fmt::Write as _;

use catalog::{Kind, Model};

/// Return the known models as a table.
pub(super) fn list() -> String {
    let mut list =
        format!("{:25}{:>9}  {:7}{:11}{:18}{}\n", "name", "weights", "family", "kind", "licence", "fetch");
    for model in catalog::MODELS {
        let kind = match model.kind {
            Kind::Story => "story",
            Kind::Completion => "completion",
            Kind::Chat => "chat",
        };
        let size_bytes: u64 = model.files.iter().filter_map(|file| file.size_bytes).sum();
        let note = match model.convert {
            Some(_) => ", convert",
            None if model.name == catalog::DEFAULT.name => ", default",
            None => "",
        };
        let Model { name, family, licence, .. } = model;
        let (n_millions, size_mb) = (model.n_params as f64 / 1e6, size_bytes as f64 / 1e6);
        writeln!(list, "{name:25}{n_millions:>7.1} M  {family:7}{kind:11}{licence:18}{size_mb:.0} MB{note}")
            .expect("a String takes every write");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_model_with_what_is_to_be_fetched() {
        let list = list();
        assert_eq!(list.lines().count(), 1 + catalog::MODELS.len());
        assert!(list.lines().all(|line| line.len() < 90), "{list}");
        let line = |name| list.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("SmolLM2-135M-Instruct").ends_with(" 98 MB, default"), "{list}");
        assert!(line("TinyLlama-1.1B-Chat-v1.0").ends_with(" 2202 MB, convert"), "{list}");
        assert!(line("Qwen3-0.6B").ends_with(" 639 MB"), "{list}");
    }
}
