//! A chain as a tree: what was caused by what, when, by whom, and what it cost.
//!
//! Pure. A message hangs on the one that caused it; what was decided on a message hangs on it, and what the decision led to hangs on the
//! decision. Whatever a chain holds (causes that are not known, circles, clocks that differ), every message is in the tree, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Chain, Row};
use crate::approvals::{ApprovalState, Record as Approval};
use crate::bus::Key;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, ChannelName, MessageId, ServiceName};
use crate::experiments::document::mode_of;
use crate::experiments::spec::Mode;
use crate::services::orchestrator::record::Record as Decision;

/// Levels that are drawn; what hangs deeper stands at the last one.
pub const DEEPEST: usize = 24;
/// A decision stands a moment before or after what it led to: they are written in one commit.
const SAME_MOMENT: TimeDelta = TimeDelta::milliseconds(50);
/// Characters of a text that are kept.
const WORDS_LIMIT: usize = 400;

/// A chain as a tree, in the order in which it is read.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Its steps: each before what it led to.
    pub steps: Vec<Step>,
    /// All of them together.
    pub total: Total,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Names it: the message's id, or the document's key.
    pub id: String,
    /// What it is.
    pub what: What,
    /// The step that it hangs on.
    pub parent: Option<usize>,
    /// For each level above it and its own: whether something follows there. Cut at [`DEEPEST`].
    pub branches: Vec<bool>,
    /// How far down it hangs.
    pub depth: usize,
    /// How it hangs there.
    pub link: Link,
    /// When.
    pub at: DateTime<Utc>,
    /// How long after the step that it hangs on; negative where clocks differ; none for the first.
    pub took: Option<TimeDelta>,
    /// What it cost, in billionths of a dollar; none where nobody says.
    pub nano: Option<u64>,
    /// Who acted; harmless.
    pub actor: String,
    /// Whether that is a person.
    pub is_person: bool,
    /// What it is called: the message's type, or the action; harmless.
    pub name: String,
    /// What it says, in a line; harmless.
    pub words: String,
    /// Whether the experiment that it is about reaches anybody; none where it is about none that is known.
    pub mode: Option<Mode>,
}

/// What a step is.
#[derive(Debug, Clone)]
pub enum What {
    /// A message.
    Message(Arc<Row>),
    /// A decision.
    Decision(Key),
}

/// How a step hangs in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It is the first.
    First,
    /// It was caused by the one above.
    Caused,
    /// It is about something of the chain: which.
    About(String),
    /// What caused it is not known.
    Unknown,
    /// It is, by what it says, among its own causes.
    Circle,
}

/// A chain in numbers, and where it stands.
#[derive(Debug, Clone, Default)]
pub struct Total {
    /// Steps.
    pub steps: usize,
    /// The first and the last moment.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// What it cost, in billionths of a dollar.
    pub nano: u64,
    /// Who had a part in it, persons first.
    pub actors: Vec<String>,
    /// Where it stands now and what it waits for, a sentence each; harmless.
    pub now: Vec<String>,
    /// What is missing from it, a sentence each; harmless.
    pub missing: Vec<String>,
}

impl Step {
    /// How it hangs there, where that wants a word.
    pub fn mark(&self) -> Option<String> {
        match &self.link {
            Link::First | Link::Caused => None,
            Link::About(subject) => Some(format!("about {}", sanitize_line(subject, 60))),
            Link::Unknown => Some("cause not known".to_owned()),
            Link::Circle => Some("in a circle".to_owned()),
        }
    }
}

/// How long something took, short: `12ms`, `1.2s`, `3m 05s`, `2h 10m`, `3d 4h`; with a minus where clocks differ.
pub fn length(took: TimeDelta) -> String {
    let sign = if took < TimeDelta::zero() { "-" } else { "" };
    let ms = took.num_milliseconds().unsigned_abs();
    let seconds = ms / 1_000;
    let text = match seconds {
        0 => format!("{ms}ms"),
        1..=59 => format!("{seconds}.{}s", ms % 1_000 / 100),
        60..=3_599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..=172_799 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    };
    format!("{sign}{text}")
}

