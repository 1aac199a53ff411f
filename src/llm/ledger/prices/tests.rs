use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::contracts::messages::Tokens;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn usage(uncached: u64, write_5m: u64, write_1h: u64, cache_read: u64, output: u64) -> Usage {
    let tokens = Tokens { uncached, cache_write: write_5m + write_1h, cache_read, output };
    Usage { tokens, cache_write_1h: write_1h }
}

fn own(text: &str) -> Prices {
    let mut prices = Prices::built_in();
    prices.add(text, "prices.toml").unwrap();
    prices
}

/// Recomputed by hand: tokens times nano-dollars a token.
#[rstest]
// 812 x 15,000 + 175 x 75,000
#[case("claude-opus-4-20250514", usage(812, 0, 0, 0, 175), 25_305_000)]
// 1,001 x 100 + 3 x 125 + 7 x 200 + 11 x 10 + 13 x 500
#[case("claude-haiku-5-5", usage(1_001, 3, 7, 11, 13), 108_485)]
// 700 x 4,000 + 300 x 200 + 120 x 20,000
#[case("claude-opus-5-5-20260922", usage(700, 0, 0, 300, 120), 5_260_000)]
// 100,000 tokens of input are not yet more than 100,000: 90,000 x 100 + 10,000 x 10
#[case("claude-haiku-5-5", usage(90_000, 0, 0, 10_000, 0), 9_100_000)]
// 100,001 are, and then the whole call costs more: 90,001 x 500 + 10,000 x 50 + 2 x 2,500
#[case("claude-haiku-5-5", usage(90_001, 0, 0, 10_000, 2), 45_505_500)]
fn costs_are_exact_to_the_nano_dollar(#[case] model: &str, #[case] usage: Usage, #[case] nano: u64) {
    assert_eq!(Prices::built_in().of("anthropic", model, day("2026-11-21")).cost(&usage), nano);
}

#[test]
fn a_cost_is_rounded_up_once_after_summing() {
    // 37.5 nano-dollars a token in each class.
    let price = r#"
        [[price]]
        provider = "openai"
        model = "m"
        valid_from = "2026-01-01"
        input = "0.0375"
        output = "0.0375"
        source = "a test"
    "#;
    let price = own(price).of("openai", "m", day("2026-11-21"));
    assert_eq!(price.cost(&usage(1, 0, 0, 0, 0)), 38, "37.5 is rounded up");
    assert_eq!(price.cost(&usage(1, 0, 0, 0, 1)), 75, "the halves are added first");
    assert_eq!(price.cost(&usage(1, 1, 1, 1, 0)), 150, "a class without a price costs what input costs");
    assert_eq!(price.cost(&usage(0, 0, 0, 0, 0)), 0);
}

#[test]
fn the_largest_counts_do_no_harm() {
    let price = Price { input: u64::MAX, output: u64::MAX, ..Price::default() };
    assert_eq!(price.cost(&usage(u64::MAX, 0, 0, 0, u64::MAX)), u64::MAX);
}

#[test]
fn the_built_in_table_is_whole() {
    let written: Written = toml::from_str(BUILT_IN).unwrap();
    assert!(written.price.len() > 20);
    for row in &written.price {
        assert!(row.source.len() > 10, "{} says where its price is from", row.model);
        let price = row.classes.read().unwrap();
        assert!(price.cache_read <= price.input && price.input <= price.output, "{}: {price:?}", row.model);
        assert!(price.input > 0 && price.input <= price.cache_write_5m, "{}: {price:?}", row.model);
        let unknown = written.unknown.as_ref().unwrap().read().unwrap();
        assert!(
            price.input <= unknown.input && price.output <= unknown.output,
            "{} is dearer than unknown ones",
            row.model
        );
    }
    let today = day("2026-11-21");
    for model in ["claude-opus-4-5-20251101", "claude-opus-5-5", "claude-haiku-4-5-20251001", "claude-sonnet-4-6"] {
        assert!(Prices::built_in().of("anthropic", model, today).is_known, "{model}");
    }
    for model in ["gemini-3-flash-preview", "gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-3.1-pro-preview"] {
        assert!(Prices::built_in().of("gemini", model, today).is_known, "{model}");
    }
}

