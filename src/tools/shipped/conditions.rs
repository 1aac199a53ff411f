//! Conditions on people, as a specification's `target.filters` has them: `has_email: true`, `title_contains: ["CTO"]`,
//! `starred_within_days: 90`.
//!
//! Owns their language. A condition on a field that a list does not have is an error, not a list with nobody in it.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Map, Value};

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    /// As it was written.
    name: String,
    field: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Whether there is something in it.
    Has(bool),
    /// One of these is within it, whatever its case.
    Contains(Vec<String>),
    /// It begins with one of these.
    StartsWith(Vec<String>),
    /// None of these is within it.
    Excludes(Vec<String>),
    /// It is one of these, or its list has one of these.
    Is(Vec<String>),
    /// It is none of these.
    IsNot(Vec<String>),
    /// At least.
    Min(f64),
    /// At most.
    Max(f64),
    /// A time no longer ago.
    WithinDays(i64),
}

/// Reads what a condition is compared with.
type ReadTest = fn(&Value) -> Result<Test, String>;

/// How names end that are not the field's, longest first.
const ENDINGS: [(&str, ReadTest); 14] = [
    ("_not_contains", |value| texts(value).map(Test::Excludes)),
    ("_within_days", |value| number(value).map(|days| Test::WithinDays(whole(days)))),
    ("_starts_with", |value| texts(value).map(Test::StartsWith)),
    ("_contains", |value| texts(value).map(Test::Contains)),
    ("_excludes", |value| texts(value).map(Test::Excludes)),
    ("_includes", |value| texts(value).map(Test::Is)),
    ("_include", |value| texts(value).map(Test::Is)),
    ("_not_in", |value| texts(value).map(Test::IsNot)),
    ("_is_not", |value| texts(value).map(Test::IsNot)),
    ("_not", |value| texts(value).map(Test::IsNot)),
    ("_min", |value| number(value).map(Test::Min)),
    ("_max", |value| number(value).map(Test::Max)),
    ("_in", |value| texts(value).map(Test::Is)),
    ("_is", |value| texts(value).map(Test::Is)),
];

/// Reads conditions against the fields of a list.
///
/// # Errors
/// What is wrong with the first that cannot be used.
pub(super) fn read(filters: &[Map<String, Value>], fields: &BTreeSet<String>) -> Result<Vec<Condition>, String> {
    filters.iter().flatten().map(|(name, value)| one(name, value, fields)).collect()
}

fn one(name: &str, value: &Value, fields: &BTreeSet<String>) -> Result<Condition, String> {
    let unknown = |field: &str| {
        let there: Vec<_> = fields.iter().map(String::as_str).collect();
        format!("filter `{name}`: the list has no field `{field}`; it has: {}", there.join(", "))
    };
    let wrong = |why: String| format!("filter `{name}`: {why}");
    let made = |field: &str, test: Test| Condition { name: name.to_owned(), field: field.to_owned(), test };
    // A field may be called `has_email` itself.
    if fields.contains(name) {
        return texts(value).map(Test::Is).map_err(wrong).map(|test| made(name, test));
    }
    if let Some((_, field)) = name.split_once("has_").filter(|(before, _)| before.is_empty() || before.ends_with('_')) {
        let wanted = value.as_bool().ok_or_else(|| wrong("it is `true` or `false`".to_owned()))?;
        return match known(field, fields) {
            Some(field) => Ok(made(&field, Test::Has(wanted))),
            None => Err(unknown(field)),
        };
    }
    for (ending, test) in ENDINGS {
        if let Some(field) = name.strip_suffix(ending).filter(|field| !field.is_empty()) {
            let test = test(value).map_err(wrong)?;
            let field_of = if matches!(test, Test::WithinDays(_)) { known_time } else { known };
            return field_of(field, fields).map(|field| made(&field, test)).ok_or_else(|| unknown(field));
        }
    }
    Err(unknown(name))
}

