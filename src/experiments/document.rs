//! The documents `experiments:{id}` and `metrics_specs:{id}`: a specification as fields.
//!
//! Owns which fields a specification fills. `spec_json` is the truth; the others are for readers, of ours and of others'. What changes
//! while an experiment lives (`state`, runs, verdicts) belongs to whoever changes it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use thiserror::Error;

use super::spec::{Mode, Spec};
use super::steps;
use crate::bus::Document;
use crate::contracts::envelope::rfc3339;

/// Why an experiment's document does not say what the experiment is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoSpec {
    /// It holds none.
    #[error(
        "the experiment's document holds no `spec_json`; publish it again with `fullsend experiments publish FILE`"
    )]
    Missing,
    /// What it holds is none.
    #[error("`spec_json` of the experiment's document cannot be read: {0}")]
    Broken(String),
}

/// A specification as text, for people.
///
/// # Errors
/// In words, where it cannot be written.
pub fn yaml(spec: &Spec) -> Result<String, String> {
    #[derive(serde::Serialize)]
    struct Root<'a> {
        experiment: &'a Spec,
    }
    serde_saphyr::to_string(&Root { experiment: spec }).map_err(|err| err.to_string())
}

/// The fields of an experiment's document that its specification fills.
///
/// # Errors
/// In words, where the specification cannot be written.
pub fn fields(spec: &Spec, now: DateTime<Utc>) -> Result<Vec<(String, Option<String>)>, String> {
    // The first thing that it does, as those readers expect who know one tool only.
    let tool = steps::plan(spec).ok().and_then(|planned| planned.into_iter().next()).map(|planned| planned.step.tool);
    let waits = |list: &[String]| if list.is_empty() { Ok(None) } else { json(&list).map(Some) };
    Ok([
        ("mode", Some(spec.mode.to_string())),
        ("spec_json", Some(json(spec)?)),
        ("spec", Some(yaml(spec)?)),
        ("hypothesis", Some(spec.hypothesis.clone())),
        ("tool", tool),
        ("target", Some(spec.target.description.clone())),
        ("success_criteria", Some(json(&spec.success_criteria)?)),
        ("failure_criteria", Some(json(&spec.failure_criteria)?)),
        ("metrics", Some(json(&spec.metrics)?)),
        ("manual_steps", waits(&spec.manual_steps_required)?),
        ("updated_at", Some(rfc3339(now))),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text))
    .collect())
}

/// The fields of the document `metrics_specs:{id}`.
///
/// # Errors
/// In words, where the specification cannot be written.
pub fn metrics_fields(spec: &Spec, source: &str, now: DateTime<Utc>) -> Result<Vec<(String, Option<String>)>, String> {
    Ok([
        ("metrics", json(&spec.metrics)?),
        ("experiment_id", spec.id.clone()),
        ("source", source.to_owned()),
        ("created_at", rfc3339(now)),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), Some(text)))
    .collect())
}

/// What an experiment's document says that the experiment is.
///
/// # Errors
/// Where it does not say that.
pub fn read_spec(document: &Document) -> Result<Spec, NoSpec> {
    let text = document.get("spec_json").filter(|text| !text.trim().is_empty()).ok_or(NoSpec::Missing)?;
    let value: Value = serde_json::from_str(text).map_err(|err| NoSpec::Broken(err.to_string()))?;
    let value = match value {
        Value::Object(mut fields) if fields.contains_key("experiment") => {
            fields.remove("experiment").unwrap_or(Value::Null)
        }
        other => other,
    };
    serde_path_to_error::deserialize(value).map_err(|err| NoSpec::Broken(err.to_string()))
}

