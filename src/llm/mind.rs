//! The mind: asks a task's question down its chain of providers, until one answers.
//!
//! Owns the way from a question to an answer that can be acted on: prompt, providers in order, retries, one repair, the journal, what it
//! cost, and what viewers see of it. Must never act on the answer.

mod calls;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::anthropic::{self, Anthropic};
use super::breaker::Breakers;
use super::capabilities::Capabilities;
use super::chain::{self, Candidate, Chain};
use super::gemini::{self, Gemini};
use super::http::Http;
use super::ledger::Ledger;
use super::openai::{self, Openai};
use super::prompt::Prompts;
use super::provider::{Answer, Provider, Request, Turn};
use super::task::{Ruled, Task, TaskName};
use super::{reading, schema};
use crate::bus::SharedBus;
use crate::config::{LlmConfig, ProviderName};
use crate::contracts::messages::Tokens;
use crate::contracts::{Clock, Ids, MessageId, ServiceName, TraceId, Trust};
use crate::telemetry::redact;
use calls::{Calls, Ended};

/// Most tokens of a classification or a short answer, with the little thinking that some models cannot be kept from.
const QUICK_TOKENS: u32 = 2_000;

/// Who asks, and because of what. The journal, the ledger and what viewers see hang on it.
#[derive(Debug, Clone)]
pub struct Asking {
    /// The service that asks.
    pub service: ServiceName,
    /// The message that is being handled; none for a verb.
    pub message: Option<MessageId>,
    /// Its chain.
    pub trace: Option<TraceId>,
    /// How far what is asked about can be trusted.
    pub trust: Trust,
    /// Cancelled when the service is asked to stop: the call ends, and is counted as an estimate.
    pub stop: CancellationToken,
}

/// An answer that can be acted on.
#[derive(Debug, Clone)]
pub struct Answered<O> {
    /// The answer.
    pub output: O,
    /// How it was come to: a model's reasoning as far as it shows it, or the reasons of the rules, a sentence a line.
    pub reasoning: String,
    /// Who answered: `rules`, `anthropic`, `gemini`, `openai`.
    pub provider: &'static str,
    /// Which model; `rules` for the rules.
    pub model: String,
    /// What the call used, all attempts together.
    pub tokens: Tokens,
    /// What it cost, in billionths of a dollar, all attempts together.
    pub nano_usd: u64,
    /// How long it took.
    pub took: Duration,
    /// Why those before it in the chain did not answer, a sentence each. Empty where the first one did.
    pub fell_back: Vec<String>,
    /// Whether it had to be repaired, or came from the rules because a model's answer could not be used: a person should look.
    pub flagged: bool,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// The service is being stopped; ask again later.
    #[error("the call was cut off because the program stops")]
    Stopped,
    /// No provider of the chain answered in time.
    #[error("no answer after {0:?}")]
    TimedOut(Duration),
    /// The budget does not allow a call, and the settings say that a person is asked then.
    #[error("{0}")]
    OverBudget(String),
    /// The chain has no provider that could answer.
    #[error("no provider answered `{task}`: {}", why.join("; "))]
    NoProvider {
        /// The question.
        task: &'static str,
        /// What each said.
        why: Vec<String>,
    },
}

/// What a mind is made of.
#[derive(Clone)]
pub struct MindParts {
    /// Who is asked, in which order.
    pub config: LlmConfig,
    /// The folder whose `prompts/` override ours.
    pub context: PathBuf,
    /// Where answers are journalled and told; without one, for verbs and tests, they are neither.
    pub bus: Option<SharedBus>,
    /// Who allows calls, and counts what they cost; without one nobody does.
    pub ledger: Option<Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<Ids>,
}

/// Asks questions. Cheap to clone: clones share breakers and connections. The default asks the rules only.
#[derive(Debug, Clone, Default)]
pub struct Mind {
    inner: Option<Arc<Inner>>,
}

/// What the clones of a mind share.
struct Inner {
    config: LlmConfig,
    chains: BTreeMap<TaskName, Chain>,
    providers: BTreeMap<ProviderName, Arc<dyn Provider>>,
    prompts: Prompts,
    breakers: Breakers,
    bus: Option<SharedBus>,
    ledger: Option<Ledger>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mind").field("chains", &self.chains).finish_non_exhaustive()
    }
}

impl Inner {
    fn limit(&self, task: TaskName) -> Duration {
        if chain::is_deep(task) { self.config.thinking_timeout } else { self.config.quick_timeout }
    }

