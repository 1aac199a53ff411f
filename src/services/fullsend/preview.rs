//! What a person sees before a yes: how many would be written to, three mails as they would go out and what follows them, from whom, within which
//! limits.
//!
//! Must never show anybody as a recipient who is none: where the people are only found by a run, the mails are filled for an example, and
//! called so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Fullsend;
use super::draft::Draft;
use crate::bus::{Context, Failure};
use crate::config::{OutreachConfig, zone};
use crate::contracts::channel::grants;
use crate::contracts::untrusted::sanitize;
use crate::experiments::check::{Known, check};
use crate::experiments::list::{self, Look};
use crate::experiments::outreach::{address, field, render, variant_of};
use crate::experiments::schedule::Schedule;
use crate::experiments::spec::{FollowUp, Outreach, Overlap, Spec};
use crate::experiments::steps::{By, plan};
use crate::llm::tasks::design_experiment::{ListBrief, lists_in};
use crate::services::wording::line;

/// Mails that are shown.
const SAMPLES: usize = 3;
/// Characters of one that are shown.
const SAMPLE: usize = 2_000;

impl Fullsend {
    /// The list that a text names, where it is there.
    pub(super) async fn list_in(&self, text: String) -> Option<ListBrief> {
        for path in lists_in(&text) {
            if let Some((path, look)) = self.look(path, 0).await {
                return Some(ListBrief { path: path.display().to_string(), columns: look.columns, people: look.rows });
            }
        }
        None
    }

    /// The list of this path, looked at, and where it is.
    pub(super) async fn look(&self, path: String, sample: usize) -> Option<(PathBuf, Look)> {
        let folders = self.folders.clone();
        let look = move || {
            let mut candidates =
                std::iter::once(PathBuf::from(&path)).chain(folders.iter().map(|folder| folder.join(&path)));
            candidates.find_map(|path| Some((path.canonicalize().ok()?, list::look(&path, sample).ok()?)))
        };
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }

    /// The specification with what the settings say: the sender, and whole paths of lists.
    pub(super) async fn with_settings(&self, spec: &mut Spec) {
        for step in spec.execution.steps.iter_mut().filter(|step| step.tool == "csv_leads") {
            let path = step.params.get("path").and_then(Value::as_str).filter(|path| Path::new(path).is_relative());
            if let Some((whole, _)) = match path {
                Some(path) => self.look(path.to_owned(), 0).await,
                None => None,
            } {
                step.params.insert("path".to_owned(), json!(whole.display().to_string()));
            }
        }
        if let Some(outreach) = &mut spec.outreach {
            outreach.sender = outreach.sender.take().or_else(|| self.outreach.sender.clone());
            outreach.sender_name = outreach.sender_name.take().or_else(|| self.outreach.sender_name.clone());
        }
    }

    /// What a person should see. `tools` are those that there are.
    pub(super) async fn details(
        &self,
        draft: &Draft,
        tools: &BTreeSet<String>,
        cx: &Context<grants::Fullsend>,
    ) -> Result<Map<String, Value>, Failure> {
        let spec = &draft.spec;
        let mut details = Map::new();
        let mut put = |name: &str, value: Value| {
            let empty = matches!(&value, Value::Null)
                || value.as_str() == Some("")
                || value.as_array().is_some_and(Vec::is_empty);
            if !empty {
                details.insert(name.to_owned(), value);
            }
        };
        put("experiment_id", json!(spec.id));
        let former = draft.replaces.iter().map(|(id, _)| format!("{} ends", line(id, 100)));
        put("replaces", json!(former.collect::<Vec<_>>().join(", ")));
        put("mode", json!(spec.mode.meaning()));
        if let Some(outreach) = &spec.outreach {
            let people = self.people(spec, cx).await?;
            let (mails, follow_ups) = samples(outreach, &people.first);
            put("recipients", json!(people.words));
            put("mails", Value::Array(mails));
            put("follow_ups", Value::Array(follow_ups));
            put("sender", json!(sender(outreach, &self.outreach)));
            put("limits", json!(limits(spec, outreach, &self.outreach)));
        }
        put("schedule", json!(schedule(spec, cx)));
        put("steps", json!(steps(spec)));
        put("success", json!(spec.success_criteria));
        put("failure", json!(spec.failure_criteria));
        put("observed_for", json!(spec.measuring.window.to_string()));
        put("first_by_hand", json!(spec.manual_steps_required.iter().map(|step| line(step, 200)).collect::<Vec<_>>()));
        let known = Known { tools: tools.iter().map(|name| (name.clone(), None)).collect(), ..Known::default() };
        put("to_look_at", json!(check(spec, &known).iter().map(|it| line(&it.to_string(), 300)).collect::<Vec<_>>()));
        put("designed_by", json!(line(&draft.by, 80)));
        put("why", json!(draft.reasons));
        #[expect(clippy::cast_precision_loss, reason = "a cost in billionths of a dollar is far below 2^53")]
        let dollars = draft.design_cost_nano_usd as f64 / 1e9;
        put("cost", json!(format!("${dollars:.4} for the design; whatever the mail provider takes for what is sent")));
        Ok(details)
    }
}

