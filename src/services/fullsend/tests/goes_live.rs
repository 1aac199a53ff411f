//! What a yes does and what it is shown: what is replaced, whom it reaches, what they get.

use pretty_assertions::assert_eq;

use super::*;
use crate::contracts::keys;

const ONE: &str = "exp_20260301_one";

fn steps_of(proposal: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let intents = proposal["intents"].as_array().cloned().unwrap_or_default();
    let steps = intents.iter().filter(|intent| intent["event"].is_string());
    steps.map(|intent| (text(&intent["experiment_id"]), text(&intent["event"]))).collect()
}

fn revising(spec: &str, former: &str) -> Value {
    let mut submit = submit(spec);
    submit["revises"] = json!(former);
    submit
}

async fn built(team: &Team, tool: &str) {
    team.say(ChannelName::BuilderResults, "builder", json!({ "type": "tool_built", "tool_name": tool })).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_waited_for_a_tool_ends_what_it_takes_the_place_of() {
    let team = Team::new(Policy::Guarded).await;
    team.say(ChannelName::ToFullsend, "control_room", submit(&written(ONE, "github_stargazers"))).await;
    let proposal = team.proposal().await;
    team.verdict(&proposal, "approve", "").await;
    assert_eq!(team.experiment(ONE).await.get("state"), Some("ready"));

    let changed = written(ONE, "forum_member_finder");
    team.say(ChannelName::ToFullsend, "control_room", revising(&changed, ONE)).await;
    let (second, third) = (format!("{ONE}_v2"), format!("{ONE}_v3"));
    assert_eq!(team.experiment(&second).await.get("waiting_for"), Some(r#"["forum_member_finder"]"#));
    // Who writes a draft anew changes what that was to change.
    team.say(ChannelName::ToFullsend, "control_room", submit(&changed.replace(ONE, &second))).await;
    assert_eq!(team.experiment(&second).await.get("revises"), Some(ONE));

    built(&team, "forum_member_finder").await;
    let proposal = team.said(ChannelName::Proposals).await.pop().unwrap();
    let step = |id: &str, event: &str| (id.to_owned(), event.to_owned());
    assert_eq!(steps_of(&proposal), [step(&second, "approve"), step(ONE, "archive")]);
    assert_eq!(proposal["details"]["replaces"], format!("{ONE} ends"));

    // A change of a draft that nobody approved ends both.
    team.say(ChannelName::ToFullsend, "control_room", revising(&written(&third, "github_stargazers"), &second)).await;
    let proposal = team.said(ChannelName::Proposals).await.pop().unwrap();
    assert_eq!(steps_of(&proposal), [step(&third, "approve"), step(&second, "archive"), step(ONE, "archive")]);
    team.verdict(&proposal, "approve", "").await;
    let mut states = Vec::new();
    for id in [ONE, &second, &third] {
        states.push(team.experiment(id).await.get("state").unwrap_or_default().to_owned());
    }
    assert_eq!(states, ["archived", "archived", "ready"]);
}

/// A specification that writes to one of its two lists.
fn outreach(folder: &std::path::Path) -> String {
    std::fs::write(folder.join("others.csv"), "email\nnobody@example.com\n").unwrap();
    let list = "Business contact,First Name,Title\nada@x.io,Ada,CTO\nBo@x.io,Bo,CTO\nBO@x.io,Bo again,CTO\ncy@x.io,Cy,Sales\nnobody,Nemo,CTO\n\
                dee@x.io,Dee,CTO\n";
    std::fs::write(folder.join("leads.csv"), list).unwrap();
    json!({ "experiment": {
        "id": ONE, "hypothesis": "CTOs on our list answer a short mail about work", "target": { "description": "CTOs" },
        "execution": { "steps": [
            { "id": "others", "tool": "csv_leads", "params": { "path": "others.csv" } },
            { "id": "page", "tool": "our_page", "params": {} },
            { "id": "people", "tool": "csv_leads", "params": {
                "path": "leads.csv", "columns": { "email": "business contact" }, "filters": [{ "title_contains": ["CTO"] }],
            } },
        ] },
        "outreach": {
            "channel": "email", "subject": "Hello {{first_name}}", "template": "Hi {{first_name}}", "recipients": "{{people.rows}}",
            "variants": [{ "name": "a", "subject": "A: {{first_name}}" }, { "name": "b", "subject": "B: {{first_name}}" }],
            "follow_ups": [
                { "after": "2d", "template": "Still there, {{first_name}}?" }, { "after": "5d", "subject": "Bye", "template": "The last one." },
            ],
        },
        "metrics": ["emails_sent", "replies", { "name": "reply_rate", "type": "percentage", "formula": "replies / emails_sent" }],
        "success_criteria": ["reply_rate >= 8% after 50 sends"], "failure_criteria": ["reply_rate < 2% after 50 sends"],
    } })
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn a_yes_is_asked_with_the_people_as_the_run_has_them_and_all_that_they_get() {
    let team = Team::new(Policy::Guarded).await;
    team.document("tools:our_page", &[("state", "active")]).await;
    team.document(&format!("suppressions:{}", keys::person("ada@x.io")), &[("reason", "unsubscribed")]).await;
    let spec = outreach(team.folder.path());
    team.say(ChannelName::ToFullsend, "control_room", submit(&spec)).await;
    let details = team.proposal().await["details"].clone();

    let recipients = details["recipients"].as_str().unwrap();
    assert!(recipients.starts_with("at most 3 of 6 in "), "{recipients}");
    let left = "leads.csv (1 do not pass its filters, 1 are in it twice, 1 cannot be used)";
    assert!(recipients.ends_with(left), "{recipients}");
    let mails = details["mails"].as_array().unwrap();
    let to: Vec<_> = mails.iter().map(|mail| mail["to"].as_str().unwrap()).collect();
    assert_eq!(to, ["Bo@x.io", "dee@x.io"], "neither who said no, nor who is no CTO, nor the other list");
    assert_eq!(mails[0]["text"], "Hi Bo");

    let later = details["follow_ups"].as_array().unwrap();
    let first = mails[0]["subject"].as_str().unwrap();
    assert!(first == "A: Bo" || first == "B: Bo", "{first}");
    assert_eq!(
        (later[0]["subject"].as_str().unwrap(), later[0]["text"].as_str().unwrap()),
        (format!("Re: {first}").as_str(), "Still there, Bo?")
    );
    assert_eq!(later[0]["when"], "2d after the first, where nobody answered");
    assert_eq!((&later[1]["subject"], &later[1]["text"]), (&json!("Bye"), &json!("The last one.")));

    let noted = details["to_look_at"].to_string();
    assert!(!noted.contains("our_page"), "the team has that tool: {noted}");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_counts_a_person_is_told_how_to_say_it() {
    let team = Team::new(Policy::Guarded).await;
    let idea = "message designers on linkedin about leaking APIs";
    team.say(ChannelName::ToFullsend, "orchestrator", request(idea)).await;
    let spec = document::read_spec(&team.experiment(ID).await).unwrap();
    assert_ne!(spec.outreach.unwrap().channel, crate::experiments::spec::OutreachChannel::Email);
    let wanted = format!("`fullsend metrics add {ID} messages_sent --count N`");
    assert!(spec.manual_steps_required.iter().any(|step| step.contains(&wanted)), "{:?}", spec.manual_steps_required);
    let told = team.proposal().await["details"]["first_by_hand"].to_string();
    assert!(told.contains(&wanted), "{told}");
    // By mail tools say it.
    let by_mail = "exp_20260301_one";
    team.say(ChannelName::ToFullsend, "control_room", submit(&written(by_mail, "github_stargazers"))).await;
    let spec = document::read_spec(&team.experiment(by_mail).await).unwrap();
    assert!(!spec.manual_steps_required.iter().any(|step| step.contains("metrics add")));
}
