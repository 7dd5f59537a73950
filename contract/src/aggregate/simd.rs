//! Instruction sets, chosen when the program runs. All of them compute the same integers.

use std::array::from_fn;

use pulp::bytemuck::Pod;
#[cfg(target_arch = "x86_64")]
use pulp::Simd;
use pulp::{Arch, WithSimd};

/// Runs a kernel with the widest vectors that this machine has.
///
/// A kernel and all that it calls are `#[inline(always)]`: what is not inlined is compiled for the
/// oldest machine of the target.
#[inline]
pub(crate) fn run<K: WithSimd>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}

/// Asks for the cache line of something that will be read soon, where there is an instruction for it.
/// Memory is read faster that way when rows are read side by side, a little of each: a processor
/// foresees fewer such streams than there are rows.
#[inline(always)]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    if let Some(sse) = pulp::core_arch::x86::Sse::try_new() {
        sse._mm_prefetch::<3>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Products of 16-bit numbers, added in pairs to 32-bit sums: the most multiplications that an
/// instruction does. Which numbers share a sum differs between instruction sets, what all sums of a
/// vector add up to does not.
pub(super) trait Halves: Copy {
    /// A vector of 16-bit numbers.
    type Numbers: Pod;
    /// A vector of 32-bit sums, half as many.
    type Sums: Pod;

    /// Adds `a·b`, number by number, to `sums`: two products to each.
    fn multiply_add(self, sums: Self::Sums, a: Self::Numbers, b: Self::Numbers) -> Self::Sums;
}

/// A kernel over [`Halves`].
pub(super) trait WithHalves {
    /// What it returns.
    type Output;

    /// The kernel; `#[inline(always)]`, as all that it calls.
    fn with_halves<H: Halves>(self, halves: H) -> Self::Output;
}

/// The instructions for a kernel over 16-bit numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum HalvesSet {
    #[cfg(target_arch = "x86_64")]
    DotProducts(pulp::x86::V4, DotProducts),
    #[cfg(target_arch = "x86_64")]
    V4(pulp::x86::V4),
    #[cfg(target_arch = "x86_64")]
    V3(pulp::x86::V3),
    Portable,
}

impl HalvesSet {
    /// The fastest that this machine has.
    #[inline]
    pub(super) fn best() -> Self {
        match Arch::new() {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(simd) => {
                DotProducts::try_new().map_or(Self::V4(simd), |dot| Self::DotProducts(simd, dot))
            }
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => Self::V3(simd),
            _ => Self::Portable,
        }
    }

    /// Runs a kernel.
    #[inline]
    pub(super) fn run<K: WithHalves>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::DotProducts(simd, dot) => dot.vectorize(Held { halves: simd, kernel }),
            #[cfg(target_arch = "x86_64")]
            Self::V4(simd) => simd.vectorize(Held { halves: simd, kernel }),
            #[cfg(target_arch = "x86_64")]
            Self::V3(simd) => simd.vectorize(Held { halves: simd, kernel }),
            Self::Portable => kernel.with_halves(Portable),
        }
    }

    /// All that this machine has, for tests that they agree.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut sets = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let v4 = pulp::x86::V4::try_new();
            sets.extend(pulp::x86::V3::try_new().map(Self::V3));
            sets.extend(v4.map(Self::V4));
            let both = v4.zip(DotProducts::try_new());
            sets.extend(both.map(|(simd, dot)| Self::DotProducts(simd, dot)));
        }
        sets
    }
}

#[cfg(target_arch = "x86_64")]
pulp::simd_type! {
    /// The instructions of V4 that kernels over [`Halves`] use, and the one that multiplies and adds
    /// at once, which the compiler then makes of the two.
    pub(super) struct DotProducts {
        avx: "avx",
        avx2: "avx2",
        fma: "fma",
        avx512f: "avx512f",
        avx512bw: "avx512bw",
        avx512cd: "avx512cd",
        avx512dq: "avx512dq",
        avx512vl: "avx512vl",
        avx512vnni: "avx512vnni",
    }
}

/// A kernel with the instructions that it is to use.
#[cfg(target_arch = "x86_64")]
struct Held<H, K> {
    halves: H,
    kernel: K,
}

#[cfg(target_arch = "x86_64")]
impl<H: Halves, K: WithHalves> pulp::NullaryFnOnce for Held<H, K> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        self.kernel.with_halves(self.halves)
    }
}

#[cfg(target_arch = "x86_64")]
impl Halves for pulp::x86::V4 {
    type Numbers = pulp::i16x32;
    type Sums = pulp::i32x16;

    #[inline(always)]
    fn multiply_add(self, sums: Self::Sums, a: Self::Numbers, b: Self::Numbers) -> Self::Sums {
        let products = self.avx512bw._mm512_madd_epi16(pulp::cast(a), pulp::cast(b));
        self.add_i32s(sums, pulp::cast(products))
    }
}

#[cfg(target_arch = "x86_64")]
impl Halves for pulp::x86::V3 {
    type Numbers = pulp::i16x16;
    type Sums = pulp::i32x8;

    #[inline(always)]
    fn multiply_add(self, sums: Self::Sums, a: Self::Numbers, b: Self::Numbers) -> Self::Sums {
        self.add_i32s(sums, self.multiply_wrapping_add_adjacent_i16x16(a, b))
    }
}

/// Without instructions of its own; a compiler makes vectors of it where the target has them.
#[derive(Clone, Copy)]
struct Portable;

impl Halves for Portable {
    type Numbers = [i16; 16];
    type Sums = [i32; 8];

    #[inline(always)]
    fn multiply_add(self, sums: Self::Sums, a: Self::Numbers, b: Self::Numbers) -> Self::Sums {
        let product = |at: usize| i32::from(a[at]).wrapping_mul(i32::from(b[at]));
        from_fn(|at| sums[at].wrapping_add(product(at)).wrapping_add(product(at + 8)))
    }
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