/// The field as the list calls it: `title`, `titles`, `job_title`.
fn known(field: &str, fields: &BTreeSet<String>) -> Option<String> {
    let plural = format!("{field}s");
    let forms = [field, field.strip_suffix('s').unwrap_or(field), plural.as_str()];
    forms.iter().find(|form| fields.contains(**form)).map(|form| (*form).to_owned()).or_else(|| {
        let ending = format!("_{field}");
        let mut ends = fields.iter().filter(|known| known.ends_with(&ending));
        ends.next().filter(|_| ends.next().is_none()).cloned()
    })
}

fn known_time(field: &str, fields: &BTreeSet<String>) -> Option<String> {
    [format!("{field}_at"), format!("{field}_on"), format!("{field}_date"), field.to_owned()]
        .into_iter()
        .find(|form| fields.contains(form))
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.trim().to_lowercase()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        _ => Err("it takes a text, or a list of texts".to_owned()),
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => one(value).map(|text| vec![text]),
    }
}

fn number(value: &Value) -> Result<f64, String> {
    let found = value.as_f64().or_else(|| value.as_str().and_then(amount));
    found.filter(|number| number.is_finite()).ok_or_else(|| "it takes a number".to_owned())
}

#[expect(clippy::cast_possible_truncation, reason = "a hundred years are enough")]
fn whole(days: f64) -> i64 {
    days.clamp(0.0, 36_525.0) as i64
}

/// A number as people write it: `1,200`, `$50M`, `3k`.
fn amount(text: &str) -> Option<f64> {
    let plain: String = text.chars().filter(|c| !matches!(c, ',' | '$' | '€' | '£' | '+' | ' ' | '\'')).collect();
    let lower = plain.to_ascii_lowercase();
    let (digits, times) = match lower.chars().last()? {
        'k' => (&lower[..lower.len() - 1], 1e3),
        'm' => (&lower[..lower.len() - 1], 1e6),
        'b' => (&lower[..lower.len() - 1], 1e9),
        _ => (lower.as_str(), 1.0),
    };
    digits.parse::<f64>().ok().map(|number| number * times)
}

/// A time as lists have it: RFC 3339, a date, or seconds.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"];
    if let Some(time) = forms.iter().find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok()) {
        return Some(time.and_utc());
    }
    let days = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y"];
    let day = days.iter().find_map(|form| NaiveDate::parse_from_str(text, form).ok());
    day.and_then(|day| Some(day.and_hms_opt(0, 0, 0)?.and_utc()))
        .or_else(|| DateTime::from_timestamp(text.parse().ok()?, 0))
}

/// The first condition that a person does not meet; none where all are met.
pub(super) fn unmet<'a>(
    conditions: &'a [Condition],
    person: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Option<&'a str> {
    conditions.iter().find(|condition| !condition.is_met(person, now)).map(|condition| condition.name.as_str())
}

impl Condition {
    fn is_met(&self, person: &Map<String, Value>, now: DateTime<Utc>) -> bool {
        let text = match person.get(&self.field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.trim().to_lowercase(),
            Some(Value::Array(values)) => {
                values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",").to_lowercase()
            }
            Some(value) => value.to_string(),
        };
        let is_one = |wanted: &[String]| {
            wanted.iter().any(|one| text == *one || text.split([',', ';', '|']).any(|part| part.trim() == one))
        };
        match &self.test {
            Test::Has(wanted) => (!text.is_empty() && text != "false") == *wanted,
            Test::StartsWith(any) => any.iter().any(|one| text.starts_with(one)),
            Test::Contains(any) => any.iter().any(|one| has_word(&text, one)),
            Test::Excludes(none) => !none.iter().any(|one| has_word(&text, one)),
            Test::Is(any) => is_one(any),
            Test::IsNot(none) => !is_one(none),
            Test::Min(least) => amount(&text).is_some_and(|number| number >= *least),
            Test::Max(most) => amount(&text).is_some_and(|number| number <= *most),
            Test::WithinDays(days) => {
                time(&text.to_uppercase()).is_some_and(|then| now - then <= TimeDelta::days(*days) && then <= now)
            }
        }
    }
}