impl Tree {
    /// The tree of a chain.
    pub fn of(chain: &Chain) -> Self {
        let (decisions, modes) = (decisions(chain), modes(chain));
        let mut nodes: Vec<Node> = chain.rows().iter().filter_map(|row| Node::of_row(chain, &modes, row)).collect();
        nodes.extend(decisions.iter().map(|(key, record)| Node::of_decision(&modes, key, record)));
        hang(chain, &mut nodes, &decisions);
        let mut tree = Self { steps: ordered(nodes), total: Total::default() };
        tree.total = total(chain, &tree.steps, &decisions);
        tree
    }

    /// As JSON, for programs.
    pub fn to_json(&self, trace: crate::contracts::TraceId) -> Value {
        let step = |step: &Step| {
            let (channel, kind, body) = match &step.what {
                What::Message(row) => {
                    let body: Value = serde_json::from_str(&row.body).unwrap_or_else(|_| row.body.as_ref().into());
                    (Some(row.channel), row.kind(), body)
                }
                What::Decision(_) => (None, "decision".to_owned(), Value::Null),
            };
            json!({
                "id": step.id, "kind": kind, "name": step.name, "channel": channel, "depth": step.depth,
                "parent": step.parent.and_then(|at| self.steps.get(at)).map(|it| it.id.as_str()),
                "mark": step.mark(), "at": crate::contracts::envelope::rfc3339(step.at),
                "after_ms": step.took.map(|took| took.num_milliseconds()), "nano_usd": step.nano,
                "actor": step.actor, "person": step.is_person, "words": step.words, "mode": step.mode, "body": body,
            })
        };
        let total = &self.total;
        json!({
            "trace": trace,
            "total": {
                "steps": total.steps, "nano_usd": total.nano, "actors": total.actors, "now": total.now,
                "missing": total.missing,
                "span_ms": total.span.map(|(first, last)| (last - first).num_milliseconds()),
                "first": total.span.map(|(first, _)| crate::contracts::envelope::rfc3339(first)),
                "last": total.span.map(|(_, last)| crate::contracts::envelope::rfc3339(last)),
            },
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
        })
    }
}

/// A step on its way into the tree.
struct Node {
    step: Step,
    message: Option<MessageId>,
    cause: Option<MessageId>,
    about: Option<(String, MessageId)>,
}

impl Node {
    fn of_row(chain: &Chain, modes: &Modes<'_>, row: &Arc<Row>) -> Option<Self> {
        let envelope = row.envelope.as_ref()?;
        let said = Said::of(row);
        let (actor, is_person) = actor(row, &said);
        let cause = envelope.cause.filter(|it| chain.known.contains_key(it));
        let about = if cause.is_none() && envelope.trace != chain.trace() { chain.anchor(row) } else { None };
        let step = Step {
            id: envelope.id.to_string(),
            what: What::Message(Arc::clone(row)),
            parent: None,
            branches: Vec::new(),
            depth: 0,
            link: if cause.is_some() { Link::Caused } else { Link::Unknown },
            at: envelope.at,
            took: None,
            nano: said.nano_usd,
            actor,
            is_person,
            name: row.kind(),
            words: words(chain, row, &said),
            mode: envelope.subject.as_deref().or(said.experiment_id.as_deref()).and_then(|id| modes.get(id).copied()),
        };
        Some(Self { step, message: Some(envelope.id), cause, about })
    }

