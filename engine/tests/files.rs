//! Which models there are among the files that a boot loader brought.

use engine::format::gguf::Gguf;
use engine::format::{File, models};
use engine::testing::{GgufWriter, Llama2cWriter, llama2c_tokenizer};

/// Return a tokenizer file of `n` tokens.
fn tokenizer(n: usize) -> Vec<u8> {
    let pieces: Vec<String> = (0..n).map(|i| format!("<{i}>")).collect();
    llama2c_tokenizer(pieces.iter().map(|piece| (piece.as_bytes(), -1.0)))
}

/// Return a llama2.c model of `n_vocab` tokens.
fn llama2c(n_vocab: i32) -> Vec<u8> {
    Llama2cWriter { header: [4, 6, 2, 2, 1, n_vocab, 8], is_shared: false }.file(0, |_, _, i| i as f32)
}

/// Return per model among `files` its name, and the number of its tensors or a message.
fn found(files: &[(&str, &[u8])]) -> Vec<(String, Result<usize, String>)> {
    let files: Vec<File<'_>> = files.iter().map(|&(name, bytes)| File { name, bytes }).collect();
    let outcome = |model: Result<Gguf<'_>, engine::Error>| match model {
        Ok(gguf) => Ok(gguf.tensors().count()),
        Err(error) => Err(error.to_string()),
    };
    models(&files).into_iter().map(|found| (found.name.to_string(), outcome(found.model))).collect()
}

#[track_caller]
fn assert_refused(files: &[(&str, &[u8])], name: &str, words: &[&str]) {
    let found = found(files);
    let Some((_, Err(message))) = found.iter().find(|(found, _)| found == name) else {
        panic!("{name} is not refused: {found:?}");
    };
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

/// A part of a split model of `count` files: its number from 0 on, and its tensors.
fn part(no: u32, count: u32, n_tensors: u32, tensors: &[&str]) -> Vec<u8> {
    let mut gguf = GgufWriter::default();
    if no == 0 {
        gguf.string("general.architecture", "llama");
    }
    // gguf-split writes 16 bits for two of them, and 32 for the third.
    gguf.value("split.no", 2, &(no as u16).to_le_bytes());
    gguf.value("split.count", 2, &(count as u16).to_le_bytes());
    gguf.i32("split.tensors.count", n_tensors as i32);
    for name in tensors {
        gguf.tensor_f32(name, &[2], [no as f32; 2]);
    }
    gguf.file()
}

const NAMES: [&str; 3] = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];

#[test]
fn joins_the_parts_of_a_split_model_in_any_order() {
    let parts = [part(0, 3, 4, &["a"]), part(1, 3, 4, &["b", "c"]), part(2, 3, 4, &["d"])];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let files = order.map(|i| File { name: NAMES[i], bytes: &parts[i] });
        let mut found = models(&files);
        assert_eq!(found.len(), 1);
        let gguf = found.remove(0).model.unwrap();
        assert_eq!(gguf.str("general.architecture").unwrap(), Some("llama"));
        for (name, part) in [("a", 0.0_f32), ("b", 1.0), ("c", 1.0), ("d", 2.0)] {
            assert_eq!(gguf.tensor(name).unwrap().bytes[..4], part.to_le_bytes(), "{name}");
        }
        assert_eq!(gguf.file_bytes(), parts.iter().map(|part| part.len() as u64).sum());
    }
}

#[test]
fn split_models_with_other_names_and_whole_ones_stay_apart() {
    let parts = [part(0, 2, 2, &["a"]), part(1, 2, 2, &["b"])];
    let whole = part(0, 1, 1, &["a"]);
    let files: [(&str, &[u8]); 5] = [
        ("x-00002-of-00002.gguf", &parts[1]),
        ("whole.gguf", &whole),
        ("y-00001-of-00002.gguf", &parts[0]),
        ("x-00001-of-00002.gguf", &parts[0]),
        ("y-00002-of-00002.gguf", &parts[1]),
    ];
    let found = found(&files);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-00001-of-00002.gguf", "whole.gguf", "y-00001-of-00002.gguf"]);
    assert!(found.iter().map(|(_, outcome)| outcome.clone().unwrap()).eq([2, 1, 2]));
}

