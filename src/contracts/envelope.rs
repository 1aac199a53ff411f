//! The envelope: what stands around every body, whoever said it.
//!
//! Owns the fields of CONTRACTS "Message", how they are written (one way) and how they are read (generously).
//! Must never hold anything that belongs to one kind of message.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{MessageId, TraceId};

/// How soon a message wants to be handled. Orders delivery inside a consumer's window, with ageing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Whenever there is time.
    Low,
    /// The ordinary case; `normal` is read as this.
    #[default]
    #[serde(alias = "normal")]
    Medium,
    /// Before the ordinary.
    High,
    /// First; `critical` is read as this.
    #[serde(alias = "critical")]
    Urgent,
}

/// How far the words of a message can be trusted: the lowest trust of what triggered it and of what it quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// From outside: chat, web pages, tool output, a bare body on the bus.
    External,
    /// From a known member of the team.
    Member,
    /// From the person who runs the program.
    Operator,
    /// From the program's own code.
    System,
}

impl Trust {
    /// The trust of something made from both: the lower one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }
}

/// What stands around a body. On a stream it is the field `e`; on a pub/sub channel the key `meta` of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Names this message; made by the sender.
    pub id: MessageId,
    /// The body's type.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// Schema version of the body.
    #[serde(default = "first_version")]
    pub v: u16,
    /// Who says it.
    pub source: Cow<'static, str>,
    /// When it was said.
    #[serde(with = "millis")]
    #[schemars(with = "DateTime<Utc>")]
    pub at: DateTime<Utc>,
    /// The chain it belongs to.
    pub trace: TraceId,
    /// The message whose handling sent this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<MessageId>,
    /// The experiment, tool, workflow or approval it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How soon it wants to be handled.
    #[serde(default)]
    pub priority: Priority,
    /// How far its words can be trusted.
    #[serde(default = "least_trust")]
    pub trust: Trust,
    /// Not handled after this.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub expires_at: Option<DateTime<Utc>>,
}

fn first_version() -> u16 {
    1
}

fn least_trust() -> Trust {
    Trust::External
}

impl Envelope {
    /// The envelope as it is stored.
    pub fn to_json(&self) -> String {
        // Plain strings, numbers and times: there is nothing in it that could fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it must no longer be handled at `now`.
    pub fn expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// RFC 3339 in UTC with milliseconds, the one way times are written.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Serde for a time: written as RFC 3339 UTC with milliseconds; read as RFC 3339 with any zone, a time without a zone
/// (taken as UTC), or seconds or milliseconds since 1970 (the founding systems wrote all of these).
pub mod millis {
    use super::{DateTime, Deserializer, GenerousTime, Serializer, Utc, fmt};

    /// Writes the time.
    ///
    /// # Errors
    /// Only the serialiser's own.
    pub fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Shown(*at))
    }

    /// Reads any of the forms.
    ///
    /// # Errors
    /// Where it is none of them.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        deserializer.deserialize_any(GenerousTime)
    }

    pub(super) struct Shown(pub(super) DateTime<Utc>);

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        }
    }
}

/// As [`millis`], for a time that may be absent.
pub mod millis_option {
    use super::{DateTime, Deserialize, Deserializer, Serializer, Utc, millis};

    /// Writes the time, or null.
    ///
    /// # Errors
    /// Only the serialiser's own.
    pub fn serialize<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.collect_str(&millis::Shown(*at)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads any of the forms, or null.
    ///
    /// # Errors
    /// Where it is none of them.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped(#[serde(with = "millis")] DateTime<Utc>);
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

struct GenerousTime;

/// Numbers above this are milliseconds since 1970, below it seconds (1e11 s is the year 5138, 1e11 ms is 1973).
const SECONDS_LIMIT: f64 = 1e11;

impl serde::de::Visitor<'_> for GenerousTime {
    type Value = DateTime<Utc>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time (RFC 3339, or seconds since 1970)")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        read_time(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        let seconds = if number.abs() > SECONDS_LIMIT { number / 1e3 } else { number };
        #[expect(clippy::cast_possible_truncation, reason = "saturates; out of range is refused below")]
        let micros = (seconds * 1e6).round() as i64;
        DateTime::from_timestamp_micros(micros)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(number), &self))
    }

    #[expect(clippy::cast_precision_loss, reason = "a time in ms or s since 1970 is exact in 53 bits")]
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "a time in ms or s since 1970 is exact in 53 bits")]
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }
}

/// Reads a time as people and the founding systems write it; without a zone it is UTC.
pub fn read_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc));
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(at) = chrono::NaiveDateTime::parse_from_str(text, form) {
            return Some(at.and_utc());
        }
    }
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn envelope(at: &str) -> Result<Envelope, serde_json::Error> {
        let id = "0192f1a0-0000-7000-8000-000000000001";
        serde_json::from_str(&format!(
            r#"{{"id":"{id}","type":"escalation","source":"watcher","at":{at},"trace":"{id}","priority":"normal"}}"#
        ))
    }

    #[test]
    fn times_are_read_in_every_form_and_written_in_one() {
        for form in [
            r#""2026-03-01T09:30:00Z""#,
            r#""2026-03-01T10:30:00.000+01:00""#,
            r#""2026-03-01T09:30:00""#,
            r#""2026-03-01 09:30""#,
            "1772357400",
            "1772357400.0",
            "1772357400000",
        ] {
            let read = envelope(form).unwrap();
            assert_eq!(rfc3339(read.at), "2026-03-01T09:30:00.000Z", "from {form}");
            assert!(read.to_json().contains(r#""at":"2026-03-01T09:30:00.000Z""#));
        }
        assert!(envelope(r#""yesterday""#).is_err());
    }

    #[test]
    fn what_is_missing_gets_the_careful_default() {
        let read = envelope("0").unwrap();
        assert_eq!((read.v, read.priority, read.trust), (1, Priority::Medium, Trust::External));
        assert!(!read.expired(read.at));
    }
}
