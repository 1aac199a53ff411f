//! Experiments as the screens show them: read from documents that services, people and other programs wrote, and from what was counted.
//!
//! Each is read again only when one of its documents changes. Must never fail on a document, and never say more than it says: whether a
//! criterion is met for good is the service `redis_agent`'s to say.

mod given;
pub mod plan;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use given::{Given, facts, steps};
use plan::Plan;

use super::documents::Documents;
use super::item::Row;
use super::series::{AllSeries, Kind};
use crate::bus::{Document, Key};
use crate::contracts::envelope::read_time;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{BusinessEvent, Direction, Metrics};
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::experiments::criteria::{self, Comparison, Formula, Name, Unknown};
use crate::experiments::document::mode_of;
use crate::experiments::events;
use crate::experiments::judgement::{Judged, Outcome};
use crate::experiments::spec::Mode;
use crate::memory::experiments as known;

/// Characters of a line.
const WORDS_LIMIT: usize = 400;
/// Things in a list.
const LIST_LIMIT: usize = 40;
/// Points of a trend.
const TREND: usize = 32;
/// Answers of people that are kept, of all experiments.
const REPLIES: usize = 1_000;
/// Formulas that may use formulas.
const DEEPEST: usize = 4;

/// An experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Names it. Raw.
    pub id: String,
    /// Where it stands; none where its document does not say.
    pub state: Option<ExperimentState>,
    /// What it is about, in a line; harmless.
    pub title: String,
    /// What is known of it besides, by name; harmless.
    pub facts: Vec<(&'static str, String)>,
    /// Whether it reaches anybody.
    pub mode: Mode,
    /// What it does, in each run and afterwards.
    pub plan: Plan,
    /// Whether it writes mail to people; none where that cannot be told.
    pub writes_mail: Option<bool>,
    /// Until when what came of its last run is collected; none where it is not measured.
    pub observed_until: Option<DateTime<Utc>>,
    /// What its design cost, in billionths of a dollar; none where that is not known.
    pub design_nano_usd: Option<u64>,
    /// When it runs.
    pub schedule: Option<Schedule>,
    /// What it measures.
    pub metrics: Vec<Metric>,
    /// When it worked, and when it did not.
    pub criteria: Vec<Criterion>,
    /// Its numbers, as they were added up.
    pub numbers: BTreeMap<String, f64>,
    /// What its documents say came of it; harmless.
    pub verdict: Option<String>,
    /// What its numbers say of its criteria, as they were judged.
    pub outcome: Option<Outcome>,
    /// The metric that tells most.
    pub figure: Option<Figure>,
}

/// When an experiment runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// In the form of cron; harmless.
    pub cron: String,
    /// Its time zone; harmless.
    pub zone: Option<String>,
    /// `cancelled` and the like; harmless.
    pub state: Option<String>,
    /// When it runs next.
    pub next: Option<DateTime<Utc>>,
}

/// Something that is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name; harmless.
    pub name: String,
    /// How it is computed, where it is.
    pub formula: Option<Formula>,
    /// Whether it is a share, shown in percent.
    pub is_share: bool,
    /// Lines that its definition names.
    pub lines: Vec<(Direction, f64)>,
}

/// When an experiment worked, or did not.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// As it was written; harmless.
    pub text: String,
    /// Which of both.
    pub direction: Direction,
    /// What it says; none where it is prose.
    pub says: Option<criteria::Criterion>,
    /// The line in it; none where it is none, or more than one.
    pub bound: Option<Bound>,
}

/// A line, and on which side of it a number must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// What is measured.
    pub of: Formula,
    /// What is measured, as it is written.
    pub name: String,
    /// On which side of the line.
    pub how: Comparison,
    /// The line.
    pub line: f64,
}

impl Bound {
    fn of(criterion: &criteria::Criterion) -> Option<Self> {
        let (left, how, right) = criterion.comparison()?;
        let (of, how, line) = match right.constant() {
            Some(line) => (left, how, line),
            None => (right, how.mirrored(), left.constant()?),
        };
        Some(Self { of: of.clone(), name: of.to_string(), how, line })
    }
}

