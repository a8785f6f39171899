//! Limine's configuration file (its CONFIG.md): the template, then the command line, then a module line for each model.
//!
//! The module lines are made here because Limine refuses to boot when one names a file that is missing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Return the text of `limine.conf` for models of these names.
pub(super) fn configuration<'a>(
    template: &Path,
    command_line: &str,
    models: impl Iterator<Item = &'a str>,
) -> Result<String> {
    let mut conf = fs::read_to_string(template).with_context(|| template.display().to_string())?;
    ensure!(!command_line.contains(['\n', '\r']), "the kernel's command line must be one line");
    if !command_line.is_empty() {
        conf.push_str(&format!("    cmdline: {command_line}\n"));
    }
    for name in models {
        // A path ends at `#`, behind which a checksum is looked for, and `${` begins a macro.
        ensure!(
            !name.contains(['#', '$']) && !name.contains(char::is_control),
            "{name:?}: a boot loader's configuration cannot have #, $ or a control character in a model's name; \
             rename the file"
        );
        conf.push_str(&format!("    module_path: boot():/models/{name}\n"));
    }
    Ok(conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_command_line_and_a_line_per_model() {
        let dir = tempfile::tempdir().unwrap();
        let template = dir.path().join("limine.conf");
        fs::write(&template, "/bootlm\n").unwrap();
        let of = |command_line| configuration(&template, command_line, ["a.gguf", "b c.gguf"].into_iter());
        let modules = "    module_path: boot():/models/a.gguf\n    module_path: boot():/models/b c.gguf\n";
        assert_eq!(of("").unwrap(), format!("/bootlm\n{modules}"));
        let with = of("prompt=\"a b\" once").unwrap();
        assert_eq!(with, format!("/bootlm\n    cmdline: prompt=\"a b\" once\n{modules}"));
        let error = of("a\ntimeout: 9").unwrap_err().to_string();
        assert!(error.contains("one line"), "{error}");
    }

    #[test]
    fn a_name_that_would_mean_something_else_to_limine_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let template = dir.path().join("limine.conf");
        fs::write(&template, "/bootlm\n").unwrap();
        for name in ["a#b.gguf", "${ARCH}.gguf", "a\ntimeout: 9"] {
            let error = configuration(&template, "", [name].into_iter()).unwrap_err().to_string();
            assert!(error.contains("rename the file"), "{error}");
        }
    }
}
