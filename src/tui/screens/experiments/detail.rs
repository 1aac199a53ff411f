//! The selected experiment, whole: what it is, what it does and when, what came of it and how sure that is, what it cost.
//!
//! Must never judge, nor say less of a criterion than is known.

use super::{LISTED, cost, decides, key, next_run, selected, sign, spec_of, verdict};
use crate::bus::{Document, Key, State};
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{Audit, AuditRecord, Direction};
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::contracts::{Body, ChannelName, ServiceName};
use crate::experiments::criteria::Sample;
use crate::experiments::spec::Mode;
use crate::memory::experiments::{self as known, Steps};
use crate::tui::app::Model;
use crate::tui::draw::chart;
use crate::tui::draw::text::{self, Piece};
use crate::tui::screens::content::{Entry, Lines, Target};
use crate::tui::store::experiments::{Criterion, Experiment};
use crate::tui::theme::Role;

/// The selected experiment, whole.
pub fn detail(model: &Model, width: u16) -> Vec<Entry> {
    let Some(it) = selected(model) else { return Vec::new() };
    let mut lines = Lines::new(&it.id, width, Some(Target::Document(key(&it.id))));
    let (sign, role) = sign(it.state);
    let state = it.state.map_or("its state cannot be read", ExperimentState::as_str);
    let (verdict_role, words) = verdict(model, it);
    lines.line(vec![
        Piece::new(role, format!("{sign} {state}  ")),
        Piece::new(Role::Title, sanitize_line(&it.id, 120)),
        Piece::new(verdict_role, format!("  {words}")),
    ]);
    lines.text(text::mode_role(it.mode), it.mode.meaning());
    lines.text(Role::Text, if it.title.is_empty() { "its document does not say what it is about" } else { &it.title });
    for (name, words) in &it.facts {
        // A time is one where the person is.
        let time = crate::contracts::envelope::read_time(words).map(|at| text::date_time(at, model));
        lines.field(name, Role::Text, time.as_deref().unwrap_or(words));
    }
    steps(&mut lines, model, it);
    schedule(&mut lines, model, it);
    verdict_lines(&mut lines, model, it);
    criteria(&mut lines, model, it);
    variants(&mut lines, it);
    numbers(&mut lines, model, it);
    runs(&mut lines, model, it);
    replies(&mut lines, model, it);
    audit(&mut lines, model, it);
    costs(&mut lines, model, it);
    spec(&mut lines, model, it);
    lines.entries
}

/// What it does, in each run and afterwards; where a run is under way, how far it is.
fn steps(lines: &mut Lines, model: &Model, it: &Experiment) {
    let plan = &it.plan;
    if plan.steps.is_empty() && plan.later.is_empty() && plan.fault.is_none() {
        return;
    }
    lines.heading("Steps");
    if let Some(fault) = &plan.fault {
        lines.text(Role::Danger, &format!("it cannot be run: {fault}"));
    }
    for words in &plan.first {
        lines.text(Role::Warn, &format!("first, by hand: {words}"));
    }
    let run = under_way(model, it);
    let far = run.and_then(Steps::of);
    for (at, step) in (1..).zip(&plan.steps) {
        let (sign, role) = match far.as_ref().map(|far| far.has_ended(&step.id)) {
            Some(Some(true)) => ("● ", Role::Ok),
            Some(Some(false)) => ("○ ", Role::Muted),
            Some(None) => ("◐ ", Role::Accent),
            None => ("", Role::Text),
        };
        lines.text(role, &format!("{sign}{at}. {}", step.words));
    }
    for words in &plan.later {
        lines.text(Role::Muted, &format!("later: {words}"));
    }
    if let Some(run) = run {
        let bar = far.map(|far| chart::progress(far.share(), 20, model.about.is_plain)).unwrap_or_default();
        let is_waiting = run.get("status") == Some("waiting");
        let (role, waits) = if is_waiting { (Role::Warn, "waits ") } else { (Role::Accent, "") };
        lines.text(role, &format!("{bar} {waits}{}", known::under_way(run)));
    }
}