/// A metric as it stands, and how it came there.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The metric; harmless.
    pub name: String,
    /// As it stands.
    pub value: Option<f64>,
    /// Whether it is shown in percent.
    pub is_share: bool,
    /// How it came there, oldest first.
    pub trend: Vec<f64>,
}

/// Whether a name is that of a share, where nothing else says so.
pub fn is_share(name: &str) -> bool {
    name.ends_with("_rate") || name.ends_with("_share")
}

impl Experiment {
    fn read(id: &str, document: &Document, documents: &Documents) -> Self {
        let hash = |key: String| documents.get(&key).and_then(|state| known::document(state.clone()));
        let given = Given::of(document);
        let mode = mode_of(document);
        let specs = hash(format!("metrics_specs:{id}")).unwrap_or_default();
        let measured = Given::of(&specs);
        let metrics = given.list("metrics").or_else(|| measured.list("metrics")).unwrap_or_default();
        let criteria = |direction, field| {
            let texts = given.list(field).or_else(|| measured.list(field)).unwrap_or_default();
            texts.into_iter().filter_map(move |text| Criterion::read(direction, &text))
        };
        let sums = hash(format!("metrics_aggregated:{id}")).unwrap_or_default();
        // The sums are judged with every event, the document is told when the verdict changes.
        let said = |field: &str| sums.get(field).or_else(|| document.get(field));
        Self {
            id: id.to_owned(),
            state: ExperimentState::of(|field| document.get(field)),
            title: given.text(&[&["hypothesis"], &["title"], &["name"], &["description"], &["idea"]]),
            facts: facts(&given, document),
            mode,
            plan: Plan::of(document, mode, steps(&given)),
            writes_mail: plan::writes_mail(document),
            observed_until: document.get("observe_until").and_then(read_time),
            design_nano_usd: document.get("design_cost_nano_usd").and_then(|nano| nano.parse().ok()),
            schedule: Schedule::read(id, &given, documents),
            metrics: metrics.iter().take(LIST_LIMIT).filter_map(Metric::read).collect(),
            criteria: criteria(Direction::Failure, "failure_criteria")
                .chain(criteria(Direction::Success, "success_criteria"))
                .take(LIST_LIMIT)
                .collect(),
            numbers: known::numbers(&sums),
            verdict: said("verdict").map(|text| sanitize_line(text, 60)).filter(|text| !text.is_empty()),
            outcome: said("verdict_json").and_then(|json| serde_json::from_str(json).ok()),
            figure: None,
        }
    }

    /// What a name stands at: as it was added up, computed, or counted here.
    pub fn value(&self, name: &str, series: &AllSeries) -> Option<f64> {
        self.value_within(name, series, DEEPEST)
    }

    fn value_within(&self, name: &str, series: &AllSeries, depth: usize) -> Option<f64> {
        let computed = || {
            let formula = self.metric(name)?.formula.as_ref().filter(|_| depth > 0)?;
            self.formula(formula, series, depth - 1)
        };
        let counted = || series.of(&self.id, name).map(super::series::Series::now).filter(|value| value.is_finite());
        self.number(name).or_else(computed).or_else(counted)
    }

    /// What a formula comes to.
    pub fn computes(&self, formula: &Formula, series: &AllSeries) -> Option<f64> {
        self.formula(formula, series, DEEPEST)
    }

    fn formula(&self, formula: &Formula, series: &AllSeries, depth: usize) -> Option<f64> {
        let of =
            |name: &Name| self.value_within(&name.to_string(), series, depth).ok_or_else(|| Unknown::missing(name));
        formula.value(&of).ok()
    }

    /// What is known of a criterion, where it was judged.
    pub fn judged(&self, criterion: &Criterion) -> Option<&Judged> {
        let same = |judged: &&Judged| judged.criterion == criterion.text && judged.direction == criterion.direction;
        self.outcome.as_ref()?.criteria.iter().find(same)
    }

