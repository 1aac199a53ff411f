//! `fullsend approvals`: what waits for a yes, and the answers.
//!
//! Must never answer for something that was not shown: an answer carries the digest of what stood there when the verb looked.

mod answer;
mod show;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use color_eyre::Section;
use color_eyre::eyre::eyre;

use super::output::Usage;
use super::{Context, operator};
use crate::approvals::{Record, record};
use crate::bus::SharedBus;
use crate::contracts::envelope::read_time;
use crate::contracts::untrusted::sanitize_line;

/// Keys read at a time.
const PAGE: usize = 1_000;
/// Characters of a name that are shown.
const NAME_LIMIT: usize = 60;

/// Shows what waits for a yes, and answers it
///
/// What would do more than the mode allows without asking waits here. The first answer counts, on any surface; no answer in time means
/// no. An approval is named by its id or the beginning of it.
///
/// Example: fullsend approvals list
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Lists what waits, the most urgent first
    List {
        /// Also what was answered
        #[arg(long)]
        all: bool,
    },
    /// Shows one whole: what would happen, what it rests on, what happens without an answer
    Show {
        /// Which
        id: String,
    },
    /// Says yes; class 3 one at a time, after showing it
    Approve {
        /// Which
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        with: With,
        /// Allow the same kind of thing from now on without asking
        #[arg(long)]
        always: bool,
        /// That holds until then; class 3 needs it
        #[arg(long, value_name = "DATE", requires = "always", value_parser = date)]
        until: Option<DateTime<Utc>>,
        /// That holds for so many a day
        #[arg(long, value_name = "N", requires = "always")]
        per_day: Option<u64>,
    },
    /// Changes what would happen, then says yes to that
    Edit {
        /// Which
        id: String,
        /// The changed intents as JSON, `-` for standard input; otherwise $VISUAL or $EDITOR opens them
        #[arg(long, value_name = "FILE|-")]
        file: Option<String>,
        #[command(flatten)]
        with: With,
    },
    /// Lists what goes without asking because somebody said so (`--always`), or lets one such rule end
    Rules {
        /// Let this rule end
        #[arg(long, value_name = "RULE")]
        drop: Option<String>,
        /// Why it ends
        #[arg(long, value_name = "TEXT", requires = "drop")]
        reason: Option<String>,
    },
    /// Says no; the reason goes back to whoever wanted it
    Deny {
        /// Which
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        with: With,
    },
}

/// What goes with an answer.
#[derive(Debug, Clone, clap::Args)]
struct With {
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Class 3 without a terminal: the digest that `show` shows
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
}

fn date(text: &str) -> Result<DateTime<Utc>, String> {
    read_time(text).ok_or_else(|| "it is no date; write 2026-12-31, or 2026-12-31T18:00:00Z".to_owned())
}

impl Args {
    /// Whether it changes anything, which is worth a log.
    pub(super) fn changes(&self) -> bool {
        !matches!(self.action, Action::List { .. } | Action::Show { .. } | Action::Rules { drop: None, .. })
    }
}

/// Reads a person's answer; none where there is nobody to ask.
type Ask = Option<fn() -> io::Result<String>>;

/// Does it.
///
/// # Errors
/// Where there is no such approval, the answer cannot be given, or the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let ask: Ask = io::stdin().is_terminal().then_some(|| {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    super::with_bus(cx, async |bus| act(args, &operator(), ask, cx, bus).await)
}

async fn act(args: &Args, by: &str, ask: Ask, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let answerer = answer::Answerer { by, ask, cx, bus };
    match &args.action {
        Action::List { all } => show::list(*all, cx, bus).await,
        Action::Show { id } => show::one(&find(bus, id).await?, cx, bus).await,
        Action::Approve { ids, with, always, until, per_day } => {
            let rule = always.then_some((*until, *per_day));
            answerer.approve(ids, with, rule).await
        }
        Action::Rules { drop: None, .. } => show::rules(cx, bus).await,
        Action::Rules { drop: Some(rule), reason } => answerer.drop_rule(rule, reason.clone()).await,
        Action::Edit { id, file, with } => answerer.edit(id, file.as_deref(), with).await,
        Action::Deny { ids, with } => answerer.deny(ids, with).await,
    }
}

/// The approval with this id, or the only one whose id begins so; those that wait come first.
async fn find(bus: &SharedBus, id: &str) -> color_eyre::Result<Record> {
    if let Some(record) = Record::load(bus, id).await? {
        return Ok(record);
    }
    let shown = sanitize_line(id, NAME_LIMIT);
    if id.trim().is_empty() {
        return Err(Usage("an approval is named by its id or the beginning of it".to_owned()).into());
    }
    let begins =
        |known: &String| known.starts_with(id) || known.strip_prefix("apr_").is_some_and(|it| it.starts_with(id));
    let mut found: Vec<_> = record::pending(bus).await?.into_iter().filter(begins).collect();
    if found.is_empty() {
        found = all_ids(bus).await?.into_iter().filter(begins).collect();
    }
    match found.as_slice() {
        [] => Err(eyre!("there is no approval `{shown}`").suggestion("`fullsend approvals list --all` shows them")),
        [only] => {
            let record = Record::load(bus, only).await?;
            record.ok_or_else(|| eyre!("the approval `{only}` cannot be read"))
        }
        several => {
            Err(eyre!("`{shown}` is the beginning of {}", several.join(", ")).suggestion("Write more of the id"))
        }
    }
}

/// The ids of all approvals that are kept.
async fn all_ids(bus: &SharedBus) -> color_eyre::Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = bus.scan("approvals:", cursor, PAGE).await?;
        ids.extend(page.iter().filter_map(|key| Some(key.as_str().strip_prefix("approvals:")?.to_owned())));
        match next {
            Some(_) => cursor = next,
            None => return Ok(ids),
        }
    }
}
