//! What the rules do about runs: how they ended, what went wrong, which tool needs mending.
//!
//! Must never end an experiment for an error, and never say a key that stands in one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::numbers::{ENOUGH, HITS, TRIES, learn, named_like, succeeded};
use super::{Case, cut, state, wanted};
use crate::contracts::Priority;
use crate::contracts::lifecycle::ExperimentState;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::intents::{self, Fault};
use crate::llm::tasks::words::{Words, is_listed};

/// How errors say that money is missing.
const MONEY: &str = "402, payment, balance, credits, credit, quota";
/// How they say that a key or a permission is.
const KEYS: &str = "401, unauthorized, api key, expired, revoked, forbidden, 403, credentials";
/// How they say that an account, or what may be reached, needs a person.
const ACCOUNT: &str = "\
    suspended, not verified, unverified, locked, captcha, log in, login, logged out, access denied, not allowed, banned, not \
    permitted, permission, sandbox, does not let, blocklisted, blacklisted";

/// A run ended.
pub(super) fn run_ended(case: &mut Case<'_>) -> Decision {
    let id = case.text("experiment_id").unwrap_or_default().to_owned();
    if case.is_archived(&id) {
        return case.nothing("The experiment is archived already.");
    }
    let run = case.text("run_id").unwrap_or_default().to_owned();
    if case.input.team.recent_runs.iter().any(|line| !run.is_empty() && line.contains(&run) && line.contains("decided"))
    {
        return case.nothing("This run is decided upon already.");
    }
    let Some(experiment) = case.experiment().cloned() else {
        return case.nothing("No experiment has this name.");
    };
    let result = result(case, "result_summary");
    let sum = |names: &str| {
        result.iter().filter(|(name, _)| named_like(name, names)).map(|(_, value)| *value).reduce(f64::max)
    };
    let complaints = sum("complaints, complaint, spam");
    // What is not known by name is told by its size: most of what was tried comes to nothing.
    let counts = || result.iter().filter(|(name, _)| is_count(name)).map(|(_, count)| *count);
    let tried = sum(TRIES).or_else(|| counts().reduce(f64::max).filter(|_| counts().count() >= 2));
    let hits = sum(HITS).or_else(|| counts().filter(|count| Some(*count) != tried).reduce(f64::max));
    let rate = result.iter().find(|(name, _)| name.ends_with("_rate")).map(|(_, value)| *value).or_else(|| {
        match (hits, tried) {
            (Some(hits), Some(tried)) if tried > 0.0 => Some(hits / tried),
            _ => None,
        }
    });
    let told = result.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
    let leaves = sum("unsubscribes, unsubscribed").zip(tried).is_some_and(|(left, tried)| left / tried >= 0.05);
    let complaints = complaints.zip(tried).is_some_and(|(complaints, tried)| complaints / tried >= 0.01);
    if (complaints || leaves) && tried.is_some_and(|tried| tried >= 50.0) {
        case.because(&format!("Too many complaints: {told}."));
        return case.kill(&id, &format!("Too many complaints: {told}."), Priority::Urgent);
    }
    let items = result.iter().find(|(name, _)| name.as_str() == "items").map(|(_, items)| *items);
    if items == Some(0.0) {
        case.because("The run found nothing, so its source or its filter is wrong.");
        let idea = format!("It found nothing. Widen the source or the filter: {}", cut(&experiment.hypothesis, 500));
        return case.revise(&id, &format!("Find more for {id}"), &idea, Priority::Medium);
    }
    let over = matches!(state(&experiment), Some(ExperimentState::Completed | ExperimentState::Failed));
    match (rate, tried) {
        (Some(rate), Some(tried)) if tried >= ENOUGH && rate >= 0.08 => {
            if over {
                return learn(case, &experiment, &format!("worked: {told}"));
            }
            succeeded(case, &experiment, &told, true)
        }
        (Some(rate), Some(tried)) if tried >= 150.0 && rate < 0.005 => {
            if over {
                return learn(case, &experiment, &format!("did not work: {told}"));
            }
            case.because(&format!("It comes to nothing again and again: {told}."));
            case.kill(&id, &format!("It comes to nothing: {told}."), Priority::High)
        }
        _ => case.nothing("The run ended; its numbers decide nothing yet."),
    }
}

/// Whether a number counts what was tried, or what came of it.
pub(super) fn is_count(name: &str) -> bool {
    const OTHER: &str = "\
        rate, share, duration, seconds, items, left, skipped, cost, costs, spent, price, batch, attempt, attempts, errors, \
        unsubscribes, unsubscribed, bounces, bounced, complaints, spam, opens, opened";
    !name.split('_').any(|part| is_listed(part, OTHER))
}

