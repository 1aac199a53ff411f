use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::bus::{Entry, Range};
use crate::cli::testing::{Stage, json_lines, noon};

fn args(channel: ChannelName) -> Args {
    Args { channel, body: None, force: false, priority: None, subject: None, once: None }
}

/// What the verb does with a body.
async fn publish(
    args: &Args,
    given: String,
    operator: &str,
    cx: &Context,
    bus: &SharedBus,
) -> color_eyre::Result<ExitCode> {
    super::publish(args, compose(args, given, operator, cx)?, cx, bus).await
}

async fn entries(stage: &Stage, channel: ChannelName) -> Vec<Entry> {
    stage.bus.range(channel, Range::after(EntryId::ZERO, 100)).await.unwrap()
}

#[tokio::test]
async fn a_body_is_sent_as_it_is_in_the_operators_name() {
    let stage = Stage::new();
    let (cx, results, _) = stage.context(true);
    let body = r#"{ "text":"hi",  "extra": 1.10, "type":"echo_request" }"#;
    let args = Args { priority: Some(Priority::High), subject: Some("exp_1".to_owned()), ..args(ChannelName::Echo) };
    assert_eq!(publish(&args, body.to_owned(), "mara", &cx, &stage.bus).await.unwrap(), OK);

    let stored = entries(&stage, ChannelName::Echo).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].b, body);
    let envelope = stored[0].message().unwrap().envelope;
    assert_eq!((&*envelope.kind, &*envelope.source), ("echo_request", "control_room"));
    assert_eq!((envelope.trust, envelope.priority), (Trust::Operator, Priority::High));
    assert_eq!(envelope.subject.as_deref(), Some("exp_1"));
    assert_eq!(envelope.at, noon());
    let said = &json_lines(&results.text())[0];
    assert_eq!(
        *said,
        json!({
            "channel": "fullsend:echo", "entry": stored[0].id, "id": envelope.id, "trace": envelope.trace, "before": false,
        })
    );
}

#[tokio::test]
async fn a_missing_type_is_told_by_the_channel_and_one_line_is_printed() {
    let stage = Stage::new();
    let (cx, results, _) = stage.context(false);
    let example = crate::contracts::schema::find("roundtable_topic").unwrap().example();
    let mut example = example.as_object().unwrap().clone();
    example.remove("type");
    publish(&args(ChannelName::Roundtable), json!(example).to_string(), "mara", &cx, &stage.bus).await.unwrap();
    let stored = entries(&stage, ChannelName::Roundtable).await;
    assert_eq!(stored[0].message().unwrap().envelope.kind, "roundtable_topic");
    assert!(!stored[0].b.contains("roundtable_topic"), "{}", stored[0].b);
    let text = results.text();
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with(&format!("fullsend:roundtable  {}  id 019", stored[0].id)), "{text}");
}

#[rstest]
#[case::not_json("{", "not JSON: EOF")]
#[case::no_object("[1]", "a body must be a JSON object, this is a list")]
#[case::no_type("{}", "the body has no `type` and its channel carries several")]
#[case::wrong_type(r#"{"type":"echo_requst"}"#, "unknown type `echo_requst`, did you mean `echo_request`?")]
#[case::field(r#"{"type":"echo_request","text":5}"#, "(at `text`)")]
#[case::missing(r#"{"type":"echo_request"}"#, "missing field `text`")]
#[case::nothing(" ", "the body is empty")]
#[case::meta(r#"{"type":"echo_request","text":"","meta":1}"#, "a key `meta`")]
#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place(#[case] body: &str, #[case] reason: &str) {
    let stage = Stage::new();
    let (cx, results, _) = stage.context(false);
    let err = publish(&args(ChannelName::Echo), body.to_owned(), "mara", &cx, &stage.bus).await.unwrap_err();
    assert!(format!("{err:#}").contains(reason), "{err:#}");
    assert_eq!(results.text(), "");
    assert_eq!(entries(&stage, ChannelName::Echo).await, []);

    let forced = Args { force: true, ..args(ChannelName::Echo) };
    publish(&forced, body.to_owned(), "mara", &cx, &stage.bus).await.unwrap();
    let stored = entries(&stage, ChannelName::Echo).await;
    assert_eq!(stored[0].b, body);
    assert!(stored[0].message().is_ok());
}

