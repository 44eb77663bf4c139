//! Dividing an amount so that no unit of it is lost.

use bigdecimal::BigDecimal as Decimal;
use bigdecimal::num_bigint::BigInt;

use super::rounding::DIVISION_DECIMALS;

/// `count` parts that sum to `total`: all but the last are `total / count` cut at 20 decimals toward zero, the last
/// is what is left. No part has the other sign. `count` is not zero.
#[must_use]
pub fn allocate(total: &Decimal, count: usize) -> Vec<Decimal> {
    allocate_at(total, count, i64::from(DIVISION_DECIMALS))
}

/// Like [`allocate`] in whole units: the last part takes the remainder, and any fraction that `total` has.
#[must_use]
pub fn allocate_whole(total: &Decimal, count: usize) -> Vec<Decimal> {
    allocate_at(total, count, 0)
}

/// Toward zero, because rounding up could take more than there is: 5 over 10 parts would be nine ones and minus four.
fn allocate_at(total: &Decimal, count: usize, decimals: i64) -> Vec<Decimal> {
    let (digits, scale) = total.as_bigint_and_scale();
    let shift = u32::try_from((decimals - scale).unsigned_abs()).expect("scales of money are small");
    let power = BigInt::from(10).pow(shift);
    let quotient = if decimals < scale {
        digits.as_ref() / (power * BigInt::from(count))
    } else {
        digits.as_ref() * power / BigInt::from(count)
    };
    let part = Decimal::new(quotient, decimals).normalized();
    let last = total - &part * Decimal::from(BigInt::from(count - 1));
    let mut parts = vec![part; count - 1];
    parts.push(last.normalized());
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::{is_negative, is_positive, parse_decimal, plain, zero};

    fn shown(parts: &[Decimal]) -> Vec<String> {
        parts.iter().map(plain).collect()
    }

    #[test]
    fn contracts_17_distribution() {
        let total = parse_decimal("100000").expect("a number");
        let third = "33333.33333333333333333333";
        assert_eq!(shown(&allocate(&total, 3)), [third, third, "33333.33333333333333333334"]);
        assert_eq!(shown(&allocate_whole(&total, 3)), ["33333", "33333", "33334"]);
    }

    #[test]
    fn the_last_part_takes_what_is_left() {
        let cases: [(&str, usize, &[&str]); 6] = [
            ("5", 4, &["1", "1", "1", "2"]),
            ("5", 10, &["0", "0", "0", "0", "0", "0", "0", "0", "0", "5"]),
            ("-100", 3, &["-33", "-33", "-34"]),
            ("100.5", 2, &["50", "50.5"]),
            ("0", 2, &["0", "0"]),
            ("1e-30", 1, &["0.000000000000000000000000000001"]),
        ];
        for (total, count, parts) in cases {
            let total = parse_decimal(total).expect("a number");
            assert_eq!(shown(&allocate_whole(&total, count)), parts, "{total} / {count}");
        }
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole(mantissa: i128, scale in -5_i64..50, count in 1_usize..400) {
            let total = Decimal::new(mantissa.into(), scale);
            for parts in [allocate(&total, count), allocate_whole(&total, count)] {
                prop_assert_eq!(parts.len(), count);
                prop_assert_eq!(parts.iter().fold(zero(), |sum, part| sum + part), total.clone());
                let (below, above) = (parts.iter().any(is_negative), parts.iter().any(is_positive));
                let other_sign = if is_negative(&total) { above } else { below };
                prop_assert!(!other_sign);
                prop_assert!(parts[..count - 1].windows(2).all(|pair| pair[0] == pair[1]));
            }
        }
    }
}
