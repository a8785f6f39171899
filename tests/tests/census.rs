//! Counts the vector instructions in the kernel's machine code, so that a build that lost them cannot pass unseen.
//!
//! Compiled for a target without hardware floats, functions that ask for AVX2 become scalar code without a warning: the
//! kernel still answers, a hundred times slower.

use std::fs;

use boot_tests::kernel;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use object::{Object, ObjectSegment};

#[test]
fn the_kernel_is_made_of_vector_instructions() {
    let file = fs::read(kernel()).unwrap();
    let elf = object::File::parse(&*file).unwrap();
    let (mut n_ymm, mut n_fma, mut n_maddubs) = (0, 0, 0);
    for segment in elf.segments().filter(|segment| segment.permissions().executable()) {
        let code = segment.data().unwrap();
        for instruction in &mut Decoder::with_ip(64, code, segment.address(), DecoderOptions::NONE) {
            n_ymm += usize::from(uses_ymm(&instruction));
            n_fma += usize::from(format!("{:?}", instruction.mnemonic()).starts_with("Vfmadd"));
            n_maddubs += usize::from(instruction.mnemonic() == Mnemonic::Vpmaddubsw);
        }
    }
    // The self-test alone has a handful of the first and one each of the others; the engine's loops have many times that.
    let found = format!("found {n_ymm} with ymm registers, {n_fma} vfmadd, {n_maddubs} vpmaddubsw");
    assert!(n_ymm >= 200, "expected 200 instructions with ymm registers or more; {found}");
    assert!(n_fma >= 2, "expected 2 vfmadd or more; {found}");
    assert!(n_maddubs >= 8, "expected 8 vpmaddubsw or more; {found}");
}

#[test]
fn the_kernel_that_is_booted_has_nothing_that_is_not_loaded() {
    let file = fs::read(kernel()).unwrap();
    let elf = object::File::parse(&*file).unwrap();
    assert_eq!(elf.sections().count(), 0);
    let end = elf.segments().map(|segment| segment.file_range()).map(|(at, n)| at + n).max();
    assert_eq!(end, Some(file.len() as u64));
}

fn uses_ymm(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|operand| instruction.op_register(operand).is_ymm())
}