    /// A name as it was added up, in any of the forms that the founding systems wrote.
    fn number(&self, name: &str) -> Option<f64> {
        let forms = [
            name.to_owned(),
            format!("events.{name}"),
            format!("events.{}", events::counted_as(name)),
            format!("fields.{name}"),
            format!("{name}_count"),
            format!("{name}_latest"),
            format!("{name}_avg"),
        ];
        forms.iter().find_map(|form| self.numbers.get(form)).copied()
    }

    /// The definition of a metric.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// Whether a metric is shown in percent.
    pub fn is_share(&self, name: &str) -> bool {
        self.metric(name).map_or_else(|| is_share(name), |metric| metric.is_share)
    }

    /// A metric over time: a share as it stood, something counted up to then.
    pub fn history(&self, name: &str, series: &AllSeries) -> Vec<(DateTime<Utc>, f64)> {
        let formula = self.metric(name).and_then(|metric| metric.formula.as_ref());
        if let Some(computed) = formula.and_then(|formula| self.computed(formula, series)) {
            return computed;
        }
        match series.of(&self.id, name) {
            Some(found) if found.kind() == Kind::Counted => self.counted(name, series),
            Some(found) => found.points().collect(),
            None => Vec::new(),
        }
    }

    /// What was counted until when; what was added up before we listened comes first.
    fn counted(&self, name: &str, series: &AllSeries) -> Vec<(DateTime<Utc>, f64)> {
        let Some(found) = series.of(&self.id, name).filter(|found| found.kind() == Kind::Counted) else {
            return Vec::new();
        };
        let before = self.number(name).map_or(0.0, |all| (all - found.now()).max(0.0));
        found.so_far(before).collect()
    }

    /// A formula over time; none where not all that it needs was counted.
    fn computed(&self, formula: &Formula, series: &AllSeries) -> Option<Vec<(DateTime<Utc>, f64)>> {
        let names: Vec<String> = formula.names().into_iter().map(ToString::to_string).collect();
        let all: Vec<(&str, Vec<_>)> = names.iter().map(|name| (name.as_str(), self.counted(name, series))).collect();
        if all.iter().all(|(_, points)| points.is_empty()) {
            return None;
        }
        let times: BTreeSet<DateTime<Utc>> =
            all.iter().flat_map(|(_, points)| points.iter().map(|(at, _)| *at)).collect();
        let at = |time: DateTime<Utc>, name: &Name| {
            let shown = name.to_string();
            let points = &all.iter().find(|(it, _)| *it == shown).ok_or_else(|| Unknown::missing(name))?.1;
            let passed = points.partition_point(|(at, _)| *at <= time);
            // What was not counted yet has not happened yet.
            Ok(passed.checked_sub(1).and_then(|at| points.get(at)).map_or(0.0, |(_, value)| *value))
        };
        Some(times.into_iter().filter_map(|time| Some((time, formula.value(&|name| at(time, name)).ok()?))).collect())
    }

