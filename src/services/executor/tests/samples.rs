//! Samples to the operator.

use pretty_assertions::assert_eq;

use super::*;
use crate::contracts::ServiceName;
use crate::contracts::messages::SampleExperiment;

impl Story {
    /// Orders a sample, and waits for its record.
    async fn sample(&self, id: &str, to: Option<&str>) -> Document {
        let order = SampleExperiment { experiment_id: id.to_owned(), to: to.map(str::to_owned), by: None };
        let origin = self.world.origin(Trust::Operator);
        let message = origin.compose::<grants::ControlRoom, _>(EXECUTE_NOW, ExecuteNow::from(order)).unwrap();
        let key = format!("actions:{}", record_of_sample(&message.envelope.id.to_string()));
        self.world.say(message).await;
        let is_over =
            async |_: &World| matches!(self.read(&key).await.get("state"), Some("done" | "failed" | "unknown"));
        self.world.until(is_over).await;
        self.read(&key).await
    }
}

#[tokio::test(start_paused = true)]
async fn one_mail_goes_to_the_operator_and_stands_in_nobodys_way() {
    let mut story = Story::empty();
    story.outreach.operator_email = Some("Mara@ours.example".to_owned());
    story.executor();
    story.outreach("exp_a", &["a@x.io", "b@x.io"], Value::Null).await;
    // Before anybody said yes.
    story.write("experiments:exp_a", &[("state", "draft"), ("approved_at", "")]).await;
    let record = story.sample("exp_a", None).await;
    assert_eq!((record.get("state"), record.get("kind")), (Some("done"), Some("sample")), "{record:?}");
    assert_eq!(record.get("target"), Some("mara@ours.example"));
    assert_eq!(record.get("subject"), Some("[Sample for a@x.io] hi"));
    assert_eq!(story.stage.sent(), ["mara@ours.example"], "one, whatever the tool tries");
    let sends = story.stage.calls().pop().unwrap();
    assert_eq!(
        (sends.run.mode, &sends.params["sample_to"]),
        (crate::experiments::spec::Mode::Live, &json!("mara@ours.example"))
    );
    assert_eq!(story.events().await, Vec::<String>::new(), "nothing is counted");
    assert_eq!(story.field("limits:mara@example.com:2027-01-15", "sent").await, "-");
    let told = story.said(ChannelName::FromOrchestrator).await;
    assert!(
        told[0]["payload"]["message"].as_str().unwrap().starts_with("A sample of exp_a went to mara@ours.example"),
        "{told:?}"
    );
    assert_eq!(story.state("exp_a").await, "draft");
    // The real ones go out all the same.
    story.write("experiments:exp_a", &[("state", "ready"), ("approved_at", "2027-01-01T00:00:00Z")]).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["mara@ours.example", "a@x.io", "b@x.io"]);
}

#[tokio::test(start_paused = true)]
async fn a_sample_reaches_no_recipient_and_says_why_it_went_nowhere() {
    let story = Story::new();
    story.outreach("exp_a", &["a@x.io", "b@x.io"], Value::Null).await;
    story.outreach("exp_none", &[], Value::Null).await;
    story.experiment("exp_quiet", "live", json!([{ "id": "s", "tool": "people" }]), Value::Null).await;
    story
        .experiment(
            "exp_bad",
            "live",
            json!([{ "id": "s", "tool": "broken" }]),
            json!({ "outreach": { "channel": "email", "template": "x", "subject": "x" } }),
        )
        .await;
    story.write(&format!("suppressions:{}", keys::person("left@x.io")), &[("reason", "unsubscribed")]).await;
    for (id, to, why) in [
        ("exp_a", None, "set `outreach.operator_email`"),
        ("exp_a", Some("B@x.io"), "b@x.io is one of its recipients"),
        ("exp_a", Some("left@x.io"), "on the list of those who are not written to"),
        ("exp_a", Some("nobody"), "is no mail address"),
        ("exp_a", Some("bounce@x.io"), "no such address"),
        ("exp_none", Some("me@x.io"), "nobody who would get it"),
        ("exp_quiet", Some("me@x.io"), "it sends no mail"),
        ("exp_bad", Some("me@x.io"), "step s: it broke"),
        ("exp_nowhere", Some("me@x.io"), "there is no such experiment"),
    ] {
        let record = story.sample(id, to).await;
        assert_eq!(record.get("state"), Some("failed"), "{id} {to:?}");
        let error = record.get("error").unwrap_or_default();
        assert!(error.contains(why), "{id} {to:?}: {error}");
        let told = story.said(ChannelName::FromOrchestrator).await.pop().unwrap();
        assert!(told["type"] == "error" && told.to_string().contains(id), "{told}");
    }
    assert_eq!(story.stage.sent(), ["bounce@x.io"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_operator_orders_a_sample() {
    let story = Story::new();
    story.outreach("exp_a", &["a@x.io"], Value::Null).await;
    let order = || {
        ExecuteNow::from(SampleExperiment {
            experiment_id: "exp_a".to_owned(),
            to: Some("evil@x.io".to_owned()),
            by: None,
        })
    };
    let external = story.world.origin(Trust::External).compose::<grants::ControlRoom, _>(EXECUTE_NOW, order()).unwrap();
    let team = story.world.origin(Trust::Operator).compose::<grants::Orchestrator, _>(EXECUTE_NOW, order()).unwrap();
    assert_eq!(team.envelope.source, ServiceName::Orchestrator.as_str());
    for message in [external, team] {
        let key = format!("actions:{}", record_of_sample(&message.envelope.id.to_string()));
        story.world.say(message).await;
        story.world.until(async |_| story.field(&key, "state").await == "failed").await;
        assert_eq!(story.field(&key, "error").await, "only the operator orders one");
    }
    assert_eq!(story.stage.begun(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_sample_whose_sender_died_is_not_sent_again() {
    let story = Story::empty();
    story.outreach("exp_a", &["a@x.io"], Value::Null).await;
    let order = SampleExperiment { experiment_id: "exp_a".to_owned(), to: Some("me@x.io".to_owned()), by: None };
    let origin = story.world.origin(Trust::Operator);
    let message = origin.compose::<grants::ControlRoom, _>(EXECUTE_NOW, ExecuteNow::from(order)).unwrap();
    let key = format!("actions:{}", record_of_sample(&message.envelope.id.to_string()));
    // As whoever died left it.
    story.write(&key, &[("kind", "sample"), ("state", "started"), ("target", "me@x.io")]).await;
    story.world.say(message).await;
    story.executor();
    story.world.until(async |_| story.field(&key, "state").await == "unknown").await;
    assert_eq!(story.stage.sent(), Vec::<String>::new());
}
