//! The calls of one question: journal, breaker, reservation, attempt, settlement, and what viewers see of it.
//!
//! Owns the order of these steps, and the sums over all attempts. Must never know what an answer means.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::time::Instant;

use super::{Answered, Asking, Inner, NoAnswer, has_rules};
use crate::bus::Origin;
use crate::config::{LlmConfig, OnExceeded, ProviderName};
use crate::contracts::messages::{LlmComplete, LlmStart, Tokens};
use crate::contracts::{Trust, Untrusted};
use crate::llm::breaker::Pass;
use crate::llm::chain::Candidate;
use crate::llm::journal::{Entry, Journal};
use crate::llm::ledger::{Call, NotReserved, Reservation};
use crate::llm::live::{Audience, Live};
use crate::llm::provider::{Answer, Fault, Progress, Provider, ProviderError, Request};
use crate::llm::retry::Retry;
use crate::llm::task::{Task, TaskName};

/// How a model's turn ended without an answer that can be used.
#[derive(Debug, Error)]
pub(super) enum Ended {
    /// The program stops.
    #[error("the program stops")]
    Stopped,
    /// The time for the question is over.
    #[error("the time is over")]
    TimedOut,
    /// It failed.
    #[error("{0}")]
    Failed(ProviderError),
    /// It failed too often of late.
    #[error("it failed too often and is not asked for {0}")]
    Open(String),
    /// The budget does not allow it.
    #[error("{0}")]
    OverBudget(String),
    /// The store cannot be asked whether it may be paid.
    #[error("{0}")]
    NotReserved(NotReserved),
    /// It answered twice with something that cannot be used.
    #[error("its answer cannot be used, nor the repaired one: {}", .0.join("; "))]
    Unusable(Vec<String>),
    /// Nobody is left.
    #[error("nobody is left to ask")]
    Nobody,
}

/// The calls of one question.
pub(super) struct Calls<'a> {
    inner: &'a Inner,
    asking: &'a Asking,
    task: TaskName,
    began: Instant,
    deadline: Instant,
    journal: Option<Journal>,
    /// Answers of a former run that were not used yet.
    journalled: VecDeque<Entry>,
    /// The number of the next answer.
    number: usize,
    /// Whether it only tries out whether somebody is there.
    pub(super) is_probe: bool,
    /// What was used so far.
    pub(super) tokens: Tokens,
    /// What that cost.
    pub(super) nano_usd: u64,
    /// Why those before did not answer.
    pub(super) fell_back: Vec<String>,
    /// Whether a person should look.
    pub(super) flagged: bool,
    over_budget: Option<String>,
    /// Whether another model is asked where this one says nothing.
    has_others: bool,
}

impl<'a> Calls<'a> {
    /// No call yet; looks for answers of a former run.
    pub(super) async fn new(inner: &'a Inner, asking: &'a Asking, task: TaskName) -> Self {
        let journal = match (&inner.bus, asking.message) {
            (Some(bus), Some(message)) => Journal::of(bus, message, task),
            _ => None,
        };
        let journalled = match &journal {
            Some(journal) => journal.read().await.into(),
            None => VecDeque::new(),
        };
        let began = Instant::now();
        Self {
            inner,
            asking,
            task,
            began,
            deadline: began + inner.limit(task),
            journal,
            journalled,
            number: 0,
            is_probe: false,
            tokens: Tokens::default(),
            nano_usd: 0,
            fell_back: Vec::new(),
            flagged: false,
            over_budget: None,
            has_others: false,
        }
    }

    /// Another model comes after this one, or none does.
    pub(super) fn with_others(&mut self, has_others: bool) {
        self.has_others = has_others;
    }

    /// Who gave the answers of a former run, where they are still in the order.
    pub(super) fn answered_before(&self, candidates: &[Candidate]) -> Option<Candidate> {
        let entry = self.journalled.front()?;
        candidates.iter().find(|it| it.provider.as_str() == entry.provider && it.model == entry.model).cloned()
    }

