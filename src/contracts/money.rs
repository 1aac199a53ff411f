//! Money: whole billionths of a dollar (nano-dollars), so that sums are exact; how amounts are read and shown.
//!
//! Must never count in floating point: a float is only how a message writes an amount.

use std::fmt::Write as _;

/// Nano-dollars of a dollar.
pub const DOLLAR: u64 = 1_000_000_000;

/// An amount that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is no amount of dollars: {reason}")]
pub struct BadAmount {
    /// What was given, cut and made harmless.
    pub shown: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads `5`, `$5`, `7.50` or `0.000000001`, exactly.
///
/// # Errors
/// Where it is none: negative, with more than nine decimals, or more than nine billion dollars.
pub fn parse_usd(text: &str) -> Result<u64, BadAmount> {
    let bad = |reason| BadAmount { shown: super::untrusted::sanitize_line(text, 40), reason };
    let digits = text.trim();
    let digits = digits.strip_prefix('$').unwrap_or(digits).replace('_', "");
    let (whole, decimals) = digits.split_once('.').unwrap_or((&digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(decimals) || digits.ends_with('.') {
        return Err(bad("write it like 5 or 7.50"));
    }
    if decimals.len() > 9 {
        return Err(bad("it has more than nine decimals"));
    }
    format!("{whole}{decimals:0<9}")
        .parse::<u64>()
        .ok()
        .filter(|nano| i64::try_from(*nano).is_ok())
        .ok_or_else(|| bad("it is too large"))
}

/// The nano-dollars of an amount that a message writes as a number, rounded to the nearest.
///
/// # Errors
/// Where it is negative, too large or no number.
pub fn nano_of(usd: f64) -> Result<u64, BadAmount> {
    parse_usd(&format!("{usd:.9}"))
}

/// The amount as messages write it.
pub fn usd_of(nano: u64) -> f64 {
    format!("{}.{:09}", nano / DOLLAR, nano % DOLLAR).parse().unwrap_or(f64::MAX)
}

/// For people: `$5.00`; where it is no whole number of cents, to a hundredth of a cent (`$0.0253`, half up).
pub fn show_usd(nano: u64) -> String {
    if nano.is_multiple_of(DOLLAR / 100) {
        return format!("${}.{:02}", nano / DOLLAR, nano % DOLLAR / (DOLLAR / 100));
    }
    let parts = (nano + 50_000) / 100_000;
    if parts == 0 { "<$0.0001".to_owned() } else { format!("${}.{:04}", parts / 10_000, parts % 10_000) }
}

/// Exactly, with at least two decimals: `0.025305`, `5.00`. [`parse_usd`] reads it back.
pub fn exact_usd(nano: u64) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}.{:09}", nano / DOLLAR, nano % DOLLAR);
    let kept = text.trim_end_matches('0').len().max(text.len() - 7);
    text.truncate(kept);
    text
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("5", 5_000_000_000)]
    #[case(" $7.50 ", 7_500_000_000)]
    #[case("0.000000001", 1)]
    #[case("1_000", 1_000_000_000_000)]
    #[case("0", 0)]
    fn amounts_are_read_exactly(#[case] text: &str, #[case] nano: u64) {
        assert_eq!(parse_usd(text), Ok(nano));
    }

    #[rstest]
    #[case("")]
    #[case("$")]
    #[case(".5")]
    #[case("5.")]
    #[case("-1")]
    #[case("1e3")]
    #[case("0.0000000001")]
    #[case("9223372037")]
    #[case("NaN")]
    fn what_is_no_amount_is_refused(#[case] text: &str) {
        assert!(parse_usd(text).is_err());
    }

    #[test]
    fn amounts_are_shown_to_the_cent_or_a_hundredth_of_one() {
        let shown = [0, 1, 50_000, 5_000_000_000, 25_305_000, 12_340_000_000, 999_950_000].map(show_usd);
        assert_eq!(shown, ["$0.00", "<$0.0001", "$0.0001", "$5.00", "$0.0253", "$12.34", "$1.0000"]);
        assert_eq!([5_000_000_000, 25_305_000, 1, 0].map(exact_usd), ["5.00", "0.025305", "0.000000001", "0.00"]);
    }

    #[test]
    fn numbers_of_messages_are_read_to_the_nearest_nano_dollar() {
        assert_eq!([0.1, 5.0, 0.000_000_001_4].map(|usd| nano_of(usd).unwrap()), [100_000_000, 5_000_000_000, 1]);
        assert!([f64::NAN, f64::INFINITY, -0.5, 1e18].into_iter().all(|usd| nano_of(usd).is_err()));
    }

    proptest! {
        #[test]
        fn what_is_written_exactly_reads_back(nano in 0_u64..=9_000_000_000_000_000_000) {
            prop_assert_eq!(parse_usd(&exact_usd(nano)), Ok(nano));
        }

        #[test]
        fn what_a_message_writes_reads_back(nano in 0_u64..=4_000_000_000_000_000) {
            prop_assert_eq!(nano_of(usd_of(nano)), Ok(nano));
        }
    }
}