/// A run failed.
pub(super) fn run_failed(case: &mut Case<'_>) -> Decision {
    let id = case.text("experiment_id").unwrap_or_default().to_owned();
    if case.is_archived(&id) {
        return case.nothing("The experiment is archived already.");
    }
    if case.experiment().is_none() {
        return case.nothing("No experiment has this name.");
    }
    let code = code(case);
    let said = case.text("error").unwrap_or_default().to_owned();
    let words = Words::of(&said);
    let run = case.text("run_id").unwrap_or_default().to_owned();
    let before = case
        .input
        .team
        .recent_runs
        .iter()
        .filter(|line| line.contains(&id) && line.contains("fail") && (run.is_empty() || !line.contains(&run)))
        .count();
    match code.as_str() {
        "cancelled" => case.nothing("It was stopped on purpose."),
        "not_found" => missing_tool(case, &said),
        "invalid_params" => {
            case.because("The experiment names a parameter that the tool does not have.");
            let hypothesis = case.experiment().map(|known| known.hypothesis.clone()).unwrap_or_default();
            let idea = format!("Mend the parameters: {}. {}", cut(&said, 300), cut(&hypothesis, 300));
            case.revise(&id, &format!("Mend {id}"), &idea, Priority::High)
        }
        "timeout" if before > 0 => {
            case.because("It takes too long every time: the batches are too big.");
            let idea = format!("It takes too long every time ({}). Split it into smaller batches.", cut(&said, 300));
            case.revise(&id, &format!("Smaller batches for {id}"), &idea, Priority::Medium)
        }
        "timeout" | "transient" => case.nothing("It happened once, and may not happen again."),
        "tool" if words.has("robots, terms, disallows, forbids, 403, policy") => {
            case.because("The source does not allow it any more, and we keep to that.");
            case.tell(
                &format!("{id} cannot go on: {}. We should find another source, or end it.", cut(&said, 200)),
                Priority::High,
            )
        }
        "exhausted" | "unauthorized" => {
            case.because("It gave up after several tries, so a person should look.");
            case.tell(
                &format!("A run of {id} failed: {}. What was done until then is kept.", redacted(&said)),
                Priority::High,
            )
        }
        _ => fault(case, &id, &said, before > 0),
    }
}

/// Somebody reports a failed run. Where its result is known, that was decided upon; where the report comes first, it is as good.
pub(super) fn run_reported(case: &mut Case<'_>) -> Decision {
    let id = case.text("experiment_id").unwrap_or_default().to_owned();
    if case.is_archived(&id) {
        return case.nothing("The experiment is archived already.");
    }
    if let Some(run) = case.text("run_id") {
        if case.input.team.recent_runs.iter().any(|line| line.contains(run)) {
            return case.nothing("The run is decided upon by its result; this only reports it.");
        }
        return run_failed(case);
    }
    let said = case.text("error").unwrap_or_default().to_owned();
    match code(case).as_str() {
        "not_found" => missing_tool(case, &said),
        "cancelled" | "transient" => case.nothing("It was stopped on purpose, or has gone well since."),
        _ => fault(case, &id, &said, false),
    }
}

fn missing_tool(case: &mut Case<'_>, said: &str) -> Decision {
    let name = case.text("tool_name").map(str::to_owned).or_else(|| wanted::named(said));
    let Some(name) = name else {
        case.because("A tool is missing, but not even its name is known.");
        return case.tell(
            "A run needs a tool that is not there, and does not say which. Which tool should it use?",
            Priority::Medium,
        );
    };
    let under_way = super::notes::items(&case.input.team.worklist.text)
        .iter()
        .any(|item| item.is_in("active") && item.line.contains(&name));
    if under_way {
        return case.nothing(&format!("The tool {name} is being built already."));
    }
    case.because(&format!("The tool {name} is missing, and a run needs it."));
    let hypothesis = case.experiment().map(|known| known.hypothesis.clone()).unwrap_or_default();
    case.build(&name, &format!("Needed for: {}", cut(&hypothesis, 400)), Vec::new(), Priority::High)
}

fn code(case: &Case<'_>) -> String {
    let code = case.text("code").map(str::to_owned);
    code.unwrap_or_else(|| match case.text("error_type").unwrap_or_default() {
        "ToolNotFoundError" => "not_found".to_owned(),
        "ToolTimeoutError" => "timeout".to_owned(),
        "ToolRetryExhaustedError" => "exhausted".to_owned(),
        _ => String::new(),
    })
}

