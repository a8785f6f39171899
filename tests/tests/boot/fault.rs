//! What the kernel does when it goes wrong: one report for each failure, which names it, the function and its callers, and an exit
//! status that tells which failure it was. And that the processor can do what the engine needs.

use boot_tests::{Guest, Monitor, iso, machine, pvh, pvh_with, workspace};
use regex::Regex;
use tools::qemu::{Boot, Failure, Medium};

/// Return the report of the self-test `name`, and check that the machine ends as after `failure`.
#[track_caller]
fn report(name: &str, failure: Failure) -> String {
    let (said, status) = Guest::boot(&machine(pvh_with(&format!("selftest={name}")))).end();
    assert_eq!(status, failure.status(), "{said}");
    assert_eq!(said.matches("***").count(), 1, "{said}");
    let (_, report) = said.split_once("*** ").unwrap_or_else(|| panic!("{said}"));
    assert!(report.contains(&format!("\nstep: selftest={name}\n")), "{report}");
    assert!(report.contains("\ncore 0; heap: "), "{report}");
    report.into()
}

#[track_caller]
fn assert_matches(report: &str, expected: &str) {
    assert!(Regex::new(expected).unwrap().is_match(report), "{expected} is not in: {report}");
}

#[test]
fn a_page_fault_names_the_function_and_its_callers() {
    let report = report("page-fault", Failure::PageFault);
    assert_matches(
        &report,
        r"^exception 14: page fault at 0xffffffff80\w+ in bootlm_kernel::selftest::\S+ \+ 0x",
    );
    for fact in ["reading 0x00000000deadb000: the page is not mapped", "rsp ", "cr3 "] {
        assert!(report.contains(fact), "{fact:?} is not in: {report}");
    }
    // Whatever was inlined on the way, the first function on the stack is the last of the callers.
    assert_matches(
        &report,
        r"\ncalled by:\n +0  0x\w+ in \S+ \+ 0x\w+\n(?s:.*) in bootlm_kernel::main \+ 0x\w+\n",
    );
}

#[test]
fn a_stack_overflow_is_told_from_other_page_faults() {
    let report = report("stack-overflow", Failure::StackOverflow);
    assert_matches(&report, r": a stack has overflowed\n");
    assert_matches(
        &report,
        r"^exception 14: page fault at 0x\w+ in bootlm_kernel::selftest::stack_overflow \+ 0x",
    );
}

/// On the boot's stack, first in the loader's page tables, then in the kernel's own.
#[test]
fn an_overflow_of_the_boot_stack_is_told_in_whoevers_page_tables() {
    let overflowed =
        Regex::new(r"^exception 14: page fault at 0x\w+ in bootlm_kernel::selftest::stack_overflow \+ 0x")
            .unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["early-stack-overflow", "boot-stack-overflow"] {
        let words = format!("selftest={name}");
        let image = iso(dir.path(), &words, &[], "overflow of the boot stack by Limine");
        let by_limine = image.map(|image| Boot::Image { image, medium: Medium::Cd, ovmf: None });
        for boot in [Some(pvh_with(&words)), by_limine].into_iter().flatten() {
            let (said, status) = Guest::boot(&machine(boot)).end();
            let (_, report) = said.split_once("*** ").unwrap_or_else(|| panic!("{name}: {said}"));
            assert!(overflowed.is_match(report) && report.contains(": a stack has overflowed\n"), "{report}");
            assert!(report.contains(&format!("\nstep: {words}\n")), "{report}");
            assert_eq!(status, Failure::StackOverflow.status(), "{name}");
        }
    }
}

#[test]
fn a_double_fault_has_a_stack_of_its_own() {
    assert_matches(
        &report("double-fault", Failure::DoubleFault),
        r"^exception 8: double fault at 0x\w+ in bootlm_kernel::",
    );
}

#[test]
fn the_end_of_the_memory_says_how_much_was_asked_for() {
    let report = report("oom", Failure::OutOfMemory);
    assert_matches(&report, r"\nout of memory: 1152921504606846976 bytes were asked for");
    // Through prebuilt `alloc`.
    assert_matches(&report, r"(?s)called by:\n.* in alloc::\S+ \+ 0x.* in bootlm_kernel::main \+ 0x");
}

#[test]
fn a_panic_says_what_is_wrong_and_where() {
    // On a machine of one core.
    let report = report("ap-fault", Failure::Panic);
    assert_matches(&report, r"^panicked at kernel/src/selftest.rs:\d+:\d+:\n.* this machine has 1\n");
    assert_matches(&report, r"\ncalled by:\n(?s:.*) in bootlm_kernel::main \+ 0x\w+\n");
}

/// Have QEMU's monitor do something to a machine that waits with the built-in model, and return its report and status.
fn report_after(monitor_command: &str) -> (String, i32) {
    let dir = tempfile::tempdir().unwrap();
    let boot = pvh(&[workspace().join("models/builtin.gguf")], dir.path());
    let (mut guest, mut monitor) = Monitor::start(machine(boot).command(), dir.path());
    guest.prompt();
    monitor.command(monitor_command);
    let (said, status) = guest.end();
    let (_, report) = said.split_once("*** ").unwrap_or_else(|| panic!("{said}"));
    (report.into(), status)
}

#[test]
fn a_non_maskable_interrupt_says_what_the_machine_was_at() {
    let (report, status) = report_after("nmi");
    assert_matches(&report, r"^exception 2: non-maskable interrupt at 0x\w+ in <?bootlm_kernel::");
    assert_matches(&report, r"\nstep: builtin.gguf: waiting for a person\n");
    assert_eq!(status, Failure::NonMaskableInterrupt.status());
}

#[test]
fn a_machine_check_shows_what_the_processor_found() {
    // Bank 2: valid, uncorrected, enabled, with an address, the state of the processor lost.
    let (report, status) = report_after("mce 0 2 0xb600000000000134 0x4 0xabcd000 0");
    assert_matches(&report, r"^exception 18: machine check at 0x\w+ in <?bootlm_kernel::");
    assert_matches(&report, r"\nbank 2: status 0xb600000000000134, address 0xabcd000\n");
    assert_eq!(status, Failure::MachineCheck.status());
}

#[test]
fn the_vector_self_test_passes_under_emulation() {
    let (said, status) = Guest::boot(&machine(pvh_with("selftest=cpu"))).end();
    assert_eq!((said.trim(), status), ("selftest cpu: ok", 0));
}
