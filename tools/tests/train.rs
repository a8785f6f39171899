//! Training (tools/train): its own tests, its programs as a person types them, and its files in our engine against PyTorch.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::Token;
use engine::cpu::{Isa, Kernels};
use engine::format::gguf::Gguf;
use engine::format::{File, models};
use engine::model::Model;
use engine::platform::OneCore;
use engine::session::{KvType, Session};
use engine::tokenizer::Tokenizer;
use serde::Deserialize;

/// A text that is learned in seconds.
const TEXT: &str = "HAMLET:\nTo be, or not to be: that is the question.\n\nHORATIO:\nMy lord, it is not.\n\n";

/// A model that is trained in seconds.
const TINY: &str = "--n-vocab 300 --n-ctx 256 --n-embd 32 --n-layer 2 --n-head 4 --n-head-kv 2 --n-ff 64 \
                    --n-batch 4 --warm-up 2 --look-every 10 --threads 1 --steps 20";

/// The largest difference that a logit may have from PyTorch's, in floats throughout; 5e-5 was measured.
const F32_TOLERANCE: f32 = 1e-3;

/// What `tests/logits.py` says of a model.
#[derive(Deserialize)]
struct Reference {
    text: String,
    tokens: Vec<Token>,
    likeliest: Vec<Option<Token>>,
    logits: Vec<f32>,
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn folder() -> PathBuf {
    workspace().join("tools/train")
}

/// Return a Python that has what tools/train/requirements.txt names, or `None` after saying that `test` is skipped.
#[expect(clippy::explicit_write, reason = "the test harness would keep what eprintln! says to itself")]
fn python(test: &str) -> Option<PathBuf> {
    // Where docs/TRAINING.md puts it.
    let of_guide = workspace().join("training/venv/bin/python");
    let python = env::var_os("PYTHON").map_or(of_guide, PathBuf::from);
    let python = if python.exists() { python } else { "python3".into() };
    let imports = "import gguf, google.protobuf, matplotlib, sentencepiece, torch";
    let output = Command::new(&python).args(["-c", imports]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let why = format!("{} lacks what tools/train/requirements.txt names", python.display());
    writeln!(std::io::stderr(), "SKIPPED: {test}: {why}").unwrap();
    None
}

/// Run a program of tools/train in `dir` and return what it prints.
fn run(python: &Path, dir: &Path, program: &str, arguments: &str) -> String {
    let mut command = Command::new(python);
    command.arg(folder().join(program)).args(arguments.split_whitespace()).current_dir(dir);
    output(command)
}

/// Return what `command`, which has to succeed, prints.
fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Return the only model among `files`.
#[track_caller]
fn only_model<'a>(files: &[File<'a>]) -> Gguf<'a> {
    let mut found = models(files);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).model.unwrap()
}

/// Return the tokens of `text` behind the begin token.
fn encode(gguf: &Gguf<'_>, text: &str) -> Vec<Token> {
    let tokenizer = Tokenizer::load(gguf).unwrap();
    tokenizer.bos().into_iter().chain(tokenizer.encode(text)).collect()
}

/// Return the largest difference of a logit behind the reference's last token, after checking which token is the likeliest
/// behind each; `None` where this processor has no `isa`.
fn difference(gguf: &Gguf<'_>, reference: &Reference, isa: Isa) -> Option<f32> {
    let kernels = Kernels::of(isa)?;
    let model = Model::load(gguf).unwrap();
    let mut session =
        Session::with_kernels(&model, &OneCore, reference.tokens.len(), KvType::F32, kernels).unwrap();
    let mut logits = Vec::new();
    for (position, (&token, expected)) in reference.tokens.iter().zip(&reference.likeliest).enumerate() {
        logits = session.eval(&[token], &mut || true).unwrap().unwrap().to_vec();
        let likeliest = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        assert!(
            expected.is_none_or(|expected| expected == likeliest as Token),
            "{isa}: behind token {position}"
        );
    }
    assert!(reference.likeliest.iter().flatten().count() > 20, "too few to tell");
    assert_eq!(logits.len(), reference.logits.len());
    // NaN must not pass for small.
    let apart = |(a, b): (&f32, &f32)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY };
    Some(logits.iter().zip(&reference.logits).map(apart).fold(0.0, f32::max))
}

/// The built-in model's matrices are quantized, and meet activations of 8 bits here: its logits, whose root mean square is
/// 4.5, were measured to differ by up to 0.07.
const BUILTIN_TOLERANCE: f32 = 0.25;

