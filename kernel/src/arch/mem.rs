//! The memory functions that compiled code calls by name: memcpy, memmove, memset, memcmp, bcmp and strlen (ISO C 7.24).
//!
//! In assembly, because a compiler may recognise a loop in Rust as the very function that it implements, and compile it to a call of
//! itself. By 16-byte moves, because under QEMU's emulation `rep movsb` and `rep stosb` go byte by byte.

use core::arch::naked_asm;

/// Copy `n` bytes between ranges that do not overlap, and return `to`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    naked_asm!("jmp {forward}", forward = sym copy_forward)
}

/// Copy `n` bytes between ranges that may overlap, and return `to`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "sub rax, rsi", // as unsigned: less than n only if `to` begins within `from`
        "cmp rax, rdx",
        "jb {backward}",
        "jmp {forward}",
        backward = sym copy_backward,
        forward = sym copy_forward,
    )
}

/// Copy upwards. Everything is loaded before what overlaps it is stored, if `to` is below `from`: so the last 16 bytes come first.
#[unsafe(naked)]
unsafe extern "C" fn copy_forward() {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb {small}",
        "movups xmm4, [rsi + rdx - 16]",
        "lea r8, [rdi + rdx - 16]", // where they go, in the end
        "cmp rdx, 64",
        "jbe 3f",
        "2:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "add rsi, 64",
        "add rdi, 64",
        "sub rdx, 64",
        "cmp rdx, 64",
        "ja 2b",
        "3:",
        "cmp rdi, r8",
        "jae 4f",
        "movups xmm0, [rsi]",
        "movups [rdi], xmm0",
        "add rsi, 16",
        "add rdi, 16",
        "jmp 3b",
        "4:",
        "movups [r8], xmm4",
        "ret",
        small = sym copy_small,
    )
}

/// Copy downwards, for a `to` that begins within `from`: the first 16 bytes are loaded first.
#[unsafe(naked)]
unsafe extern "C" fn copy_backward() {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb {small}",
        "movups xmm4, [rsi]",
        "2:",
        "cmp rdx, 16",
        "jbe 3f",
        "movups xmm0, [rsi + rdx - 16]",
        "movups [rdi + rdx - 16], xmm0",
        "sub rdx, 16",
        "jmp 2b",
        "3:",
        "movups [rdi], xmm4",
        "ret",
        small = sym copy_small,
    )
}

/// Copy fewer than 16 bytes in either direction: everything is loaded before anything is stored. RAX is `to` already.
#[unsafe(naked)]
unsafe extern "C" fn copy_small() {
    naked_asm!(
        "cmp edx, 8",
        "jb 2f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "2:",
        "cmp edx, 4",
        "jb 3f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "3:",
        "test edx, edx",
        "jz 4f",
        "movzx ecx, byte ptr [rsi]",
        "movzx r8d, byte ptr [rsi + rdx - 1]",
        "lea r9, [rdi + rdx - 1]",
        "shr edx, 1", // 1, 2, 3 bytes: the first, the last, and number 0, 1, 1 cover them
        "movzx r10d, byte ptr [rsi + rdx]",
        "mov [rdi], cl",
        "mov [rdi + rdx], r10b",
        "mov [r9], r8b",
        "4:",
        "ret",
    )
}

/// Set `n` bytes to `value`, and return `to`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "movzx esi, sil",
        "mov rcx, 0x0101010101010101",
        "imul rcx, rsi",
        "cmp rdx, 16",
        "jb 5f",
        "movq xmm0, rcx",
        "punpcklqdq xmm0, xmm0",
        "lea r8, [rdi + rdx - 16]",
        "cmp rdx, 64",
        "jbe 3f",
        "2:",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "add rdi, 64",
        "sub rdx, 64",
        "cmp rdx, 64",
        "ja 2b",
        "3:",
        "cmp rdi, r8",
        "jae 4f",
        "movups [rdi], xmm0",
        "add rdi, 16",
        "jmp 3b",
        "4:",
        "movups [r8], xmm0",
        "ret",
        "5:",
        "cmp edx, 8",
        "jb 6f",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], rcx",
        "ret",
        "6:",
        "test edx, edx",
        "jz 7f",
        "mov [rdi], cl",
        "inc rdi",
        "dec edx",
        "jmp 6b",
        "7:",
        "ret",
    )
}

/// Return whether `a` is less than (negative), equal to (0) or greater than `b`, byte by byte.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!(
        "2:",
        "cmp rdx, 8",
        "jb 3f",
        "mov rax, [rdi]",
        "mov rcx, [rsi]",
        "cmp rax, rcx",
        "jne 5f",
        "add rdi, 8",
        "add rsi, 8",
        "sub rdx, 8",
        "jmp 2b",
        "3:",
        "test edx, edx",
        "jz 4f",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jne 6f",
        "inc rdi",
        "inc rsi",
        "dec edx",
        "jmp 3b",
        "4:",
        "xor eax, eax",
        "ret",
        "5:", // the first byte that differs decides: it is the highest after a swap
        "bswap rax",
        "bswap rcx",
        "cmp rax, rcx",
        "sbb eax, eax",
        "or eax, 1",
        "6:",
        "ret",
    )
}

/// Return 0 if `n` bytes are equal.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// Return the length of a zero-terminated string.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const u8) -> usize {
    naked_asm!(
        "mov rax, rdi",
        "2:",
        "cmp byte ptr [rax], 0",
        "je 3f",
        "inc rax",
        "jmp 2b",
        "3:",
        "sub rax, rdi",
        "ret",
    )
}
