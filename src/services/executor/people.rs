//! People: whom an act reaches, and what is known of them.
//!
//! Owns `suppressions:{id}`, `contacts:{id}` and `limits:{sender}:{date}` as they are read and written. A person stands in them by a hash.
//! Whoever is written to is claimed in the commit in which the act begins, so that two experiments cannot reach one person at one time.
//! Must never hold an address in a key.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::record::at;
use super::{document, field, shown};
use crate::bus::{BusError, Document, Expect, Key, Op, SharedBus, Ttl};
use crate::contracts::envelope::read_time;
use crate::contracts::keys;
use crate::experiments::outreach;
use crate::experiments::schedule::instant;
use crate::tools::contract::Action;

/// The field of a contact that says when somebody answered an experiment, before its id.
const ANSWERED: &str = "answered_for:";

/// Whom an act reaches, by the hash of the address, or of the name there; none where it reaches a place and nobody in particular. In words,
/// where it means an address and has none.
pub(super) fn reached(action: &Action) -> Result<Option<String>, String> {
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let target = match action.details.get("person") {
        Some(Value::Bool(false)) => return Ok(None),
        Some(Value::String(person)) if is_hash(person) => return Ok(Some(person.to_lowercase())),
        Some(Value::String(person)) => person.trim(),
        _ => action.target.trim(),
    };
    let is_mail = action.kind.eq_ignore_ascii_case("email");
    if is_mail || target.contains('@') && !target.starts_with('@') && !target.contains("://") {
        return match outreach::address(target) {
            Some(address) => Ok(Some(keys::person(&address))),
            None => Err(format!("`{}` is no address", shown(target))),
        };
    }
    if target.starts_with('#') || target.contains('/') {
        return Ok(None);
    }
    Ok(Some(keys::person(&format!("{}:{}", action.kind, target.trim_start_matches('@')))))
}

/// Whether somebody must not be written to, and why.
pub(super) async fn suppressed(bus: &SharedBus, person: &str) -> Result<Option<String>, BusError> {
    let Ok(key) = keys::suppression(person) else { return Ok(None) };
    let found = document(bus, &key).await?;
    Ok(found.map(|found| found.get("reason").map_or_else(|| "suppressed".to_owned(), shown)))
}

/// Puts somebody on the list of those who are not written to.
pub(super) fn suppress(person: &str, reason: &str, by: &str, now: DateTime<Utc>) -> Option<Op> {
    let key = keys::suppression(person).ok()?;
    let fields = vec![field("reason", reason), field("at", at(now)), field("by", by)];
    Some(Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep })
}

/// What is known of somebody: when they were last written to and for what, and what they answered.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    key: String,
    document: Option<Document>,
}

impl Contact {
    pub(super) async fn read(bus: &SharedBus, person: &str) -> Result<Option<Self>, BusError> {
        let Ok(key) = keys::contact(person) else { return Ok(None) };
        let document = document(bus, &key).await?;
        Ok(Some(Self { key, document }))
    }

    fn get(&self, field: &str) -> Option<&str> {
        self.document.as_ref()?.get(field)
    }

    /// The experiment that they were written to for lately, if it is another one.
    pub(super) fn written_to(&self, experiment: &str, gap: TimeDelta, now: DateTime<Utc>) -> Option<String> {
        let other = self.get("experiment_id").filter(|other| *other != experiment)?;
        let last = self.get("last_at").and_then(read_time)?;
        (now - last < gap).then(|| shown(other))
    }

    /// Whether they answered, left, or could not be reached when this experiment wrote.
    pub(super) fn has_answered(&self, experiment: &str) -> bool {
        self.get("answered_for") == Some(experiment) || self.get(&format!("{ANSWERED}{experiment}")).is_some()
    }

    /// That they are written to for this experiment now; refused where anybody changed it since it was read.
    pub(super) fn claim(&self, experiment: &str, now: DateTime<Utc>) -> Op {
        self.change(vec![field("last_at", at(now)), field("experiment_id", experiment)])
    }

