//! Criteria that are well written and can never be what they say: shares with lines that no share reaches, and events that nobody says.

use super::Found;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::criteria::{Aggregate, Condition, Criterion, Definitions, Formula, Name, Share, Space};
use crate::experiments::events;
use crate::experiments::spec::{MetricKind, Mode, Spec};

pub(super) fn criteria(spec: &Spec, found: &mut Found) {
    let (definitions, _) = Definitions::of(&spec.metrics);
    for (list, texts) in [("success_criteria", &spec.success_criteria), ("failure_criteria", &spec.failure_criteria)] {
        for (index, text) in texts.iter().enumerate() {
            let Ok(criterion) = Criterion::parse(text) else { continue };
            let path = format!("{list}[{index}]");
            lines(&criterion, spec, &definitions, &path, found);
            unsaid(&criterion, spec, &definitions, &path, found);
        }
    }
}

/// A share is a fraction: `reply_rate < 2` is always true.
fn lines(criterion: &Criterion, spec: &Spec, definitions: &Definitions, path: &str, found: &mut Found) {
    let mut wrong = None;
    criterion.condition.each(&mut |left, how, right| {
        let Some(share) = definitions.share_of(left, how, right) else { return };
        let (side, line) = if left.constant().is_some() { (right, left) } else { (left, right) };
        let is_bare_one =
            matches!(line, Formula::Number { written, is_percent: false } if (written - 1.0).abs() < 1e-12);
        let is_beyond = share.line < 0.0 || share.line > 1.0 || is_bare_one && (share.line - 1.0).abs() < 1e-12;
        if is_beyond && is_share(side, &share, spec) {
            wrong.get_or_insert_with(|| (side.clone(), line.clone(), share.line));
        }
    });
    let Some((side, line, value)) = wrong else { return };
    let message = format!(
        "`{}` is a share, and {line} of it are {} %",
        sanitize_line(&side.to_string(), 80),
        round(value * 100.0)
    );
    let fix = match line {
        Formula::Number { written, is_percent: false }
            if (0.0..=100.0).contains(&written) && (value - written).abs() < 1e-12 =>
        {
            let condition = in_percent(criterion.condition.clone(), &side, &line);
            let meant = Criterion { condition, ..criterion.clone() };
            let or = if written > 1.0 { "" } else { ", or `100%` where all are meant" };
            format!("write `{}`{or}", sanitize_line(&meant.to_string(), 160))
        }
        _ => "a share lies between 0 and 100 %; write its line like `5%`".to_owned(),
    };
    found.error(path, message, fix);
}

/// Whether a quotient is meant as a share: it is said to be one, or it is of those who were written to.
fn is_share(side: &Formula, share: &Share, spec: &Spec) -> bool {
    let is_named = match side {
        Formula::Name(name) => {
            name.aggregate == Some(Aggregate::Rate)
                || events::usual_formula(&name.name).is_some()
                || spec.metrics.iter().any(|it| it.name == name.name && it.kind == MetricKind::Percentage)
        }
        _ => false,
    };
    let is_sent = |name: &&Name| events::candidates(&name.name).iter().any(|event| events::is_sending(event));
    let of = share.of.names();
    is_named || !of.is_empty() && of.iter().all(is_sent) && !share.hits.names().iter().any(is_sent)
}

fn in_percent(condition: Condition, side: &Formula, line: &Formula) -> Condition {
    let both = |one: Box<Condition>, other: Box<Condition>| {
        (Box::new(in_percent(*one, side, line)), Box::new(in_percent(*other, side, line)))
    };
    let percent = |formula: Formula| match formula {
        Formula::Number { written, .. } => Formula::Number { written, is_percent: true },
        other => other,
    };
    match condition {
        Condition::Compare(left, how, right) if left == *side && right == *line => {
            Condition::Compare(left, how, percent(right))
        }
        Condition::Compare(left, how, right) if right == *side && left == *line => {
            Condition::Compare(percent(left), how, right)
        }
        same @ Condition::Compare(..) => same,
        Condition::And(one, other) => {
            let (one, other) = both(one, other);
            Condition::And(one, other)
        }
        Condition::Or(one, other) => {
            let (one, other) = both(one, other);
            Condition::Or(one, other)
        }
    }
}

fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// What no step says is unknown until a person says it.
fn unsaid(criterion: &Criterion, spec: &Spec, definitions: &Definitions, path: &str, found: &mut Found) {
    // What is tried out is judged as what it is for.
    let mode = if spec.mode == Mode::DryRun { Mode::Live } else { spec.mode };
    let Some(said) = events::said_in(spec, mode) else { return };
    let counts = |name: &Name| {
        name.space != Some(Space::Fields)
            && name.name != events::ALL_SENT
            && matches!(name.aggregate, None | Some(Aggregate::Count | Aggregate::Sum | Aggregate::Rate))
            && definitions.kind(&name.name).is_none_or(|kind| kind == MetricKind::Counter)
    };
    let is_unsaid = |name: &Name| !events::candidates(&name.name).iter().any(|event| said.contains(event.as_str()));
    let names = definitions.rests_on(criterion).into_iter().filter(|name| counts(name) && is_unsaid(name));
    let mut names: Vec<String> = names.map(|name| sanitize_line(&name.name, 60)).collect();
    names.dedup();
    let Some(first) = names.first() else { return };
    let shown = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = format!("no step of it says {shown}: it is unknown, and not zero, until somebody does");
    found.warn(path, message, format!("`fullsend metrics add {} {first}` says it", sanitize_line(&spec.id, 100)));
}