/// Whether an experiment reaches anybody, by its document. Where its field and its specification differ, nobody is reached.
pub fn mode_of(document: &Document) -> Mode {
    let read = |value: Value| serde_json::from_value::<Mode>(value).ok();
    let field = document.get("mode").and_then(|mode| read(mode.trim().into()));
    let within = || {
        let spec: Value = serde_json::from_str(document.get("spec_json")?).ok()?;
        read(spec.get("experiment").unwrap_or(&spec).get("mode")?.clone())
    };
    match field {
        Some(Mode::Live) => within().filter(|mode| *mode == Mode::Live).unwrap_or_default(),
        Some(mode) => mode,
        None => within().filter(|mode| *mode != Mode::Live).unwrap_or_default(),
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::contracts::envelope::read_time;
    use crate::experiments::spec::{Execution, Step, Target};

    fn spec() -> Spec {
        let step = Step {
            id: "list".to_owned(),
            tool: "csv_leads".to_owned(),
            params: serde_json::from_str(r#"{"path":"leads.csv","note":"a: \"b\" # c"}"#).unwrap(),
            depends_on: Vec::new(),
        };
        Spec {
            id: "exp_20260301_forum".to_owned(),
            hypothesis: "people who asked: \"self-hosting?\" answer a short mail # really".to_owned(),
            created_at: read_time("2026-03-01T09:30:00Z"),
            mode: Mode::DryRun,
            target: Target { description: "people".to_owned(), size: Some(50), ..Target::default() },
            execution: Execution { steps: vec![step], ..Execution::default() },
            outreach: None,
            metrics: Vec::new(),
            success_criteria: vec!["reply_rate >= 8% after 30 email_sent".to_owned()],
            failure_criteria: vec!["bounce_rate > 10%".to_owned()],
            measuring: crate::experiments::spec::Measuring::default(),
            iteration_plan: None,
            learnings_to_capture: Vec::new(),
            manual_steps_required: Vec::new(),
            sources: std::collections::BTreeMap::new(),
            notes: Some("two\nlines".to_owned()),
        }
    }

    #[test]
    fn a_specification_survives_its_document() {
        let now = read_time("2026-03-02T09:30:00Z").unwrap();
        let fields = fields(&spec(), now).unwrap();
        let document = Document {
            version: 1,
            fields: fields.into_iter().filter_map(|(name, text)| Some((name, text?))).collect(),
        };
        assert_eq!(read_spec(&document).unwrap(), spec());
        assert_eq!(document.get("mode"), Some("dry_run"));
        assert_eq!(document.get("tool"), Some("csv_leads"));
        assert_eq!(document.get("success_criteria"), Some(r#"["reply_rate >= 8% after 30 email_sent"]"#));
        assert!(document.get("spec").unwrap().starts_with("experiment:\n"), "{:?}", document.get("spec"));
        assert_eq!(document.get("state"), None, "it belongs to the lifecycle");
    }

    #[test]
    fn an_experiment_is_live_only_where_all_of_its_document_says_so() {
        let mode = |field: Option<&str>, spec: Option<&str>| {
            let spec = spec.map(|mode| ("spec_json".to_owned(), format!(r#"{{"experiment":{{"mode":"{mode}"}}}}"#)));
            let field = field.map(|mode| ("mode".to_owned(), mode.to_owned()));
            mode_of(&Document { version: 1, fields: field.into_iter().chain(spec).collect() })
        };
        assert_eq!(mode(Some("live"), Some("live")), Mode::Live);
        assert_eq!(mode(Some("live"), Some("simulation")), Mode::DryRun);
        assert_eq!(mode(Some("live"), None), Mode::DryRun);
        assert_eq!(mode(None, Some("live")), Mode::DryRun);
        assert_eq!(mode(Some("simulation"), Some("live")), Mode::Simulation);
        assert_eq!(mode(None, Some("simulation")), Mode::Simulation);
        assert_eq!((mode(None, None), mode(Some("what?"), None)), (Mode::DryRun, Mode::DryRun));
    }

    #[test]
    fn what_a_document_lacks_is_said() {
        let document = |text: Option<&str>| Document {
            version: 1,
            fields: text.map(|text| ("spec_json".to_owned(), text.to_owned())).into_iter().collect(),
        };
        assert_eq!(read_spec(&document(None)), Err(NoSpec::Missing));
        assert_eq!(read_spec(&document(Some(" "))), Err(NoSpec::Missing));
        let broken = |text| read_spec(&document(Some(text))).unwrap_err().to_string();
        assert!(broken("{").contains("cannot be read"));
        assert!(broken(r#"{"id": 7}"#).contains("id"), "{}", broken(r#"{"id": 7}"#));
    }
}
