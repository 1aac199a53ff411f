//! Effects: what the model wants, done.
//!
//! Must never wait for the bus in the loop: what is said is said beside it, and its outcome comes back.

mod deeds;

use std::sync::Arc;
use std::time::Duration;

use crossterm::clipboard::CopyToClipboard;
use crossterm::execute;
use nix::sys::signal::{Signal, raise};
use tokio::sync::watch;

use super::{Loop, Memory};
use crate::bus::{Origin, Outgoing, SendError, Sender};
use crate::contracts::channel::grants;
use crate::contracts::messages::{ApprovalVerdicts, Control, DiscordRaw};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{APPROVAL_VERDICTS, CONTROL};
use crate::contracts::{Body, ChannelName, ServiceName, TraceId, Trust, keys};
use crate::tui::app::{Kept, Outcome, Saying, Ticket};
use crate::tui::feed::{back, chain};
use crate::tui::replay::Seek;
use crate::tui::store::{Found, Item, ReadBack};
use crate::tui::terminal::{self, editor};

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

impl Loop {
    /// Says something beside the loop.
    pub(super) fn say(&self, ticket: Ticket, saying: Saying) {
        let room = &self.room;
        // The model says nothing where there is none.
        let Some(bus) = &room.bus else { return };
        let origin = Origin::new(Arc::clone(&room.clock), Arc::clone(&room.ids), Trust::Operator);
        let sender = Sender::<grants::ControlRoom>::new(Arc::clone(bus), origin.clone(), PATIENCE);
        let (what, digest) = match &saying {
            Saying::Control(order) => (worded(order), None),
            Saying::Verdict(verdict) => (format!("{:?}", verdict.verdict).to_lowercase(), verdict.digest.clone()),
            Saying::Words(_) => ("your message".to_owned(), None),
            Saying::Body(channel, body) => {
                let kind = channel.check(body).unwrap_or_default().replace('_', " ");
                let gist = crate::contracts::gist::gist(body).line(80);
                (format!("{kind} on {}: {gist}", channel.short()), None)
            }
        };
        // A second try of the same form is the same message.
        let once = format!("room:{}:{}:{}", std::process::id(), room.model.about.operator, ticket.0);
        let outcomes = self.outcomes.clone();
        let operator = room.model.about.operator.clone();
        tokio::spawn(async move {
            let said = match compose(&origin, saying, &operator) {
                Ok(message) => {
                    sender.send_once(format!("{once}:{}", message.envelope.at.timestamp_millis()), message).await
                }
                Err(err) => Err(err),
            };
            let failed = said.err().map(|err| sanitize_line(&err.to_string(), 200));
            outcomes.send(Outcome::Said { ticket, what, failed, digest }).await.ok();
        });
    }

    /// Reads a chain beside the loop.
    pub(super) fn read_chain(&self, trace: TraceId) {
        let Some(bus) = self.room.bus.clone() else { return self.seek(Seek::Chain(trace)) };
        let (queue, outcomes) = (self.queue.clone(), self.outcomes.clone());
        tokio::spawn(async move {
            match chain::read(&bus, trace, chain::Bounds::DEFAULT).await {
                Ok(chain) => drop(queue.send(vec![Item::Chain(Box::new(chain))]).await),
                Err(err) => {
                    let why = sanitize_line(&err.to_string(), 200);
                    let failed = Outcome::Failed(format!("the chain could not be read: {why}; t reads it again"));
                    drop(outcomes.send(failed).await);
                }
            }
        });
    }

    /// Goes elsewhere in a replay. What does not fit beside what waits is left out: somebody holds a key down.
    pub(super) fn seek(&self, seek: Seek) {
        if let Some(seeks) = &self.seeks {
            seeks.try_send(seek).ok();
        }
    }

