//! Everything that goes wrong with a provider, and what a person gets who has an idea meanwhile: an answer, a decision with its reasons,
//! and something to approve; and where the model's answer could not be used, a word about it.

use std::time::Duration;

use fullsend::config::LlmConfig;
use fullsend::contracts::{ChannelName, Trust};
use fullsend::llm::tasks::Action;
use fullsend::services::orchestrator::record::Stage;
use pretty_assertions::assert_eq;
use rstest::rstest;

use crate::http_server::{HttpServer, Step, chunk, chunk_end, reply, stream, stream_head};
use crate::protocol::{KEY, Protocol};
use crate::team::{DECISION, IDEA, Team, deciding};

/// What becomes of it.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// The model decides, after whatever it took; a person should look, or need not.
    Model { flagged: bool },
    /// The rules decide in its place, and the record says why.
    Rules { because: &'static str, flagged: bool },
    /// The same, and an alert says that somebody must act.
    Down { because: &'static str },
    /// Nobody decides yet: that is said, and the message stays open work.
    Open,
}

struct Row {
    name: &'static str,
    answers: Vec<Vec<Step>>,
    set: fn(&mut LlmConfig),
    outcome: Outcome,
}

fn row(name: &'static str, answers: Vec<Vec<Step>>, outcome: Outcome) -> Row {
    Row { name, answers, set: |_| {}, outcome }
}

fn rules(because: &'static str) -> Outcome {
    Outcome::Rules { because, flagged: false }
}

fn unusable(because: &'static str) -> Outcome {
    Outcome::Rules { because, flagged: true }
}

const MODEL: Outcome = Outcome::Model { flagged: false };

fn rows(protocol: Protocol) -> Vec<Row> {
    let good = || protocol.answer(DECISION);
    let beginning = || chunk(protocol.beginning().as_bytes());
    let limited = |wait: (&str, &str)| {
        let kind = if protocol == Protocol::Gemini { "RESOURCE_EXHAUSTED" } else { "rate_limit_error" };
        reply(429, &[wait], &protocol.error(429, kind, "slow down"))
    };
    let thinking = match protocol {
        Protocol::Anthropic => "\"thinking.type.enabled\" is not supported for this model.",
        _ => "Thinking level HIGH is not supported for this model.",
    };
    let (refusal, cut) = match protocol {
        Protocol::Anthropic => ("refusal", "max_tokens"),
        Protocol::Gemini => ("SAFETY", "MAX_TOKENS"),
        Protocol::Openai => ("content_filter", "length"),
    };
    let Step::Send(large) = chunk(protocol.delta(&"x".repeat(500_000)).as_bytes()) else { unreachable!() };
    let Step::Send(ping) = chunk(b": still thinking\n\n") else { unreachable!() };
    let no_utf8 = chunk(b"data: {\"text\":\"\xff\xfe\"}\n\n");
    // The other dialect is tried; the compatible server was asked in none.
    let thought = if protocol == Protocol::Openai { rules("it answered 400") } else { MODEL };
    vec![
        Row { set: unreachable, ..row("connection refused", vec![good()], rules("it cannot be reached")) },
        Row { set: hasty, ..row("slow headers", vec![vec![Step::Silence]], rules("did not begin to answer")) },
        row("cut in the middle", vec![vec![stream_head(), beginning(), Step::Cut]], rules("broke off")),
        row("ended in the middle", vec![vec![stream_head(), beginning(), chunk_end()]], rules("broke off")),
        row("cut, then good", vec![vec![stream_head(), beginning(), Step::Cut], good()], MODEL),
        row(
            "error event after 200",
            vec![stream(&(protocol.beginning() + &protocol.late_error()), 512)],
            rules("in the middle of its answer"),
        ),
        row("400 on a thinking field", vec![protocol.rejection(400, thinking), good()], thought),
        row("401", vec![protocol.rejection(401, KEY)], Outcome::Down { because: "it answered 401" }),
        row("402", vec![protocol.rejection(402, KEY)], Outcome::Down { because: "it answered 402" }),
        row("404 model", vec![protocol.rejection(404, "no such model")], Outcome::Down { because: "it answered 404" }),
        row("413", vec![protocol.rejection(413, "too large")], rules("it answered 413")),
        row("429 with a short wait", vec![limited(("retry-after-ms", "50")), good()], MODEL),
        row("429 with a long wait", vec![limited(("retry-after", "3600"))], rules("it answered 429")),
        row("429 without a wait", vec![protocol.rejection(429, "slow down"), good()], MODEL),
        row("500", vec![protocol.rejection(500, "ill"), good()], MODEL),
        row("500 for good", vec![protocol.rejection(500, "ill")], rules("it answered 500")),
        row("529", vec![protocol.rejection(529, "later"), good()], MODEL),
        row("refusal", vec![stream(&protocol.ending(DECISION, refusal), 512)], unusable("")),
        row(
            "max_tokens in the JSON",
            vec![stream(&protocol.ending(&DECISION[..90], cut), 512)],
            unusable("the answer"),
        ),
        row("prose around JSON", vec![protocol.answer(&format!("Well: ```json\n{DECISION}\n``` Fine?"))], MODEL),
        row("unknown action", vec![protocol.answer(r#"{"action":"launch"}"#)], unusable("unknown action `launch`")),
        row(
            "unknown action, repaired",
            vec![protocol.answer(r#"{"action":"launch"}"#), good()],
            Outcome::Model { flagged: true },
        ),
        row(
            "unknown experiment",
            vec![protocol.answer(r#"{"action":"kill_experiment","reasoning":"r","experiment_id":"exp_nowhere"}"#)],
            unusable("there is no experiment `exp_nowhere`"),
        ),
        row(
            "payload of the wrong type",
            vec![protocol.answer(r#"{"action":"dispatch_to_fullsend","reasoning":"r","payload":[1,{"a":2}]}"#)],
            unusable("needs the idea in `payload.content`"),
        ),
        row("prose alone", vec![protocol.answer("I would rather not.")], unusable("nor the repaired one")),
        row(
            "10 MB",
            vec![vec![stream_head(), beginning(), Step::Forever(large)]],
            unusable("the answer has more than 10000000 bytes"),
        ),
        row("no UTF-8", vec![vec![stream_head(), beginning(), no_utf8]], rules("no UTF-8")),
        Row {
            set: |config| config.idle_timeout = Duration::from_millis(150),
            ..row("silence in the middle", vec![vec![stream_head(), beginning(), Step::Silence], good()], MODEL)
        },
        Row {
            set: |config| config.thinking_timeout = Duration::from_millis(900),
            ..row(
                "no end",
                vec![vec![stream_head(), beginning(), Step::Drip(ping, Duration::from_millis(20))]],
                Outcome::Open,
            )
        },
    ]
}

fn hasty(config: &mut LlmConfig) {
    config.header_timeout = Duration::from_millis(80);
}

/// Nobody listens there: the port was free a moment ago.
fn unreachable(config: &mut LlmConfig) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Some(format!("http://{free}"));
    for provider in [&mut config.anthropic, &mut config.gemini, &mut config.openai] {
        provider.url = provider.url.take().and_then(|_| url.clone());
    }
}

/// Somebody has an idea while the provider behaves like this.
async fn holds(protocol: Protocol, row: Row) {
    let server = HttpServer::start(row.answers).await;
    let mut config = deciding(protocol, &server.url());
    (row.set)(&mut config);
    let team = Team::of(config).await;
    let asked = team.chat(Trust::Member, IDEA).await;
    let answers = team.answers(&asked, 1).await;
    let what = format!("{} ({})", row.name, protocol.name());
    let (to, content) = (&answers[0]["reply_to"], answers[0]["content"].as_str().unwrap());
    assert_eq!((&answers[0]["channel_id"], to, answers.len()), (&"42".into(), &"7".into(), 1), "{what}");
    let [record] = &team.decisions(&asked).await[..] else { panic!("{what}: not one decision") };
    if let Outcome::Open = row.outcome {
        assert_eq!((record.stage, record.tries), (Stage::Open, 1), "{what}");
        assert_eq!(content, "I'm still thinking about this. Will update soon.", "{what}");
        return team.is_sound(&what).await;
    }
    assert_eq!((record.action, record.stage), (Action::DispatchToFullsend, Stage::Proposed), "{what}: {record:?}");
    assert!(content.starts_with("I want to test this: ") && !record.thoughts.is_empty(), "{what}: {content}");
    team.until("something to approve", async || team.pending().await.len() == 1).await;
    let (decided_by, because, flagged, is_down) = match row.outcome {
        Outcome::Model { flagged } => (protocol.name(), "", flagged, false),
        Outcome::Rules { because, flagged } => ("rules", because, flagged, false),
        Outcome::Down { because } => ("rules", because, false, true),
        Outcome::Open => unreachable!(),
    };
    let flags = record.flags.join("; ");
    assert_eq!(record.provider, decided_by, "{what}: {flags}");
    assert!(flags.contains(because) && flags.contains("a person should look") == flagged, "{what}: {flags}");
    assert_eq!(flags.is_empty(), decided_by != "rules" && !flagged, "{what}: {flags}");
    let errors: Vec<_> = team.said(ChannelName::FromOrchestrator, &asked).await;
    let errors: Vec<_> = errors.iter().filter(|body| body["type"] == "error").collect();
    assert_eq!(errors.len(), usize::from(flagged), "{what}: {errors:?}");
    if let [error] = errors[..] {
        let said = error["payload"]["message"].as_str().unwrap();
        assert!(said.contains(&record.id) && said.contains(because), "{what}: {said}");
    }
    let alerts = team.all(ChannelName::Alerts).await;
    assert_eq!(alerts.len(), usize::from(is_down), "{what}: {alerts:?}");
    if is_down {
        let said = alerts[0]["message"].as_str().unwrap();
        assert!(said.contains(protocol.model()) && said.contains(because), "{what}: {said}");
    }
    team.is_sound(&what).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_provider_does_the_person_is_answered(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    // Side by side, as most of them wait.
    futures::future::join_all(rows(protocol).into_iter().map(|row| holds(protocol, row))).await;
}

#[tokio::test]
async fn a_watcher_whose_model_fails_hands_on_all_the_same() {
    let protocol = Protocol::Gemini;
    let server = HttpServer::start(vec![protocol.rejection(401, "no")]).await;
    let mut config = deciding(protocol, &server.url());
    config.decide = std::mem::replace(&mut config.classify, crate::team::alone(protocol));
    let team = Team::of(config).await;
    let asked = team.chat(Trust::Member, IDEA).await;
    team.answers(&asked, 1).await;
    let escalations = team.said(ChannelName::ToOrchestrator, &asked).await;
    let [escalation] = &escalations[..] else { panic!("{escalations:?}") };
    let reason = escalation["reason"].as_str().unwrap();
    assert!(reason.starts_with("classification_failed_after_1_attempts: no provider answered"), "{reason}");
    assert_eq!((&escalation["priority"], &escalation["original_message"]["content"]), (&"medium".into(), &IDEA.into()));
}
