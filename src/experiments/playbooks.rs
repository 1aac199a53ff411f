//! Playbooks: plays that go-to-market teams really make, each with its audience, its words, its numbers.
//!
//! Owns how `assets/playbooks/*.toml` are read and how their gaps are filled: `[[name]]` with what is known of it, `[[name|words]]` with these
//! words where nothing is. Alternatives of a paragraph stand between ` || `: the first whose gaps can be filled counts, and a paragraph
//! without one is left out, so that nothing is promised that nobody gave. A gap is filled once, with data. Must never choose a play: whoever
//! designs does.

use std::collections::BTreeSet;
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

/// The text with its gaps filled, and the names of those that it has. Empty where nothing of it could be said.
pub fn filled(text: &str, of: &impl Fn(&str) -> Option<String>) -> (String, BTreeSet<String>) {
    let (mut paragraphs, mut names) = (Vec::new(), BTreeSet::new());
    for paragraph in text.trim().split("\n\n") {
        let said = paragraph.split(" || ").find_map(|alternative| {
            let mut names = BTreeSet::new();
            Some((alternative_of(alternative, of, &mut names)?, names))
        });
        if let Some((said, used)) = said {
            paragraphs.push(said);
            names.extend(used);
        }
    }
    (paragraphs.join("\n\n"), names)
}

/// A paragraph with its gaps filled; none where one of them cannot be.
fn alternative_of(text: &str, of: &impl Fn(&str) -> Option<String>, names: &mut BTreeSet<String>) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[[") {
        out.push_str(before);
        let Some((gap, after)) = after.split_once("]]") else {
            out.push_str("[[");
            rest = after;
            continue;
        };
        let (name, otherwise) = gap.split_once('|').map_or((gap, None), |(name, words)| (name, Some(words)));
        match of(name) {
            Some(words) => {
                names.insert(name.to_owned());
                out.push_str(&words);
            }
            None => out.push_str(otherwise?),
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
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
                for known in [false, true] {
                    let (text, _) = filled(text, &|gap| known.then(|| gap.to_owned()));
                    assert!(!text.is_empty() && !text.contains("[[") && !text.contains("||"), "{name}: {text}");
                    for variable in variables(&text).unwrap() {
                        assert!(variable.otherwise.is_some(), "{name}: {variable:?} may be missing");
                    }
                }
            }
        }
        assert!(all().len() >= 10 && all().len() == SHIPPED.len());
    }

    #[test]
    fn gaps_are_filled_once_and_what_cannot_be_said_is_left_out() {
        let of = |name: &str| (name == "who").then(|| "[[who]]".to_owned());
        let said = |text: &str| filled(text, &of).0;
        assert_eq!(said("[[who]] and [[what|others]] [["), "[[who]] and others [[");
        assert_eq!(said("one\n\n[[offer]] is yours\n\n[[who]]"), "one\n\n[[who]]");
        assert_eq!(said("[[topic]] at work || A question for [[who]]"), "A question for [[who]]");
        assert_eq!(said("[[topic]]"), "");
        assert_eq!(filled("[[who]] [[what|x]]", &of).1.into_iter().collect::<Vec<_>>(), ["who"]);
    }
}
