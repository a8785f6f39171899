//! Tells the linker how to make a kernel of the host's own target.
//!
//! The kernel is built for `x86_64-unknown-linux-gnu`, whose prebuilt `core` and `alloc` pass floats in SSE registers (the
//! bare-metal target is soft-float). These arguments take away what is Linux about the result: no C start files, no C
//! library, no dynamic loader, and the addresses of `linker.ld`.

use std::path::PathBuf;

fn main() {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../linker.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,max-page-size=4096",
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
}
