#!/usr/bin/env bash
# One ledger, built and run in every way that must not matter: release and dev profile, another
# target CPU, one and two threads, shuffled arrival. Every variant must print the same lines; see
# contract/examples/state_roots/main.rs for what they are. Shuffled arrival may change the state
# roots, because the log keeps the order, and nothing else.
#
# Other machines join in when what they need is there, and are named as skipped when it is not:
# aarch64 by `rustup target add aarch64-unknown-linux-gnu`, a cross linker (gcc-aarch64-linux-gnu) and
# qemu-user; wasm32 by `rustup target add wasm32-wasip1` and wasmtime or Node.js.
set -euo pipefail
cd "$(dirname "$0")/.."
home=target/determinism
mkdir -p "$home"
# Naming the target keeps build scripts and macros, which run here, out of RUSTFLAGS: they are
# compiled once for both target CPUs.
triple=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_INCREMENTAL=0

# build NAME PROFILE RUSTFLAGS [TARGET [SUFFIX]]: one build in its own folder of binaries.
build() {
    local folder=$2 target=${4:-$triple} began=$SECONDS
    RUSTFLAGS="$3" cargo build --quiet --locked --profile "$2" --target "$target" \
        --target-dir "$home/build" -p fedledger-contract --example state_roots
    [ "$2" = dev ] && folder=debug
    cp "$home/build/$target/$folder/examples/state_roots${5:-}" "$home/$1${5:-}"
    echo "built: $1 ($((SECONDS - began)) s)"
}

# Whether the standard library of a target is there.
has_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]
}

# What runs a build that is not this machine's, by its name.
declare -A runner=()

# compare NAME PATTERN ARGUMENT...: runs a build and compares the lines that match PATTERN with
# those of the first variant.
variants=0
compare() {
    local name=$1 pattern=$2
    shift 2
    local label="$name $*" lines="$home/lines" began=$SECONDS
    # A runner is a command and its arguments.
    # shellcheck disable=SC2086
    ${runner[$name]:-} "$home/$name" "$@" >"$lines"
    if [ "$variants" -eq 0 ]; then
        cp "$lines" "$home/expected"
    fi
    if ! diff <(grep -E "$pattern" "$home/expected") <(grep -E "$pattern" "$lines") >"$home/diff"; then
        echo "determinism: \`$label\` differs from \`$first\`; the first difference:" >&2
        # Of each side the first line that differs: < is expected, > is found.
        sed -n '2{p;q}' "$home/diff" >&2
        grep -m 1 '^>' "$home/diff" >&2 || true
        exit 1
    fi
    variants=$((variants + 1))
    echo "agrees: $label ($((SECONDS - began)) s)"
}

build release release ""
build dev dev ""
names="release dev"
if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo 2>/dev/null; then
    build release-v3 release "-C target-cpu=x86-64-v3"
    names="$names release-v3"
else
    echo "this CPU has no AVX2: the build for x86-64-v3 is skipped"
fi

arm=aarch64-unknown-linux-gnu
if ! has_target "$arm"; then
    echo "SKIPPED: aarch64, the target $arm is not installed"
elif ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    echo "SKIPPED: aarch64, qemu-aarch64 or aarch64-linux-gnu-gcc is not installed"
else
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    build aarch64 release "" "$arm"
    runner[aarch64]="qemu-aarch64 -L /usr/aarch64-linux-gnu"
    names="$names aarch64"
fi

wasm=wasm32-wasip1
if ! has_target "$wasm"; then
    echo "SKIPPED: wasm32, the target $wasm is not installed"
elif command -v wasmtime >/dev/null; then
    build wasm32 release "" "$wasm" .wasm
    runner[wasm32.wasm]="wasmtime run"
elif command -v node >/dev/null; then
    build wasm32 release "" "$wasm" .wasm
    runner[wasm32.wasm]="node scripts/run_wasi.mjs"
else
    echo "SKIPPED: wasm32, neither wasmtime nor Node.js is installed"
fi

first="release --threads 1"
for name in $names; do
    for threads in 1 2; do
        compare "$name" . --threads "$threads"
    done
    for seed in 1 2; do
        compare "$name" ' (decision|settled) ' --threads 2 --shuffle "$seed"
    done
done
# WebAssembly has one thread.
if [ -n "${runner[wasm32.wasm]:-}" ]; then
    compare wasm32.wasm . --threads 1
fi
heights=$(grep -c ' root ' "$home/expected")
echo "determinism: $variants variants agree on $heights heights ($SECONDS s)"
