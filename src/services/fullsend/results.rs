//! How runs ended: reports to the orchestrator by the error's code, and what they taught in passing.
//!
//! Must never read a sentence to find out what happened: codes say it. What reached nobody is always called so, and an experiment that runs for
//! years teaches no more in number than one that ran once.

use serde_json::{Map, Value};

use super::{Said, change, source, waiting};
use crate::bus::{Context, Draft, Effects, Expect, Failure, Key, Received, State, StateChange};
use crate::contracts::Trust;
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::keys;
use crate::contracts::messages::{
    ApiKeyRequired, ErrorCode, ExperimentCompleted, ExperimentError, ExperimentFailed, ExperimentResults,
    ExperimentSuccess, ToOrchestrator,
};
use crate::contracts::wiring::TO_ORCHESTRATOR;
use crate::experiments::judgement::number;
use crate::memory::load::TACTICAL;
use crate::services::wording::line;

/// Numbers of a run that a learning repeats.
const NUMBERS: usize = 6;
/// What keys of learnings begin with.
const LEARNING: &str = "learnings:tactical:";
/// Old learnings that go at once.
const FORGOTTEN: usize = 20;

pub(super) async fn handle(result: ExperimentResults, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
    match result {
        ExperimentResults::Completed(done) => completed(done, message, cx).await,
        ExperimentResults::Failed(failed) => failure(failed, message, cx).await,
    }
}

async fn completed(done: ExperimentCompleted, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
    let mut effects = cx.effects();
    let summary = &done.result_summary.0;
    let numbers = numbers(summary);
    if !numbers.is_empty() && message.envelope.trust > Trust::External {
        let took = done.duration.map(|seconds| format!(" in {seconds:.0} s")).unwrap_or_default();
        let text = format!("{} gave: {}{took}", a_run(summary), numbers.join(", "));
        learn(&mut effects, &done.experiment_id, &done.experiment_id, &text, cx).await?;
    }
    let report = ExperimentSuccess {
        source: Some(source()),
        experiment_id: done.experiment_id.clone(),
        run_id: Some(done.run_id),
        duration: done.duration,
        timestamp: Some(cx.now()),
    };
    effects.send(TO_ORCHESTRATOR, Draft::new(ToOrchestrator::from(report)).subject(done.experiment_id))?;
    Ok(effects)
}

async fn failure(failed: ExperimentFailed, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
    let mut effects = cx.effects();
    let (id, code) = (failed.experiment_id.clone(), failed.code());
    let tool = failed.tool_name.clone().filter(|tool| crate::experiments::check::is_tool_name(tool));
    let mut note = None;
    match (code, &tool) {
        (ErrorCode::NotFound, Some(tool)) => {
            waiting::lost(&mut effects, tool, &id, cx).await?;
            note = Some(format!("`{tool}` is asked for; the experiment goes on when it is there"));
        }
        (ErrorCode::NotFound, None) => note = Some("which tool is missing was not said".to_owned()),
        (ErrorCode::Unauthorized, _) => {
            let of = tool.as_deref().map(|tool| format!(" of `{tool}`")).unwrap_or_default();
            let required = ApiKeyRequired {
                source: Some(source()),
                experiment_id: id.clone(),
                error: failed.error.clone(),
                secret: None,
                suggestion: Some(format!(
                    "set the secret{of} with `fullsend secrets set NAME` (`fullsend tools show` names it), then run the experiment again"
                )),
                timestamp: Some(cx.now()),
            };
            effects.send(TO_ORCHESTRATOR, Draft::new(ToOrchestrator::from(required)).subject(id.clone()))?;
        }
        (ErrorCode::Cancelled, _) => note = Some("it was stopped by somebody's order".to_owned()),
        _ => {}
    }
    let is_lesson =
        matches!(code, ErrorCode::Timeout | ErrorCode::Exhausted | ErrorCode::InvalidParams | ErrorCode::Tool);
    if is_lesson && failed.run_id.is_some() && message.envelope.trust > Trust::External {
        let code = word(code);
        let of = tool.as_deref().map(|tool| format!(" by {tool}")).unwrap_or_default();
        let text = format!("{}{of} failed ({code}): {}", a_run(&failed.partial_results.0), failed.error.line(160));
        learn(&mut effects, &format!("{id}:{code}"), &id, &text, cx).await?;
    }
    if code != ErrorCode::Unauthorized {
        let report = ExperimentError {
            source: Some(source()),
            experiment_id: id.clone(),
            run_id: failed.run_id,
            error: failed.error,
            error_type: failed.error_type,
            code: Some(code),
            note,
            timestamp: Some(cx.now()),
        };
        effects.send(TO_ORCHESTRATOR, Draft::new(ToOrchestrator::from(report)).subject(id))?;
    }
    Ok(effects)
}

