//! What each model can do: the table `assets/models.toml`, and what servers have refused since the program began.
//!
//! Owns the choice of a dialect. Must never be asked for a price: that is the ledger's table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use thiserror::Error;

use crate::config::ProviderName;

/// The table as it is shipped.
const TABLE: &str = include_str!("../../assets/models.toml");

/// How a model is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// Not at all.
    None,
    /// With a number of tokens.
    Budget,
    /// Either way; adaptive is used.
    Both,
    /// With an effort.
    Adaptive,
    /// With a level.
    Level,
}

/// The least thinking that a model can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Least {
    /// So many tokens.
    Tokens(u32),
    /// This level.
    Level(String),
}

/// What a model can do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    provider: String,
    starts_with: String,
    /// How it is asked to think.
    pub thinking: Thinking,
    /// What it is asked for where no thinking is needed; none to leave that to it.
    #[serde(default)]
    pub least: Option<Least>,
    /// Whether its answer can be held to a schema.
    pub structured: bool,
    /// Most tokens of an answer.
    pub max_output: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    quick: String,
    deep: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[expect(dead_code, reason = "for people")]
    as_of: String,
    default: HashMap<String, Defaults>,
    model: Vec<Capability>,
}

/// A table that cannot be read.
#[derive(Debug, Error)]
#[error("the table of models cannot be used: {0}")]
pub struct BadTable(String);

/// The table, with what was learnt. Clones share what they learn.
#[derive(Debug, Clone)]
pub struct Capabilities {
    table: Arc<Table>,
    learnt: Arc<Mutex<HashMap<(ProviderName, String), Capability>>>,
}

/// What a server would not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The way in which it was asked to think.
    Thinking,
    /// A schema for its answer.
    Structure,
}

impl Capabilities {
    /// The shipped table.
    ///
    /// # Errors
    /// Where it is broken.
    pub fn shipped() -> Result<Self, BadTable> {
        let table: Table = toml::from_str(TABLE).map_err(|err| BadTable(err.to_string()))?;
        for name in ProviderName::ALL.iter().filter(|name| **name != ProviderName::Rules) {
            let has_any = |row: &Capability| row.provider == name.as_str() && row.starts_with.is_empty();
            if !table.model.iter().any(has_any) {
                return Err(BadTable(format!("{name} has no row for any model")));
            }
        }
        Ok(Self { table: Arc::new(table), learnt: Arc::default() })
    }

    /// What a model can do.
    pub fn of(&self, provider: ProviderName, model: &str) -> Capability {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = learnt.get(&(provider, model.to_owned())) {
            return known.clone();
        }
        drop(learnt);
        // A server behind a gateway may put a maker's name before: `anthropic/claude-…`.
        let bare = model.rsplit('/').next().unwrap_or(model);
        let rows = self.table.model.iter().filter(|row| row.provider == provider.as_str());
        let fitting = rows.filter(|row| bare.starts_with(&row.starts_with));
        fitting.max_by_key(|row| row.starts_with.len()).cloned().unwrap_or(Capability {
            provider: provider.as_str().to_owned(),
            starts_with: String::new(),
            thinking: Thinking::None,
            least: None,
            structured: false,
            max_output: 8_192,
        })
    }

    /// A server refused something: the next request to this model goes without it. Returns whether there is another way to ask.
    pub fn learn(&self, provider: ProviderName, model: &str, refused: Refused) -> bool {
        let mut now = self.of(provider, model);
        match refused {
            Refused::Structure if now.structured => now.structured = false,
            Refused::Thinking => match now.thinking {
                Thinking::Both | Thinking::Budget if provider == ProviderName::Anthropic => {
                    now.thinking = if now.thinking == Thinking::Both { Thinking::Budget } else { Thinking::Adaptive };
                }
                Thinking::None => return false,
                _ => {
                    now.thinking = Thinking::None;
                    now.least = None;
                }
            },
            Refused::Structure => return false,
        }
        tracing::warn!(%provider, model, ?refused, "a server does not take what the table of models says; asking without");
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.insert((provider, model.to_owned()), now);
        true
    }

