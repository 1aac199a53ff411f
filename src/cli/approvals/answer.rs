//! Answers, said on the bus: the gate acts on them.

use std::process::{Command, ExitCode};

use chrono::{DateTime, Utc};
use color_eyre::Section;
use color_eyre::eyre::{WrapErr, eyre};
use serde_json::json;

use super::{Ask, Context, With, find, show};
use crate::approvals::{self, ApprovalState, Record, policy};
use crate::bus::{Draft, SharedBus};
use crate::cli::given;
use crate::cli::handled::{self, Handled};
use crate::cli::output::{FAILED, OK, Usage};
use crate::config::private_file;
use crate::contracts::messages::{ApprovalVerdict, ApprovalVerdicts, Control, DropRule, Intent, RiskClass, Verdict};
use crate::contracts::wiring::{APPROVAL_VERDICTS, CONTROL};

/// The least that a digest must have been copied of.
const DIGEST_LEAST: usize = 12;

/// Gives answers in a person's name.
pub(super) struct Answerer<'a> {
    pub(super) by: &'a str,
    pub(super) ask: Ask,
    pub(super) cx: &'a Context,
    pub(super) bus: &'a SharedBus,
}

/// Until when and how often a day a rule holds.
type RuleEnds = (Option<DateTime<Utc>>, Option<u64>);

