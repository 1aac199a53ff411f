//! Everything that goes wrong, each over real HTTP.

use std::time::Duration;

use fullsend::config::{Link, LlmConfig};
use fullsend::contracts::Priority;
use fullsend::llm::tasks::{Action, Decision};
use fullsend::llm::{Answered, NoAnswer};
use pretty_assertions::assert_eq;
use rstest::rstest;
use rstest::rstest as table;
use serde_json::{Value, json};

use crate::http_server::{HttpServer, Step, chunk, reply, stream, stream_head};
use crate::protocol::{KEY, Protocol};
use crate::rig::{GOOD, answered, ask, asking, mind};

/// Asks once, of a server that answers so; gives the answer and how often the server was asked.
async fn asked(protocol: Protocol, answers: Vec<Vec<Step>>) -> (Answered<Decision>, usize) {
    asked_with(protocol, answers, |_| {}).await
}

async fn asked_with(
    protocol: Protocol,
    answers: Vec<Vec<Step>>,
    set: impl FnOnce(&mut LlmConfig),
) -> (Answered<Decision>, usize) {
    let server = HttpServer::start(answers).await;
    let mut config = protocol.config(&server.url());
    set(&mut config);
    let answer = answered(config).await;
    let told = format!("{answer:?}");
    assert!(!told.contains(KEY), "{told}");
    (answer, server.asked().len())
}

/// The rules answered, because of this; a person should look, or need not.
#[track_caller]
fn by_rules(answer: &Answered<Decision>, because: &str, flagged: bool) {
    assert_eq!((answer.provider, answer.output.reasoning.as_str()), ("rules", "by the rules"));
    assert!(answer.fell_back.len() == 1 && answer.fell_back[0].contains(because), "{:?}", answer.fell_back);
    assert_eq!(answer.flagged, flagged);
}

#[track_caller]
fn by_the_model(answer: &Answered<Decision>) {
    assert_eq!(answer.fell_back, Vec::<String>::new());
    assert_eq!(answer.output.action, Action::RecordLearning);
}

#[table]
#[tokio::test]
async fn connection_refused(#[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol) {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let answer = answered(protocol.config(&url)).await;
    by_rules(&answer, "it cannot be reached", false);
    assert_eq!(answer.tokens.output + answer.tokens.uncached, 0, "nothing was sent, nothing is paid");
}

#[table]
#[tokio::test]
async fn slow_headers(#[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol) {
    let (answer, times) = asked_with(protocol, vec![vec![Step::Silence], protocol.answer(GOOD)], |config| {
        config.header_timeout = Duration::from_millis(100);
    })
    .await;
    by_the_model(&answer);
    assert_eq!(times, 2);
    assert!(answer.tokens.uncached > 80, "the attempt that was given up may have been paid: {:?}", answer.tokens);
}

#[table]
#[tokio::test]
async fn a_stream_cut_in_the_middle(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
    #[values(true, false)] in_good_order: bool,
) {
    let mut cut = vec![stream_head(), chunk(protocol.beginning().as_bytes())];
    cut.push(if in_good_order { crate::http_server::chunk_end() } else { Step::Cut });
    let (answer, times) = asked(protocol, vec![cut, protocol.answer(GOOD)]).await;
    by_the_model(&answer);
    assert_eq!(times, 2);
    assert!(answer.tokens.output > 60, "both attempts count, the first by what was seen: {:?}", answer.tokens);
}

#[table]
#[tokio::test]
async fn an_error_event_after_200(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let late = stream(&(protocol.beginning() + &protocol.late_error()), 100_000);
    let (answer, times) = asked(protocol, vec![late.clone(), protocol.answer(GOOD)]).await;
    by_the_model(&answer);
    assert_eq!(times, 2);
    let (answer, times) = asked(protocol, vec![late]).await;
    by_rules(&answer, "in the middle of its answer: ", false);
    assert_eq!(times, 3, "some attempts are enough");
}

