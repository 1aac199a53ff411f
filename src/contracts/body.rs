//! Bodies: how a channel's messages are read from JSON (generously) and written (one way).
//!
//! Owns the [`Body`] trait and the macro that makes a channel's enum from the structs of its types.
//! Must never drop a field on its way through: what is not known here stays in the raw JSON that the bus keeps.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most bytes that a body may have as JSON.
pub const BODY_LIMIT: usize = 256 * 1024;

/// Why a body is not one of its channel's messages.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// Not JSON at all.
    #[error("not JSON: {0}")]
    Json(String),
    /// JSON, but no object.
    #[error("a body must be a JSON object, this is {0}")]
    NotAnObject(&'static str),
    /// The channel does not carry this type.
    #[error("unknown type `{found}`{}", nearest.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
    UnknownType {
        /// What the body says it is.
        found: String,
        /// The channel's type with the most similar name.
        nearest: Option<&'static str>,
    },
    /// No `type`, and the channel carries more than one.
    #[error("the body has no `type` and its channel carries several")]
    NoType,
    /// A field is missing or has the wrong form.
    #[error("{kind}: {reason} (at `{path}`)")]
    Field {
        /// The type whose shape is not met.
        kind: &'static str,
        /// Where, as a path into the body (`original_message.user_id`); `.` is the body itself.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// Only the team speaks on its channel, and it is not the team's.
    #[error("only the team speaks on {channel}; what `{who}` says there does not count", who = super::untrusted::sanitize_line(.by, 60))]
    NotTheTeams {
        /// The channel.
        channel: super::ChannelName,
        /// Who says it.
        by: String,
    },
    /// Larger than [`BODY_LIMIT`].
    #[error("the body has {0} bytes; at most {BODY_LIMIT} are carried. Put the bulk into a file and send its path")]
    TooLarge(usize),
}

/// One message type of a channel, as data.
#[derive(Debug, Clone, Copy)]
pub struct BodyType {
    /// The name that is written.
    pub name: &'static str,
    /// Other names that are read as this.
    pub aliases: &'static [&'static str],
    /// The JSON Schema of the body, with its `type`.
    pub schema: fn() -> Schema,
    /// A valid body, as a person would send it.
    pub example: fn() -> serde_json::Value,
}

/// A valid specimen, shown by `fullsend schema TYPE --example` and used to fill forms.
pub trait Example {
    /// The specimen: plausible values in every field, none of them secret.
    fn example() -> Self;
}

/// What one channel carries: an enum over its message types.
pub trait Body: Serialize + Sized + Send + Sync + 'static {
    /// Its types, in the order of the contract.
    const TYPES: &'static [BodyType];

    /// The name under which this message is written.
    fn type_name(&self) -> &'static str;

    /// Reads a body.
    ///
    /// # Errors
    /// Where it is no object, of no type of this channel, or of another shape than its type's.
    fn read(json: &str) -> Result<Self, ShapeError>;

    /// Writes the body, what tells its type first (`type`; on metrics `event`).
    ///
    /// # Errors
    /// Where it is larger than [`BODY_LIMIT`].
    fn write(&self) -> Result<String, ShapeError> {
        let json = serde_json::to_string(self).map_err(|err| ShapeError::Json(err.to_string()))?;
        if json.len() > BODY_LIMIT { Err(ShapeError::TooLarge(json.len())) } else { Ok(json) }
    }
}

/// The part of a body that says what it is.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// Whether the body, with the envelope as one more key `meta`, is still an object in which both are found.
pub fn can_be_announced(body: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(body)
        .is_ok_and(|fields| !fields.contains_key("meta"))
}

/// The type of a body that does not fit: what it says itself, or the only one that its channel carries.
pub fn forced_kind(channel: super::ChannelName, body: &str) -> String {
    match (peek_type(body), channel.route().types) {
        (Ok(Some(kind)), _) => kind.chars().take(120).collect(),
        (_, [only]) => only.name.to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// The type that a body claims, if it names one.
///
/// # Errors
/// Where it is not JSON or no object.
pub fn peek_type(json: &str) -> Result<Option<Cow<'_, str>>, ShapeError> {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => {}
        _ => {
            return Err(match serde_json::from_str::<serde_json::Value>(json) {
                Err(err) => ShapeError::Json(err.to_string()),
                Ok(value) => ShapeError::NotAnObject(match value {
                    serde_json::Value::Array(_) => "a list",
                    serde_json::Value::String(_) => "a text",
                    serde_json::Value::Number(_) => "a number",
                    serde_json::Value::Bool(_) => "true or false",
                    serde_json::Value::Null | serde_json::Value::Object(_) => "null",
                }),
            });
        }
    }
    match serde_json::from_str::<Peek<'_>>(json) {
        Ok(peek) => Ok(peek.kind),
        Err(err) if err.is_data() => {
            Err(ShapeError::Field { kind: "body", path: "type".to_owned(), reason: plain(&err) })
        }
        Err(err) => Err(ShapeError::Json(err.to_string())),
    }
}