    /// An answer: a former run's, or a new one.
    pub(super) async fn answer(&mut self, candidate: &Candidate, request: &Request) -> Result<Answer, Ended> {
        let is_theirs = |entry: &Entry| entry.provider == candidate.provider.as_str() && entry.model == candidate.model;
        if let Some(entry) = self.journalled.pop_front_if(|entry| is_theirs(entry)) {
            tracing::info!(task = %self.task, %candidate, "an answer of a former run is used");
            self.number += 1;
            self.add(entry.tokens, entry.nano_usd);
            return Ok(entry.answer);
        }
        let (tokens, nano_usd) = (self.tokens, self.nano_usd);
        let answer = self.call(candidate, request).await?;
        if let Some(journal) = &self.journal {
            let entry = Entry {
                provider: candidate.provider.to_string(),
                model: candidate.model.clone(),
                tokens: minus(self.tokens, tokens),
                nano_usd: self.nano_usd - nano_usd,
                answer: answer.clone(),
            };
            journal.write(self.number, &entry).await;
        }
        self.number += 1;
        Ok(answer)
    }

    /// Calls a model, and again where that helps.
    pub(super) async fn call(&mut self, candidate: &Candidate, request: &Request) -> Result<Answer, Ended> {
        let inner = self.inner;
        let Some(provider) = inner.providers.get(&candidate.provider) else { return Err(Ended::Nobody) };
        let mut retry = Retry::new(fastrand::Rng::new());
        let mut last = None;
        for attempt in 1.. {
            let pass = match inner.breakers.admit(candidate.provider, &candidate.model) {
                Ok(pass) => pass,
                Err(open) => {
                    let wait = open.remaining.map_or("now".to_owned(), |left| format!("{} s", left.as_secs() + 1));
                    return Err(last.map_or(Ended::Open(wait), Ended::Failed));
                }
            };
            let err = match self.attempt(&**provider, candidate, request, attempt, pass).await {
                Err(Ended::Failed(err)) => err,
                other => return other,
            };
            let left = self.deadline.saturating_duration_since(Instant::now());
            // Who said nothing for so long is not asked again while there is somebody else.
            let is_given_up = self.is_probe || self.has_others && err.fault == Fault::Silent;
            let Some(delay) = retry.delay(&err, left).filter(|_| !is_given_up) else {
                return Err(Ended::Failed(err));
            };
            tracing::info!(task = %self.task, %candidate, attempt, ?delay, %err, "an attempt failed; it is made again");
            last = Some(err);
            tokio::select! {
                biased;
                () = self.asking.stop.cancelled() => return Err(Ended::Stopped),
                () = tokio::time::sleep(delay) => {}
            }
        }
        Err(Ended::Nobody)
    }

    /// Makes one attempt, which is counted once, whatever comes of it.
    async fn attempt(
        &mut self,
        provider: &dyn Provider,
        candidate: &Candidate,
        request: &Request,
        attempt: u32,
        pass: Pass,
    ) -> Result<Answer, Ended> {
        let (asking, deadline) = (self.asking, self.deadline);
        let first_word = self.has_others.then(|| first_word(deadline));
        let call_id = self.inner.ids.next(self.inner.clock.now()).to_string();
        let reservation = self.reserve(&call_id, candidate, request).await?;
        let began = Instant::now();
        let mut progress = Progress::seen_by(self.live(&call_id, candidate, request, attempt));
        let outcome = tokio::select! {
            biased;
            () = asking.stop.cancelled() => Err(Ended::Stopped),
            outcome = in_time(provider, request, &mut progress, deadline, first_word) => outcome,
        };
        match &outcome {
            Ok(_) => pass.succeeded(),
            Err(Ended::Failed(err)) => {
                pass.failed(err);
                if let Some(ledger) = self.inner.ledger.as_ref().filter(|_| err.fault.is_lasting() && !self.is_probe) {
                    ledger.say_down(&candidate.to_string(), &err.what).await;
                }
            }
            // Somebody who thinks long is no failure; somebody who says nothing is.
            Err(Ended::TimedOut) if progress.received() == 0 => {
                pass.failed(&ProviderError::new(Fault::Silent, "it said nothing before the time was over"));
            }
            Err(_) => drop(pass),
        }
        let spent = progress.spent(request);
        let tokens = spent.map(|(usage, _)| usage.tokens).unwrap_or_default();
        let nano_usd = settle(reservation, spent).await;
        self.add(tokens, nano_usd);
        if let Some(live) = progress.into_live() {
            let error = outcome.as_ref().err().map(|ended| Untrusted::from(ended.to_string()));
            live.complete(LlmComplete {
                call_id: None,
                source: None,
                operation: String::new(),
                meta: Map::new(),
                duration_ms: Some(began.elapsed().as_secs_f64() * 1e3),
                error,
                tokens: Some(tokens),
                nano_usd: Some(nano_usd),
                timestamp: Some(self.inner.clock.now()),
            });
        }
        outcome
    }