#[test]
fn the_built_in_model_says_what_pytorch_says_with_it() {
    let file = fs::read(workspace().join("models/builtin.gguf")).unwrap();
    let fixture = fs::read_to_string(folder().join("tests/builtin.json")).unwrap();
    let reference: Reference = serde_json::from_str(&fixture).unwrap();
    let gguf = Gguf::parse(&file).unwrap();
    assert_eq!(encode(&gguf, &reference.text), reference.tokens);
    for isa in [Isa::Generic, Isa::GenericEmulated, Isa::Avx2, Isa::Avx2Emulated] {
        if let Some(difference) = difference(&gguf, &reference, isa) {
            assert!(difference < BUILTIN_TOLERANCE, "{isa}: {difference}");
        }
    }
}

#[test]
fn training_keeps_its_promises() {
    let Some(python) = python("training_keeps_its_promises") else { return };
    let mut tests = Command::new(python);
    tests.args(["-m", "unittest", "discover", "tests"]).current_dir(folder());
    output(tests);
}

/// Only the text is not fetched, and the model is a tiny one.
#[test]
fn the_commands_of_the_guide_run_one_after_the_other() {
    let Some(python) = python("the_commands_of_the_guide_run_one_after_the_other") else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    symlink(workspace().join("tools"), dir.join("tools")).unwrap();
    fs::create_dir_all(dir.join("training/plays")).unwrap();
    for play in ["hamlet", "macbeth"] {
        fs::write(dir.join(format!("training/plays/{play}.txt")), TEXT.repeat(120)).unwrap();
    }
    let guide = fs::read_to_string(workspace().join("docs/TRAINING.md")).unwrap();
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let commands: Vec<_> =
        blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("python ")).collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands.iter().filter(|command| !command.contains("shakespeare.py")) {
        let smaller = if command.contains("--init-from") || !command.contains("train.py") {
            ""
        } else if command.contains("--resume") {
            "--steps 30"
        } else {
            TINY
        };
        let mut shell = Command::new("sh");
        // What comes last counts.
        let line = format!("{} {command} {smaller}", python.display());
        output({
            shell.args(["-c", &line]).current_dir(dir);
            shell
        });
    }
    for file in ["shakespeare.gguf", "shakespeare.bin", "tokenizer.bin", "macbeth/loss.png"] {
        assert!(dir.join("training").join(file).exists(), "{file}");
    }
}

#[test]
fn what_is_trained_resumed_and_exported_says_in_the_engine_what_it_says_in_pytorch() {
    let Some(python) = python("what_is_trained_...") else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("text.txt"), TEXT.repeat(120)).unwrap();
    run(&python, dir, "train.py", &format!("text.txt --out model --lr 1e-2 {TINY}"));
    let said = run(&python, dir, "train.py", "--out model --resume --steps 60 --threads 1");
    assert!(said.contains("step 60: train ") && said.contains("\nsteps 20 to 60 took "), "{said}");
    assert!(fs::read(dir.join("model/loss.png")).unwrap().starts_with(b"\x89PNG"));
    let said = run(&python, dir, "sample.py", "model/checkpoint.pt --prompt HAM --tokens 8 --temperature 0");
    assert!(said.starts_with("HAM"), "{said}");
    let table = run(&python, dir, "evaluate.py", "model/checkpoint.pt --types f32 q8_0");
    assert!(table.starts_with("f32 ") && table.contains("\nq8_0 "), "{table}");

    for file in ["model.gguf", "model.bin"] {
        run(&python, dir, "export.py", &format!("model/checkpoint.pt {file}"));
    }
    let reference = run(&python, dir, "tests/logits.py", "model.gguf");
    let reference: Reference = serde_json::from_str(&reference).unwrap();
    let [gguf, bin, tokenizer] =
        ["model.gguf", "model.bin", "tokenizer.bin"].map(|name| fs::read(dir.join(name)).unwrap());
    let gguf = Gguf::parse(&gguf).unwrap();
    assert_eq!(encode(&gguf, &reference.text), reference.tokens);
    let bin = only_model(&[
        File { name: "model.bin", bytes: &bin },
        File { name: "tokenizer.bin", bytes: &tokenizer },
    ]);
    for (name, model) in [("model.gguf", &gguf), ("model.bin", &bin)] {
        let difference = difference(model, &reference, Isa::Generic).unwrap();
        assert!(difference < F32_TOLERANCE, "{name}: {difference}");
    }
    // run.c, and so the engine, begins every text with a space; otherwise the pieces are the same.
    let text = "my lord, it is\nHAMLET";
    assert_eq!(encode(&bin, text), encode(&gguf, &format!(" {text}")));
}