#[rstest]
#[case(
    "claude-opus-4-5",
    "enabled",
    "adaptive",
    "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\""
)]
#[case("claude-opus-4-6", "adaptive", "enabled", "adaptive thinking is not supported on this model")]
#[tokio::test]
async fn a_thinking_field_that_a_claude_does_not_take_is_sent_in_the_other_dialect(
    #[case] model: &str,
    #[case] first: &str,
    #[case] second: &str,
    #[case] message: &str,
) {
    let protocol = Protocol::Anthropic;
    let server = HttpServer::start(vec![protocol.rejection(400, message), protocol.answer(GOOD)]).await;
    let mut config = protocol.config(&server.url());
    config.decide[0].model = Some(model.to_owned());
    let mind = mind(config);
    for _ in 0..2 {
        by_the_model(&ask(&mind, &asking()).await.unwrap());
    }
    let dialects: Vec<_> = server.asked().iter().map(|it| it.body["thinking"]["type"].clone()).collect();
    assert_eq!(dialects, [first, second, second], "what was learnt is kept");
}

#[tokio::test]
async fn a_thinking_level_that_gemini_does_not_take_is_left_out() {
    let protocol = Protocol::Gemini;
    let message = "Thinking level HIGH is not supported for this model.";
    let server = HttpServer::start(vec![protocol.rejection(400, message), protocol.answer(GOOD)]).await;
    by_the_model(&answered(protocol.config(&server.url())).await);
    let configs: Vec<_> =
        server.asked().iter().map(|it| it.body["generationConfig"]["thinkingConfig"].clone()).collect();
    assert!(configs[0].is_object() && configs[1].is_null(), "{configs:?}");
}

#[rstest]
#[case(Protocol::Anthropic, "output_config.format: Extra inputs are not permitted")]
#[case(Protocol::Gemini, "Invalid JSON payload received. Unknown name \"responseJsonSchema\"")]
#[case(Protocol::Openai, "response_format json_schema is not supported by this server")]
#[tokio::test]
async fn a_server_that_knows_no_schema_gets_it_in_words(#[case] protocol: Protocol, #[case] message: &str) {
    let server = HttpServer::start(vec![protocol.rejection(400, message), protocol.answer(GOOD)]).await;
    by_the_model(&answered(protocol.config(&server.url())).await);
    let texts: Vec<_> = server.asked().into_iter().map(|it| it.text).collect();
    assert_eq!(texts.len(), 2);
    assert!(!texts[0].contains("The answer fits this JSON Schema"), "{}", texts[0]);
    assert!(texts[1].contains("The answer fits this JSON Schema"), "{}", texts[1]);
}

#[table]
#[tokio::test]
async fn what_no_retry_can_mend_is_asked_once_and_then_left_alone(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
    #[values(401, 402, 404)] status: u16,
) {
    // The server repeats what it was sent, as some do.
    let message = format!("this will not do: {KEY}");
    let server = HttpServer::start(vec![protocol.rejection(status, &message)]).await;
    let mind = mind(protocol.config(&server.url()));
    let answer = ask(&mind, &asking()).await.unwrap();
    by_rules(&answer, &format!("it answered {status}"), false);
    assert!(answer.fell_back[0].contains("this will not do: ***"), "{:?}", answer.fell_back);
    let again = ask(&mind, &asking()).await.unwrap();
    by_rules(&again, "it failed too often", false);
    assert_eq!(server.asked().len(), 1);
}

#[table]
#[tokio::test]
async fn a_request_that_is_too_large_is_asked_once_and_the_next_one_again(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let server = HttpServer::start(vec![protocol.rejection(413, "too large")]).await;
    let mind = mind(protocol.config(&server.url()));
    for times in 1..=6 {
        by_rules(&ask(&mind, &asking()).await.unwrap(), "it answered 413", false);
        assert_eq!(server.asked().len(), times, "it is the request's fault, not the server's");
    }
}

#[table]
#[tokio::test]
async fn too_many_requests_with_a_time_to_come_back(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let body = protocol.error(
        429,
        if protocol == Protocol::Gemini { "RESOURCE_EXHAUSTED" } else { "rate_limit_error" },
        "slow down",
    );
    let soon = reply(429, &[("retry-after-ms", "400")], &body);
    let began = std::time::Instant::now();
    let (answer, times) = asked(protocol, vec![soon, protocol.answer(GOOD)]).await;
    by_the_model(&answer);
    assert_eq!(times, 2);
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());

    let late = reply(429, &[("retry-after", "3600")], &body);
    let (answer, times) = asked(protocol, vec![late]).await;
    by_rules(&answer, "it answered 429", false);
    assert_eq!(times, 1, "an hour is not waited");
}

