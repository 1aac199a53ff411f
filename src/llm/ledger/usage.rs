//! What a call used, as each provider counts it, in one exclusive form.
//!
//! Owns the conversions. Anthropic's input excludes what the cache had; that of Google's and `OpenAI`'s shapes includes it. Must
//! never put a token into two classes.

use serde::{Deserialize, Serialize};

use crate::contracts::messages::Tokens;

/// Tokens by class, with what the price of a cache write depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// By class.
    pub tokens: Tokens,
    /// How many of [`Tokens::cache_write`] were written to be kept for an hour; the others are kept for five minutes.
    pub cache_write_1h: u64,
}

impl Usage {
    /// All that the model read.
    pub fn input(&self) -> u64 {
        self.tokens.uncached.saturating_add(self.tokens.cache_write).saturating_add(self.tokens.cache_read)
    }

    /// All classes together.
    pub fn total(&self) -> u64 {
        self.input().saturating_add(self.tokens.output)
    }
}

impl From<Tokens> for Usage {
    /// Cache writes count as kept for five minutes.
    fn from(tokens: Tokens) -> Self {
        Self { tokens, cache_write_1h: 0 }
    }
}

/// `usage` of Anthropic's Messages API. In a stream it comes with `message_start` and, cumulative, with each `message_delta`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnthropicUsage {
    /// Input, without what was written to the cache or read from it.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// Written to the cache.
    #[serde(default)]
    pub cache_creation_input_tokens: Option<u64>,
    /// The same by how long it is kept.
    #[serde(default)]
    pub cache_creation: Option<AnthropicCacheCreation>,
    /// Read from the cache.
    #[serde(default)]
    pub cache_read_input_tokens: Option<u64>,
    /// Output, thinking included.
    #[serde(default)]
    pub output_tokens: Option<u64>,
}

/// Cache writes by how long they are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnthropicCacheCreation {
    /// For five minutes.
    #[serde(default)]
    pub ephemeral_5m_input_tokens: u64,
    /// For an hour.
    #[serde(default)]
    pub ephemeral_1h_input_tokens: u64,
}

impl AnthropicUsage {
    /// What a later event of the same stream says takes the place of what an earlier one said: the counts are cumulative.
    pub fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
    }
}

impl From<AnthropicUsage> for Usage {
    fn from(usage: AnthropicUsage) -> Self {
        let split = usage.cache_creation.unwrap_or_default();
        let by_length = split.ephemeral_5m_input_tokens.saturating_add(split.ephemeral_1h_input_tokens);
        let cache_write = usage.cache_creation_input_tokens.unwrap_or(0).max(by_length);
        let tokens = Tokens {
            uncached: usage.input_tokens.unwrap_or(0),
            cache_write,
            cache_read: usage.cache_read_input_tokens.unwrap_or(0),
            output: usage.output_tokens.unwrap_or(0),
        };
        Self { tokens, cache_write_1h: split.ephemeral_1h_input_tokens.min(cache_write) }
    }
}

/// `usage` of a chat completion, as `OpenAI` and servers compatible with it write it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAiUsage {
    /// All input, cached or not.
    #[serde(default)]
    pub prompt_tokens: Option<u64>,
    /// Output, reasoning included.
    #[serde(default)]
    pub completion_tokens: Option<u64>,
    /// Parts of the input.
    #[serde(default)]
    pub prompt_tokens_details: Option<OpenAiPromptDetails>,
}

/// Parts of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAiPromptDetails {
    /// Read from the cache.
    #[serde(default)]
    pub cached_tokens: Option<u64>,
}

impl From<OpenAiUsage> for Usage {
    fn from(usage: OpenAiUsage) -> Self {
        let prompt = usage.prompt_tokens.unwrap_or(0);
        let cached = usage.prompt_tokens_details.unwrap_or_default().cached_tokens.unwrap_or(0).min(prompt);
        let output = usage.completion_tokens.unwrap_or(0);
        Tokens { uncached: prompt - cached, cache_write: 0, cache_read: cached, output }.into()
    }
}

