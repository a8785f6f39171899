#: bootlm: a bare-metal kernel that runs a language model.
#:
#: make run         boot it in QEMU and talk to it; does all of its own set-up
#: make test        check and test everything, the same way
#: make test-matrix boot every kind of machine, and write what came of it into docs/HARDWARE.md
#: make test-endurance  say 10,000 random things to one machine; nothing is lost by it (half an hour)
#: make memcheck    run the engine's tests under valgrind, and under Miri where it is
#: make iso         write an ISO that boots by BIOS and by UEFI
#: make usb         write the image of a USB stick, which does so too (docs/HARDWARE.md)
#: make bench       measure how fast the models run on this host
#: make bench-peers measure that and llama.cpp by turns, for docs/BENCHMARKS.md
#: make bench-kernel  count the instructions of a token in the kernel and in a process
#: make screenshot  photograph the screen of a short conversation (docs/screenshot.png)
#: make models      get the default model, or check the one that is here
#: make setup       install what the others need and this machine lacks
#: make lint        check formatting and lints
#: make clean       remove what was built; models stay
#: make help        show this
#:
#: What can be set, as in `make run SMP=2 BOOT=pvh`:
#:
#:   ACCEL       auto | tcg | kvm        what runs the guest's instructions [auto: KVM where it works]
#:   SMP         1, 2, ...               processors of the machine [this host's]
#:   MEM         768M, 2G, ...           memory of the machine [what the models need]
#:   FIRMWARE    bios | uefi             what starts the boot loader [bios]
#:   BOOT        auto | limine | pvh     boot loader, or QEMU's own way in [auto: Limine where it can be had]
#:   MODELS      files | builtin         models to boot with, or to measure; the built-in one needs no download [models/*.gguf and *.bin]
#:   CMDLINE     model=, once, ...       the kernel's command line, as in CMDLINE='prompt="Once upon a time" once'
#:   LIMINE_DIR  a folder                Limine's binary release [this machine's, else downloaded]
#:   ONLY        SmolLM2,Q8_0, ...       models to measure beside others, by parts of their names; no page is written [all]
#:   ROUNDS      1, 2, ...               turns of each program [3]
#:   LLAMA_BENCH a file                  llama.cpp's llama-bench [built in target/peers]
#:   PEERS       NAME=PROGRAM OPTIONS    further programs with llama-bench's options, semicolons between them
#:   RUN_C       a file                  llama2.c's run.c, built for this processor [not measured]

MAKEFLAGS += -rR
.DEFAULT_GOAL := help

# What a person may set.
ACCEL ?= auto
SMP ?=
MEM ?=
FIRMWARE ?= bios
BOOT ?= auto
MODELS ?=
CMDLINE ?=
LIMINE_DIR ?=
ONLY ?=
ROUNDS ?= 3
LLAMA_BENCH ?=
RUN_C ?=
PEERS ?=
CARGO_TARGET_DIR ?= target

# Through the environment, since they have quotes and spaces of their own.
export CMDLINE LLAMA_BENCH PEERS RUN_C

# What follows from it.
FILES := $(patsubst builtin,models/builtin.gguf,$(MODELS))
BOOTLM := $(CARGO_TARGET_DIR)/debug/bootlm
SOURCE := --kernel $(CARGO_TARGET_DIR)/release/bootlm-kernel --build-dir $(CARGO_TARGET_DIR) \
	$(if $(LIMINE_DIR),--limine-dir $(LIMINE_DIR)) $(if $(CMDLINE),--cmdline "$$CMDLINE") $(FILES)
MACHINE := --accel $(ACCEL) $(if $(SMP),--smp $(SMP)) --firmware $(FIRMWARE) --boot $(BOOT) $(if $(MEM),--mem $(MEM))

.PHONY: help
help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

.PHONY: run
run: kernel $(if $(MODELS),tools,models)
	@$(BOOTLM) run $(MACHINE) $(SOURCE)

.PHONY: iso
iso: kernel $(if $(MODELS),tools,models)
	@$(BOOTLM) image --output $(CARGO_TARGET_DIR)/bootlm.iso $(SOURCE)

.PHONY: usb
usb: kernel $(if $(MODELS),tools,models)
	@$(BOOTLM) image --output $(CARGO_TARGET_DIR)/bootlm.img $(SOURCE)

.PHONY: screenshot
screenshot: kernel $(if $(MODELS),tools,models)
	@$(BOOTLM) screenshot --output docs/screenshot.png $(SOURCE)

.PHONY: bench
bench: $(if $(MODELS),setup,models)
	@cargo build --release --package tools
	@$(CARGO_TARGET_DIR)/release/bootlm bench $(or $(FILES),models/*.gguf)

.PHONY: bench-kernel
bench-kernel: kernel models
	@tools/setup.sh valgrind
	@cargo build --release --package tools
	@tools/bench-kernel.sh $(CARGO_TARGET_DIR)/release/bootlm-kernel $(CARGO_TARGET_DIR)/release/bootlm \
		$(or $(FILES),models/SmolLM2-135M-Instruct.Q4_1.gguf)

.PHONY: bench-peers
bench-peers: models
	@cargo build --release --package tools
	@tools/peers.sh $(CARGO_TARGET_DIR)/release/bootlm $(CARGO_TARGET_DIR)/peers --rounds $(ROUNDS) \
		$(if $(ONLY),--only $(ONLY),--page docs/BENCHMARKS.md)

.PHONY: models
models: tools
	@$(BOOTLM) fetch

.PHONY: test
test: lint kernel models
	cargo test --workspace --no-fail-fast

.PHONY: test-matrix
test-matrix: kernel
	cargo test --package boot-tests --test matrix -- --ignored --nocapture

.PHONY: test-endurance
test-endurance: kernel
	cargo test --package boot-tests --test endurance -- --ignored --nocapture

.PHONY: memcheck
memcheck:
	@tools/setup.sh valgrind
	@tools/memcheck.sh

.PHONY: lint
lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: kernel
kernel: setup
	@cargo build --release --package kernel

.PHONY: tools
tools: setup
	@cargo build --package tools

.PHONY: setup
setup:
	@tools/setup.sh

.PHONY: clean
clean:
	cargo clean
