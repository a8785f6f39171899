//! What is allocated, counted: a session takes what `memory_required` says, and a forward pass takes nothing.
//!
//! One test alone in its process: the allocator counts for all threads.

use std::alloc::System;
use std::fs;
use std::path::Path;

use engine::cpu::Kernels;
use engine::format::{File, models};
use engine::model::Model;
use engine::platform::{OneCore, Workers};
use engine::session::{KvType, Session, memory_required};
use engine::testing::{InTurn, llama2c_tokenizer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn a_session_allocates_what_it_says_and_a_forward_pass_nothing() {
    let tokenizer = llama2c_tokenizer([(&b"a"[..], 0.0); 40]);
    for name in ["tiny_llama.gguf", "tiny_gpt2.gguf", "tiny_qwen2.gguf", "tiny_qwen3.gguf", "llama2c_v2.bin"]
    {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let file = fs::read(fixtures.join(name)).unwrap();
        let files = [File { name, bytes: &file }, File { name: "tokenizer.bin", bytes: &tokenizer }];
        let gguf = models(&files).remove(0).model.unwrap();
        let model = Model::load(&gguf).unwrap();
        for workers in [&OneCore as &dyn Workers, &InTurn(3), &InTurn(1000)] {
            for (kv_type, n_ctx) in [(KvType::F16, 160), (KvType::F16, 37), (KvType::F32, 64)] {
                let kernels = Kernels::detect();
                let n_ctx = n_ctx.min(model.n_ctx_max());
                let region = Region::new(ALLOCATOR);
                let mut session = Session::with_kernels(&model, workers, n_ctx, kv_type, kernels).unwrap();
                let allocated = region.change();
                let kept = allocated.bytes_allocated - allocated.bytes_deallocated;
                let said = memory_required(model.hparams(), n_ctx, kv_type, workers.count());
                let what = format!("{name}, {kv_type:?}, {n_ctx} tokens, {} workers", workers.count());
                assert_eq!(kept as u64, said, "{what}");

                // More than a batch, where the model has positions for so many.
                let tokens = [7; 160];
                let region = Region::new(ALLOCATOR);
                session.eval(&tokens[..n_ctx - 1], &mut || true).unwrap();
                session.eval(&[8], &mut || true).unwrap();
                let allocated = region.change();
                assert_eq!((allocated.allocations, allocated.reallocations), (0, 0), "{what}");
            }
        }
    }
}
