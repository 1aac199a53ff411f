//! Loads what a decision is made from.
//!
//! Owns what is remembered between loads: texts and experiments by their versions, so that a load reads little more than what changed.
//! Must never answer with something older than the moment at which it was asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::context::{NoteBrief, TeamContext};
use super::experiments::{self, Known};
use super::note::{self, NoteState};
use crate::bus::{BusError, EntryId, Got, Key, SharedBus, State};
use crate::contracts::notes::NoteName;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, keys};

/// Most experiments in a context, the newest.
pub const EXPERIMENTS: usize = 1_000;
/// Most tactical learnings, the newest.
pub const TACTICAL: usize = 200;
/// Most runs, the newest.
pub const RUNS: usize = 20;
/// Most tools.
pub const TOOLS: usize = 500;
/// Most warnings.
const WARNINGS: usize = 50;
/// Characters of a learning or a run.
const LINE_LIMIT: usize = 500;
/// Keys read at a time.
const PAGE: usize = 1_000;

/// Where looking for keys takes longer than this and than a page for each kind (Redis goes through all of its keys), it is not done for
/// every load.
const QUICK: Duration = Duration::from_millis(4);
/// It is then done after so long, for what other programs wrote without saying so.
const ROSTER_AGE: Duration = Duration::from_secs(2);
/// And whenever one of these has news: whoever makes an experiment or a tool says so here, in the same commit.
const NEWS: [ChannelName; 3] = [ChannelName::Experiments, ChannelName::Schedules, ChannelName::BuilderResults];

const EXPERIMENT: &str = "experiments:";
const TOOL: &str = "tools:";
const LEARNING: &str = "learnings:tactical:";

/// What the team knows, as it stands now. For a single look; whoever looks often keeps a [`Memory`].
///
/// # Errors
/// Where the bus cannot be read.
pub async fn load(bus: &SharedBus) -> Result<TeamContext, BusError> {
    Ok(Arc::unwrap_or_clone(Memory::default().load(bus).await?))
}

/// Loads what the team knows, again and again, from one bus.
#[derive(Debug, Default)]
pub struct Memory {
    calls: AtomicU64,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// The calls up to this one are answered by `team`: it was begun after they came.
    answers: u64,
    team: Arc<TeamContext>,
    roster: Option<Roster>,
    /// The digests of the notes in `team`.
    digests: HashMap<NoteName, String>,
    experiments: HashMap<String, Known>,
}

impl Memory {
    /// What the team knows, as it stands now. Those who ask at the same time share one look.
    ///
    /// # Errors
    /// Where the bus cannot be read.
    pub async fn load(&self, bus: &SharedBus) -> Result<Arc<TeamContext>, BusError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut cache = self.cache.lock().await;
        if cache.answers < call {
            let came = self.calls.load(Ordering::SeqCst);
            let team = cache.look(bus).await?;
            cache.team = Arc::new(team);
            cache.answers = came;
        }
        Ok(Arc::clone(&cache.team))
    }
}

/// Which keys there are.
#[derive(Debug, Clone, Default)]
struct Roster {
    experiments: Vec<String>,
    tools: Vec<String>,
    learnings: Vec<String>,
    /// When it was begun, and how long it took.
    at: Option<(Instant, Duration)>,
    /// Whether it came in few pages: then there are few keys, however long it took.
    small: bool,
    news: Vec<(ChannelName, Option<EntryId>)>,
}

impl Roster {
    async fn look(bus: &SharedBus) -> Result<Self, BusError> {
        let began = Instant::now();
        // Before the keys: what is said while they are looked for counts as news.
        let news = if bus.engine() == "redis" { bus.newest(&NEWS).await? } else { Vec::new() };
        let ((experiments, one), (tools, two), (learnings, three)) =
            tokio::try_join!(ids(bus, EXPERIMENT), ids(bus, TOOL), ids(bus, LEARNING))?;
        let small = [one, two, three] == [1; 3];
        Ok(Self { experiments, tools, learnings, at: Some((began, began.elapsed())), small, news })
    }

    async fn holds(&self, bus: &SharedBus) -> Result<bool, BusError> {
        // The other engines find keys by an index.
        let Some((began, took)) = self.at.filter(|_| bus.engine() == "redis") else { return Ok(false) };
        if self.small || took <= QUICK || began.elapsed() > ROSTER_AGE + took {
            return Ok(false);
        }
        Ok(bus.newest(&NEWS).await? == self.news)
    }
}

