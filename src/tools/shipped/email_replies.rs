//! `email_replies`: what came of the mail that was sent.
//!
//! Owns the reading of mailboxes and webhook bodies, and what each mail means: a reply, an automatic answer, a bounce, an unsubscribing, a
//! complaint. Each event has an `id` that is the same however often it is read. What a person wrote is in the event `reply` as `text`, for
//! whoever classifies it; people are named by the hash of their address. Must never change a mailbox, and never count what is about another
//! experiment.

mod folder;
mod mail;
mod mbox;
mod webhook;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::message_id::MailId;
use super::{Failed, Job, object};
use crate::contracts::keys;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::experiments::outreach::field;

/// Most bytes of a mail or a body that are read.
const MAIL: u64 = 2 * 1_024 * 1_024;
/// Most characters of what a person wrote.
const TEXT: usize = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    mailbox: Option<String>,
    webhooks: Option<String>,
    experiment_id: Option<String>,
    #[serde(default)]
    sent: Vec<Map<String, Value>>,
    since: Option<DateTime<Utc>>,
    #[serde(default)]
    state: State,
    #[serde(default = "two_thousand")]
    limit: usize,
}

fn two_thousand() -> usize {
    2_000
}

/// Where it is to go on.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    maildir: folder::Cursor,
    mbox: mbox::Cursor,
    webhooks: folder::Cursor,
}

/// What a mail or a webhook body says.
#[derive(Debug, Clone, PartialEq)]
struct News {
    what: What,
    /// Message-IDs of ours that it names.
    ids: Vec<MailId>,
    /// Addresses that it may be about: whoever wrote it, or whom it could not be brought to.
    about: Vec<String>,
    /// When it came.
    at: Option<DateTime<Utc>>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
enum What {
    /// Somebody answered.
    Reply { id: String, subject: String, text: String },
    /// A machine answered: out of office.
    Automatic { id: String, subject: String },
    /// It could not be delivered, for good: there is no such address.
    Bounce { status: String },
    /// It could not be delivered, for good, and the address is not at fault.
    Refused { status: String },
    /// It cannot be delivered yet.
    Delayed,
    /// Somebody wants no more.
    Unsubscribe,
    /// Somebody called it spam.
    Complaint,
    /// It was delivered.
    Delivered,
    /// It was opened.
    Opened,
    /// A link in it was followed.
    Clicked,
}

/// What is known of the mail that was sent.
struct Known {
    experiment: String,
    /// By the hash of the address: the variant.
    sent: HashMap<String, Option<String>>,
    since: Option<DateTime<Utc>>,
}

/// What came of the reading.
#[derive(Default)]
struct Counts {
    read: u64,
    matched: u64,
    unreadable: u64,
    events: BTreeMap<&'static str, u64>,
}

pub(super) fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    if params.mailbox.is_none() && params.webhooks.is_none() {
        return Err(Failed::params(
            "say where replies arrive: `mailbox`, `webhooks`, or both (the setting is `outreach.mailbox`)",
        ));
    }
    let experiment = params.experiment_id.clone().unwrap_or_else(|| job.input.run.experiment_id.clone());
    let known = Known { experiment, sent: sent(&params.sent), since: params.since };
    let mut counts = Counts::default();
    let mut state = params.state;
    if let Some(path) = &params.mailbox {
        let mails = open(path, &mut state, params.limit)?;
        for bytes in mails {
            take(job, &known, &mut counts, mail::read(&bytes))?;
        }
    }
    if let Some(path) = &params.webhooks {
        let found = folder::new_files(&[Path::new(path).to_owned()], &mut state.webhooks, params.limit);
        for bytes in found.map_err(|err| unreadable("webhooks", path, &err))? {
            take(job, &known, &mut counts, webhook::read(&bytes))?;
        }
    }
    Ok(object(json!({
        "state": state, "read": counts.read, "matched": counts.matched, "unreadable": counts.unreadable, "events": counts.events,
    })))
}

fn unreadable(param: &str, path: &str, err: &std::io::Error) -> Failed {
    Failed::params(format!("parameter `{param}`: {} cannot be read: {err}", sanitize_line(path, 200)))
}