#[test]
fn names_the_part_that_is_missing_or_wrong() {
    let parts = [part(0, 3, 3, &["a"]), part(1, 3, 3, &["b"]), part(2, 3, 3, &["c"])];
    let [first, second, third]: [(&str, &[u8]); 3] = [0, 1, 2].map(|i| (NAMES[i], &parts[i][..]));
    assert_refused(&[first, second], NAMES[0], &["m-00003-of-00003.gguf is missing", "split into 3 files"]);
    assert_refused(&[first, third], NAMES[0], &["m-00002-of-00003.gguf is missing"]);
    assert_refused(&[second, third], NAMES[1], &["m-00001-of-00003.gguf is missing"]);
    assert_refused(&[first, second, second, third], NAMES[0], &[NAMES[1], "there twice"]);

    let other = part(1, 3, 9, &["b"]);
    assert_refused(
        &[first, (NAMES[1], &other), third],
        NAMES[0],
        &["split.tensors.count of m-00002-of-00003.gguf is 9", "3, as in m-00001-of-00003.gguf"],
    );
    let double = part(1, 3, 3, &["a"]);
    assert_refused(
        &[first, (NAMES[1], &double), third],
        NAMES[0],
        &["tensor a of m-00002-of-00003.gguf", "in one part"],
    );
    let more = [part(0, 3, 4, &["a"]), part(1, 3, 4, &["b"]), part(2, 3, 4, &["c"])];
    let files: [(&str, &[u8]); 3] = [0, 1, 2].map(|i| (NAMES[i], &more[i][..]));
    assert_refused(&files, NAMES[0], &["split.tensors.count", "is 4", "the 3 tensors of all parts"]);

    // A part whose name says something else, or nothing.
    assert_refused(&[(NAMES[1], &parts[0])], NAMES[1], &["NAME-00001-of-00003.gguf", NAMES[1]]);
    assert_refused(&[("m.gguf", &parts[0])], "m.gguf", &["NAME-00001-of-00003.gguf", "m.gguf"]);
    assert_refused(&[(NAMES[2], &part(3, 3, 3, &["a"]))], NAMES[2], &["split.no is 3", "below the 3"]);
    // A damaged part is named itself, and is missing.
    let cut: [(&str, &[u8]); 3] = [first, (NAMES[1], &parts[1][..100]), third];
    assert_refused(&cut, NAMES[1], &["cut short"]);
    assert_refused(&cut, NAMES[0], &["m-00002-of-00003.gguf is missing"]);
}

#[test]
fn a_model_takes_the_tokenizer_of_its_size_and_then_the_one_named_like_it() {
    let (model, ten, also_ten, eleven) = (llama2c(10), tokenizer(10), tokenizer(10), tokenizer(11));
    // Two layers of nine tensors, the embedding, the last norm, the output.
    let tensors = 2 * 9 + 3;
    let files: [(&str, &[u8]); 2] = [("tokenizer.bin", &ten), ("model.bin", &model)];
    assert_eq!(found(&files), [("model.bin".into(), Ok(tensors))]);

    let files: [(&str, &[u8]); 4] = [
        ("model.tok.bin", &eleven),
        ("tokenizer.bin", &ten),
        ("mod.tok.bin", &also_ten),
        ("model.bin", &model),
    ];
    let found = found(&files);
    assert_eq!(found.len(), 3);
    assert_eq!(found[2], ("model.bin".into(), Ok(tensors)));
    for (unused, size) in [(&found[0], "11 tokens"), (&found[1], "10 tokens")] {
        let message = unused.1.clone().unwrap_err();
        assert!(message.contains("the model is missing") && message.contains(size), "{message}");
    }
    assert_eq!((&*found[0].0, &*found[1].0), ("model.tok.bin", "tokenizer.bin"));
}

