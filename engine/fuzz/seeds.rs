//! Write `seeds/`: one small valid input per way through each target.

use std::{fs, io};

use engine::grammar::JSON;
use engine_fuzz::{gguf, llama2c};

fn main() -> io::Result<()> {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = format!("{}/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(&folder)?;
        fs::write(format!("{folder}/{name}"), bytes)
    };
    write("gguf", "bpe", &gguf("gpt2", None))?;
    write("gguf", "spm", &gguf("llama", None))?;
    write("gguf", "part", &gguf("gpt2", Some(0)))?;
    for (name, version, is_shared) in
        [("v0", 0, true), ("v0_unshared", 0, false), ("v1", 1, true), ("v2", 2, true)]
    {
        let (model, tokenizer) = llama2c(version, is_shared);
        let len = (tokenizer.len() as u16).to_le_bytes();
        write("llama2c", name, &[&len[..], &tokenizer, &model].concat())?;
    }
    write("grammar", "json", format!("{JSON}\0{{\"a\": [1, true]}}").as_bytes())?;
    write(
        "grammar",
        "nested",
        b"root ::= (\"a\" [^b-d]{2,3} | root2)+\nroot2 ::= . \"\\u00e9\"? # end\0axy",
    )?;
    write("encode", "english", "The other theme, isn't it? 12345  \n\n <|im_end|><b>".as_bytes())?;
    write("encode", "others", "é漢字 \u{1f468}\u{200d}\u{1f469} ½ \u{2581}\t\r\n\0".as_bytes())
}
