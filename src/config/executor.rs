//! Settings of the executor: when it runs experiments, how many, and how often what failed is tried again.
//!
//! Owns their table. The names, defaults and ranges are those of the founding designs; their variables give seconds without a unit.

use std::time::Duration;

use super::setting::{Row, Slot, choice};
use super::{DAY, seconds};

choice! {
    /// What starts runs besides orders and schedules.
    ScheduleMode {
        /// Nothing.
        Trigger = "trigger",
        /// Nothing; schedules that others wrote are looked for as well.
        Cron = "cron",
        /// Whatever is ready, a few at a time.
        Speedrun = "speedrun",
    }
}

/// Settings of the executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// What starts runs besides orders and schedules.
    pub schedule_mode: ScheduleMode,
    /// How often a speedrun starts what is ready.
    pub speedrun_interval: Duration,
    /// How many it starts each time.
    pub speedrun_max_per_cycle: u64,
    /// How often it is looked for schedules that nothing waits for.
    pub cron_check_interval: Duration,
    /// How long a tool may take whose manifest does not say.
    pub tool_execution_timeout: Duration,
    /// How often a tool is tried that failed for a passing reason.
    pub retry_max_attempts: u32,
    /// The pause before the second try.
    pub retry_backoff_min: Duration,
    /// The longest pause between tries.
    pub retry_backoff_max: Duration,
    /// Runs at the same time.
    pub slots: u64,
    /// How long a step waits that a person does.
    pub person_deadline: Duration,
    /// How long the work folder of a run is kept after its end.
    pub keep_work: Duration,
    /// Of how many runs of an experiment it is kept, the latest.
    pub keep_work_runs: u64,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            schedule_mode: ScheduleMode::Trigger,
            speedrun_interval: seconds(5),
            speedrun_max_per_cycle: 3,
            cron_check_interval: seconds(60),
            tool_execution_timeout: seconds(300),
            retry_max_attempts: 3,
            retry_backoff_min: seconds(1),
            retry_backoff_max: seconds(30),
            slots: 8,
            person_deadline: 7 * DAY,
            keep_work: 14 * DAY,
            keep_work_runs: 20,
        }
    }
}

impl ExecutorConfig {
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        let ms = Duration::from_millis;
        vec![
            Row::new(
                "executor.schedule_mode",
                Slot::Choice(&mut self.schedule_mode),
                "What starts runs besides orders and schedules, which always do: speedrun starts whatever is ready.",
            )
            .founding_env(&["SCHEDULE_MODE"]),
            Row::new(
                "executor.speedrun_interval",
                Slot::Duration(&mut self.speedrun_interval, seconds(1)..=seconds(3_600)),
                "How often a speedrun starts what is ready.",
            )
            .founding_seconds(&["SPEEDRUN_INTERVAL"]),
            Row::new(
                "executor.speedrun_max_per_cycle",
                Slot::Count(&mut self.speedrun_max_per_cycle, 1..=100),
                "How many experiments a speedrun starts each time.",
            )
            .founding_env(&["SPEEDRUN_MAX_PER_CYCLE"]),
            Row::new(
                "executor.cron_check_interval",
                Slot::Duration(&mut self.cron_check_interval, seconds(10)..=seconds(3_600)),
                "How often it is looked for schedules that others wrote and nothing waits for.",
            )
            .founding_seconds(&["CRON_CHECK_INTERVAL"]),
            Row::new(
                "executor.tool_execution_timeout",
                Slot::Duration(&mut self.tool_execution_timeout, seconds(1)..=seconds(3_600)),
                "How long a tool may take whose manifest does not say, without the time that it waits for answers.",
            )
            .founding_seconds(&["TOOL_EXECUTION_TIMEOUT"]),
            Row::new(
                "executor.retry_max_attempts",
                Slot::Few(&mut self.retry_max_attempts, 1..=10),
                "How often a tool is tried that failed for a passing reason.",
            )
            .founding_env(&["RETRY_MAX_ATTEMPTS"]),
            Row::new(
                "executor.retry_backoff_min",
                Slot::Duration(&mut self.retry_backoff_min, ms(100)..=seconds(60)),
                "The pause before the second try; it doubles.",
            )
            .founding_seconds(&["RETRY_BACKOFF_MIN"]),
            Row::new(
                "executor.retry_backoff_max",
                Slot::Duration(&mut self.retry_backoff_max, seconds(1)..=seconds(300)),
                "The longest pause between tries. At least executor.retry_backoff_min.",
            )
            .founding_seconds(&["RETRY_BACKOFF_MAX"]),
            Row::new(
                "executor.slots",
                Slot::Count(&mut self.slots, 1..=64),
                "Runs at the same time in one process; more wait.",
            ),
            Row::new(
                "executor.person_deadline",
                Slot::Duration(&mut self.person_deadline, seconds(1)..=90 * DAY),
                "How long a run waits for a step that a person does; then it fails, aloud.",
            ),
            Row::new(
                "executor.keep_work",
                Slot::Duration(&mut self.keep_work, DAY..=3_650 * DAY),
                "How long the work folder of a run is kept after its end: what its tools wrote, mails of dry runs among it.",
            ),
            Row::new(
                "executor.keep_work_runs",
                Slot::Count(&mut self.keep_work_runs, 1..=100_000),
                "Of how many runs of an experiment the work folder is kept, the latest; older ones go earlier than executor.keep_work says.",
            ),
        ]
    }
}