    async fn reserve(
        &mut self,
        call_id: &str,
        candidate: &Candidate,
        request: &Request,
    ) -> Result<Option<Reservation>, Ended> {
        let Some(ledger) = &self.inner.ledger else { return Ok(None) };
        let call = Call {
            id: call_id.to_owned(),
            service: self.asking.service,
            task: self.task,
            trace: self.asking.trace,
            provider: candidate.provider.to_string(),
            model: candidate.model.clone(),
            is_local: is_local(candidate.provider, &self.inner.config),
            prompt_bytes: request.prompt_bytes(),
            max_tokens: u64::from(request.max_tokens),
            within: self.deadline.saturating_duration_since(Instant::now()),
        };
        match ledger.reserve(call).await {
            Ok(reservation) => Ok(Some(reservation)),
            Err(NotReserved::OverBudget(over)) => {
                let what = over.to_string();
                self.over_budget = Some(what.clone());
                Err(Ended::OverBudget(what))
            }
            Err(other) => Err(Ended::NotReserved(other)),
        }
    }

    fn live(&self, call_id: &str, candidate: &Candidate, request: &Request, attempt: u32) -> Option<Live> {
        let bus = self.inner.bus.as_ref()?;
        let origin = Origin::new(self.inner.clock.clone(), self.inner.ids.clone(), Trust::System);
        let audience = Audience::new(bus, &origin, self.asking)?;
        let meta = json!({
            "provider": candidate.provider.as_str(),
            "model": candidate.model,
            "prompt_chars": request.prompt_bytes(),
            "attempt": attempt,
        });
        let start = LlmStart {
            call_id: Some(call_id.to_owned()),
            source: Some(self.asking.service.to_string()),
            operation: format!("llm.{}.{}", self.asking.service, self.task),
            meta: if let Value::Object(meta) = meta { meta } else { Map::new() },
            timestamp: Some(self.inner.clock.now()),
        };
        Some(Live::start(audience, start))
    }

    fn add(&mut self, tokens: Tokens, nano_usd: u64) {
        self.tokens.uncached += tokens.uncached;
        self.tokens.cache_write += tokens.cache_write;
        self.tokens.cache_read += tokens.cache_read;
        self.tokens.output += tokens.output;
        self.nano_usd += nano_usd;
    }

    /// Notes why somebody did not answer.
    pub(super) fn passed_over(&mut self, candidate: &Candidate, ended: &Ended) {
        tracing::warn!(task = %self.task, %candidate, why = %ended, "a model did not answer");
        self.flagged |= match ended {
            Ended::Unusable(_) => true,
            Ended::Failed(err) => err.fault.wants_a_look(),
            _ => false,
        };
        self.fell_back.push(format!("{candidate}: {ended}"));
    }

    /// A model's answer, with what it took.
    pub(super) fn answered<O>(&mut self, candidate: &Candidate, output: O, reasoning: String) -> Answered<O> {
        Answered {
            output,
            reasoning,
            provider: candidate.provider.as_str(),
            model: candidate.model.clone(),
            tokens: self.tokens,
            nano_usd: self.nano_usd,
            took: self.began.elapsed(),
            fell_back: std::mem::take(&mut self.fell_back),
            flagged: self.flagged,
        }
    }

