//! `email_replies`: what came of the mail that was sent.
//!
//! Owns the reading of mailboxes and webhook bodies, and what each mail means: a reply, an automatic answer, a bounce, an unsubscribing, a
//! complaint. Each event has an `id` that is the same however often it is read, and names its `mail`. What a person wrote is in the event
//! `reply` as `text`, for whoever classifies it; people are named by the hash of their address. Whose a mail is says the Message-ID that it
//! names; of one that names none, only whoever knows who was written to can say it (`strangers`). Must never change a mailbox, and never
//! count what is about another experiment.

mod folder;
mod mail;
mod mbox;
mod webhook;

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::message_id::MailId;
use super::{Failed, Job, object};
use crate::contracts::keys;
use crate::contracts::untrusted::{sanitize, sanitize_line};

/// Most bytes of a mail or a body that are read.
const MAIL: u64 = 2 * 1_024 * 1_024;
/// Once so many bytes were read, the rest is for the next time.
const MAILS: usize = 64 * 1_024 * 1_024;
/// What was put there so long before `since` is read all the same: clocks differ, and so do zones.
const SLACK: TimeDelta = TimeDelta::days(1);
/// Most characters of what a person wrote.
const TEXT: usize = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    mailbox: Option<String>,
    webhooks: Option<String>,
    experiment_id: Option<String>,
    #[serde(default)]
    strangers: bool,
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

/// What is new in a place, and whether that is all.
#[derive(Default)]
struct Found {
    mails: Vec<Vec<u8>>,
    is_all: bool,
}

/// What a mail or a webhook body says.
#[derive(Debug, Clone, PartialEq)]
struct News {
    /// Names the mail or the body, whenever it is read.
    mail: String,
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
    Reply { subject: String, text: String },
    /// A machine answered: out of office.
    Automatic { subject: String },
    /// It could not be delivered, for good: there is no such address.
    Bounce { status: String },
    /// It could not be delivered, for good, and the address is not at fault.
    Refused { status: String },
    /// It cannot be delivered yet.
    Delayed,
    /// Somebody wants no more; perhaps with the token of the header `List-Unsubscribe`, which says whose mail it was.
    Unsubscribe { token: Option<String> },
    /// Somebody called it spam.
    Complaint,
    /// It was delivered.
    Delivered,
    /// It was opened.
    Opened,
    /// A link in it was followed.
    Clicked,
}

/// Whose mail is looked for.
struct Wanted {
    /// The experiment; none for all.
    experiment: Option<String>,
    /// Whether mail that names none of ours is told too.
    strangers: bool,
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
            "say where replies arrive: `mailbox`, `webhooks`, or both (the settings are `outreach.mailbox` and `outreach.webhooks`)",
        ));
    }
    let of_run = Some(job.input.run.experiment_id.clone()).filter(|id| !id.is_empty());
    let wanted = Wanted { experiment: params.experiment_id.or(of_run), strangers: params.strangers };
    let mut counts = Counts::default();
    let mut state = params.state;
    let since = params.since.map(|since| since - SLACK);
    let mut is_all = true;
    if let Some(path) = &params.mailbox {
        let found = open(path, &mut state, since, params.limit)?;
        is_all &= found.is_all;
        for bytes in found.mails {
            take(job, &wanted, &mut counts, mail::read(&bytes))?;
        }
    }
    if let Some(path) = &params.webhooks {
        let found = folder::new_files(&[Path::new(path).to_owned()], &mut state.webhooks, since, params.limit);
        let found = found.map_err(|err| unreadable("webhooks", path, &err))?;
        is_all &= found.is_all;
        for bytes in found.mails {
            take(job, &wanted, &mut counts, webhook::read(&bytes))?;
        }
    }
    Ok(object(json!({
        "state": state, "more": !is_all, "read": counts.read, "matched": counts.matched, "unreadable": counts.unreadable,
        "events": counts.events,
    })))
}

fn unreadable(param: &str, path: &str, err: &std::io::Error) -> Failed {
    Failed::params(format!("parameter `{param}`: {} cannot be read: {err}", sanitize_line(path, 200)))
}