/// What follows the prefix in all keys that start with it, and in how many pages they came.
async fn ids(bus: &SharedBus, prefix: &str) -> Result<(Vec<String>, usize), BusError> {
    let (mut cursor, mut ids, mut pages) = (None, Vec::new(), 0);
    loop {
        let (keys, next) = bus.scan(prefix, cursor, PAGE).await?;
        ids.extend(keys.iter().filter_map(|key| key.as_str().strip_prefix(prefix)).map(str::to_owned));
        cursor = next;
        pages += 1;
        if cursor.is_none() {
            ids.sort_unstable();
            ids.dedup();
            return Ok((ids, pages));
        }
    }
}

/// The sentences about what could not be read.
#[derive(Debug, Default)]
struct Warnings(Vec<String>);

impl Warnings {
    fn say(&mut self, text: impl FnOnce() -> String) {
        if self.0.len() < WARNINGS {
            self.0.push(text());
        }
    }

    /// What stands there, or why it is left out.
    fn take(&mut self, got: Got) -> Option<State> {
        match got {
            Ok(state) => state,
            Err(err) => {
                self.say(|| err.to_string());
                None
            }
        }
    }

    fn foreign(&mut self, key: &str, state: &State, wanted: &str) {
        let key = sanitize_line(key, 120);
        self.say(|| format!("`{key}` holds a {}, a {wanted} belongs there; it is left out", state.type_name()));
    }
}

impl Cache {
    async fn look(&mut self, bus: &SharedBus) -> Result<TeamContext, BusError> {
        let mut warnings = Warnings::default();
        let (roster, fixed) = tokio::try_join!(self.roster(bus), async {
            let keys = [keys::RECENT_RUNS, keys::STATUS, keys::TACTICAL_LEARNINGS_INDEX].map(Key::new);
            bus.get_many(&keys, None).await
        })?;
        let mut fixed = fixed.into_iter().map(|got| warnings.take(got)).collect::<Vec<_>>().into_iter();
        let (runs, status, index) = (fixed.next().flatten(), fixed.next().flatten(), fixed.next().flatten());
        let tactical = newest_learnings(index, &roster.learnings, &mut warnings);
        let others: Vec<Key> = tactical
            .iter()
            .map(|id| Key::new(format!("{LEARNING}{id}")))
            .chain(roster.tools.iter().take(TOOLS).map(|name| Key::new(format!("{TOOL}{name}"))))
            .collect();
        let marks: Vec<Key> = roster.experiments.iter().map(|id| Key::new(format!("{EXPERIMENT}{id}"))).collect();
        let notes = NoteName::ALL.map(note::key);
        let (notes, marks, others) = tokio::try_join!(
            bus.get_many(&notes, Some(&["digest", "updated_at"])),
            some(bus, &marks, Some(experiments::MARKS)),
            some(bus, &others, None),
        )?;
        let mut others = others.into_iter();
        let tactical =
            others.by_ref().take(tactical.len()).filter_map(|got| warnings.take(got)).filter_map(learning).collect();
        let tools = tools(&roster.tools, others, &mut warnings);
        let [product, worklist, learnings] = self.notes(bus, notes, &mut warnings).await?;
        let archived = self.refresh(bus, &roster.experiments, marks, &mut warnings).await?;
        let experiments = self.newest(bus, &mut warnings).await?;
        self.roster = Some(roster);
        Ok(TeamContext {
            product,
            worklist,
            learnings,
            experiments,
            archived,
            tools,
            tactical,
            recent_runs: recent(runs, &mut warnings),
            held: matches!(status, Some(State::String(status)) if status == "paused"),
            warnings: warnings.0,
        })
    }

    async fn roster(&self, bus: &SharedBus) -> Result<Roster, BusError> {
        match &self.roster {
            Some(roster) if roster.holds(bus).await? => Ok(roster.clone()),
            _ => Roster::look(bus).await,
        }
    }

