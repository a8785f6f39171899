//! Whether files are what a person says that they are: by their SHA-256 (FIPS 180-4), before anything reads them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use sha2::{Digest, Sha256};

use crate::ModelFile;

/// Return the names of the files whose sums are not those of `expected`, each with a sentence about it; and the names in `expected` of
/// which there is no file.
pub(crate) fn check(
    files: &[ModelFile<'_>],
    expected: &[(String, String)],
) -> (Vec<(String, String)>, Vec<String>) {
    let (mut mismatches, mut missing) = (Vec::new(), Vec::new());
    for (name, expected) in expected {
        let Some(file) = files.iter().find(|file| file.name == name) else {
            missing.push(name.clone());
            continue;
        };
        let found = hexadecimal(&Sha256::digest(&*file.bytes));
        if !found.eq_ignore_ascii_case(expected) {
            let reason = format!("its SHA-256 is {found}, and the command line says {expected}");
            mismatches.push((name.to_string(), reason));
        }
    }
    (mismatches, missing)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use engine::testing::ChainModel;

    use crate::testing::script::Script;
    use crate::tests::{assert_shows, bare_metal, talk_as, unwrapped};
    use crate::{ModelFile, Options};

    use super::check;

    /// The one-block message of FIPS 180-2, appendix B.1, and its sum.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_sum_is_the_standards() {
        let mut bytes = *b"abc";
        let files = [ModelFile { name: "abc.gguf", bytes: &mut bytes, may_change: true }];
        let expected = |name: &str, sum: &str| check(&files, &[(name.into(), sum.into())]);
        assert_eq!(expected("abc.gguf", ABC), (vec![], vec![]));
        assert_eq!(expected("abc.gguf", &ABC.to_uppercase()), (vec![], vec![]));
        assert_eq!(expected("other.gguf", ABC), (vec![], vec!["other.gguf".into()]));
        for wrong in [&ABC[1..], &ABC.replace("ba78", "ba79"), ""] {
            let (mismatches, missing) = expected("abc.gguf", wrong);
            let reason = format!("its SHA-256 is {ABC}, and the command line says {wrong}");
            assert_eq!((mismatches, missing), (vec![("abc.gguf".into(), reason)], vec![]));
        }
    }

    #[test]
    fn a_file_with_another_sum_is_refused_and_the_others_are_used() {
        let file = ChainModel::answers("yes").file();
        let files: [(&str, &[u8]); 2] = [("good.gguf", &file), ("bad.gguf", &file)];
        let words = format!("sha256=bad.gguf:{ABC} sha256=gone.gguf:{ABC}");
        let options = Options::parse(&words, &[]);
        let (script, _) = talk_as(Script::piped("hi\n"), &files, 1 << 30, bare_metal(), &options);
        let output = unwrapped(script.output());
        assert_shows(&output, "bad.gguf: cannot be used: its SHA-256 is ");
        assert_shows(&output, &format!(", and the command line says {ABC}"));
        assert_shows(&output, "command line: sha256=gone.gguf: there is no such file");
        assert_shows(&output, "good.gguf: llama 231K F32");
        assert_shows(&output, ">>> hi yes");
    }
}
