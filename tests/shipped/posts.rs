//! `webhook_post` against local servers.

use serde_json::{Value, json};

use crate::http_server::{HttpServer, Step, reply};
use crate::program::Tool;

fn tool(server: &HttpServer, more: Value) -> Tool {
    let mut params = json!({ "url": format!("{}/hook?key=canary-in-url", server.url()) });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Tool::live("webhook_post", params).secret("WEBHOOK_TOKEN", "canary-token")
}

#[tokio::test]
async fn a_post_is_asked_for_and_made_with_a_key() {
    let server = HttpServer::start(vec![reply(200, &[], r#"{"ok":true}"#)]).await;
    let said = tool(&server, json!({ "body": { "text": "hi" }, "headers": { "X-Team": "gtm" } })).go().await;
    assert_eq!(said.result()["posted"], json!(1), "{}", said.result());
    let action = said.actions()[0];
    assert_eq!((&action["kind"], &action["target"]), (&json!("post"), &json!(format!("{}/hook", server.url()))));
    let asked = server.asked();
    assert_eq!((asked[0].line.as_str(), &asked[0].body), ("POST /hook?key=canary-in-url", &json!({ "text": "hi" })));
    assert_eq!(asked[0].header("idempotency-key").map(|key| json!(key)), Some(action["key"].clone()));
    assert_eq!(
        (asked[0].header("authorization"), asked[0].header("x-team")),
        (Some("Bearer canary-token"), Some("gtm"))
    );
    assert!(!said.lines.iter().any(|line| line.to_string().contains("canary")), "secrets are not said");
    // The same act has the same key, another has another.
    let again = tool(&server, json!({ "body": { "text": "hi" } })).go().await;
    assert_eq!(again.actions()[0]["key"], action["key"]);
    let other = tool(&server, json!({ "body": { "text": "ho" } })).go().await;
    assert_ne!(other.actions()[0]["key"], action["key"]);
}

#[tokio::test]
async fn several_are_posted_one_by_one_and_one_can_be_left_out() {
    let server = HttpServer::start(vec![reply(204, &[], "")]).await;
    let mut asked = 0;
    let said = tool(&server, json!({ "items": [{ "n": 1 }, { "n": 2 }, { "n": 3 }] }))
        .answering(move |_| {
            asked += 1;
            if asked == 2 { "skip" } else { "go" }
        })
        .go()
        .await;
    assert_eq!((&said.result()["posted"], &said.result()["skipped"]), (&json!(2), &json!(1)));
    assert_eq!(server.asked().iter().map(|asked| asked.body["n"].clone()).collect::<Vec<_>>(), [json!(1), json!(3)]);
}

#[tokio::test]
async fn a_dry_run_posts_nothing() {
    let server = HttpServer::start(vec![reply(200, &[], "{}")]).await;
    let said = Tool::dry("webhook_post", json!({ "url": server.url(), "body": [1, 2] })).go().await;
    assert_eq!((&said.result()["posted"], &said.result()["would_post"]), (&json!(0), &json!(1)));
    assert!(server.asked().is_empty());
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&said.outbox()[0]).unwrap()).unwrap();
    assert_eq!(written["body"], json!([1, 2]));
}

#[tokio::test]
async fn what_may_have_been_heard_is_not_said_twice() {
    let server = HttpServer::start(vec![vec![Step::Cut], reply(200, &[], "{}")]).await;
    let said = tool(&server, json!({ "body": 1 })).go().await;
    assert_eq!((said.error().0, server.asked().len()), ("tool", 1));
    assert_eq!(said.result()["unknown"], json!(1));
    assert_eq!(said.done()[0]["outcome"], json!("unknown"));
    // A server that says that it did not take it is asked again.
    let server = HttpServer::start(vec![reply(503, &[("retry-after", "0")], "{}"), reply(200, &[], "{}")]).await;
    assert_eq!(tool(&server, json!({ "body": 1 })).go().await.result()["posted"], json!(1));
    for (status, code) in [(401, "unauthorized"), (400, "tool")] {
        let server = HttpServer::start(vec![reply(status, &[], "{}")]).await;
        let said = tool(&server, json!({ "body": 1 })).go().await;
        assert_eq!((said.error().0, server.asked().len()), (code, 1));
    }
}

#[tokio::test]
async fn what_cannot_be_posted_is_refused_before_anything_is_asked() {
    for (params, why) in [
        (json!({ "url": "file:///etc/passwd", "body": 1 }), "it is no URL"),
        (json!({ "url": "https://a.example" }), "either `body` or `items`"),
        (json!({ "url": "https://a.example", "body": 1, "items": [1] }), "either `body` or `items`"),
        (json!({ "url": "https://a.example", "body": 1, "headers": { "Host": "b" } }), "is set by the tool itself"),
        (
            json!({ "url": "https://a.example", "body": 1, "headers": { "X": "a\r\nb: c" } }),
            "has a value that cannot be sent",
        ),
    ] {
        let said = Tool::live("webhook_post", params).go().await;
        assert!(said.error().1.contains(why), "{:?}", said.error());
        assert!(said.actions().is_empty());
    }
}