    /// That they were not, after all: as it was `before`. None where somebody wrote to them since.
    pub(super) fn release(&self, before: &Self, experiment: &str, claimed: DateTime<Utc>) -> Option<Op> {
        let is_ours =
            self.get("experiment_id") == Some(experiment) && self.get("last_at") == Some(at(claimed).as_str());
        is_ours.then(|| {
            let former = |name: &str| (name.to_owned(), before.get(name).map(str::to_owned));
            self.change(vec![former("last_at"), former("experiment_id")])
        })
    }

    fn change(&self, fields: Vec<(String, Option<String>)>) -> Op {
        let expect = self.document.as_ref().map_or(Expect::Absent, |document| Expect::Version(document.version));
        Op::Change { key: Key::new(self.key.as_str()), expect, fields, ttl: Ttl::Keep }
    }
}

/// What follows from what somebody did.
pub(super) fn heard_of(name: &str, person: &str, experiment: &str, now: DateTime<Utc>) -> Vec<Op> {
    let suppressed = match name {
        "unsubscribe" => Some("unsubscribed"),
        "email_bounced" => Some("bounced"),
        "spam_complaint" => Some("complained"),
        _ => None,
    };
    let answered = matches!(name, "reply" | "positive_reply" | "meeting_booked") || suppressed.is_some();
    let mut ops = Vec::new();
    ops.extend(suppressed.and_then(|reason| suppress(person, reason, experiment, now)));
    if let (true, Ok(key)) = (answered, keys::contact(person)) {
        let fields = vec![
            field("answered_at", at(now)),
            field("answered", name),
            field("answered_for", experiment),
            field(&format!("{ANSWERED}{experiment}"), at(now)),
        ];
        ops.push(Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep });
    }
    ops
}

/// Under what name the acts of a day are counted: a sender's mail, and what else is done in the same name, each for itself.
pub(super) fn counted_for(sender: &str, kind: &str) -> String {
    if kind.eq_ignore_ascii_case("email") { sender.to_owned() } else { format!("{kind}~{sender}") }
}

/// The key of what is counted for a sender, or an experiment, on a day.
pub(super) fn limit(of: &str, day: NaiveDate) -> Option<Key> {
    // Whatever a name looks like, there is a limit.
    keys::limit(of, day).or_else(|_| keys::limit(&keys::person(of), day)).map(Key::new).ok()
}

/// One more act, or one less, on a day; refused above `most`.
pub(super) fn count(of: &str, day: NaiveDate, n: i64, most: Option<u64>) -> Option<Op> {
    let ceiling = most.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
    Some(Op::Add { key: limit(of, day)?, field: "sent".to_owned(), n, ceiling })
}