/// The document of its newest run that is under way, or waits.
fn under_way<'a>(model: &'a Model, it: &Experiment) -> Option<&'a Document> {
    let documents = &model.store.documents;
    let prefix = format!("experiment_runs:{}:", it.id);
    let is_open = |(_, state): &(&Key, &State)| {
        state.document().is_some_and(|run| matches!(run.get("status"), Some("running" | "waiting")))
    };
    let key = documents.of(&prefix).filter(is_open).map(|(key, _)| key.clone()).last()?;
    documents.document(key.as_str())
}

/// What it comes to, and how sure that is.
fn verdict_lines(lines: &mut Lines, model: &Model, it: &Experiment) {
    lines.heading("Verdict");
    let (role, words) = verdict(model, it);
    let Some(outcome) = &it.outcome else {
        lines.text(role, &words);
        return;
    };
    lines.text(role, &format!("{words} · judged {}", text::date_time(outcome.at, model)));
    if let Some(until) = it.observed_until {
        let left = text::left(until, model.now.wall);
        let left = if until <= model.now.wall { "is over".to_owned() } else { format!("for {left} more") };
        lines.text(Role::Muted, &format!("observed until {} ({left})", text::date_time(until, model)));
    }
    if let Some(judged) = decides(outcome) {
        lines.text(Role::Text, &format!("{}: {}", sanitize_line(&judged.criterion, 200), judged.words()));
    }
}

fn costs(lines: &mut Lines, model: &Model, it: &Experiment) {
    let cost = cost(model, it);
    let Some(total) = cost.total() else { return };
    lines.heading("Cost");
    let part = |name: &str, nano: Option<u64>| nano.map(|nano| format!("{} for {name}", show_usd(nano)));
    let parts = [part("its design", cost.design), part("decisions on it", cost.decisions)];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    lines.text(Role::Text, &format!("{} of models: {parts}", show_usd(total)));
    if it.mode == Mode::Live {
        lines.text(Role::Muted, "what the mail provider takes for what is sent is not known here");
    }
}

fn not_built(service: ServiceName, what: &str) -> Option<String> {
    (!service.is_built()).then(|| format!("The service `{service}`, which {what}, is not in this version yet."))
}

fn schedule(lines: &mut Lines, model: &Model, it: &Experiment) {
    lines.heading("Schedule");
    match &it.schedule {
        Some(schedule) => {
            let zone = schedule.zone.as_deref().unwrap_or("UTC");
            let state = schedule.state.as_deref().map(|state| format!(" · {state}")).unwrap_or_default();
            let next = schedule.next.map(|at| {
                format!(" · next {} ({})", text::date_time(at, model), next_run(Some(schedule), model.now.wall))
            });
            lines.text(Role::Text, &format!("{} {zone}{state}{}", schedule.cron, next.unwrap_or_default()));
        }
        None => lines.text(Role::Muted, "none: it runs when somebody starts it"),
    }
    if let Some(words) = not_built(ServiceName::Executor, "starts runs") {
        lines.text(Role::Muted, &words);
    }
}

fn criteria(lines: &mut Lines, model: &Model, it: &Experiment) {
    lines.heading("Criteria");
    if it.criteria.is_empty() {
        lines.text(Role::Muted, "its document names none");
    }
    for criterion in &it.criteria {
        let (sign, role) = match criterion.direction {
            Direction::Failure => ("▼ fails if", Role::Danger),
            Direction::Success => ("▲ works if", Role::Ok),
        };
        lines.field(sign, Role::Text, &criterion.text);
        let (role, words) = standing(model, it, criterion, role);
        lines.field("", role, &words);
    }
}