    fn of_decision(modes: &Modes<'_>, key: &Key, record: &Decision) -> Self {
        let outcome = record.outcome.as_deref().map(|it| format!(" · {}", sanitize_line(it, 120))).unwrap_or_default();
        let by = if record.model.is_empty() { &record.provider } else { &record.model };
        let step = Step {
            id: key.to_string(),
            what: What::Decision(key.clone()),
            parent: None,
            branches: Vec::new(),
            depth: 0,
            link: Link::Caused,
            at: record.at,
            took: None,
            nano: Some(record.nano_usd),
            actor: format!("orchestrator ({})", sanitize_line(by, 40)),
            is_person: false,
            name: record.action.to_string(),
            words: format!("{} · {}{outcome}", sanitize_line(&record.reasoning, WORDS_LIMIT), record.stage),
            mode: record.experiment_id.as_deref().and_then(|id| modes.get(id).copied()),
        };
        Self { step, message: None, cause: None, about: None }
    }
}

/// What a body says that the tree wants to know.
#[derive(Debug, Default, serde::Deserialize)]
struct Said {
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    verdict: Option<String>,
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    nano_usd: Option<u64>,
    #[serde(default)]
    approval_id: Option<String>,
    #[serde(default)]
    experiment_id: Option<String>,
}

impl Said {
    fn of(row: &Row) -> Self {
        serde_json::from_str(&row.body).unwrap_or_default()
    }
}

/// Who acted: the person whose words or order it is, else the service.
fn actor(row: &Row, said: &Said) -> (String, bool) {
    let person = match row.channel {
        ChannelName::DiscordRaw => said.username.as_deref(),
        ChannelName::ApprovalVerdicts | ChannelName::Control => said.by.as_deref(),
        // What the gate says of an answer is that of whoever gave it.
        ChannelName::Approvals => said.by.as_deref().filter(|by| !by.starts_with("policy")),
        ChannelName::Metrics if row.source() == ServiceName::ControlRoom.as_str() => Some("operator"),
        _ => None,
    };
    match person {
        Some(person) => (sanitize_line(person, 40), true),
        None => (row.source(), false),
    }
}

/// What a message says in a line, with what came of it where a document knows.
fn words(chain: &Chain, row: &Row, said: &Said) -> String {
    let reason = said.reason.as_deref().map(|reason| format!(": {}", sanitize_line(reason, 200))).unwrap_or_default();
    match (row.channel, &said.verdict, &said.outcome) {
        (ChannelName::ApprovalVerdicts, Some(verdict), _) => format!("{}{reason}", sanitize_line(verdict, 40)),
        (ChannelName::Approvals, _, Some(outcome)) => format!("{}{reason}", sanitize_line(outcome, 40)),
        (ChannelName::Approvals, ..) => {
            let state = said.approval_id.as_deref().and_then(|id| approval(chain, id)).map(|it| match it.state {
                ApprovalState::Pending => "waits · ".to_owned(),
                state => format!("{state} · "),
            });
            format!("{}{}", state.unwrap_or_default(), row.gist())
        }
        _ => row.gist().to_owned(),
    }
}

/// Whether the experiments of the chain reach anybody, by their ids.
type Modes<'a> = BTreeMap<&'a str, Mode>;

fn modes(chain: &Chain) -> Modes<'_> {
    let experiments = chain.documents().iter().filter_map(|(key, state)| {
        let id = key.as_str().strip_prefix("experiments:")?;
        Some((id, mode_of(state.document()?)))
    });
    experiments.collect()
}

fn approval(chain: &Chain, id: &str) -> Option<Approval> {
    let key = crate::contracts::keys::approval(id).ok()?;
    Approval::read(chain.documents().get(&Key::new(key))?.document()?)
}

/// The decisions of the chain, with their keys.
fn decisions(chain: &Chain) -> Vec<(Key, Decision)> {
    let read = |(key, state): (&Key, &crate::bus::State)| {
        let id = key.as_str().strip_prefix("decisions:")?;
        Some((key.clone(), Decision::read(id, state.document()?)?))
    };
    chain.documents().iter().filter_map(read).collect()
}

