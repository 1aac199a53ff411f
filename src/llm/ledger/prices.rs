//! Prices: what a token of each class costs, by provider and model, as dated data.
//!
//! Owns the table (`assets/prices.toml`, and the user's own `prices.toml`) and what a call costs by it. Must never guess low: a
//! model that is not listed costs the table's stated default, and that is said.

use std::path::Path;

use chrono::NaiveDate;
use serde::Deserialize;

use super::usage::Usage;
use crate::bus::{Finding, Level};
use crate::contracts::money;

/// The prices that the program comes with.
const BUILT_IN: &str = include_str!("../../../assets/prices.toml");

/// Tokens that a price is for.
const MILLION: u128 = 1_000_000;

/// Nano-dollars for a million tokens of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// Input that no cache had.
    pub input: u64,
    /// Written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Output, reasoning included.
    pub output: u64,
}

impl Price {
    /// What this usage costs, in nano-dollars: summed exactly over the classes, and then rounded up to a whole one, once.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let long = usage.cache_write_1h.min(usage.tokens.cache_write);
        let millionths: u128 = [
            (usage.tokens.uncached, self.input),
            (usage.tokens.cache_write - long, self.cache_write_5m),
            (long, self.cache_write_1h),
            (usage.tokens.cache_read, self.cache_read),
            (usage.tokens.output, self.output),
        ]
        .into_iter()
        .map(|(tokens, price)| u128::from(tokens) * u128::from(price))
        .fold(0, u128::saturating_add);
        u64::try_from(millionths.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }
}

/// What a model costs: a price, and perhaps higher ones for long prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrice {
    /// From how much input on which price holds, ascending; the first holds from none on.
    tiers: Vec<(u64, Price)>,
    /// Whether the model is listed; otherwise the price is the stated default.
    pub is_known: bool,
}

impl ModelPrice {
    /// Costs nothing.
    pub fn free() -> Self {
        Self { tiers: Vec::new(), is_known: true }
    }

    /// The price that holds for so much input.
    pub fn at(&self, input: u64) -> Price {
        let holds = self.tiers.iter().rev().find(|(over, _)| *over == 0 || input > *over);
        holds.map(|(_, price)| *price).unwrap_or_default()
    }

    /// What this usage costs, in nano-dollars.
    pub fn cost(&self, usage: &Usage) -> u64 {
        self.at(usage.input()).cost(usage)
    }

    /// The most that so much input and output can cost: all input at the dearer of its price and that of a five-minute cache
    /// write.
    pub fn most(&self, input: u64, output: u64) -> u64 {
        let price = self.at(input);
        let dearest = Price { input: price.input.max(price.cache_write_5m), ..price };
        let tokens = crate::contracts::messages::Tokens { uncached: input, output, ..Default::default() };
        dearest.cost(&tokens.into())
    }
}

/// A file of prices that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct BadPrices {
    /// The file.
    pub file: String,
    /// What is wrong with it, and where.
    pub what: String,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Prices {
    entries: Vec<Entry>,
    unknown: Price,
}

#[derive(Debug, Clone)]
struct Entry {
    provider: String,
    model: String,
    valid_from: NaiveDate,
    over: u64,
    price: Price,
    /// 0 for the built-in table; a later file has a higher one.
    file: usize,
}

impl Prices {
    /// The prices that the program comes with.
    pub fn built_in() -> Self {
        let mut prices = Self { entries: Vec::new(), unknown: Price::default() };
        // A test reads the built-in file, so that this cannot fail in a program that was tested.
        if let Err(err) = prices.add(BUILT_IN, "assets/prices.toml") {
            tracing::error!(%err, "the built-in prices cannot be read");
            prices.unknown = Price { input: u64::MAX, output: u64::MAX, ..Price::default() };
        }
        prices
    }

