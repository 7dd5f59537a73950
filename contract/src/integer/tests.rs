use super::*;

/// A generator for tests: xorshift64*, no dependency and no float.
fn stream(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

#[test]
fn halves_go_to_the_even_side() {
    let cases = [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (1, 2, 0), (-1, 2, 0), (3, 2, 2)];
    for (numerator, denominator, expected) in cases {
        assert_eq!(div_half_even(numerator, denominator), expected, "{numerator}/{denominator}");
    }
    assert_eq!(div_half_even(-4, 3), -1);
    assert_eq!(div_half_even(-5, 3), -2);
}

#[test]
fn count_divider_is_exact_for_every_count_and_all_kinds_of_sums() {
    let mut next = stream(7);
    for count in 1..=128usize {
        let divider = CountDivider::new(count);
        let limit = count as i32 * ((1 << 23) - 1);
        let mut sums = vec![0, 1, -1, limit, -limit, limit - 1, 1 - limit];
        sums.extend((-300..300).filter(|sum: &i32| sum.abs() <= limit));
        sums.extend((0..2_000).map(|_| (next() % (2 * limit as u64 + 1)) as i32 - limit));
        // Around multiples of the count and their halves, where rounding turns.
        for _ in 0..500 {
            let near = ((next() % (1 << 24)) as i64 - (1 << 23)) * count as i64 / 2;
            for sum in [near - 1, near, near + 1] {
                if sum.abs() <= i64::from(limit) {
                    sums.push(sum as i32);
                }
            }
        }
        for sum in sums {
            let expected = div_half_even(i128::from(sum), count as i128);
            assert_eq!(i128::from(divider.divide(sum)), expected, "{sum}/{count}");
        }
    }
}

#[test]
fn weight_divider_is_exact_at_its_edges_and_inside() {
    let mut next = stream(9);
    let mut totals = vec![1, 2, 3, WEIGHT_TOTAL_FAST_MAX, WEIGHT_TOTAL_FAST_MAX - 1, 1 << 38];
    totals.extend((0..300).map(|_| 1 + next() % (1 << (1 + next() % 38))));
    for total in totals {
        let divider = WeightDivider::new(total);
        let limit = i128::from(total) * ((1 << 23) - 1);
        let mut sums = vec![0, limit, -limit, i128::from(total) / 2, -i128::from(total) / 2];
        for _ in 0..300 {
            let near = (i128::from(next() % (1 << 24)) - (1 << 23)) * i128::from(total) / 2;
            sums.extend([near - 1, near, near + 1, near + i128::from(next() % total)]);
        }
        for sum in sums.into_iter().filter(|sum| sum.abs() <= limit) {
            let expected = div_half_even(sum, i128::from(total));
            assert_eq!(i128::from(divider.divide(sum as i64)), expected, "{sum}/{total}");
        }
    }
}

#[test]
fn wide_products_agree_with_schoolbook_by_bytes() {
    let mut next = stream(11);
    let mut operands = vec![0, 1, u128::MAX, u128::from(u64::MAX), 1 << 64];
    operands
        .extend((0..60).map(|_| (u128::from(next()) << 64 | u128::from(next())) >> (next() % 128)));
    for &a in &operands {
        for &b in &operands {
            let mut bytes = [0u32; 33];
            for (i, x) in a.to_le_bytes().into_iter().enumerate() {
                let mut carry = 0;
                for (j, y) in b.to_le_bytes().into_iter().enumerate() {
                    let sum = bytes[i + j] + u32::from(x) * u32::from(y) + carry;
                    bytes[i + j] = sum & 255;
                    carry = sum >> 8;
                }
                bytes[i + 16] += carry;
            }
            let (high, low) = wide_mul(a, b);
            let both = low.to_le_bytes().into_iter().chain(high.to_le_bytes());
            assert!(both.zip(bytes).all(|(x, y)| u32::from(x) == y), "{a} * {b}");
        }
    }
}

#[test]
fn medians_of_even_counts_round_half_to_even() {
    assert_eq!(median_u64(&[]), None);
    assert_eq!(median_u64(&[9]), Some(9));
    assert_eq!(median_u64(&[3, 1, 2]), Some(2));
    assert_eq!(median_u64(&[4, 1, 2, 3]), Some(2));
    assert_eq!(median_u64(&[1, 4, 3, 9]), Some(4));
    assert_eq!(median_u128(&[u128::MAX, u128::MAX - 1]), Some(u128::MAX - 1));
}

#[test]
fn roots_are_rounded_down() {
    assert_eq!(isqrt_u128(u128::MAX), u64::MAX);
    for root in [0u64, 1, 2, 3, 1 << 31, (1 << 32) + 1, u64::MAX - 1] {
        let square = u128::from(root) * u128::from(root);
        assert_eq!(isqrt_u128(square), root);
        assert_eq!(isqrt_u128(square + 2 * u128::from(root)), root);
    }
}

#[test]
fn gcd_of_weights() {
    assert_eq!(gcd(0, 7), 7);
    assert_eq!(gcd(12, 18), 6);
}
