//! `fullsend experiments`: what is known of experiments, and what is ordered about them.
//!
//! Owns the verb; what stands below it is in a file each. Must never change an experiment itself: that is said on the bus, for those
//! whose it is.

mod done;
pub(super) mod known;
mod list;
mod order;
mod run;
#[cfg(test)]
mod tests;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;

use super::Context;
use order::{About, Order};

/// Experiments: lists, runs, watches, orders
///
/// An experiment is named by its id or the beginning of it.
///
/// Example: fullsend experiments list
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    List(list::Args),
    Run(run::Args),
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
        !matches!(self.what, What::List(_) | What::Watch(_))
    }
}

/// Does it.
///
/// # Errors
/// Where the bus cannot be used, or there is no such experiment.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| match &args.what {
        What::List(args) => list::run(args, cx, bus).await,
        What::Run(args) => run::run(args, cx, bus).await,
        What::Watch(args) => watch::run(args, cx, bus).await,
        What::Pause(about) => order::give(Order::Pause, about, cx, bus).await,
        What::Resume(about) => order::give(Order::Resume, about, cx, bus).await,
        What::Kill(about) => order::give(Order::Kill, about, cx, bus).await,
        What::Undo(about) => order::give(Order::Undo, about, cx, bus).await,
        What::Done(args) => done::run(args, cx, bus).await,
    })
}