/// The mails that are new in a mailbox.
fn open(path: &str, state: &mut State, limit: usize) -> Result<Vec<Vec<u8>>, Failed> {
    let at = Path::new(path);
    let fail = |err: std::io::Error| unreadable("mailbox", path, &err);
    if at.metadata().map_err(fail)?.is_file() {
        return mbox::new_mails(at, &mut state.mbox, limit).map_err(fail);
    }
    let folders: Vec<_> = ["new", "cur"].iter().map(|name| at.join(name)).filter(|folder| folder.is_dir()).collect();
    if folders.is_empty() {
        let what =
            format!("parameter `mailbox`: {} is no maildir: it has neither `cur` nor `new`", sanitize_line(path, 200));
        return Err(Failed::params(what));
    }
    folder::new_files(&folders, &mut state.maildir, limit).map_err(fail)
}

fn sent(people: &[Map<String, Value>]) -> HashMap<String, Option<String>> {
    let address = |person: &Map<String, Value>| field(person, "address").or_else(|| field(person, "email"));
    people.iter().filter_map(|person| Some((keys::person(&address(person)?), field(person, "variant")))).collect()
}

/// Says what one mail means, where it is about this experiment.
fn take(job: &mut Job, known: &Known, counts: &mut Counts, news: Option<News>) -> Result<(), Failed> {
    counts.read += 1;
    let Some(news) = news else {
        counts.unreadable += 1;
        return Ok(());
    };
    let Some(whose) = known.whose(&news) else { return Ok(()) };
    counts.matched += 1;
    let Some((name, event)) = event(&news, &whose) else { return Ok(()) };
    *counts.events.entry(name).or_default() += 1;
    job.metric(event)
}

impl Known {
    /// The mail that it is about, if it is one of this experiment.
    fn whose(&self, news: &News) -> Option<MailId> {
        if !news.ids.is_empty() {
            let mut id = news.ids.iter().find(|id| id.experiment == self.experiment)?.clone();
            id.variant = id.variant.or_else(|| self.sent.get(&id.person).cloned().flatten());
            return Some(id);
        }
        let is_late = self.since.is_none_or(|since| news.at.is_some_and(|at| at >= since));
        let hashes = news.about.iter().map(|address| keys::person(address));
        let person = hashes.into_iter().find(|hash| self.sent.contains_key(hash)).filter(|_| is_late)?;
        let variant = self.sent.get(&person).cloned().flatten();
        Some(MailId { experiment: self.experiment.clone(), round: "unknown".to_owned(), variant, person })
    }
}

/// The event, and its name; none for what is no event.
fn event(news: &News, whose: &MailId) -> Option<(&'static str, Value)> {
    let once = |name: &str| format!("{name}:{}:{}:{}", whose.experiment, whose.round, &whose.person);
    let (name, id, more) = match &news.what {
        What::Reply { id, subject, text } => {
            let text: String = sanitize(text, 500).chars().take(TEXT).collect();
            ("reply", format!("reply:{id}"), json!({ "subject": sanitize_line(subject, 200), "text": text }))
        }
        What::Automatic { id, subject } => {
            ("auto_reply", format!("auto_reply:{id}"), json!({ "subject": sanitize_line(subject, 200) }))
        }
        What::Bounce { status } => {
            ("email_bounced", once("email_bounced"), json!({ "status": sanitize_line(status, 20) }))
        }
        What::Refused { status } => {
            ("email_refused", once("email_refused"), json!({ "status": sanitize_line(status, 20) }))
        }
        What::Unsubscribe => ("unsubscribe", format!("unsubscribe:{}:{}", whose.experiment, whose.person), json!({})),
        What::Complaint => {
            ("spam_complaint", format!("spam_complaint:{}:{}", whose.experiment, whose.person), json!({}))
        }
        What::Delivered => ("email_delivered", once("email_delivered"), json!({})),
        What::Opened => ("email_opened", once("email_opened"), json!({})),
        What::Clicked => ("link_clicked", once("link_clicked"), json!({})),
        What::Delayed => return None,
    };
    let mut event = object(json!({
        "event": name, "id": id, "experiment_id": whose.experiment, "round": whose.round, "person": whose.person,
    }));
    event.extend(whose.variant.as_ref().map(|variant| ("variant".to_owned(), json!(variant))));
    event.extend(news.at.map(|at| ("at".to_owned(), json!(at))));
    event.extend(object(more));
    Some((name, Value::Object(event)))
}

/// A short name for something long.
fn short(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().take(10).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests;
