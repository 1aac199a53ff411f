//! Steps: what an experiment does, in the order in which it can be done; and how a later one gets what an earlier one gave.
//!
//! Owns the order, what `outreach` becomes as a step, and `{{step.path}}`. A reference is looked up once: what comes out of it is
//! data, and is never looked at for further references. Must never run anything.

pub(super) mod reference;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use thiserror::Error;

pub use reference::{ResolveError, heads, resolve};

use super::spec::{FollowUp, Mode, Outreach, OutreachChannel, Spec, Step};

/// The id of the step that outreach becomes.
pub const OUTREACH: &str = "outreach";
/// The tool that sends mail.
pub const SENDER: &str = "email_send";

/// A step, and who does it.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What is done. Of a person's step the tool is the channel, and the parameters are what the person needs to know.
    pub step: Step,
    /// Who does it.
    pub by: By,
}

/// Who does a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// A tool.
    Tool,
    /// A person, who is asked.
    Person,
}

/// Why steps have no order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// There are none.
    #[error("it has no step and no outreach: nothing would be done")]
    Nothing,
    /// Two have one name.
    #[error("two steps are called `{0}`; give each its own `id`")]
    TwiceNamed(String),
    /// One needs what is not there.
    #[error("the step `{step}` needs `{needs}`, and there is no such step{}", nearest.as_deref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// Which.
        step: String,
        /// What it needs.
        needs: String,
        /// The step whose name is most like it.
        nearest: Option<String>,
    },
    /// They wait for each other.
    #[error("these steps wait for each other: {}", .0.join(", "))]
    Cycle(Vec<String>),
    /// Nothing gives the people who are written to.
    #[error("outreach has nobody to write to: name `recipients`, or add a step that finds people")]
    Nobody,
}

/// The steps in the order in which they are done; outreach is one of them.
///
/// Mail is sent by [`SENDER`]. Where no sender is named and mail would really go out, or the channel is another one, a person does it:
/// fill in the sender of the settings first.
///
/// # Errors
/// Where there is no such order.
pub fn plan(spec: &Spec) -> Result<Vec<Planned>, PlanError> {
    let mut planned: Vec<Planned> = Vec::new();
    for step in &spec.execution.steps {
        let sends = step.tool == SENDER;
        match &spec.outreach {
            Some(outreach) if sends => {
                let mut own = compiled(spec, outreach, None);
                own.step.id.clone_from(&step.id);
                own.step.depends_on.clone_from(&step.depends_on);
                // What the step says itself is meant.
                own.step.params.extend(step.params.clone());
                planned.push(own);
            }
            _ => planned.push(Planned { step: step.clone(), by: By::Tool }),
        }
    }
    let sends = |planned: &Planned| planned.step.tool == SENDER || planned.by == By::Person;
    if let Some(outreach) = spec.outreach.as_ref().filter(|_| !planned.iter().any(sends)) {
        let waits = |step: &&Step| step.depends_on.iter().any(|needed| needed == OUTREACH);
        let last = spec.execution.steps.iter().rev().find(|step| !waits(step));
        planned.push(compiled(spec, outreach, last.map(|step| step.id.as_str())));
    }
    let nobody = |planned: &Planned| planned.step.tool == SENDER && !planned.step.params.contains_key("recipients");
    if planned.iter().any(nobody) {
        return Err(PlanError::Nobody);
    }
    ordered(planned)
}

/// The step that writes to people once more, as [`plan`] has it for the first message; none where there is no such follow-up.
/// `number` counts from 0. Whoever runs it gives the recipients: those who did not answer. Where it has no subject of its own, it goes out under
/// the one that each of them had (`first_subject`): of another way of saying it they know nothing.
pub fn follow_up(spec: &Spec, number: usize) -> Option<Planned> {
    let outreach = spec.outreach.as_ref()?;
    let FollowUp { subject, template, .. } = outreach.follow_ups.get(number)?;
    let first = plan(spec).ok()?.into_iter().find(|planned| planned.step.tool == SENDER || planned.by == By::Person)?;
    let mut planned = first;
    planned.step.id = format!("follow_up_{number}");
    let params = &mut planned.step.params;
    for former in ["recipients", "variants", "subject"] {
        params.shift_remove(former);
    }
    params.extend(subject.clone().map(|subject| ("subject".to_owned(), Value::String(subject))));
    params.insert("template".to_owned(), Value::String(template.clone()));
    params.insert("follow_up".to_owned(), json!(number));
    Some(planned)
}

