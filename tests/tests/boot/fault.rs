//! The kernel's own self-tests: what it does when it goes wrong, and that the processor can do what the engine needs.

use boot_tests::{Guest, machine, pvh_with};
use tools::qemu;

#[test]
fn a_page_fault_is_reported_and_ends_the_machine_with_a_status_of_its_own() {
    let (said, status) = Guest::boot(&machine(pvh_with("selftest=page-fault"))).end();
    let (_, report) = said.split_once("*** ").unwrap_or_else(|| panic!("{said}"));
    for fact in ["page fault at 0x", "reading 0x00000000deadb000", "not mapped", "rsp ", "cr3 "] {
        assert!(report.contains(fact), "{fact:?} is not in: {report}");
    }
    assert_eq!(status, qemu::STATUS_FAULT, "{said}");
}

#[test]
fn the_vector_self_test_passes_under_emulation() {
    let (said, status) = Guest::boot(&machine(pvh_with("selftest=cpu"))).end();
    assert_eq!((said.trim(), status), ("selftest cpu: ok", 0));
}