    /// Names that can be shown over time: those of the criteria, those of the definition, what was counted. Each once.
    pub fn charted(&self, series: &AllSeries) -> Vec<String> {
        let bounds = self.criteria.iter().filter_map(|it| it.bound.as_ref()).map(|bound| bound.name.clone());
        let shares = self.metrics.iter().filter(|it| it.is_share).map(|it| it.name.clone());
        let others = self.metrics.iter().filter(|it| !it.is_share).map(|it| it.name.clone());
        let counted = series.all_of(&self.id).map(|(name, _)| name.to_owned());
        let mut names: Vec<String> = Vec::new();
        for name in bounds.chain(shares).chain(others).chain(counted) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        // What was measured comes before what was not.
        let (with, without): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| self.value(name, series).is_some());
        [with, without].concat()
    }

    /// The lines of a metric: those of the criteria, and those of its definition.
    pub fn lines(&self, name: &str) -> Vec<(Direction, &'static str, f64)> {
        let bounds = self.criteria.iter().filter_map(|it| Some((it.direction, it.bound.as_ref()?)));
        let drawn =
            bounds.filter(|(_, bound)| bound.name == name).map(|(way, bound)| (way, bound.how.as_str(), bound.line));
        let defined = self.metric(name).into_iter().flat_map(|it| &it.lines).map(|(way, line)| (*way, "", *line));
        drawn.chain(defined).take(6).collect()
    }

    fn look(&mut self, series: &AllSeries) {
        self.figure = self.charted(series).into_iter().next().map(|name| {
            let is_counted = self.metric(&name).is_none_or(|metric| metric.formula.is_none()) && !self.is_share(&name);
            let points: Vec<f64> = match series.of(&self.id, &name) {
                Some(found) if is_counted => found.points().map(|(_, value)| value).collect(),
                _ => self.history(&name, series).into_iter().map(|(_, value)| value).collect(),
            };
            Figure {
                value: self.value(&name, series),
                is_share: self.is_share(&name),
                trend: fewer(&points, TREND, is_counted),
                name,
            }
        });
    }
}

/// At most so many numbers in place of these: the sum, or the last, of those that become one.
pub fn fewer(values: &[f64], most: usize, is_sum: bool) -> Vec<f64> {
    let each = values.len().div_ceil(most.max(1)).max(1);
    let one = |part: &[f64]| if is_sum { part.iter().sum() } else { part.last().copied().unwrap_or(f64::NAN) };
    // The newest are together as many as any, so that the end says as much as the rest.
    let odd = values.len() % each;
    let (first, rest) = values.split_at(odd);
    let first = (!first.is_empty()).then(|| one(first));
    first.into_iter().chain(rest.chunks(each).map(one)).collect()
}

impl Schedule {
    fn read(id: &str, given: &Given, documents: &Documents) -> Option<Self> {
        let key = format!("schedules:{id}");
        let hash = documents.document(&key);
        let text = |field: &str| hash.and_then(|it| it.get(field)).map(|text| sanitize_line(text, 60));
        let bare = match documents.get(&key) {
            Some(crate::bus::State::String(cron)) => Some(sanitize_line(cron, 60)),
            _ => None,
        };
        let planned = given.text(&[&["schedule"], &["execution", "schedule"]]);
        let cron = text("cron").or(bare).unwrap_or(planned);
        (!cron.is_empty()).then(|| Self {
            cron,
            zone: text("timezone")
                .or_else(|| Some(given.text(&[&["execution", "timezone"]])))
                .filter(|it| !it.is_empty()),
            state: text("state"),
            next: hash.and_then(|it| it.get("next_at")).and_then(read_time),
        })
    }
}

impl Metric {
    fn read(value: &Value) -> Option<Self> {
        let name = sanitize_line(value.get("name").or(Some(value))?.as_str()?, 60);
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        let is_share = text("type").map_or_else(|| is_share(&name), |kind| kind == "percentage");
        let line = |field: &str| {
            let line = value.get(field)?.as_f64().filter(|line| line.is_finite())?;
            // `8` of a percentage is meant as 8 %.
            Some(if is_share && line > 1.0 { line / 100.0 } else { line })
        };
        let lines = [(Direction::Success, "success_threshold"), (Direction::Failure, "failure_threshold")];
        let lines = lines.into_iter().filter_map(|(way, field)| Some((way, line(field)?))).collect();
        let formula = text("formula").or_else(|| text("calculation"));
        let formula = formula.and_then(|formula| Formula::parse(formula).ok());
        (!name.is_empty()).then_some(Self { name, formula, is_share, lines })
    }
}

impl Criterion {
    fn read(direction: Direction, value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.as_str(),
            other => other.get("criterion").or_else(|| other.get("text"))?.as_str()?,
        };
        let clean = sanitize_line(text, WORDS_LIMIT);
        let says = criteria::Criterion::parse(&clean).ok();
        let bound = says.as_ref().and_then(Bound::of);
        let is_empty = clean.trim().is_empty();
        (!is_empty).then_some(Self { says, bound, text: clean, direction })
    }
}

