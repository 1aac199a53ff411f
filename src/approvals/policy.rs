//! Policy: what goes without asking, by the settings and by the operator's rules.
//!
//! Owns the columns of CONTRACTS "Risk" and the documents `policy:{rule}`. Must never let a rule cover what always asks, unless it
//! is a dated rule of the operator's that names it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::bus::{BusError, Document, Expect, Key, Op, SharedBus, State, Ttl};
use crate::config::Mode;
use crate::contracts::Trust;
use crate::contracts::canonical::digest;
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::keys;
use crate::contracts::messages::{Proposal, RiskClass};

/// Keys read at a time.
const PAGE: usize = 1_000;
/// What goes on autopilot counts against this document.
const AUTOPILOT: &str = "autopilot";

/// What the policy says of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It goes. The text names what lets it: `guarded: class 1`, `rule r_…`; the key is a counter of the day, if there is a limit.
    Goes {
        /// What lets it.
        policy: String,
        /// What is counted up, never above the number.
        counts: Option<(Key, u64)>,
    },
    /// A person is asked; why.
    Asks(String),
}

/// The limits of autopilot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many proposals of class 2 a day go without asking.
    pub per_day: u64,
    /// What one may cost at most, in cents.
    pub cents: u64,
}

/// A rule of the operator's: this kind of thing goes without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Names it.
    pub id: String,
    /// What it covers, see [`super::kind_of`].
    pub kind: String,
    /// The highest class that it covers.
    pub class: RiskClass,
    /// The lowest trust that it covers.
    pub trust: Trust,
    /// So many a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u64>,
    /// It ends then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Option<DateTime<Utc>>,
}

impl Rule {
    /// The rule that allows this kind of proposal from now on.
    pub fn allowing(
        kind: String,
        class: RiskClass,
        trust: Trust,
        per_day: Option<u64>,
        until: Option<DateTime<Utc>>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let id = format!("r_{}", &digest(&(&kind, class, trust))[..12]);
        Self { id, kind, class, trust, per_day, until, created_by: by.to_owned(), created_at: Some(now) }
    }

    /// Its key.
    pub fn key(&self) -> Key {
        key(&self.id)
    }

    /// Writes it, in the place of an older one.
    pub fn set(&self) -> Op {
        let field = |name: &str, value: Option<String>| (name.to_owned(), value);
        let fields = vec![
            field("kind", Some(self.kind.clone())),
            field("class", Some(u8::from(self.class).to_string())),
            field("trust", word(&self.trust)),
            field("per_day", self.per_day.map(|count| count.to_string())),
            field("until", self.until.map(rfc3339)),
            field("created_by", Some(self.created_by.clone())),
            field("created_at", self.created_at.map(rfc3339)),
        ];
        Op::Change { key: self.key(), expect: Expect::Any, fields, ttl: Ttl::Clear }
    }

    /// Reads it; none where it is no rule that can be trusted to mean what it says.
    fn read(id: &str, document: &Document) -> Option<Self> {
        let until = match document.get("until") {
            Some(text) => Some(read_time(text)?),
            None => None,
        };
        let per_day = match document.get("per_day") {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Self {
            id: id.to_owned(),
            kind: document.get("kind")?.to_owned(),
            class: document.get("class")?.parse::<u8>().ok()?.try_into().ok()?,
            trust: serde_json::from_value(document.get("trust")?.into()).ok()?,
            per_day,
            until,
            created_by: document.get("created_by")?.to_owned(),
            created_at: document.get("created_at").and_then(read_time),
        })
    }

    /// Whether it covers a proposal of this kind, class and trust now. Class 3 only by a rule with an end that was made for class 3.
    pub fn covers(&self, kind: &str, class: RiskClass, trust: Trust, now: DateTime<Utc>) -> bool {
        let dated = self.until.is_some() || class < RiskClass::Outward;
        self.kind == kind
            && class <= self.class
            && trust >= self.trust
            && dated
            && self.until.is_none_or(|until| now < until)
    }
}

fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

fn key(id: &str) -> Key {
    // Ids are made here: letters, digits and `_`.
    Key::new(keys::policy_rule(id).unwrap_or_default())
}

