//! `fullsend experiments`: specifications checked and handed in, what is known of experiments, and what is ordered about them.
//!
//! Owns the verb; what stands below it is in a file each. Must never change an experiment itself: that is said on the bus, for those
//! whose it is.

mod clone;
mod done;
pub(super) mod known;
mod list;
mod order;
mod publish;
mod run;
mod sample;
mod show;
#[cfg(test)]
mod tests;
mod validate;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;

use super::Context;
use crate::bus::SharedBus;
use order::{About, Order};

/// Experiments: checks, hands in, shows, lists, runs, watches, orders
///
/// A specification is YAML (or JSON) with the root `experiment`. What is handed in becomes a draft, and a person or the policy says
/// whether it goes live. An experiment is named by its id or the beginning of it.
///
/// Example: fullsend experiments validate stargazers.yaml
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Validate(validate::Args),
    Publish(publish::Args),
    List(list::Args),
    Show(show::Args),
    Clone(clone::Args),
    Run(run::Args),
    Sample(sample::Args),
    Watch(watch::Args),
    /// Lets one rest; its schedule goes on when it does
    Pause(About),
    /// Lets one go on that rests
    Resume(About),
    /// Ends one: its schedule, its run and its alerts, at once
    Kill(About),
    /// Brings back one that was killed
    Undo(About),
    Done(done::Args),
}

impl Args {
    /// Whether it says something on the bus, which is worth a log.
    pub fn changes(&self) -> bool {
        !matches!(self.what, What::Validate(_) | What::List(_) | What::Show(_) | What::Clone(_) | What::Watch(_))
    }
}

/// Does it.
///
/// # Errors
/// Where a file cannot be read or written, the bus cannot be used, or there is no such experiment.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    match &args.what {
        What::Validate(args) => validate::run(args, cx),
        what => super::with_bus(cx, async |bus| on(what, cx, bus).await),
    }
}

async fn on(what: &What, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    match what {
        What::Validate(args) => validate::run(args, cx),
        What::Publish(args) => publish::run(args, cx, bus).await,
        What::List(args) => list::run(args, cx, bus).await,
        What::Show(args) => show::run(args, cx, bus).await,
        What::Clone(args) => clone::run(args, cx, bus).await,
        What::Run(args) => run::run(args, cx, bus).await,
        What::Sample(args) => sample::run(args, cx, bus).await,
        What::Watch(args) => watch::run(args, cx, bus).await,
        What::Pause(about) => order::give(Order::Pause, about, cx, bus).await,
        What::Resume(about) => order::give(Order::Resume, about, cx, bus).await,
        What::Kill(about) => order::give(Order::Kill, about, cx, bus).await,
        What::Undo(about) => order::give(Order::Undo, about, cx, bus).await,
        What::Done(args) => done::run(args, cx, bus).await,
    }
}
