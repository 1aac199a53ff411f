//! Composing an experiment by rule of thumb: the play that fits the idea, with its gaps filled from the idea, the product and what was
//! learned; what none of them fills is the play's own.
//!
//! Owns the order of these. Each filled field says where it came from. Must never name people, a list or a project that nobody named: where
//! there is no list, the audience is simulated and called so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::idea::{self, Idea};
use super::team::{self, Learned, Product};
use super::{DesignInput, ListBrief};
use crate::experiments::fix::short;
use crate::experiments::playbooks::{self, Playbook, filled};
use crate::experiments::spec::{
    Execution, FollowUp, IterationPlan, Measuring, Metric, MetricKind, Mode, Outreach, OutreachChannel, Spec, Step,
    Target, Variant,
};
use crate::llm::tasks::words::Words;

/// Designs an experiment, and says why it is as it is.
pub(super) fn designed(input: &DesignInput) -> (Spec, Vec<String>) {
    let said = [Some(input.title.as_str()), Some(input.idea.as_str()), input.goal.as_deref()];
    let text = said.into_iter().flatten().collect::<Vec<_>>().join(". ");
    let idea = idea::read(&text);
    let product = team::product(&input.product);
    let mut reasons = Vec::new();
    let play = play(&text, &idea, &mut reasons);
    let learned = team::learned(&input.learnings, &input.tactical, &format!("{text} {} {}", play.title, play.words));
    let mut design =
        Design { input, idea, product, play, learned, reasons, gaps: BTreeMap::new(), sources: BTreeMap::new() };
    design.fill();
    let spec = design.spec();
    (spec, design.reasons)
}

/// The play that the words of an idea speak of.
fn play(text: &str, idea: &Idea, reasons: &mut Vec<String>) -> &'static Playbook {
    let words = Words::of(text);
    // Phrases say more than words.
    let heard = |list: &str| {
        list.split(',').map(str::trim).filter(|it| words.has(it)).map(|it| it.split(' ').count()).sum::<usize>()
    };
    let score = |play: &Playbook| {
        let repos = usize::from(play.tool == "github_stargazers" && !idea.repos.is_empty());
        heard(&play.words) + 2 * heard(&play.strong) + repos
    };
    // Of equals the first counts.
    let best = playbooks::all().iter().rev().max_by_key(|play| score(play)).filter(|play| score(play) > 0);
    let play = best.unwrap_or_else(|| playbooks::any_list());
    let heard: Vec<_> = play.words.split(',').map(str::trim).filter(|word| words.has(word)).take(4).collect();
    reasons.push(if heard.is_empty() {
        format!("The idea fits no play in particular; it is taken as `{}`.", play.name)
    } else {
        format!("The idea speaks of {}: the play is `{}`.", heard.join(", "), play.name)
    });
    play
}

/// A design under way.
struct Design<'a> {
    input: &'a DesignInput,
    idea: Idea,
    product: Product,
    play: &'static Playbook,
    learned: Vec<Learned>,
    reasons: Vec<String>,
    /// What stands in the gaps, and where it came from.
    gaps: BTreeMap<&'static str, (String, String)>,
    sources: BTreeMap<String, String>,
}

/// Where people come from.
enum Source {
    List(String),
    Tool,
    Nobody,
}