/// The field that counts a day's uses.
pub fn counter(day: DateTime<Utc>) -> String {
    format!("used:{}", day.format("%Y-%m-%d"))
}

/// The rules that there are.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn rules(bus: &SharedBus) -> Result<Vec<Rule>, BusError> {
    let mut rules = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = bus.scan("policy:", cursor, PAGE).await?;
        for key in page {
            let id = key.as_str().trim_start_matches("policy:").to_owned();
            match bus.get(&key).await {
                Ok(Some(State::Hash(document))) => rules.extend(Rule::read(&id, &document)),
                Ok(_) | Err(BusError::ForeignType { .. }) => {}
                Err(err) => return Err(err),
            }
        }
        match next {
            Some(_) => cursor = next,
            None => return Ok(rules),
        }
    }
}

/// What the table says, without any rule: none where it goes, else why it asks.
pub fn table(mode: Mode, class: RiskClass, trust: Trust) -> Option<&'static str> {
    match (class, mode) {
        (RiskClass::Harmless, _) | (RiskClass::Reversible, Mode::Autopilot) => None,
        (RiskClass::Internal, Mode::Guarded | Mode::Autopilot) if trust > Trust::External => None,
        (RiskClass::Internal, Mode::Guarded | Mode::Autopilot) => Some("its cause came from outside"),
        (_, Mode::Manual) => Some("the mode is manual"),
        (RiskClass::Reversible, Mode::Guarded) => Some("class 2 asks in the mode guarded"),
        (RiskClass::Outward, _) => Some("class 3 always asks"),
    }
}

/// What the policy says of a proposal of this class, whose cause has this trust.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn answer(
    bus: &SharedBus,
    mode: Mode,
    limits: Limits,
    proposal: &Proposal,
    trust: Trust,
    now: DateTime<Utc>,
) -> Result<Answer, BusError> {
    let class = proposal.class;
    let why = match table(mode, class, trust) {
        None if class == RiskClass::Reversible => {
            // Autopilot goes within limits.
            let counts = (key(AUTOPILOT), limits.per_day);
            let cents = proposal.cost_usd.unwrap_or_default() * 100.0;
            #[expect(clippy::cast_precision_loss, reason = "a limit in cents is far below 2^53")]
            let dear = !(0.0..=limits.cents as f64).contains(&cents);
            if dear {
                "it costs more than goes without asking"
            } else if used(bus, &counts.0, now).await? >= limits.per_day {
                "as many as the day's limit went without asking already"
            } else {
                return Ok(Answer::Goes { policy: format!("{mode}: class {}", u8::from(class)), counts: Some(counts) });
            }
        }
        None => return Ok(Answer::Goes { policy: format!("{mode}: class {}", u8::from(class)), counts: None }),
        Some(why) => why,
    };
    // In manual everything asks; class 3 goes by a rule on autopilot only.
    if mode == Mode::Manual || class == RiskClass::Outward && mode != Mode::Autopilot {
        return Ok(Answer::Asks(why.to_owned()));
    }
    let kind = super::kind_of(&proposal.proposer, &proposal.intents);
    for rule in rules(bus).await?.into_iter().filter(|rule| rule.covers(&kind, class, trust, now)) {
        match rule.per_day {
            Some(limit) if used(bus, &rule.key(), now).await? >= limit => {}
            limit => {
                let counts = Some((rule.key(), limit.unwrap_or(i64::MAX.unsigned_abs())));
                return Ok(Answer::Goes { policy: format!("rule {} of {}", rule.id, rule.created_by), counts });
            }
        }
    }
    Ok(Answer::Asks(why.to_owned()))
}

/// How often something was used today.
async fn used(bus: &SharedBus, key: &Key, now: DateTime<Utc>) -> Result<u64, BusError> {
    let state = match bus.get(key).await {
        Err(BusError::ForeignType { .. }) => None,
        read => read?,
    };
    let count = state.as_ref().and_then(State::document).and_then(|document| document.get(&counter(now))?.parse().ok());
    Ok(count.unwrap_or_default())
}
