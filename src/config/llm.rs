//! Settings of the models: who is asked which question, in which order, and how long that may take.
//!
//! Owns their table. Must never show a key, and never decide who answers: `llm` does, from these.

use std::time::Duration;

use secrecy::SecretString;

use super::seconds;
use super::setting::{Row, Slot, choice};

choice! {
    /// Who answers questions.
    ProviderName {
        /// The Messages API of Anthropic.
        Anthropic = "anthropic",
        /// The Gemini API of Google.
        Gemini = "gemini",
        /// Any server that speaks the chat-completions protocol, a local one too.
        Openai = "openai",
        /// Rules of thumb, in this program: no key, no network.
        Rules = "rules",
    }
}

impl ProviderName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anthropic, Self::Gemini, Self::Openai, Self::Rules];
}

choice! {
    /// Whether models may be asked over connections that are not encrypted.
    PlainHttp {
        /// Only on this machine.
        Loopback = "loopback",
        /// Anywhere.
        Anywhere = "anywhere",
    }
}

/// One provider in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Who.
    pub provider: ProviderName,
    /// Which of its models; none for the one that suits the task.
    pub model: Option<String>,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}:{model}", self.provider),
            None => self.provider.fmt(f),
        }
    }
}

impl Link {
    /// Reads `PROVIDER:MODEL`, `PROVIDER`, or the name of a model whose provider shows.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        use super::setting::Choice as _;
        let text = text.trim();
        let (name, model) = match text.split_once(':') {
            Some((name, model)) => (name.trim(), Some(model.trim())),
            None => (text, None),
        };
        let mut provider = ProviderName::Rules;
        if !provider.choose(name) {
            // A local model has colons in its name, too: `qwen3:8b`.
            return Self::of_model(text);
        }
        let model = model.map(model_name).transpose()?;
        if provider == ProviderName::Rules && model.is_some() {
            return Err("`rules` has no models; write `rules` alone".to_owned());
        }
        Ok(Self { provider, model })
    }

    /// The link for a model by its name alone: `claude-…`, `gemini-…`; anything else is a compatible server's.
    fn of_model(text: &str) -> Result<Self, String> {
        let model = model_name(text)?;
        let provider = match model.as_str() {
            name if name.starts_with("claude") => ProviderName::Anthropic,
            name if name.starts_with("gemini") || name.starts_with("gemma") => ProviderName::Gemini,
            _ => {
                let known = ProviderName::ALL.map(ProviderName::as_str).join(", ");
                return Err(format!(
                    "`{model}` does not show whose model it is; write PROVIDER:MODEL with one of: {known}"
                ));
            }
        };
        Ok(Self { provider, model: Some(model) })
    }
}

/// The name of a model: it becomes part of a URL.
fn model_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '@' | '+');
    let text = text.trim();
    if text.is_empty() || text.len() > 120 || !text.chars().all(fits) || text.contains("..") || text.starts_with('/') {
        let shown: String = crate::telemetry::redact::patterns(text).chars().take(60).collect();
        return Err(format!("`{shown}` is no name of a model; letters, digits and `-_.:/@+` are"));
    }
    Ok(text.to_owned())
}

/// Where a provider is, and how it knows us.
#[derive(Debug, Clone, Default)]
pub struct ProviderConfig {
    /// The key.
    pub key: Option<SecretString>,
    /// Where it is; none for its usual place.
    pub url: Option<String>,
}