/// When a run that began at a time goes on, after the limit of this day (UTC): at its own time of day.
pub(super) fn next_day(now: DateTime<Utc>, began: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let time = began.with_timezone(&zone).time();
    let today = now.with_timezone(&zone).date_naive();
    let at = |days| instant(zone, today.checked_add_days(Days::new(days))?.and_time(time));
    let found = (0..=3).filter_map(at).find(|at| *at > now && at.date_naive() > now.date_naive());
    found.unwrap_or_else(|| {
        let midnight = now.date_naive().succ_opt().unwrap_or_default().and_time(NaiveTime::MIN);
        midnight.and_utc()
    })
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn act(kind: &str, target: &str, person: Value) -> Action {
        let mut details = serde_json::Map::new();
        if !person.is_null() {
            details.insert("person".to_owned(), person);
        }
        Action { key: "k".to_owned(), kind: kind.to_owned(), target: target.to_owned(), details }
    }

    #[rstest]
    #[case::plain("email", "ada@x.io")]
    #[case::case("email", " ADA@X.io ")]
    #[case::mailto("email", "mailto:ada@x.io?subject=hi")]
    #[case::named("email", "Ada Lovelace <Ada@x.io>")]
    #[case::other_kind("note", "Ada <ada@x.io>")]
    fn an_address_is_the_same_person_however_it_is_written(#[case] kind: &str, #[case] target: &str) {
        assert_eq!(reached(&act(kind, target, Value::Null)), Ok(Some(keys::person("ada@x.io"))));
    }

    #[rstest]
    #[case::two("email", "a@x.io, b@x.io")]
    #[case::none("email", "ada")]
    #[case::broken("note", "ada@")]
    fn what_means_an_address_and_is_none_is_refused(#[case] kind: &str, #[case] target: &str) {
        assert!(reached(&act(kind, target, Value::Null)).unwrap_err().contains("is no address"));
    }

    #[test]
    fn a_name_is_a_person_of_its_kind_and_a_place_is_nobody() {
        let ada = reached(&act("dm", "@Ada", Value::Null)).unwrap();
        assert_eq!(ada, Some(keys::person("dm:ada")));
        assert_ne!(ada, reached(&act("sms", "Ada", Value::Null)).unwrap());
        for place in ["#general", "r/rust", "https://forum.example/@ada"] {
            assert_eq!(reached(&act("post", place, Value::Null)), Ok(None), "{place}");
        }
        assert_eq!(reached(&act("post", "ada", json!(false))), Ok(None));
        assert_eq!(
            reached(&act("post", "https://forum.example/1", json!("ada@x.io"))),
            Ok(Some(keys::person("ada@x.io")))
        );
    }

    #[rstest]
    #[case::same_hour("2027-01-15T09:40:00Z", "2027-01-15T08:00:00Z", "Europe/Berlin", "2027-01-16T08:00:00Z")]
    #[case::days_later("2027-01-18T09:40:00Z", "2027-01-15T08:00:00Z", "Europe/Berlin", "2027-01-19T08:00:00Z")]
    // 20:00 there is the next day in UTC already.
    #[case::behind("2027-01-15T05:00:00Z", "2027-01-15T04:00:00Z", "America/Los_Angeles", "2027-01-16T04:00:00Z")]
    // The limit is that of a day in UTC: an hour that comes before the next day is too early.
    #[case::over_midnight("2027-01-16T00:10:00Z", "2027-01-15T23:30:00Z", "UTC", "2027-01-17T23:30:00Z")]
    #[case::clock_goes_on("2027-03-27T09:00:00Z", "2027-03-20T08:00:00Z", "Europe/Berlin", "2027-03-28T07:00:00Z")]
    fn a_run_goes_on_at_its_own_time_of_the_next_day(
        #[case] now: &str,
        #[case] began: &str,
        #[case] zone: &str,
        #[case] next: &str,
    ) {
        let found = next_day(now.parse().unwrap(), began.parse().unwrap(), zone.parse().unwrap());
        assert_eq!(found, next.parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn there_is_a_limit_for_every_name() {
        let day = NaiveDate::from_ymd_opt(2027, 1, 15).unwrap();
        assert_eq!(limit("mara@x.io", day), Some(Key::new("limits:mara@x.io:2027-01-15")));
        for odd in ["a:b", "tab\there", &"x".repeat(500)] {
            assert!(limit(odd, day).is_some(), "{odd}");
        }
        assert_eq!(counted_for("mara@x.io", "dm"), "dm~mara@x.io");
    }

    #[test]
    fn each_experiment_knows_who_answered_it() {
        let mut document = Document::default();
        for experiment in ["exp_a", "exp_b"] {
            for op in heard_of("reply", "p", experiment, DateTime::UNIX_EPOCH) {
                let Op::Change { fields, .. } = op else { panic!("{op:?}") };
                document.fields.extend(fields.into_iter().filter_map(|(name, text)| Some((name, text?))));
            }
        }
        let contact = Contact { key: "contacts:p".to_owned(), document: Some(document) };
        assert!(contact.has_answered("exp_a") && contact.has_answered("exp_b") && !contact.has_answered("exp_c"));
    }
}
