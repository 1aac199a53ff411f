//! Shares that are written as numbers of percent: `replies / emails_sent * 100`.
//!
//! A share is a fraction here, so the factor goes, and criteria that were written for it go with it; each is said. Must never change what a criterion
//! means.

use crate::contracts::untrusted::sanitize_line;
use crate::experiments::criteria::{Condition, Criterion, Formula, Name, Sign};
use crate::experiments::spec::{Metric, MetricKind};

/// Something that is read otherwise than it is written: where, and how.
pub(super) type Said = (String, String);

/// Whether a formula is a share times 100.
pub(super) fn is_percent(formula: Option<&str>) -> bool {
    formula.and_then(|text| Formula::parse(text).ok()).and_then(|formula| formula.without_percent()).is_some()
}

/// Makes fractions of numbers of percent, in formulas and in the criteria about them.
pub(super) fn fractions(metrics: &mut [Metric], criteria: [(&str, &mut Vec<String>); 2]) -> Vec<Said> {
    let (mut said, mut scaled) = (Vec::new(), Vec::new());
    for (index, metric) in metrics.iter_mut().enumerate().filter(|(_, it)| it.kind == MetricKind::Percentage) {
        let formula = metric.formula.as_deref().and_then(|text| Formula::parse(text).ok());
        let Some(fraction) = formula.and_then(|formula| formula.without_percent()) else { continue };
        said.push((format!("metrics[{index}].formula"), format!("a share is a fraction: it is read as `{fraction}`")));
        metric.formula = Some(fraction.to_string());
        scaled.push(metric.name.clone());
    }
    if scaled.is_empty() {
        return said;
    }
    let is_scaled = |name: &Name| name.space.is_none() && name.aggregate.is_none() && scaled.contains(&name.name);
    for (index, metric) in metrics.iter_mut().enumerate() {
        let Some(formula) = metric.formula.as_deref().and_then(|text| Formula::parse(text).ok()) else { continue };
        let whole = in_percent(formula.clone(), &is_scaled);
        if whole != formula {
            said.push((format!("metrics[{index}].formula"), format!("it is read as `{whole}`")));
            metric.formula = Some(whole.to_string());
        }
    }
    for (list, texts) in criteria {
        for (index, text) in texts.iter_mut().enumerate() {
            let Ok(criterion) = Criterion::parse(text) else { continue };
            let condition = compared(criterion.condition.clone(), &is_scaled);
            if condition != criterion.condition {
                let read = Criterion { condition, ..criterion }.to_string();
                let shown = sanitize_line(text, 120);
                said.push((
                    format!("{list}[{index}]"),
                    format!("`{shown}` is read as `{read}`, as the share has no `* 100`"),
                ));
                *text = read;
            }
        }
    }
    said
}

/// The same condition about fractions: a line without a sign is one in percent.
fn compared(condition: Condition, is_scaled: &impl Fn(&Name) -> bool) -> Condition {
    match condition {
        Condition::Compare(left, how, right) => {
            let is_name = |side: &Formula| matches!(side, Formula::Name(name) if is_scaled(name));
            let (left, right) = match (left, right) {
                (left, Formula::Number { written, .. }) if is_name(&left) => (left, percent(written)),
                (Formula::Number { written, .. }, right) if is_name(&right) => (percent(written), right),
                (left, right) => (in_percent(left, is_scaled), in_percent(right, is_scaled)),
            };
            Condition::Compare(left, how, right)
        }
        Condition::And(one, other) => {
            Condition::And(Box::new(compared(*one, is_scaled)), Box::new(compared(*other, is_scaled)))
        }
        Condition::Or(one, other) => {
            Condition::Or(Box::new(compared(*one, is_scaled)), Box::new(compared(*other, is_scaled)))
        }
    }
}

fn percent(written: f64) -> Formula {
    Formula::Number { written, is_percent: true }
}

/// The same formula, with the factor where it is used.
fn in_percent(formula: Formula, is_scaled: &impl Fn(&Name) -> bool) -> Formula {
    match formula {
        Formula::Name(name) if is_scaled(&name) => {
            Formula::Of(Box::new(Formula::Name(name)), Sign::Times, Box::new(Formula::number(100.0)))
        }
        Formula::Of(left, sign, right) => {
            Formula::Of(Box::new(in_percent(*left, is_scaled)), sign, Box::new(in_percent(*right, is_scaled)))
        }
        other => other,
    }
}
