//! Work folders of runs that are over: they are kept for a while, and then removed.
//!
//! Owns which of them go: the old ones, and of each experiment all but its latest. Each machine keeps house for itself: the folders lie
//! in its home. Must never remove that of a run that is not over, and nothing but folders in the one place where runs have theirs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::record::Status;
use crate::bus::{BusError, SharedBus, State};
use crate::contracts::Clock;
use crate::contracts::envelope::read_time;
use crate::tools::runner::folder_name;

/// How often it is looked.
const EVERY: Duration = Duration::from_hours(1);
/// Keys read at a time.
const PAGE: usize = 500;
/// Most folders of one look; more are there the next time.
const MOST: usize = 100_000;
/// The beginning of the keys of runs.
const RUNS: &str = "experiment_runs:";

/// Keeps house in the folder of the work folders.
pub struct WorkFolders {
    /// The bus, which knows the runs.
    pub bus: SharedBus,
    /// The folder in which each run has one.
    pub folder: PathBuf,
    /// How long one is kept after the run's end.
    pub age: Duration,
    /// Of how many runs of an experiment.
    pub runs: u64,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for WorkFolders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkFolders").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A run that has, or had, a work folder.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    experiment: String,
    is_over: bool,
    ended: Option<DateTime<Utc>>,
}

