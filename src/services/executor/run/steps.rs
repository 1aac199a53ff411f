//! The steps of a run, one after the other, each written down when it has ended.

use serde_json::{Map, Value, json};

use super::super::desk::{Account, Matter, RunDesk};
use super::super::forgotten;
use super::super::pen::Unwritten;
use super::super::person::{self, Asked};
use super::super::record::at;
use super::super::{field, shown};
use super::{Ended, Failed, Work};
use crate::bus::{Draft, Op};
use crate::config::zone;
use crate::contracts::channel::grants;
use crate::contracts::messages::{ErrorCode, ItemsProcessed, Metrics};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::METRICS;
use crate::experiments::spec::{Mode, Step};
use crate::experiments::steps::{By, SENDER, resolve};
use crate::tools::contract::{Call, Outcome, RunContext};

/// Does what is left to do.
pub(super) async fn all(work: &mut Work<'_>) -> Result<Ended, Unwritten> {
    for planned in work.plan.clone() {
        let step = planned.step;
        if work.outputs.contains_key(&step.id) {
            continue;
        }
        if work.stop.is_cancelled() {
            return Ok(Ended::HandedOn);
        }
        let mut params = match resolve(&step.params, &work.outputs) {
            Ok(params) => params,
            Err(err) => return Ok(failed(&step, ErrorCode::InvalidParams, &err.to_string())),
        };
        if work.run.follow_up().is_some() {
            params.extend(
                work.run
                    .get("recipients")
                    .and_then(|text| Some(("recipients".to_owned(), serde_json::from_str(text).ok()?))),
            );
        }
        work.pen.write(vec![field("step", step.id.as_str())], Vec::new()).await?;
        let output = match planned.by {
            By::Person if work.mode != Mode::Live => json!({ "by": "person", "left_out": work.mode.as_str() }),
            By::Person => match person::ask(work, &step, &params).await? {
                Asked::Done(output) => output,
                Asked::Waits(until) => {
                    return Ok(Ended::Waits { until, why: format!("a person, for the step {}", shown(&step.id)) });
                }
                Asked::Refused(why) => return Ok(failed(&step, ErrorCode::Cancelled, &why)),
                Asked::TooLate(why) => return Ok(failed(&step, ErrorCode::Timeout, &why)),
            },
            By::Tool => match tool(work, &step, params).await? {
                Ok(output) => output,
                Err(ended) => return Ok(ended),
            },
        };
        write_down(work, &step, output).await?;
    }
    Ok(Ended::Completed)
}

fn failed(step: &Step, code: ErrorCode, message: &str) -> Ended {
    let message = format!("step {}: {}", shown(&step.id), sanitize_line(message, 600));
    Ended::Failed(Box::new(Failed { tool: Some(step.tool.clone()), ..Failed::new(code, message) }))
}

/// Runs a tool: what it gave, or how the run ends with it.
async fn tool(
    work: &mut Work<'_>,
    step: &Step,
    mut params: Map<String, Value>,
) -> Result<Result<Value, Ended>, Unwritten> {
    let parts = &work.executor.parts;
    if step.tool == SENDER {
        fill_in(&mut params, &parts.outreach, work.mode);
    }
    let matter = Matter {
        experiment: work.experiment.id.clone(),
        run: work.run.id.clone(),
        step: step.id.clone(),
        mode: work.mode,
        idempotent: parts.tools.facts(&step.tool).await.is_some_and(|facts| facts.idempotent),
        sender: sender(&params, work),
        daily_limit: work.spec.outreach.as_ref().and_then(|outreach| outreach.daily_limit),
        delay: work
            .spec
            .outreach
            .as_ref()
            .and_then(|outreach| outreach.delay)
            .map_or(parts.outreach.delay, |delay| delay.0.max(parts.outreach.delay)),
        collect_every: work.spec.measuring.collect_every.0,
        began: work.run.time("due_at").or_else(|| work.run.time("started_at")).unwrap_or_else(|| work.cx.now()),
        zone: work.spec.execution.timezone.as_deref().and_then(|name| zone::named(name).ok()),
    };
    let call = Call {
        tool: step.tool.clone(),
        params,
        run: RunContext {
            experiment_id: work.experiment.id.clone(),
            run_id: work.run.id.clone(),
            step: step.id.clone(),
            mode: work.mode,
        },
        timeout: None,
    };
    let mut desk = RunDesk::new(matter, &parts.outreach, work.cx, &mut work.pen, work.stop.clone());
    let mut outcome = parts.tools.run(call, &mut desk, work.kill.clone()).await;
    let account = match desk.close().await {
        Ok(account) => account,
        // What it wanted cannot be: that is the tool's failure, not the bus's.
        Err(Unwritten::Refused(why)) => return Ok(Err(failed(step, ErrorCode::Tool, &why))),
        Err(err) => return Err(err),
    };
    if let Err(err) = &mut outcome.result
        && err.code == ErrorCode::NotFound
        && parts.tools.facts(&step.tool).await.is_some()
    {
        // What it did not find is not the tool itself.
        err.code = ErrorCode::Tool;
    }
    work.acts += account.done;
    Ok(ended(work, step, outcome, account))
}

