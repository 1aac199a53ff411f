//! Who is asked what, in which order: from the settings, the keys that are there, and the table of models.
//!
//! Must never ask anybody.

use std::collections::BTreeMap;

use super::capabilities::Capabilities;
use super::task::TaskName;
use crate::config::{Link, LlmConfig, ProviderName};

/// Somebody who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub provider: ProviderName,
    /// Which model; `rules` for the rules.
    pub model: String,
    /// Why they are in the order, for people.
    pub why: String,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.provider {
            ProviderName::Rules => f.write_str("rules"),
            provider => write!(f, "{provider}:{}", self.model),
        }
    }
}

/// The order of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Who is asked, first to last.
    pub candidates: Vec<Candidate>,
    /// Who is not, and why, a sentence each.
    pub left_out: Vec<String>,
}

/// Whether a task is worth thought: time, a deep model, a budget to think.
pub fn is_deep(task: TaskName) -> bool {
    match task {
        TaskName::Decide => true,
        TaskName::Classify | TaskName::ClassifyReply | TaskName::Respond => false,
    }
}

/// The order of every task.
pub fn all(config: &LlmConfig, capabilities: &Capabilities) -> BTreeMap<TaskName, Chain> {
    TaskName::ALL.iter().map(|task| (*task, of(*task, config, capabilities))).collect()
}

/// The order of one task.
fn of(task: TaskName, config: &LlmConfig, capabilities: &Capabilities) -> Chain {
    let mut chain = Chain::default();
    let set = match task {
        TaskName::Classify => &config.classify,
        TaskName::ClassifyReply => &config.classify_reply,
        TaskName::Respond => &config.respond,
        TaskName::Decide => &config.decide,
    };
    let mut add = |link: &Link, why: &str| match candidate(link, task, config, capabilities, why) {
        Ok(candidate) if !chain.candidates.iter().any(|it| it.to_string() == candidate.to_string()) => {
            chain.candidates.push(candidate);
        }
        Ok(_) => {}
        Err(why) => chain.left_out.push(why),
    };
    if !set.is_empty() {
        for link in set {
            add(link, &format!("llm.{task}"));
        }
        return without_unreached(chain);
    }
    // The founding design has Claude decide and Gemini watch.
    let (own, name, order) = if is_deep(task) {
        let order = [ProviderName::Anthropic, ProviderName::Gemini, ProviderName::Openai];
        (&config.orchestrator_model, "llm.orchestrator_model", order)
    } else {
        let order = [ProviderName::Gemini, ProviderName::Anthropic, ProviderName::Openai];
        (&config.watcher_model, "llm.watcher_model", order)
    };
    if let Some(link) = own {
        add(link, name);
    }
    for provider in order {
        let is_own = own.as_ref().is_some_and(|link| link.provider == provider);
        if is_there(provider, config) && !is_own {
            add(&Link { provider, model: None }, &format!("{} is set", found_by(provider, config)));
        }
    }
    let why = if chain.candidates.is_empty() { "no key is set" } else { "always answers" };
    chain.candidates.push(Candidate { provider: ProviderName::Rules, model: "rules".to_owned(), why: why.to_owned() });
    without_unreached(chain)
}

/// The rules always answer: who stands behind them is never asked.
fn without_unreached(mut chain: Chain) -> Chain {
    let rules = chain.candidates.iter().position(|it| it.provider == ProviderName::Rules);
    let unreached = rules.map(|at| chain.candidates.split_off(at + 1)).unwrap_or_default();
    let models = unreached.iter().filter(|it| it.provider != ProviderName::Rules);
    chain.left_out.extend(models.map(|it| format!("{it} is not asked: the rules come before it, and always answer")));
    chain
}

/// Whether a provider can be asked at all: it has a key, or a place of its own that may need none.
fn is_there(provider: ProviderName, config: &LlmConfig) -> bool {
    config.provider(provider).is_none_or(|settings| settings.key.is_some() || settings.url.is_some())
}