#[test]
fn the_pattern_that_says_more_wins_and_case_does_not_matter() {
    let input = |model: &str| Prices::built_in().of("anthropic", model, day("2026-11-21")).at(0).input;
    let dollar = money::DOLLAR;
    assert_eq!(input("claude-opus-5-5"), 4 * dollar);
    assert_eq!(input("claude-opus-5"), 5 * dollar);
    assert_eq!(input("CLAUDE-OPUS-4-5-20251101"), 5 * dollar);
    assert_eq!(input("claude-opus-4-1-20250805"), 15 * dollar);
    assert_eq!(Prices::built_in().of("gemini", "gemini-3.5-flash-lite", day("2026-11-21")).at(0).output, 2_500_000_000);
}

#[test]
fn a_model_that_is_not_listed_costs_the_stated_default() {
    let prices = Prices::built_in();
    for (provider, model, on) in [
        ("openai", "gpt-x", "2026-11-21"),
        ("gemini", "claude-opus-5", "2026-11-21"),
        ("anthropic", "claude-opus-5-5-nonesuch", "2020-01-01"),
    ] {
        let price = prices.of(provider, model, day(on));
        assert!(!price.is_known);
        assert_eq!((price.at(0).input, price.at(0).output), (15 * money::DOLLAR, 75 * money::DOLLAR));
    }
    assert_eq!(ModelPrice::free().cost(&usage(1_000_000, 1, 1, 1, 1_000_000)), 0);
}

#[test]
fn the_newest_valid_price_wins_and_the_users_file_wins_over_ours() {
    let text = r#"
        [[price]]
        provider = "anthropic"
        model = "claude-opus-5-5*"
        valid_from = "2026-01-01"
        input = "3"
        output = "9"
        source = "our contract"

        [[price]]
        provider = "anthropic"
        model = "claude-opus-5-5*"
        valid_from = "2026-12-01"
        input = "2"
        output = "8"
        source = "our contract from December on"
    "#;
    let input = |on: &str| own(text).of("anthropic", "claude-opus-5-5", day(on)).at(0).input / money::DOLLAR;
    assert_eq!([input("2026-11-30"), input("2026-12-01"), input("2027-05-01")], [3, 2, 2]);
    let other = own(text).of("anthropic", "claude-opus-5", day("2026-12-01"));
    assert_eq!(other.at(0).input, 5 * money::DOLLAR, "what the user does not list stays");
}

#[test]
fn files_are_read_in_order_and_a_bad_one_is_said_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let entry = |input: &str| {
        format!(
            "[[price]]\nprovider='openai'\nmodel='m'\nvalid_from='2026-01-01'\ninput='{input}'\noutput='1'\nsource='x'\n"
        )
    };
    let absent = folder.path().join("absent.toml");
    let (first, second) = (file("1.toml", &entry("1")), file("2.toml", &entry("2")));
    let (prices, findings) = Prices::load([absent.as_path(), &first, &second]);
    assert!(findings.is_empty());
    assert_eq!(prices.of("openai", "m", day("2026-11-21")).at(0).input, 2 * money::DOLLAR);

    for (what, text) in [
        ("input", entry("minus one")),
        ("prise", "[[prise]]\n".to_owned()),
        ("source", "[[price]]\nprovider='a'\nmodel='m'\nvalid_from='2026-01-01'\ninput='1'\noutput='1'\n".to_owned()),
    ] {
        let bad = file("bad.toml", &format!("{}{text}", entry("7")));
        let (prices, findings) = Prices::load([first.as_path(), &bad]);
        assert_eq!(findings.len(), 1, "{what}");
        assert!(findings[0].what.contains("bad.toml"), "{}", findings[0].what);
        assert_eq!(prices.of("openai", "m", day("2026-11-21")).at(0).input, money::DOLLAR, "none of it is used");
    }
}
