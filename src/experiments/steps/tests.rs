use std::collections::BTreeMap;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::*;
use crate::experiments::spec::{Execution, Measuring, Target};

fn step(id: &str, tool: &str, params: Value, depends_on: &[&str]) -> Step {
    let Value::Object(params) = params else { panic!("{params}") };
    Step {
        id: id.to_owned(),
        tool: tool.to_owned(),
        params,
        depends_on: depends_on.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn spec(steps: Vec<Step>, outreach: Option<Value>) -> Spec {
    Spec {
        id: "exp_20260301_forum".to_owned(),
        hypothesis: "people who asked about self-hosting answer a short mail".to_owned(),
        created_at: None,
        mode: Mode::DryRun,
        target: Target::default(),
        execution: Execution { steps, ..Execution::default() },
        outreach: outreach.map(|outreach| serde_json::from_value(outreach).unwrap()),
        metrics: Vec::new(),
        success_criteria: Vec::new(),
        failure_criteria: Vec::new(),
        measuring: Measuring::default(),
        iteration_plan: None,
        learnings_to_capture: Vec::new(),
        manual_steps_required: Vec::new(),
        sources: BTreeMap::new(),
        notes: None,
    }
}

fn order(spec: &Spec) -> Vec<String> {
    plan(spec).unwrap().into_iter().map(|planned| planned.step.id).collect()
}

fn mail() -> Value {
    json!({ "channel": "email", "subject": "Hi", "template": "Hi {{first_name}}", "sender": "a@acme.example" })
}

#[test]
fn steps_are_done_after_those_that_they_need() {
    let steps = vec![
        step("send", "webhook_post", json!({ "rows": "{{list.rows}}", "text": "about {{page.title}}" }), &[]),
        step("list", "csv_leads", json!({ "path": "leads.csv" }), &["check"]),
        step("page", "web_page", json!({}), &[]),
        step("check", "web_page", json!({ "all": "{{page}}" }), &[]),
    ];
    assert_eq!(order(&spec(steps, None)), ["page", "check", "list", "send"]);
    let written = vec![step("a", "x", json!({}), &[]), step("b", "x", json!({}), &[]), step("c", "x", json!({}), &[])];
    assert_eq!(order(&spec(written, None)), ["a", "b", "c"], "as they are written, where nothing says otherwise");
}

#[test]
fn what_has_no_order_is_refused_with_the_reason() {
    let refused = |steps, outreach| plan(&spec(steps, outreach)).unwrap_err().to_string();
    assert!(refused(vec![], None).contains("nothing would be done"));
    assert!(refused(vec![], Some(mail())).contains("nobody to write to"));
    let twice = vec![step("a", "x", json!({}), &[]), step("a", "y", json!({}), &[])];
    assert!(refused(twice, None).contains("two steps are called `a`"));
    let unknown = vec![step("list", "x", json!({}), &[]), step("send", "y", json!({ "r": "{{lits.rows}}" }), &[])];
    assert_eq!(refused(unknown, None), "the step `send` needs `lits`, and there is no such step; did you mean `list`?");
    let cycle = vec![step("a", "x", json!({ "r": "{{b.rows}}" }), &[]), step("b", "y", json!({}), &["a"])];
    assert_eq!(refused(cycle, None), "these steps wait for each other: a, b");
    let itself = vec![step("a", "x", json!({ "r": "{{a.rows}}" }), &[])];
    assert_eq!(refused(itself, None), "these steps wait for each other: a");
}

#[test]
fn outreach_is_the_last_step_and_writes_to_whom_the_step_before_found() {
    let list = step("list", "csv_leads", json!({ "path": "leads.csv" }), &[]);
    let tell = step("tell", "webhook_post", json!({}), &["outreach"]);
    let planned = plan(&spec(vec![tell, list.clone()], Some(mail()))).unwrap();
    let ids: Vec<_> = planned.iter().map(|planned| planned.step.id.as_str()).collect();
    assert_eq!(ids, ["list", "outreach", "tell"]);
    let sender = &planned[1];
    assert_eq!((sender.step.tool.as_str(), sender.by), (SENDER, By::Tool));
    assert_eq!(
        Value::Object(sender.step.params.clone()),
        json!({ "recipients": "{{list.rows}}", "subject": "Hi", "template": "Hi {{first_name}}", "sender": "a@acme.example" })
    );
    let mut linkedin = mail();
    linkedin["channel"] = json!("linkedin");
    let planned = plan(&spec(vec![list], Some(linkedin))).unwrap();
    assert_eq!((planned[1].step.tool.as_str(), planned[1].by), ("linkedin", By::Person));
}

#[test]
fn real_mail_without_a_sender_is_a_persons() {
    let mut outreach = mail();
    outreach.as_object_mut().unwrap().remove("sender");
    let list = || vec![step("list", "csv_leads", json!({}), &[])];
    let mut spec = spec(list(), Some(outreach));
    assert_eq!(plan(&spec).unwrap()[1].by, By::Tool, "nothing leaves in a dry run");
    spec.mode = Mode::Live;
    assert_eq!(plan(&spec).unwrap()[1].by, By::Person);
}

#[test]
fn a_step_that_sends_is_the_outreach_and_there_is_no_second_one() {
    let people = json!([{ "email": "ada@example.com", "first_name": "Ada" }]);
    let send = step("send", SENDER, json!({ "recipients": people, "campaign_name": "v1" }), &[]);
    let planned = plan(&spec(vec![send], Some(mail()))).unwrap();
    assert_eq!(planned.len(), 1);
    let params = &planned[0].step.params;
    assert_eq!((params["recipients"].clone(), params["subject"].clone()), (people, json!("Hi")));
    assert_eq!(planned[0].step.id, "send");
}

#[test]
fn a_follow_up_says_its_own_words_to_whom_it_is_given() {
    let mut outreach = mail();
    outreach["variants"] = json!([{ "name": "a" }, { "name": "b", "subject": "Other" }]);
    outreach["follow_ups"] = json!([{ "after": "4d", "template": "Again, {{first_name}}" }, { "after": "9d", "subject": "Last", "template": "Bye" }]);
    let spec = spec(vec![step("list", "csv_leads", json!({}), &[])], Some(outreach));
    let planned = follow_up(&spec, 0).unwrap();
    assert_eq!(planned.step.id, "follow_up_0");
    assert_eq!(
        Value::Object(planned.step.params),
        json!({ "template": "Again, {{first_name}}", "sender": "a@acme.example", "follow_up": 0 }),
        "its subject is the one that each person had, which is not the same for all"
    );
    assert_eq!(follow_up(&spec, 1).unwrap().step.params["subject"], "Last");
    assert_eq!(follow_up(&spec, 2), None);
}

fn outputs() -> BTreeMap<String, Value> {
    let list = json!({ "rows": [{ "email": "ada@example.com" }], "count": 1, "note": "{{first_name}} {{list.rows}}" });
    BTreeMap::from([("list".to_owned(), list), ("company".to_owned(), json!("Engines"))])
}

fn resolved(params: Value) -> Result<Value, String> {
    let Value::Object(params) = params else { panic!("{params}") };
    resolve(&params, &outputs()).map(Value::Object).map_err(|err| err.to_string())
}

#[test]
fn references_become_what_the_step_gave() {
    let params = json!({
        "recipients": "{{list.rows}}", "old": "{{ list.output.rows }}", "one": "{{list.rows.0.email}}",
        "text": "{{list.count}} people, first {{list.rows.0.email}}", "all": ["{{company}}", { "n": "{{list.count}}" }],
        "template": "Hi {{first_name}} of {{company}}", "subject": "{{first_name}}", "n": 7,
    });
    let rows = json!([{ "email": "ada@example.com" }]);
    assert_eq!(
        resolved(params).unwrap(),
        json!({
            "recipients": rows, "old": rows, "one": "ada@example.com", "text": "1 people, first ada@example.com",
            "all": ["Engines", { "n": 1 }], "template": "Hi {{first_name}} of {{company}}", "subject": "{{first_name}}",
            "n": 7,
        })
    );
}

#[test]
fn what_a_step_gave_is_data() {
    assert_eq!(
        resolved(json!({ "whole": "{{list.note}}", "within": "<{{list.note}}>" })).unwrap(),
        json!({ "whole": "{{first_name}} {{list.rows}}", "within": "<{ {first_name}} { {list.rows}}>" })
    );
}

#[test]
fn a_reference_that_leads_nowhere_says_where_and_why() {
    let refused = |text: &str| resolved(json!({ "deep": [text] })).unwrap_err();
    assert_eq!(
        refused("{{list.people}}"),
        "`{{list.people}}` in `deep.0` cannot be filled in: the step gave no `people`; it gave rows, count, note"
    );
    assert_eq!(
        refused("x {{page.title}}"),
        "`{{page.title}}` in `deep.0` cannot be filled in: no step `page` has ended before"
    );
    assert!(refused("{{list.rows.7}}").contains("there is a list of 1"));
    let mut deep = json!("{{list.rows}}");
    (0..200).for_each(|_| deep = json!([deep]));
    assert!(resolved(json!({ "deep": deep })).unwrap_err().contains("nested deeper"));
}
