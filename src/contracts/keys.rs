//! The key table: every key that state is kept under, with its founding type.
//!
//! Owns the names. A key is made here and nowhere else, so that an id can never reach out of its family. The optional prefix of a
//! workspace is the engine's, not part of these.

use thiserror::Error;

/// Most characters of an id within a key.
pub const ID_LIMIT: usize = 200;

/// What stands under the keys of a family, named as Redis names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// One entity: texts by field.
    Hash,
    /// A bounded list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// One text.
    String,
    /// A channel's stream.
    Stream,
}

impl KeyType {
    /// As Redis says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::String => "string",
            Self::Stream => "stream",
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Family {
    /// How its keys look: `{…}` stands for an id.
    pub pattern: &'static str,
    /// What stands under them.
    #[serde(rename = "type")]
    pub kind: KeyType,
    /// What for.
    pub about: &'static str,
}

/// An id that cannot be part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{shown}` cannot be part of a key: {reason}")]
pub struct BadId {
    /// The id, cut and made harmless.
    pub shown: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Whether an id may be part of a key: 1 to [`ID_LIMIT`] characters, none of them a control character or a space.
///
/// # Errors
/// Where it may not.
pub fn check_id(id: &str) -> Result<&str, BadId> {
    let reason = if id.is_empty() {
        "it is empty"
    } else if id.chars().count() > ID_LIMIT {
        "it has more than 200 characters"
    } else if id.chars().any(char::is_control) {
        "it has a control character"
    } else if id.chars().any(char::is_whitespace) {
        "it has a space"
    } else {
        return Ok(id);
    };
    Err(BadId { shown: super::untrusted::sanitize_line(id, 60), reason })
}

/// Counts as [`check_id`], and has no `:`, because another id follows it.
fn check_first(id: &str) -> Result<&str, BadId> {
    match check_id(id)? {
        id if id.contains(':') => Err(BadId {
            shown: super::untrusted::sanitize_line(id, 60),
            reason: "it has a `:`, which separates it from what follows",
        }),
        id => Ok(id),
    }
}

macro_rules! one_id {
    ($( $(#[$doc:meta])* $name:ident = $prefix:literal ;)+) => { $(
        $(#[$doc])*
        ///
        /// # Errors
        /// Where the id cannot be part of a key.
        pub fn $name(id: &str) -> Result<String, BadId> {
            check_id(id).map(|id| format!("{}{id}", $prefix))
        }
    )+ };
}

one_id! {
    /// An experiment.
    experiment = "experiments:";
    /// The schedule of an experiment.
    schedule = "schedules:";
    /// What an experiment measures.
    metrics_spec = "metrics_specs:";
    /// An experiment's numbers, added up.
    metrics_aggregated = "metrics_aggregated:";
    /// An experiment's latest events, as JSON texts.
    metrics = "metrics:";
    /// A tool, by its name.
    tool = "tools:";
    /// A request for a tool.
    tool_request = "tool_requests:";
    /// The experiments that wait for a tool, by its name.
    pending_experiments = "pending_experiments:";
    /// A tactical learning.
    tactical_learning = "learnings:tactical:";
    /// A proposal and what came of it.
    approval = "approvals:";
    /// A decision of the orchestrator.
    decision = "decisions:";
    /// An outward action and how far it came.
    action = "actions:";
    /// Somebody who is not to be written to, by the hash of the address.
    suppression = "suppressions:";
    /// When somebody was last written to, by the hash of the address.
    contact = "contacts:";
    /// That something was read of an answer and counted, by a hash of what makes it the same.
    collected = "collected:";
    /// A budget, by its scope.
    budget = "budgets:";
    /// An alert.
    alert = "alerts:";
    /// A note of the team: `worklist`, `learnings`, `product_context`.
    note = "notes:";
    /// What models answered to a message, by task and attempt; so that a crash does not pay again.
    journal = "journal:";
    /// Money reserved for a model call under way.
    reservation = "reservations:";
    /// A rule of the operator: what is allowed, or refused, without asking.
    policy_rule = "policy:";
    /// That a gate runs in this mode.
    gate_mode = "gate:mode:";
    /// What became of a dead letter, by its entry.
    dead_letter = "dead_letters:";
    /// Who holds a lease.
    lease = "bus:lease:";
    /// The last fencing number of a lease.
    fence = "bus:fence:";
}

/// A run of an experiment.
///
/// # Errors
/// Where an id cannot be part of a key; the experiment's must have no `:`.
pub fn experiment_run(experiment: &str, run: &str) -> Result<String, BadId> {
    Ok(format!("experiment_runs:{}:{}", check_first(experiment)?, check_id(run)?))
}

/// The id of a person in keys, by the address: SHA-256 in hex of the address in lower case. The address itself stands in no key.
pub fn person(address: &str) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    let digest = sha2::Sha256::digest(address.trim().to_lowercase());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What was sent on a day (`2026-03-01`), by its sender or its experiment.
///
/// # Errors
/// Where the sender cannot be part of a key; it must have no `:`.
pub fn limit(of: &str, date: chrono::NaiveDate) -> Result<String, BadId> {
    Ok(format!("limits:{}:{date}", check_first(of)?))
}

/// A version of a note.
///
/// # Errors
/// Where the name cannot be part of a key.
pub fn note_version(name: &str, version: u64) -> Result<String, BadId> {
    Ok(format!("note_versions:{}:{version}", check_first(name)?))
}

/// What an idempotency key did. Any text may be one; it was chosen by a sender.
pub fn once(key: &str) -> String {
    format!("bus:once:{key}")
}

/// A channel's stream.
pub fn stream(channel: super::ChannelName) -> String {
    format!("{channel}:stream")
}

/// Summaries of the latest runs, as JSON texts.
pub const RECENT_RUNS: &str = "fullsend:recent_runs";
/// The keys of tactical learnings by time.
pub const TACTICAL_LEARNINGS_INDEX: &str = "learnings:tactical:index";
/// Experiments by the time of their next run.
pub const SCHEDULES_DUE: &str = "schedules:due";
/// `running` or `paused`.
pub const STATUS: &str = "fullsend:status";
/// Who holds everything back, since when and why.
pub const HOLD: &str = "fullsend:hold";
/// How far the answers to the team's mail were read.
pub const MAILBOX: &str = "fullsend:mailbox";
/// Ids of the approvals that wait for a person.
pub const PENDING_APPROVALS: &str = "fullsend:pending_approvals";
/// The last number and hash of the audit chain.
pub const AUDIT_HEAD: &str = "audit:head";
/// Ids of timers by their time.
pub const TIMERS: &str = "bus:timers";
/// What timers say, by id.
pub const TIMER_MESSAGES: &str = "bus:timer:messages";
/// How far each group has come, so that one that was deleted can resume.
pub const PROGRESS: &str = "bus:progress";
/// The version of what the store holds.
pub const SCHEMA: &str = "bus:schema";
/// Until when the bridge listened.
pub const BRIDGE: &str = "bus:bridge";

const fn family(pattern: &'static str, kind: KeyType, about: &'static str) -> Family {
    Family { pattern, kind, about }
}

/// The table. A key belongs to the first row that it fits.
pub const FAMILIES: &[Family] = &[
    family("experiments:{id}", KeyType::Hash, "an experiment"),
    family(SCHEDULES_DUE, KeyType::Zset, "experiments by the time of their next run"),
    family("schedules:{id}", KeyType::Hash, "the schedule of an experiment"),
    family("metrics_specs:{id}", KeyType::Hash, "what an experiment measures"),
    family("metrics_aggregated:{id}", KeyType::Hash, "an experiment's numbers, added up"),
    family("metrics:{id}", KeyType::List, "an experiment's latest events"),
    family("experiment_runs:{exp}:{run}", KeyType::Hash, "a run of an experiment"),
    family("tools:{name}", KeyType::Hash, "a tool"),
    family("tool_requests:{id}", KeyType::Hash, "a request for a tool"),
    family("pending_experiments:{tool}", KeyType::Set, "the experiments that wait for a tool"),
    family(TACTICAL_LEARNINGS_INDEX, KeyType::Zset, "tactical learnings by time"),
    family("learnings:tactical:{id}", KeyType::Hash, "a tactical learning"),
    family("approvals:{id}", KeyType::Hash, "a proposal and what came of it"),
    family("decisions:{id}", KeyType::Hash, "a decision of the orchestrator"),
    family("actions:{id}", KeyType::Hash, "an outward action and how far it came"),
    family("suppressions:{address}", KeyType::Hash, "somebody who is not to be written to, by the hash of the address"),
    family("contacts:{address}", KeyType::Hash, "when somebody was last written to, by the hash of the address"),
    family("limits:{sender}:{date}", KeyType::Hash, "what was sent on a day"),
    family("collected:{event}", KeyType::Hash, "that something was read of an answer and counted"),
    family("budgets:{scope}", KeyType::Hash, "a budget"),
    family("alerts:{id}", KeyType::Hash, "an alert"),
    family("notes:{name}", KeyType::Hash, "a note of the team"),
    family("note_versions:{name}:{version}", KeyType::Hash, "a version of a note"),
    family("journal:{message}", KeyType::Hash, "what models answered to a message"),
    family("reservations:{call}", KeyType::Hash, "money reserved for a model call under way"),
    family("policy:{rule}", KeyType::Hash, "a rule of the operator"),
    family("gate:mode:{mode}", KeyType::Hash, "that a gate runs in this mode"),
    family(HOLD, KeyType::Hash, "who holds everything back, since when and why"),
    family(MAILBOX, KeyType::Hash, "how far the answers to the team's mail were read"),
    family(PENDING_APPROVALS, KeyType::Set, "approvals that wait for a person"),
    family(AUDIT_HEAD, KeyType::Hash, "the end of the audit chain"),
    family("dead_letters:{entry}", KeyType::Hash, "what became of a dead letter"),
    family(RECENT_RUNS, KeyType::List, "summaries of the latest runs"),
    family(STATUS, KeyType::String, "`running` or `paused`"),
    family("fullsend:{channel}:stream", KeyType::Stream, "a channel's messages"),
    family("bus:lease:{name}", KeyType::String, "who holds a lease"),
    family("bus:fence:{name}", KeyType::String, "the last fencing number of a lease"),
    family("bus:once:{key}", KeyType::String, "what an idempotency key did"),
    family(TIMERS, KeyType::Zset, "ids of timers by their time"),
    family(TIMER_MESSAGES, KeyType::Hash, "what timers say"),
    family(PROGRESS, KeyType::Hash, "how far each group has come"),
    family(SCHEMA, KeyType::String, "the version of what the store holds"),
    family(BRIDGE, KeyType::Hash, "until when the bridge listened"),
    family("echo:{channel}", KeyType::Hash, "what the echo service counted"),
];

/// The family that a key (without the workspace's prefix) belongs to; none where it is not one of ours.
pub fn family_of(key: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| fits(family.pattern, key))
}

/// Whether a key looks like the pattern: each `{…}` stands for at least one character.
fn fits(pattern: &str, key: &str) -> bool {
    match pattern.split_once('{') {
        None => pattern == key,
        Some((before, rest)) => {
            let (Some(key), Some((_, after))) = (key.strip_prefix(before), rest.split_once('}')) else {
                return false;
            };
            let mut starts = key.char_indices().map(|(at, _)| at).skip(1).chain([key.len()]);
            !key.is_empty() && starts.any(|at| fits(after, &key[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    use super::*;
    use crate::contracts::ChannelName;

    type Builder = fn(&str) -> Result<String, BadId>;

    const BUILDERS: &[(Builder, &str)] = &[
        (experiment, "experiments:{id}"),
        (schedule, "schedules:{id}"),
        (metrics_spec, "metrics_specs:{id}"),
        (metrics_aggregated, "metrics_aggregated:{id}"),
        (metrics, "metrics:{id}"),
        (tool, "tools:{name}"),
        (tool_request, "tool_requests:{id}"),
        (pending_experiments, "pending_experiments:{tool}"),
        (tactical_learning, "learnings:tactical:{id}"),
        (approval, "approvals:{id}"),
        (decision, "decisions:{id}"),
        (action, "actions:{id}"),
        (suppression, "suppressions:{address}"),
        (contact, "contacts:{address}"),
        (collected, "collected:{event}"),
        (budget, "budgets:{scope}"),
        (alert, "alerts:{id}"),
        (note, "notes:{name}"),
        (journal, "journal:{message}"),
        (reservation, "reservations:{call}"),
        (policy_rule, "policy:{rule}"),
        (gate_mode, "gate:mode:{mode}"),
        (dead_letter, "dead_letters:{entry}"),
        (lease, "bus:lease:{name}"),
        (fence, "bus:fence:{name}"),
    ];

    #[test]
    fn each_key_belongs_to_its_family_and_no_other() {
        for (build, pattern) in BUILDERS {
            for id in ["exp_20260301_forum", "service:watcher", "20260301_093000", "ü"] {
                let key = build(id).unwrap();
                assert_eq!(family_of(&key).map(|family| family.pattern), Some(*pattern), "{key}");
            }
        }
        for key in [
            RECENT_RUNS,
            TACTICAL_LEARNINGS_INDEX,
            SCHEDULES_DUE,
            STATUS,
            HOLD,
            PENDING_APPROVALS,
            AUDIT_HEAD,
            TIMERS,
            TIMER_MESSAGES,
            PROGRESS,
            SCHEMA,
            BRIDGE,
        ] {
            assert_eq!(family_of(key).map(|family| family.pattern), Some(key));
        }
        let run = experiment_run("exp_1", "exp_1:1772357400").unwrap();
        assert_eq!(run, "experiment_runs:exp_1:exp_1:1772357400");
        assert_eq!(family_of(&run).unwrap().pattern, "experiment_runs:{exp}:{run}");
        assert_eq!(person(" Mara@Example.com"), person("mara@example.com"));
        let limit = limit("mara@example.com", "2026-03-01".parse().unwrap()).unwrap();
        assert_eq!(family_of(&limit).unwrap().pattern, "limits:{sender}:{date}");
        let version = note_version("worklist", 7).unwrap();
        assert_eq!(family_of(&version).unwrap().pattern, "note_versions:{name}:{version}");
        assert_eq!(family_of(&once("a b")).unwrap().pattern, "bus:once:{key}");
        for channel in ChannelName::ALL {
            assert_eq!(family_of(&stream(*channel)).unwrap().kind, KeyType::Stream);
        }
        for foreign in ["experiments:", "experiment_runs:a", "session:1", "xexperiments:1", "fullsend:metrics", ""] {
            assert_eq!(family_of(foreign), None, "{foreign}");
        }
    }

    /// The founding types of CONTRACTS "State".
    #[rstest]
    #[case("experiments:a", "hash")]
    #[case("schedules:a", "hash")]
    #[case("metrics_specs:a", "hash")]
    #[case("metrics_aggregated:a", "hash")]
    #[case("experiment_runs:a:1", "hash")]
    #[case("tools:a", "hash")]
    #[case("tool_requests:a", "hash")]
    #[case("learnings:tactical:a", "hash")]
    #[case("approvals:a", "hash")]
    #[case("decisions:a", "hash")]
    #[case("actions:a", "hash")]
    #[case("budgets:a", "hash")]
    #[case("alerts:a", "hash")]
    #[case("notes:a", "hash")]
    #[case("metrics:a", "list")]
    #[case("fullsend:recent_runs", "list")]
    #[case("pending_experiments:a", "set")]
    #[case("learnings:tactical:index", "zset")]
    #[case("schedules:due", "zset")]
    #[case("fullsend:status", "string")]
    fn founding_types_hold(#[case] key: &str, #[case] kind: &str) {
        assert_eq!(family_of(key).unwrap().kind.as_str(), kind);
    }

    #[test]
    fn an_id_that_could_reach_elsewhere_is_refused() {
        let reason = |id: &str| experiment(id).unwrap_err().reason;
        assert_eq!(reason(""), "it is empty");
        assert_eq!(reason(&"x".repeat(201)), "it has more than 200 characters");
        assert_eq!(reason("a\0b"), "it has a control character");
        assert_eq!(reason("a\nb"), "it has a control character");
        assert_eq!(reason("a b"), "it has a space");
        assert_eq!(reason("a\u{3000}b"), "it has a space");
        assert!(experiment(&"ü".repeat(200)).is_ok());
        assert!(experiment_run("a:b", "1").is_err(), "the run would begin in the experiment's id");
        let shown = experiment("a\x1b[2J b").unwrap_err().to_string();
        assert_eq!(shown, "`a b` cannot be part of a key: it has a control character");
    }
}
