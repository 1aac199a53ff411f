//! Playbooks: plays that go-to-market teams really make, each with its audience, its words, its numbers.
//!
//! Owns how `assets/playbooks/*.toml` are read and how their gaps (`[[name]]`) are filled. A gap is filled once, with data. Must never choose a
//! play: whoever designs does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::spec::{FollowUp, Span, Variant};

/// A play.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Names it.
    pub name: String,
    /// In a few words.
    pub title: String,
    /// What ideas of this kind speak of, with commas.
    pub words: String,
    /// The words among them that say most.
    pub strong: String,
    /// What is believed.
    pub hypothesis: String,
    /// Whom it is about.
    pub audience: String,
    /// Where they come from.
    pub source: String,
    /// The tool that finds them.
    pub tool: String,
    /// What a list of them is usually called.
    pub list: String,
    /// How many.
    pub size: u64,
    /// How far back is looked.
    pub days: u64,
    /// When, as cron; none where it is done once.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Messages a day.
    pub daily_limit: u64,
    /// How long is looked at what comes of it.
    pub window: Option<Span>,
    /// Conditions on the people.
    pub filters: Vec<Map<String, Value>>,
    /// What should be known afterwards.
    pub learn: Vec<String>,
    /// What comes next where it worked.
    pub if_success: String,
    /// What comes next where it did not.
    pub if_failure: String,
    /// Where it is good and bad.
    pub numbers: Numbers,
    /// What stands in gaps that nothing else fills.
    pub defaults: BTreeMap<String, String>,
    /// What is said.
    pub outreach: Said,
}

/// Where a play is good and bad: starting points of practice, no measurements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// The share of replies from which on it is good.
    pub good: f64,
    /// The share of replies below which it is bad.
    pub bad: f64,
    /// Not judged before so many messages.
    pub sample: u64,
    /// Meetings that make it worth it.
    pub meetings: u64,
}

/// What a play says to people.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The subject.
    pub subject: String,
    /// The text.
    pub template: String,
    /// Ways to say it.
    pub variants: Vec<Variant>,
    /// What is said later.
    pub follow_ups: Vec<FollowUp>,
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        /// The plays that are shipped, as text, by name.
        pub const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../assets/playbooks/", $name, ".toml")))),+];
    };
}

shipped!(
    "competitor_stargazers",
    "hiring_signal",
    "win_back",
    "event_follow_up",
    "newsletter_sponsorship",
    "podcast_guesting",
    "integration_partners",
    "design_partners",
    "churn_interviews",
    "open_source_maintainers",
    "community_answers",
    "pricing_visitors",
    "referral_ask",
    "trial_rescue",
    "cold_list",
);

/// The play that fits any list of people.
pub fn any_list() -> &'static Playbook {
    static BARE: LazyLock<Playbook> = LazyLock::new(Playbook::default);
    all().last().unwrap_or(&BARE)
}

/// The plays that are shipped; the last one is [`any_list`].
pub fn all() -> &'static [Playbook] {
    static ALL: LazyLock<Vec<Playbook>> =
        LazyLock::new(|| SHIPPED.iter().filter_map(|(_, text)| toml::from_str(text).ok()).collect());
    &ALL
}

/// The text with its gaps filled, and the names of those that it has. A gap of which nothing is known stays.
pub fn filled(text: &str, of: &impl Fn(&str) -> Option<String>) -> (String, BTreeSet<String>) {
    let (mut out, mut names) = (String::with_capacity(text.len()), BTreeSet::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[[") {
        out.push_str(before);
        let gap = after.split_once("]]").and_then(|(name, after)| Some((name, of(name)?, after)));
        match gap {
            Some((name, words, after)) => {
                names.insert(name.to_owned());
                out.push_str(&words);
                rest = after;
            }
            None => {
                out.push_str("[[");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    (out, names)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::experiments::outreach::variables;

    #[test]
    fn every_play_that_is_shipped_can_be_read_and_is_real_copy() {
        for (name, text) in SHIPPED {
            let play: Playbook = toml::from_str(text).unwrap_or_else(|err| panic!("{name}: {err}"));
            assert_eq!(&play.name, name);
            assert!(play.outreach.template.len() > 250, "{name} says little");
            assert!(play.outreach.variants.len() > 1 && !play.outreach.follow_ups.is_empty(), "{name}");
            assert!(play.numbers.bad < play.numbers.good, "{name}");
            let texts = play.outreach.variants.iter().filter_map(|variant| variant.template.as_ref());
            for text in texts.chain([&play.outreach.template, &play.outreach.subject]) {
                for variable in variables(text).unwrap() {
                    assert!(variable.otherwise.is_some(), "{name}: {variable:?} may be missing");
                }
            }
        }
        assert!(all().len() >= 10 && all().len() == SHIPPED.len());
    }

    #[test]
    fn gaps_are_filled_once() {
        let of = |name: &str| (name == "who").then(|| "[[who]]".to_owned());
        let (text, names) = filled("[[who]] and [[what]] [[", &of);
        assert_eq!(text, "[[who]] and [[what]] [[");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["who"]);
    }
}