/// Gives each node its place: the index of the node that it hangs on.
fn hang(chain: &Chain, nodes: &mut [Node], decisions: &[(Key, Decision)]) {
    let of_message: BTreeMap<MessageId, usize> =
        nodes.iter().enumerate().filter_map(|(at, node)| Some((node.message?, at))).collect();
    let first_decision = nodes.len() - decisions.len();
    // What was decided on a message.
    let mut decided: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, (_, record)) in decisions.iter().enumerate() {
        let id = record.id.split_once('.').map_or(record.id.as_str(), |(id, _)| id);
        let message = id.parse().ok().and_then(|id: MessageId| of_message.get(&id).copied());
        let message = message.or_else(|| run_of(chain, &of_message, id));
        if let Some(message) = message {
            decided.entry(message).or_default().push(first_decision + at);
        }
    }
    let root = root(chain, nodes);
    for at in 0..nodes.len() {
        let node = &nodes[at];
        let (parent, link) = if Some(at) == root {
            (None, Link::First)
        } else if let Some(cause) = node.cause.and_then(|id| of_message.get(&id).copied()) {
            let by = decided.get(&cause).filter(|_| is_of_orchestrator(node)).and_then(|all| {
                let before = all.iter().filter(|it| nodes[**it].step.at <= node.step.at + SAME_MOMENT);
                before.max_by_key(|it| nodes[**it].step.at).or(all.first()).copied()
            });
            (Some(by.unwrap_or(cause)), Link::Caused)
        } else if at >= first_decision {
            let message = decided.iter().find(|(_, all)| all.contains(&at)).map(|(message, _)| *message);
            (message.or(root), if message.is_some() { Link::Caused } else { Link::Unknown })
        } else if let Some((subject, id)) = &node.about {
            (of_message.get(id).copied().or(root), Link::About(subject.clone()))
        } else {
            (root, Link::Unknown)
        };
        nodes[at].step.parent = parent;
        nodes[at].step.link = link;
    }
}

fn is_of_orchestrator(node: &Node) -> bool {
    matches!(&node.step.what, What::Message(row) if row.source() == ServiceName::Orchestrator.as_str()
        && row.channel != ChannelName::LlmCalls)
}

/// The message that reports a run: the first one.
fn run_of(chain: &Chain, of_message: &BTreeMap<MessageId, usize>, id: &str) -> Option<usize> {
    let run = id.strip_prefix("run_")?;
    let mut reports = chain.rows().iter().filter(|row| {
        matches!(row.channel, ChannelName::ToOrchestrator | ChannelName::ExperimentResults)
            && super::About::of(row).run.as_deref() == Some(run)
    });
    reports.find_map(|row| of_message.get(&row.envelope.as_ref()?.id).copied())
}

/// The first message: the one that the chain is named after, else the oldest without a cause that is known.
fn root(chain: &Chain, nodes: &[Node]) -> Option<usize> {
    let named = nodes.iter().position(|node| node.message.is_some_and(|id| id.0 == chain.trace().0));
    let oldest = |wanted: &dyn Fn(&Node) -> bool| {
        let all = nodes.iter().enumerate().filter(|(_, node)| node.message.is_some() && wanted(node));
        all.min_by_key(|(_, node)| (node.step.at, node.message)).map(|(at, _)| at)
    };
    named.or_else(|| oldest(&|node| node.cause.is_none() && node.about.is_none())).or_else(|| oldest(&|_| true))
}