impl WorkFolders {
    /// Keeps house until it is dropped.
    pub async fn keep(&self) -> Infallible {
        loop {
            match self.look().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(
                    removed,
                    "work folders of runs were removed: older than executor.keep_work, or not among the latest executor.keep_work_runs of \
                     their experiment"
                ),
                Err(err) => tracing::warn!(%err, "work folders of runs were not looked through"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Removes what is not to be kept; how many folders that were.
    ///
    /// # Errors
    /// Where it cannot be known which runs are over: nothing is removed then.
    pub async fn look(&self) -> Result<usize, BusError> {
        let folder = self.folder.clone();
        let found = tokio::task::spawn_blocking(move || folders(&folder)).await.unwrap_or_default();
        if found.is_empty() {
            return Ok(0);
        }
        let age = TimeDelta::from_std(self.age).unwrap_or(TimeDelta::MAX);
        let gone = not_kept(found, &self.known().await?, self.clock.now(), age, self.runs);
        let folder = self.folder.clone();
        let remove = move || {
            let removed = gone.into_iter().filter(|(name, why)| match fs::remove_dir_all(folder.join(name)) {
                Ok(()) => {
                    tracing::debug!(run = name, why, "a work folder was removed");
                    true
                }
                Err(err) => {
                    tracing::warn!(run = name, %err, "a work folder cannot be removed");
                    false
                }
            });
            removed.count()
        };
        Ok(tokio::task::spawn_blocking(remove).await.unwrap_or_default())
    }

    /// The runs that the bus knows, by the names of their folders.
    async fn known(&self) -> Result<BTreeMap<String, Run>, BusError> {
        let (mut runs, mut cursor) = (BTreeMap::new(), None);
        let fields = ["experiment_id", "status", "ended_at"];
        loop {
            let (keys, next) = self.bus.scan(RUNS, cursor, PAGE).await?;
            let found = self.bus.get_many(&keys, Some(&fields)).await?;
            for (key, found) in keys.iter().zip(found) {
                let Some((experiment, run)) = key.as_str().strip_prefix(RUNS).and_then(|rest| rest.split_once(':'))
                else {
                    continue;
                };
                let status = match found {
                    Ok(Some(State::Hash(document))) => {
                        (document.get("status").and_then(Status::read), document.get("ended_at").and_then(read_time))
                    }
                    Ok(None) => continue,
                    // Whatever it is, it does not say that the run is over.
                    Ok(Some(_)) | Err(_) => (None, None),
                };
                let is_over = status.0.is_some_and(Status::is_over);
                let run_of = Run { experiment: experiment.to_owned(), is_over, ended: status.1 };
                runs.insert(folder_name(run), run_of);
            }
            match next {
                Some(_) => cursor = next,
                None => return Ok(runs),
            }
        }
    }
}

/// The folders of runs, with the time of their last change.
fn folders(folder: &std::path::Path) -> Vec<(String, DateTime<Utc>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    let entries = entries.filter_map(|entry| {
        // A link is none, wherever it leads.
        let found = entry.metadata().ok().filter(fs::Metadata::is_dir)?;
        Some((entry.file_name().into_string().ok()?, found.modified().ok()?.into()))
    });
    entries.collect()
}

/// The folders that go, each with the reason.
fn not_kept(
    found: Vec<(String, DateTime<Utc>)>,
    known: &BTreeMap<String, Run>,
    now: DateTime<Utc>,
    age: TimeDelta,
    most: u64,
) -> Vec<(String, &'static str)> {
    let mut gone = Vec::new();
    let mut kept: BTreeMap<&str, Vec<(DateTime<Utc>, String)>> = BTreeMap::new();
    for (name, changed) in found {
        let run = known.get(&name);
        if run.is_some_and(|run| !run.is_over) {
            continue;
        }
        // One that nobody knows was of a person's trial, or of a run whose document is gone.
        let ended = run.and_then(|run| run.ended).unwrap_or(changed);
        if now - ended > age {
            gone.push((name, "it is old"));
        } else if let Some(run) = run {
            kept.entry(run.experiment.as_str()).or_default().push((ended, name));
        }
    }
    for mut runs in kept.into_values() {
        runs.sort_by(|a, b| b.cmp(a));
        let late = runs.into_iter().skip(usize::try_from(most).unwrap_or(usize::MAX));
        gone.extend(late.map(|(_, name)| (name, "its experiment had enough runs since")));
    }
    gone
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::bus::testing::World;
    use crate::bus::{Expect, Key, Op, Ttl};

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_old_ones_go_and_of_each_experiment_all_but_the_latest() {
        let run = |experiment: &str, is_over: bool, ended: Option<&str>| Run {
            experiment: experiment.to_owned(),
            is_over,
            ended: ended.map(time),
        };
        let known = BTreeMap::from([
            ("a1".to_owned(), run("a", true, Some("2027-01-14T01:00:00Z"))),
            ("a2".to_owned(), run("a", true, Some("2027-01-14T02:00:00Z"))),
            ("a3".to_owned(), run("a", true, Some("2027-01-14T03:00:00Z"))),
            ("b1".to_owned(), run("b", true, Some("2027-01-10T00:00:00Z"))),
            ("b2".to_owned(), run("b", true, None)),
            ("c1".to_owned(), run("c", false, None)),
        ]);
        let old = time("2026-11-01T00:00:00Z");
        let now = time("2027-01-15T00:00:00Z");
        let names = ["a1", "a2", "a3", "b1", "b2", "c1", "by_hand"];
        let mut found: Vec<_> = names.map(|name| (name.to_owned(), old)).into();
        found.push(("by_hand_today".to_owned(), now));
        let gone = not_kept(found, &known, now, TimeDelta::days(3), 2);
        let names: Vec<_> = gone.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b1", "b2", "by_hand", "a1"], "c1 is old, and runs");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_goes_from_the_disk_and_what_runs_stays() {
        let world = World::new();
        let home = tempfile::tempdir().unwrap();
        let work = home.path().join("work");
        let outside = home.path().join("outside");
        fs::create_dir_all(outside.join("s")).unwrap();
        fs::create_dir_all(&work).unwrap();
        std::os::unix::fs::symlink(&outside, work.join("link")).unwrap();
        fs::write(work.join("file"), "x").unwrap();
        let over = [("status", "completed"), ("ended_at", "2026-12-01T00:00:00Z")];
        let runs =
            [("exp_a:1", over.as_slice()), ("exp_a:2", &[("status", "waiting")]), ("odd", &[("status", "running")])];
        for (run, fields) in runs {
            fs::create_dir_all(work.join(folder_name(run)).join("outreach/outbox")).unwrap();
            let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
            let key = Key::new(format!("experiment_runs:exp_a:{run}"));
            world.commit(vec![Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Keep }]).await;
        }
        let age = Duration::from_hours(24);
        let folders =
            WorkFolders { bus: world.bus(), folder: work.clone(), age, runs: 5, clock: Arc::clone(&world.clock) };
        assert_eq!(folders.look().await.unwrap(), 1);
        assert!(!work.join(folder_name("exp_a:1")).exists());
        for stays in ["exp_a:2", "odd"] {
            assert!(work.join(folder_name(stays)).join("outreach/outbox").exists(), "{stays}");
        }
        assert!(outside.join("s").exists() && work.join("file").exists());
        assert_eq!(folders.look().await.unwrap(), 0);
    }
}