    /// The notes; a text is read again only where its digest or version changed.
    async fn notes(
        &mut self,
        bus: &SharedBus,
        marks: Vec<Got>,
        warnings: &mut Warnings,
    ) -> Result<[NoteBrief; 3], BusError> {
        let mut briefs = self.former_notes();
        for ((name, got), brief) in NoteName::ALL.into_iter().zip(marks).zip(&mut briefs) {
            let known = self.digests.remove(&name);
            let mark = match warnings.take(got) {
                None => {
                    warnings.say(|| format!("there is no {name}; it counts as empty"));
                    *brief = NoteBrief::default();
                    continue;
                }
                Some(State::Hash(mark)) => mark,
                Some(other) => {
                    warnings.foreign(note::key(name).as_str(), &other, "hash");
                    *brief = NoteBrief::default();
                    continue;
                }
            };
            let digest = mark.get("digest").unwrap_or_default();
            if digest.is_empty() || known.as_deref() != Some(digest) || brief.version != mark.version {
                let state = NoteState::read(bus, name).await?;
                *brief = NoteBrief { text: state.text, version: state.version };
            }
            if brief.text.trim().is_empty() {
                warnings.say(|| format!("the {name} is empty"));
            }
            // Another version may have been read than was seen: then it is read again the next time.
            self.digests.insert(name, digest.to_owned());
        }
        Ok(briefs)
    }

    /// The notes of the context before this one; not copied where nobody holds it any more.
    fn former_notes(&mut self) -> [NoteBrief; 3] {
        let former = Arc::unwrap_or_clone(std::mem::take(&mut self.team));
        // Until the new one is there, none is: whoever fails in between begins anew.
        self.answers = 0;
        [former.product, former.worklist, former.learnings]
    }

    /// Reads the experiments that changed. Answers the ids of those that are archived.
    async fn refresh(
        &mut self,
        bus: &SharedBus,
        ids: &[String],
        marks: Vec<Got>,
        warnings: &mut Warnings,
    ) -> Result<Vec<String>, BusError> {
        let mut known = HashMap::with_capacity(ids.len());
        let mut changed = Vec::new();
        for (id, mark) in ids.iter().zip(marks) {
            let former = self.experiments.remove(id);
            match (mark, former) {
                (Ok(Some(State::Hash(mark))), Some(former)) if former.is_still(&mark) => {
                    known.insert(id.clone(), former);
                }
                // Gone since its key was seen.
                (Ok(None), _) => {}
                _ => changed.push(id.clone()),
            }
        }
        let keys: Vec<Key> = changed.iter().map(|id| Key::new(format!("{EXPERIMENT}{id}"))).collect();
        for (id, got) in changed.into_iter().zip(some(bus, &keys, None).await?) {
            let Some(state) = warnings.take(got) else { continue };
            let kind = state.type_name();
            match experiments::document(state) {
                Some(document) => {
                    known.insert(id.clone(), Known::of(&id, &document));
                }
                None => warnings.say(|| {
                    let id = sanitize_line(&id, 120);
                    format!("`{EXPERIMENT}{id}` holds a {kind}, a hash belongs there; it is left out")
                }),
            }
        }
        self.experiments = known;
        let mut archived: Vec<&Known> = self.experiments.values().filter(|known| known.archived).collect();
        sort(&mut archived);
        Ok(archived.into_iter().take(EXPERIMENTS).map(|known| known.brief.id.clone()).collect())
    }

    /// The newest experiments that are not archived, with their numbers.
    async fn newest(&self, bus: &SharedBus, warnings: &mut Warnings) -> Result<Vec<super::ExperimentBrief>, BusError> {
        let mut newest: Vec<&Known> = self.experiments.values().filter(|known| !known.archived).collect();
        sort(&mut newest);
        if newest.len() > EXPERIMENTS {
            warnings
                .say(|| format!("there are {} experiments; a decision sees the newest {EXPERIMENTS}", newest.len()));
            newest.truncate(EXPERIMENTS);
        }
        // Their counters change without a version, so they are read each time.
        let keys: Vec<Key> =
            newest.iter().map(|known| Key::new(format!("metrics_aggregated:{}", known.brief.id))).collect();
        let metrics = some(bus, &keys, None).await?;
        let with_metrics = newest.into_iter().zip(keys).zip(metrics).map(|((known, key), got)| {
            let mut brief = known.brief.clone();
            match warnings.take(got) {
                Some(State::Hash(document)) => brief.metrics = experiments::numbers(&document),
                Some(other) => warnings.foreign(key.as_str(), &other, "hash"),
                None => {}
            }
            brief
        });
        Ok(with_metrics.collect())
    }
}

