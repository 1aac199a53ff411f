//! What the settings must be together, and what about them is worth a warning.
//!
//! Must never change a setting.

use secrecy::ExposeSecret;

use super::error::{Problem, Source};
use super::home::is_open_to_others;
use super::layers::{Environment, FOUNDING_LATER};
use super::{Config, Consumer, ExecutorConfig, PlainHttp, duration, llm};
use crate::bus::{Finding, Level};
use crate::telemetry::redact;

impl Config {
    /// Rules between settings.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let Consumer { stale_after, heartbeat, .. } = self.consumer;
        if heartbeat * 2 > stale_after {
            let key = match self.source("consumer.heartbeat") {
                Source::Default => "consumer.stale_after",
                _ => "consumer.heartbeat",
            };
            problems.push(Problem::new(
                &self.source(key).to_string(),
                &format!(
                    "consumer.heartbeat ({}) is more than half of consumer.stale_after ({}): live workers would lose their messages",
                    duration::show(heartbeat),
                    duration::show(stale_after)
                ),
            ));
        }
        self.check_models(problems);
        let ExecutorConfig { retry_backoff_min: least, retry_backoff_max: most, .. } = self.executor;
        if least > most {
            let key = match self.source("executor.retry_backoff_min") {
                Source::Default => "executor.retry_backoff_max",
                _ => "executor.retry_backoff_min",
            };
            problems.push(Problem::new(
                &self.source(key).to_string(),
                &format!(
                    "executor.retry_backoff_min ({}) is more than executor.retry_backoff_max ({})",
                    duration::show(least),
                    duration::show(most)
                ),
            ));
        }
        for service in self.services.only.iter().filter(|name| self.services.except.contains(name)) {
            problems.push(Problem::new(
                &self.source("services.except").to_string(),
                &format!("`{service}` is in services.only and in services.except; take it out of one"),
            ));
        }
    }

    /// Rules between the settings of the models.
    fn check_models(&self, problems: &mut Vec<Problem>) {
        let mut refuse = |key: &str, what: String| {
            problems.push(Problem::new(&self.source(key).to_string(), &format!("{key}: {what}")));
        };
        for (key, provider) in [
            ("llm.anthropic.url", &self.llm.anthropic),
            ("llm.gemini.url", &self.llm.gemini),
            ("llm.openai.url", &self.llm.openai),
        ] {
            let is_open = provider.url.as_deref().is_some_and(llm::is_open);
            if is_open && self.llm.plain_http == PlainHttp::Loopback {
                refuse(
                    key,
                    "prompts and the key could be read on the way; use https, or set llm.plain_http to `anywhere`"
                        .to_owned(),
                );
            }
        }
        let (budget, most) = (self.llm.thinking_budget, self.llm.max_tokens);
        if budget >= most {
            let key = match self.source("llm.thinking_budget") {
                Source::Default => "llm.max_tokens",
                _ => "llm.thinking_budget",
            };
            refuse(
                key,
                format!("llm.thinking_budget ({budget}) must be less than llm.max_tokens ({most}), which contains it"),
            );
        }
    }

    /// Notes what is usable and yet not as it should be.
    pub(super) fn look(&mut self, env: &Environment) {
        let mut warn = |what: String, fix: String| {
            self.findings.push(Finding { level: Level::Warning, what, fix });
        };
        let has_password = self.bus.url.as_ref().is_some_and(|url| redact::password(url.expose_secret()).is_some());
        match self.sources.get("bus.url") {
            Some(Source::Flag(name)) if has_password => warn(
                format!("{name} holds a password, which every user of this machine can see in the list of processes"),
                "Put the URL into REDIS_URL or the settings file".to_owned(),
            ),
            Some(Source::File { path, .. }) if has_password && is_open_to_others(path) => warn(
                format!("{} holds a password and is open to other users", path.display()),
                format!("chmod 600 {}", path.display()),
            ),
            _ => {}
        }
        for key in ["bus.sentinel_password", "llm.anthropic.key", "llm.gemini.key", "llm.openai.key"] {
            if let Some(Source::File { path, .. }) = self.sources.get(key)
                && is_open_to_others(path)
            {
                warn(
                    format!("{} holds {key} and is open to other users", path.display()),
                    format!("chmod 600 {}", path.display()),
                );
            }
        }
        if self.home.is_dir() && is_open_to_others(&self.home) {
            warn(
                format!("the home {} is open to other users", self.home.display()),
                format!("chmod 700 {}", self.home.display()),
            );
        }
        for name in FOUNDING_LATER.iter().filter(|name| env.vars.contains_key(**name)) {
            warn(format!("{name} is set, and nothing in this version reads it"), format!("unset {name}"));
        }
    }
}
