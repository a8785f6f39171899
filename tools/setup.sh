#!/bin/sh
# Installs the programs that building, booting and testing bootlm take, where they are missing, and those that are named on
# the command line.
#
# On Debian and Ubuntu it installs them with apt-get, as root or through sudo. Elsewhere it names what is missing and
# stops. Where nothing is missing it does nothing and takes no time. All it says goes to stderr, and it reads no input:
# `make run` may have a conversation on its stdin.
set -eu

# Print the packages that are missing, by their Debian names; each line is: the test, then the package.
missing_packages() {
    has_file /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem || echo ca-certificates
    has_command cc || echo gcc                          # rustc links with it
    has_c_library || echo libc6-dev
    has_command git || echo git                         # gets Limine
    has_pip || echo python3-pip                         # gets the default model
    has_command qemu-system-x86_64 || echo qemu-system-x86
    has_command xorriso || echo xorriso                 # writes the ISO
    has_command mdir || echo mtools                     # reads the ISO's EFI partition in the tests
    has_file /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/edk2/ovmf/OVMF_CODE.fd \
        /usr/share/edk2/x64/OVMF_CODE.4m.fd || echo ovmf # UEFI for QEMU
    for program; do
        has_command "$program" || echo "$program"       # Debian's package has the program's name
    done
}

has_command() { command -v "$1" >/dev/null 2>&1; }
has_pip() { python3 -m pip --version >/dev/null 2>&1; }
has_c_library() { cc -print-file-name=crt1.o 2>/dev/null </dev/null | grep -q /; }
has_file() {
    for file; do
        if [ -e "$file" ]; then return 0; fi
    done
    return 1
}

stop() {
    echo "setup: $*" >&2
    exit 1
}

has_command cargo || stop "cargo is not on the PATH; install Rust with rustup (https://rustup.rs) and open a new shell"

missing=$(missing_packages "$@" | tr '\n' ' ')
if [ -z "$missing" ]; then exit 0; fi

has_command apt-get || stop "this system has no apt-get; install what these Debian packages hold, then run make again: $missing"

as_root=
if [ "$(id -u)" != 0 ]; then as_root=sudo; fi
if [ -n "$as_root" ] && ! has_command sudo; then
    stop "neither root nor sudo; have someone run this, then run make again: apt-get install $missing"
fi

echo "setup: installing $missing" >&2
{
    $as_root apt-get update -q &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
} >&2 </dev/null || stop "that failed; once it is mended, this does the same: ${as_root:+$as_root }apt-get install $missing"

missing=$(missing_packages "$@" | tr '\n' ' ')
if [ -n "$missing" ]; then stop "installed, and still not usable: $missing"; fi
