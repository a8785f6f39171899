#!/usr/bin/env bash
# Count the instructions that a token takes in the booted kernel and in a process on this host, with the same loops on one core.
#
# Under QEMU's -icount shift=0 an instruction takes a nanosecond of the machine's time, so that the kernel's own clock counts
# them; valgrind counts those of the process. The longer answer less the shorter one leaves the tokens between them.
set -euo pipefail

kernel=$1 bootlm=$2 model=$3
few=16 many=144

# What is typed for an answer of $1 tokens.
conversation() {
    printf '/set temp 0\n/set max_tokens %s\nTell me a long story about a fox.\n/stats\n/exit\n' "$1"
}

# Print the nanoseconds that decoding $1 tokens takes in the kernel.
in_kernel() {
    conversation "$1" | qemu-system-x86_64 -accel tcg -icount shift=0,sleep=off -cpu max -m 1G -display none -serial stdio \
        -no-reboot -kernel "$kernel" -initrd "$model" -append "isa=avx2 terminal=pipe" |
        awk -v n="$1" '$1 == "decode:" && $2 == n { printf "%.0f", $4 * 1e9; found = 1 } END { exit !found }'
}

# Print the instructions of a process that decodes $1 tokens.
in_process() {
    conversation "$1" | taskset -c 0 valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$bootlm" chat --isa avx2 "$model" 2>&1 |
        awk '/Collected :/ { printf "%s", $NF; found = 1 } END { exit !found }'
}

# Print what `$1` counts for a token.
per_token() {
    local short long
    short=$("$1" $few)
    long=$("$1" $many)
    echo $(((long - short) / (many - few)))
}

kernel_count=$(per_token in_kernel)
process_count=$(per_token in_process)
awk -v kernel="$kernel_count" -v process="$process_count" 'BEGIN {
    printf "instructions per token: %.2f million in the kernel, %.2f million in a process, ratio %.3f\n",
        kernel / 1e6, process / 1e6, kernel / process
}'
