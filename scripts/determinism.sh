#!/usr/bin/env bash
# One ledger, built and run in every way that must not matter: release and dev profile, other target
# CPUs, one and two threads, shuffled arrival, other machines. Every variant must print the same
# lines; see contract/examples/state_roots/main.rs for what they are. Shuffled arrival may change the
# state roots, because the log keeps the order, and nothing else.
#
#   scripts/determinism.sh              all that this machine has the tools for; the rest is SKIPPED
#   scripts/determinism.sh --install    installs those tools first: apt-get, as root, on Debian
#   scripts/determinism.sh --only LIST  of the other machines only these, for example aarch64,wasm32
#
# Other machines are aarch64 and s390x (whose bytes are in the other order) under qemu-user, wasm32 in
# Node.js, and x86-64 without AVX under qemu-user. The standard library for each is rustup's when its
# target is installed (`rustup target add aarch64-unknown-linux-gnu`), else that of Debian's compiler
# (rustc-web), else built from source (rust-web-src, or rustup's component rust-src).
set -euo pipefail
cd "$(dirname "$0")/.."
home=$PWD/target/determinism
mkdir -p "$home"
# Naming the target keeps build scripts and macros, which run here, out of RUSTFLAGS: they are
# compiled once for all target CPUs.
triple=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_INCREMENTAL=0

machines="x86-64-old aarch64 s390x wasm32"
while [ $# -gt 0 ]; do
    case $1 in
    --install) install=yes ;;
    --only)
        machines=$(tr , ' ' <<<"${2:?--only takes a list such as aarch64,wasm32}")
        shift
        ;;
    *)
        sed -n '2,15s/^# \?//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

# What each machine takes, by Debian's names.
compiler_packages="rustc-web rust-web-src"
declare -A packages=(
    [x86-64-old]="qemu-user"
    [aarch64]="$compiler_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
    [s390x]="$compiler_packages gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user"
    [wasm32]="$compiler_packages wasi-libc lld-22 nodejs"
)

