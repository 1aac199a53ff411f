//! Documents: read again when a bell rings that they may have changed, and now and then without one, because others write too.
//!
//! Must never read faster than a person can see: bells of a short while are one.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Feed, Gone};
use crate::approvals::{ApprovalState, Record};
use crate::bus::{BusError, Key, State};
use crate::contracts::{ChannelKind, ChannelName, keys};
use crate::tui::store::documents::MOST;
use crate::tui::store::{Item, Row};

/// Bells within this time are one.
const TOGETHER: Duration = Duration::from_millis(80);
/// Without a bell everything is read again after this time.
const ANYWAY: Duration = Duration::from_secs(20);
/// After a bell, what is handled by now.
const ONCE_MORE: Duration = Duration::from_secs(2);
/// Keys of one page.
const PAGE: usize = 500;

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tui) enum Bell {
    /// Something was said here.
    Channel(ChannelName),
    /// Something was said about an experiment, on a channel that carries much else.
    Experiments,
    /// All of it.
    Everything,
}

/// All prefixes that are shown. `budgets:day` is the day's limit and the days' sums, not those of every chain.
const PREFIXES: [&str; 15] = [
    "approvals:",
    "experiments:",
    "schedules:",
    "metrics_specs:",
    NUMBERS,
    RUNS,
    "alerts:",
    "notes:",
    "budgets:day",
    "decisions:",
    "tools:",
    "tool_requests:",
    "pending_experiments:",
    "dead_letters:",
    "fullsend:",
];

/// What an experiment is read from, but for what its runs and numbers change.
const EXPERIMENTS: [&str; 3] = ["experiments:", "schedules:", "metrics_specs:"];

const NUMBERS: &str = "metrics_aggregated:";
const RUNS: &str = "experiment_runs:";

/// Documents that change with every number are read once in this time, however many numbers come.
const COUNTED: Duration = Duration::from_secs(1);

/// What a message on this channel may have changed.
fn prefixes(channel: ChannelName) -> &'static [&'static str] {
    match channel {
        ChannelName::Proposals | ChannelName::Approvals | ChannelName::ApprovalVerdicts => {
            &["approvals:", "decisions:", "experiments:", "schedules:", "metrics_specs:"]
        }
        // Whatever the gate does has its record here, in the same commit.
        ChannelName::Audit | ChannelName::Control => &[
            "approvals:",
            "experiments:",
            "schedules:",
            "alerts:",
            "notes:",
            "budgets:day",
            "decisions:",
            "tools:",
            "fullsend:",
            RUNS,
        ],
        ChannelName::Alerts => &["alerts:"],
        ChannelName::Experiments | ChannelName::Schedules | ChannelName::ExecuteNow => {
            &["experiments:", "schedules:", "metrics_specs:", RUNS]
        }
        ChannelName::ExperimentResults => &["experiments:", "schedules:", RUNS, NUMBERS],
        ChannelName::Metrics => &[RUNS, NUMBERS],
        ChannelName::ToOrchestrator | ChannelName::FromOrchestrator => &["decisions:", "notes:"],
        ChannelName::BuilderTasks | ChannelName::BuilderResults => {
            &["tools:", "tool_requests:", "pending_experiments:"]
        }
        ChannelName::DeadLetter => &["dead_letters:"],
        ChannelName::Costs => &["budgets:day"],
        _ => &[],
    }
}

/// Whether the documents of an experiment changed with this message, or are about to. Its channel alone does not say so.
pub(super) fn is_about_experiment(row: &Row) -> bool {
    let Some(envelope) = &row.envelope else { return false };
    let kind = envelope.kind.as_ref();
    match row.channel {
        ChannelName::ToOrchestrator => {
            kind == "metric_alert" || ["experiment_", "fullsend_", "design_"].iter().any(|it| kind.starts_with(it))
        }
        // Its state changes with its runs; numbers come one after the other, and change no more than sums.
        ChannelName::Metrics => matches!(kind, "run_started" | "run_completed" | "error"),
        ChannelName::Alerts => row.body.contains("\"experiment_id\""),
        _ => false,
    }
}

