//! How things stand, every hour: what the experiments came to so far, by code and in numbers only.
//!
//! Work of one process at a time. Must never say the same hour twice, nor anything where there is no experiment.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bus::leased::Singleton;
use crate::bus::{BusError, Commit, Document, Draft, Key, LeaseFence, Op, Origin, SharedBus};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{PeriodicSummary, ToOrchestrator};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::TO_ORCHESTRATOR;
use crate::contracts::{Clock, Ids, Trust};
use crate::experiments::judgement::{Outcome, Standing};
use crate::memory::experiments as known;

/// How often it is looked whether it is time.
const TICK: Duration = Duration::from_secs(1);
/// Keys of a page.
const PAGE: usize = 500;
/// Experiments that are told of one by one.
const TOLD: usize = 12;

/// The holder of the lease `summaries`.
pub struct Summaries {
    /// The bus.
    pub bus: SharedBus,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Names of messages.
    pub ids: Arc<Ids>,
    /// How often.
    pub interval: Duration,
}

impl std::fmt::Debug for Summaries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Summaries").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Singleton for Summaries {
    fn lease(&self) -> &'static str {
        "summaries"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        // The interval in which it starts is not over.
        let mut last = self.interval_now();
        while !stop.is_cancelled() {
            let now = self.interval_now();
            if now > last {
                self.say(now, &fence).await?;
                last = now;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        Ok(())
    }
}

/// An experiment that is under way.
struct Line {
    id: String,
    state: ExperimentState,
    outcome: Option<Outcome>,
}

impl Summaries {
    /// Which interval it is, counted from 1970: the same in every process.
    fn interval_now(&self) -> i64 {
        let length = i64::try_from(self.interval.as_secs().max(1)).unwrap_or(i64::MAX);
        self.clock.now().timestamp().div_euclid(length)
    }

    async fn say(&self, interval: i64, fence: &LeaseFence) -> Result<(), BusError> {
        let lines = self.lines().await?;
        if lines.is_empty() {
            return Ok(());
        }
        let summary = PeriodicSummary {
            source: Some("redis_agent".to_owned()),
            summary: words(&lines),
            experiment_count: Some(lines.len() as u64),
            timestamp: Some(self.clock.now()),
        };
        let origin = Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System);
        let draft = Draft::new(ToOrchestrator::PeriodicSummary(summary));
        let message = match origin.compose::<grants::RedisAgent, _>(TO_ORCHESTRATOR, draft) {
            Ok(message) => message,
            Err(err) => {
                tracing::error!(%err, "how things stand could not be said");
                return Ok(());
            }
        };
        // Two holders, or a clock that was set back, say an interval once.
        let once = Some(format!("summary:{}:{interval}", self.interval.as_secs()));
        let commit = Commit { once, under: Some(fence.clone()), ..Commit::of(vec![Op::Append(message)]) };
        self.bus.commit(vec![commit]).await?;
        Ok(())
    }

    /// Experiments that are under way, by id.
    async fn lines(&self) -> Result<Vec<Line>, BusError> {
        let (mut lines, mut cursor) = (Vec::new(), None);
        loop {
            let (page, next) = self.bus.scan("experiments:", cursor, PAGE).await?;
            let ids: Vec<&str> = page.iter().filter_map(|key| key.as_str().strip_prefix("experiments:")).collect();
            let sums: Vec<Key> = ids.iter().map(|id| Key::new(format!("metrics_aggregated:{id}"))).collect();
            let found = self.bus.get_many(&page, Some(&["state", "status"])).await?;
            let sums = self.bus.get_many(&sums, Some(&["verdict_json"])).await?;
            for ((id, found), sums) in ids.iter().zip(found).zip(sums) {
                let document = |got: crate::bus::Got| got.ok().flatten().and_then(known::document);
                let Some(state) = document(found).and_then(|found| ExperimentState::of(|field| found.get(field)))
                else {
                    continue;
                };
                if is_under_way(state) {
                    let outcome = document(sums).as_ref().and_then(outcome);
                    lines.push(Line { id: sanitize_line(id, 80), state, outcome });
                }
            }
            cursor = next;
            if cursor.is_none() {
                lines.sort_by(|one, other| one.id.cmp(&other.id));
                return Ok(lines);
            }
        }
    }
}

fn is_under_way(state: ExperimentState) -> bool {
    matches!(
        state,
        ExperimentState::Ready | ExperimentState::Running | ExperimentState::Measuring | ExperimentState::Paused
    )
}

fn outcome(sums: &Document) -> Option<Outcome> {
    serde_json::from_str(sums.get("verdict_json")?).ok()
}

/// Overall, and then one by one, what needs a look first.
fn words(lines: &[Line]) -> String {
    let of = |line: &Line| line.outcome.as_ref().map(|outcome| outcome.verdict).unwrap_or_default();
    let names = [
        (Standing::Failing, "failing"),
        (Standing::AtRisk, "at risk"),
        (Standing::Succeeded, "succeeded"),
        (Standing::Promising, "promising"),
        (Standing::Undecided, "undecided"),
    ];
    let counts = names.iter().filter_map(|(standing, name)| {
        let count = lines.iter().filter(|line| of(line) == *standing).count();
        (count > 0).then(|| format!("{count} {name}"))
    });
    let counts: Vec<String> = counts.collect();
    let plural = if lines.len() == 1 { "" } else { "s" };
    let mut text = format!("{} experiment{plural} under way: {}.", lines.len(), counts.join(", "));
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by_key(|line| names.iter().position(|(standing, _)| *standing == of(line)));
    for line in sorted.iter().take(TOLD) {
        let told = line.outcome.as_ref().and_then(|outcome| {
            // What holds says more than what does not.
            let first = outcome.criteria.iter().find(|judged| judged.holds == Some(true));
            first.or(outcome.criteria.first()).map(|judged| format!(", {}: {}", judged.criterion, judged.words()))
        });
        let name = names.iter().find(|(standing, _)| *standing == of(line)).map_or("undecided", |(_, name)| *name);
        // Writing into a String cannot fail.
        let _ = write!(text, " {} ({}): {name}{}.", line.id, line.state, told.unwrap_or_default());
    }
    if lines.len() > TOLD {
        let _ = write!(text, " And {} more.", lines.len() - TOLD);
    }
    text
}
