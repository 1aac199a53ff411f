//! `fullsend suppressions`: who is not written to.
//!
//! The list knows people by the hash of their address. It is changed in one commit with the order that says so on `fullsend:control`, whether
//! `serve` runs or not; the gate puts it on record. Must never print an address that was not typed in.

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use color_eyre::eyre::eyre;
use serde_json::json;

use super::Context;
use super::output::{OK, Usage};
use crate::bus::sender::commit_patiently;
use crate::bus::{Commit, Expect, Key, Op, Origin, Outcome, SharedBus, State, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{Control, SetSuppression};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::CONTROL;
use crate::contracts::{Trust, keys};
use crate::experiments::outreach;
use crate::memory::forget;

/// How long an unreachable bus is asked again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Keys of one call.
const PAGE: usize = 500;

/// Shows and changes who is not written to
///
/// Whoever unsubscribes, bounces or is forgotten comes onto the list by itself. People are named by the hash of their address (SHA-256, in
/// lower case), so the list tells nobody who they are; `add` and `remove` take addresses.
///
/// Example: fullsend suppressions add grace@one.example --reason "asked by telephone"
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Who is on it, since when and why
    List,
    /// Writes to somebody no more
    Add {
        /// The addresses
        #[arg(value_name = "ADDRESS", required = true)]
        addresses: Vec<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Lets somebody be written to again
    Remove {
        /// The addresses
        #[arg(value_name = "ADDRESS", required = true)]
        addresses: Vec<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

impl Args {
    /// Whether it changes anything, which is worth a log.
    pub(super) fn changes(&self) -> bool {
        matches!(self.action, Some(Action::Add { .. } | Action::Remove { .. }))
    }
}

/// Does it.
///
/// # Errors
/// Where the bus cannot be used, or an address is none.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| act(args, &super::operator(), cx, bus).await)
}

async fn act(args: &Args, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let (addresses, reason, lifted) = match &args.action {
        None | Some(Action::List) => return list(cx, bus).await,
        Some(Action::Add { addresses, reason }) => (addresses, reason, false),
        Some(Action::Remove { addresses, reason }) => (addresses, reason, true),
    };
    // All are looked at before one is changed.
    let addresses = addresses.iter().map(|it| address(it)).collect::<Result<Vec<_>, _>>()?;
    let mut people = Vec::new();
    for address in &addresses {
        let order =
            SetSuppression { person: keys::person(address), lifted, reason: reason.clone(), by: Some(by.to_owned()) };
        let changed = set(&order, cx, bus).await?;
        people.push(json!({ "address": address, "person": order.person, "changed": changed }));
        if !cx.out.is_json() {
            let what = match (lifted, changed) {
                (false, true) => "is not written to any more",
                (false, false) => "was on the list already",
                (true, true) => "may be written to again",
                (true, false) => "was not on the list",
            };
            cx.out.text(&format!("{address} {what}"))?;
        }
    }
    if cx.out.is_json() {
        cx.out.json(&json!({ "suppressed": !lifted, "people": people }))?;
    }
    Ok(OK)
}

/// An address as it is counted: in lower case.
///
/// # Errors
/// Where it is none.
pub(super) fn address(text: &str) -> Result<String, Usage> {
    outreach::address(text).ok_or_else(|| Usage(format!("`{}` is no mail address", sanitize_line(text, 80))))
}

/// Changes the list with the order; false where it was so already.
///
/// # Errors
/// Where it cannot be done.
pub(super) async fn set(order: &SetSuppression, cx: &Context, bus: &SharedBus) -> color_eyre::Result<bool> {
    let key = Key::new(keys::suppression(&order.person)?);
    let found = bus.get(&key).await?;
    // Who left and is forgotten now is suppressed for that: runs under way take them out by it.
    let is_forgotten = |reason: Option<&str>| reason == Some(forget::REASON);
    let former = found.as_ref().and_then(State::document).and_then(|it| it.get("reason"));
    let is_news = !order.lifted && is_forgotten(order.reason.as_deref()) && !is_forgotten(former);
    if found.is_some() != order.lifted && !is_news {
        return Ok(false);
    }
    let origin = Origin::new(Arc::clone(&cx.clock), Arc::clone(&cx.ids), Trust::Operator);
    let message = origin.compose::<grants::ControlRoom, _>(CONTROL, Control::from(order.clone()))?;
    let once = Some(message.envelope.id.to_string());
    let change = if order.lifted {
        Op::Delete { key, expect: Expect::Any }
    } else {
        let reason = order.reason.clone().unwrap_or_else(|| "by hand".to_owned());
        let fields = [("reason", Some(reason)), ("at", Some(rfc3339(cx.clock.now()))), ("by", order.by.clone())];
        let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Clear }
    };
    let unit = Commit { once, ..Commit::of(vec![change, Op::Append(message)]) };
    match commit_patiently(bus, unit, PATIENCE).await? {
        Outcome::Committed(_) | Outcome::Duplicate(_) => Ok(true),
        Outcome::Refused(refusal) => Err(refusal.into()),
        other => Err(eyre!("the list was not changed: {other:?}")),
    }
}

async fn list(cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = bus.scan("suppressions:", cursor, PAGE).await?;
        for (key, state) in page.iter().zip(bus.get_many(&page, None).await?) {
            if let Some(State::Hash(document)) = state? {
                let person = key.as_str().trim_start_matches("suppressions:").to_owned();
                let get = |name: &str| document.get(name).map(|text| sanitize_line(text, 120)).unwrap_or_default();
                found.push([get("at"), get("reason"), get("by"), person]);
            }
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    found.sort();
    if cx.out.is_json() {
        let people = found
            .iter()
            .map(|[at, reason, by, person]| json!({ "person": person, "at": at, "reason": reason, "by": by }));
        cx.out.json(&json!({ "suppressions": people.collect::<Vec<_>>() }))?;
    } else if found.is_empty() {
        cx.out.text("nobody is on the list")?;
    } else {
        let rows: Vec<_> = found
            .into_iter()
            .map(|[at, reason, by, person]| [at, reason, by, person.chars().take(16).collect()])
            .collect();
        cx.out.table(["SINCE", "WHY", "BY", "PERSON"], &rows)?;
    }
    Ok(OK)
}
