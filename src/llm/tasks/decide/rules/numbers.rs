//! What the rules do about numbers. Evidence first: few observations, or little certainty, decide nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Case, cut, percent, state};
use crate::contracts::Priority;
use crate::contracts::lifecycle::ExperimentState;
use crate::experiments::criteria::Comparison;
use crate::experiments::statistics::{Count, LEVEL, State, judge};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::words::{Words, is_listed};
use crate::memory::ExperimentBrief;

/// Fewer observations say nothing for sure.
pub(super) const ENOUGH: f64 = 80.0;
/// Less certainty is a guess: the level of whoever judges.
const SURE: f64 = 1.0 - LEVEL;
/// Metrics that hurt people, or our name.
const HARM: &str = "complaint, complaints, spam, unsubscribe, bounce";
/// Names of metrics that count tries.
pub(super) const TRIES: &str = "\
    sent, send, sends, calls, views, visits, invited, letters, impressions, listeners, contacted, posts, shown, cards, \
    scans";
/// Names of metrics that count what is hoped for.
pub(super) const HITS: &str = "\
    replies, reply, meetings, booked, signups, leads, trials, installs, stars, sales, answers, positive, conversions";

/// What an experiment's own numbers say.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// In words.
    pub(super) words: String,
    /// Enough was tried, and next to nothing came of it, or people complain.
    pub(super) fails: bool,
}

/// The first rate of an experiment that it wants to be high.
pub(super) fn rate(known: &ExperimentBrief) -> Option<f64> {
    known.metrics.iter().find(|(name, _)| name.ends_with("_rate") && !harms(name)).map(|(_, value)| *value)
}

/// What its own numbers say.
pub(super) fn evidence(known: &ExperimentBrief) -> Evidence {
    if known.metrics.is_empty() {
        return Evidence { words: "it has no numbers yet".to_owned(), fails: false };
    }
    let number = |name: &str, value: f64| if name.ends_with("_rate") { percent(value) } else { format!("{value}") };
    let words: Vec<String> = known
        .metrics
        .iter()
        .take(8)
        .map(|(name, value)| format!("{} {}", cut(name, 40), number(name, *value)))
        .collect();
    let enough = tries(&known.metrics).is_some_and(|tries| tries >= ENOUGH);
    let harm = known
        .metrics
        .iter()
        .any(|(name, value)| harms(name) && *value >= 0.05 || name.contains("complaint") && *value >= 0.005);
    Evidence { words: words.join(", "), fails: enough && (rate(known).is_some_and(|rate| rate < 0.01) || harm) }
}

/// Whether a metric counts what hurts people, or our name.
fn harms(metric: &str) -> bool {
    Words::of(&metric.replace('_', " ")).has(HARM)
}

/// A metric crossed a line, a run reported an error, or a number is odd.
pub(super) fn alert(case: &mut Case<'_>) -> Decision {
    let id = case.text("experiment_id").unwrap_or_default().to_owned();
    if case.is_archived(&id) {
        return case.nothing("The experiment is archived already.");
    }
    let Some(experiment) = case.experiment().cloned() else {
        return case.nothing("No experiment has this name, so there is nothing to act upon.");
    };
    let kind = case.text("alert_type").unwrap_or(&case.input.kind).to_owned();
    match kind.as_str() {
        "error" => return error(case, &experiment),
        "anomaly" => return anomaly(case, &id),
        _ => {}
    }
    let value = case.number("value").or_else(|| current(case));
    let metric = metric(case);
    let sample = case.number("sample_size").or_else(|| tries(&experiment.metrics));
    let certainty = case.number("confidence");
    let direction = direction(case, value);
    let figures = figures(&metric, value, case.number("threshold"), sample, certainty);
    if case.is_external() && !confirmed(&experiment, &metric, value) {
        return case.nothing("It came from outside, and our own numbers do not say the same.");
    }
    let harm = harms(&metric);
    let proven = case.input.message.get("proven").and_then(Value::as_bool);
    let threshold = case.number("threshold");
    let said = proven.or_else(|| certainty.map(|certainty| certainty >= SURE));
    // Who says nothing of it has proven nothing; perhaps the numbers do.
    let sure = said.unwrap_or_else(|| is_proven(value, threshold, sample));
    let enough = sample.is_some_and(|sample| sample >= ENOUGH);
    match direction {
        Some(false) => {
            if !matches!(
                state(&experiment),
                Some(ExperimentState::Running | ExperimentState::Measuring | ExperimentState::Ready)
            ) {
                return ended_badly(case, &experiment, &figures, enough && sure);
            }
            if enough && sure {
                return failing(case, &experiment, &figures, harm);
            }
            let complaints = Words::of(&metric.replace('_', " ")).has("complaint, complaints, spam");
            if complaints && sample.is_some_and(|sample| sample >= 10.0) && value.unwrap_or(0.0) > 0.0 {
                case.because("People complain, although the sample is small.");
                return case.tell(
                    &format!("People complain about {id}: {figures}. Please look at it; `/pause` holds everything."),
                    Priority::Urgent,
                );
            }
            if said.is_none() {
                case.because("The alert gives no evidence, and the state has not enough.");
                let lacks = if sample.is_none() { "after how many observations" } else { "whether that is chance" };
                let ask = format!(
                    "{id} is beyond its line ({figures}), but I do not know {lacks}. Should it stop, or go on?"
                );
                return case.tell(&ask, Priority::Medium);
            }
            case.nothing(&format!("Too little evidence to stop it ({figures})."))
        }
        Some(true) => succeeded(case, &experiment, &figures, enough && sure),
        None => case.nothing("It does not say whether that is good or bad."),
    }
}

