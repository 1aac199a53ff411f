//! Streams as they should be.

use fullsend::config::ProviderName;
use fullsend::contracts::messages::Tokens;
use fullsend::llm::tasks::Action;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

use crate::http_server::{HttpServer, Step, stream};
use crate::protocol::{KEY, Protocol, event};
use crate::rig::{GOOD, answered};

const USED: Tokens = Tokens { uncached: 80, cache_write: 0, cache_read: 20, output: 60 };

#[rstest]
#[tokio::test]
async fn an_answer_is_the_same_in_whatever_pieces_it_comes(
    #[values(Protocol::Anthropic, Protocol::Gemini, Protocol::Openai)] protocol: Protocol,
    #[values(1, 7, 100_000)] piece: usize,
) {
    let server = HttpServer::start(vec![stream(&protocol.whole(GOOD), piece)]).await;
    let answer = answered(protocol.config(&server.url())).await;
    assert_eq!(answer.fell_back, Vec::<String>::new());
    assert_eq!((answer.provider, answer.model.as_str()), (protocol.name(), protocol.model()));
    assert_eq!(answer.output.action, Action::RecordLearning);
    assert_eq!(answer.output.reasoning, "CTOs — über all — answer");
    assert_eq!(answer.reasoning, "Let me think.");
    assert_eq!(answer.tokens, USED, "exactly what the provider counted, each token in one class");
    assert!(!answer.flagged);
}

/// The message stands in the user's turn, as JSON in its block, and nowhere else.
fn holds_the_message(user: &str, system: &str) {
    assert!(user.contains(r"\u003c/message\u003e What if we scraped stargazers?"), "{user}");
    assert!(!system.contains("stargazers") && system.starts_with("You are the Orchestrator"), "{system}");
}

#[tokio::test]
async fn anthropic_is_asked_as_it_wants_to_be() {
    let server = HttpServer::start(vec![Protocol::Anthropic.answer(GOOD)]).await;
    answered(Protocol::Anthropic.config(&server.url())).await;
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /v1/messages");
    assert_eq!(asked.header("x-api-key"), Some(KEY));
    assert_eq!(asked.header("anthropic-version"), Some("2023-06-01"));
    let body = &asked.body;
    assert_eq!((&body["stream"], &body["max_tokens"]), (&json!(true), &json!(16_000)));
    assert_eq!(body["thinking"], json!({ "type": "adaptive", "display": "summarized" }));
    assert_eq!(body["output_config"]["effort"], json!("high"));
    assert_eq!(body["output_config"]["format"]["type"], json!("json_schema"));
    assert_eq!(body["output_config"]["format"]["schema"]["additionalProperties"], json!(false));
    assert_eq!(body["system"][0]["cache_control"], json!({ "type": "ephemeral" }));
    assert!(body.get("temperature").is_none() && body.get("tool_choice").is_none());
    holds_the_message(body["messages"][0]["content"].as_str().unwrap(), body["system"][0]["text"].as_str().unwrap());
}

#[rstest]
#[case("claude-opus-4-5-20251101", json!({ "type": "enabled", "budget_tokens": 10_000 }), Value::Null, true)]
#[case("claude-opus-4-20250514", json!({ "type": "enabled", "budget_tokens": 10_000 }), Value::Null, false)]
#[case("claude-opus-5-5", json!({ "type": "adaptive", "display": "summarized" }), json!("high"), true)]
#[tokio::test]
async fn each_claude_is_asked_to_think_in_its_dialect(
    #[case] model: &str,
    #[case] thinking: Value,
    #[case] effort: Value,
    #[case] structured: bool,
) {
    let server = HttpServer::start(vec![Protocol::Anthropic.answer(GOOD)]).await;
    let mut config = Protocol::Anthropic.config(&server.url());
    config.decide[0].model = Some(model.to_owned());
    answered(config).await;
    let body = &server.asked()[0].body;
    assert_eq!(body["thinking"], thinking);
    assert_eq!(body["output_config"]["effort"], effort);
    assert_eq!(body["output_config"]["format"].is_object(), structured);
    let system = body["system"][0]["text"].as_str().unwrap();
    assert_eq!(system.contains("\"additionalProperties\":false"), !structured, "the schema is in one place");
}