    /// Reads what is older than a list keeps, beside the loop, instead of what was being read for it.
    pub(super) fn read_back(&mut self, wanted: ReadBack) {
        let source = wanted.source;
        let (bus, queue) = (self.room.bus.clone(), self.queue.clone());
        let reading = tokio::spawn(async move {
            let Some(bus) = bus else {
                // A replay has all that there is in its lists.
                let found = Box::new(Found { is_end: true, is_done: true, ..Found::default() });
                queue.send(vec![Item::Found { source, serial: wanted.serial, found }]).await.ok();
                return;
            };
            if !wanted.filter.is_empty() {
                tokio::time::sleep(back::RESTS).await;
            }
            back::read(bus, wanted, queue).await;
        });
        if let Some(former) = self.readings.insert(source, reading.abort_handle()) {
            former.abort();
        }
    }

    /// Gives the terminal to the shell, until it gives it back.
    pub(super) fn suspend(&self) -> color_eyre::Result<()> {
        let Some(guard) = &self.guard else { return Ok(()) };
        terminal::give_back();
        raise(Signal::SIGTSTP)?;
        guard.retake()?;
        terminal::mouse(self.room.model.has_mouse)?;
        Ok(())
    }

    /// Lets the person edit a text in $EDITOR.
    pub(super) async fn edit(&mut self, text: String) -> color_eyre::Result<()> {
        terminal::give_back();
        let edited = editor::edit(&self.room.home, &text).await;
        if let Some(guard) = &self.guard {
            guard.retake()?;
            terminal::mouse(self.room.model.has_mouse)?;
        }
        let edited = edited.map_err(|err| sanitize_line(&format!("{err:#}"), 200));
        self.outcomes.try_send(Outcome::Edited(edited)).ok();
        Ok(())
    }
}

/// An order in words: what, and about whom.
fn worded(order: &Control) -> String {
    let name = order.type_name().replace('_', " ");
    let fields = serde_json::to_value(order).unwrap_or_default();
    let about = ["experiment_id", "alert_id", "run_id", "scope"].iter().find_map(|field| fields[*field].as_str());
    about.map_or_else(|| name.clone(), |about| format!("{name} {}", sanitize_line(about, 80)))
}

/// A message of the operator's.
fn compose(origin: &Origin, saying: Saying, operator: &str) -> Result<Outgoing, SendError> {
    Ok(match saying {
        Saying::Control(order) => origin.compose::<grants::ControlRoom, _>(CONTROL, order)?,
        Saying::Verdict(verdict) => {
            origin.compose::<grants::ControlRoom, _>(APPROVAL_VERDICTS, ApprovalVerdicts::from(verdict))?
        }
        Saying::Words(words) => {
            let envelope = origin.envelope("discord_message", ServiceName::ControlRoom.as_str());
            let body = DiscordRaw::by_operator(words, operator, &envelope).write()?;
            Outgoing::new(ChannelName::DiscordRaw, envelope, body)?
        }
        // The operator may say anything on any channel, as `publish` does.
        Saying::Body(channel, body) => {
            let mut envelope = origin.envelope(channel.check(&body)?, ServiceName::ControlRoom.as_str());
            envelope.subject = subject(&body);
            Outgoing::new(channel, envelope, body)?
        }
    })
}

/// Writes down what the next start should know, one after the other, until nobody has anything more to keep; what is overtaken is left out.
pub(super) async fn keep(mut memory: Memory, mut kept: watch::Receiver<Kept>) {
    while kept.changed().await.is_ok() {
        let newest = kept.borrow_and_update().clone();
        let writing = tokio::task::spawn_blocking(move || (memory.keep(&newest), memory));
        let Ok((written, same)) = writing.await else { return };
        memory = same;
        if let Err(err) = written {
            tracing::warn!(%err, "what the room should remember was not written");
        }
    }
}

/// The experiment that a body is about.
fn subject(body: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct About {
        experiment_id: Option<String>,
    }
    let id = serde_json::from_str::<About>(body).ok()?.experiment_id?;
    keys::check_id(&id).is_ok().then_some(id)
}

/// Puts text on the clipboard, as the terminal lets us (OSC 52). It is encoded: whatever it holds does nothing on its way.
pub(super) fn copy(text: &str) -> std::io::Result<()> {
    execute!(std::io::stdout(), CopyToClipboard::to_clipboard_from(text))
}
