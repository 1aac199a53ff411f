//! What an experiment does and when: one tool, steps, or phases.
//!
//! What a step says about mail that goes out (sender, subject, text, limits) is the outreach's; it is handed over to it.

use serde_json::{Map, Value};

use super::mail;
use super::reader::{Fields, QUOTED, Reader, node_of};
use super::tree::{Kind, Node, Place, map};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::aliases;
use crate::experiments::check::slug;
use crate::experiments::spec::{Execution, Missed, Overlap, Span, Step};
use crate::experiments::steps::reference;

/// What steps say about mail.
#[derive(Default)]
pub(super) struct Sending {
    pub(super) sends: bool,
    /// Where the step stands that says it.
    pub(super) at: Place,
    pub(super) subject: Option<String>,
    pub(super) template: Option<String>,
    pub(super) sender: Option<String>,
    pub(super) sender_name: Option<String>,
    pub(super) daily_limit: Option<u64>,
    pub(super) delay: Option<Span>,
}

/// A step, and under which name its output was meant to be known.
struct Read {
    step: Step,
    outputs: Vec<String>,
    at: Place,
    /// Where its parts stand, by their paths below it.
    places: Vec<(String, Place)>,
}

impl Reader {
    pub(super) fn execution(
        &mut self,
        found: Option<(&Node, String)>,
        target: Option<&Node>,
        at: Place,
    ) -> (Execution, Sending) {
        let mut sending = Sending::default();
        let Some((node, path)) = found else {
            self.place("execution", at);
            return (Execution::default(), sending);
        };
        self.place("execution", node.at);
        let mut steps = Vec::new();
        let mut execution = Execution::default();
        match (&node.kind, Fields::of(node, "execution")) {
            (Kind::List(items), _) => self.steps(items, &path, &mut steps, &mut sending),
            (_, Some(mut fields)) => {
                self.when(&mut fields, &mut execution);
                self.phases(node, &mut fields, &mut steps, &mut sending);
            }
            _ => self.misfit(node, &path, "fields (`steps`, `schedule`, `timezone`)"),
        }
        self.link(&mut steps, target);
        for (index, read) in steps.iter().enumerate() {
            self.place(&format!("execution.steps[{index}]"), read.at);
            for (part, at) in &read.places {
                self.place(&format!("execution.steps[{index}].{part}"), *at);
            }
        }
        execution.steps = steps.into_iter().map(|read| read.step).collect();
        (execution, sending)
    }

    fn when(&mut self, fields: &mut Fields<'_>, execution: &mut Execution) {
        if let Some((node, path)) = fields.take(&["schedule", "cron"]) {
            self.place("execution.schedule", node.at);
            // `schedule: {cron, timezone}` is written as well.
            match Fields::of(node, &path) {
                Some(mut inner) => {
                    self.when(&mut inner, execution);
                    self.keep_rest(&inner);
                }
                None => execution.schedule = self.text(node, &path).map(|text| text.trim().to_owned()),
            }
            execution.schedule.take_if(|text| text.is_empty());
        }
        if let Some((node, path)) = fields.take(&["timezone", "tz"]) {
            self.place("execution.timezone", node.at);
            execution.timezone = self.text(node, &path).map(|text| text.trim().to_owned());
        }
        if let Some((node, path)) = fields.take(&["missed"]) {
            let text = self.text(node, &path).unwrap_or_default();
            execution.missed = match text.trim() {
                "skip" => Missed::Skip,
                "once" => Missed::Once,
                "all" => Missed::All,
                other => {
                    let message = format!("`{}` is no rule for missed runs", sanitize_line(other, 40));
                    self.error(&path, node.at, message, Some("write `skip`, `once` or `all`".to_owned()));
                    Missed::default()
                }
            };
        }
        if let Some((node, path)) = fields.take(&["overlap"]) {
            let text = self.text(node, &path).unwrap_or_default();
            execution.overlap = match text.trim() {
                "queue" => Overlap::Queue,
                "skip" => Overlap::Skip,
                "allow" => Overlap::Allow,
                other => {
                    let message = format!("`{}` is no rule for runs that overlap", sanitize_line(other, 40));
                    self.error(&path, node.at, message, Some("write `queue`, `skip` or `allow`".to_owned()));
                    Overlap::default()
                }
            };
        }
    }

    /// A single tool, a list of steps, phases by name: or several of these.
    fn phases(&mut self, node: &Node, fields: &mut Fields<'_>, steps: &mut Vec<Read>, sending: &mut Sending) {
        if fields.has("tool") {
            steps.extend(self.step(node, fields, None, sending));
        }
        for name in ["steps", "phases"] {
            if let Some((node, path)) = fields.take(&[name]) {
                match &node.kind {
                    Kind::List(items) => self.steps(items, &path, steps, sending),
                    Kind::Map(named) => {
                        for (key, node) in named {
                            let path = format!("{path}.{}", key.name);
                            steps.extend(self.one(node, &path, Some(&key.name), sending));
                        }
                    }
                    _ => self.misfit(node, &path, "a list of steps"),
                }
            }
        }
        for (key, node) in fields.rest() {
            if node.get("tool").is_some() {
                let path = fields.path_of(&key.name);
                steps.extend(self.one(node, &path, Some(&key.name), sending));
            } else {
                self.keep(&fields.path_of(&key.name), key.at, node);
            }
        }
    }

    fn steps(&mut self, items: &[Node], path: &str, steps: &mut Vec<Read>, sending: &mut Sending) {
        for (index, item) in items.iter().enumerate() {
            steps.extend(self.one(item, &format!("{path}[{index}]"), None, sending));
        }
    }