    /// The model that is asked where nobody names one; none for a provider whose models are unknown.
    pub fn default_model(&self, provider: ProviderName, is_deep: bool) -> Option<&str> {
        let defaults = self.table.default.get(provider.as_str())?;
        Some(if is_deep { &defaults.deep } else { &defaults.quick })
    }
}

/// How much effort a budget of thinking tokens is worth, where a model takes an effort: the founding 10,000 are `high`, which is what
/// most of those models do by themselves.
pub fn effort(budget: Option<u32>) -> &'static str {
    match budget {
        None | Some(0..=2_000) => "low",
        Some(2_001..=6_000) => "medium",
        Some(6_001..=24_000) => "high",
        Some(24_001..=64_000) => "xhigh",
        Some(_) => "max",
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("claude-opus-4-20250514", Thinking::Budget, false)]
    #[case("claude-opus-4-5-20251101", Thinking::Budget, true)]
    #[case("claude-haiku-4-5-20251001", Thinking::Budget, true)]
    #[case("claude-opus-4-6", Thinking::Both, true)]
    #[case("claude-opus-4-7", Thinking::Adaptive, true)]
    #[case("claude-opus-5-5", Thinking::Adaptive, true)]
    #[case("claude-fable-5-2", Thinking::Adaptive, true)]
    #[case("anthropic/claude-opus-4-6", Thinking::Both, true)]
    #[case("claude-3-5-haiku-latest", Thinking::None, false)]
    fn the_dialect_of_each_claude(#[case] model: &str, #[case] thinking: Thinking, #[case] structured: bool) {
        let known = Capabilities::shipped().unwrap().of(ProviderName::Anthropic, model);
        assert_eq!((known.thinking, known.structured), (thinking, structured));
    }

    #[test]
    fn the_least_thinking_of_each_gemini() {
        let table = Capabilities::shipped().unwrap();
        let least = |model| table.of(ProviderName::Gemini, model).least;
        assert_eq!(least("gemini-2.5-flash"), Some(Least::Tokens(0)));
        assert_eq!(least("gemini-2.5-pro"), Some(Least::Tokens(128)));
        assert_eq!(least("gemini-3.5-flash-lite"), Some(Least::Level("MINIMAL".to_owned())));
        assert_eq!(least("gemini-3.1-pro-preview"), Some(Least::Level("LOW".to_owned())));
        assert_eq!(least("gemini-2.0-pro-exp"), None);
    }

    #[test]
    fn what_a_server_refuses_is_left_out_from_then_on() {
        let table = Capabilities::shipped().unwrap();
        let (name, model) = (ProviderName::Anthropic, "claude-opus-4-6");
        let thinking = || table.of(name, model).thinking;
        for expected in [Thinking::Budget, Thinking::Adaptive, Thinking::None] {
            assert!(table.clone().learn(name, model, Refused::Thinking));
            assert_eq!(thinking(), expected);
        }
        assert!(!table.learn(name, model, Refused::Thinking), "there is no other way left");
        assert!(table.learn(name, model, Refused::Structure));
        assert!(!table.learn(name, model, Refused::Structure));
        assert_eq!(table.of(name, "claude-opus-4-7").thinking, Thinking::Adaptive, "others are not touched");
    }

    #[test]
    fn every_provider_but_the_compatible_server_has_default_models() {
        let table = Capabilities::shipped().unwrap();
        for name in [ProviderName::Anthropic, ProviderName::Gemini] {
            for is_deep in [true, false] {
                let model = table.default_model(name, is_deep).unwrap();
                assert!(table.of(name, model).structured, "{model}");
            }
        }
        assert_eq!(table.default_model(ProviderName::Openai, true), None);
    }

    #[test]
    fn the_founding_budget_is_high_effort() {
        assert_eq!(
            [None, Some(0), Some(4_000), Some(10_000), Some(30_000), Some(100_000)].map(effort),
            ["low", "low", "medium", "high", "xhigh", "max"]
        );
    }
}
