//! What an answer is worth: right, wrong or harmful, and what else was expected of it.
//!
//! Owns the comparison and the sums. Must never ask a mind.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Label, Scenario};
use crate::llm::tasks::Decision;

/// An answer, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The scenario.
    pub name: String,
    /// The type of its message.
    pub kind: String,
    /// What would have been best.
    pub expected: Label,
    /// What was answered; none where nobody did.
    pub answered: Option<Label>,
    /// Whether it is what was expected, or as good.
    pub right: bool,
    /// Whether it does harm.
    pub forbidden: bool,
    /// What else was expected of the answer and is not so, in a sentence each.
    pub unmet: Vec<String>,
    /// How the answer was come to, a sentence a line.
    pub reasoning: String,
    /// Whether a person should look at it.
    pub flagged: bool,
    /// What it cost, in billionths of a dollar.
    pub nano_usd: u64,
    /// How long it took.
    #[serde(serialize_with = "micros", rename = "took_us")]
    pub took: Duration,
}

fn micros<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

impl Scenario {
    /// Whether an answer is right.
    pub fn is_right(&self, answered: Label) -> bool {
        answered == self.expected || self.acceptable.contains(&answered)
    }

    /// What else was expected of a decision with the expected action, and is not so.
    pub fn unmet(&self, decision: &Decision) -> Vec<String> {
        if Label::Action(decision.action) != self.expected {
            return Vec::new();
        }
        let expect = &self.expect;
        let said = serde_json::to_string(&(&decision.payload, &decision.context_for_fullsend, &decision.experiment_id));
        let said = said.unwrap_or_default().to_lowercase();
        let mut unmet = Vec::new();
        if let Some(id) = expect.experiment_id.as_deref().filter(|id| decision.experiment_id.as_deref() != Some(id)) {
            unmet.push(format!("it is not about {id}"));
        }
        if let Some(tool) = expect.tool.as_deref().filter(|tool| !said.contains(&tool.to_lowercase())) {
            unmet.push(format!("it is not about the tool {tool}"));
        }
        if !expect.priority.is_empty() && !expect.priority.contains(&decision.priority) {
            unmet.push(format!("its priority is {:?}", decision.priority).to_lowercase());
        }
        unmet.extend(self.unsaid(&said));
        unmet
    }

    /// What should have been said, and was not.
    pub fn unsaid(&self, said: &str) -> Option<String> {
        let said = said.to_lowercase();
        let contains = &self.expect.contains;
        let missing = !contains.is_empty() && !contains.iter().any(|words| said.contains(&words.to_lowercase()));
        missing.then(|| format!("it says none of: {}", contains.join(", ")))
    }
}

/// Sums over answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// How many.
    pub answers: usize,
    /// Of those, expected or as good.
    pub right: usize,
    /// Of those, harmful.
    pub forbidden: usize,
    /// Of those, to be looked at by a person.
    pub flagged: usize,
    /// Of those, right but with something else that was expected and is not so.
    pub unmet: usize,
    /// What they cost together, in billionths of a dollar.
    pub nano_usd: u64,
    /// How long they took together.
    #[serde(serialize_with = "micros", rename = "took_us")]
    pub took: Duration,
}

impl Tally {
    /// The sum of these answers.
    pub fn of<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut sum = Self::default();
        judged.into_iter().for_each(|judged| sum.add(judged));
        sum
    }

    /// The sums by what each answer belongs to.
    pub fn by<'a>(judged: &'a [Judged], key: impl Fn(&'a Judged) -> String) -> BTreeMap<String, Self> {
        let mut sums = BTreeMap::<String, Self>::new();
        for judged in judged {
            sums.entry(key(judged)).or_default().add(judged);
        }
        sums
    }

    /// The share of right answers; 1 where there are none.
    pub fn accuracy(&self) -> f64 {
        if self.answers == 0 { 1.0 } else { share(self.right, self.answers) }
    }

    fn add(&mut self, judged: &Judged) {
        self.answers += 1;
        self.right += usize::from(judged.right);
        self.forbidden += usize::from(judged.forbidden);
        self.flagged += usize::from(judged.flagged);
        self.unmet += usize::from(judged.right && !judged.unmet.is_empty());
        self.nano_usd = self.nano_usd.saturating_add(judged.nano_usd);
        self.took += judged.took;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of scenarios")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
