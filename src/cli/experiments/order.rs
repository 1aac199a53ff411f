//! `fullsend experiments pause`, `resume`, `kill`, `undo`: orders about an experiment.

use std::process::ExitCode;

use serde_json::json;

use super::known;
use crate::bus::SharedBus;
use crate::cli::handled::{self, Handled};
use crate::cli::output::{FAILED, OK};
use crate::cli::{Context, operator};
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{Control, KillExperiment, PauseExperiment, RestoreExperiment, ResumeExperiment};
use crate::contracts::wiring::CONTROL;

/// Which, and why.
#[derive(Debug, clap::Args)]
pub(super) struct About {
    /// The experiment, or the beginning of its id
    #[arg(value_name = "ID")]
    id: String,

    /// Why, for those who see it
    #[arg(value_name = "REASON")]
    reason: Vec<String>,
}

/// What is ordered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Pause,
    Resume,
    Kill,
    Undo,
}

/// Gives the order, and waits until it was carried out, if a gate runs.
pub(super) async fn give(order: Order, about: &About, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let id = known::find(bus, &about.id).await?;
    let by = Some(operator());
    let reason = (!about.reason.is_empty()).then(|| about.reason.join(" "));
    let experiment_id = id.clone();
    let control = match order {
        Order::Pause => Control::from(PauseExperiment { experiment_id, reason, by }),
        Order::Resume => Control::from(ResumeExperiment { experiment_id, reason, by }),
        Order::Kill => Control::from(KillExperiment { experiment_id, reason, by }),
        Order::Undo => Control::from(RestoreExperiment { experiment_id, reason, by }),
    };
    let handled = handled::say(cx, bus, CONTROL, control, &id).await?;
    let state = known::read(bus, &id).await?.and_then(|it| ExperimentState::of(|field| it.get(field)));
    let is_done = match order {
        Order::Pause => state == Some(ExperimentState::Paused),
        Order::Kill => state == Some(ExperimentState::Archived),
        Order::Resume => state.is_some_and(|state| state != ExperimentState::Paused),
        Order::Undo => state.is_some_and(|state| state != ExperimentState::Archived),
    };
    let is_later = handled == Handled::Later;
    if cx.out.is_json() {
        cx.out.json(&json!({ "experiment_id": id, "state": state, "handled": !is_later }))?;
    } else {
        match handled {
            Handled::Later => cx.out.text("said; no gate runs now, it takes effect when `fullsend serve` does")?,
            Handled::Yes(words) => words.iter().try_for_each(|words| cx.out.text(words))?,
        }
    }
    Ok(if is_later || is_done { OK } else { FAILED })
}
