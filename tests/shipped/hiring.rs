//! `hn_who_is_hiring` against a server that answers as the search of Hacker News does.

use serde_json::{Value, json};

use crate::http_server::{HttpServer, reply};
use crate::program::Tool;

fn threads() -> String {
    json!({
        "hits": [
            { "objectID": "3", "title": "Ask HN: Freelancer? Seeking freelancer? (March 2026)" },
            { "objectID": "2", "title": "Ask HN: Who is hiring? (March 2026)" },
            { "objectID": "1", "title": "Ask HN: Who is hiring? (February 2026)" },
        ],
        "nbPages": 1,
    })
    .to_string()
}

fn posts() -> String {
    let post = |id: u64, author: &str, text: Value| json!({ "id": id, "author": author, "text": text, "created_at": "2026-03-02T16:00:00Z", "children": [] });
    let engines = "Engines (YC S24) | Senior Rust Engineer | Berlin, Germany | REMOTE (EU) | https:&#x2F;&#x2F;engines.example<p>We use LLM agents. Write to jobs@engines.example";
    json!({
        "id": 2, "title": "Ask HN: Who is hiring? (March 2026)",
        "children": [
            post(11, "ada", json!(engines)),
            post(12, "bob", json!("Shop | PHP dev | London | ONSITE<p>write bob at shop dot example")),
            post(13, "eve", json!("Interns wanted | Rust | REMOTE")),
            post(14, "gone", Value::Null),
        ],
    })
    .to_string()
}

#[tokio::test]
async fn posts_of_the_latest_thread_become_rows() {
    let server = HttpServer::start(vec![reply(200, &[], &threads()), reply(200, &[], &posts())]).await;
    let params =
        json!({ "base_url": format!("{}/api/v1", server.url()), "keywords": ["rust"], "exclude": ["interns"] });
    let said = Tool::live("hn_who_is_hiring", params).go().await;
    let result = said.result();
    assert_eq!((&result["count"], &result["read"]), (&json!(1), &json!(3)), "{result}");
    let row = &result["rows"][0];
    assert_eq!(
        (&row["company"], &row["role"], &row["email"]),
        (&json!("Engines"), &json!("Senior Rust Engineer"), &json!("jobs@engines.example"))
    );
    assert_eq!((&row["location"], &row["remote"]), (&json!("Berlin, Germany | REMOTE (EU)"), &json!(true)));
    assert_eq!(row["link"], json!("https://news.ycombinator.com/item?id=11"));
    assert_eq!(result["filtered_out"], json!({ "exclude": 1, "keywords": 1 }));
    assert_eq!(server.asked()[1].line, "GET /api/v1/items/2");
}

#[tokio::test]
async fn a_month_can_be_named_and_what_is_no_address_is_left_alone() {
    let server = HttpServer::start(vec![reply(200, &[], &threads()), reply(200, &[], &posts())]).await;
    let params =
        json!({ "base_url": server.url(), "month": "february 2026", "filters": [{ "location_contains": "London" }] });
    let said = Tool::live("hn_who_is_hiring", params).go().await;
    assert_eq!(server.asked()[1].line, "GET /items/1");
    assert_eq!(said.result()["rows"][0]["email"], json!(""));
    assert!(said.logs()[0].contains("February 2026"));
    let server = HttpServer::start(vec![reply(200, &[], &threads())]).await;
    let said = Tool::live("hn_who_is_hiring", json!({ "base_url": server.url(), "month": "May 1999" })).go().await;
    assert_eq!(said.error(), ("invalid_params", "there is no thread \"who is hiring\" of May 1999"));
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_and_then_told() {
    let answers =
        vec![reply(503, &[("retry-after", "0")], "{}"), reply(200, &[], &threads()), reply(200, &[], &posts())];
    let server = HttpServer::start(answers).await;
    let said = Tool::live("hn_who_is_hiring", json!({ "base_url": server.url() })).go().await;
    assert_eq!(said.result()["count"], json!(3));
    let server = HttpServer::start(vec![reply(503, &[("retry-after", "0")], "{}")]).await;
    let said = Tool::live("hn_who_is_hiring", json!({ "base_url": server.url() })).go().await;
    assert_eq!((said.error().0, server.asked().len()), ("transient", 4));
    let server = HttpServer::start(vec![reply(200, &[], "<html>")]).await;
    let said = Tool::live("hn_who_is_hiring", json!({ "base_url": server.url() })).go().await;
    assert_eq!(said.error().0, "tool");
}