#[tokio::test]
async fn gemini_says_in_its_body_when_to_come_back_and_whether_today() {
    let details = |detail: Value| {
        json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [detail] } })
            .to_string()
    };
    let retry = details(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.4s" }));
    let began = std::time::Instant::now();
    let (answer, times) = asked(Protocol::Gemini, vec![reply(429, &[], &retry), Protocol::Gemini.answer(GOOD)]).await;
    by_the_model(&answer);
    assert!(times == 2 && began.elapsed() >= Duration::from_millis(400), "{times} {:?}", began.elapsed());

    let daily = details(json!({ "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{ "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier" }] }));
    let (answer, times) = asked(Protocol::Gemini, vec![reply(429, &[], &daily)]).await;
    by_rules(&answer, "it answered 429", false);
    assert_eq!(times, 1, "a quota of a day is not looped on");
}

#[table]
#[tokio::test]
async fn too_many_requests_without_a_time(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let (answer, times) = asked(protocol, vec![protocol.rejection(429, "slow down"), protocol.answer(GOOD)]).await;
    by_the_model(&answer);
    assert_eq!(times, 2);
}

#[rstest]
#[case(400, json!({ "type": "invalid_request_error", "message": "You have reached your specified workspace API usage limits: spend limit" }))]
#[case(429, json!({ "type": "rate_limit_error", "message": "x", "details": { "error_code": "enforced_spend_limit_reached" } }))]
#[tokio::test]
async fn a_spend_limit_of_anthropic_is_not_looped_on(#[case] status: u16, #[case] error: Value) {
    let body = json!({ "type": "error", "error": error }).to_string();
    let (answer, times) = asked(Protocol::Anthropic, vec![reply(status, &[], &body)]).await;
    by_rules(&answer, &format!("it answered {status}"), false);
    assert_eq!(times, 1);
}

#[table]
#[tokio::test]
async fn a_server_that_fails(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
    #[values(500, 503, 529)] status: u16,
) {
    let (answer, times) = asked(protocol, vec![protocol.rejection(status, "later"), protocol.answer(GOOD)]).await;
    by_the_model(&answer);
    assert_eq!(times, 2);
    // A page of a front end instead of the protocol's JSON.
    let page = reply(status, &[("x-should-retry", "false")], "<html>\u{1b}[2Jnot today</html>");
    let (answer, times) = asked(protocol, vec![page]).await;
    by_rules(&answer, "not today", false);
    assert!(times == 1 && !answer.fell_back[0].contains('\u{1b}'), "{times} {:?}", answer.fell_back);
}

#[rstest]
#[case(Protocol::Anthropic, "refusal", "the model refuses to answer (cyber): no")]
#[case(Protocol::Gemini, "SAFETY", "the answer is withheld: SAFETY")]
#[case(Protocol::Gemini, "PROHIBITED_CONTENT", "the answer is withheld: PROHIBITED_CONTENT")]
#[case(Protocol::Openai, "content_filter", "a filter withholds the answer")]
#[tokio::test]
async fn a_refusal_is_for_a_person_to_look_at(#[case] protocol: Protocol, #[case] reason: &str, #[case] said: &str) {
    let (answer, times) = asked(protocol, vec![stream(&protocol.ending(GOOD, reason), 512)]).await;
    by_rules(&answer, said, true);
    assert_eq!((times, answer.tokens.output), (1, 60), "it is paid all the same");
}

#[tokio::test]
async fn a_blocked_prompt_has_no_candidates() {
    let blocked =
        "data: {\"promptFeedback\":{\"blockReason\":\"BLOCKLIST\"},\"usageMetadata\":{\"promptTokenCount\":7}}\r\n\r\n";
    let (answer, times) = asked(Protocol::Gemini, vec![stream(blocked, 512)]).await;
    by_rules(&answer, "the prompt is blocked: BLOCKLIST", true);
    assert_eq!((times, answer.tokens.uncached), (1, 7));
}

#[rstest]
#[case(Protocol::Anthropic, "max_tokens")]
#[case(Protocol::Anthropic, "model_context_window_exceeded")]
#[case(Protocol::Gemini, "MAX_TOKENS")]
#[case(Protocol::Openai, "length")]
#[tokio::test]
async fn an_answer_cut_inside_its_json_is_no_decision(#[case] protocol: Protocol, #[case] reason: &str) {
    let cut = stream(&protocol.ending(&GOOD[..60], reason), 512);
    let (answer, times) = asked(protocol, vec![cut]).await;
    assert!(answer.fell_back[0].contains("cut") || answer.fell_back[0].contains("full"), "{:?}", answer.fell_back);
    by_rules(&answer, protocol.name(), true);
    assert_eq!(times, 1);
}

#[table]
#[tokio::test]
async fn an_end_that_nobody_knows_is_an_error(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let odd = stream(&protocol.ending(GOOD, "odd_reason"), 512);
    let (answer, _) = asked(protocol, vec![odd]).await;
    by_rules(&answer, "the answer ended for an unexpected reason: odd_reason", false);
}

#[table]
#[tokio::test]
async fn prose_around_the_json(#[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol) {
    let text = format!("Here is my {{decision}}:\n```json\n{GOOD}\n```\nI hope it helps!");
    let (answer, times) = asked(protocol, vec![protocol.answer(&text)]).await;
    by_the_model(&answer);
    assert_eq!((times, answer.flagged), (1, false));
}

#[table]
#[tokio::test]
async fn an_unknown_action_is_repaired_once(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
    #[values(
        r#"{"action":"launch_rocket","reasoning":"r"}"#,
        r#"{"action":"kill_experiment","reasoning":"r","experiment_id":"exp_nowhere"}"#
    )]
    bad: &str,
) {
    let server = HttpServer::start(vec![protocol.answer(bad), protocol.answer(GOOD)]).await;
    let answer = answered(protocol.config(&server.url())).await;
    by_the_model(&answer);
    assert!(answer.flagged, "a person should look");
    assert_eq!(answer.tokens.output, 120, "both answers are paid");
    let second = &server.asked()[1];
    let fault =
        if bad.contains("rocket") { "unknown action `launch_rocket`" } else { "there is no experiment `exp_nowhere`" };
    assert!(second.text.contains(fault), "{}", second.text);
    // The model's own turn goes back as it came.
    let raw = match protocol {
        Protocol::Anthropic => {
            r#"[{"type":"thinking","thinking":"Let me think.","signature":"c2ln/+=="},{"type":"text","text":"#
        }
        Protocol::Gemini => r#"[{"text":"Let me ","thought":true},{"text":"think.","thought":true},{"text":"#,
        Protocol::Openai => r#"{"role":"assistant","content":"#,
    };
    assert!(second.text.contains(raw), "{}", second.text);
    assert_eq!(second.body["system"], server.asked()[0].body["system"], "the stable part stays as it is");
}

#[table]
#[tokio::test]
async fn an_answer_that_cannot_be_repaired_goes_to_the_rules(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let (answer, times) = asked(protocol, vec![protocol.answer("I would rather not say.")]).await;
    by_rules(&answer, "its answer cannot be used, nor the repaired one", true);
    assert_eq!(times, 2, "one repair, no more");
}

#[table]
#[tokio::test]
async fn a_payload_of_the_wrong_type_is_mended_where_that_is_safe(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let text = r#"{"action":"Record-Learning","reasoning":"r","payload":{"title":7,"inputs":"one"},"priority":null}"#;
    let (answer, times) = asked(protocol, vec![protocol.answer(text)]).await;
    by_the_model(&answer);
    assert_eq!((times, answer.output.priority), (1, Priority::Medium));
    assert_eq!(
        (answer.output.payload.title.as_deref(), &*answer.output.payload.inputs),
        (Some("7"), &["one".to_owned()][..])
    );
}

#[table]
#[tokio::test]
async fn an_answer_of_ten_megabytes(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let Step::Send(piece) = chunk(protocol.delta(&"x".repeat(200_000)).as_bytes()) else { panic!() };
    let endless = vec![stream_head(), chunk(protocol.beginning().as_bytes()), Step::Forever(piece)];
    let (answer, times) = asked(protocol, vec![endless]).await;
    by_rules(&answer, "the answer has more than 10000000 bytes", true);
    assert_eq!(times, 1);
}

#[table]
#[tokio::test]
async fn a_line_that_never_ends_is_cut_as_well(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let Step::Send(piece) = chunk("x".repeat(200_000).as_bytes()) else { panic!() };
    let (answer, _) = asked(protocol, vec![vec![stream_head(), chunk(b"data: "), Step::Forever(piece)]]).await;
    by_rules(&answer, "the answer has more than 10000000 bytes", true);
}

#[table]
#[tokio::test]
async fn invalid_utf8(#[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol) {
    let mut bytes = protocol.beginning().into_bytes();
    bytes.extend_from_slice(b"data: {\"text\":\"\xff\xfe\"}\n\n");
    let broken = vec![stream_head(), chunk(&bytes)];
    let (answer, times) = asked(protocol, vec![broken.clone(), protocol.answer(GOOD)]).await;
    by_the_model(&answer);
    assert_eq!(times, 2);
    let (answer, _) = asked(protocol, vec![broken]).await;
    by_rules(&answer, "no UTF-8", false);
}

#[table]
#[tokio::test]
async fn what_is_no_json_and_what_is_no_stream(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let (answer, _) = asked(protocol, vec![stream("data: {\"type\": \n\n", 512)]).await;
    by_rules(&answer, "cannot be read", false);
    let (answer, _) = asked(protocol, vec![reply(200, &[], "{\"ok\":true}")]).await;
    by_rules(&answer, "a stream of events was asked for, and application/json came", false);
}

#[table]
#[tokio::test]
async fn a_stream_that_falls_silent(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let silent = vec![stream_head(), chunk(protocol.beginning().as_bytes()), Step::Silence];
    let (answer, times) = asked_with(protocol, vec![silent, protocol.answer(GOOD)], |config| {
        config.idle_timeout = Duration::from_millis(150);
    })
    .await;
    by_the_model(&answer);
    assert_eq!(times, 2);
}

#[tokio::test]
async fn who_says_nothing_is_given_up_where_somebody_else_can_be_asked() {
    let silent = HttpServer::start(vec![vec![Step::Silence]]).await;
    let other = HttpServer::start(vec![Protocol::Gemini.answer(GOOD)]).await;
    let mut config = Protocol::Gemini.config(&other.url());
    config.anthropic = Protocol::Anthropic.config(&silent.url()).anthropic;
    config.decide = ["anthropic", "gemini", "rules"].iter().map(|link| Link::parse(link).unwrap()).collect();
    config.thinking_timeout = Duration::from_millis(900);
    config.header_timeout = Duration::from_secs(30);
    let answer = ask(&mind(config), &asking()).await.unwrap();
    assert_eq!(answer.provider, "gemini");
    assert!(answer.fell_back[0].contains("it said nothing"), "{:?}", answer.fell_back);
    assert_eq!(silent.asked().len(), 1, "and it is not asked again");
}

#[table]
#[tokio::test]
async fn a_stream_that_never_ends(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
) {
    let Step::Send(ping) = chunk(b": still thinking\n\n") else { panic!() };
    let endless =
        vec![stream_head(), chunk(protocol.beginning().as_bytes()), Step::Drip(ping, Duration::from_millis(20))];
    let server = HttpServer::start(vec![endless]).await;
    let mut config = protocol.config(&server.url());
    config.idle_timeout = Duration::from_millis(500);
    config.thinking_timeout = Duration::from_millis(1_200);
    let ended = ask(&mind(config), &asking()).await.unwrap_err();
    assert!(matches!(ended, NoAnswer::TimedOut(limit) if limit == Duration::from_millis(1_200)), "{ended:?}");
    assert_eq!(server.asked().len(), 1, "signs of life are no silence, and the time for the question still ends");
}
