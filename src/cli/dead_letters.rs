//! `fullsend dead-letters`: what could not be handled, and what is to become of it.
//!
//! Streams are only appended to: what became of a letter stands in a document beside it, written in the same commit as the replay.
//! Must never give a message more trust than it had.

mod replay;
mod show;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Subcommand;
use color_eyre::Section;
use color_eyre::eyre::eyre;

use super::Context;
use super::output::{FAILED, OK};
use crate::bus::letters::mark::{Marks, Status};
use crate::bus::{Bound, Entry, EntryId, Range, SharedBus, entry};
use crate::contracts::ChannelName;

/// Letters read at a time.
const PAGE: usize = 256;

/// Shows, replays and drops messages that could not be handled
///
/// A message that no handler could deal with is kept with the reason. When the cause is gone, replay it: it is said again on
/// its channel. A letter is named by its entry, as `list` shows it.
///
/// Example: fullsend dead-letters replay 1772357400000-0
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Lists those that nothing was done about, the newest first
    List {
        /// Also those that were replayed or dropped
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Shows one with everything that is known of it
    Show {
        /// Which
        id: EntryId,
    },
    /// Says them again on their channels
    Replay {
        #[command(flatten)]
        which: Which,
        /// Also those that were replayed or dropped already
        #[arg(long)]
        again: bool,
    },
    /// Marks them as done with; they stay in the history
    Drop {
        #[command(flatten)]
        which: Which,
    },
}

/// Which letters.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// These
    #[arg(value_name = "ID")]
    ids: Vec<EntryId>,
    /// All that nothing was done about
    #[arg(long)]
    all: bool,
}

impl Args {
    /// Whether it changes anything, which is worth a log.
    pub(super) fn changes(&self) -> bool {
        match self.action {
            Action::List { .. } | Action::Show { .. } => false,
            Action::Replay { .. } | Action::Drop { .. } => true,
        }
    }
}

/// How many dead letters nobody has replayed or dropped.
///
/// # Errors
/// Where the bus cannot be reached.
pub(super) async fn open_letters(bus: &SharedBus) -> Result<usize, crate::bus::BusError> {
    Marks::read(bus).await?.open(bus).await
}

/// Does it.
///
/// # Errors
/// Where there is no such letter, or the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| act(args, &super::operator(), cx, bus).await)
}

async fn act(args: &Args, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let marks = Marks::read(bus).await?;
    match &args.action {
        Action::List { all, limit } => show::list(*all, *limit, &marks, cx, bus).await,
        Action::Show { id } => {
            let entry = letter(bus, *id).await?;
            show::one(&entry, &marks.of(bus, *id).await?, cx)?;
            Ok(OK)
        }
        Action::Replay { which, again } => {
            let letters = chosen(which, &marks, bus).await?;
            let replayer = replay::Replayer { cx, bus, by, again: *again };
            let mut failed = false;
            for (id, entry) in letters {
                failed |= !replayer.replay(id, entry, marks.of(bus, id).await?).await?;
            }
            Ok(if failed { FAILED } else { OK })
        }
        Action::Drop { which } => {
            let dropper = replay::Replayer { cx, bus, by, again: false };
            let mut failed = false;
            for (id, entry) in chosen(which, &marks, bus).await? {
                failed |= !dropper.drop_letter(id, entry.is_some(), marks.of(bus, id).await?).await?;
            }
            Ok(if failed { FAILED } else { OK })
        }
    }
}

/// The letter with this id.
async fn letter(bus: &SharedBus, id: EntryId) -> color_eyre::Result<Entry> {
    let entry = entry::find(bus, ChannelName::DeadLetter, id).await?;
    entry.ok_or_else(|| eyre!("there is no dead letter {id}").suggestion("`fullsend dead-letters list` shows them"))
}

/// The chosen letters in the order in which they came; none in the place of one that is not there.
async fn chosen(which: &Which, marks: &Marks, bus: &SharedBus) -> color_eyre::Result<Vec<(EntryId, Option<Entry>)>> {
    let mut letters = Vec::new();
    if !which.all {
        let mut ids = which.ids.clone();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            letters.push((id, entry::find(bus, ChannelName::DeadLetter, id).await?));
        }
        return Ok(letters);
    }
    // All that are there now: a replay that fails makes a new one.
    let mut range = Range::newest(PAGE);
    loop {
        let page = bus.range(ChannelName::DeadLetter, range).await?;
        let Some(last) = page.last() else { break };
        range.to = Bound::Entry(last.id);
        for entry in page {
            if marks.of(bus, entry.id).await?.status == Status::Open {
                letters.push((entry.id, Some(entry)));
            }
        }
    }
    letters.reverse();
    Ok(letters)
}
