//! The JSON Schema that a model's answer is held to, made from the answer's type.
//!
//! Owns the dialect that all providers take: everything inline, each object closed, each field required (and nullable where it may be
//! absent), and no keyword that one of them refuses. Must never be what an answer is checked by: reading it is.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Keywords that every provider takes. The rest (formats, lengths, ranges, defaults, titles) is said in descriptions, or checked by us.
const KEPT: [&str; 8] =
    ["type", "description", "properties", "required", "additionalProperties", "items", "enum", "anyOf"];

/// The schema of `T`.
pub fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    narrow(&mut schema);
    schema
}

/// Puts a schema, and what is below it, into the dialect.
fn narrow(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        // `true` and `false` are schemas, too: anything, and nothing.
        *schema = json!({ "type": "string" });
        return;
    };
    if let Some(Value::Array(choices)) = fields.remove("oneOf") {
        match words(&choices) {
            Some((words, described)) => {
                fields.insert("type".to_owned(), json!("string"));
                fields.insert("enum".to_owned(), words);
                describe(fields, &described);
            }
            None => drop(fields.insert("anyOf".to_owned(), Value::Array(choices))),
        }
    }
    if let Some(constant) = fields.remove("const") {
        fields.insert("enum".to_owned(), json!([constant]));
    }
    fields.retain(|keyword, _| KEPT.contains(&keyword.as_str()));
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(narrow);
        let names: Vec<_> = properties.keys().cloned().collect();
        fields.insert("required".to_owned(), json!(names));
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(items) = fields.get_mut("items") {
        narrow(items);
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.iter_mut().for_each(narrow);
    }
}

/// The words of an enum whose values have descriptions, and those descriptions in one text.
fn words(choices: &[Value]) -> Option<(Value, String)> {
    let mut words = Vec::new();
    let mut described = Vec::new();
    for choice in choices {
        let list =
            choice.get("const").map(std::slice::from_ref).or_else(|| choice.get("enum")?.as_array().map(Vec::as_slice));
        for word in list? {
            words.push(word.clone());
            if let (Some(word), Some(about)) = (word.as_str(), choice.get("description").and_then(Value::as_str)) {
                described.push(format!("`{word}`: {about}"));
            }
        }
    }
    Some((Value::Array(words), described.join(" ")))
}

fn describe(fields: &mut Map<String, Value>, more: &str) {
    let before = fields.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{before} {more}").trim().to_owned();
    if !text.is_empty() {
        fields.insert("description".to_owned(), json!(text));
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::llm::tasks::{Classification, Decision, Reply, ReplyClass};

    /// Every schema within a schema, with its place.
    fn each(at: &str, schema: &Value, see: &mut impl FnMut(&str, &Map<String, Value>)) {
        let fields = schema.as_object().unwrap_or_else(|| panic!("{at} is {schema}"));
        see(at, fields);
        for (name, of) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            each(&format!("{at}.{name}"), of, see);
        }
        for (index, of) in fields.get("anyOf").and_then(Value::as_array).into_iter().flatten().enumerate() {
            each(&format!("{at}/{index}"), of, see);
        }
        if let Some(items) = fields.get("items") {
            each(&format!("{at}[]"), items, see);
        }
    }

    fn all() -> [(&'static str, Value); 4] {
        [
            ("classify", of::<Classification>()),
            ("classify_reply", of::<ReplyClass>()),
            ("respond", of::<Reply>()),
            ("decide", of::<Decision>()),
        ]
    }

    #[test]
    fn every_object_is_closed_every_field_required_and_every_keyword_known() {
        for (task, schema) in all() {
            each(task, &schema, &mut |at, fields| {
                assert!(fields.keys().all(|keyword| KEPT.contains(&keyword.as_str())), "{at}: {fields:?}");
                assert!(fields.contains_key("type") || fields.contains_key("anyOf"), "{at}: {fields:?}");
                let Some(properties) = fields.get("properties").and_then(Value::as_object) else {
                    assert_ne!(fields.get("type"), Some(&json!("object")), "{at} takes any object");
                    return;
                };
                assert_eq!(fields["additionalProperties"], json!(false), "{at}");
                assert_eq!(fields["required"], json!(properties.keys().collect::<Vec<_>>()), "{at}");
            });
        }
    }

    #[test]
    fn the_schema_of_a_decision_names_the_eight_actions_and_lets_fields_be_null() {
        let schema = of::<Decision>();
        let action = &schema["properties"]["action"];
        assert_eq!(action["type"], json!("string"));
        assert_eq!(action["enum"].as_array().unwrap().len(), 8, "{action}");
        assert!(action["description"].as_str().unwrap().contains("`no_action`: Nothing."), "{action}");
        assert_eq!(schema["properties"]["experiment_id"]["type"], json!(["string", "null"]));
        assert_eq!(schema["properties"]["payload"]["properties"]["inputs"]["items"], json!({ "type": "string" }));
    }

    #[test]
    fn what_the_rules_answer_fits_the_schema() {
        for (task, schema) in all() {
            let validator = jsonschema::validator_for(&schema).unwrap();
            let answer = match task {
                "classify" => {
                    json!({ "action": "ignore", "reason": "r", "priority": "low", "suggested_response": null })
                }
                "classify_reply" => json!({ "kind": "out_of_office", "reason": "r" }),
                "respond" => json!({ "content": "c" }),
                _ => json!({
                    "action": "no_action", "reasoning": "r", "priority": "low",
                    "payload": {
                        "title": null, "content": null, "goal": null, "inputs": [], "outputs": [], "requirements": []
                    },
                    "experiment_id": null, "context_for_fullsend": null
                }),
            };
            assert!(validator.is_valid(&answer), "{task}: {schema:#}");
        }
    }
}
