//! Whom an experiment writes to, as far as that can be known before it runs.
//!
//! Must never name anybody whom a run would leave out: the list is read as the run reads it, and who is not to be written to is not shown.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::Fullsend;
use crate::bus::{Context, Failure, Key};
use crate::contracts::channel::grants;
use crate::contracts::keys;
use crate::experiments::check::source_of;
use crate::experiments::outreach::{address, field};
use crate::experiments::spec::{Mode, OutreachChannel, Spec};
use crate::experiments::steps::{By, SENDER, plan};
use crate::services::wording::line;
use crate::tools::shipped::{Leads, leads};

/// People who are looked at, so that some can be shown.
const LOOKED_AT: usize = 50;

/// Whom it writes to.
pub(super) struct People {
    /// In words: how many, and where from.
    pub(super) words: String,
    /// The first of them; empty where only a run finds them.
    pub(super) first: Vec<Map<String, Value>>,
}

impl Fullsend {
    /// The people of an experiment.
    pub(super) async fn people(&self, spec: &Spec, cx: &Context<grants::Fullsend>) -> Result<People, Failure> {
        let planned = plan(spec).unwrap_or_default();
        let sends = planned.iter().find(|it| it.step.tool == SENDER || it.by == By::Person);
        let by_person = sends.is_some_and(|it| it.by == By::Person);
        let said_by = if by_person { " (a person is asked to write to them)" } else { "" };
        if let Some(Value::Array(people)) = sends.and_then(|it| it.step.params.get("recipients")) {
            let words = format!("at most {}{said_by}", people.len());
            return Ok(People { words, first: reachable(spec, people, cx).await? });
        }
        if let Some(list) = source_of(spec).filter(|step| step.tool == "csv_leads") {
            return Ok(match self.leads(list.params.clone(), cx).await {
                Ok((path, leads)) => {
                    let words = format!("{}{said_by}", counted(&leads, &path));
                    People { words, first: reachable(spec, &leads.people, cx).await? }
                }
                Err(why) => People { words: format!("not known: {}{said_by}", line(&why, 300)), first: Vec::new() },
            });
        }
        let size = spec.target.size.map_or_else(|| "not known".to_owned(), |size| format!("at most {size}"));
        let found = match spec.mode {
            Mode::Simulation => "made-up people: nobody is written to".to_owned(),
            _ => format!(
                "found by the run itself: {}",
                spec.target.source.as_deref().map(|it| line(it, 160)).unwrap_or_default()
            ),
        };
        Ok(People { words: format!("{size}, {found}{said_by}"), first: Vec::new() })
    }

    /// The people of a list, as a run would have them, and where it is.
    async fn leads(
        &self,
        mut params: Map<String, Value>,
        cx: &Context<grants::Fullsend>,
    ) -> Result<(PathBuf, Leads), String> {
        let path = params.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (folders, now) = (self.folders.clone(), cx.now());
        let read = move || {
            let mut candidates =
                std::iter::once(PathBuf::from(&path)).chain(folders.iter().map(|folder| folder.join(&path)));
            let whole = candidates.find_map(|path| path.canonicalize().ok());
            let whole = whole.ok_or_else(|| format!("{path} cannot be read now"))?;
            params.insert("path".to_owned(), json!(whole.display().to_string()));
            Ok((whole, leads(&params, now)?))
        };
        tokio::task::spawn_blocking(read).await.map_err(|err| err.to_string())?
    }
}

fn counted(leads: &Leads, path: &std::path::Path) -> String {
    let Leads { people, read, duplicates, filtered_out, bad } = leads;
    let left = [(filtered_out, "do not pass its filters"), (duplicates, "are in it twice"), (bad, "cannot be used")];
    let left: Vec<_> = left.iter().filter(|(n, _)| **n > 0).map(|(n, why)| format!("{n} {why}")).collect();
    let left = if left.is_empty() { String::new() } else { format!(" ({})", left.join(", ")) };
    format!("at most {} of {read} in {}{left}", people.len(), path.display())
}

/// The first of them whom mail can reach, each once, without those who are not to be written to.
async fn reachable(
    spec: &Spec,
    people: &[Value],
    cx: &Context<grants::Fullsend>,
) -> Result<Vec<Map<String, Value>>, Failure> {
    let by_mail = spec.outreach.as_ref().is_some_and(|outreach| outreach.channel == OutreachChannel::Email);
    let mut first: Vec<(String, &Map<String, Value>)> = Vec::new();
    for person in people.iter().filter_map(Value::as_object) {
        let address = field(person, "email").and_then(|text| address(&text)).unwrap_or_default();
        let is_new = address.is_empty() || !first.iter().any(|(known, _)| *known == address);
        if is_new && !(by_mail && address.is_empty()) {
            first.push((address, person));
        }
        if first.len() >= LOOKED_AT {
            break;
        }
    }
    let keys: Vec<Key> =
        first.iter().filter_map(|(address, _)| keys::suppression(&keys::person(address)).ok()).map(Key::new).collect();
    let found = if keys.is_empty() { Vec::new() } else { cx.bus().get_many(&keys, Some(&["reason"])).await? };
    // What cannot be read may be somebody who said no.
    let may = found.into_iter().map(|found| matches!(found, Ok(None)));
    Ok(first.into_iter().zip(may).filter(|(_, may)| *may).map(|((_, person), _)| person.clone()).collect())
}