/// Reads a body as one type; on failure once more, slowly, to say where.
///
/// # Errors
/// [`ShapeError::Field`] or [`ShapeError::Json`].
pub fn read_as<T: DeserializeOwned>(kind: &'static str, json: &str) -> Result<T, ShapeError> {
    let err = match serde_json::from_str::<T>(json) {
        Ok(body) => return Ok(body),
        Err(err) => err,
    };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(located) if located.inner().is_data() => Err(at_field(kind, &located)),
        Err(_) | Ok(_) => Err(ShapeError::Json(err.to_string())),
    }
}

/// Puts a body that was written in one of the founding systems' other ways into today's shape, before it is read.
pub type Tidy = fn(&mut serde_json::Map<String, serde_json::Value>);

/// As [`read_as`], after tidying.
///
/// # Errors
/// [`ShapeError::Field`], whose path is that of the tidied body, or [`ShapeError::Json`].
pub fn read_tidied<T: DeserializeOwned>(kind: &'static str, json: &str, tidy: Tidy) -> Result<T, ShapeError> {
    let mut body = serde_json::from_str(json).map_err(|err| ShapeError::Json(err.to_string()))?;
    tidy(&mut body);
    serde_path_to_error::deserialize(serde_json::Value::Object(body)).map_err(|located| at_field(kind, &located))
}

fn at_field(kind: &'static str, located: &serde_path_to_error::Error<serde_json::Error>) -> ShapeError {
    let (path, reason) = (located.path().to_string(), plain(located.inner()));
    // serde names the place where a field is missing; what is to be filled in is that field.
    let missing = reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let path = match missing {
        Some(field) if path == "." => field.to_owned(),
        Some(field) => format!("{path}.{field}"),
        None => path,
    };
    ShapeError::Field { kind, path, reason }
}

/// An error of serde's without the line and column, which mean nothing to somebody who sent one line.
fn plain(err: &serde_json::Error) -> String {
    let text = err.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// The error for a type that the channel does not carry.
pub fn unknown_type(found: &str, types: &[BodyType]) -> ShapeError {
    let nearest = types
        .iter()
        .map(|known| (strsim::damerau_levenshtein(found, known.name), known.name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .map(|(_, name)| name);
    ShapeError::UnknownType { found: found.chars().take(120).collect(), nearest }
}

/// The schema of `T` as a body of type `name`: its own fields and the constant `type`.
pub fn schema_of<T: JsonSchema>(name: &'static str) -> Schema {
    tagged_schema::<T>("type", Some(name))
}

/// The schema of `T` as a body that `tag` tells apart; with no constant where `T` has the tag as a field of its own.
pub fn tagged_schema<T: JsonSchema>(tag: &'static str, constant: Option<&'static str>) -> Schema {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let Some(constant) = constant else { return schema };
    let fields = schema.ensure_object();
    let properties = fields.entry("properties").or_insert_with(|| serde_json::json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(tag.to_owned(), serde_json::json!({ "const": constant }));
    }
    let required = fields.entry("required").or_insert_with(|| serde_json::json!([]));
    if let Some(required) = required.as_array_mut() {
        required.insert(0, serde_json::json!(tag));
    }
    schema
}

/// Makes the enum of a channel from the structs of its types.
///
/// `default` names the type of a body without one; leave it out where the channel carries several that cannot be told apart.
/// `via` names a [`Tidy`] for a type that was written in ways which other names for fields (`serde(alias)`) do not cover.
macro_rules! bodies {
    (
        $(#[$doc:meta])*
        $name:ident $(, default $default:literal)? {
            $( $(#[$variant_doc:meta])* $variant:ident ($body:ty) = $type_name:literal $(| $alias:literal)* $(via $tidy:path)? ),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(tag = "type")]
        pub enum $name {
            $( $(#[$variant_doc])* #[serde(rename = $type_name)] $variant($body), )+
        }

        impl $crate::contracts::Body for $name {
            const TYPES: &'static [$crate::contracts::BodyType] = &[
                $( $crate::contracts::BodyType {
                    name: $type_name,
                    aliases: &[$($alias),*],
                    schema: || $crate::contracts::body::schema_of::<$body>($type_name),
                    example: || serde_json::to_value(
                        Self::$variant(<$body as $crate::contracts::body::Example>::example())
                    ).unwrap_or_default(),
                }, )+
            ];

            fn type_name(&self) -> &'static str {
                match self { $( Self::$variant(_) => $type_name, )+ }
            }

            fn read(json: &str) -> Result<Self, $crate::contracts::ShapeError> {
                let claimed = $crate::contracts::body::peek_type(json)?;
                let default: Option<&str> = None;
                $( let default = default.or(Some($default)); )?
                match claimed.as_deref().or(default) {
                    $( Some($type_name $(| $alias)*) => {
                        let tidy: Option<$crate::contracts::body::Tidy> = None;
                        $( let tidy = tidy.or(Some($tidy)); )?
                        match tidy {
                            Some(tidy) => $crate::contracts::body::read_tidied::<$body>($type_name, json, tidy),
                            None => $crate::contracts::body::read_as::<$body>($type_name, json),
                        }
                        .map(Self::$variant)
                    } )+
                    Some(other) => Err($crate::contracts::body::unknown_type(other, Self::TYPES)),
                    None => Err($crate::contracts::ShapeError::NoType),
                }
            }
        }

        $( impl From<$body> for $name {
            fn from(body: $body) -> Self { Self::$variant(body) }
        } )+
    };
}
pub(crate) use bodies;
