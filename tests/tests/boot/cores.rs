//! Machines with several cores: they come by both doors, meet, wait halted, and one of them goes wrong.

use boot_tests::{Guest, machine, pvh_with};
use regex::Regex;
use tools::qemu::{Failure, Machine};

/// Return what a machine of so many processors says that is started with these words, and its exit status.
fn run(processors: usize, words: &str) -> (String, i32) {
    Guest::boot(&Machine { processors, ..machine(pvh_with(words)) }).end()
}

#[test]
fn cores_meet_ten_thousand_times_and_after_pauses() {
    for (processors, words, n_cores) in
        [(1, "", 1), (2, "", 2), (3, "", 3), (2, " cores=1", 1), (3, " cores=2", 2)]
    {
        let (said, status) = run(processors, &format!("selftest=cores{words}"));
        let expected = Regex::new(&format!(r"^selftest cores: {n_cores} meet in \d+ ns: ok$")).unwrap();
        assert!(expected.is_match(said.trim()), "{processors} processors{words}: {said}");
        assert_eq!(status, 0);
    }
}

#[test]
fn a_number_of_cores_that_is_none_is_warned_of() {
    let mut guest = Guest::boot(&machine(pvh_with("cores=all log=warn")));
    let said = guest.prompt();
    assert!(said.contains("cores=all is no number from 1 up; all of them compute"), "{said}");
    guest.leave();
}

#[test]
fn a_fault_on_another_core_stops_all_and_is_reported_once() {
    let (said, status) = run(3, "selftest=ap-fault");
    assert_eq!(said.matches("***").count(), 1, "{said}");
    let (_, report) = said.split_once("*** ").unwrap();
    let place =
        Regex::new(r"^exception 14: page fault at 0xffffffff80\w+ in bootlm_kernel::selftest::\S+ \+ 0x")
            .unwrap();
    assert!(place.is_match(report), "{report}");
    assert!(report.contains("reading 0x00000000deadb000: the page is not mapped"), "{report}");
    assert!(Regex::new(r"\ncore [12]; heap: ").unwrap().is_match(report), "{report}");
    assert_eq!(status, Failure::PageFault.status_on_another_core(), "{said}");
}

#[test]
fn a_core_that_hangs_is_named_and_where_it_hangs() {
    let (said, status) = run(3, "selftest=hang");
    let (_, report) = said.split_once("*** hang: for ").unwrap_or_else(|| panic!("{said}"));
    let first = Regex::new(r"^\d+ s, no end of the work came from core ([12])\n").unwrap();
    let core = &first.captures(report).unwrap_or_else(|| panic!("{report}"))[1];
    let place = format!(r"\ncore {core} was at 0x\w+ in bootlm_kernel::selftest::hang");
    assert!(Regex::new(&place).unwrap().is_match(report), "{report}");
    assert!(report.contains("\nstep: selftest=hang\n"), "{report}");
    assert_eq!(status, Failure::Hang.status(), "{said}");
}