impl Design<'_> {
    fn playbook(&self) -> String {
        format!("playbook: {}", self.play.name)
    }

    fn learned_by<T>(&self, of: impl Fn(&Learned) -> Option<T>) -> Option<(T, String)> {
        self.learned.iter().find_map(|learned| Some((of(learned)?, format!("learning: {}", learned.text))))
    }

    /// Fills the gaps, each from the best that there is for it.
    fn fill(&mut self) {
        let idea = |value: &Option<String>| value.clone().map(|value| (value, "idea".to_owned()));
        let product = |value: &Option<String>| value.clone().map(|value| (value, "product_context".to_owned()));
        let list = self.list();
        let repos = if self.idea.repos.is_empty() { None } else { Some(self.idea.repos.join(", ")) };
        let days = self.idea.days.unwrap_or(self.play.days);
        let days_from = if self.idea.days.is_some() { "idea".to_owned() } else { self.playbook() };
        let good = self.good();
        let found: Vec<(&'static str, Option<(String, String)>)> = vec![
            (
                "who",
                idea(&self.idea.who)
                    .or_else(|| self.learned_by(|it| it.who.clone()))
                    .or_else(|| product(&self.product.who)),
            ),
            ("topic", idea(&self.idea.topic)),
            ("need", idea(&self.idea.need)),
            ("place", idea(&self.idea.place)),
            ("offer", idea(&self.idea.offer)),
            ("product", product(&self.product.name)),
            ("pitch", product(&self.product.pitch)),
            ("repos", repos.clone().map(|repos| (repos, "idea".to_owned()))),
            ("repo", self.idea.repos.first().cloned().map(|repo| (repo, "idea".to_owned()))),
            (
                "list",
                Some(list.map_or_else(|| (self.play.list.clone(), self.playbook()), |list| (list, "idea".to_owned()))),
            ),
            ("days", Some((days.to_string(), days_from))),
            ("good", Some((percent(good.0), good.1))),
        ];
        self.gaps.extend(found.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let derived = [("who_low", "who"), ("topic_cap", "topic")];
        for (name, of) in derived {
            if let Some((value, from)) = self.gaps.get(of).cloned() {
                let value = if name == "topic_cap" { idea::capital(&value) } else { lower_first(&value) };
                self.gaps.insert(name, (value, from));
            }
        }
    }

    /// The text with its gaps filled; where it came from is noted under a path.
    fn say(&mut self, path: &str, text: &str) -> String {
        let of = |name: &str| self.gaps.get(name).map(|(value, _)| value.clone());
        let (text, names) = filled(text, &of);
        let mut from: Vec<String> = vec![self.playbook()];
        let used: BTreeSet<String> =
            names.iter().filter_map(|name| Some(self.gaps.get(name.as_str())?.1.clone())).collect();
        from.extend(used.into_iter().filter(|source| *source != self.playbook()));
        self.sources.insert(path.to_owned(), from.join("; "));
        text
    }

    /// A message to people, signed by whoever sends it. None where there is nothing to be said but a greeting.
    fn message(&mut self, path: &str, text: &str) -> Option<String> {
        let mut text = self.say(path, text);
        if text.matches("\n\n").count() == 0 {
            self.sources.remove(path);
            return None;
        }
        if let Some(name) = &self.input.sender_name {
            text.push_str("\n\n");
            text.push_str(name);
        }
        Some(text)
    }

    /// That a field is as plays of this kind have it, and why.
    fn by_play(&self, why: &str) -> String {
        format!("{}: {why}", self.playbook())
    }

    fn note(&mut self, path: &str, source: impl Into<String>) {
        self.sources.insert(path.to_owned(), source.into());
    }

    fn list(&self) -> Option<String> {
        self.input.list.as_ref().map(|list| list.path.clone()).or_else(|| self.idea.list.clone())
    }

    fn good(&self) -> (f64, String) {
        match self.idea.good {
            Some(good) => (good, "idea".to_owned()),
            None => self.learned_by(|it| it.good).unwrap_or_else(|| (self.play.numbers.good, self.playbook())),
        }
    }

    fn source(&self) -> Source {
        if self.idea.mode == Some(Mode::Simulation) {
            return Source::Nobody;
        }
        match self.list() {
            Some(list) => Source::List(list),
            None if self.play.tool == "github_stargazers" && self.idea.repos.is_empty() => Source::Nobody,
            None if self.play.tool == "csv_leads" => Source::Nobody,
            None => Source::Tool,
        }
    }

    fn spec(&mut self) -> Spec {
        let play = self.play;
        let source = self.source();
        let mode = self.mode(&source);
        let id = self.id();
        let hypothesis = self.say("hypothesis", &play.hypothesis);
        let target = self.target(&source);
        let outreach = self.outreach();
        let execution = self.execution(&source, &target, &outreach);
        let (metrics, success_criteria, failure_criteria) = self.numbers(&outreach, &target);
        let manual_steps_required = self.manual(&source, mode, outreach.channel);
        self.note("measuring", self.playbook());
        self.note("iteration_plan", self.playbook());
        self.note("learnings_to_capture", self.playbook());
        let plan = IterationPlan {
            if_success: Some(self.say("iteration_plan", &play.if_success)),
            if_failure: Some(self.say("iteration_plan", &play.if_failure)),
        };
        let mut learnings_to_capture: Vec<String> = play.learn.clone();
        if let [first, second, ..] = outreach.variants.as_slice() {
            let angle = |variant: &Variant| variant.angle.clone().unwrap_or_else(|| variant.name.clone());
            learnings_to_capture.push(format!("Which is answered more: {}, or {}?", angle(first), angle(second)));
        }
        Spec {
            id,
            hypothesis: fit(&hypothesis),
            created_at: None,
            mode,
            target,
            execution,
            outreach: Some(outreach),
            metrics,
            success_criteria,
            failure_criteria,
            measuring: Measuring { window: play.window.unwrap_or(Measuring::default().window), ..Measuring::default() },
            iteration_plan: Some(plan),
            learnings_to_capture,
            manual_steps_required,
            notes: Some(self.notes(&source)),
            sources: std::mem::take(&mut self.sources),
        }
    }

    fn id(&mut self) -> String {
        let words = if self.input.title.trim().is_empty() { &self.input.idea } else { &self.input.title };
        let said = Some(short(words)).filter(|name| !name.is_empty());
        let from = if said.is_some() { "idea".to_owned() } else { self.playbook() };
        let name = said.unwrap_or_else(|| self.play.name.clone());
        let id = format!("exp_{}_{name}", self.input.today.format("%Y%m%d"));
        let free = |id: &String| !self.input.taken.contains(id);
        let id = std::iter::once(id.clone()).chain((2..1_000).map(|n| format!("{id}_{n}"))).find(free).unwrap_or(id);
        self.note("id", from);
        id
    }

    fn mode(&mut self, source: &Source) -> Mode {
        let (mode, why) = match (source, self.idea.mode) {
            (Source::Nobody, Some(Mode::Simulation)) => {
                (Mode::Simulation, "The idea asks for a simulation.".to_owned())
            }
            (Source::Nobody, _) => (
                Mode::Simulation,
                format!(
                    "Nobody names a list of people, so the audience is simulated; with `{}` it becomes real.",
                    self.play.list
                ),
            ),
            (_, Some(Mode::Live)) if self.input.sender.is_some() => (
                Mode::Live,
                "The idea asks to really send, and a sender is set: a person has to approve it.".to_owned(),
            ),
            (_, Some(Mode::Live)) => (
                Mode::DryRun,
                "The idea asks to really send, but no sender is set (`outreach.sender`): a dry run comes first."
                    .to_owned(),
            ),
            _ => (Mode::DryRun, "Nothing is sent until somebody asks for it: a dry run.".to_owned()),
        };
        let said = matches!((mode, self.idea.mode), (Mode::Simulation, Some(Mode::Simulation)) | (Mode::Live, _));
        let from = if said { "idea".to_owned() } else { self.by_play("nothing reaches anybody unasked") };
        self.note("mode", from);
        self.reasons.push(why);
        mode
    }

    fn target(&mut self, source: &Source) -> Target {
        let play = self.play;
        let description = self.say("target.description", &play.audience);
        let people = self.input.list.as_ref().map(|list| list.people).filter(|people| *people > 0);
        let (size, from) = match (self.idea.size, people) {
            (Some(size), Some(people)) => (size.min(people), "idea".to_owned()),
            (Some(size), None) => (size, "idea".to_owned()),
            (None, Some(people)) => (people.min(5_000), "idea: as many as its list has".to_owned()),
            (None, None) => (play.size, self.playbook()),
        };
        self.note("target.size", from);
        let place = match source {
            Source::Nobody => {
                self.note("target.source", self.by_play("no list was named"));
                "made-up people (a simulation)".to_owned()
            }
            _ => self.say("target.source", &play.source),
        };
        let filters = match source {
            Source::Nobody => Vec::new(),
            _ => {
                self.note("target.filters", self.playbook());
                play.filters.clone()
            }
        };
        Target { description, size: Some(size), source: Some(place), filters }
    }

    fn execution(&mut self, source: &Source, target: &Target, outreach: &Outreach) -> Execution {
        let size = target.size.unwrap_or(self.play.size);
        let step = |id: &str, tool: &str, params: Value, depends_on: &[&str]| Step {
            id: id.to_owned(),
            tool: tool.to_owned(),
            params: params.as_object().cloned().unwrap_or_default(),
            depends_on: depends_on.iter().map(|&id| id.to_owned()).collect(),
        };
        let filters: Vec<Value> = target.filters.iter().cloned().map(Value::Object).collect();
        let steps = match source {
            Source::List(path) => {
                self.note("execution.steps", "idea");
                let filters = self.fitting(filters);
                let mut params = json!({ "path": path, "limit": size });
                if !filters.is_empty() {
                    params["filters"] = Value::Array(filters);
                }
                vec![step("people", "csv_leads", params, &[])]
            }
            Source::Tool if self.play.tool == "github_stargazers" => {
                self.note("execution.steps", "idea");
                let days: u64 = self.gaps.get("days").and_then(|(days, _)| days.parse().ok()).unwrap_or(self.play.days);
                let params = json!({
                    "repos": self.idea.repos, "starred_within_days": days, "filters": filters, "limit": size.min(2_000),
                });
                vec![step("people", "github_stargazers", params, &[])]
            }
            Source::Tool => {
                self.note("execution.steps", self.playbook());
                let topic = self.gaps.get("topic").map_or_else(|| "engineer".to_owned(), |(topic, _)| topic.clone());
                let params = json!({ "keywords": [topic], "filters": filters, "limit": size });
                vec![step("people", &self.play.tool, params, &[])]
            }
            Source::Nobody => {
                self.note("execution.steps", self.playbook());
                let names: Vec<Value> =
                    outreach.variants.iter().map(|variant| json!({ "name": variant.name })).collect();
                vec![
                    step("people", "simulated_audience", json!({ "part": "people", "size": size }), &[]),
                    step(
                        "answers",
                        "simulated_audience",
                        json!({ "part": "answers", "recipients": "{{people.rows}}", "variants": names }),
                        &["outreach"],
                    ),
                ]
            }
        };
        let (schedule, from) = self.schedule(source);
        self.note("execution.schedule", from);
        self.note("execution.missed", self.by_play("a run that was missed is made up for once"));
        Execution { steps, schedule, ..Execution::default() }
    }

    /// Conditions on what the list knows.
    fn fitting(&self, mut filters: Vec<Value>) -> Vec<Value> {
        if let Some(ListBrief { columns, .. }) = &self.input.list {
            let has = |field: &str| columns.iter().any(|column| column.to_lowercase().contains(field));
            filters.retain(|filter| {
                let names = filter.as_object().into_iter().flat_map(Map::keys);
                names.into_iter().all(|name| name.strip_prefix("has_").is_none_or(&has))
            });
        }
        filters
    }

    fn schedule(&mut self, source: &Source) -> (Option<String>, String) {
        if self.idea.once {
            return (None, "idea".to_owned());
        }
        if let Some(schedule) = &self.idea.schedule {
            return (Some(schedule.clone()), "idea".to_owned());
        }
        if matches!(source, Source::Nobody) {
            return (None, self.by_play("a simulation is run once"));
        }
        let Some(schedule) = &self.play.schedule else { return (None, self.playbook()) };
        if let Some((day, from)) = self.learned_by(|it| it.day) {
            let time = schedule.split(' ').take(4).collect::<Vec<_>>().join(" ");
            self.reasons.push(format!("It runs on that day, by a {from}"));
            return (Some(format!("{} {day}", time.replace(" 3 *", " * *"))), from);
        }
        // A list is written to once: whoever wants it again says so.
        if self.play.tool == "csv_leads" {
            return (None, self.by_play("a list is written to once"));
        }
        (Some(schedule.clone()), self.playbook())
    }

    fn outreach(&mut self) -> Outreach {
        let play = self.play;
        let channel = self.idea.channel.unwrap_or(OutreachChannel::Email);
        self.note("outreach.channel", if self.idea.channel.is_some() { "idea".to_owned() } else { self.playbook() });
        if self.input.sender.is_some() {
            self.note("outreach.sender", "setting: outreach.sender");
        }
        let daily_limit = self.idea.per_day.unwrap_or(play.daily_limit);
        self.note(
            "outreach.daily_limit",
            if self.idea.per_day.is_some() { "idea".to_owned() } else { self.playbook() },
        );
        let variants = self.variants();
        let follow_ups = self.follow_ups();
        self.note("outreach.recipients", "idea".to_owned());
        if self.input.sender_name.is_some() {
            self.note("outreach.sender_name", "setting: outreach.sender_name");
        }
        Outreach {
            channel,
            sender: self.input.sender.clone().filter(|_| channel == OutreachChannel::Email),
            sender_name: self.input.sender_name.clone(),
            recipients: Some("{{people.rows}}".to_owned()),
            subject: Some(self.say("outreach.subject", &play.outreach.subject)),
            template: self.message("outreach.template", &play.outreach.template).unwrap_or_default(),
            variants,
            follow_ups,
            daily_limit: Some(daily_limit),
            delay: None,
        }
    }

    /// The ways to say it that can be said; one alone is no comparison.
    fn variants(&mut self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for variant in &self.play.outreach.variants {
            let path = format!("outreach.variants[{}]", variants.len());
            self.note(&path, self.playbook());
            let subject = variant.subject.as_ref().map(|text| self.say(&path, text)).filter(|text| !text.is_empty());
            let template = match &variant.template {
                Some(text) => match self.message(&path, text) {
                    Some(text) => Some(text),
                    None => continue,
                },
                None => None,
            };
            variants.push(Variant { name: variant.name.clone(), angle: variant.angle.clone(), subject, template });
        }
        if variants.len() < 2 {
            self.sources.retain(|path, _| !path.starts_with("outreach.variants"));
            return Vec::new();
        }
        variants
    }

    fn follow_ups(&mut self) -> Vec<FollowUp> {
        let mut follow_ups = Vec::new();
        for follow_up in &self.play.outreach.follow_ups {
            let path = format!("outreach.follow_ups[{}]", follow_ups.len());
            if let Some(template) = self.message(&path, &follow_up.template) {
                follow_ups.push(FollowUp { after: follow_up.after, subject: follow_up.subject.clone(), template });
            }
        }
        follow_ups
    }

    fn numbers(&mut self, outreach: &Outreach, target: &Target) -> (Vec<Metric>, Vec<String>, Vec<String>) {
        let numbers = self.play.numbers;
        let (good, from) = self.good();
        if from != self.playbook() {
            self.reasons.push(format!("{} of replies is the line ({from}).", percent(good)));
        }
        let bad = if (good - numbers.good).abs() < f64::EPSILON { numbers.bad } else { thousandths(good / 4.0) };
        // A small audience is judged earlier.
        let size = target.size.unwrap_or(self.play.size);
        let sample = numbers.sample.min((size / 2).max(10));
        let meetings = numbers.meetings.min((size / 15).max(1));
        let sent = match outreach.channel {
            OutreachChannel::Email => "emails_sent",
            OutreachChannel::Linkedin | OutreachChannel::Twitter => "messages_sent",
            OutreachChannel::ColdCall => "calls_sent",
        };
        let counter = |name: &str| metric(name, MetricKind::Counter, None);
        let rate = |name: &str, of: &str| metric(name, MetricKind::Percentage, Some(format!("{of} / {sent}")));
        let mut metrics =
            vec![counter(sent), counter("replies"), counter("positive_replies"), counter("meetings_booked")];
        metrics.push(Metric {
            success_threshold: Some(good),
            failure_threshold: Some(bad),
            ..rate("reply_rate", "replies")
        });
        metrics.push(rate("positive_reply_rate", "positive_replies"));
        let mut failure = vec![format!("reply_rate < {} after {sample} {sent}", percent(bad))];
        if outreach.channel == OutreachChannel::Email {
            metrics.extend([counter("bounces"), counter("unsubscribes"), counter("spam_complaints")]);
            metrics.push(Metric { failure_threshold: Some(0.08), ..rate("bounce_rate", "bounces") });
            metrics.push(Metric { failure_threshold: Some(0.03), ..rate("unsubscribe_rate", "unsubscribes") });
            failure.push("bounce_rate > 8% after 30 emails_sent".to_owned());
            failure.push("unsubscribe_rate > 3% after 50 emails_sent".to_owned());
            failure.push("spam_complaints >= 2".to_owned());
        }
        let success = vec![
            format!("reply_rate >= {} after {sample} {sent}", percent(good)),
            format!("meetings_booked >= {meetings}"),
        ];
        self.note("metrics", self.by_play("what was sent, what came back, and the shares of it"));
        self.note("success_criteria", from.clone());
        self.note(
            "failure_criteria",
            format!("{from}; {}", self.by_play("bounces, complaints and unsubscribes end it")),
        );
        (metrics, success, failure)
    }

    fn manual(&mut self, source: &Source, mode: Mode, channel: OutreachChannel) -> Vec<String> {
        let mut steps = Vec::new();
        match source {
            Source::Nobody if self.idea.mode != Some(Mode::Simulation) => steps.push(if self.play.tool == "github_stargazers" {
                "Name the repositories (owner/name) whose stargazers are meant; until then the audience is simulated".to_owned()
            } else {
                format!("Put the people into {} (email, first_name, company), and say so; until then the audience is simulated", self.play.list)
            }),
            Source::List(path) if self.input.list.is_none() => {
                steps.push(format!("{path} could not be read: see that it is there, with a first line of names and a column `email`"));
            }
            _ => {}
        }
        if mode == Mode::Live {
            steps.push("Answer those who reply within a workday".to_owned());
        }
        if channel != OutreachChannel::Email {
            steps.push("Send the messages by hand: nothing sends on this channel here".to_owned());
        }
        if let Some((offer, _)) = self.gaps.get("offer") {
            steps.push(format!("Be ready to keep what the mails offer: {offer}"));
        }
        if self.product.name.is_none() {
            steps.push("Say what is sold in the product context: until then the copy says nothing of it".to_owned());
        }
        if !steps.is_empty() {
            self.note("manual_steps_required", self.by_play("what is missing"));
        }
        steps
    }

    fn notes(&mut self, source: &Source) -> String {
        let mut notes = vec![format!("Play: {}.", self.play.title)];
        if matches!(source, Source::Nobody) {
            notes.push("The audience is simulated: its numbers say nothing about real people.".to_owned());
        }
        if let Some(never) = &self.product.never {
            notes.push(format!("Never: {never}"));
        }
        if !self.learned.is_empty() {
            notes.push("What was learned that may matter:".to_owned());
            notes.extend(self.learned.iter().map(|learned| format!("- {}", learned.text)));
        }
        self.note("notes", "playbook; product_context; learnings");
        notes.join("\n")
    }
}

fn metric(name: &str, kind: MetricKind, formula: Option<String>) -> Metric {
    Metric { name: name.to_owned(), kind, formula, success_threshold: None, failure_threshold: None, description: None }
}

/// A share as criteria write it.
pub(super) fn percent(share: f64) -> String {
    format!("{}%", (share * 1_000.0).round() / 10.0)
}

fn thousandths(share: f64) -> f64 {
    (share * 1_000.0).round() / 1_000.0
}

/// The words as they go on inside a sentence: CTOs stay CTOs.
pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let rest_is_capital = text.chars().nth(1).is_some_and(char::is_uppercase);
    match chars.next() {
        Some(first) if !rest_is_capital => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// A hypothesis within its length.
fn fit(text: &str) -> String {
    crate::contracts::untrusted::sanitize_line(text, 500)
}