/// An answer of a person, or anything else that somebody wrote about an experiment.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The experiment. Raw.
    pub experiment: String,
    /// The message.
    pub row: Arc<Row>,
}

impl Reply {
    /// What it is called, who wrote it and what; harmless.
    pub fn told(&self) -> Option<(String, String, String)> {
        let event: BusinessEvent = serde_json::from_str(&self.row.body).ok()?;
        let text = text_of(&event)?;
        let from = ["from", "by", "author", "recipient"].iter().find_map(|name| event.fields.get(*name)?.as_str());
        let class = ["class", "classification", "sentiment"].iter().find_map(|name| event.fields.get(*name)?.as_str());
        let name = class.map_or_else(|| event.event.clone(), |class| format!("{} ({class})", event.event));
        Some((sanitize_line(&name, 60), sanitize_line(from.unwrap_or_default(), 60), sanitize(text, WORDS_LIMIT)))
    }
}

fn text_of(event: &BusinessEvent) -> Option<&str> {
    let text = ["text", "reply", "content", "body", "message", "note"];
    text.iter().find_map(|name| event.fields.get(*name)?.as_str()).filter(|text| !text.trim().is_empty())
}

/// All experiments.
#[derive(Debug, Clone, Default)]
pub struct Experiments {
    all: BTreeMap<String, Experiment>,
    replies: VecDeque<Reply>,
    counted: BTreeSet<String>,
}

/// Documents that an experiment is read from.
const OF: [&str; 4] = ["experiments:", "schedules:", "metrics_specs:", "metrics_aggregated:"];

impl Experiments {
    /// Reads those again whose documents changed.
    pub(super) fn look(&mut self, documents: &Documents, series: &mut AllSeries, changed: &[Key], now: DateTime<Utc>) {
        let id = |key: &Key| OF.iter().find_map(|prefix| key.as_str().strip_prefix(prefix)).map(str::to_owned);
        let ids: BTreeSet<String> = changed.iter().filter_map(id).collect();
        for id in ids {
            let state = documents.get(&format!("experiments:{id}")).cloned();
            let Some(document) = state.and_then(known::document) else {
                self.all.remove(&id);
                continue;
            };
            let mut found = Experiment::read(&id, &document, documents);
            let before = self.all.get(&id).map(|it| &it.numbers);
            for (name, number) in found.numbers.iter().filter(|(name, _)| found.is_share(name)) {
                if before.and_then(|all| all.get(name)) != Some(number) {
                    series.read(&id, name, now, *number);
                }
            }
            found.look(series);
            self.all.insert(id, found);
        }
    }

    /// Something was counted for an experiment; a text in it is kept as an answer.
    pub(super) fn counted(&mut self, id: String, said: &Metrics, row: &Arc<Row>) {
        if let Metrics::Event(event) = said
            && text_of(event).is_some()
        {
            if self.replies.len() >= REPLIES {
                self.replies.pop_front();
            }
            self.replies.push_back(Reply { experiment: id.clone(), row: Arc::clone(row) });
        }
        // An id that no document has may come from anybody.
        if self.all.contains_key(&id) {
            self.counted.insert(id);
        }
    }

    /// Looks again at those for which something was counted. Once a second, not with every message.
    pub(super) fn tick(&mut self, series: &AllSeries) {
        for id in std::mem::take(&mut self.counted) {
            if let Some(it) = self.all.get_mut(&id) {
                it.look(series);
            }
        }
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Experiment> {
        self.all.get(id)
    }

    /// Whether one of them reaches anybody.
    pub fn mode(&self, id: &str) -> Option<Mode> {
        self.get(id).map(|it| it.mode)
    }

    /// All of them, by id.
    pub fn all(&self) -> impl Iterator<Item = &Experiment> {
        self.all.values()
    }

    /// What people wrote about it, the newest first.
    pub fn replies<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Reply> {
        self.replies.iter().rev().filter(move |reply| reply.experiment == id)
    }
}