/// The nodes in the order in which they are read. Without recursion: a chain may be deeper than the stack.
fn ordered(mut nodes: Vec<Node>) -> Vec<Step> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut tops = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        match node.step.parent {
            // It says that it caused itself.
            Some(parent) if parent == at => {}
            Some(parent) => below[parent].push(at),
            None => tops.push(at),
        }
    }
    let order = |at: &usize| (nodes[*at].step.at, nodes[*at].message.is_some(), nodes[*at].step.id.clone());
    for all in &mut below {
        all.sort_by_cached_key(order);
    }
    let mut by_age: Vec<usize> = (0..nodes.len()).collect();
    by_age.sort_by_cached_key(order);
    let mut place: Vec<Option<usize>> = vec![None; nodes.len()];
    let mut reading = Vec::with_capacity(nodes.len());
    let first = tops.first().copied();
    // What no top leads to goes round in a circle: its oldest is cut off from its cause, and hangs on the first.
    for top in tops.into_iter().chain(by_age) {
        if place[top].is_some() {
            continue;
        }
        if nodes[top].step.parent.is_some() {
            nodes[top].step.link = Link::Circle;
            nodes[top].step.parent = first.filter(|first| *first != top);
        }
        walk(top, &nodes, &below, &mut place, &mut reading);
    }
    reading.into_iter().map(|(at, branches, depth)| finished(&nodes, at, branches, depth, &place)).collect()
}

type Reading = Vec<(usize, Vec<bool>, usize)>;

fn walk(top: usize, nodes: &[Node], below: &[Vec<usize>], place: &mut [Option<usize>], reading: &mut Reading) {
    let depth = usize::from(nodes[top].step.parent.is_some());
    let mut open = vec![(top, vec![false; depth], depth)];
    while let Some((at, branches, depth)) = open.pop() {
        if place[at].is_some() {
            continue;
        }
        place[at] = Some(reading.len());
        let all: Vec<usize> = below[at].iter().copied().filter(|it| place[*it].is_none()).collect();
        for (nth, child) in all.iter().enumerate().rev() {
            let mut branches = branches.clone();
            if branches.len() < DEEPEST {
                branches.push(nth + 1 < all.len());
            }
            open.push((*child, branches, depth + 1));
        }
        reading.push((at, branches, depth));
    }
}

fn finished(nodes: &[Node], at: usize, branches: Vec<bool>, depth: usize, place: &[Option<usize>]) -> Step {
    let step = &nodes[at].step;
    let took = step.parent.map(|parent| step.at - nodes[parent].step.at);
    let parent = step.parent.and_then(|parent| place[parent]);
    Step { parent, branches, depth, took, ..step.clone() }
}

fn total(chain: &Chain, steps: &[Step], decisions: &[(Key, Decision)]) -> Total {
    let span = steps.iter().map(|step| step.at).min().zip(steps.iter().map(|step| step.at).max());
    let mut actors: Vec<(bool, String)> = Vec::new();
    for step in steps {
        let actor = (!step.is_person, step.actor.split(" (").next().unwrap_or_default().to_owned());
        if !actors.contains(&actor) && actors.len() < 40 {
            actors.push(actor);
        }
    }
    actors.sort_by_key(|(is_service, _)| *is_service);
    let sum = |wanted: &dyn Fn(&Step) -> bool| steps.iter().filter(|it| wanted(it)).filter_map(|it| it.nano).sum();
    let of_channel = |channel| sum(&|step| matches!(&step.what, What::Message(row) if row.channel == channel));
    let decided: u64 = decisions.iter().map(|(_, record)| record.nano_usd).sum();
    // The ledger's own sum counts, and is kept. Without it: whichever source heard most; adding them would count calls twice.
    let booked = chain.documents().get(&Key::new(format!("budgets:trace:{}", chain.trace())));
    let booked = booked.and_then(|state| state.document()?.get("spent_nano")?.parse::<u64>().ok());
    let heard = [decided, of_channel(ChannelName::Costs), of_channel(ChannelName::LlmCalls)];
    Total {
        steps: steps.len(),
        span,
        nano: booked.unwrap_or_else(|| heard.into_iter().max().unwrap_or(0)),
        actors: actors.into_iter().map(|(_, actor)| actor).collect(),
        now: now(chain, steps),
        missing: missing(chain, steps),
    }
}