    /// The built-in prices, and those of the files that are there, the later over the earlier. A file that cannot be used is left
    /// out, and said.
    pub fn load<'a>(files: impl IntoIterator<Item = &'a Path>) -> (Self, Vec<Finding>) {
        let mut prices = Self::built_in();
        let mut findings = Vec::new();
        for path in files {
            let read = match std::fs::read_to_string(path) {
                Ok(text) => prices.add(&text, &path.display().to_string()),
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(err) => Err(BadPrices { file: path.display().to_string(), what: err.to_string() }),
            };
            if let Err(err) = read {
                findings.push(Finding {
                    level: Level::Error,
                    what: format!("prices are not read from {err}"),
                    fix: "Write it as the table in `assets/prices.toml`; until then the prices without it hold"
                        .to_owned(),
                });
            }
        }
        (prices, findings)
    }

    /// Adds a file's prices over those that are there.
    ///
    /// # Errors
    /// Where any of it cannot be used; then none of it is.
    pub fn add(&mut self, text: &str, file: &str) -> Result<(), BadPrices> {
        let bad = |what: String| BadPrices { file: file.to_owned(), what };
        let written: Written = toml::from_str(text).map_err(|err| bad(err.message().to_owned()))?;
        let number = self.entries.iter().map(|entry| entry.file + 1).max().unwrap_or(0);
        let mut entries = Vec::new();
        for (at, row) in written.price.iter().enumerate() {
            let named = |what: String| bad(format!("price {} ({} {}): {what}", at + 1, row.provider, row.model));
            if row.source.trim().is_empty() {
                return Err(named("its source is missing".to_owned()));
            }
            entries.push(Entry {
                provider: row.provider.clone(),
                model: row.model.to_ascii_lowercase(),
                valid_from: row.valid_from,
                over: row.over,
                price: row.classes.read().map_err(named)?,
                file: number,
            });
        }
        if let Some(unknown) = &written.unknown {
            self.unknown = unknown.read().map_err(|what| bad(format!("unknown: {what}")))?;
        }
        self.entries.extend(entries);
        Ok(())
    }

    /// What a model costs on a day (UTC). Of the entries that match and are valid by then, one of a later file wins, then the one whose pattern
    /// says more, then the newest.
    pub fn of(&self, provider: &str, model: &str, day: NaiveDate) -> ModelPrice {
        let model = model.to_ascii_lowercase();
        let matching = || {
            self.entries
                .iter()
                .filter(|entry| entry.provider == provider && entry.valid_from <= day && fits(&entry.model, &model))
        };
        let rank = |entry: &Entry| (entry.file, entry.model.trim_end_matches('*').len(), entry.valid_from);
        let Some(best) = matching().map(rank).max() else {
            return ModelPrice { tiers: vec![(0, self.unknown)], is_known: false };
        };
        let mut tiers: Vec<_> =
            matching().filter(|entry| rank(entry) == best).map(|entry| (entry.over, entry.price)).collect();
        tiers.sort_by_key(|(over, _)| *over);
        ModelPrice { tiers, is_known: true }
    }
}

/// Whether a model is meant by a pattern: a name, or the beginning of one with `*` at its end.
fn fits(pattern: &str, model: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == model, |beginning| model.starts_with(beginning))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    price: Vec<Row>,
    unknown: Option<Classes>,
}

#[derive(Deserialize)]
struct Row {
    provider: String,
    model: String,
    valid_from: NaiveDate,
    #[serde(default)]
    over: u64,
    /// Where the price is from, and when it was read; for people.
    source: String,
    #[serde(flatten)]
    classes: Classes,
}

/// Dollars for a million tokens, as texts, so that they are exact.
#[derive(Deserialize)]
struct Classes {
    input: String,
    /// None, here and below: as `input`.
    cache_write_5m: Option<String>,
    cache_write_1h: Option<String>,
    cache_read: Option<String>,
    output: String,
}

impl Classes {
    /// A class that has no price of its own costs what input costs.
    fn read(&self) -> Result<Price, String> {
        let amount = |text: &String| money::parse_usd(text).map_err(|err| err.to_string());
        let input = amount(&self.input)?;
        let or_input = |text: &Option<String>| text.as_ref().map_or(Ok(input), amount);
        Ok(Price {
            input,
            cache_write_5m: or_input(&self.cache_write_5m)?,
            cache_write_1h: or_input(&self.cache_write_1h)?,
            cache_read: or_input(&self.cache_read)?,
            output: amount(&self.output)?,
        })
    }
}

#[cfg(test)]
mod tests;