    /// The rules' answer, where they are in the order, with what was paid for those before them.
    pub(super) fn rules<T: Task>(
        &mut self,
        candidates: &[Candidate],
        input: &T::Input,
    ) -> Result<Answered<T::Output>, Ended> {
        let asks = self.inner.ledger.as_ref().is_some_and(|ledger| ledger.on_exceeded() == OnExceeded::Ask);
        if let Some(what) = self.over_budget.take().filter(|_| asks) {
            return Err(Ended::OverBudget(what));
        }
        if !has_rules(candidates) {
            return Err(Ended::Nobody);
        }
        let ruled = Answered::by_rules(T::rule(input));
        Ok(Answered {
            tokens: self.tokens,
            nano_usd: self.nano_usd,
            took: self.began.elapsed(),
            fell_back: std::mem::take(&mut self.fell_back),
            flagged: self.flagged,
            ..ruled
        })
    }

    /// What a question without an answer is told as.
    pub(super) fn no_answer(self, ended: Ended) -> NoAnswer {
        match ended {
            Ended::Stopped => NoAnswer::Stopped,
            Ended::TimedOut => NoAnswer::TimedOut(self.inner.limit(self.task)),
            Ended::OverBudget(what) => NoAnswer::OverBudget(what),
            _ => {
                let left_out = self.inner.chains.get(&self.task).map(|chain| chain.left_out.clone());
                let why = self.fell_back.into_iter().chain(left_out.unwrap_or_default()).collect();
                NoAnswer::NoProvider { task: self.task.as_str(), why }
            }
        }
    }
}

/// Until when a model must have said something, where another one is asked after it: a third of the time that is left.
fn first_word(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 3
}

/// A model's answer before the deadline. One that says nothing until `first_word` has failed.
async fn in_time(
    provider: &dyn Provider,
    request: &Request,
    progress: &mut Progress,
    deadline: Instant,
    first_word: Option<Instant>,
) -> Result<Answer, Ended> {
    let heard = progress.heard();
    let call = tokio::time::timeout_at(deadline, provider.call(request, progress));
    let mut call = std::pin::pin!(call);
    let outcome = match first_word {
        None => call.await,
        Some(first_word) => match tokio::time::timeout_at(first_word, &mut call).await {
            Ok(outcome) => outcome,
            Err(_) if heard.load(Ordering::Relaxed) => call.await,
            Err(_) => {
                let what = "it said nothing, and another one is there".to_owned();
                return Err(Ended::Failed(ProviderError::new(Fault::Silent, what)));
            }
        },
    };
    match outcome {
        Ok(outcome) => outcome.map_err(Ended::Failed),
        Err(_) => Err(Ended::TimedOut),
    }
}

/// Whether a model runs on a machine of the operator's, and costs nothing.
fn is_local(provider: ProviderName, config: &LlmConfig) -> bool {
    let url = config.provider(provider).and_then(|settings| settings.url.as_deref());
    provider == ProviderName::Openai && url.is_some_and(crate::config::llm::is_own)
}

/// Counts what was spent, or gives back what was reserved for nothing. Returns the cost.
async fn settle(reservation: Option<Reservation>, spent: Option<(crate::llm::ledger::Usage, bool)>) -> u64 {
    let Some(reservation) = reservation else { return 0 };
    let settled = match spent {
        Some((usage, is_estimated)) => {
            let cost = reservation.cost(&usage);
            reservation.settle(usage, is_estimated).await.map_err(|err| (cost, err))
        }
        None => reservation.release().await.map(|()| 0).map_err(|err| (0, err)),
    };
    settled.unwrap_or_else(|(cost, err)| {
        tracing::warn!(%err, "a call could not be settled; it is counted as an estimate");
        cost
    })
}

fn minus(after: Tokens, before: Tokens) -> Tokens {
    Tokens {
        uncached: after.uncached - before.uncached,
        cache_write: after.cache_write - before.cache_write,
        cache_read: after.cache_read - before.cache_read,
        output: after.output - before.output,
    }
}