/// Numbers by name in an object of the message.
fn result(case: &Case<'_>, field: &str) -> BTreeMap<String, f64> {
    let fields = case.input.message.get(field).and_then(Value::as_object);
    fields.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

/// What is done about an error of a run or a tool.
pub(super) fn fault(case: &mut Case<'_>, id: &str, said: &str, repeats: bool) -> Decision {
    let words = Words::of(said);
    if words.has("cancelled, canceled, retried with success, went well, recovered") {
        return case.nothing("It was stopped on purpose, or has gone well since.");
    }
    if words.has(MONEY) {
        case.because("Money or credits are missing, which a person must see to.");
        return case.tell(
            &format!("{id} cannot go on: {}. Somebody must top up or raise the limit.", cut(said, 200)),
            Priority::High,
        );
    }
    if words.has(KEYS) {
        case.because("A key or a permission is missing, which a person must see to.");
        return case.tell(
            &format!("{id} cannot go on: {}. Please look at the key or the permission.", redacted(said)),
            Priority::High,
        );
    }
    if words.has(ACCOUNT) {
        case.because("An account, or what may be reached, needs a person.");
        return case.tell(&format!("{id} cannot go on: {}. Please look at it.", redacted(said)), Priority::High);
    }
    let named_error = said
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word.len() > 5 && word.ends_with("Error") && word.starts_with(|c: char| c.is_ascii_uppercase()));
    let bug = named_error
        || words.has(
            "\
        keyerror, typeerror, valueerror, traceback, division by zero, none type, nonetype, exception, panic, not \
        subscriptable, null pointer, index out of",
        );
    let each = words.has("each of the last, every run, all runs, fails in each, on all, every call, every time, each time, each run, always fails, on every");
    if bug {
        let name = wanted::named(said).or_else(|| case.text("tool_name").map(str::to_owned));
        if let Some(name) = name {
            case.because(&format!("The tool {name} is broken: its own error says so."));
            return repair(case, &name, said);
        }
    }
    let reading = intents::read::<Fault>(&words, said);
    match reading.surely() {
        Some(kind @ (Fault::Money | Fault::Key | Fault::Account | Fault::Terms)) => {
            case.because(&reading.why(kind));
            return case.tell(
                &format!("{id} cannot go on: {}. Only a person can see to that.", redacted(said)),
                Priority::High,
            );
        }
        Some(Fault::Bug) if !repeats || each => {
            if let Some(name) = wanted::named(said).or_else(|| case.text("tool_name").map(str::to_owned)) {
                case.because(&reading.why(Fault::Bug));
                return repair(case, &name, said);
            }
        }
        _ => {}
    }
    if each || repeats {
        case.because("It fails every time, so it will not mend itself.");
        return case.tell(
            &format!("{id} fails every time: {}. What should be done about it?", cut(said, 200)),
            Priority::High,
        );
    }
    // What has no code is a note of somebody who watched; an error of a tool that nobody understands needs eyes.
    let passes = reading.share_of(&[Fault::Passing, Fault::Stopped]) >= 0.5;
    let name = wanted::named(said).or_else(|| case.text("tool_name").map(str::to_owned));
    if code(case) == "tool"
        && reading.share(Fault::Bug) >= 0.4
        && let Some(name) = name
    {
        case.because(&reading.why(Fault::Bug));
        return repair(case, &name, said);
    }
    let watched = case.input.kind == "error" || case.text("alert_type") == Some("error");
    if !passes && (watched || code(case) == "tool") {
        case.because("It is not known what that means, so a person should look.");
        return case.tell(&format!("{id} ran into this: {}. Please look at it.", redacted(said)), Priority::Medium);
    }
    case.nothing("It happened once, and may not happen again.")
}

/// A tool that exists cannot be built under its own name; its next version can.
fn repair(case: &mut Case<'_>, name: &str, said: &str) -> Decision {
    let there = case.input.team.tools.iter().any(|tool| tool == name);
    let next = if there { format!("{}_fixed", name.chars().take(56).collect::<String>()) } else { name.to_owned() };
    let purpose = format!("Mend {name}: {}", cut(said, 400));
    case.build(
        &next,
        &purpose,
        vec![format!("does what {name} does, without this error: {}", cut(said, 200))],
        Priority::High,
    )
}

/// A text that may hold a key, without it.
fn redacted(said: &str) -> String {
    crate::telemetry::redact::redact(&cut(said, 200))
}