    /// A step that stands by itself.
    fn one(&mut self, node: &Node, path: &str, name: Option<&str>, sending: &mut Sending) -> Option<Read> {
        let Some(mut fields) = Fields::of(node, path) else {
            self.misfit(node, path, "a step: fields with a `tool`");
            return None;
        };
        let read = self.step(node, &mut fields, name, sending);
        self.keep_rest(&fields);
        read
    }

    /// A step, of fields that may have more in them.
    fn step(
        &mut self,
        node: &Node,
        fields: &mut Fields<'_>,
        name: Option<&str>,
        sending: &mut Sending,
    ) -> Option<Read> {
        let mut places = Vec::new();
        let path = fields.path().to_owned();
        let tool = fields.take(&["tool"]).and_then(|(node, path)| {
            places.push(("tool".to_owned(), node.at));
            self.text(node, &path)
        });
        let Some(tool) = tool.map(|tool| tool.trim().to_owned()).filter(|tool| !tool.is_empty()) else {
            self.error(&path, node.at, "the step has no `tool`".to_owned(), None);
            return None;
        };
        let own = fields.take(&["id", "name"]).and_then(|(node, path)| self.text(node, &path));
        let id = own.as_deref().or(name).map_or_else(|| slug(&tool), slug);
        let depends_on =
            self.list(node_of(fields.take(&["depends_on", "needs", "after"])), &format!("{path}.depends_on"));
        let outputs = self.list(node_of(fields.take(&["output", "outputs"])), &format!("{path}.output"));
        let mut params = match fields.take(&["params", "parameters"]) {
            None => Map::new(),
            Some((node, path)) => match &node.kind {
                Kind::Map(fields) => {
                    places.push(("params".to_owned(), node.at));
                    places.extend(fields.iter().map(|(key, _)| (format!("params.{}", key.name), key.at)));
                    map(fields)
                }
                _ => {
                    self.misfit(node, &path, "fields");
                    Map::new()
                }
            },
        };
        if aliases::sends_mail(&tool) && !self.own.contains(&tool) {
            sending.sends = true;
            sending.at = node.at;
            let options = fields.take(&["send_options"]).map(|(node, _)| node.value());
            for (name, value) in mail::taken(&mut params, options, sending) {
                let why = "whoever sends does not know this; it is kept in the notes";
                self.keep_value(&format!("{path}.{name}"), node.at, value, why);
            }
        }
        let depends_on = depends_on.iter().map(|name| slug(name)).collect();
        Some(Read { step: Step { id, tool, params, depends_on }, outputs, at: node.at, places })
    }

    /// Puts references into one form: `{{STEP.rows}}`, and what a specification's own `target` holds in the place of `{{target.…}}`.
    fn link(&mut self, steps: &mut [Read], target: Option<&Node>) {
        let names: Vec<(String, Vec<String>)> =
            steps.iter().map(|read| (read.step.id.clone(), read.outputs.clone())).collect();
        for (index, read) in steps.iter_mut().enumerate() {
            for needed in &mut read.step.depends_on {
                if let Some(id) = named(needed, &names) {
                    needed.clone_from(id);
                }
            }
            let mut lost = Vec::new();
            for value in read.step.params.values_mut() {
                reference::each_text(value, &mut |text| {
                    if let Some(rest) = reference::whole(text).and_then(|inner| inner.strip_prefix("target.")) {
                        self.of_target.extend(rest.split('.').next().map(str::to_owned));
                        let mut node = target;
                        for part in rest.split('.') {
                            node = node.and_then(|node| node.get(part));
                        }
                        if node.is_none() {
                            lost.push(rest.to_owned());
                        }
                        return node.map(Node::value);
                    }
                    let text = reference::rewritten(text, |inner| linked(inner, &names));
                    Some(Value::String(text))
                });
            }
            for rest in lost {
                let message = format!("`target` has no `{}`", sanitize_line(&rest, QUOTED));
                self.error(&format!("execution.steps[{index}].params"), read.at, message, None);
            }
        }
    }
}

/// A reference in its one form; none where it is that already, or no reference.
fn linked(inner: &str, names: &[(String, Vec<String>)]) -> Option<String> {
    let Some((head, rest)) = inner.split_once('.') else {
        // The name of an output by itself.
        let (id, _) = names.iter().find(|(_, outputs)| outputs.iter().any(|output| output == inner))?;
        return Some(format!("{id}.rows"));
    };
    let id = named(head, names)?;
    let outputs = names.iter().find(|(name, _)| name == id).map(|(_, outputs)| outputs.as_slice()).unwrap_or_default();
    let path = rest.strip_prefix("output.").or_else(|| rest.strip_prefix("outputs.")).unwrap_or(rest);
    let path = if outputs.iter().any(|output| output == path) || path == "output" { "rows" } else { path };
    let form = format!("{id}.{path}");
    (form != inner).then_some(form)
}

/// The step that a name means: its own, or the beginning of only one (`phase_1` of `phase_1_find_emails`).
fn named<'a>(name: &str, names: &'a [(String, Vec<String>)]) -> Option<&'a String> {
    let name = slug(name);
    let exact = names.iter().map(|(id, _)| id).find(|id| **id == name);
    exact.or_else(|| {
        let mut begun = names
            .iter()
            .map(|(id, _)| id)
            .filter(|id| id.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('_')));
        begun.next().filter(|_| begun.next().is_none())
    })
}
