//! What a person sees before a yes: how many would be written to, three mails as they would go out, from whom, within which limits.
//!
//! Must never show anybody as a recipient who is none: where the people are only found by a run, the mails are filled for an example, and
//! called so.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Fullsend;
use super::draft::Draft;
use crate::bus::Context;
use crate::config::{OutreachConfig, zone};
use crate::contracts::channel::grants;
use crate::contracts::untrusted::sanitize;
use crate::experiments::check::check;
use crate::experiments::list::{self, Look};
use crate::experiments::outreach::{address, field, render, variant_of};
use crate::experiments::schedule::Schedule;
use crate::experiments::spec::{Mode, Outreach, Spec};
use crate::experiments::steps::{By, SENDER, plan};
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

    async fn look(&self, path: String, sample: usize) -> Option<(PathBuf, Look)> {
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

    /// What a person should see.
    pub(super) async fn details(&self, draft: &Draft, cx: &Context<grants::Fullsend>) -> Map<String, Value> {
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
        put("mode", json!(in_words(spec.mode)));
        if let Some(outreach) = &spec.outreach {
            let (recipients, samples) = self.recipients(spec, outreach).await;
            put("recipients", json!(recipients));
            put("mails", Value::Array(samples));
            put("sender", json!(sender(outreach, &self.outreach)));
            put("limits", json!(limits(spec, outreach, &self.outreach)));
        }
        put("schedule", json!(schedule(spec, cx)));
        put("steps", json!(steps(spec)));
        put("success", json!(spec.success_criteria));
        put("failure", json!(spec.failure_criteria));
        put("observed_for", json!(spec.measuring.window.to_string()));
        put("first_by_hand", json!(spec.manual_steps_required.iter().map(|step| line(step, 200)).collect::<Vec<_>>()));
        let known = crate::experiments::check::Known::default();
        put("to_look_at", json!(check(spec, &known).iter().map(|it| line(&it.to_string(), 300)).collect::<Vec<_>>()));
        put("designed_by", json!(line(&draft.by, 80)));
        put("why", json!(draft.reasons));
        #[expect(clippy::cast_precision_loss, reason = "a cost in billionths of a dollar is far below 2^53")]
        let dollars = draft.design_cost_nano_usd as f64 / 1e9;
        put("cost", json!(format!("${dollars:.4} for the design; whatever the mail provider takes for what is sent")));
        details
    }

    async fn recipients(&self, spec: &Spec, outreach: &Outreach) -> (String, Vec<Value>) {
        let planned = plan(spec).unwrap_or_default();
        let sends = planned.iter().find(|it| it.step.tool == SENDER || it.by == By::Person);
        let by_person = sends.is_some_and(|it| it.by == By::Person);
        let said_by = if by_person { " (a person is asked to write to them)" } else { "" };
        if let Some(Value::Array(people)) = sends.and_then(|it| it.step.params.get("recipients")) {
            let rows: Vec<_> = people.iter().filter_map(Value::as_object).take(SAMPLES).cloned().collect();
            return (format!("{}{said_by}", people.len()), samples(outreach, &rows, false));
        }
        let list = spec.execution.steps.iter().find(|step| step.tool == "csv_leads");
        if let Some((step, path)) = list.and_then(|step| Some((step, step.params.get("path")?.as_str()?.to_owned()))) {
            if let Some((path, look)) = self.look(path.clone(), SAMPLES).await {
                let limit = step.params.get("limit").and_then(Value::as_u64).unwrap_or(u64::MAX);
                let filtered = step.params.contains_key("filters") || limit < look.rows;
                let most = if filtered { "at most " } else { "" };
                let text = format!("{most}{} of {} in {}{said_by}", look.rows.min(limit), look.rows, path.display());
                return (text, samples(outreach, &look.first, false));
            }
            return (
                format!("not known: {} cannot be read now{said_by}", line(&path, 200)),
                samples(outreach, &[], true),
            );
        }
        let size = spec.target.size.map_or_else(|| "not known".to_owned(), |size| format!("at most {size}"));
        let found = match spec.mode {
            Mode::Simulation => "made-up people: nobody is written to".to_owned(),
            _ => format!(
                "found by the run itself: {}",
                spec.target.source.as_deref().map(|it| line(it, 160)).unwrap_or_default()
            ),
        };
        (format!("{size}, {found}{said_by}"), samples(outreach, &[], true))
    }
}

/// Mails as they would go out.
fn samples(outreach: &Outreach, people: &[Map<String, Value>], example: bool) -> Vec<Value> {
    let made_up = || {
        let people = [
            ("Ada", "Example Works", "ada@example.com"),
            ("Bo", "Sample Labs", "bo@example.com"),
            ("Chidi", "", "chidi@example.com"),
        ];
        people
            .map(|(name, company, email)| {
                let row = json!({ "first_name": name, "name": name, "company": company, "email": email });
                row.as_object().cloned().unwrap_or_default()
            })
            .to_vec()
    };
    let example = example || people.is_empty();
    let people = if example { made_up() } else { people.to_vec() };
    let mail = |person: &Map<String, Value>| {
        let to = field(person, "email").unwrap_or_default();
        let counted = address(&to).unwrap_or_else(|| to.clone());
        let variant = outreach.variants.get(variant_of(&counted, outreach.variants.len()));
        let subject = variant.and_then(|it| it.subject.as_deref()).or(outreach.subject.as_deref()).unwrap_or_default();
        let template = variant.and_then(|it| it.template.as_deref()).unwrap_or(&outreach.template);
        let said = |text: &str| match render(text, person) {
            Ok(text) => sanitize(&text, 400).chars().take(SAMPLE).collect::<String>(),
            Err(err) => format!("(left out: {err})"),
        };
        let mut shown = json!({ "to": line(&to, 120), "subject": said(subject), "text": said(template) });
        if let Some(variant) = variant {
            shown["variant"] = json!(line(&variant.name, 60));
        }
        if example {
            shown["example"] = json!("filled for a made-up person");
        }
        shown
    };
    people.iter().take(SAMPLES).map(mail).collect()
}

const fn in_words(mode: Mode) -> &'static str {
    match mode {
        Mode::DryRun => "dry run: nothing leaves, what would have gone out is written down",
        Mode::Live => "live: it writes to people",
        Mode::Simulation => "simulation: its people do not exist",
    }
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
            format!("{} (next: {next}); missed runs: {}", schedule.describe(), spec.execution.missed.as_str())
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