if [ "${install:-no}" = yes ]; then
    wanted=""
    for machine in $machines; do
        wanted="$wanted ${packages[$machine]}"
    done
    # Node.js may be there from elsewhere.
    if command -v node >/dev/null; then
        wanted=${wanted//nodejs/}
    fi
    apt-get update
    # shellcheck disable=SC2086
    apt-get install -y --no-install-recommends $wanted
fi

# skip MACHINE REASON: says what is missing and what would bring it.
skip() {
    echo "SKIPPED: $1, $2. As root on Debian:"
    echo "    apt-get update && apt-get install --no-install-recommends ${packages[$1]}"
}

# build NAME PROFILE RUSTFLAGS [TARGET [SUFFIX [LAST]]]: one build in its own folder of binaries, with
# the compiler that `choose_compiler` chose. LAST is a flag for the program alone.
build() {
    local folder=$2 target=${4:-$triple} began=$SECONDS
    RUSTFLAGS="$3" cargo rustc --quiet --locked --profile "$2" --target "$target" \
        ${build_std:-} --target-dir "$home/build" -p fedledger-contract --example state_roots \
        -- ${6:-}
    [ "$2" = dev ] && folder=debug
    cp "$home/build/$target/$folder/examples/state_roots${5:-}" "$home/$1"
    echo "built: $1 ($((SECONDS - began)) s)"
}

# choose_compiler TARGET: exports RUSTC and sets `build_std` so that the target can be built for:
# with a standard library that is there, else with its sources. The compiler of the PATH goes first.
choose_compiler() {
    local compiler sysroot
    unset RUSTC RUSTC_BOOTSTRAP
    build_std=""
    for kind in "$1/lib" "src/rust/library/std"; do
        for compiler in rustc /usr/bin/rustc; do
            sysroot=$("$compiler" --print sysroot 2>/dev/null) || continue
            [ -d "$sysroot/lib/rustlib/$kind" ] || continue
            export RUSTC=$compiler
            if [ "$kind" != "$1/lib" ]; then
                # Building the standard library is for nightly compilers, or those told that they are.
                export RUSTC_BOOTSTRAP=1
                build_std="-Zbuild-std=std,panic_abort"
            fi
            return 0
        done
    done
    return 1
}

# What runs a build that is not this machine's, by its name.
declare -A runner=()
names=""

# qemu_machine NAME TARGET ARCHITECTURE: builds for a machine that qemu-user runs.
qemu_machine() {
    local name=$1 target=$2 gcc=$3-linux-gnu-gcc qemu=qemu-$3
    local linker=CARGO_TARGET_${target^^}_LINKER
    if ! choose_compiler "$target"; then
        skip "$name" "no compiler here has a standard library for $target or its sources"
    elif ! command -v "$qemu" >/dev/null || ! command -v "$gcc" >/dev/null; then
        skip "$name" "$qemu or $gcc is not installed"
    else
        export "${linker//-/_}=$gcc"
        build "$name" release "" "$target"
        runner[$name]="$qemu -L /usr/$3-linux-gnu"
        names="$names $name"
    fi
}

# WebAssembly is built against Debian's wasi-libc unless the target brings its own. That libc is older
# than the standard library and has no function to ask for a thread: scripts/run_wasi.mjs has.
wasm_machine() {
    local target=wasm32-wasip1 libc=/usr/lib/wasm32-wasi flags="" last=""
    if ! choose_compiler "$target"; then
        skip wasm32 "no compiler here has a standard library for $target or its sources"
        return
    elif ! command -v node >/dev/null; then
        skip wasm32 "Node.js is not installed"
        return
    elif [ -n "$build_std" ]; then
        if ! [ -f "$libc/crt1-command.o" ] || ! command -v wasm-ld-22 >/dev/null; then
            skip wasm32 "wasi-libc or wasm-ld-22 is not installed"
            return
        fi
        flags="-C linker=wasm-ld-22 -C link-self-contained=no -L native=$libc"
        flags="$flags -C link-arg=$libc/crt1-command.o -C link-arg=-lc"
        last="-Clink-arg=--allow-undefined"
    fi
    build wasm32 release "$flags" "$target" .wasm "$last"
    runner[wasm32]="node --no-warnings scripts/run_wasi.mjs"
    names="$names wasm32"
}

# compare NAME PATTERN ARGUMENT...: runs a build and compares the lines that match PATTERN with
# those of the first variant.
variants=0
compare() {
    local name=$1 pattern=$2
    shift 2
    local label="$name $*" lines="$home/lines" began=$SECONDS
    # A runner is a command and its arguments.
    # shellcheck disable=SC2086
    local status=0 note=""
    ${runner[$name]:-} "$home/$name" "$@" >"$lines" || status=$?
    # Node.js 20 often crashes when the program has ended and all is printed. Every line is compared
    # below, so that an earlier crash is a difference.
    if [ "$status" -eq 139 ] && [ "$name" = wasm32 ]; then
        note="; Node.js crashed after the last line"
    elif [ "$status" -ne 0 ]; then
        echo "determinism: \`$label\` ended with status $status" >&2
        exit 1
    fi
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
    echo "agrees: $label, last root $(grep ' root ' "$lines" | tail -n 1 | cut -d ' ' -f 4 | cut -c 1-16) ($((SECONDS - began)) s)$note"
}

# The build that people and tests use, where they have it.
began=$SECONDS
cargo build --quiet --locked --release -p fedledger-contract --example state_roots
cp target/release/examples/state_roots "$home/release"
echo "built: release ($((SECONDS - began)) s)"
# The dev profile, and other target CPUs as far as this one can run them.
build dev dev ""
names="release dev"
has_flags() {
    local flag
    for flag in "$@"; do
        grep -qw "$flag" /proc/cpuinfo 2>/dev/null || return 1
    done
}
if has_flags avx2 bmi2 fma; then
    build release-v3 release "-C target-cpu=x86-64-v3"
    names="$names release-v3"
fi
if has_flags avx512f avx512bw avx512cd avx512dq avx512vl; then
    build release-v4 release "-C target-cpu=x86-64-v4"
    names="$names release-v4"
fi

for machine in $machines; do
    case $machine in
    aarch64) qemu_machine aarch64 aarch64-unknown-linux-gnu aarch64 ;;
    s390x) qemu_machine s390x s390x-unknown-linux-gnu s390x ;;
    wasm32) wasm_machine ;;
    # The build for this machine on a CPU that has no AVX: other vectors are chosen when it runs.
    x86-64-old)
        if [ "$(uname -m)" != x86_64 ] || ! command -v qemu-x86_64 >/dev/null; then
            skip x86-64-old "this machine is another or qemu-x86_64 is not installed"
        else
            cp "$home/release" "$home/x86-64-old"
            runner[x86-64-old]="qemu-x86_64 -cpu Nehalem"
            names="$names x86-64-old"
        fi
        ;;
    *)
        echo "determinism: there is no machine $machine" >&2
        exit 2
        ;;
    esac
done

first="release --threads 1"
for name in $names; do
    compare "$name" . --threads 1
    compare "$name" ' (decision|settled) ' --threads 1 --shuffle 1
    # WebAssembly has one thread.
    if [ "$name" != wasm32 ]; then
        compare "$name" . --threads 2
        compare "$name" ' (decision|settled) ' --threads 2 --shuffle 2
    fi
done
heights=$(grep -c ' root ' "$home/expected")
echo "determinism: $variants variants agree on $heights heights ($SECONDS s); the last root is"
grep ' root ' "$home/expected" | tail -n 1