    fn request(&self, task: TaskName, model: &str, question: String, schema: Value) -> Request {
        let (max_tokens, thinking) = if chain::is_deep(task) {
            (self.config.max_tokens, Some(self.config.thinking_budget).filter(|budget| *budget > 0))
        } else {
            (QUICK_TOKENS, None)
        };
        Request {
            model: model.to_owned(),
            system: self.prompts.system(task),
            turns: vec![Turn::User(question)],
            schema: Arc::new(schema),
            max_tokens,
            thinking,
        }
    }
}

/// The providers that can be asked.
fn providers(
    config: &LlmConfig,
    capabilities: &Capabilities,
) -> color_eyre::Result<BTreeMap<ProviderName, Arc<dyn Provider>>> {
    let mut providers: BTreeMap<ProviderName, Arc<dyn Provider>> = BTreeMap::new();
    for name in ProviderName::ALL {
        let Some(settings) = config.provider(name).filter(|it| it.key.is_some() || it.url.is_some()) else { continue };
        let usual = match name {
            ProviderName::Anthropic => anthropic::URL,
            ProviderName::Gemini => gemini::URL,
            _ => openai::URL,
        };
        let url = settings.url.as_deref().unwrap_or(usual);
        let http = Http::new(url, config.header_timeout, config.idle_timeout)?;
        let (key, known) = (settings.key.as_ref(), capabilities.clone());
        let provider: Arc<dyn Provider> = match name {
            ProviderName::Anthropic => Arc::new(Anthropic::new(http, url, key, known)),
            ProviderName::Gemini => Arc::new(Gemini::new(http, url, key, known)),
            _ => Arc::new(Openai::new(http, url, key, known)),
        };
        providers.insert(name, provider);
    }
    Ok(providers)
}

impl Mind {
    /// A mind that asks as the settings say.
    ///
    /// # Errors
    /// Where a prompt of the context folder cannot be used, or there can be no HTTP client.
    pub fn new(parts: MindParts) -> color_eyre::Result<Self> {
        let MindParts { config, context, bus, ledger, clock, ids } = parts;
        let capabilities = Capabilities::shipped()?;
        let chains = chain::all(&config, &capabilities);
        for (task, chain) in &chains {
            let order: Vec<_> = chain.candidates.iter().map(ToString::to_string).collect();
            tracing::info!(%task, order = order.join(", "), left_out = chain.left_out.join("; "), "who answers");
        }
        // Where no thread can be had, the first message waits for it.
        let _learning = std::thread::Builder::new().name("judgement".to_owned()).spawn(super::tasks::learn);
        let inner = Inner {
            providers: providers(&config, &capabilities)?,
            prompts: Prompts::load(Some(&context.join("prompts")))?,
            breakers: Breakers::new(Arc::clone(&clock)),
            config,
            chains,
            bus,
            ledger,
            clock,
            ids,
        };
        Ok(Self { inner: Some(Arc::new(inner)) })
    }

    /// Who is asked a task's question, in which order.
    pub fn chain(&self, task: TaskName) -> Option<&Chain> {
        self.inner.as_ref()?.chains.get(&task)
    }

    /// How the breaker of a model stands in this process.
    pub fn breaker(&self, candidate: &Candidate) -> String {
        let state = |inner: &Arc<Inner>| inner.breakers.state(candidate.provider, &candidate.model);
        self.inner.as_ref().map(state).unwrap_or_default()
    }

    /// Asks, and waits for an answer.
    ///
    /// # Errors
    /// Where nobody answers; with `rules` in the chain only because of a stop, a time-out, or a budget where the settings ask a person.
    pub async fn ask<T: Task>(&self, asking: &Asking, input: &T::Input) -> Result<Answered<T::Output>, NoAnswer> {
        if asking.stop.is_cancelled() {
            return Err(NoAnswer::Stopped);
        }
        let Some(inner) = &self.inner else { return Ok(Answered::by_rules(T::rule(input))) };
        let candidates = inner.chains.get(&T::NAME).map(|chain| chain.candidates.as_slice()).unwrap_or_default();
        if candidates.first().is_some_and(|first| first.provider == ProviderName::Rules) {
            return Ok(Answered::by_rules(T::rule(input)));
        }
        let mut calls = Calls::new(inner, asking, T::NAME).await;
        let outcome = walk::<T>(inner, candidates, input, &mut calls).await;
        outcome.map_err(|ended| calls.no_answer(ended))
    }