/// `usageMetadata` of Google's generateContent; in a stream the last one counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeminiUsage {
    /// The prompt, cached or not.
    #[serde(default)]
    pub prompt_token_count: Option<u64>,
    /// What of the prompt was cached.
    #[serde(default)]
    pub cached_content_token_count: Option<u64>,
    /// The answer, without thoughts.
    #[serde(default)]
    pub candidates_token_count: Option<u64>,
    /// Thoughts; they cost as output does.
    #[serde(default)]
    pub thoughts_token_count: Option<u64>,
    /// What tools put into the prompt.
    #[serde(default)]
    pub tool_use_prompt_token_count: Option<u64>,
}

impl From<GeminiUsage> for Usage {
    fn from(usage: GeminiUsage) -> Self {
        let prompt = usage.prompt_token_count.unwrap_or(0);
        let cached = usage.cached_content_token_count.unwrap_or(0).min(prompt);
        let tools = usage.tool_use_prompt_token_count.unwrap_or(0);
        let output = usage.candidates_token_count.unwrap_or(0).saturating_add(usage.thoughts_token_count.unwrap_or(0));
        Tokens { uncached: (prompt - cached).saturating_add(tools), cache_write: 0, cache_read: cached, output }.into()
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::{from_value, json};

    use super::*;

    fn classes(usage: Usage) -> [u64; 5] {
        let Tokens { uncached, cache_write, cache_read, output } = usage.tokens;
        [uncached, cache_write, usage.cache_write_1h, cache_read, output]
    }

    #[test]
    fn anthropic_input_excludes_the_cache() {
        let usage: AnthropicUsage = from_value(json!({
            "input_tokens": 100, "cache_creation_input_tokens": 50, "cache_read_input_tokens": 2000, "output_tokens": 7,
            "cache_creation": { "ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30 },
            "service_tier": "standard", "output_tokens_details": { "thinking_tokens": 5 },
        }))
        .unwrap();
        let usage = Usage::from(usage);
        assert_eq!(classes(usage), [100, 50, 30, 2000, 7]);
        assert_eq!((usage.input(), usage.total()), (2150, 2157));
    }

    #[test]
    fn anthropic_counts_in_a_stream_are_cumulative() {
        let mut usage: AnthropicUsage =
            from_value(json!({ "input_tokens": 102, "output_tokens": 8, "cache_read_input_tokens": 0 })).unwrap();
        usage.update(from_value(json!({ "output_tokens": 300 })).unwrap());
        usage.update(from_value(json!({ "output_tokens": 630, "cache_creation_input_tokens": null })).unwrap());
        assert_eq!(classes(usage.into()), [102, 0, 0, 0, 630]);
    }

    #[test]
    fn openai_and_gemini_input_includes_the_cache() {
        let openai: OpenAiUsage = from_value(json!({
            "prompt_tokens": 1000, "completion_tokens": 40, "total_tokens": 1040, "prompt_tokens_details": { "cached_tokens": 900 },
        }))
        .unwrap();
        assert_eq!(classes(openai.into()), [100, 0, 0, 900, 40]);
        let gemini: GeminiUsage = from_value(json!({
            "promptTokenCount": 1000, "cachedContentTokenCount": 600, "candidatesTokenCount": 40, "thoughtsTokenCount": 160,
            "toolUsePromptTokenCount": 10, "totalTokenCount": 1210,
        }))
        .unwrap();
        let usage = Usage::from(gemini);
        assert_eq!(classes(usage), [410, 0, 0, 600, 200]);
        assert_eq!(usage.total(), 1210, "as Google adds it up");
    }

    #[test]
    fn absent_and_impossible_counts_do_no_harm() {
        assert_eq!(classes(OpenAiUsage::default().into()), [0; 5]);
        let openai: OpenAiUsage =
            from_value(json!({ "prompt_tokens": 5, "prompt_tokens_details": { "cached_tokens": 9 } })).unwrap();
        assert_eq!(classes(openai.into()), [0, 0, 0, 5, 0]);
    }
}
