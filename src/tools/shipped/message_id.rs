//! Message-IDs of the mail that we send: what a reply or a bounce refers to says by itself which experiment it is about.
//!
//! Owns their form: `fs1.EXPERIMENT.ROUND.VARIANT.PERSON@DOMAIN`. They are made of what the mail is, so that the same mail has the same one
//! whenever it is sent. Must never hold an address: the person is its hash.

use crate::contracts::keys;

/// What a Message-ID of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailId {
    /// The experiment.
    pub(super) experiment: String,
    /// `first`, `followup-1`, …
    pub(super) round: String,
    /// The variant, where there are several.
    pub(super) variant: Option<String>,
    /// The person, as keys name people: the hash of the address.
    pub(super) person: String,
}

/// Hex digits of a hash.
const DIGITS: usize = 64;

impl MailId {
    /// The id of a mail to this address.
    pub(super) fn of(experiment: &str, round: &str, variant: Option<&str>, address: &str) -> Self {
        let experiment = if experiment.is_empty() { "none" } else { experiment };
        Self {
            experiment: experiment.to_owned(),
            round: round.to_owned(),
            variant: variant.map(str::to_owned),
            person: keys::person(address),
        }
    }

    /// As it is written, without angle brackets.
    pub(super) fn text(&self, domain: &str) -> String {
        let variant = self.variant.as_deref().map_or_else(|| "+".to_owned(), coded);
        format!("fs1.{}.{}.{variant}.{}@{domain}", coded(&self.experiment), coded(&self.round), self.person)
    }

    /// Reads one; none where it is not ours.
    pub(super) fn read(id: &str) -> Option<Self> {
        let (local, _) = id.trim().trim_start_matches('<').trim_end_matches('>').rsplit_once('@')?;
        let mut parts = local.split('.');
        let mut next = || parts.next();
        if next()? != "fs1" {
            return None;
        }
        let (experiment, round, variant, person) = (decoded(next()?)?, decoded(next()?)?, next()?, next()?);
        let variant = if variant == "+" { None } else { Some(decoded(variant)?) };
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (person.len() == DIGITS && person.chars().all(is_hex) && parts.next().is_none()).then(|| Self {
            experiment,
            round,
            variant,
            person: person.to_owned(),
        })
    }
}

/// Letters, digits, `_` and `-` as they are, other bytes as `+XX`.
fn coded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
            out
        } else {
            format!("{out}+{byte:02x}")
        }
    })
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'+' {
            let (high, low) = (rest.next()?, rest.next()?);
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(high)? << 4 | digit(low)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The name of the tag that says what a Message-ID says, where only letters, digits, `_` and `-` may stand.
pub(super) const TAG: &str = "fullsend";
/// Most characters of a tag.
const TAG_LIMIT: usize = 256;

/// A Message-ID as a tag; none where it is too long for one.
pub(super) fn tag(message_id: &str) -> Option<String> {
    let local = message_id.split('@').next()?;
    let coded = local.chars().fold(String::new(), |mut out, c| {
        match c {
            '.' => out.push_str("--"),
            '+' => out.push_str("-x"),
            '-' => out.push_str("-_"),
            c => out.push(c),
        }
        out
    });
    (coded.len() <= TAG_LIMIT).then_some(coded)
}

/// The Message-ID that a tag stands for.
pub(super) fn of_tag(tag: &str) -> Option<MailId> {
    let mut local = String::new();
    let mut rest = tag.chars();
    while let Some(c) = rest.next() {
        local.push(match c {
            '-' => match rest.next()? {
                '-' => '.',
                'x' => '+',
                '_' => '-',
                _ => return None,
            },
            c => c,
        });
    }
    MailId::read(&format!("{local}@tag"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_names_its_experiment_and_no_address() {
        let id = MailId::of("exp_20260301_forum", "first", Some("bold one"), "Ada@One.example");
        let text = id.text("acme.example");
        assert_eq!(
            text,
            format!("fs1.exp_20260301_forum.first.bold+20one.{}@acme.example", keys::person("ada@one.example"))
        );
        assert_eq!(MailId::read(&format!("<{text}>")), Some(id));
        for foreign in ["", "a@b", "<fs1.a.b@c>", "<fs2.a.b.+.00@c>", "fs1.a.b.+.0g@c"] {
            assert_eq!(MailId::read(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(experiment in ".{1,60}", round in "[a-z0-9-]{1,12}", variant in proptest::option::of(".{1,30}")) {
            let id = MailId::of(&experiment, &round, variant.as_deref(), "a@b.example");
            let text = id.text("b.example");
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(MailId::read(&text), Some(id.clone()));
            if let Some(tag) = tag(&text) {
                prop_assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
                prop_assert_eq!(of_tag(&tag), Some(id));
            }
        }

        #[test]
        fn no_id_is_too_odd(text in ".{0,100}") {
            let _ = (MailId::read(&text), of_tag(&text));
            let _ = MailId::read(&format!("<fs1.{text}@x>"));
        }
    }
}