/// The mails that are new in a mailbox.
fn open(path: &str, state: &mut State, since: Option<DateTime<Utc>>, limit: usize) -> Result<Found, Failed> {
    let at = Path::new(path);
    let fail = |err: std::io::Error| unreadable("mailbox", path, &err);
    if at.metadata().map_err(fail)?.is_file() {
        return mbox::new_mails(at, &mut state.mbox, since, limit).map_err(fail);
    }
    let folders: Vec<_> = ["new", "cur"].iter().map(|name| at.join(name)).filter(|folder| folder.is_dir()).collect();
    if folders.is_empty() {
        let what =
            format!("parameter `mailbox`: {} is no maildir: it has neither `cur` nor `new`", sanitize_line(path, 200));
        return Err(Failed::params(what));
    }
    folder::new_files(&folders, &mut state.maildir, since, limit).map_err(fail)
}

/// Says what one mail means, where it is about what is looked for.
fn take(job: &mut Job, wanted: &Wanted, counts: &mut Counts, news: Option<News>) -> Result<(), Failed> {
    counts.read += 1;
    let Some(news) = news else {
        counts.unreadable += 1;
        return Ok(());
    };
    let Some((name, mut event)) = event(&news) else { return Ok(()) };
    let is_wanted = |id: &&MailId| wanted.experiment.as_ref().is_none_or(|experiment| id.experiment == *experiment);
    let whose = news.ids.iter().find(is_wanted);
    if let Some(whose) = whose {
        counts.matched += 1;
        *counts.events.entry(name).or_default() += 1;
        event.extend(of(whose, name, &news));
    } else if !wanted.strangers || !news.ids.is_empty() || !news.what.may_be_a_strangers() {
        return Ok(());
    }
    // Somebody may leave from another account than the one that was written to.
    if whose.is_none() || matches!(news.what, What::Unsubscribe { .. }) {
        event.insert("people".to_owned(), json!(people(&news)));
    }
    job.metric(Value::Object(event))
}

impl What {
    /// Whether it may be about mail of ours though it names none.
    const fn may_be_a_strangers(&self) -> bool {
        matches!(self, Self::Reply { .. } | Self::Bounce { .. } | Self::Unsubscribe { .. } | Self::Complaint)
    }
}

/// Who it may be about, by the hashes of their addresses: first whom the token names.
fn people(news: &News) -> Vec<String> {
    let token = if let What::Unsubscribe { token } = &news.what { token.clone() } else { None };
    let mut people = Vec::new();
    for person in token.into_iter().chain(news.about.iter().map(|address| keys::person(address))) {
        if !people.contains(&person) {
            people.push(person);
        }
    }
    people
}

/// What says in an event whose it is, and makes it the same one.
fn of(whose: &MailId, name: &str, news: &News) -> Map<String, Value> {
    let MailId { experiment, round, variant, person } = whose;
    let id = match &news.what {
        What::Reply { .. } | What::Automatic { .. } => format!("{name}:{}", news.mail),
        What::Unsubscribe { .. } | What::Complaint => format!("{name}:{experiment}:{person}"),
        _ => format!("{name}:{experiment}:{round}:{person}"),
    };
    let mut fields = object(json!({ "id": id, "experiment_id": experiment, "round": round, "person": person }));
    fields.extend(variant.as_ref().map(|variant| ("variant".to_owned(), json!(variant))));
    fields
}

/// The event, and its name; none for what is no event.
fn event(news: &News) -> Option<(&'static str, Map<String, Value>)> {
    let (name, more) = match &news.what {
        What::Reply { subject, text } => {
            let text: String = sanitize(text, 500).chars().take(TEXT).collect();
            ("reply", json!({ "subject": sanitize_line(subject, 200), "text": text }))
        }
        What::Automatic { subject } => ("auto_reply", json!({ "subject": sanitize_line(subject, 200) })),
        What::Bounce { status } => ("email_bounced", json!({ "status": sanitize_line(status, 20) })),
        What::Refused { status } => ("email_refused", json!({ "status": sanitize_line(status, 20) })),
        What::Unsubscribe { .. } => ("unsubscribe", json!({})),
        What::Complaint => ("spam_complaint", json!({})),
        What::Delivered => ("email_delivered", json!({})),
        What::Opened => ("email_opened", json!({})),
        What::Clicked => ("link_clicked", json!({})),
        What::Delayed => return None,
    };
    let mut event = object(json!({ "event": name, "mail": news.mail }));
    event.extend(news.at.map(|at| ("at".to_owned(), json!(at))));
    event.extend(object(more));
    Some((name, event))
}

/// A short name for something long.
fn short(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().take(10).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests;
