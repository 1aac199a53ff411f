//! `github_stargazers` against a server that answers as GitHub does.

use serde_json::{Value, json};

use crate::http_server::{HttpServer, reply};
use crate::program::Tool;

fn star(login: &str, at: &str) -> Value {
    json!({ "starred_at": at, "user": { "login": login, "id": 1, "html_url": format!("https://github.com/{login}") } })
}

fn profile(login: &str, email: Option<&str>, bio: &str) -> String {
    json!({
        "login": login, "html_url": format!("https://github.com/{login}"), "name": format!("{login} Lovelace"), "company": "@engines",
        "blog": "", "location": "London", "email": email, "bio": bio, "twitter_username": null, "followers": 12,
    })
    .to_string()
}

/// A moment so many days before now.
fn ago(days: i64) -> String {
    (fullsend::contracts::SystemClock.now() - chrono::TimeDelta::days(days)).to_rfc3339()
}

use fullsend::contracts::Clock as _;

#[tokio::test]
async fn the_newest_come_first_with_what_their_profile_says() {
    let page = json!([star("old", &ago(300)), star("ada", &ago(3)), star("bob", &ago(1))]).to_string();
    let answers = vec![
        reply(200, &[], &page),
        reply(200, &[], &profile("bob", None, "CTO at Engines")),
        reply(200, &[], &profile("ada", Some("Ada@Engines.example"), "CTO")),
    ];
    let server = HttpServer::start(answers).await;
    let params = json!({ "repos": "acme/tool", "base_url": server.url(), "starred_within_days": 90, "filters": [{ "has_email": true }, { "title_contains": ["CTO"] }] });
    let said = Tool::live("github_stargazers", params).secret("GITHUB_TOKEN", "ghp_canary").go().await;
    let result = said.result();
    assert_eq!(result["count"], json!(1), "{result}");
    let row = &result["rows"][0];
    assert_eq!(
        (&row["email"], &row["first_name"], &row["company"]),
        (&json!("ada@engines.example"), &json!("ada"), &json!("engines"))
    );
    assert_eq!((&row["repo_name"], &row["days_ago"]), (&json!("acme/tool"), &json!(3)));
    assert_eq!(result["filtered_out"], json!({ "has_email": 1 }));
    let asked = server.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["GET /repos/acme/tool/stargazers?per_page=100&page=1", "GET /users/bob", "GET /users/ada"]);
    assert_eq!(asked[0].header("accept"), Some("application/vnd.github.star+json"));
    assert_eq!(asked[0].header("authorization"), Some("Bearer ghp_canary"));
    assert!(!said.lines.iter().any(|line| line.to_string().contains("canary")));
}

#[tokio::test]
async fn pages_are_read_from_the_last_one_until_there_are_enough() {
    let link = "<https://api.github.com/repositories/1/stargazers?per_page=100&page=2>; rel=\"next\", <https://api.github.com/repositories/1/stargazers?per_page=100&page=3>; rel=\"last\"";
    let answers = vec![
        reply(200, &[("link", link)], &json!([star("a", &ago(9))]).to_string()),
        reply(200, &[], &json!([star("c", &ago(2)), star("d", &ago(1))]).to_string()),
        reply(200, &[], &json!([star("b", &ago(5))]).to_string()),
    ];
    let server = HttpServer::start(answers).await;
    let params = json!({ "repos": ["acme/tool"], "base_url": server.url(), "details": false, "limit": 3 });
    let said = Tool::live("github_stargazers", params).go().await;
    let logins: Vec<_> = said.result()["rows"].as_array().unwrap().iter().map(|row| row["login"].clone()).collect();
    assert_eq!(logins, [json!("d"), json!("c"), json!("b")]);
    assert!(server.asked()[1].line.ends_with("page=3") && server.asked()[2].line.ends_with("page=2"));
}

#[tokio::test]
async fn a_limit_that_is_soon_over_is_waited_for_and_a_long_one_ends_it_with_what_there_is() {
    let page = json!([star("a", &ago(2)), star("b", &ago(1))]).to_string();
    let answers = vec![
        reply(429, &[("retry-after", "0")], r#"{"message":"secondary rate limit"}"#),
        reply(200, &[], &page),
        reply(200, &[], &profile("b", None, "")),
        reply(
            403,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "4102444800")],
            r#"{"message":"API rate limit exceeded"}"#,
        ),
    ];
    let server = HttpServer::start(answers).await;
    let params = json!({ "repos": "acme/tool", "base_url": server.url() });
    let said = Tool::live("github_stargazers", params.clone()).go().await;
    assert_eq!(said.result()["count"], json!(1), "{}", said.result());
    let why = said.result()["incomplete"].as_str().unwrap();
    assert!(why.contains("API rate limit exceeded") && why.contains("it wants to be asked again in"), "{why}");
    // With nobody found, it failed.
    let answers = vec![reply(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "4102444800")], "{}")];
    let server = HttpServer::start(answers).await;
    let said = Tool::live("github_stargazers", json!({ "repos": "acme/tool", "base_url": server.url() })).go().await;
    assert_eq!(said.error().0, "transient");
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told() {
    for (status, code, why) in [
        (404, "invalid_params", "GitHub knows no repository `acme/tool`"),
        (401, "unauthorized", "GitHub answered 401: Bad credentials"),
    ] {
        let server = HttpServer::start(vec![reply(status, &[], r#"{"message":"Bad credentials"}"#)]).await;
        let said =
            Tool::live("github_stargazers", json!({ "repos": "acme/tool", "base_url": server.url() })).go().await;
        assert_eq!(said.error().0, code);
        assert!(said.error().1.contains(why), "{:?}", said.error());
    }
    for repo in ["acme", "acme/tool/x", "../x", "a/..", "a b/c", ""] {
        let said = Tool::live("github_stargazers", json!({ "repos": [repo] })).go().await;
        assert!(said.error().1.contains("is no OWNER/NAME"), "{repo}: {:?}", said.error());
    }
    let server = HttpServer::start(vec![reply(200, &[], r#"{"not":"a list"}"#)]).await;
    let said = Tool::live("github_stargazers", json!({ "repos": "acme/tool", "base_url": server.url() })).go().await;
    assert_eq!(said.error().0, "tool");
}