impl Feed {
    pub(super) async fn keep_documents(self, mut rings: mpsc::Receiver<Bell>) -> Result<(), Gone> {
        let mut stale: BTreeSet<&'static str> = BTreeSet::new();
        let mut channels: BTreeSet<ChannelName> = BTreeSet::new();
        // The chains of what waits for a person: he is shown what they have cost.
        let mut chains: Vec<Key> = Vec::new();
        // When everything is read without a bell, and when what is counted may be read again.
        let mut anyway = Instant::now() + ANYWAY;
        let mut counted = Instant::now();
        // Channels that were looked at while their message was still being handled, and when they are looked at once more.
        let mut again: BTreeSet<ChannelName> = BTreeSet::new();
        let mut once_more = Instant::now();
        loop {
            let next = if stale.is_empty() { anyway } else { anyway.min(counted) };
            let next = if again.is_empty() { next } else { next.min(once_more) };
            match tokio::time::timeout_at(next, rings.recv()).await {
                Ok(Some(bell)) => {
                    rung(bell, &mut stale, &mut channels);
                    again.extend(&channels);
                    once_more = Instant::now() + ONCE_MORE;
                }
                Ok(None) => return Err(Gone),
                Err(_) if !again.is_empty() && Instant::now() >= once_more => channels.append(&mut again),
                Err(_) => {}
            }
            let until = Instant::now() + TOGETHER;
            while let Ok(Some(bell)) = tokio::time::timeout_at(until, rings.recv()).await {
                rung(bell, &mut stale, &mut channels);
                again.extend(&channels);
            }
            // However much is said: what has no bell of its own is changed by others, too.
            if Instant::now() >= anyway {
                rung(Bell::Everything, &mut stale, &mut channels);
            }
            if stale.len() == PREFIXES.len() {
                anyway = Instant::now() + ANYWAY;
            }
            let is_early = Instant::now() < counted;
            let (later, due): (BTreeSet<_>, BTreeSet<_>) =
                std::mem::take(&mut stale).into_iter().partition(|prefix| is_early && [NUMBERS, RUNS].contains(prefix));
            stale = later;
            if due.contains(NUMBERS) || due.contains(RUNS) {
                counted = Instant::now() + COUNTED;
            }
            let has_costs = due.contains("approvals:") || due.contains("budgets:day");
            for prefix in due {
                match self.documents(prefix).await {
                    Ok((found, left_out)) => {
                        if prefix == "approvals:" {
                            chains = waiting_chains(&found);
                        }
                        self.give(vec![Item::Documents { prefix: prefix.to_owned(), found, left_out }]).await?;
                    }
                    // What is away is read when it is back: that rings for everything.
                    Err(err) => tracing::debug!(%err, prefix, "documents were not read"),
                }
            }
            if has_costs {
                self.costs_of(&chains).await?;
            }
            for channel in std::mem::take(&mut channels) {
                if let Ok(info) = self.bus.inspect(channel).await {
                    let waiting = info.groups.iter().map(|group| group.lag.map(|lag| lag + group.pending));
                    let lag = Item::Lag(channel, waiting.max().flatten());
                    self.give(vec![lag, Item::Channel(info)]).await?;
                }
            }
        }
    }

    /// What chains have cost so far.
    async fn costs_of(&self, chains: &[Key]) -> Result<(), Gone> {
        let Ok(found) = self.bus.get_many(chains, None).await else { return Ok(()) };
        let item =
            |(key, state): (&Key, crate::bus::Got)| Some(Item::Document { key: key.clone(), state: state.ok()? });
        self.give(chains.iter().zip(found).filter_map(item).collect()).await
    }

    /// All documents of a prefix, as many as are kept, and how many more there are.
    async fn documents(&self, prefix: &str) -> Result<(Vec<(Key, State)>, usize), BusError> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let (page, next) = self.bus.scan(prefix, cursor, PAGE).await?;
            all.extend(page);
            cursor = next;
            if cursor.is_none() || all.len() > 4 * MOST {
                break;
            }
        }
        // Streams stand under the channels' names.
        all.retain(|key| !key.as_str().ends_with(":stream") && key.as_str() != keys::PENDING_APPROVALS);
        all.sort_unstable();
        let left_out = all.len().saturating_sub(MOST);
        // The newest ids sort last where they begin with their time.
        let mut kept = all.split_off(left_out);
        // What waits is read whatever its id: it can be answered nowhere else.
        if prefix == "approvals:" && left_out > 0 {
            kept.extend(self.waiting().await?.into_iter().filter(|key| all.binary_search(key).is_ok()));
        }
        let mut found = Vec::with_capacity(kept.len());
        for page in kept.chunks(PAGE) {
            let states = self.bus.get_many(page, None).await?;
            let read = page.iter().zip(states).filter_map(|(key, state)| Some((key.clone(), state.ok().flatten()?)));
            found.extend(read);
        }
        Ok((found, left_out))
    }
}

impl Feed {
    /// The documents of the approvals that wait, as many as are kept.
    async fn waiting(&self) -> Result<Vec<Key>, BusError> {
        let State::Set(ids) =
            self.bus.get(&Key::new(keys::PENDING_APPROVALS)).await?.unwrap_or(State::Set(BTreeSet::new()))
        else {
            return Ok(Vec::new());
        };
        Ok(ids.iter().take(MOST).map(|id| Key::new(format!("approvals:{id}"))).collect())
    }
}

/// The sums of the chains whose approvals wait.
fn waiting_chains(approvals: &[(Key, State)]) -> Vec<Key> {
    let records = approvals.iter().filter_map(|(_, state)| Record::read(state.document()?));
    let waiting = records.filter(|record| record.state == ApprovalState::Pending);
    let chains = waiting.map(|record| Key::new(format!("budgets:trace:{}", record.envelope.trace)));
    chains.take(PAGE).collect()
}

fn rung(bell: Bell, stale: &mut BTreeSet<&'static str>, channels: &mut BTreeSet<ChannelName>) {
    match bell {
        Bell::Channel(channel) => {
            stale.extend(prefixes(channel));
            if channel.route().kind == ChannelKind::Work {
                channels.insert(channel);
            }
        }
        Bell::Experiments => stale.extend(EXPERIMENTS),
        Bell::Everything => {
            stale.extend(PREFIXES);
            channels.extend(ChannelName::ALL.iter().filter(|it| it.route().kind == ChannelKind::Work));
        }
    }
}
