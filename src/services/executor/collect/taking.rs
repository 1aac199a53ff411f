//! What was read, taken in: whose it is, what it means, what follows from it; each of it once.
//!
//! Owns `collected:{event}`, the marks of what was taken in. They last, because a mailbox may be read again from its beginning after years.
//! Must never count for an experiment that there is not, nor pass on who wrote what is nobody's.

use std::collections::{BTreeMap, HashSet};

use chrono::TimeDelta;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::super::events::{self, Of};
use super::super::people::{self, heard_of};
use super::super::record::{Experiment, at};
use super::super::{Executor, document, field, terminal};
use super::AFTERWARDS;
use crate::bus::{Context, Effects, Expect, Failure, Key, Op, Received, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::envelope::read_time;
use crate::contracts::{MessageId, ServiceName, Trust, Untrusted, keys};
use crate::experiments::outreach::variant_of_person;
use crate::experiments::spec::Mode;
use crate::llm::tasks::ClassifyReply;
use crate::llm::tasks::classify_reply::{ReplyInput, ReplyKind};
use crate::llm::{Asking, Task};
use crate::memory::forget;

/// A mail that names none of ours may be dated so long before ours and answer it all the same: clocks differ, and another may have followed.
const BEFORE: TimeDelta = TimeDelta::days(1);

/// The round of a mail that is not named.
const UNKNOWN: &str = "unknown";

/// Takes in what one reading brought.
pub(super) struct Taking<'a> {
    executor: &'a Executor,
    message: &'a Received,
    cx: &'a Context<grants::Executor>,
    effects: &'a mut Effects<grants::Executor>,
    experiments: BTreeMap<String, Option<Experiment>>,
    /// Marks that are set in this commit.
    marks: HashSet<String>,
}

/// Whose something is.
struct Whose {
    experiment: String,
    person: String,
}

impl<'a> Taking<'a> {
    pub(super) fn new(
        executor: &'a Executor,
        message: &'a Received,
        cx: &'a Context<grants::Executor>,
        effects: &'a mut Effects<grants::Executor>,
    ) -> Self {
        Self { executor, message, cx, effects, experiments: BTreeMap::new(), marks: HashSet::new() }
    }

    /// Takes in an event of the reader.
    pub(super) async fn take(&mut self, mut event: Map<String, Value>) -> Result<(), Failure> {
        let people = hashes(event.shift_remove("people"));
        let mail = text(&event, "mail").to_owned();
        event.shift_remove("mail");
        let name = text(&event, "event").to_owned();
        let whose = match named(&event) {
            Some(whose) => Some(whose),
            None => self.by_contact(&name, &mail, &people, &mut event).await?,
        };
        if name == "unsubscribe" {
            // Whoever wrote it is left alone too, from whatever account that was, and whether we ever wrote to it or not.
            let main = whose.as_ref().map(|whose| whose.person.clone());
            for person in people.iter().filter(|person| main.as_ref() != Some(*person)) {
                self.leave_alone(person, &mail, whose.as_ref()).await?;
            }
        }
        let Some(whose) = whose else { return Ok(()) };
        if people::suppressed(self.cx.bus(), &whose.person).await?.as_deref() == Some(forget::REASON) {
            // Nothing names them any more, this neither.
            return Ok(());
        }
        if !self.is_new(&[&name, &mail, &whose.experiment, &whose.person]).await? {
            return Ok(());
        }
        let Some(experiment) = self.experiment(&whose.experiment).await? else {
            tracing::info!(event = name, "it is about no experiment that there is");
            if name == "unsubscribe" {
                self.leave_alone(&whose.person, &mail, None).await?;
            }
            return Ok(());
        };
        if event.get("variant").is_none() {
            event.extend(variant(&experiment, &whose.person).map(|variant| ("variant".to_owned(), variant.into())));
        }
        for event in self.understood(event, &whose, &mail).await {
            self.say(event, &whose).await?;
        }
        Ok(())
    }

    /// Whose a mail is that names none of ours: that of the last experiment for which its sender was written to.
    async fn by_contact(
        &mut self,
        name: &str,
        mail: &str,
        people: &[String],
        event: &mut Map<String, Value>,
    ) -> Result<Option<Whose>, Failure> {
        let date = read_time(text(event, "at"));
        for person in people {
            let key = keys::contact(person).map_err(terminal)?;
            let Some(contact) = document(self.cx.bus(), &key).await? else { continue };
            let (Some(experiment), Some(last)) =
                (contact.get("experiment_id"), contact.get("last_at").and_then(read_time))
            else {
                continue;
            };
            // A wish to be left alone has no date.
            let is_answer = date.is_some_and(|date| date >= last - BEFORE && date <= last + AFTERWARDS);
            if !is_answer && name != "unsubscribe" && name != "spam_complaint" {
                continue;
            }
            let whose = Whose { experiment: experiment.to_owned(), person: person.clone() };
            let id = id_of(name, UNKNOWN, &whose, mail);
            let fields =
                [("id", id.as_str()), ("experiment_id", experiment), ("person", person.as_str()), ("round", UNKNOWN)];
            for (name, value) in fields {
                event.insert(name.to_owned(), value.into());
            }
            return Ok(Some(whose));
        }
        Ok(None)
    }

    /// Somebody who leaves and is not known by a mail of ours.
    async fn leave_alone(&mut self, person: &str, mail: &str, whose: Option<&Whose>) -> Result<(), Failure> {
        let by = whose.map_or("mailbox", |whose| whose.experiment.as_str());
        if self.is_new(&["left", mail, person]).await? && people::suppressed(self.cx.bus(), person).await?.is_none() {
            self.effects.extend(people::suppress(person, "unsubscribed", by, self.cx.now()));
        }
        Ok(())
    }

