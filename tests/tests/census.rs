//! Looks through the kernel's machine code for what no run here shows: whether its vector instructions are there, and how much of a stack
//! its functions take, also those of instruction sets that no emulator has.
//!
//! Compiled for a target without hardware floats, functions that ask for AVX2 become scalar code without a warning: the
//! kernel still answers, a hundred times slower.

use std::fs;

use boot_tests::kernel;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, Register};
use object::{Object, ObjectSegment};

#[test]
fn the_kernel_is_made_of_vector_instructions() {
    let (mut n_ymm, mut n_fma, mut n_maddubs) = (0, 0, 0);
    for instruction in instructions() {
        n_ymm += usize::from(uses_ymm(&instruction));
        n_fma += usize::from(format!("{:?}", instruction.mnemonic()).starts_with("Vfmadd"));
        n_maddubs += usize::from(instruction.mnemonic() == Mnemonic::Vpmaddubsw);
    }
    // The self-test alone has a handful of the first and one each of the others; the engine's loops have many times that.
    let found = format!("found {n_ymm} with ymm registers, {n_fma} vfmadd, {n_maddubs} vpmaddubsw");
    assert!(n_ymm >= 200, "expected 200 instructions with ymm registers or more; {found}");
    assert!(n_fma >= 2, "expected 2 vfmadd or more; {found}");
    assert!(n_maddubs >= 8, "expected 8 vpmaddubsw or more; {found}");
}

#[test]
fn no_function_takes_half_of_a_stack() {
    // A frame of more than a few pages is touched page by page, so that one too large meets the page that is missing below every stack.
    let largest = instructions().array_windows().filter_map(frame_bytes).max();
    let largest = largest.expect("products of floats have frames of many pages");
    assert!(
        largest < STACK_BYTES / 2,
        "a stack has {STACK_BYTES} bytes, of which one function takes {largest}"
    );
}

#[test]
fn the_kernel_that_is_booted_has_nothing_that_is_not_loaded() {
    let file = fs::read(kernel()).unwrap();
    let elf = object::File::parse(&*file).unwrap();
    assert_eq!(elf.sections().count(), 0);
    let end = elf.segments().map(|segment| segment.file_range()).map(|(at, n)| at + n).max();
    assert_eq!(end, Some(file.len() as u64));
}

/// The stack of a core that computes.
const STACK_BYTES: u64 = 512 * 1024;

/// Return the kernel's instructions.
fn instructions() -> Vec<Instruction> {
    let file = fs::read(kernel()).unwrap();
    let elf = object::File::parse(&*file).unwrap();
    let segments = elf.segments().filter(|segment| segment.permissions().executable());
    segments
        .flat_map(|segment| {
            let code = segment.data().unwrap();
            Decoder::with_ip(64, code, segment.address(), DecoderOptions::NONE)
                .into_iter()
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Return how many bytes of a stack a function takes that begins so to go through its frame page by page: `mov r11, rsp`, `sub r11, N`.
fn frame_bytes([first, second]: &[Instruction; 2]) -> Option<u64> {
    let copies = first.mnemonic() == Mnemonic::Mov
        && (first.op0_register(), first.op1_register()) == (Register::R11, Register::RSP);
    let subtracts = second.mnemonic() == Mnemonic::Sub && second.op0_register() == Register::R11;
    (copies && subtracts).then(|| second.immediate(1))
}

fn uses_ymm(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|operand| instruction.op_register(operand).is_ymm())
}