/// Settings of the models.
#[derive(Debug, Clone)]
pub struct LlmConfig {
    /// Who classifies chat messages, in order; empty for the order that the keys give.
    pub classify: Vec<Link>,
    /// Who classifies answers to mail.
    pub classify_reply: Vec<Link>,
    /// Who answers chat messages.
    pub respond: Vec<Link>,
    /// Who decides.
    pub decide: Vec<Link>,
    /// Who designs.
    pub design_experiment: Vec<Link>,
    /// The orchestrator's model, where no order is given.
    pub orchestrator_model: Option<Link>,
    /// The watcher's.
    pub watcher_model: Option<Link>,
    /// The metrics analyst's.
    pub redis_agent_model: Option<Link>,
    /// How many tokens the orchestrator's model may think for; 0 for none.
    pub thinking_budget: u32,
    /// How many tokens it may write, its thinking included.
    pub max_tokens: u32,
    /// How long the orchestrator's question may take, all attempts together.
    pub thinking_timeout: Duration,
    /// How long the watcher's questions may take.
    pub quick_timeout: Duration,
    /// How long a server may take to begin its answer.
    pub header_timeout: Duration,
    /// How long a server may say nothing in the middle of its answer.
    pub idle_timeout: Duration,
    /// Whether models may be asked over connections that are not encrypted.
    pub plain_http: PlainHttp,
    /// Anthropic.
    pub anthropic: ProviderConfig,
    /// Google.
    pub gemini: ProviderConfig,
    /// A compatible server.
    pub openai: ProviderConfig,
    /// The compatible server's model, where none is named.
    pub openai_model: Option<String>,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            classify: Vec::new(),
            classify_reply: Vec::new(),
            respond: Vec::new(),
            decide: Vec::new(),
            design_experiment: Vec::new(),
            orchestrator_model: None,
            watcher_model: None,
            redis_agent_model: None,
            // The founding design's.
            thinking_budget: 10_000,
            max_tokens: 16_000,
            thinking_timeout: seconds(60),
            quick_timeout: seconds(10),
            header_timeout: seconds(30),
            idle_timeout: seconds(20),
            plain_http: PlainHttp::Loopback,
            anthropic: ProviderConfig::default(),
            gemini: ProviderConfig::default(),
            openai: ProviderConfig::default(),
            openai_model: None,
        }
    }
}

impl LlmConfig {
    /// The provider's settings; none for the rules.
    pub fn provider(&self, name: ProviderName) -> Option<&ProviderConfig> {
        match name {
            ProviderName::Anthropic => Some(&self.anthropic),
            ProviderName::Gemini => Some(&self.gemini),
            ProviderName::Openai => Some(&self.openai),
            ProviderName::Rules => None,
        }
    }