/// Where a criterion stands: the number now, on which side of its line, and how sure, where somebody said so.
fn standing(model: &Model, it: &Experiment, criterion: &Criterion, role: Role) -> (Role, String) {
    if let Some(judged) = it.judged(criterion) {
        return (if judged.holds == Some(true) { role } else { Role::Muted }, judged.words());
    }
    let Some(says) = &criterion.says else {
        return (Role::Muted, "prose: nothing measures it; `metric < number` would be measured".to_owned());
    };
    let Some(bound) = &criterion.bound else {
        return (Role::Muted, "nobody has judged it yet".to_owned());
    };
    let series = &model.store.series;
    let Some(value) = it.computes(&bound.of, series) else {
        return (Role::Muted, format!("{} was not measured yet", bound.name));
    };
    let after = says.sample.as_ref().map(|Sample { count, event }| {
        let so_far = it.value(event, series).map_or_else(|| "?".to_owned(), |value| chart::number(value, false));
        format!(", {so_far} of {count} {event}")
    });
    // What was said of another criterion says nothing of this one.
    let sure = model.store.alerts.measure(&it.id, &bound.name);
    let sure = sure.filter(|said| said.direction.is_none_or(|direction| direction == criterion.direction));
    let sure = sure.and_then(|it| Some((it.confidence?, it.sample_size))).map(|(share, sample)| {
        let sample = sample.map(|count| format!(" of {count}")).unwrap_or_default();
        format!(", {} sure{sample}", chart::number(share, true))
    });
    let holds = bound.how.holds(value, bound.line);
    let words = format!(
        "now {}: {}{}{}",
        chart::number(value, it.is_share(&bound.name)),
        if holds { "it is so" } else { "it is not so" },
        after.unwrap_or_default(),
        sure.unwrap_or_else(|| ", nobody said how sure".to_owned()),
    );
    (if holds { role } else { Role::Muted }, words)
}

/// Its variants, compared: each with its share and where that can lie, and how sure it is that the first is better.
fn variants(lines: &mut Lines, it: &Experiment) {
    let Some(found) = it.outcome.as_ref().and_then(|outcome| outcome.variants.as_ref()) else { return };
    lines.heading(&format!("Variants by {}", sanitize_line(&found.metric, 60)));
    for arm in found.arms.iter().take(LISTED) {
        lines.line(vec![
            Piece::new(Role::Muted, text::padded(&sanitize_line(&arm.name, 20), 22)),
            Piece::new(Role::Text, arm.figures()),
        ]);
    }
    lines.text(if found.decided { Role::Ok } else { Role::Muted }, &found.claim());
}

fn numbers(lines: &mut Lines, model: &Model, it: &Experiment) {
    let series = &model.store.series;
    let names = it.charted(series);
    if names.is_empty() {
        return;
    }
    lines.heading("Numbers");
    for name in names.iter().take(LISTED) {
        let value = it.value(name, series);
        let points: Vec<f64> = it.history(name, series).into_iter().map(|(_, value)| value).collect();
        let bars = chart::sparkline(&points, 16, model.about.is_plain);
        let value = value.map_or_else(|| "not measured".to_owned(), |value| chart::number(value, it.is_share(name)));
        lines.line(vec![
            Piece::new(Role::Muted, text::padded(name, 22)),
            Piece::new(Role::Title, format!("{} ", text::padded(&value, 12))),
            Piece::new(Role::Accent, bars),
        ]);
    }
    if names.len() > LISTED {
        lines.text(Role::Muted, &format!("and {} more", names.len() - LISTED));
    }
}

