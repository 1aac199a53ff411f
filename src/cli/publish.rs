//! `fullsend publish`: says something on a channel, in the operator's name.
//!
//! Owns the check before it, and how a text becomes a body. Must never change a body that is given as JSON.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use color_eyre::Section;
use color_eyre::eyre::{Report, eyre};
use serde_json::json;

use super::output::{OK, Usage};
use super::{Context, given};
use crate::bus::sender::commit_patiently;
use crate::bus::{Commit, EntryId, Op, Origin, Outcome, Outgoing, SharedBus};
use crate::contracts::body::{BODY_LIMIT, can_be_announced, forced_kind};
use crate::contracts::messages::DiscordRaw;
use crate::contracts::{
    Body, ChannelKind, ChannelName, Envelope, MessageId, Priority, ServiceName, ShapeError, TraceId, Trust,
};

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says something on a channel
///
/// The body is a JSON object as `fullsend schema` describes it, and is sent as it is. It is checked first. On `discord_raw`, plain
/// text is a chat message of yours. What the wiring table lets nobody but services say wants `--force`; what only the team's own word
/// counts for (proposals, approvals, alerts, audit, dead letters) cannot be said.
///
/// Example: fullsend publish metrics - < event.json
#[derive(clap::Args)]
pub struct Args {
    /// The channel, with or without `fullsend:`
    pub channel: ChannelName,

    /// The body; `-`, or nothing, for standard input
    #[arg(value_name = "JSON|-")]
    pub body: Option<String>,

    /// Send it even if it does not fit the channel, or is not yours to say
    #[arg(long)]
    pub force: bool,

    /// How soon it wants to be handled: low, medium, high or urgent
    #[arg(long, value_parser = priority)]
    pub priority: Option<Priority>,

    /// The experiment, tool, workflow or approval it is about
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,

    /// Say it only if nothing was said with this key on the channel in the last day
    #[arg(long, value_name = "KEY")]
    pub once: Option<String>,
}

fn priority(text: &str) -> Result<Priority, String> {
    serde_json::from_value(json!(text)).map_err(|_| "it is one of low, medium, high, urgent".to_owned())
}

/// Says it.
///
/// # Errors
/// Where the body does not fit, or the bus does not take it.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    if args.body.is_none() && io::stdin().is_terminal() {
        return Err(Usage("no body: give it as an argument, pipe it in, or write `-` to type it".to_owned()).into());
    }
    let given = match args.body.as_deref() {
        None | Some("-") => given::read_all(io::stdin().lock(), "standard input")?,
        Some(text) => text.to_owned(),
    };
    // What does not fit is refused before anything is opened.
    let message = compose(args, given, &super::operator(), cx)?;
    super::with_bus(cx, async |bus| publish(args, message, cx, bus).await)
}

/// What was said, and where it is.
struct Said {
    channel: ChannelName,
    /// None for a notice, which is not kept.
    entry: Option<EntryId>,
    id: MessageId,
    trace: TraceId,
    /// It was said before, with the same key.
    before: bool,
}

async fn publish(args: &Args, message: Outgoing, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let said = if args.channel.route().kind == ChannelKind::Notice {
        if args.once.is_some() {
            return Err(
                Usage(format!("{} carries notices, which are not kept: --once cannot hold", args.channel)).into()
            );
        }
        let Envelope { id, trace, .. } = message.envelope;
        bus.notify(message).await?;
        Said { channel: args.channel, entry: None, id, trace, before: false }
    } else {
        append(args, message, bus).await?
    };
    if cx.out.is_json() {
        cx.out.json(&json!({
            "channel": said.channel, "entry": said.entry, "id": said.id, "trace": said.trace, "before": said.before,
        }))?;
    } else {
        let entry = said.entry.map_or_else(|| "notice".to_owned(), |entry| entry.to_string());
        let before = if said.before { "  said before" } else { "" };
        cx.out.text(&format!("{}  {entry}  id {}  trace {}{before}", said.channel, said.id, said.trace))?;
    }
    Ok(OK)
}