/// The newest first.
fn sort(known: &mut [&Known]) {
    known.sort_unstable_by(|a, b| (b.created_at, &b.brief.id).cmp(&(a.created_at, &a.brief.id)));
}

/// No call where there is nothing to ask for.
async fn some(bus: &SharedBus, keys: &[Key], only: Option<&[&str]>) -> Result<Vec<Got>, BusError> {
    if keys.is_empty() { Ok(Vec::new()) } else { bus.get_many(keys, only).await }
}

/// The newest learnings of the index, then those that others wrote without it: their ids.
fn newest_learnings(index: Option<State>, all: &[String], warnings: &mut Warnings) -> Vec<String> {
    let scores = match index {
        None => Vec::new(),
        Some(State::Sorted(scores)) => {
            let mut scores: Vec<_> = scores.into_iter().collect();
            scores.sort_unstable_by(|(a, at), (b, bt)| bt.total_cmp(at).then_with(|| b.cmp(a)));
            scores
        }
        Some(other) => {
            warnings.foreign(keys::TACTICAL_LEARNINGS_INDEX, &other, "zset");
            Vec::new()
        }
    };
    let id = |member: String| member.strip_prefix(LEARNING).map(str::to_owned).unwrap_or(member);
    let mut newest: Vec<String> = scores.into_iter().take(TACTICAL).map(|(member, _)| id(member)).collect();
    if newest.len() < TACTICAL {
        let indexed: std::collections::HashSet<&String> = newest.iter().collect();
        let mut rest: Vec<String> = all.iter().filter(|id| *id != "index" && !indexed.contains(id)).cloned().collect();
        rest.sort_unstable_by(|a, b| b.cmp(a));
        rest.truncate(TACTICAL - newest.len());
        newest.extend(rest);
    }
    newest
}

/// A tactical learning in a line.
fn learning(state: State) -> Option<String> {
    let document = experiments::document(state)?;
    let text = ["text", "learning", "insight", "content"].iter().find_map(|field| document.get(field))?;
    let text = match document.get("experiment_id").filter(|id| !id.is_empty() && !text.contains(id)) {
        Some(id) => format!("{text} ({id})"),
        None => text.to_owned(),
    };
    Some(sanitize_line(&text, LINE_LIMIT)).filter(|text| !text.is_empty())
}

/// The names of the tools that can be used.
fn tools(names: &[String], found: impl Iterator<Item = Got>, warnings: &mut Warnings) -> Vec<String> {
    let mut tools = Vec::new();
    for (name, got) in names.iter().zip(found) {
        let Some(state) = warnings.take(got) else { continue };
        let kind = state.type_name();
        match experiments::document(state) {
            // Older builders write `status`.
            Some(document) if document.get("state").or_else(|| document.get("status")) == Some("active") => {
                tools.push(sanitize_line(name, 120));
            }
            Some(_) => {}
            None => warnings.say(|| {
                let name = sanitize_line(name, 120);
                format!("`{TOOL}{name}` holds a {kind}, a hash belongs there; it is left out")
            }),
        }
    }
    if names.len() > TOOLS {
        warnings.say(|| format!("there are {} tools; a decision sees {TOOLS}", names.len()));
    }
    tools
}

/// The latest runs, a line each.
fn recent(state: Option<State>, warnings: &mut Warnings) -> Vec<String> {
    match state {
        None => Vec::new(),
        Some(State::List(runs)) => runs.iter().rev().take(RUNS).map(|run| run_line(run)).collect(),
        Some(other) => {
            warnings.foreign(keys::RECENT_RUNS, &other, "list");
            Vec::new()
        }
    }
}

fn run_line(text: &str) -> String {
    let said = serde_json::from_str::<serde_json::Value>(text).ok().and_then(|run| {
        let field = |name: &str| run.get(name).and_then(serde_json::Value::as_str);
        let summary = field("summary").map(str::to_owned);
        summary.or_else(|| {
            let parts: Vec<&str> =
                ["experiment_id", "run_id", "status", "type"].into_iter().filter_map(field).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        })
    });
    sanitize_line(said.as_deref().unwrap_or(text), LINE_LIMIT)
}