/// Whether a share is on its side of the line for more than chance, by what is known of it.
fn is_proven(value: Option<f64>, line: Option<f64>, sample: Option<f64>) -> bool {
    let (Some(value), Some(line), Some(sample)) = (value, line, sample) else { return false };
    let how = if value < line { Comparison::Below } else { Comparison::Above };
    let judged = Count::of((value * sample).round(), sample.floor()).and_then(|count| judge(count, count.n, how, line));
    judged.is_some_and(|verdict| verdict.state == State::Holds)
}

fn failing(case: &mut Case<'_>, experiment: &ExperimentBrief, figures: &str, harm: bool) -> Decision {
    let advice = case.text("recommendation").unwrap_or_default().to_owned();
    let words = Words::of(&advice);
    if !harm
        && words.has("another offer, change, try another, different, reword, rewrite, new subject, adjust, revise")
        && !words.has("kill, all")
    {
        case.because(&format!("It fails as it is ({figures}), but the advice is to change it: {}.", cut(&advice, 200)));
        let idea = format!("{} Keep what works; {}", cut(&experiment.hypothesis, 500), cut(&advice, 300));
        return case.revise(&experiment.id, &format!("Change {}", experiment.id), &idea, Priority::High);
    }
    case.because(&format!("It failed its criterion, with enough evidence: {figures}."));
    let priority = if harm { Priority::Urgent } else { Priority::High };
    case.kill(&experiment.id, &format!("It failed its criterion: {figures}."), priority)
}

fn ended_badly(case: &mut Case<'_>, experiment: &ExperimentBrief, figures: &str, proven: bool) -> Decision {
    let over = matches!(state(experiment), Some(ExperimentState::Completed | ExperimentState::Failed));
    if over && proven {
        return learn(case, experiment, &format!("did not work: {figures}"));
    }
    case.nothing(&format!("It is {}, so there is nothing to stop ({figures}).", experiment.state))
}

pub(super) fn succeeded(case: &mut Case<'_>, experiment: &ExperimentBrief, figures: &str, proven: bool) -> Decision {
    if !proven {
        return case.nothing(&format!("It looks good, but rests on too little ({figures})."));
    }
    if matches!(
        state(experiment),
        Some(ExperimentState::Completed | ExperimentState::Failed | ExperimentState::Paused | ExperimentState::Draft)
    ) {
        return learn(case, experiment, &format!("worked: {figures}"));
    }
    let items = super::notes::items(&case.input.team.worklist.text);
    if items.iter().any(|item| {
        item.is_in("active")
            && item.line.contains(&experiment.id)
            && item.words.has("scaling, scale, designing, bigger, second")
    }) {
        return case.nothing("It is being made bigger already.");
    }
    case.because(&format!("It works, with enough evidence: {figures}."));
    let advice = case.text("recommendation").map(|advice| format!(" {}.", cut(advice, 200))).unwrap_or_default();
    let idea = format!("Make it bigger, as it works ({figures}): {}{advice}", cut(&experiment.hypothesis, 500));
    case.revise(&experiment.id, &format!("Scale up {}", experiment.id), &idea, Priority::Medium)
}

