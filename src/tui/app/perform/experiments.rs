//! What is done with the experiment that is selected on its screen.

use serde_json::{Value, json};

use crate::contracts::ChannelName;
use crate::contracts::lifecycle::{ExperimentState, LifecycleEvent, transition};
use crate::contracts::messages::{Control, PauseExperiment, ResumeExperiment};
use crate::contracts::untrusted::{LINE_LIMIT, sanitize, sanitize_line};
use crate::tui::app::{Draft, Effect, Model, Saying};
use crate::tui::layers::{Layer, inject, record};
use crate::tui::screens::experiments::{charted, selected, spec_of};
use crate::tui::theme::Role;

fn none_selected(model: &mut Model) {
    model.tell(Role::Warn, "there is no experiment yet");
}

/// Lets it rest, or go on.
pub(super) fn pause(model: &mut Model) -> Vec<Effect> {
    let Some((id, state)) = selected(model).map(|it| (it.id.clone(), it.state)) else {
        none_selected(model);
        return Vec::new();
    };
    let is_resting = state == Some(ExperimentState::Paused);
    let event = if is_resting { LifecycleEvent::Resume } else { LifecycleEvent::Pause };
    let shown = sanitize_line(&id, 60);
    match state.map(|state| transition(state, event, None)) {
        None => {
            model.tell(Role::Warn, format!("the state of {shown} cannot be read"));
            return Vec::new();
        }
        Some(Err(illegal)) => {
            model.tell(Role::Warn, format!("{shown}: {illegal}"));
            return Vec::new();
        }
        Some(Ok(_)) => {}
    }
    let by = Some(model.about.operator.clone());
    let order: Control = if is_resting {
        ResumeExperiment { experiment_id: id, reason: None, by }.into()
    } else {
        PauseExperiment { experiment_id: id, reason: None, by }.into()
    };
    vec![Effect::Say(model.ticket(), Saying::Control(order))]
}

/// Has it run now.
pub(super) fn run(model: &mut Model) -> Vec<Effect> {
    let Some((id, state)) = selected(model).map(|it| (it.id.clone(), it.state)) else {
        none_selected(model);
        return Vec::new();
    };
    let shown = sanitize_line(&id, 60);
    match state {
        Some(ExperimentState::Ready | ExperimentState::Measuring) => {}
        Some(state) => {
            model.tell(Role::Warn, format!("{shown} is {state}: it runs when it is ready"));
            return Vec::new();
        }
        None => {
            model.tell(Role::Warn, format!("the state of {shown} cannot be read"));
            return Vec::new();
        }
    }
    let body = json!({ "type": "execute_now", "experiment_id": id, "triggered_by": model.about.operator });
    vec![Effect::Say(model.ticket(), Saying::Body(ChannelName::ExecuteNow, body.to_string()))]
}

/// Has one mail of it sent to whoever sits here.
pub(super) fn sample_selected(model: &mut Model) -> Vec<Effect> {
    match selected(model).map(|it| it.id.clone()) {
        Some(id) => sample(model, &id),
        None => {
            none_selected(model);
            Vec::new()
        }
    }
}

/// Has one mail of an experiment sent to whoever sits here, as somebody would get it. Nobody else gets anything, and nothing is counted.
pub(crate) fn sample(model: &mut Model, id: &str) -> Vec<Effect> {
    let shown = sanitize_line(id, 60);
    if model.store.experiments.get(id).is_some_and(|it| it.writes_mail == Some(false)) {
        model.tell(Role::Warn, format!("{shown} writes no mail: there is nothing to be tried"));
        return Vec::new();
    }
    model.tell(Role::Text, format!("a sample of {shown} is ordered; what becomes of it is told here"));
    let body = json!({ "type": "sample_experiment", "experiment_id": id, "by": model.about.operator });
    vec![Effect::Say(model.ticket(), Saying::Body(ChannelName::ExecuteNow, body.to_string()))]
}

/// Opens the form for a number.
pub(super) fn record(model: &mut Model) {
    match selected(model).map(|it| it.id.clone()) {
        Some(id) => {
            let form = record::Record::open(model, &id);
            model.layers.push(Layer::Record(Box::new(form)));
        }
        None => none_selected(model),
    }
}

/// Opens a request for a change of it, or for a new one like it.
pub(super) fn request(model: &mut Model, is_change: bool) {
    let Some(it) = selected(model) else { return none_selected(model) };
    let spec = spec_of(model, &it.id).map(|spec| sanitize(&spec, LINE_LIMIT));
    // An object is edited as one.
    let spec = spec.map(|spec| serde_json::from_str::<Value>(&spec).unwrap_or(Value::String(spec)));
    let what = if is_change { "change it: " } else { "like it: " };
    let mut body = json!({
        "type": "experiment_request",
        "idea": { "title": sanitize_line(&it.title, 80), "description": format!("{what}{}", it.title) },
        "priority": "medium",
    });
    if let Value::Object(fields) = &mut body {
        if is_change {
            fields.insert("revises".to_owned(), it.id.clone().into());
        }
        if let Some(spec) = spec {
            fields.insert("context".to_owned(), spec);
        }
    }
    let draft = Draft {
        channel: ChannelName::ToFullsend.short().to_owned(),
        kind: "experiment_request".to_owned(),
        text: serde_json::to_string_pretty(&body).unwrap_or_default(),
    };
    let form = inject::Inject::of(model, &draft);
    model.layers.push(Layer::Inject(Box::new(form)));
}

/// Shows the next metric, or the one before.
pub(super) fn turn_metric(model: &mut Model, is_back: bool) {
    let Some((it, (_, at, count))) = selected(model).and_then(|it| Some((it, charted(model, it)?))) else {
        return model.tell(Role::Warn, "it measures nothing, and nothing was counted for it");
    };
    let next = if is_back { (at + count - 1) % count } else { (at + 1) % count };
    model.metric = it.charted(&model.store.series).into_iter().nth(next);
}
