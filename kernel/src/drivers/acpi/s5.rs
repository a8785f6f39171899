//! The object `\\_S5`, which has the two numbers by which a chipset knows that it is to be switched off.
//!
//! It is part of a program in ACPI's machine language (ACPI 6.5, chapter 20), and always a constant: `Name (_S5, Package () {a, b, ...})`.
//! So its few bytes are looked for; nothing of the program is run.

/// `NameOp`, the name, `PackageOp`.
const NAME_OP: u8 = 0x08;
const NAME: &[u8] = b"_S5_";
const PACKAGE_OP: u8 = 0x12;
/// A name may say that it is one of the root's.
const ROOT: u8 = b'\\';

/// Return the sleep types for the first and the second control register, as the program `aml` defines them.
pub(super) fn sleep_types(aml: &[u8]) -> Option<[u8; 2]> {
    let names = aml.windows(NAME.len()).enumerate().filter(|(_, name)| *name == NAME).map(|(at, _)| at);
    let is_defined = |at: &usize| matches!(aml[..*at], [.., NAME_OP] | [.., NAME_OP, ROOT]);
    names.filter(is_defined).find_map(|at| package(&aml[at + NAME.len()..]))
}

/// Return the first two elements of the package that `aml` begins with.
fn package(aml: &[u8]) -> Option<[u8; 2]> {
    let (&PACKAGE_OP, rest) = aml.split_first()? else { return None };
    // The length takes as many bytes more as the two high bits of its first byte say (20.2.4); then comes the number of elements.
    let n_length_bytes = 1 + usize::from(rest.first()? >> 6);
    let (&n_elements, elements) = rest.get(n_length_bytes..)?.split_first()?;
    if n_elements < 2 {
        return None;
    }
    let (first, elements) = number(elements)?;
    let (second, _) = number(elements)?;
    Some([first, second])
}

/// Return the number that `aml` begins with (20.2.3), of which a sleep type has three bits, and what is behind it.
fn number(aml: &[u8]) -> Option<(u8, &[u8])> {
    let (value, rest) = match *aml {
        [value @ (0 | 1), ref rest @ ..] => (value, rest),
        [0x0a, value, ref rest @ ..] => (value, rest),
        [0x0b, value, 0, ref rest @ ..] => (value, rest),
        [0x0c, value, 0, 0, 0, ref rest @ ..] => (value, rest),
        _ => return None,
    };
    (value < 8).then_some((value, rest))
}