fn found_by(provider: ProviderName, config: &LlmConfig) -> String {
    let has_key = config.provider(provider).is_some_and(|settings| settings.key.is_some());
    format!("llm.{provider}.{}", if has_key { "key" } else { "url" })
}

fn candidate(
    link: &Link,
    task: TaskName,
    config: &LlmConfig,
    capabilities: &Capabilities,
    why: &str,
) -> Result<Candidate, String> {
    let provider = link.provider;
    let of = |model: String| Candidate { provider, model, why: why.to_owned() };
    if provider == ProviderName::Rules {
        return Ok(of("rules".to_owned()));
    }
    if !is_there(provider, config) {
        let variable = match provider {
            ProviderName::Anthropic => "ANTHROPIC_API_KEY",
            ProviderName::Gemini => "GOOGLE_API_KEY",
            _ => "OPENAI_BASE_URL",
        };
        return Err(format!("{link} is not asked: it has no key; set {variable}"));
    }
    let default = || match provider {
        ProviderName::Openai => config.openai_model.clone(),
        _ => capabilities.default_model(provider, is_deep(task)).map(str::to_owned),
    };
    let model = link.model.clone().or_else(default);
    model.map(of).ok_or_else(|| format!("{link} is not asked: no model is named; set llm.{provider}.model"))
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use secrecy::SecretString;

    use super::*;

    fn order(task: TaskName, config: &LlmConfig) -> (Vec<String>, Vec<String>) {
        let chain = of(task, config, &Capabilities::shipped().unwrap());
        (chain.candidates.iter().map(ToString::to_string).collect(), chain.left_out)
    }

    fn keyed() -> LlmConfig {
        let mut config = LlmConfig::default();
        config.anthropic.key = Some(SecretString::from("a"));
        config.gemini.key = Some(SecretString::from("g"));
        config
    }

    #[test]
    fn without_a_key_the_rules_answer() {
        for task in TaskName::ALL {
            assert_eq!(order(*task, &LlmConfig::default()), (vec!["rules".to_owned()], vec![]));
        }
    }

    #[test]
    fn keys_make_the_order_and_the_task_the_model() {
        let config = keyed();
        assert_eq!(
            order(TaskName::Decide, &config).0,
            ["anthropic:claude-opus-5-5", "gemini:gemini-3.6-flash", "rules"]
        );
        let quick = ["gemini:gemini-3.5-flash-lite", "anthropic:claude-haiku-5-5", "rules"];
        assert_eq!(order(TaskName::Classify, &config).0, quick);
        assert_eq!(order(TaskName::Respond, &config).0, quick);
    }

    #[test]
    fn the_founding_variables_name_the_first() {
        let mut config = keyed();
        config.orchestrator_model = Some(Link::parse("claude-opus-4-20250514").unwrap());
        config.watcher_model = Some(Link::parse("openai:qwen3:8b").unwrap());
        let decide = ["anthropic:claude-opus-4-20250514", "gemini:gemini-3.6-flash", "rules"];
        assert_eq!(order(TaskName::Decide, &config).0, decide);
        let (quick, left_out) = order(TaskName::Classify, &config);
        assert_eq!(quick[0], "gemini:gemini-3.5-flash-lite");
        assert_eq!(left_out, ["openai:qwen3:8b is not asked: it has no key; set OPENAI_BASE_URL"]);
        config.openai.url = Some("http://127.0.0.1:11434/v1".to_owned());
        assert_eq!(order(TaskName::Classify, &config).0[0], "openai:qwen3:8b");
    }

    #[test]
    fn an_order_of_ones_own_is_kept_as_it_is() {
        let mut config = keyed();
        config.decide = vec![Link::parse("gemini:g").unwrap(), Link::parse("openai").unwrap()];
        config.openai.url = Some("http://127.0.0.1:1".to_owned());
        let (candidates, left_out) = order(TaskName::Decide, &config);
        assert_eq!(candidates, ["gemini:g"]);
        assert_eq!(left_out, ["openai is not asked: no model is named; set llm.openai.model"]);
    }
}
