#!/bin/sh
# Runs the engine's tests under valgrind's memcheck: nothing is read that is not there or was never written, by vector loops
# neither. Then those of parsers and tokenizers under Miri, where a nightly toolchain has it, as on a RISC-V processor, for
# which only the portable loops are built.
#
# Both are slow: 10,000 damaged files stand for the 100,000 of `make test`, and none under Miri; the variable MUTATIONS takes
# another number for valgrind. Left out are whole forward passes in number, what asserts how long something takes, and under
# Miri whatever computes much or reads fixtures of thousands of lines.
set -eu

cd "$(dirname "$0")/.."

tests=--lib
for file in engine/tests/*.rs engine/tests/*/main.rs; do
    name=$(basename "${file%/main.rs}" .rs)
    case $name in
        smollm2 | quantized_logits) echo "SKIPPED: $name runs whole models; cpu/tests.rs runs the same loops" ;;
        grammar) echo "SKIPPED: $name follows thousands of grammars for long; all that it runs is safe code" ;;
        *) tests="$tests --test $name" ;;
    esac
done
CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=1" MUTATIONS="${MUTATIONS:-10000}" \
    cargo test --release --package engine $tests -- \
    --skip _in_time --skip reads_500_samples

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "SKIPPED: Miri is not there; rustup toolchain install nightly --component miri,rust-src"
    exit 0
fi
# libm's loops for aarch64 are in assembler, which Miri does not run; those for RISC-V are not.
miri() {
    MIRIFLAGS=-Zmiri-disable-isolation \
        cargo +nightly miri test --package engine --target riscv64gc-unknown-linux-gnu "$@"
}
miri --lib -- generation:: tokenizer:: --skip tokenizer::tests::
miri --test hostile_files -- rejects_what_is_no_gguf