/// Outreach as a step. `last` is the step whose people it writes to, where it names none.
fn compiled(spec: &Spec, outreach: &Outreach, last: Option<&str>) -> Planned {
    let mail = outreach.channel == OutreachChannel::Email;
    let by = if mail && (outreach.sender.is_some() || spec.mode != Mode::Live) { By::Tool } else { By::Person };
    let recipients = outreach.recipients.clone().or_else(|| last.map(|id| format!("{{{{{id}.rows}}}}")));
    let mut params = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        params.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("recipients", recipients.map(Value::String));
    put("subject", outreach.subject.clone().map(Value::String));
    // Where each variant has its own, the tool still wants one for all.
    let template = Some(outreach.template.clone()).filter(|text| !text.is_empty());
    let template = template.or_else(|| outreach.variants.iter().find_map(|variant| variant.template.clone()));
    put("template", template.map(Value::String));
    let variants: Vec<Value> = outreach.variants.iter().filter_map(|it| serde_json::to_value(it).ok()).collect();
    put("variants", (!variants.is_empty()).then_some(Value::Array(variants)));
    put("sender", outreach.sender.clone().map(Value::String));
    put("sender_name", outreach.sender_name.clone().map(Value::String));
    put("daily_limit", outreach.daily_limit.map(|limit| json!(limit)));
    put("delay", outreach.delay.map(|delay| Value::String(delay.to_string())));
    let tool = if by == By::Tool { SENDER.to_owned() } else { channel_name(outreach.channel).to_owned() };
    Planned { step: Step { id: OUTREACH.to_owned(), tool, params, depends_on: Vec::new() }, by }
}

/// A channel, as it is written.
pub const fn channel_name(channel: OutreachChannel) -> &'static str {
    match channel {
        OutreachChannel::Email => "email",
        OutreachChannel::Linkedin => "linkedin",
        OutreachChannel::Twitter => "twitter",
        OutreachChannel::ColdCall => "cold_call",
    }
}

/// The names of the steps that one needs, besides those that are none.
fn needs(planned: &Planned, known: &BTreeSet<String>) -> BTreeSet<String> {
    let named = heads(&planned.step.params, |name| known.contains(name));
    named.into_iter().chain(planned.step.depends_on.iter().cloned()).collect()
}

/// Each after those that it needs; else as they are written.
fn ordered(mut rest: Vec<Planned>) -> Result<Vec<Planned>, PlanError> {
    if rest.is_empty() {
        return Err(PlanError::Nothing);
    }
    let mut known = BTreeSet::new();
    for planned in &rest {
        if !known.insert(planned.step.id.clone()) {
            return Err(PlanError::TwiceNamed(planned.step.id.clone()));
        }
    }
    for planned in &rest {
        if let Some(unknown) = needs(planned, &known).into_iter().find(|name| !known.contains(name)) {
            let near = |name: &&String| strsim::damerau_levenshtein(name, &unknown);
            let nearest = known.iter().min_by_key(near).filter(|name| near(name) <= 1 + name.len() / 3).cloned();
            return Err(PlanError::Unknown { step: planned.step.id.clone(), needs: unknown, nearest });
        }
    }
    let mut done = BTreeSet::new();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let next = rest.iter().position(|planned| needs(planned, &known).is_subset(&done));
        let Some(next) = next else {
            return Err(PlanError::Cycle(rest.into_iter().map(|planned| planned.step.id).collect()));
        };
        let planned = rest.remove(next);
        done.insert(planned.step.id.clone());
        ordered.push(planned);
    }
    Ok(ordered)
}