#[test]
fn two_models_may_share_a_tokenizer() {
    let (one, other, tokenizer) = (llama2c(10), llama2c(10), tokenizer(10));
    let files: [(&str, &[u8]); 3] = [("a.bin", &one), ("b.bin", &other), ("tokenizer.bin", &tokenizer)];
    assert_eq!(found(&files).len(), 2);
    assert!(found(&files).iter().all(|(_, outcome)| outcome.is_ok()));
}

#[test]
fn says_what_a_llama2c_model_lacks() {
    let (model, eleven) = (llama2c(10), tokenizer(11));
    let files: [(&str, &[u8]); 2] = [("a.bin", &model), ("tokenizer.bin", &eleven)];
    assert_refused(&files, "a.bin", &["the tokenizer.bin is missing", "10 tokens"]);
    assert_refused(&files, "tokenizer.bin", &["the model is missing", "11 tokens"]);

    let ten = tokenizer(10);
    let with = |model: &[u8], words: &[&str]| {
        assert_refused(&[("a.bin", model), ("tokenizer.bin", &ten)], "a.bin", words);
    };
    with(&model[..model.len() - 1], &["cut short", "output.weight"]);
    with(&model[..100], &["cut short", "token_embd.weight", "28"]);
    let longer = [&model[..], &[0]].concat();
    with(&longer, &["the length of the file", &longer.len().to_string(), &model.len().to_string()]);
    with(&model[..27], &["not a model file"]);

    let writer = Llama2cWriter { header: [4, 6, 2, 2, 1, 10, 8], is_shared: true };
    let version_3 = writer.file(3, |_, _, _| 0.0);
    with(&version_3, &["llama2.c version \"3\" is not supported", "0 and 1", "2 (8-bit groups)"]);
    let version_1 = writer.file(1, |_, _, _| 0.0);
    let files: [(&str, &[u8]); 2] = [("a.bin", &version_1), ("tokenizer.bin", &ten)];
    assert_eq!(found(&files), [("a.bin".into(), Ok(2 * 9 + 2))]);
    with(&version_1[..200], &["cut short", "the header"]);
    // Three heads do not divide four.
    let odd = Llama2cWriter { header: [4, 6, 2, 3, 1, 10, 8], ..writer };
    with(&odd.file(1, |_, _, _| 0.0), &["the header of a llama2.c model", "heads"]);
    let deep = Llama2cWriter { header: [1, 1, 4097, 1, 1, 10, 1], ..writer };
    with(&deep.file(1, |_, _, _| 0.0), &["at most 4096 layers", "[1, 1, 4097, 1, 1, 10, 1]"]);
    // Without a mark of its own, such a file is none.
    with(&odd.file(0, |_, _, _| 0.0), &["not a model file"]);
}

#[test]
fn says_what_it_asks_of_8_bit_groups() {
    let header = [64, 96, 1, 4, 2, 10, 8];
    let model = Llama2cWriter { header, is_shared: true }.file(2, |_, _, i| i as f32);
    let tokenizer = tokenizer(10);
    let with = |at: usize, field: u32, words: &[&str]| {
        let mut model = model.clone();
        model[at..at + 4].copy_from_slice(&field.to_le_bytes());
        assert_refused(&[("a.bin", &model), ("tokenizer.bin", &tokenizer)], "a.bin", words);
    };
    // Behind the mark and the version: dim, hidden_dim; behind five more and a byte: the group size.
    let (dim, hidden_dim, group_size) = (8, 12, 37);
    for size in [0, 1, 16, 48, 128, u32::MAX] {
        let found =
            format!("the group size of a llama2.c model of version 2 is {size}, expected a power of two");
        with(group_size, size, &[&found, "32 or more that divides dim, which is 64"]);
    }
    with(dim, 32, &["the group size", "divides dim, which is 32"]);
    with(hidden_dim, 172, &["hidden_dim of a llama2.c model of version 2 is 172", "a multiple of 32"]);
    // With smaller groups there are more scales than the file has.
    with(group_size, 32, &["cut short", "blk.0.ffn_up.weight"]);
}