fn runs(lines: &mut Lines, model: &Model, it: &Experiment) {
    let prefix = format!("experiment_runs:{}:", it.id);
    let mut runs: Vec<(&Key, &Document)> =
        model.store.documents.of(&prefix).filter_map(|(key, state)| Some((key, state.document()?))).collect();
    lines.heading(&format!("Runs ({})", runs.len()));
    if runs.is_empty() {
        lines.text(Role::Muted, "none yet");
    }
    runs.reverse();
    for (key, run) in runs.into_iter().take(LISTED) {
        let said = |field: &str| run.get(field).map(|text| sanitize_line(text, 160)).unwrap_or_default();
        let status = [said("status"), said("state")].into_iter().find(|it| !it.is_empty()).unwrap_or_default();
        let (sign, role) = match status.as_str() {
            "completed" | "success" => ("●", Role::Ok),
            "failed" | "error" => ("▼", Role::Danger),
            "running" => ("◐", Role::Accent),
            "waiting" => ("◌", Role::Warn),
            _ => ("·", Role::Muted),
        };
        let name = key.as_str().strip_prefix(&prefix).unwrap_or_default();
        let took = [said("duration_seconds"), said("duration")].into_iter().find(|it| !it.is_empty());
        let took = took.map(|seconds| format!(" {seconds} s")).unwrap_or_default();
        let under_way = match status.as_str() {
            "running" | "waiting" => known::under_way(run),
            _ => String::new(),
        };
        let what =
            [under_way, said("error"), said("result_summary"), said("partial")].into_iter().find(|it| !it.is_empty());
        lines.target(Target::Document(key.clone()));
        lines.line(vec![
            Piece::new(role, format!("{sign} {status} ")),
            Piece::new(Role::Muted, format!("{}{took} ", sanitize_line(name, 60))),
            Piece::new(Role::Text, what.unwrap_or_default()),
        ]);
        lines.untarget();
    }
}

fn replies(lines: &mut Lines, model: &Model, it: &Experiment) {
    let replies: Vec<_> = model.store.experiments.replies(&it.id).take(LISTED).collect();
    lines.heading(&format!("What people wrote ({})", replies.len()));
    if replies.is_empty() {
        lines.text(Role::Muted, "nothing yet");
    }
    for reply in replies {
        let Some((event, from, words)) = reply.told() else { continue };
        let time = reply.row.at().map(|at| text::date_time(at, model)).unwrap_or_default();
        lines.target(Target::Message(std::sync::Arc::clone(&reply.row)));
        lines.line(vec![
            Piece::new(Role::Muted, format!("{time} ")),
            Piece::new(Role::Source, format!("{from} ")),
            Piece::new(Role::Muted, event),
        ]);
        for line in words.lines().take(6) {
            lines.text(Role::Value, &format!("  {line}"));
        }
        lines.untarget();
    }
}

fn audit(lines: &mut Lines, model: &Model, it: &Experiment) {
    let Some(channel) = model.store.channel(ChannelName::Audit) else { return };
    let rows = channel.ring.shown().iter().rev().filter_map(|line| line.row());
    let about = rows
        .filter(|row| row.is_believed())
        .filter(|row| row.envelope.as_ref().is_some_and(|of| of.subject.as_deref() == Some(it.id.as_str())));
    let mut is_first = true;
    for row in about.take(LISTED) {
        let Ok(Audit::Record(record)) = Audit::read(&row.body) else { continue };
        if std::mem::take(&mut is_first) {
            lines.heading("What was done to it");
        }
        lines.target(Target::Message(std::sync::Arc::clone(row)));
        lines.line(vec![
            Piece::new(Role::Muted, format!("{} ", text::date_time(record.at, model))),
            Piece::new(Role::Source, format!("{} ", sanitize_line(&record.by, 40))),
            Piece::new(Role::Text, done(&record)),
        ]);
        lines.untarget();
    }
}

fn done(record: &AuditRecord) -> String {
    let said = |name: &str| record.details.get(name).and_then(serde_json::Value::as_str);
    let step = said("from").zip(said("to")).map(|(from, to)| format!(" {from} → {to}")).unwrap_or_default();
    let reason = said("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    sanitize_line(&format!("{} {}{step}{reason}", record.event, said("order").unwrap_or_default()), 300)
}

fn spec(lines: &mut Lines, model: &Model, it: &Experiment) {
    let Some(spec) = spec_of(model, &it.id) else { return };
    lines.heading("Specification, as it was written");
    for line in sanitize(&spec, 2_000).lines().take(400) {
        lines.text(Role::Value, line);
    }
}
