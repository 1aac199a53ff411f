//! Checks by JSON Schema: parameters before a tool is started, its result after.
//!
//! Owns which draft (2020-12 where a schema does not say) and how faults read. Must never fetch anything: a schema that refers to
//! another place is unsound.

use serde_json::{Map, Value};

use crate::contracts::untrusted::sanitize_line;

/// Faults that are told of; further ones are counted.
const TOLD: usize = 10;

/// Whether this is a schema that can be checked by.
///
/// # Errors
/// In words.
pub fn sound(schema: &Value) -> Result<(), String> {
    compiled(schema).map(drop)
}

fn compiled(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::validator_for(schema).map_err(|err| sanitize_line(&err.to_string(), 200))
}

/// Whether a value fits a schema.
///
/// # Errors
/// With everything that does not fit, each with its place.
pub fn check(value: &Value, schema: &Value) -> Result<(), Vec<String>> {
    let validator = compiled(schema).map_err(|why| vec![format!("the schema cannot be used: {why}")])?;
    let mut faults = Vec::new();
    let mut more = 0_usize;
    for fault in validator.iter_errors(value) {
        if faults.len() == TOLD {
            more += 1;
            continue;
        }
        let place = fault.instance_path().to_string();
        let place = place.trim_start_matches('/').replace('/', ".");
        // It quotes the value, which may be long or not harmless.
        let what = sanitize_line(&fault.to_string(), 200);
        faults.push(if place.is_empty() { what } else { format!("{}: {what}", sanitize_line(&place, 80)) });
    }
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Puts in what a schema's properties say by `default` and the parameters leave out.
pub fn fill(params: &mut Map<String, Value>, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(default) = property.get("default")
            && !params.contains_key(name)
        {
            params.insert(name.clone(), default.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_told_with_its_place() {
        let schema = json!({
            "type": "object", "required": ["path"], "additionalProperties": false,
            "properties": { "path": { "type": "string" }, "limit": { "type": "integer", "minimum": 1 } }
        });
        assert_eq!(check(&json!({ "path": "a", "limit": 3 }), &schema), Ok(()));
        let faults = check(&json!({ "limit": 0, "pth": "a\x1b[2J" }), &schema).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|fault| fault.starts_with("limit: ")), "{faults:?}");
        assert!(faults.iter().all(|fault| !fault.contains('\x1b')), "{faults:?}");
    }

    #[test]
    fn a_schema_that_is_none_or_points_elsewhere_is_unsound() {
        assert!(sound(&json!({ "type": "objekt" })).is_err());
        assert!(sound(&json!({ "$ref": "https://example.org/schema.json" })).is_err());
        assert!(sound(&json!({ "$ref": "file:///etc/passwd" })).is_err());
        assert_eq!(sound(&json!(true)), Ok(()));
    }

    #[test]
    fn defaults_fill_what_is_left_out() {
        let schema = json!({ "properties": { "limit": { "default": 50 }, "path": {}, "dry": { "default": true } } });
        let mut params = json!({ "dry": false }).as_object().cloned().unwrap();
        fill(&mut params, &schema);
        assert_eq!(Value::Object(params), json!({ "dry": false, "limit": 50 }));
    }
}
