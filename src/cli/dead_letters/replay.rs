//! Replaying and dropping letters: what came of each one, told.

use serde_json::{Value, json};

use super::Context;
use crate::bus::letters::desk::{Desk, Done};
use crate::bus::letters::mark::Mark;
use crate::bus::{Entry, EntryId, SharedBus};

/// Says letters again, or drops them.
pub(super) struct Replayer<'a> {
    pub(super) cx: &'a Context,
    pub(super) bus: &'a SharedBus,
    /// Who does it.
    pub(super) by: &'a str,
    /// Also what was replayed or dropped already.
    pub(super) again: bool,
}

impl Replayer<'_> {
    fn desk(&self) -> Desk {
        let cx = self.cx;
        Desk {
            bus: self.bus.clone(),
            clock: cx.clock.clone(),
            ids: cx.ids.clone(),
            by: self.by.to_owned(),
            kept: cx.config.retention.age,
        }
    }

    /// Says a letter again, and tells what came of it. False where it could not be.
    pub(super) async fn replay(&self, id: EntryId, entry: Option<Entry>, mark: Mark) -> color_eyre::Result<bool> {
        let done = self.desk().replay(id, entry.as_ref(), &mark, self.again).await?;
        self.tell(id, done, &mark)
    }

    /// Marks a letter as dropped, and tells what came of it. False where it could not be.
    pub(super) async fn drop_letter(&self, id: EntryId, is_there: bool, mark: Mark) -> color_eyre::Result<bool> {
        let done = self.desk().drop_letter(id, is_there, &mark).await?;
        self.tell(id, done, &mark)
    }

    fn tell(&self, id: EntryId, done: Done, mark: &Mark) -> color_eyre::Result<bool> {
        let failed = |told: &str, reason: &str| self.report(id, false, "failed", told, json!({ "reason": reason }));
        match done {
            Done::Replayed { channel, entry, message, unfit } => {
                if let Some(err) = unfit {
                    let words = format!("note: {id} still does not fit {channel}, and may be given up again: {err}");
                    self.cx.out.remark(&words);
                }
                let place = entry.map(|entry| entry.to_string()).unwrap_or_default();
                let details = json!({ "channel": channel, "entry": entry, "message": message });
                self.report(id, true, "replayed", &format!("replayed on {channel} as {place}"), details)
            }
            Done::Dropped => self.report(id, true, "dropped", "dropped; `list --all` still shows it", json!({})),
            Done::Before => {
                let again = if self.again { "" } else { "; `replay --again` says it again" };
                let told = format!("nothing done: it was {}{again}", mark.told());
                self.report(id, true, "unchanged", &told, json!({ "mark": mark }))
            }
            Done::Missing => {
                let reason = "there is no such dead letter; `fullsend dead-letters list` shows them";
                failed(reason, reason)
            }
            Done::Impossible(reason) => failed(&format!("not replayed: {reason}"), &reason),
            Done::NotApplied(reason) => failed(&format!("nothing done: {reason}"), &reason),
        }
    }

    /// One line a letter: failures are remarks for people, and results for programs.
    fn report(&self, id: EntryId, well: bool, outcome: &str, told: &str, details: Value) -> color_eyre::Result<bool> {
        let out = &self.cx.out;
        if out.is_json() {
            let mut line = json!({ "id": id, "outcome": outcome });
            if let (Value::Object(line), Value::Object(details)) = (&mut line, details) {
                line.extend(details);
            }
            out.json(&line)?;
        } else if well {
            out.text(&format!("{id}  {told}"))?;
        } else {
            out.remark(&format!("error: {id}: {told}"));
        }
        Ok(well)
    }
}
