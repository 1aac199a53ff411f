//! Message types by name: their schemas and examples.
//!
//! Owns what `fullsend schema` looks up. A schema describes the one way of writing; reading takes more.

use serde_json::Value;
use thiserror::Error;

use super::body::BodyType;
use super::channel::{ChannelName, UnknownName};
use super::wiring::WIRING;

/// A message type on its channel.
#[derive(Debug, Clone, Copy)]
pub struct MessageType {
    /// The channel.
    pub channel: ChannelName,
    /// The type there.
    pub body: &'static BodyType,
}

impl MessageType {
    /// `CHANNEL/TYPE`, which names it without doubt.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.channel.short(), self.body.name)
    }

    /// Its JSON Schema.
    pub fn schema(&self) -> Value {
        (self.body.schema)().to_value()
    }

    /// A valid body.
    pub fn example(&self) -> Value {
        (self.body.example)()
    }
}

/// Why a name names no message type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotFound {
    /// No channel, or no type, is called that.
    #[error("{0}; `fullsend wiring` lists them all")]
    Unknown(#[from] UnknownName),
    /// Several are.
    #[error("`{name}` is said on several channels: choose one of {}", candidates.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// What it could mean, each as `CHANNEL/TYPE`.
        candidates: Vec<String>,
    },
}

/// Every message type, channel by channel.
pub fn all() -> impl Iterator<Item = MessageType> {
    WIRING.iter().flat_map(|route| {
        let channel = route.channel;
        route.types.iter().map(move |body| MessageType { channel, body })
    })
}

/// Finds a message type: `TYPE`, or `CHANNEL/TYPE` (the channel with or without `fullsend:`). A type's other names are looked at
/// where no type is called so.
///
/// # Errors
/// Where nothing, or more than one thing, has that name.
pub fn find(name: &str) -> Result<MessageType, NotFound> {
    let (channel, kind) = match name.rsplit_once('/') {
        Some((channel, kind)) => (Some(channel.parse::<ChannelName>()?), kind),
        None => (None, name),
    };
    let here = || all().filter(move |known| channel.is_none_or(|channel| known.channel == channel));
    let mut found: Vec<_> = here().filter(|known| known.body.name == kind).collect();
    if found.is_empty() {
        found = here().filter(|known| known.body.aliases.contains(&kind)).collect();
    }
    match found[..] {
        [known] => Ok(known),
        [] => Err(UnknownName::among("message type", kind, here().map(|known| known.body.name)).into()),
        _ => Err(NotFound::Ambiguous {
            name: kind.chars().take(120).collect(),
            candidates: found.iter().map(MessageType::full_name).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn every_example_reads_back_as_its_type_and_fits_its_schema() {
        for known in all() {
            let name = known.full_name();
            let example = known.example();
            assert!(example.as_object().is_some_and(|fields| fields.len() > 1), "{name} has no example: {example}");
            assert_eq!(known.channel.check(&example.to_string()), Ok(known.body.name), "{name}");
            let schema = jsonschema::validator_for(&known.schema()).unwrap();
            let errors: Vec<_> = schema.iter_errors(&example).map(|err| err.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:?}\n{example:#}");
        }
    }

    #[test]
    fn a_schema_refuses_what_lacks_its_type_or_has_another() {
        for known in all() {
            let name = known.full_name();
            let schema = jsonschema::validator_for(&known.schema()).unwrap();
            let tag = if known.channel == ChannelName::Metrics { "event" } else { "type" };
            let mut body = known.example();
            body.as_object_mut().unwrap().remove(tag);
            assert!(!schema.is_valid(&body), "{name} without {tag}");
            body[tag] = "something_else".into();
            // A business event may have any name.
            assert_eq!(schema.is_valid(&body), name == "metrics/event", "{name} as something else");
        }
    }

    #[test]
    fn every_field_of_every_schema_is_described() {
        fn undescribed(at: &str, schema: &Value, found: &mut Vec<String>) {
            for (field, of) in schema["properties"].as_object().into_iter().flatten() {
                if of.get("description").is_none() && of.get("const").is_none() {
                    found.push(format!("{at}.{field}"));
                }
            }
            for (name, of) in schema["$defs"].as_object().into_iter().flatten() {
                undescribed(&format!("{at}/{name}"), of, found);
            }
        }
        let mut found = Vec::new();
        for known in all() {
            undescribed(&known.full_name(), &known.schema(), &mut found);
        }
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn names_are_found_short_and_full() {
        let full = |name: &str| find(name).map(|known| known.full_name());
        assert_eq!(full("escalation").unwrap(), "to_orchestrator/escalation");
        assert_eq!(full("metrics/error").unwrap(), "metrics/error");
        assert_eq!(full("fullsend:metrics/error").unwrap(), "metrics/error");
        assert_eq!(full("failure_threshold").unwrap(), "to_orchestrator/metric_alert");
        assert_eq!(full("builder_requests/tool_requested").unwrap(), "builder_tasks/tool_prd");
    }

    #[test]
    fn a_name_of_several_lists_them_and_an_unknown_one_names_the_nearest() {
        let said = |name: &str| find(name).unwrap_err().to_string();
        assert_eq!(
            said("tool_build_failed"),
            "`tool_build_failed` is said on several channels: choose one of \
             to_orchestrator/tool_build_failed, builder_results/tool_build_failed"
        );
        assert_eq!(
            said("escalatoin"),
            "unknown message type `escalatoin`, did you mean `escalation`?; `fullsend wiring` lists them all"
        );
        assert!(said("nowhere/escalation").starts_with("unknown channel `nowhere`"));
        assert!(said("metrics/escalation").starts_with("unknown message type `escalation`"));
    }
}
