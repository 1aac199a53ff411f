//! How runs ended: reports to the orchestrator by the error's code, and what they taught in passing.
//!
//! Must never read a sentence to find out what happened: codes say it.

use serde_json::{Map, Value};

use super::{Said, change, source, waiting};
use crate::bus::{Context, Draft, Effects, Expect, Failure, Key, Received, StateChange};
use crate::contracts::Trust;
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::keys;
use crate::contracts::messages::{
    ApiKeyRequired, ErrorCode, ExperimentCompleted, ExperimentError, ExperimentFailed, ExperimentResults,
    ExperimentSuccess, ToOrchestrator,
};
use crate::contracts::wiring::TO_ORCHESTRATOR;
use crate::services::wording::line;

/// Numbers of a run that a learning repeats.
const NUMBERS: usize = 6;

pub(super) async fn handle(result: ExperimentResults, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
    match result {
        ExperimentResults::Completed(done) => completed(done, message, cx),
        ExperimentResults::Failed(failed) => failure(failed, message, cx).await,
    }
}

fn completed(done: ExperimentCompleted, message: &Received, cx: &Context<grants::Fullsend>) -> Said {
    let mut effects = cx.effects();
    let numbers = numbers(&done.result_summary.0);
    if !numbers.is_empty() && message.envelope.trust > Trust::External {
        let took = done.duration.map(|seconds| format!(" in {seconds:.0} s")).unwrap_or_default();
        let text = format!("A run gave {}{took}", numbers.join(", "));
        learn(&mut effects, &done.run_id, &done.experiment_id, &text, cx)?;
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
    if let (true, Some(run), true) = (is_lesson, &failed.run_id, message.envelope.trust > Trust::External) {
        let what = tool.as_deref().unwrap_or("A run");
        let text = format!("{what} failed ({}): {}", word(code), failed.error.line(160));
        learn(&mut effects, run, &id, &text, cx)?;
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

/// The numbers of a summary, in words, also those one level below.
fn numbers(summary: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let mut put = |name: &str, value: &Value| {
        if value.is_number() && found.len() < NUMBERS {
            found.push(format!("{} {value}", line(&name.replace('_', " "), 40)));
        }
    };
    for (name, value) in summary {
        put(name, value);
        for (below, value) in value.as_object().into_iter().flatten() {
            put(&format!("{name} {below}"), value);
        }
    }
    found
}

/// Remembers what a run taught in passing. Once for each run.
fn learn(
    effects: &mut Effects<grants::Fullsend>,
    run: &str,
    experiment: &str,
    text: &str,
    cx: &Context<grants::Fullsend>,
) -> Result<(), Failure> {
    let key = keys::tactical_learning(run).map_err(waiting::terminal)?;
    let fields =
        [("text", text), ("experiment_id", experiment), ("source", "fullsend"), ("created_at", &rfc3339(cx.now()))]
            .map(|(name, text)| (name.to_owned(), Some(text.to_owned())));
    change(effects, key.clone(), Expect::Any, fields.to_vec());
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in 53 bits")]
    let score = cx.now().timestamp() as f64;
    effects.state(Key::new(keys::TACTICAL_LEARNINGS_INDEX), StateChange::Score { member: key, score });
    Ok(())
}