/// Whether the text has the words, as whole words where they are short: `CTO` is not in `director`.
pub(super) fn has_word(text: &str, wanted: &str) -> bool {
    if wanted.is_empty() {
        return false;
    }
    text.match_indices(wanted).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        wanted.chars().count() > 4 || ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn met(filter: Value, person: Value) -> Result<bool, String> {
        let (Value::Object(filter), Value::Object(person)) = (filter, person) else { panic!("no objects") };
        let fields = ["email", "company", "job_title", "topics", "upvotes", "starred_at", "revenue", "country"];
        let fields = fields.map(str::to_owned).into_iter().collect();
        let now = DateTime::parse_from_rfc3339("2026-03-01T09:30:00Z").unwrap().to_utc();
        Ok(unmet(&read(&[filter], &fields)?, &person, now).is_none())
    }

    #[rstest]
    #[case(json!({"has_email": true}), json!({"email": "a@b.example"}), true)]
    #[case(json!({"has_email": true}), json!({"email": " "}), false)]
    #[case(json!({"has_company": false}), json!({}), true)]
    #[case(json!({"maker_has_company": true}), json!({"company": "X"}), true)]
    #[case(json!({"title_contains": ["CTO", "Head of"]}), json!({"job_title": "Interim CTO, EMEA"}), true)]
    #[case(json!({"title_contains": ["CTO"]}), json!({"job_title": "Art Director"}), false)]
    #[case(json!({"title_contains": "Engineer"}), json!({"job_title": "Head of Engineering"}), true)]
    #[case(json!({"title_excludes": "Intern"}), json!({"job_title": "Internal Audit"}), false)]
    #[case(json!({"country_in": ["DE", "AT"]}), json!({"country": "de"}), true)]
    #[case(json!({"country_not": "US"}), json!({"country": "US"}), false)]
    #[case(json!({"country": "DE"}), json!({"country": "DE "}), true)]
    #[case(json!({"topics_include": ["api", "saas"]}), json!({"topics": "ai; SaaS"}), true)]
    #[case(json!({"topics_include": ["api"]}), json!({"topics": ["ai", "API"]}), true)]
    #[case(json!({"upvotes_min": 50}), json!({"upvotes": "1,200"}), true)]
    #[case(json!({"upvotes_min": 50}), json!({"upvotes": "many"}), false)]
    #[case(json!({"revenue_max": "$500M"}), json!({"revenue": "$450m"}), true)]
    #[case(json!({"starred_within_days": 90}), json!({"starred_at": "2026-01-15T00:00:00Z"}), true)]
    #[case(json!({"starred_within_days": 90}), json!({"starred_at": "2025-11-15"}), false)]
    #[case(json!({"starred_within_days": 90}), json!({"starred_at": "2027-01-01"}), false)]
    fn people_meet_it_or_not(#[case] filter: Value, #[case] person: Value, #[case] expected: bool) {
        assert_eq!(met(filter, person), Ok(expected));
    }

    #[rstest]
    #[case(json!({"has_twitter": true}), "filter `has_twitter`: the list has no field `twitter`; it has: company, country, email, job_title, revenue, starred_at, topics, upvotes")]
    #[case(json!({"upvotes_min": "lots"}), "filter `upvotes_min`: it takes a number")]
    #[case(json!({"has_email": "yes"}), "filter `has_email`: it is `true` or `false`")]
    #[case(json!({"country_in": {"a": 1}}), "filter `country_in`: it takes a text, or a list of texts")]
    fn what_cannot_be_used_is_named(#[case] filter: Value, #[case] expected: &str) {
        assert_eq!(met(filter, json!({})).unwrap_err(), expected);
    }
}
