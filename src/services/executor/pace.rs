//! The pacer: one of a kind on a bus. It starts whatever is ready in a speedrun, and finds schedules and answers that nothing waits for.
//!
//! Must never claim or run anything: it says what is to be done, and the executors do it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::collect;
use crate::bus::leased::Singleton;
use crate::bus::{BusError, Commit, Document, Draft, LeaseFence, Op, Origin, SharedBus, State};
use crate::config::{ExecutorConfig, ScheduleMode};
use crate::contracts::channel::grants;
use crate::contracts::envelope::read_time;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{CollectionDue, ExecuteNow, RunNow, ScheduleCreated, Schedules};
use crate::contracts::wiring::{EXECUTE_NOW, SCHEDULES};
use crate::contracts::{Body, Channel, Clock, Ids, Says, ServiceName, Trust};

/// Keys read at a time.
const PAGE: usize = 500;
/// It comes round at least this often.
const TURN: Duration = Duration::from_secs(5);
/// Where nobody asked for more, schedules are looked through this often.
const SELDOM: Duration = Duration::from_hours(1);
/// A moment that nobody claimed for so long has lost its timer.
const OVERDUE: TimeDelta = TimeDelta::minutes(5);

/// The holder of the lease `executor_pacer`.
pub struct Pacer {
    /// The bus.
    pub bus: SharedBus,
    /// How it paces.
    pub settings: ExecutorConfig,
    /// Whether there is a place where answers arrive (`outreach.mailbox`, `outreach.webhooks`).
    pub reads_answers: bool,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<Ids>,
}

impl std::fmt::Debug for Pacer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pacer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Singleton for Pacer {
    fn lease(&self) -> &'static str {
        "executor_pacer"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        let every = match self.settings.schedule_mode {
            ScheduleMode::Trigger => SELDOM,
            ScheduleMode::Cron | ScheduleMode::Speedrun => self.settings.cron_check_interval,
        };
        let is_speedrun = self.settings.schedule_mode == ScheduleMode::Speedrun;
        let turn = if is_speedrun { self.settings.speedrun_interval.min(TURN) } else { TURN };
        let (mut looked, mut ran): (Option<Instant>, Option<Instant>) = (None, None);
        while !stop.is_cancelled() {
            if looked.is_none_or(|at| at.elapsed() >= every) {
                looked = Some(Instant::now());
                self.look_through(&fence).await?;
                self.look_for_answers(&fence).await?;
            }
            if is_speedrun && ran.is_none_or(|at| at.elapsed() >= self.settings.speedrun_interval) {
                ran = Some(Instant::now());
                self.speedrun(&fence).await?;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(turn) => {}
            }
        }
        Ok(())
    }
}

impl Pacer {
    /// Schedules that nothing waits for: those that others wrote, and those whose timer is gone.
    pub(super) async fn look_through(&self, fence: &LeaseFence) -> Result<(), BusError> {
        let now = self.clock.now();
        let fields = ["cron", "timezone", "state", "next_at", "error"];
        for (id, found) in self.all("schedules:", &fields).await? {
            let created = match found {
                State::Hash(schedule) if is_forgotten(&schedule, now) => {
                    (schedule.get("cron").map(str::to_owned), schedule.get("timezone").map(str::to_owned))
                }
                State::String(cron) => (Some(cron), None),
                _ => continue,
            };
            let (Some(schedule), timezone) = created else { continue };
            let created = ScheduleCreated {
                experiment_id: id.clone(),
                schedule,
                timezone,
                source: Some(ServiceName::Executor.to_string()),
                timestamp: Some(now),
            };
            let once = format!("arm:{id}:{}", now.format("%Y-%m-%dT%H:%M"));
            self.say(fence, once, SCHEDULES, Draft::new(Schedules::from(created)).subject(id)).await?;
        }
        Ok(())
    }

    /// That answers are to be read, where they may come and nothing waits for them.
    pub(super) async fn look_for_answers(&self, fence: &LeaseFence) -> Result<(), BusError> {
        let now = self.clock.now();
        if !self.reads_answers || !collect::is_forgotten(&self.bus, now).await? {
            return Ok(());
        }
        let draft = Draft::new(Schedules::from(CollectionDue { due_at: Some(now) })).subject("mailbox");
        self.say(fence, format!("collection:{}", now.format("%Y-%m-%dT%H")), SCHEDULES, draft).await
    }

    /// Has some of those that are ready run.
    pub(super) async fn speedrun(&self, fence: &LeaseFence) -> Result<(), BusError> {
        let mut left = self.settings.speedrun_max_per_cycle;
        for (id, found) in self.all("experiments:", &["state", "status", "next_run_id"]).await? {
            let State::Hash(experiment) = found else { continue };
            let is_ready = ExperimentState::of(|field| experiment.get(field)) == Some(ExperimentState::Ready);
            if left == 0 || !is_ready || experiment.get("next_run_id").is_some() {
                continue;
            }
            left -= 1;
            let run = RunNow {
                experiment_id: id.clone(),
                triggered_by: Some("speedrun".to_owned()),
                reason: None,
                due_at: None,
                force: false,
                timestamp: Some(self.clock.now()),
            };
            // The same one is not said again until it was run, or changed.
            let once = format!("speedrun:{id}:{}", experiment.version);
            self.say(fence, once, EXECUTE_NOW, Draft::new(ExecuteNow::from(run)).subject(id)).await?;
        }
        Ok(())
    }

    /// What stands under the keys with a prefix, by what follows it.
    async fn all(&self, prefix: &str, only: &[&str]) -> Result<Vec<(String, State)>, BusError> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let (keys, next) = self.bus.scan(prefix, cursor, PAGE).await?;
            let found = self.bus.get_many(&keys, Some(only)).await?;
            all.extend(keys.iter().zip(found).filter_map(|(key, found)| {
                let id = key.as_str().strip_prefix(prefix)?.to_owned();
                Some((id, found.ok()??))
            }));
            match next {
                Some(_) => cursor = next,
                None => return Ok(all),
            }
        }
    }

    async fn say<M: Body>(
        &self,
        fence: &LeaseFence,
        once: String,
        channel: Channel<M>,
        draft: Draft<M>,
    ) -> Result<(), BusError>
    where
        grants::Executor: Says<M>,
    {
        let origin = Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System);
        let message = match origin.compose::<grants::Executor, M>(channel, draft) {
            Ok(message) => message,
            Err(err) => {
                tracing::warn!(%err, "something was not said");
                return Ok(());
            }
        };
        let unit = Commit { once: Some(once), under: Some(fence.clone()), ..Commit::of(vec![Op::Append(message)]) };
        self.bus.commit(vec![unit]).await.map(drop)
    }
}

/// Whether a schedule should be waited for, and is not.
fn is_forgotten(schedule: &Document, now: DateTime<Utc>) -> bool {
    let is_active = schedule.get("state").is_none_or(|state| state == "active");
    let next = schedule.get("next_at").and_then(read_time);
    is_active && schedule.get("error").is_none() && next.is_none_or(|next| next + OVERDUE < now)
}