async fn append(args: &Args, message: Outgoing, bus: &SharedBus) -> color_eyre::Result<Said> {
    let channel = args.channel;
    let Envelope { id, trace, .. } = message.envelope;
    let once = match &args.once {
        Some(key) => format!("publish:{}:{key}", channel.short()),
        None => id.to_string(),
    };
    let unit = Commit { once: Some(once), ..Commit::of(vec![Op::Append(message)]) };
    match commit_patiently(bus, unit, PATIENCE).await? {
        Outcome::Committed(entries) => Ok(Said { channel, entry: entries.first().copied(), id, trace, before: false }),
        Outcome::Duplicate(entries) => {
            let entry = entries.first().copied();
            let mut said = Said { channel, entry, id, trace, before: false };
            // An unanswered try of ours that had happened after all looks like a duplicate, too.
            if let Some(entry) = entry
                && let Some(stored) = crate::bus::entry::find(bus, channel, entry).await?
                && let Ok(then) = stored.message()
            {
                said =
                    Said { id: then.envelope.id, trace: then.envelope.trace, before: then.envelope.id != id, ..said };
            }
            Ok(said)
        }
        Outcome::Refused(refusal) => Err(eyre!("nothing was said: {refusal}")),
        other => Err(eyre!("nothing was said: {other:?}")),
    }
}

/// The message: checked, with its envelope.
fn compose(args: &Args, given: String, operator: &str, cx: &Context) -> color_eyre::Result<Outgoing> {
    let channel = args.channel;
    let origin = Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator);
    // The type comes with the check, below.
    let mut envelope = origin.envelope("", ServiceName::ControlRoom.as_str());
    envelope.priority = args.priority.unwrap_or_default();
    envelope.subject.clone_from(&args.subject);
    let body =
        if channel == ChannelName::DiscordRaw && is_plain(&given) { chat(given, operator, &envelope)? } else { given };
    if body.len() > BODY_LIMIT {
        return Err(ShapeError::TooLarge(body.len()).into());
    }
    may_speak(channel, args.force)?;
    let mut announce = true;
    envelope.kind = match check(channel, &body) {
        Ok(kind) => kind.into(),
        Err(_) if args.force => {
            // What cannot carry the envelope as its key `meta` would be heard as somebody else's bare body.
            announce = can_be_announced(&body);
            forced_kind(channel, &body).into()
        }
        Err(refused) => return Err(refused),
    };
    Ok(Outgoing { announce, ..Outgoing::new(channel, envelope, body)? })
}

/// Refuses what is not the operator's to say: on a channel of the team's own always, elsewhere unless it is forced.
fn may_speak(channel: ChannelName, force: bool) -> color_eyre::Result<()> {
    let own = ServiceName::ControlRoom;
    if !channel.believes(own.as_str()) {
        let by = own.to_string();
        let refused = Report::new(ShapeError::NotTheTeams { channel, by }).wrap_err("nothing was said");
        return Err(refused.suggestion("`fullsend approvals`, `hold`, `go` and `notes` say what an operator decides"));
    }
    let publishers = channel.route().publishers;
    if force || publishers.contains(&own) {
        return Ok(());
    }
    let names = publishers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let refused = eyre!("{channel} is not yours to speak on; nothing was said. The wiring table gives it to {names}");
    Err(refused.suggestion("`--force` says it all the same"))
}

/// Whether a text is meant as words: not JSON, nor an attempt at it.
fn is_plain(text: &str) -> bool {
    let text = text.trim_start();
    !text.is_empty() && !text.starts_with(['{', '[', '"']) && serde_json::from_str::<serde_json::Value>(text).is_err()
}

/// A chat message of the operator's.
fn chat(words: String, operator: &str, envelope: &Envelope) -> Result<String, ShapeError> {
    DiscordRaw::by_operator(words, operator, envelope).write()
}

/// The type of a body that fits its channel.
fn check(channel: ChannelName, body: &str) -> color_eyre::Result<&'static str> {
    if body.trim().is_empty() {
        return Err(advised(eyre!("the body is empty"), channel, None));
    }
    match channel.check(body) {
        Ok(_) if !can_be_announced(body) => {
            Err(eyre!("the body has a key `meta`, where its envelope travels").suggestion("Take the key out"))
        }
        Ok(kind) => Ok(kind),
        Err(err) => {
            let kind = match &err {
                ShapeError::Field { kind, .. } => Some(*kind),
                ShapeError::UnknownType { nearest, .. } => *nearest,
                _ => None,
            };
            let err = Report::new(err).wrap_err(format!("this does not fit {channel}; nothing was said"));
            Err(advised(err, channel, kind))
        }
    }
}

/// With the way to a body that fits.
fn advised(err: Report, channel: ChannelName, kind: Option<&'static str>) -> Report {
    let types = channel.route().types;
    let known =
        types.iter().find(|known| Some(known.name) == kind).or(if types.len() == 1 { types.first() } else { None });
    let advice = if let Some(known) = known {
        format!("`fullsend schema {}/{} --example` prints one that fits", channel.short(), known.name)
    } else {
        let names: Vec<_> = types.iter().map(|known| known.name).collect();
        format!("{channel} carries {}", names.join(", "))
    };
    err.suggestion(advice).suggestion("`--force` says it all the same")
}

#[cfg(test)]
mod tests;
