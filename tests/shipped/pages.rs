//! `web_page` against local servers.

use serde_json::json;

use crate::http_server::{HttpServer, Step, reply};
use crate::program::Tool;

fn page(kind: &str, body: &str) -> Vec<Step> {
    vec![Step::Send(
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes(),
    )]
}

#[tokio::test]
async fn a_page_is_fetched_and_read() {
    let server = HttpServer::start(vec![
        reply(302, &[("location", "/there")], ""),
        page(
            "text/html; charset=utf-8",
            "<title>Acme\x1b[2J</title><p>Hello, write to sales@acme.example</p><a href='/about'>x</a>",
        ),
    ])
    .await;
    let said = Tool::live("web_page", json!({ "urls": format!("{}/here", server.url()) })).go().await;
    let row = &said.result()["rows"][0];
    assert_eq!((&row["title"], &row["status"]), (&json!("Acme"), &json!(200)), "{row}");
    assert_eq!(
        (&row["email"], &row["links"]),
        (&json!("sales@acme.example"), &json!([format!("{}/about", server.url())]))
    );
    assert_eq!(row["final_url"], json!(format!("{}/there", server.url())));
    assert!(!said.lines.iter().any(|line| line.to_string().contains("\\u001b")));
}

#[tokio::test]
async fn a_redirect_to_another_host_ends_there() {
    let other = HttpServer::start(vec![page("text/html", "secret")]).await;
    let server = HttpServer::start(vec![reply(302, &[("location", &other.url())], "")]).await;
    let said = Tool::live("web_page", json!({ "urls": [server.url()] })).go().await;
    assert!(said.error().1.contains("which was not asked for"), "{:?}", said.error());
    assert!(other.asked().is_empty());
    let round = HttpServer::start(vec![reply(302, &[("location", "/x")], "")]).await;
    let said = Tool::live("web_page", json!({ "urls": [round.url()] })).go().await;
    assert!(said.error().1.contains("redirects more than 5 times"), "{:?}", said.error());
}

#[tokio::test]
async fn one_page_that_cannot_be_read_leaves_the_others() {
    let bad = HttpServer::start(vec![reply(404, &[], "{}")]).await;
    let good = HttpServer::start(vec![page("text/plain", "just text of a@b.example")]).await;
    let said = Tool::live("web_page", json!({ "urls": [bad.url(), good.url()], "pause": "0s" })).go().await;
    let result = said.result();
    assert_eq!((&result["count"], &result["failed"]), (&json!(2), &json!(1)), "{result}");
    assert!(result["rows"][0]["error"].as_str().unwrap().contains("404"));
    assert_eq!(result["rows"][1]["emails"], json!(["a@b.example"]));
}

#[tokio::test]
async fn too_much_is_cut_and_what_is_no_page_is_not_read() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<title>Endless</title>".to_vec();
    let server = HttpServer::start(vec![vec![Step::Send(head), Step::Forever(b"word ".repeat(1_000))]]).await;
    let said = Tool::live("web_page", json!({ "urls": [server.url()], "text_limit": 500 })).go().await;
    let row = &said.result()["rows"][0];
    assert_eq!((&row["title"], &row["is_cut"]), (&json!("Endless"), &json!(true)));
    assert_eq!(row["text"].as_str().unwrap().chars().count(), 500);
    let server = HttpServer::start(vec![page("application/pdf", "%PDF")]).await;
    let said = Tool::live("web_page", json!({ "urls": [server.url()] })).go().await;
    assert!(said.error().1.contains("it is no page but application/pdf"), "{:?}", said.error());
    for url in ["file:///etc/passwd", "acme.example", "https://a:b@acme.example/", "ftp://acme.example/"] {
        let said = Tool::live("web_page", json!({ "urls": [url] })).go().await;
        assert_eq!(said.error().0, "invalid_params", "{url}");
    }
}