    /// The keys.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        [&self.anthropic, &self.gemini, &self.openai].into_iter().filter_map(|provider| provider.key.as_ref())
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        let ms = Duration::from_millis;
        vec![
            Row::new(
                "llm.classify",
                Slot::Chain(&mut self.classify),
                "Who classifies chat messages, in this order. Empty: those whose keys are set, then rules.",
            ),
            Row::new(
                "llm.classify_reply",
                Slot::Chain(&mut self.classify_reply),
                "Who classifies answers to mail, in this order.",
            ),
            Row::new("llm.respond", Slot::Chain(&mut self.respond), "Who answers chat messages, in this order."),
            Row::new("llm.decide", Slot::Chain(&mut self.decide), "Who decides for the orchestrator, in this order."),
            Row::new(
                "llm.design_experiment",
                Slot::Chain(&mut self.design_experiment),
                "Who designs experiments for FULLSEND, in this order.",
            ),
            Row::new(
                "llm.orchestrator_model",
                Slot::Link(&mut self.orchestrator_model),
                "The orchestrator's model, first in the order that the keys give.",
            )
            .founding_env(&["ORCHESTRATOR_MODEL"]),
            Row::new(
                "llm.watcher_model",
                Slot::Link(&mut self.watcher_model),
                "The watcher's model, first in the order that the keys give.",
            )
            .founding_env(&["WATCHER_MODEL"]),
            Row::new(
                "llm.redis_agent_model",
                Slot::Link(&mut self.redis_agent_model),
                "The model of the analyst of the numbers, first in the order that the keys give.",
            )
            .founding_env(&["REDIS_AGENT_MODEL"]),
            Row::new(
                "llm.thinking_budget",
                Slot::Few(&mut self.thinking_budget, 0..=100_000),
                "Tokens that the orchestrator's model may think for. 0: as little as the model can.",
            )
            .founding_env(&["ORCHESTRATOR_THINKING_BUDGET"]),
            Row::new(
                "llm.max_tokens",
                Slot::Few(&mut self.max_tokens, 256..=128_000),
                "Tokens that the orchestrator's model may write, its thinking included.",
            )
            .founding_env(&["ORCHESTRATOR_MAX_TOKENS"]),
            Row::new(
                "llm.thinking_timeout",
                Slot::Duration(&mut self.thinking_timeout, ms(100)..=seconds(3_600)),
                "How long one decision may take, all attempts together.",
            ),
            Row::new(
                "llm.quick_timeout",
                Slot::Duration(&mut self.quick_timeout, ms(100)..=seconds(600)),
                "How long a classification or a short answer may take, all attempts together.",
            ),
            Row::new(
                "llm.header_timeout",
                Slot::Duration(&mut self.header_timeout, ms(50)..=seconds(600)),
                "How long a model's server may take to begin its answer.",
            ),
            Row::new(
                "llm.idle_timeout",
                Slot::Duration(&mut self.idle_timeout, ms(50)..=seconds(600)),
                "How long a model's server may say nothing in the middle of its answer.",
            ),
            Row::new(
                "llm.plain_http",
                Slot::Choice(&mut self.plain_http),
                "Where models may be asked over http instead of https.",
            ),
            Row::new("llm.anthropic.key", Slot::Secret(&mut self.anthropic.key), "The key of Anthropic.")
                .founding_env(&["ANTHROPIC_API_KEY"]),
            Row::new("llm.anthropic.url", Slot::Url(&mut self.anthropic.url), "Where Anthropic's API is.")
                .founding_env(&["ANTHROPIC_BASE_URL"]),
            Row::new("llm.gemini.key", Slot::Secret(&mut self.gemini.key), "The key of Google's Gemini.")
                .founding_env(&["GEMINI_API_KEY", "GOOGLE_API_KEY"]),
            Row::new("llm.gemini.url", Slot::Url(&mut self.gemini.url), "Where Google's Gemini API is.")
                .founding_env(&["GOOGLE_GEMINI_BASE_URL"]),
            Row::new(
                "llm.openai.key",
                Slot::Secret(&mut self.openai.key),
                "The key of a chat-completions server; a local one needs none.",
            )
            .founding_env(&["OPENAI_API_KEY"]),
            Row::new(
                "llm.openai.url",
                Slot::Url(&mut self.openai.url),
                "Where a chat-completions server is, like http://127.0.0.1:11434/v1 (Ollama).",
            )
            .founding_env(&["OPENAI_BASE_URL"]),
            Row::new(
                "llm.openai.model",
                Slot::Model(&mut self.openai_model),
                "The chat-completions server's model, where none is named.",
            )
            .founding_env(&["OPENAI_MODEL"]),
        ]
    }
}

/// Reads the name of a model.
///
/// # Errors
/// In words.
pub(super) fn read_model(text: &str) -> Result<String, String> {
    model_name(text)
}

/// Reads a list of links: `anthropic:claude-…, gemini, rules`.
///
/// # Errors
/// In words.
pub(super) fn read_chain<'a>(items: impl Iterator<Item = &'a str>) -> Result<Vec<Link>, String> {
    let links = items.map(str::trim).filter(|item| !item.is_empty()).map(Link::parse).collect::<Result<Vec<_>, _>>()?;
    match links.iter().position(|link| link.provider == ProviderName::Rules) {
        Some(at) if at + 1 < links.len() => {
            Err("`rules` always answers, so nobody after it is ever asked; put it last".to_owned())
        }
        _ => Ok(links),
    }
}

/// Reads where a server is.
///
/// # Errors
/// In words, without what might be a password in it.
pub(super) fn read_url(text: &str) -> Result<String, String> {
    let shape = "write https://HOST, with a port and a path where needed";
    let url = reqwest::Url::parse(text).map_err(|_| format!("this is no URL; {shape}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("a model's server is asked over http or https; {shape}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or a password stands in the URL; keys have settings of their own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("a query stands in the URL; {shape}"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether what is said to this URL can be read on the way: plain http to another machine.
pub(super) fn is_open(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return true };
    url.scheme() == "http" && !is_loopback(&url)
}

/// Whether a URL is that of this machine.
pub fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a URL is that of a machine of one's own: this one, or one of a private network.
pub fn is_own(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let private =
        url.host_str().and_then(|host| host.parse::<std::net::Ipv4Addr>().ok()).is_some_and(|it| it.is_private());
    is_loopback(&url) || private || url.host_str().is_some_and(|host| host.rsplit('.').next() == Some("local"))
}
