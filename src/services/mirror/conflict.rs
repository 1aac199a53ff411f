//! A person and the team changed the same place: both texts are kept, and a person chooses.
//!
//! Owns how that is offered. The file's text becomes a version, and the note's own text the one after it, in one commit with the
//! proposal: the note stays as it was, and nothing is lost whatever comes of the proposal.

use serde_json::{Map, Value};

use super::{Holder, Step, stepped};
use crate::approvals::{self, ProposeError, Wanted};
use crate::bus::{BusError, Draft, Op, Outcome};
use crate::contracts::channel::grants;
use crate::contracts::messages::{Intent, Proposals, RiskClass, Severity};
use crate::contracts::notes::NoteChange;
use crate::contracts::wiring::PROPOSALS;
use crate::contracts::{ServiceName, Trust};
use crate::memory::{MergeConflict, NoteEdit, NoteState};

impl Holder<'_> {
    pub(super) async fn offer(&mut self, conflict: MergeConflict, current: &NoteState) -> Result<Step, BusError> {
        let name = conflict.name;
        let path = self.file(name);
        let collides = format!("edited in the file; collides with version {}", current.version);
        let back = format!("version {} again, until somebody chooses", current.version);
        let offered = NoteEdit::new(current.clone(), conflict.theirs.clone(), collides);
        let Some(offered) = self.edit(offered, &path).await? else { return Ok(Step::Settled) };
        let kept = NoteEdit::new(offered.after(), conflict.ours.clone(), back);
        let Some(kept) = self.edit(kept, &path).await? else { return Ok(Step::Settled) };

        let mut ops = offered.ops(&self.author(super::OPERATOR));
        ops.extend(kept.ops(&self.author(ServiceName::Memory.as_str())));
        let message = format!(
            "{} and the note were changed in the same place. The note stays; the file's text is version {}, and is proposed",
            path.display(),
            offered.version()
        );
        let fix = format!(
            "`fullsend notes diff {name} {} {}` shows both; answer the proposal, or `fullsend notes revert {name} {}` takes the file's",
            kept.version(),
            offered.version(),
            offered.version()
        );
        ops.extend(self.alert_op(&format!("conflict:{name}:{}", offered.version()), Severity::High, message, &fix));
        ops.extend(self.proposal(&conflict, kept.version(), offered.version()).await?);
        match self.commit(ops).await? {
            Outcome::Committed(_) => self.write(name, &conflict.theirs, &kept.after()).await,
            outcome => Ok(stepped(&outcome)),
        }
    }

    /// The file's text, proposed; with all that fits into a message. None where not even the text does: the alert says how to take it.
    async fn proposal(&self, conflict: &MergeConflict, base: u64, version: u64) -> Result<Option<Op>, BusError> {
        let name = conflict.name;
        let change = NoteChange::Rewrite { text: conflict.theirs.clone(), base };
        let mut details = Map::new();
        details.insert("version_of_the_file".to_owned(), Value::from(version));
        details.insert("version_of_the_note".to_owned(), Value::from(base));
        let mut full = details.clone();
        full.insert("file".to_owned(), Value::from(conflict.theirs.as_str()));
        full.insert("note".to_owned(), Value::from(conflict.ours.as_str()));
        full.insert("marked".to_owned(), Value::from(conflict.marked.as_str()));
        for details in [full, details] {
            let wanted = Wanted {
                proposer: ServiceName::Memory,
                title: format!("Take the {name} from its file"),
                reason: format!("{conflict}. Yes: the file's text; no: the note stays"),
                intents: vec![Intent::Note { name, change: change.clone() }],
                facts: Vec::new(),
                details,
                cost_usd: None,
                trust: Trust::Operator,
            };
            let mut proposal = match approvals::propose(self.bus(), wanted).await {
                Ok(proposal) => proposal,
                Err(ProposeError::Bus(err)) => return Err(err),
                Err(ProposeError::Bad(err)) => {
                    tracing::error!(%err, "a conflict could not be proposed");
                    return Ok(None);
                }
            };
            // Whoever wrote the two texts, somebody must choose.
            proposal.class = proposal.class.max(RiskClass::Reversible);
            let draft = Draft::new(Proposals::from(proposal)).subject(format!("notes:{name}"));
            if let Ok(message) = self.origin.compose::<grants::Memory, _>(PROPOSALS, draft) {
                return Ok(Some(Op::Append(message)));
            }
        }
        Ok(None)
    }
}