/// Mails as they would go out: the first ones, and what the first person gets later who does not answer.
fn samples(outreach: &Outreach, people: &[Map<String, Value>]) -> (Vec<Value>, Vec<Value>) {
    let is_example = people.is_empty();
    let people = if is_example { made_up() } else { people.to_vec() };
    let filled = |person: &Map<String, Value>, subject: &str, template: &str| {
        let said = |text: &str| match render(text, person) {
            Ok(text) => sanitize(&text, 400).chars().take(SAMPLE).collect::<String>(),
            Err(err) => format!("(left out: {err})"),
        };
        let to = field(person, "email").or_else(|| field(person, "name")).unwrap_or_default();
        let mut shown = json!({ "to": line(&to, 120), "subject": said(subject), "text": said(template) });
        if is_example {
            shown["example"] = json!("filled for a made-up person");
        }
        shown
    };
    let variant_for = |person: &Map<String, Value>| {
        let to = field(person, "email").unwrap_or_default();
        let counted = address(&to).unwrap_or(to);
        outreach.variants.get(variant_of(&counted, outreach.variants.len()))
    };
    let subject_for = |person: &Map<String, Value>| {
        let own = variant_for(person).and_then(|it| it.subject.as_deref());
        own.or(outreach.subject.as_deref()).unwrap_or_default()
    };
    let first = |person: &Map<String, Value>| {
        let variant = variant_for(person);
        let template = variant.and_then(|it| it.template.as_deref()).unwrap_or(&outreach.template);
        let mut shown = filled(person, subject_for(person), template);
        if let Some(variant) = variant {
            shown["variant"] = json!(line(&variant.name, 60));
        }
        shown
    };
    let later = |person: &Map<String, Value>| -> Vec<Value> {
        let mail = |follow_up: &FollowUp| {
            let former = || format!("Re: {}", subject_for(person));
            let subject = follow_up.subject.clone().unwrap_or_else(former);
            let mut shown = filled(person, &subject, &follow_up.template);
            shown["when"] = json!(format!("{} after the first, where nobody answered", follow_up.after));
            shown
        };
        outreach.follow_ups.iter().map(mail).collect()
    };
    (people.iter().take(SAMPLES).map(first).collect(), people.first().map(later).unwrap_or_default())
}

/// People for whom mails are filled where nobody is known yet.
fn made_up() -> Vec<Map<String, Value>> {
    let people = [
        ("Ada", "Example Works", "ada@example.com"),
        ("Bo", "Sample Labs", "bo@example.com"),
        ("Chidi", "", "chidi@example.com"),
    ];
    let row = |(name, company, email): (&str, &str, &str)| {
        let row = json!({ "first_name": name, "name": name, "company": company, "email": email });
        row.as_object().cloned().unwrap_or_default()
    };
    people.map(row).to_vec()
}

