//! `fullsend hold` and `fullsend go`: nothing acts from now on, and on it goes.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use serde_json::json;

use super::handled::{self, Handled};
use super::output::{FAILED, OK};
use super::{Context, operator};
use crate::bus::{Key, SharedBus, State};
use crate::contracts::keys;
use crate::contracts::messages::{self, Control};
use crate::contracts::wiring::CONTROL;

/// Stops the team from starting anything
///
/// What runs comes to its end, and nothing new starts in any process, until `fullsend go`. What comes meanwhile waits. Chat is still
/// read, and approvals are still answered.
///
/// Example: fullsend hold the mail provider complains
#[derive(clap::Args)]
pub struct Args {
    /// Why, for those who see it
    #[arg(value_name = "REASON")]
    reason: Vec<String>,
}

/// Lets the team go on after a hold
///
/// What waited is handled now.
///
/// Example: fullsend go settled with the provider
#[derive(clap::Args)]
pub struct GoArgs {
    /// Why, for those who see it
    #[arg(value_name = "REASON")]
    reason: Vec<String>,
}

fn said(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}

/// Holds everything.
///
/// # Errors
/// Where the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let order = Control::from(messages::Hold { reason: said(&args.reason), by: Some(operator()) });
    super::with_bus(cx, async |bus| act(order, "paused", cx, bus).await)
}

/// Lets everything go on.
///
/// # Errors
/// Where the bus cannot be used.
pub fn run_go(args: &GoArgs, cx: &Context) -> color_eyre::Result<ExitCode> {
    let order = Control::from(messages::Go { reason: said(&args.reason), by: Some(operator()) });
    super::with_bus(cx, async |bus| act(order, "running", cx, bus).await)
}

async fn act(order: Control, wanted: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let handled = handled::say(cx, bus, CONTROL, order, "everything").await?;
    let status = match bus.get(&Key::new(keys::STATUS)).await? {
        Some(State::String(status)) => status,
        _ => "running".to_owned(),
    };
    let is_later = handled == Handled::Later;
    if cx.out.is_json() {
        cx.out.json(&json!({ "status": status, "handled": !is_later }))?;
    } else {
        match handled {
            Handled::Later => cx.out.text("said; no gate runs now, it takes effect when `fullsend serve` does")?,
            Handled::Yes(words) => words.iter().try_for_each(|words| cx.out.text(words))?,
        }
    }
    Ok(if is_later || status == wanted { OK } else { FAILED })
}