    /// Makes one small call to a model: says in a few words how it went, and what it used.
    ///
    /// # Errors
    /// What the model's server said instead.
    pub async fn probe(&self, asking: &Asking, candidate: &Candidate) -> Result<Probe, String> {
        let inner = self.inner.as_ref().ok_or("no model can be asked")?;
        let schema = serde_json::json!({
            "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"], "additionalProperties": false
        });
        let mut request = inner.request(TaskName::Respond, &candidate.model, "Are you there?".to_owned(), schema);
        request.system = Arc::from("Answer with the JSON object {\"ok\": true} and nothing else.");
        let mut calls = Calls::new(inner, asking, TaskName::Respond).await;
        calls.is_probe = true;
        let began = Instant::now();
        match calls.call(candidate, &request).await {
            Ok(_) => Ok(Probe { took: began.elapsed(), tokens: calls.tokens, nano_usd: calls.nano_usd }),
            Err(ended) => Err(ended.to_string()),
        }
    }
}

/// What came of a small call.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// How long it took.
    pub took: Duration,
    /// What it used.
    pub tokens: Tokens,
    /// What it cost, in billionths of a dollar; 0 without a ledger.
    pub nano_usd: u64,
}

/// Asks one after the other.
async fn walk<T: Task>(
    inner: &Inner,
    candidates: &[Candidate],
    input: &T::Input,
    calls: &mut Calls<'_>,
) -> Result<Answered<T::Output>, Ended> {
    let question = match inner.prompts.user(T::NAME, input) {
        Ok(question) => question,
        Err(err) => {
            calls.flagged = true;
            calls.fell_back.push(err.to_string());
            return calls.rules::<T>(candidates, input);
        }
    };
    let schema = schema::of::<T::Output>();
    // Who has answered before, in a former run of the same handler, goes on from there.
    let before = calls.answered_before(candidates);
    for candidate in before.iter().chain(candidates.iter().filter(|it| Some(*it) != before.as_ref())) {
        if candidate.provider == ProviderName::Rules {
            return calls.rules::<T>(candidates, input);
        }
        let request = inner.request(T::NAME, &candidate.model, question.clone(), schema.clone());
        let later = candidates.iter().skip_while(|it| *it != candidate).skip(1);
        calls.with_others(later.into_iter().any(|it| it.provider != ProviderName::Rules));
        match judged::<T>(calls, candidate, request, input).await {
            Ok((output, reasoning)) => return Ok(calls.answered(candidate, output, reasoning)),
            Err(ended @ (Ended::Stopped | Ended::TimedOut)) => return Err(ended),
            Err(ended) => {
                calls.passed_over(candidate, &ended);
                if matches!(ended, Ended::Unusable(_)) && has_rules(candidates) {
                    return calls.rules::<T>(candidates, input);
                }
            }
        }
    }
    calls.rules::<T>(candidates, input)
}

fn has_rules(candidates: &[Candidate]) -> bool {
    candidates.iter().any(|candidate| candidate.provider == ProviderName::Rules)
}

/// One model's answer that can be acted on, after at most one repair.
async fn judged<T: Task>(
    calls: &mut Calls<'_>,
    candidate: &Candidate,
    mut request: Request,
    input: &T::Input,
) -> Result<(T::Output, String), Ended> {
    let judge = |answer: &Answer| -> Result<T::Output, Vec<String>> {
        let output = reading::read::<T::Output>(&answer.text)?;
        let faults = T::faults(input, &output);
        if faults.is_empty() { Ok(output) } else { Err(faults) }
    };
    let answer = calls.answer(candidate, &request).await?;
    let faults = match judge(&answer) {
        Ok(output) => return Ok((output, answer.reasoning)),
        Err(faults) => faults,
    };
    calls.flagged = true;
    tracing::warn!(task = %T::NAME, %candidate, faults = faults.join("; "), "an answer has to be repaired");
    let faults: Vec<_> = faults.iter().map(|fault| format!("- {fault}\n")).collect();
    let question = format!(
        "Your answer cannot be used:\n\n{}\nAnswer again with one JSON object that fits, and nothing else.",
        redact(&faults.concat())
    );
    request.turns.extend([Turn::Model(answer.raw), Turn::User(question)]);
    let answer = calls.answer(candidate, &request).await?;
    match judge(&answer) {
        Ok(output) => Ok((output, answer.reasoning)),
        Err(faults) => Err(Ended::Unusable(faults)),
    }
}

impl<O> Answered<O> {
    /// What the rules answer.
    pub fn by_rules(ruled: Ruled<O>) -> Self {
        Self {
            output: ruled.output,
            reasoning: ruled.reasons.join("\n"),
            provider: "rules",
            model: "rules".to_owned(),
            tokens: Tokens::default(),
            nano_usd: 0,
            took: Duration::ZERO,
            fell_back: Vec::new(),
            flagged: false,
        }
    }
}