#[tokio::test]
async fn what_is_forced_is_announced_only_where_it_can_carry_its_envelope() {
    let stage = Stage::new();
    let mut listener = stage.bus.listen(&[ChannelName::Echo]).await.unwrap();
    let (cx, ..) = stage.context(false);
    let forced = Args { force: true, ..args(ChannelName::Echo) };
    for body in ["[1]", "not JSON", r#"{"meta":{}}"#, r#"{"type":"own_type"}"#] {
        publish(&forced, body.to_owned(), "mara", &cx, &stage.bus).await.unwrap();
    }
    let heard = listener.heard.recv().await.unwrap();
    assert_eq!((heard.body.as_str(), heard.envelope.unwrap().kind.as_ref()), (r#"{"type":"own_type"}"#, "own_type"));
    assert!(listener.heard.try_recv().is_err());
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 4);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_also_with_force() {
    let stage = Stage::new();
    let (cx, ..) = stage.context(false);
    let body = json!({ "type": "echo_request", "text": "x".repeat(BODY_LIMIT) }).to_string();
    for force in [false, true] {
        let args = Args { force, ..args(ChannelName::Echo) };
        let err = publish(&args, body.clone(), "mara", &cx, &stage.bus).await.unwrap_err();
        assert!(err.to_string().contains("at most 262144 are carried"), "{err}");
    }
    assert_eq!(entries(&stage, ChannelName::Echo).await, []);
}

#[tokio::test]
async fn plain_text_in_the_chat_channel_is_a_chat_message() {
    let stage = Stage::new();
    let (cx, ..) = stage.context(false);
    publish(&args(ChannelName::DiscordRaw), "what about\nthe forum?".to_owned(), "mara", &cx, &stage.bus)
        .await
        .unwrap();
    let stored = entries(&stage, ChannelName::DiscordRaw).await;
    let message = stored[0].message().unwrap();
    assert_eq!(message.envelope.kind, "discord_message");
    let DiscordRaw::Message(chat) = message.read().unwrap() else { panic!("{}", message.body) };
    assert_eq!(chat.content.raw(), "what about\nthe forum?");
    assert_eq!(chat.channel_name.as_deref(), Some("operator"));
    assert_eq!(chat.username.unwrap().raw(), "mara");

    // An attempt at JSON is no chat, and elsewhere words are none.
    for (channel, text) in [(ChannelName::DiscordRaw, "{content: 1}"), (ChannelName::Echo, "hello")] {
        let err = publish(&args(channel), text.to_owned(), "mara", &cx, &stage.bus).await.unwrap_err();
        assert!(format!("{err:#}").contains("not JSON"), "{err:#}");
    }
}

#[tokio::test]
async fn what_is_not_the_operators_to_say_wants_force_and_the_teams_own_word_is_never_said() {
    let stage = Stage::new();
    let (cx, ..) = stage.context(false);
    let example = |name: &str| crate::contracts::schema::find(name).unwrap().example().to_string();
    let builders = args(ChannelName::BuilderTasks);
    let err = publish(&builders, example("tool_prd"), "mara", &cx, &stage.bus).await.unwrap_err();
    assert!(err.to_string().contains("The wiring table gives it to orchestrator, fullsend"), "{err}");
    let forced = Args { force: true, ..builders };
    publish(&forced, example("tool_prd"), "mara", &cx, &stage.bus).await.unwrap();
    for (channel, name) in [
        (ChannelName::Audit, "audit_record"),
        (ChannelName::Approvals, "approval_completed"),
        (ChannelName::Proposals, "proposal"),
        (ChannelName::Alerts, "alert_triggered"),
        (ChannelName::DeadLetter, "dead_letter"),
    ] {
        for force in [false, true] {
            let args = Args { force, ..args(channel) };
            let err = publish(&args, example(name), "mara", &cx, &stage.bus).await.unwrap_err();
            assert!(format!("{err:#}").contains("only the team speaks on"), "{err:#}");
        }
        assert_eq!(entries(&stage, channel).await, []);
    }
}

#[tokio::test]
async fn with_a_key_it_is_said_once() {
    let stage = Stage::new();
    let (cx, results, _) = stage.context(true);
    let body = r#"{"type":"echo_request","text":"hi"}"#;
    let once = Args { once: Some("monday".to_owned()), ..args(ChannelName::Echo) };
    for _ in 0..2 {
        publish(&once, body.to_owned(), "mara", &cx, &stage.bus).await.unwrap();
    }
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 1);
    let said = json_lines(&results.text());
    assert_eq!((&said[0]["before"], &said[1]["before"]), (&json!(false), &json!(true)));
    for same in ["entry", "id", "trace"] {
        assert_eq!(said[0][same], said[1][same]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_asked_for_again_and_nothing_is_said_twice() {
    let stage = Stage::new();
    let (cx, results, _) = stage.context(true);
    stage.memory.lose_next_answers(2);
    let body = r#"{"type":"echo_request","text":"hi"}"#;
    publish(&args(ChannelName::Echo), body.to_owned(), "mara", &cx, &stage.bus).await.unwrap();
    let stored = entries(&stage, ChannelName::Echo).await;
    assert_eq!(stored.len(), 1);
    let said = &json_lines(&results.text())[0];
    assert_eq!(said["before"], false);
    assert_eq!(said["id"], json!(stored[0].message().unwrap().envelope.id));
}

#[tokio::test]
async fn a_notice_is_told_to_whoever_listens() {
    let stage = Stage::new();
    let (cx, results, _) = stage.context(false);
    let mut listener = stage.bus.listen(&[ChannelName::Costs]).await.unwrap();
    let body = crate::contracts::schema::find("cost_recorded").unwrap().example().to_string();
    let costs = Args { force: true, ..args(ChannelName::Costs) };
    publish(&costs, body, "mara", &cx, &stage.bus).await.unwrap();
    assert_eq!(listener.heard.recv().await.unwrap().envelope.unwrap().kind, "cost_recorded");
    assert!(results.text().starts_with("fullsend:costs  notice  id "), "{}", results.text());

    let once = Args { once: Some("a".to_owned()), ..costs };
    let body = crate::contracts::schema::find("cost_recorded").unwrap().example().to_string();
    assert!(publish(&once, body, "mara", &cx, &stage.bus).await.unwrap_err().is::<Usage>());
}

#[test]
fn standard_input_is_read_to_its_end_and_no_further_than_a_body() {
    assert_eq!(given::read_all(&b"{\"a\":1}\r\n"[..], "x").unwrap(), "{\"a\":1}");
    assert!(given::read_all(&b"a\xff"[..], "x").unwrap_err().to_string().contains("at byte 1"));
    assert!(given::read_all(io::repeat(b'a'), "x").unwrap_err().to_string().contains("more than 262144 bytes"));
}