/// Where the chain stands, and what it waits for.
fn now(chain: &Chain, steps: &[Step]) -> Vec<String> {
    let mut said = Vec::new();
    let approvals = chain.documents().iter().filter(|(key, _)| key.as_str().starts_with("approvals:"));
    for approval in approvals.filter_map(|(_, state)| Approval::read(state.document()?)) {
        if approval.state == ApprovalState::Pending {
            let until = approval.expires_at.map(|at| format!(" until {}", at.format("%Y-%m-%d %H:%M UTC")));
            let title = sanitize_line(&approval.proposal.title, 120);
            said.push(format!("it waits for a person's yes{}: {title}", until.unwrap_or_default()));
        }
    }
    for (key, state) in chain.documents().iter().filter(|(key, _)| key.as_str().starts_with("experiments:")) {
        let id = sanitize_line(key.as_str().trim_start_matches("experiments:"), 60);
        let mode = state.document().map(|document| format!(" ({})", mode_of(document).words())).unwrap_or_default();
        let state = state.document().and_then(|document| ExperimentState::of(|field| document.get(field)));
        let state = state.map_or("in a state that cannot be read", ExperimentState::as_str);
        said.push(format!("{id}{mode} is {state}"));
    }
    for step in steps {
        let What::Message(row) = &step.what else { continue };
        let groups = row.channel.route().groups;
        let is_unread = !groups.is_empty() && groups.iter().all(|group| !group.is_built());
        let leads_on = matches!(row.channel, ChannelName::ToFullsend | ChannelName::BuilderTasks)
            || matches!(row.channel, ChannelName::Experiments | ChannelName::ExecuteNow | ChannelName::Roundtable);
        if is_unread && leads_on && said.len() < 8 {
            let who = groups.iter().map(|group| group.as_str()).collect::<Vec<_>>().join(", ");
            said.push(format!("{} waits for {who}, not in this version yet", step.name));
        }
    }
    if said.is_empty() {
        let last = steps.iter().max_by_key(|step| step.at);
        said.push(match last {
            Some(last) => format!("nothing waits: the last was {} by {}", last.name, last.actor),
            None => "nothing is known of it".to_owned(),
        });
    }
    said
}

/// What the tree does not show, and why.
fn missing(chain: &Chain, steps: &[Step]) -> Vec<String> {
    let mut said: Vec<String> = chain.cut().map(str::to_owned).into_iter().collect();
    if chain.beyond() > 0 {
        said.push(format!("{} more messages are of this chain than are shown", chain.beyond()));
    }
    let has_root = steps.iter().any(|step| step.id == chain.trace().to_string());
    if !has_root && !steps.is_empty() {
        said.push("its first message is not there (any more)".to_owned());
    }
    // Notices of costs name their chain and no cause; that is as it should be.
    let is_notice =
        |step: &Step| matches!(&step.what, What::Message(row) if row.channel.route().kind == ChannelKind::Notice);
    let is_loose = |step: &&Step| matches!(step.link, Link::Unknown | Link::Circle) && !is_notice(step);
    let unknown = steps.iter().filter(is_loose).count();
    if unknown > 0 {
        said.push(format!("{unknown} hang on the first message because what caused them is not known"));
    }
    said
}

/// The head of a tree in one line: steps, span, cost.
pub fn head(total: &Total) -> String {
    let span = total.span.map(|(first, last)| length(last - first)).unwrap_or_default();
    let steps = if total.steps == 1 { "1 step".to_owned() } else { format!("{} steps", total.steps) };
    format!("{steps} · {span} · {}", show_usd(total.nano))
}

/// The lines before a step that show where it hangs.
pub fn guides(step: &Step, is_plain: bool) -> String {
    let Some((own, above)) = step.branches.split_last() else { return String::new() };
    let [line, none, more, last, deep] =
        if is_plain { ["| ", "  ", "+-", "`-", ".."] } else { ["│ ", "  ", "├─", "└─", "⋯ "] };
    let mut text: String = above.iter().map(|follows| if *follows { line } else { none }).collect();
    text.push_str(if *own { more } else { last });
    if step.depth > step.branches.len() {
        text.push_str(deep);
    }
    text
}
