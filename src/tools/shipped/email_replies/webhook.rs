//! What a saved webhook body of Resend means (<https://resend.com/docs/dashboard/webhooks/event-types>).
//!
//! Must never take one for what it does not say: an unknown type is no event.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::message_id::{self, MailId};
use super::{News, What, short};

/// Reads a body; none where it is none.
pub(super) fn read(bytes: &[u8]) -> Option<News> {
    let body: Value = serde_json::from_slice(bytes).ok()?;
    let data = body.get("data")?;
    let what = match body.get("type")?.as_str()? {
        "email.delivered" => What::Delivered,
        "email.opened" => What::Opened,
        "email.clicked" => What::Clicked,
        "email.complained" => What::Complaint,
        "email.bounced" => match text(data, &["bounce", "type"]).as_deref() {
            Some("Transient" | "Undetermined") => What::Delayed,
            _ => What::Bounce { status: text(data, &["bounce", "subType"]).unwrap_or_default() },
        },
        // Sending itself is told by `email_send`.
        _ => What::Delayed,
    };
    let about = match data.get("to") {
        Some(Value::Array(to)) => to.iter().filter_map(Value::as_str).map(str::to_lowercase).collect(),
        Some(Value::String(to)) => vec![to.to_lowercase()],
        _ => Vec::new(),
    };
    let at = body.get("created_at").and_then(Value::as_str).and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    Some(News { mail: short(bytes), what, ids: ids(data), about, at: at.map(|at| at.with_timezone(&Utc)) })
}

fn text(data: &Value, path: &[&str]) -> Option<String> {
    path.iter().try_fold(data, |at, name| at.get(name))?.as_str().map(str::to_owned)
}

/// The mail that it is about: by our tag, which comes as an object or as a list, or by the Message-ID among its headers.
fn ids(data: &Value) -> Vec<MailId> {
    let named = |list: &str, name: &str| match data.get(list) {
        Some(Value::Object(fields)) => fields.get(name).and_then(Value::as_str).map(str::to_owned),
        Some(Value::Array(items)) => items
            .iter()
            .find(|item| item.get("name").and_then(Value::as_str).is_some_and(|it| it.eq_ignore_ascii_case(name)))
            .and_then(|item| item.get("value")?.as_str().map(str::to_owned)),
        _ => None,
    };
    let by_tag = named("tags", message_id::TAG).and_then(|tag| message_id::of_tag(&tag));
    let by_id = || named("headers", "Message-ID").and_then(|id| MailId::read(&id));
    by_tag.or_else(by_id).into_iter().collect()
}