    /// An event, if it was not counted before, and what follows from it in any case.
    async fn say(&mut self, event: Map<String, Value>, whose: &Whose) -> Result<(), Failure> {
        let Whose { experiment, person } = whose;
        self.effects.extend(heard_of(text(&event, "event"), person, experiment, self.cx.now()));
        let id = text(&event, "id").to_owned();
        if !self.is_new(&["counted", &id, experiment, person]).await? {
            return Ok(());
        }
        match events::message(event, Of { experiment, run: "", mode: Mode::Live }, self.cx) {
            Ok(message) => self.effects.extend([Op::Append(message)]),
            Err(why) => tracing::warn!(experiment, why, "an event was left out"),
        }
        Ok(())
    }

    /// Whether this was not taken in before; from this commit on it was.
    async fn is_new(&mut self, what: &[&str]) -> Result<bool, Failure> {
        let mark = keys::person(&what.join("\n"));
        let key = keys::collected(&mark).map_err(terminal)?;
        if !self.marks.insert(mark) || document(self.cx.bus(), &key).await?.is_some() {
            return Ok(false);
        }
        // Whoever takes in the same at the same time begins anew.
        self.effects.change(Key::new(key), Expect::Absent, vec![field("at", at(self.cx.now()))], Ttl::Keep);
        Ok(true)
    }

    async fn experiment(&mut self, id: &str) -> Result<Option<Experiment>, Failure> {
        if let Some(known) = self.experiments.get(id) {
            return Ok(known.clone());
        }
        // What is no id was made up by whoever wrote.
        let found = if keys::experiment(id).is_ok() { Experiment::read(self.cx.bus(), id).await? } else { None };
        self.experiments.insert(id.to_owned(), found.clone());
        Ok(found)
    }

    /// What an event means: a reply is looked at by a mind, which says what sort of reply it is. Where none says it, it is a reply all the same.
    async fn understood(&self, mut event: Map<String, Value>, whose: &Whose, mail: &str) -> Vec<Map<String, Value>> {
        let said = |name: &str| event.get(name).and_then(Value::as_str).map(Untrusted::from);
        let ("reply", Some(text)) = (text(&event, "event"), said("text")) else { return vec![event] };
        let input = ReplyInput { subject: said("subject"), text };
        let kind = self.kind(&input, mail).await;
        event.insert("class".to_owned(), kind.map_or("unclassified", ReplyKind::as_str).into());
        let more = kind.and_then(ReplyKind::event).map(|name| {
            let mut more = event.clone();
            more.shift_remove("text");
            let round = event.get("round").and_then(Value::as_str).unwrap_or(UNKNOWN);
            more.insert("id".to_owned(), id_of(name, round, whose, mail).into());
            more.insert("event".to_owned(), name.into());
            more
        });
        if kind.is_some_and(|kind| !kind.is_persons()) {
            event.insert("event".to_owned(), "auto_reply".into());
        }
        std::iter::once(event).chain(more).collect()
    }

    async fn kind(&self, input: &ReplyInput, mail: &str) -> Option<ReplyKind> {
        let asking = Asking {
            service: ServiceName::Executor,
            message: Some(question(mail)),
            trace: Some(self.message.envelope.trace),
            trust: Trust::External,
            stop: self.cx.stop().clone(),
        };
        match self.executor.parts.mind.ask::<ClassifyReply>(&asking, input).await {
            Ok(answered) => Some(answered.output.kind),
            Err(err) => {
                tracing::warn!(%err, "nobody says what a reply is: it is counted as one");
                // Whoever plainly wants to be left alone is, whoever can be asked.
                Some(ClassifyReply::rule(input).output.kind).filter(|kind| *kind == ReplyKind::Unsubscribe)
            }
        }
    }
}

fn text<'a>(event: &'a Map<String, Value>, field: &str) -> &'a str {
    event.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Hashes of addresses, as the reader names them.
fn hashes(value: Option<Value>) -> Vec<String> {
    let Some(Value::Array(people)) = value else { return Vec::new() };
    let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    people.iter().filter_map(Value::as_str).filter(is_hash).map(str::to_owned).collect()
}

/// Whose an event is, where it names a mail of ours.
fn named(event: &Map<String, Value>) -> Option<Whose> {
    let experiment = Some(text(event, "experiment_id")).filter(|id| !id.is_empty())?;
    Some(Whose { experiment: experiment.to_owned(), person: events::person(event)? })
}

/// What makes an event the same one, as the reader has it where it knows whose it is.
fn id_of(name: &str, round: &str, whose: &Whose, mail: &str) -> String {
    let Whose { experiment, person } = whose;
    match name {
        "unsubscribe" | "spam_complaint" => format!("{name}:{experiment}:{person}"),
        "email_bounced" => format!("{name}:{experiment}:{round}:{person}"),
        _ => format!("{name}:{mail}"),
    }
}

/// The variant that somebody was sent, where there are several.
fn variant(experiment: &Experiment, person: &str) -> Option<String> {
    let spec = experiment.spec().ok()?;
    let variants = &spec.outreach.as_ref()?.variants;
    variants.get(variant_of_person(person, variants.len())).map(|variant| variant.name.clone())
}

/// The name of the question what a mail means, so that it is asked once, whenever and by whomever it is read.
fn question(mail: &str) -> MessageId {
    let digest = Sha256::digest(mail);
    let mut chance = [0; 10];
    chance.iter_mut().zip(digest).for_each(|(byte, hashed)| *byte = hashed);
    MessageId(uuid::Builder::from_unix_timestamp_millis(0, &chance).into_uuid())
}