/// What the end of a tool means for the run.
fn ended(work: &Work<'_>, step: &Step, outcome: Outcome, account: Account) -> Result<Value, Ended> {
    if let Some(pause) = account.pause {
        return Err(Ended::Waits { until: pause.until, why: pause.why });
    }
    if work.stop.is_cancelled() {
        return Err(Ended::HandedOn);
    }
    match outcome.result {
        Ok(value) => Ok(counted(value, account.before)),
        Err(err) => {
            let said = account.lines.last().map(|line| format!(" ({line})")).unwrap_or_default();
            let left_out = match outcome.dropped {
                0 => String::new(),
                bytes => format!("; {bytes} bytes of its output were left out"),
            };
            let message = format!("step {}: {}{said}{left_out}", shown(&step.id), sanitize_line(&err.message, 600));
            Err(Ended::Failed(Box::new(Failed {
                code: Some(err.code),
                message,
                tool: Some(step.tool.clone()),
                partial: err.partial,
                took: outcome.took,
            })))
        }
    }
}

/// What was done before the step was begun again counts as done, not as left out.
fn counted(mut value: Value, before: u64) -> Value {
    if let (Value::Object(fields), 1..) = (&mut value, before) {
        let number = |fields: &Map<String, Value>, name: &str| fields.get(name).and_then(Value::as_u64);
        if let (Some(sent), Some(skipped)) = (number(fields, "sent"), number(fields, "skipped")) {
            fields.insert("sent".to_owned(), (sent + before).into());
            fields.insert("skipped".to_owned(), skipped.saturating_sub(before).into());
        }
    }
    value
}

/// What the settings say of a sender, where the experiment does not.
pub(in super::super) fn fill_in(params: &mut Map<String, Value>, outreach: &crate::config::OutreachConfig, mode: Mode) {
    // Whoever answers its questions keeps limits and pauses: it would end at them, and the rest would not go out the next day.
    // And a sample is what the operator orders.
    for kept in ["daily_limit", "delay", "sample_to"] {
        params.shift_remove(kept);
    }
    let is_served = params.contains_key("base_url");
    let mut put = |name: &str, value: Option<&String>| {
        if let (false, Some(value)) = (params.contains_key(name), value) {
            params.insert(name.to_owned(), Value::String(value.clone()));
        }
    };
    put("sender", outreach.sender.as_ref());
    put("sender_name", outreach.sender_name.as_ref());
    put("postal_address", outreach.postal_address.as_ref());
    put("unsubscribe", outreach.unsubscribe.as_ref());
    if mode == Mode::Live && !is_served {
        put("smtp", outreach.smtp.as_ref());
    }
}

/// Whose limit of a day counts.
fn sender(params: &Map<String, Value>, work: &Work<'_>) -> String {
    let said = params.get("sender").and_then(Value::as_str);
    let known = said.or(work.executor.parts.outreach.sender.as_deref()).unwrap_or("nobody");
    known.trim().to_lowercase().replace([':', ' '], "_")
}

/// The step has ended: what it gave stands in the run's document.
async fn write_down(work: &mut Work<'_>, step: &Step, output: Value) -> Result<(), Unwritten> {
    let mut ops = Vec::new();
    let items = match &output {
        Value::Array(items) => Some(items.len()),
        Value::Object(fields) => fields.get("rows").and_then(Value::as_array).map(Vec::len),
        _ => None,
    };
    if let Some(items) = items {
        let processed = ItemsProcessed {
            count: items as u64,
            run_id: Some(work.run.id.clone()),
            experiment_id: work.experiment.id.clone(),
            timestamp: Some(work.cx.now()),
        };
        let draft = Draft::new(Metrics::ItemsProcessed(processed)).subject(work.experiment.id.as_str());
        let message = work.cx.origin().compose::<grants::Executor, _>(METRICS, draft);
        ops.push(Op::Append(message.map_err(|err| Unwritten::Refused(err.to_string()))?));
    }
    work.outputs.insert(step.id.clone(), output);
    let done = work.outputs.len();
    let progress = json!({ "step": step.id, "done": done, "total": work.plan.len().max(done), "message": "steps" });
    without_the_forgotten(work).await?;
    loop {
        let outputs = serde_json::to_string(&work.outputs).map_err(|err| Unwritten::Refused(err.to_string()))?;
        let fields = vec![
            field("outputs", outputs),
            field("progress", progress.to_string()),
            field("timestamp", at(work.cx.now())),
        ];
        work.pen.write(fields, std::mem::take(&mut ops)).await?;
        // Who was forgotten meanwhile may have been taken out before this was written.
        if !without_the_forgotten(work).await? {
            return Ok(());
        }
    }
}

/// Whether somebody was taken out.
async fn without_the_forgotten(work: &mut Work<'_>) -> Result<bool, Unwritten> {
    let bus = work.cx.bus();
    let outputs = std::mem::take(&mut work.outputs);
    let (outputs, changed) = work
        .pen
        .look(|| async {
            let mut outputs = outputs.clone();
            let changed = forgotten::leave_out(bus, &mut outputs).await?;
            Ok((outputs, changed))
        })
        .await?;
    work.outputs = outputs;
    Ok(changed)
}
