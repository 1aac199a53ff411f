//! Tools being built, from what was said of them: asked for, begun, built or failed.
//!
//! Must never hold a message: only its entry, by which it is found again.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::item::Row;
use crate::bus::EntryId;
use crate::contracts::messages::{BuilderResults, BuilderTasks, ToOrchestrator};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{Body, ChannelName};

/// Builds that are remembered.
const MOST: usize = 300;
const NAME_LIMIT: usize = 60;
const WORDS_LIMIT: usize = 300;

/// A tool that somebody asked for. Its texts are harmless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// Names the request; the tool's name where it has none.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// What it is for.
    pub purpose: String,
    /// Who asked.
    pub by: String,
    /// The experiment that waits for it.
    pub waits: Option<String>,
    /// When it was asked for.
    pub asked: Option<DateTime<Utc>>,
    /// When the builder took it.
    pub begun: Option<DateTime<Utc>>,
    /// When it came to an end.
    pub ended: Option<DateTime<Utc>>,
    /// Why it failed.
    pub failed: Option<String>,
    /// The newest message on it.
    pub entry: Option<(ChannelName, EntryId)>,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Builds {
    builds: VecDeque<Build>,
}

impl Builds {
    /// Takes in what was said on a channel of the builder's, or to the orchestrator.
    pub(super) fn apply(&mut self, row: &Row) {
        match row.channel {
            ChannelName::BuilderTasks => {
                let Ok(BuilderTasks::Prd(asked)) = BuilderTasks::read(&row.body) else { return };
                let id = asked.request_id.as_deref().or(asked.prd.id.as_deref());
                // The same tool may be asked for again after it failed or was built: that is another build.
                let it = self.of(id, &asked.prd.name, true);
                it.purpose = asked.prd.description.as_deref().map(words).unwrap_or_default();
                let by = asked.requested_by.as_deref().or(asked.prd.requested_by.as_deref());
                it.by = by.map_or_else(|| row.source(), name);
                it.waits = asked.prd.experiment_blocked.as_deref().map(name);
                it.asked = asked.requested_at.or(row.at());
                heard(it, row);
            }
            ChannelName::BuilderResults => match BuilderResults::read(&row.body) {
                Ok(BuilderResults::Built(built)) => self.end(built.request_id.as_deref(), &built.tool_name, None, row),
                Ok(BuilderResults::Failed(failed)) => {
                    let why = failed.error.line(WORDS_LIMIT);
                    self.end(failed.request_id.as_deref(), &failed.tool_name, Some(why), row);
                }
                Err(_) => {}
            },
            ChannelName::ToOrchestrator => {
                if row.kind() == "builder_started"
                    && let Ok(ToOrchestrator::BuilderStarted(begun)) = ToOrchestrator::read(&row.body)
                {
                    let it = self.of(begun.request_id.as_deref(), &begun.tool_name, false);
                    it.begun = begun.timestamp.or(row.at());
                    heard(it, row);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, id: Option<&str>, tool: &str, failed: Option<String>, row: &Row) {
        let it = self.of(id, tool, false);
        it.ended = row.at();
        it.failed = failed;
        heard(it, row);
    }

    /// The build of this request, or the newest of this tool; a new one where there is none, or where `anew` and that one has ended.
    fn of(&mut self, id: Option<&str>, tool: &str, anew: bool) -> &mut Build {
        let tool = name(tool);
        let id = id.map(name);
        let found = self.builds.iter().rposition(|it| match &id {
            Some(id) => it.id == *id,
            None => it.tool == tool && !(anew && it.ended.is_some()),
        });
        if let Some(at) = found {
            return &mut self.builds[at];
        }
        if self.builds.len() >= MOST {
            self.builds.pop_front();
        }
        let id = id.unwrap_or_else(|| tool.clone());
        self.builds.push_back(Build { id, tool, ..Build::default() });
        let last = self.builds.len() - 1;
        &mut self.builds[last]
    }

    /// The builds, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Build> {
        self.builds.iter().rev()
    }
}

fn heard(build: &mut Build, row: &Row) {
    if let Some(entry) = row.entry {
        build.entry = Some((row.channel, entry));
    }
}

fn name(text: &str) -> String {
    sanitize_line(text, NAME_LIMIT)
}

fn words(text: &str) -> String {
    sanitize_line(text, WORDS_LIMIT)
}