pub(super) fn learn(case: &mut Case<'_>, experiment: &ExperimentBrief, what: &str) -> Decision {
    if known(case, experiment) {
        return case.nothing("The learnings say so already.");
    }
    case.because("The experiment is over, and its numbers teach something.");
    let headline = format!("{}: {what}", cut(&experiment.hypothesis, 100));
    case.learn(&headline, vec![format!("{}: {what}", experiment.id)])
}

fn known(case: &Case<'_>, experiment: &ExperimentBrief) -> bool {
    let stems = super::about(experiment).stems();
    super::notes::learnings(&case.input.team.learnings.text)
        .iter()
        .any(|learning| crate::llm::tasks::words::overlap(&stems, &learning.words.stems()) >= 0.4)
}

fn error(case: &mut Case<'_>, experiment: &ExperimentBrief) -> Decision {
    let said = case.text("message").or_else(|| case.text("recommendation")).unwrap_or_default().to_owned();
    super::runs::fault(case, &experiment.id.clone(), &said, false)
}

fn anomaly(case: &mut Case<'_>, id: &str) -> Decision {
    let severity = case.text("severity").unwrap_or("warning").to_owned();
    let certainty = case.number("confidence").unwrap_or(1.0);
    if severity == "info" || certainty < 0.6 {
        return case.nothing("The number is a little unusual, which happens.");
    }
    case.because("A number behaves as it never did, and nobody knows why yet.");
    let said = case.text("message").unwrap_or("a metric behaves oddly").to_owned();
    case.tell(
        &format!(
            "{id}: {}. Please look whether the counting, or somebody, is wrong before it is acted upon.",
            cut(&said, 300)
        ),
        Priority::High,
    )
}

pub(super) fn named_like(name: &str, parts: &str) -> bool {
    !name.ends_with("_rate") && name.split('_').any(|word| is_listed(word, parts))
}

/// How often something was tried, as the experiment's own numbers say.
fn tries(metrics: &BTreeMap<String, f64>) -> Option<f64> {
    let most = |wanted: &dyn Fn(&str) -> bool| {
        metrics.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| *value).reduce(f64::max)
    };
    // What is not known by name is told by its size.
    most(&|name| named_like(name, TRIES)).or_else(|| most(&super::runs::is_count))
}

fn metric(case: &Case<'_>) -> String {
    let criterion = case.text("criterion").and_then(|criterion| criterion.split_whitespace().next());
    case.text("metric").or(criterion).unwrap_or("a metric").to_owned()
}

/// The older alerts keep their values under `current_value`.
fn current(case: &Case<'_>) -> Option<f64> {
    match case.input.message.get("current_value")? {
        Value::Object(values) => values.get(&metric(case)).and_then(Value::as_f64),
        other => other.as_f64(),
    }
}

/// Whether it is good news; none where nothing tells.
fn direction(case: &Case<'_>, value: Option<f64>) -> Option<bool> {
    match case.text("direction").unwrap_or(&case.input.kind) {
        "success" | "success_threshold" => return Some(true),
        "failure" | "failure_threshold" => return Some(false),
        _ => {}
    }
    let advice = Words::of(case.text("recommendation").unwrap_or_default());
    if advice.has("kill, killing, stop, stopping, end, archive, pause") {
        return Some(false);
    }
    if advice.has("scale, double, grow, continue, more of") {
        return Some(true);
    }
    let harm = harms(&metric(case));
    let threshold = case.number("threshold")?;
    Some(if harm { value? < threshold } else { value? > threshold })
}

/// Whether our own numbers say the same as a message from outside.
fn confirmed(experiment: &ExperimentBrief, metric: &str, value: Option<f64>) -> bool {
    let (Some(own), Some(value)) = (experiment.metrics.get(metric), value) else { return false };
    (own - value).abs() <= (own.abs() * 0.5).max(0.005)
}

/// The evidence in words.
fn figures(
    metric: &str,
    value: Option<f64>,
    threshold: Option<f64>,
    sample: Option<f64>,
    certainty: Option<f64>,
) -> String {
    let number = |n: f64| if metric.ends_with("_rate") { percent(n) } else { format!("{n}") };
    let parts = [
        Some(cut(metric, 60) + &value.map(|value| format!(" is {}", number(value))).unwrap_or_default()),
        threshold.map(|threshold| format!("the line is {}", number(threshold))),
        sample.map(|sample| format!("after {sample}")),
        certainty.map(|certainty| format!("{} sure", percent(certainty))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