#[tokio::test]
async fn gemini_is_asked_as_it_wants_to_be() {
    let server = HttpServer::start(vec![Protocol::Gemini.answer(GOOD)]).await;
    answered(Protocol::Gemini.config(&server.url())).await;
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /v1beta/models/gemini-3.6-flash:streamGenerateContent?alt=sse");
    assert_eq!(asked.header("x-goog-api-key"), Some(KEY));
    let config = &asked.body["generationConfig"];
    assert_eq!(config["maxOutputTokens"], json!(16_000));
    assert_eq!(config["thinkingConfig"], json!({ "includeThoughts": true, "thinkingLevel": "HIGH" }));
    assert_eq!(config["responseMimeType"], json!("application/json"));
    assert_eq!(config["responseJsonSchema"]["properties"]["action"]["enum"].as_array().unwrap().len(), 8);
    holds_the_message(
        asked.body["contents"][0]["parts"][0]["text"].as_str().unwrap(),
        asked.body["systemInstruction"]["parts"][0]["text"].as_str().unwrap(),
    );
}

#[tokio::test]
async fn a_compatible_server_is_asked_as_it_wants_to_be() {
    let server = HttpServer::start(vec![Protocol::Openai.answer(GOOD)]).await;
    // Some people's variable has the version in it.
    for url in [server.url(), format!("{}/v1", server.url()), format!("{}/openai/v3/", server.url())] {
        answered(Protocol::Openai.config(&url)).await;
    }
    let lines: Vec<_> = server.asked().iter().map(|asked| asked.line.clone()).collect();
    assert_eq!(lines, ["POST /v1/chat/completions", "POST /v1/chat/completions", "POST /openai/v3/chat/completions"]);
    let asked = &server.asked()[0];
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(asked.body["stream_options"], json!({ "include_usage": true }));
    assert_eq!(asked.body["response_format"]["json_schema"]["strict"], json!(true));
    holds_the_message(
        asked.body["messages"][1]["content"].as_str().unwrap(),
        asked.body["messages"][0]["content"].as_str().unwrap(),
    );
}

#[tokio::test]
async fn reasoning_within_the_text_is_told_apart_also_where_the_tag_is_cut() {
    let chunk = |text: &str| event(json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }));
    let end = event(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }));
    let (before, after) = GOOD.split_at(40);
    let pieces = ["<thi", "nk>Is it {\"a\":1}", "?</th", "ink>", "\n\n", before, after];
    let text: String = pieces.map(chunk).concat() + &end + "data: [DONE]\n\n";
    let server = HttpServer::start(vec![stream(&text, 64)]).await;
    let answer = answered(Protocol::Openai.config(&server.url())).await;
    assert_eq!((answer.reasoning.as_str(), answer.output.action), ("Is it {\"a\":1}?", Action::RecordLearning));
    assert!(answer.tokens.output >= 10 && answer.tokens.uncached > 100, "counted by us, as the server did not");
}

#[tokio::test]
async fn a_redirect_is_not_followed_so_that_no_key_goes_along() {
    let other = HttpServer::start(vec![Protocol::Anthropic.answer(GOOD)]).await;
    let location = format!("{}/v1/messages", other.url());
    let head = format!("HTTP/1.1 307 X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let server = HttpServer::start(vec![vec![Step::Send(head.into_bytes())]]).await;
    let answer = answered(Protocol::Anthropic.config(&server.url())).await;
    assert_eq!(answer.provider, ProviderName::Rules.as_str());
    assert!(answer.fell_back[0].contains("it answered 307"), "{:?}", answer.fell_back);
    assert_eq!((server.asked().len(), other.asked().len()), (1, 0));
}