fn sender(outreach: &Outreach, settings: &OutreachConfig) -> String {
    let name = outreach.sender_name.as_deref().map(|name| format!("{} ", line(name, 80))).unwrap_or_default();
    let from = outreach
        .sender
        .as_deref()
        .map_or_else(|| "no sender is set".to_owned(), |sender| format!("{name}<{}>", line(sender, 120)));
    let postal = settings
        .postal_address
        .as_deref()
        .map_or("no postal address is set (outreach.postal_address)".to_owned(), |it| line(it, 200));
    let leave = settings
        .unsubscribe
        .as_deref()
        .map_or("no way to unsubscribe is set (outreach.unsubscribe)".to_owned(), |it| {
            format!("unsubscribe: {}", line(it, 120))
        });
    format!("{from}; {postal}; {leave}")
}

fn limits(spec: &Spec, outreach: &Outreach, settings: &OutreachConfig) -> String {
    let a_day = outreach.daily_limit.map_or(settings.daily_limit, |limit| limit.min(settings.daily_limit));
    let pause = outreach.delay.map_or_else(|| crate::config::duration::show(settings.delay), |delay| delay.to_string());
    let gap = crate::config::duration::show(settings.contact_gap);
    let schedule = spec.execution.timezone.as_deref().and_then(|name| zone::named(name).ok());
    let quiet = match (settings.quiet_hours, settings.zone(schedule)) {
        (None, _) => "no quiet hours".to_owned(),
        (Some(hours), Some(zone)) => format!("quiet {hours} by everybody's own clock, or that of {zone}"),
        (Some(hours), None) => format!("quiet {hours}, only for those whose `timezone` is in the list"),
    };
    let follow_ups = match outreach.follow_ups.len() {
        0 => "no follow-ups".to_owned(),
        _ if !settings.reads_answers() => {
            "no follow-ups, because nobody reads who answered (outreach.mailbox is not set)".to_owned()
        }
        many => format!("{many} follow-ups"),
    };
    format!("{a_day} a day, {pause} between two, nobody twice within {gap}, {quiet}, {follow_ups}")
}

fn schedule(spec: &Spec, cx: &Context<grants::Fullsend>) -> String {
    let Some(cron) = &spec.execution.schedule else { return "once, as soon as it is approved".to_owned() };
    match Schedule::parse(cron, spec.execution.timezone.as_deref()) {
        Ok(schedule) => {
            let next = schedule.next_after(cx.now()).map(crate::contracts::envelope::rfc3339).unwrap_or_default();
            let overlap = match spec.execution.overlap {
                Overlap::Queue => String::new(),
                other => format!("; runs that overlap: {}", other.as_str()),
            };
            let missed = spec.execution.missed.as_str();
            format!("{} (next: {next}); missed runs: {missed}{overlap}", schedule.describe())
        }
        Err(err) => err.to_string(),
    }
}

fn steps(spec: &Spec) -> Vec<String> {
    let planned = plan(spec).unwrap_or_default();
    let who = |by: By| if by == By::Person { " by a person" } else { "" };
    planned.iter().map(|it| format!("{}: {}{}", it.step.id, it.step.tool, who(it.by))).collect()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_said_for_whom_quiet_hours_hold_and_whether_follow_ups_go_out() {
        let mut spec: Spec = serde_json::from_value(json!({
            "id": "exp_20260301_forum", "hypothesis": "people who are asked say what they think", "mode": "live",
            "target": { "description": "people" }, "execution": { "steps": [] },
            "metrics": [], "success_criteria": [], "failure_criteria": [],
        }))
        .unwrap();
        let outreach =
            json!({ "channel": "email", "template": "Hi", "follow_ups": [{ "after": "3d", "template": "Again" }] });
        let outreach: Outreach = serde_json::from_value(outreach).unwrap();
        let mut settings = OutreachConfig::default();
        let said = limits(&spec, &outreach, &settings);
        assert!(said.contains("quiet 21:00-08:00, only for those whose `timezone` is in the list"), "{said}");
        assert!(said.contains("no follow-ups, because nobody reads who answered"), "{said}");
        settings.here = Some(Tz::Europe__Berlin);
        settings.mailbox = Some("Maildir".into());
        let said = limits(&spec, &outreach, &settings);
        assert!(said.contains("or that of Europe/Berlin, 1 follow-ups"), "{said}");
        spec.execution.timezone = Some("Asia/Tokyo".to_owned());
        assert!(limits(&spec, &outreach, &settings).contains("or that of Asia/Tokyo"));
    }
}
