//! What is told of a criterion that holds, or of a run that failed.
//!
//! Owns the words. A kill is recommended only where the statistics say so, and then with how sure they are. Must never repeat what
//! somebody outside wrote without making it harmless.

use serde_json::json;

use super::watch::Watched;
use crate::bus::{Draft, Effects, Expect, Key, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{
    AlertResolved, AlertTriggered, AlertType, Alerts, Direction, MetricAlert, RunError, Severity, ToOrchestrator,
};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{ALERTS, TO_ORCHESTRATOR};
use crate::contracts::{Priority, ShapeError, keys};
use crate::experiments::criteria::Criterion;
use crate::experiments::judgement::{Judged, number, percent, side};
use crate::experiments::statistics::Count;

/// Characters of an error's words.
const WORDS_LIMIT: usize = 300;

type Said = Result<(), ShapeError>;

/// A criterion holds, or is proven to.
pub(super) fn crossed(
    effects: &mut Effects<grants::RedisAgent>,
    experiment: &str,
    alert_id: &str,
    judged: &Judged,
    watched: &Watched,
) -> Said {
    let recommendation = recommendation(judged);
    let (severity, priority) = match (judged.direction, judged.proven) {
        (Direction::Failure, true) => (Severity::High, Priority::High),
        (Direction::Failure, false) => (Severity::Warning, Priority::Medium),
        (Direction::Success, _) => (Severity::Info, Priority::Medium),
    };
    let message = message(experiment, judged);
    // A share is told as one, whatever its formula multiplies it by.
    let (value, threshold) = share(judged).unzip();
    let (value, threshold) = (value.or(judged.value), threshold.or(judged.threshold));
    let alert = MetricAlert {
        source: Some("redis_agent".to_owned()),
        experiment_id: experiment.to_owned(),
        alert_type: AlertType::ThresholdCrossed,
        criterion: Some(judged.criterion.clone()),
        direction: Some(judged.direction),
        metric: judged.metric.clone(),
        value,
        threshold,
        severity,
        recommendation: Some(recommendation.clone()),
        message: Some(message.clone()),
        sample_size: judged.evidence.as_ref().map(|evidence| evidence.n),
        confidence: judged.evidence.as_ref().map(|evidence| evidence.sure),
        proven: Some(judged.proven),
        timestamp: Some(effects.now()),
    };
    effects
        .send(TO_ORCHESTRATOR, Draft::new(ToOrchestrator::MetricAlert(alert)).subject(experiment).priority(priority))?;
    let triggered = AlertTriggered {
        alert_id: alert_id.to_owned(),
        severity,
        message: message.clone(),
        fix: Some(recommendation.clone()),
        experiment_id: Some(experiment.to_owned()),
        criterion: Some(judged.criterion.clone()),
        metric: judged.metric.clone(),
        value,
        threshold,
    };
    let fields = [
        ("state", Some("triggered".to_owned())),
        ("severity", word(severity)),
        ("message", Some(message)),
        ("recommendation", Some(recommendation)),
        ("triggered_at", Some(rfc3339(effects.now()))),
        ("experiment_id", Some(experiment.to_owned())),
        ("criterion", Some(judged.criterion.clone())),
        ("direction", word(judged.direction)),
        ("value", value.map(|value| value.to_string())),
        ("threshold", threshold.map(|line| line.to_string())),
        ("proven", Some(judged.proven.to_string())),
        ("evidence", judged.evidence.as_ref().map(|evidence| json!(evidence).to_string())),
        ("resolved_at", None),
        ("resolved_by", None),
        ("resolution", None),
    ];
    keep(effects, alert_id, fields, Some(watched));
    effects.send(ALERTS, Draft::new(Alerts::Triggered(triggered)).subject(experiment))?;
    Ok(())
}

/// A criterion that held holds no longer: its alert is over.
pub(super) fn over(
    effects: &mut Effects<grants::RedisAgent>,
    experiment: &str,
    alert_id: String,
    judged: &Judged,
    watched: &Watched,
) -> Said {
    let reason = format!("it no longer holds: {}", judged.words());
    let fields = [
        ("state", Some("resolved".to_owned())),
        ("resolved_at", Some(rfc3339(effects.now()))),
        ("resolved_by", Some("redis_agent".to_owned())),
        ("resolution", Some(reason.clone())),
    ];
    keep(effects, &alert_id, fields, Some(watched));
    let resolved = AlertResolved { alert_id, by: "redis_agent".to_owned(), reason: Some(reason) };
    effects.send(ALERTS, Draft::new(Alerts::Resolved(resolved)).subject(experiment))?;
    Ok(())
}

/// A run failed.
pub(super) fn error(
    effects: &mut Effects<grants::RedisAgent>,
    experiment: &str,
    alert_id: String,
    failed: &RunError,
) -> Said {
    let kind = failed.error_type.as_deref().map(|kind| format!(" ({})", sanitize_line(kind, 60))).unwrap_or_default();
    let words = sanitize_line(&failed.message.sanitized(), WORDS_LIMIT);
    let message = format!("a run of {experiment} failed{kind}: {words}");
    let alert = MetricAlert {
        source: Some("redis_agent".to_owned()),
        experiment_id: experiment.to_owned(),
        alert_type: AlertType::Error,
        criterion: None,
        direction: None,
        metric: None,
        value: None,
        threshold: None,
        severity: Severity::High,
        recommendation: None,
        message: Some(message.clone()),
        sample_size: None,
        confidence: None,
        proven: None,
        timestamp: Some(effects.now()),
    };
    let draft = Draft::new(ToOrchestrator::MetricAlert(alert)).subject(experiment).priority(Priority::High);
    effects.send(TO_ORCHESTRATOR, draft)?;
    let fields = [
        ("state", Some("triggered".to_owned())),
        ("severity", word(Severity::High)),
        ("message", Some(message.clone())),
        ("triggered_at", Some(rfc3339(effects.now()))),
        ("experiment_id", Some(experiment.to_owned())),
    ];
    keep(effects, &alert_id, fields, None);
    let triggered = AlertTriggered {
        alert_id,
        severity: Severity::High,
        message,
        fix: Some(format!("look at the run (`fullsend experiments show {experiment}`)")),
        experiment_id: Some(experiment.to_owned()),
        criterion: None,
        metric: None,
        value: None,
        threshold: None,
    };
    effects.send(ALERTS, Draft::new(Alerts::Triggered(triggered)).subject(experiment))?;
    Ok(())
}

/// What to do about it.
fn recommendation(judged: &Judged) -> String {
    match (&judged.evidence, judged.direction, judged.proven) {
        (Some(_), Direction::Failure, true) => format!("kill: {}", judged.words()),
        (Some(_), Direction::Success, true) => format!("scale: {}", judged.words()),
        (Some(_), _, false) => format!("watch, not enough evidence: {}", judged.words()),
        // Nothing to be unsure about, and yet no share that says that the whole thing fails.
        (None, Direction::Failure, true) => {
            format!("look at it: {}; it is a count, so chance has no part in it", judged.words())
        }
        (None, Direction::Success, true) => format!("reached: {}", judged.words()),
        (None, _, false) => {
            format!("watch: {}; it may change again, and whether it is chance cannot be said", judged.words())
        }
    }
}

/// A share and its line, where one is compared, and nothing else.
fn share(judged: &Judged) -> Option<(f64, f64)> {
    judged.metric.as_ref()?;
    let evidence = judged.evidence.as_ref()?;
    Some((Count { k: evidence.k, n: evidence.n }.share()?, evidence.line?))
}

/// `reply_rate of exp_1 is 1.0 %, below 5.0 %: 4 of 400, …`
fn message(experiment: &str, judged: &Judged) -> String {
    let how = Criterion::parse(&judged.criterion).ok();
    let how = how
        .as_ref()
        .and_then(Criterion::comparison)
        .map(|(left, how, _)| if left.constant().is_some() { how.mirrored() } else { how });
    let shown = match (share(judged), judged.value, judged.threshold) {
        (Some((value, line)), ..) => Some((percent(value), percent(line))),
        (None, Some(value), Some(line)) => Some((number(value), number(line))),
        _ => None,
    };
    let figure = match (&judged.metric, shown, how) {
        (Some(metric), Some((value, line)), Some(how)) => {
            format!("{metric} of {experiment} is {value}, {} {line}", side(how))
        }
        _ => format!("`{}` holds of {experiment}", judged.criterion),
    };
    format!("{figure}: {}", judged.words())
}

/// Writes an alert's document. Nothing of it is read to do so, so it does not matter who changed it meanwhile.
fn keep<const N: usize>(
    effects: &mut Effects<grants::RedisAgent>,
    alert_id: &str,
    fields: [(&str, Option<String>); N],
    watched: Option<&Watched>,
) {
    // Only an experiment with a very long name has no room for it.
    let Ok(key) = keys::alert(alert_id) else { return };
    let mut fields: Vec<(String, Option<String>)> =
        fields.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    if let Some(watched) = watched {
        let state = [
            ("phase", Some(watched.phase.as_str().to_owned())),
            ("since", watched.since.map(rfc3339)),
            ("last_sent", watched.last_sent.map(rfc3339)),
            ("count", Some(watched.count.to_string())),
        ];
        fields.extend(state.map(|(name, text)| (name.to_owned(), text)));
    }
    effects.change(Key::new(key), Expect::Any, fields, Ttl::Keep);
}

fn word(value: impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}