impl Answerer<'_> {
    pub(super) async fn approve(
        &self,
        ids: &[String],
        with: &With,
        rule: Option<RuleEnds>,
    ) -> color_eyre::Result<ExitCode> {
        let records = self.records(ids).await?;
        let outward = |record: &Record| record.proposal.class == RiskClass::Outward;
        if records.len() > 1 && records.iter().any(outward) {
            return Err(Usage("class 3 is answered one at a time".to_owned()).into());
        }
        if let Some((until, _)) = rule
            && records.iter().any(outward)
            && until.is_none_or(|until| until <= self.cx.clock.now())
        {
            return Err(
                Usage("a rule for class 3 needs `--until DATE`, and a date that is still to come".to_owned()).into()
            );
        }
        let mut failed = false;
        for record in records {
            if outward(&record) && !self.confirmed(&record, with).await? {
                self.cx.out.remark("nothing was said");
                return Ok(FAILED);
            }
            let (until, per_day) = rule.unwrap_or_default();
            let verdict = ApprovalVerdict {
                always: rule.is_some(),
                until,
                per_day,
                ..self.verdict(&record, Verdict::Approve, with)
            };
            failed |= !self.say(&record, verdict, ApprovalState::Approved).await?;
        }
        Ok(if failed { FAILED } else { OK })
    }

    pub(super) async fn deny(&self, ids: &[String], with: &With) -> color_eyre::Result<ExitCode> {
        let mut failed = false;
        for record in self.records(ids).await? {
            let verdict = self.verdict(&record, Verdict::Deny, with);
            failed |= !self.say(&record, verdict, ApprovalState::Denied).await?;
        }
        Ok(if failed { FAILED } else { OK })
    }

    /// Lets a rule end.
    pub(super) async fn drop_rule(&self, rule_id: &str, reason: Option<String>) -> color_eyre::Result<ExitCode> {
        let order = Control::from(DropRule { rule_id: rule_id.to_owned(), reason, by: Some(self.by.to_owned()) });
        let handled = handled::say(self.cx, self.bus, CONTROL, order, rule_id).await?;
        let is_there = policy::rules(self.bus).await?.iter().any(|rule| rule.id == rule_id);
        let is_later = handled == Handled::Later;
        if self.cx.out.is_json() {
            self.cx.out.json(&json!({ "rule": rule_id, "dropped": !is_there, "handled": !is_later }))?;
        } else {
            match handled {
                Handled::Later => {
                    self.cx.out.text("said; no gate runs now, it takes effect when `fullsend serve` does")?;
                }
                Handled::Yes(words) => words.iter().try_for_each(|words| self.cx.out.text(words))?,
            }
        }
        Ok(if is_later || !is_there { OK } else { FAILED })
    }

    pub(super) async fn edit(&self, id: &str, file: Option<&str>, with: &With) -> color_eyre::Result<ExitCode> {
        let record = find(self.bus, id).await?;
        let text = match file {
            Some(name) => given::text(Some(name))?,
            None => self.edited(&record)?,
        };
        let mut reader = serde_json::Deserializer::from_str(&text);
        let intents: Vec<Intent> = serde_path_to_error::deserialize(&mut reader)
            .wrap_err("these are no intents; nothing was said")
            .suggestion("`fullsend approvals show ID --json` has them under `approval.proposal.intents`")?;
        if intents == record.proposal.intents {
            self.cx.out.remark("nothing was changed, and nothing was said; `approve` says yes to it as it is");
            return Ok(FAILED);
        }
        approvals::check(&record.proposal.proposer, &intents).wrap_err("this cannot be done; nothing was said")?;
        if record.proposal.class == RiskClass::Outward && !self.confirmed(&record, with).await? {
            self.cx.out.remark("nothing was said");
            return Ok(FAILED);
        }
        let verdict = ApprovalVerdict { edited: Some(intents), ..self.verdict(&record, Verdict::Approve, with) };
        let done = self.say(&record, verdict, ApprovalState::Approved).await?;
        Ok(if done { OK } else { FAILED })
    }

    /// The intents as the person's editor left them.
    fn edited(&self, record: &Record) -> color_eyre::Result<String> {
        let editor =
            ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.trim().is_empty()));
        let editor = editor.ok_or_else(|| {
            Usage("no editor is named by VISUAL or EDITOR; give the intents with `--file`".to_owned())
        })?;
        self.cx.config.make_home()?;
        let path = self.cx.config.home.join(format!("edit-{}.json", record.proposal.approval_id));
        let mut file = private_file(&path)?;
        serde_json::to_writer_pretty(&mut file, &record.proposal.intents)?;
        drop(file);
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or_default();
        let ended = Command::new(program).args(words).arg(&path).status();
        let text = std::fs::read_to_string(&path);
        let _ = std::fs::remove_file(&path);
        let ended = ended.wrap_err_with(|| format!("`{program}` cannot be started"))?;
        if !ended.success() {
            return Err(eyre!("`{program}` ended with {ended}; nothing was said"));
        }
        text.wrap_err_with(|| format!("{} cannot be read", path.display()))
    }

    async fn records(&self, ids: &[String]) -> color_eyre::Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        for id in ids {
            let record = find(self.bus, id).await?;
            if !records.iter().any(|known| known.proposal.approval_id == record.proposal.approval_id) {
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Whether a person has seen this proposal of class 3: by the digest that he copied, or because he says so now.
    async fn confirmed(&self, record: &Record, with: &With) -> color_eyre::Result<bool> {
        if let Some(digest) = &with.digest {
            let plain = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
            let (given, shown) = (plain(digest), plain(&record.proposal.digest));
            if given.len() < DIGEST_LEAST || !shown.starts_with(&given) {
                return Err(eyre!("the digest is not that of what waits now")
                    .suggestion("`fullsend approvals show ID` shows it; it may have changed"));
            }
            return Ok(true);
        }
        let Some(ask) = self.ask else {
            let id = &record.proposal.approval_id;
            let how = format!("`fullsend approvals show {id}` shows it; repeat with its `--digest`");
            return Err(
                Usage(format!("{id} is of class 3, and there is nobody to ask whether it was seen. {how}")).into()
            );
        };
        let changed = approvals::differences(self.bus, &record.proposal.facts).await?;
        self.cx.out.remark(&show::described(record, &changed, &[], self.cx.clock.now()));
        self.cx.out.remark("Shall this happen? [y/N]");
        let answer = tokio::task::spawn_blocking(ask).await??;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
    }

    fn verdict(&self, record: &Record, verdict: Verdict, with: &With) -> ApprovalVerdict {
        ApprovalVerdict {
            approval_id: record.proposal.approval_id.clone(),
            verdict,
            digest: Some(record.proposal.digest.clone()),
            reason: with.reason.clone(),
            edited: None,
            always: false,
            until: None,
            per_day: None,
            by: Some(self.by.to_owned()),
            surface: Some("control_room".to_owned()),
        }
    }

    /// Says a verdict and what came of it. True where it is so, or will be looked at later.
    async fn say(&self, record: &Record, verdict: ApprovalVerdict, wanted: ApprovalState) -> color_eyre::Result<bool> {
        let id = &record.proposal.approval_id;
        let draft = Draft::new(ApprovalVerdicts::from(verdict)).subject(id.as_str());
        let handled = handled::say(self.cx, self.bus, APPROVAL_VERDICTS, draft, id).await?;
        let now = Record::load(self.bus, id).await?.unwrap_or_else(|| record.clone());
        let (is_later, words) = match handled {
            Handled::Later => (true, Vec::new()),
            Handled::Yes(words) => (false, words),
        };
        let out = &self.cx.out;
        if out.is_json() {
            out.json(&json!({
                "approval_id": id, "handled": !is_later, "state": now.state, "by": now.by, "reason": now.reason,
                "superseded_by": now.superseded_by, "said": words,
            }))?;
        } else if is_later {
            out.text(&format!("{id}: said; no gate runs now, it is handled when `fullsend serve` does"))?;
        } else if words.is_empty() {
            let next = now.superseded_by.as_ref().map(|next| format!("; {next} is asked instead")).unwrap_or_default();
            let by = now.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            let why = now.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            out.text(&format!("{id}: {}{by}{why}{next}", now.state))?;
        } else {
            words.iter().try_for_each(|words| out.text(words))?;
        }
        let ours = now.by.as_deref() == Some(self.by);
        Ok(is_later || now.state == wanted && ours)
    }
}
