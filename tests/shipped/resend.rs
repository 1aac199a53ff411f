//! `email_send` over the Resend API.

use serde_json::json;

use crate::http_server::{HttpServer, Step, reply};
use crate::program::Tool;

fn tool(server: &HttpServer) -> Tool {
    let params = json!({
        "recipients": [{ "email": "grace@one.example", "first_name": "Grace" }, { "email": "linus@two.example", "first_name": "Linus" }],
        "subject": "A question", "template": "Hi {{first_name}}", "sender": "ada@acme.example", "postal_address": "Acme, 1 Main Street",
        "unsubscribe": "stop@acme.example", "base_url": server.url(), "variants": [{ "name": "bold one" }],
    });
    Tool::live("email_send", params).secret("RESEND_API_KEY", "re_canary")
}

#[tokio::test]
async fn each_mail_is_one_request_with_a_key_of_its_own() {
    let server = HttpServer::start(vec![reply(200, &[], r#"{"id":"a1"}"#), reply(200, &[], r#"{"id":"a2"}"#)]).await;
    let said = tool(&server).go().await;
    assert_eq!(said.result()["sent"], json!(2), "{}", said.result());
    assert_eq!(said.done()[1]["receipt"], json!("resend:a2"));
    let asked = server.asked();
    let first = &asked[0];
    assert_eq!(first.line, "POST /emails");
    assert_eq!(first.header("authorization"), Some("Bearer re_canary"));
    assert_ne!(first.header("idempotency-key"), asked[1].header("idempotency-key"));
    assert_eq!((&first.body["from"], &first.body["to"]), (&json!("ada@acme.example"), &json!(["grace@one.example"])));
    assert!(
        first.body["headers"]["List-Unsubscribe"]
            .as_str()
            .unwrap()
            .starts_with("<mailto:stop@acme.example?subject=unsubscribe%20")
    );
    let tag = first.body["tags"][0]["value"].as_str().unwrap();
    assert!(tag.starts_with("fs1--exp_20260301_forum--first--bold-x20one--") && tag.len() <= 256, "{tag}");
    assert!(!said.lines.iter().any(|line| line.to_string().contains("canary")));
}

#[tokio::test]
async fn what_may_go_better_is_tried_again_with_the_same_key() {
    let answers = vec![
        reply(429, &[("retry-after", "0")], r#"{"message":"slow down"}"#),
        reply(500, &[("retry-after", "0")], "{}"),
        reply(200, &[], r#"{"id":"a1"}"#),
    ];
    let server = HttpServer::start(answers).await;
    let said = tool(&server).go().await;
    assert_eq!(said.result()["sent"], json!(2));
    let keys: Vec<_> = server.asked().iter().map(|asked| asked.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((keys.len(), &keys[0], &keys[1]), (4, &keys[1], &keys[2]));
}

#[tokio::test]
async fn a_refused_key_ends_it_and_a_refused_mail_does_not() {
    let server = HttpServer::start(vec![reply(401, &[], r#"{"message":"API key is invalid"}"#)]).await;
    let said = tool(&server).go().await;
    assert_eq!(said.error(), ("unauthorized", "the Resend API answered 401: API key is invalid"));
    assert_eq!(server.asked().len(), 1);
    let answers = vec![reply(422, &[], r#"{"message":"Invalid `to` field"}"#), reply(200, &[], r#"{"id":"a2"}"#)];
    let server = HttpServer::start(answers).await;
    let said = tool(&server).go().await;
    assert_eq!((&said.result()["sent"], &said.result()["failed"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let cut = vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()), Step::Cut];
    let server = HttpServer::start(vec![cut, reply(200, &[], r#"{"id":"a1"}"#)]).await;
    let said = tool(&server).go().await;
    assert_eq!(said.result()["sent"], json!(2), "the key makes it one mail");
    assert_eq!(server.asked()[0].header("idempotency-key"), server.asked()[1].header("idempotency-key"));
}

#[tokio::test]
async fn without_a_server_or_a_key_nothing_can_be_sent() {
    let params = json!({
        "recipients": [{ "email": "grace@one.example" }], "subject": "s", "template": "t", "sender": "ada@acme.example",
        "postal_address": "Acme, 1 Main Street", "unsubscribe": "stop@acme.example",
    });
    let said = Tool::live("email_send", params).go().await;
    assert!(
        said.error().1.contains("`outreach.smtp`") && said.error().1.contains("RESEND_API_KEY"),
        "{:?}",
        said.error()
    );
    assert!(said.actions().is_empty());
}
