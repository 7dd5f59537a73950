//! Instruction sets, chosen when the program runs. All of them compute the same integers.

use pulp::{Arch, WithSimd};

/// Runs a kernel with the widest vectors that this machine has.
///
/// A kernel and all that it calls are `#[inline(always)]`: what is not inlined is compiled for the
/// oldest machine of the target.
#[inline]
pub(super) fn run<K: WithSimd>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}

/// Every instruction set that this machine has, for tests that they agree.
#[cfg(test)]
pub(super) fn all() -> Vec<Arch> {
    #[cfg(target_arch = "x86_64")]
    {
        let v3 = pulp::x86::V3::try_new().map(Arch::V3);
        let v4 = pulp::x86::V4::try_new().map(Arch::V4);
        [Some(Arch::Scalar), v3, v4].into_iter().flatten().collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    vec![Arch::new()]
}