fn word(code: ErrorCode) -> String {
    serde_json::to_value(code).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A run, called what it was.
fn a_run(summary: &Map<String, Value>) -> &'static str {
    let is = |flag: &str| summary.get(flag) == Some(&Value::Bool(true));
    match (is("simulation"), is("dry_run")) {
        (true, _) => "A simulation (its people do not exist)",
        (false, true) => "A dry run (nothing went out)",
        (false, false) => "A run",
    }
}

/// The numbers of a summary, in words, also those one level below. What is nothing says nothing, and what is in there twice is told once.
fn numbers(summary: &Map<String, Value>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut put = |name: &str, value: &Value| {
        let is_told = name.starts_with("total_") || name == "seed";
        if let Some(value) = value.as_f64().filter(|value| *value != 0.0 && !is_told && found.len() < NUMBERS) {
            let name = if name == "would_send" { "would have been sent" } else { name };
            found.push(format!("{} {}", number(value), line(&name.replace('_', " "), 40)));
        }
    };
    for (name, value) in summary {
        put(name, value);
    }
    for (name, value) in summary {
        let is_mails = name == "campaign_stats";
        for (below, value) in value.as_object().into_iter().flatten() {
            put(&if is_mails { below.clone() } else { format!("{name} {below}") }, value);
        }
    }
    found
}

/// Remembers what a run taught in passing: for each experiment the last of its kind, and no more in all than anybody is shown.
async fn learn(
    effects: &mut Effects<grants::Fullsend>,
    name: &str,
    experiment: &str,
    text: &str,
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    let key = keys::tactical_learning(name).map_err(waiting::terminal)?;
    let fields =
        [("text", text), ("experiment_id", experiment), ("source", "fullsend"), ("created_at", &rfc3339(cx.now()))]
            .map(|(name, text)| (name.to_owned(), Some(text.to_owned())));
    change(effects, key.clone(), Expect::Any, fields.to_vec());
    forget_oldest(effects, &key, cx).await?;
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in 53 bits")]
    let score = cx.now().timestamp() as f64;
    effects.state(Key::new(keys::TACTICAL_LEARNINGS_INDEX), StateChange::Score { member: key, score });
    Ok(())
}

/// Makes room in the index for this one. What others wrote stays, though it is shown no more.
async fn forget_oldest(
    effects: &mut Effects<grants::Fullsend>,
    newest: &str,
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    let index = Key::new(keys::TACTICAL_LEARNINGS_INDEX);
    let Some(State::Sorted(scores)) = cx.bus().get(&index).await? else { return Ok(()) };
    let mut others: Vec<(String, f64)> = scores.into_iter().filter(|(member, _)| member != newest).collect();
    let over = (others.len() + 1).saturating_sub(TACTICAL).min(FORGOTTEN);
    others.sort_by(|(a, at), (b, bt)| at.total_cmp(bt).then_with(|| a.cmp(b)));
    others.truncate(over);
    let keys: Vec<Key> = others.into_iter().map(|(member, _)| Key::new(member)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let found = cx.bus().get_many(&keys, Some(&["source"])).await?;
    for (key, found) in keys.into_iter().zip(found) {
        effects.state(index.clone(), StateChange::RemoveMember(key.as_str().to_owned()));
        let source = found.ok().flatten().and_then(|state| state.document()?.get("source").map(str::to_owned));
        if source.as_deref() == Some("fullsend") && key.as_str().starts_with(LEARNING) {
            effects.delete(key, Expect::Any);
        }
    }
    Ok(())
}
