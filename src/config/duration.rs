//! Lengths of time as people write them: `7d`, `10m`, `1h30m`, `500ms`.
//!
//! Must never read a number without a unit: `10` could be anything.

use std::fmt::Write as _;
use std::time::Duration;

/// Milliseconds of each unit, longest first.
const UNITS: [(&str, u64); 6] =
    [("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a length of time: whole numbers with units (`w`, `d`, `h`, `m`, `s`, `ms`), added up.
///
/// # Errors
/// In words, where it is something else or longer than can be counted.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refused = || {
        format!(
            "`{}` is no length of time; write numbers with units (w, d, h, m, s, ms), like `7d`, `1h30m` or `500ms`",
            text.chars().take(40).collect::<String>()
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refused());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        total = number.checked_mul(*scale).and_then(|part| total.checked_add(part)).ok_or_else(refused)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Writes a length of time so that [`parse`] reads the same again, down to milliseconds.
pub fn show(length: Duration) -> String {
    let mut rest = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    // Weeks are read, but written as days: `7d` is what people say about ages.
    for (unit, scale) in &UNITS[1..] {
        if rest >= *scale {
            // Writing into a String cannot fail.
            let _ = write!(text, "{}{unit}", rest / scale);
            rest %= scale;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("7d", 7 * 86_400_000, "7d")]
    #[case("2w", 14 * 86_400_000, "14d")]
    #[case("10m", 600_000, "10m")]
    #[case("500ms", 500, "500ms")]
    #[case("1h30m", 5_400_000, "1h30m")]
    #[case(" 1d 12h ", 129_600_000, "1d12h")]
    #[case("90s", 90_000, "1m30s")]
    #[case("0s", 0, "0s")]
    fn reads_and_writes(#[case] text: &str, #[case] ms: u64, #[case] shown: &str) {
        let length = parse(text).unwrap();
        assert_eq!(length, Duration::from_millis(ms));
        assert_eq!(show(length), shown);
        assert_eq!(parse(shown), Ok(length));
    }

    #[rstest]
    #[case("")]
    #[case("10")]
    #[case("d")]
    #[case("10 minutes")]
    #[case("-5s")]
    #[case("1.5h")]
    #[case("99999999999999999999d")]
    #[case("18446744073709551615w")]
    fn refuses(#[case] text: &str) {
        assert!(parse(text).unwrap_err().contains("no length of time"), "{text}");
    }
}
