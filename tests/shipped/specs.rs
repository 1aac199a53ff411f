//! Specifications that others wrote, put right, and run dry from their first step to their last by the tools that are shipped.

use std::collections::BTreeMap;
use std::path::Path;

use fullsend::contracts::{Clock as _, SystemClock};
use fullsend::experiments::check::Known;
use fullsend::experiments::fix::fix;
use fullsend::experiments::steps::{plan, resolve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::program::Tool;

/// Something that answers as GitHub does, whatever repository and whoever is asked about.
async fn github() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = vec![0; 16_384];
                let mut read = 0;
                while !asked[..read].ends_with(b"\r\n\r\n") {
                    match stream.read(&mut asked[read..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(more) => read += more,
                    }
                }
                let head = String::from_utf8_lossy(&asked[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let body = if let Some(login) = path.strip_prefix("/users/") {
                    json!({ "login": login, "html_url": format!("https://github.com/{login}"), "name": "Ada Lovelace", "company": "@engines",
                        "blog": "", "location": "London", "email": format!("{login}@engines.example"), "bio": "CTO and founder",
                        "twitter_username": null, "followers": 12 })
                } else {
                    let at = (SystemClock.now() - chrono::TimeDelta::days(2)).to_rfc3339();
                    let login = format!("fan-of-{}", path.split('/').nth(3).unwrap_or_default().replace('.', "-"));
                    json!([{ "starred_at": at, "user": { "login": login, "id": 1, "html_url": "https://github.com/x" } }])
                };
                let body = body.to_string();
                let reply = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    url
}

const fn program(name: &str) -> &'static str {
    match name.as_bytes() {
        b"github_stargazers" => "github_stargazers",
        b"csv_leads" => "csv_leads",
        b"email_send" => "email_send",
        _ => "",
    }
}

#[tokio::test]
async fn four_of_those_that_others_wrote_run_dry_from_end_to_end() {
    let github = github().await;
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("leads.csv");
    std::fs::write(
        &list,
        "email,first_name,industry\nada@engines.example,Ada,fintech\nbo@looms.example,Bo,logistics\n",
    )
    .unwrap();
    for name in [
        "exp_20240115_github_stargazers",
        "exp_20260201_cto_competitor_stars",
        "exp_20260201_cto_stargazer_email",
        "exp_20260201_cto_cold_agentforge",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/experiments").join(format!("{name}.yaml"));
        let text = std::fs::read_to_string(path).unwrap();
        let fixed = fix(&text, &Known::default(), SystemClock.now().date_naive());
        let spec = fixed.spec.unwrap_or_else(|| panic!("{name}: {:#?}", fixed.findings));
        let mut outputs: BTreeMap<String, Value> = BTreeMap::new();
        for planned in plan(&spec).unwrap() {
            let mut params = resolve(&planned.step.params, &outputs).unwrap();
            let tool = planned.step.tool.as_str();
            // Where a test has other places than a person, and what the settings would say.
            match tool {
                "github_stargazers" => drop(params.insert("base_url".to_owned(), json!(github))),
                "csv_leads" => drop(params.insert("path".to_owned(), json!(list))),
                _ => {
                    params.entry("sender").or_insert(json!("mara@acme.example"));
                    params.insert("postal_address".to_owned(), json!("1 Main Street, Springfield"));
                    params.insert("unsubscribe".to_owned(), json!("leave@acme.example"));
                    params.insert("domain_gap".to_owned(), json!("0s"));
                    params.insert("delay".to_owned(), json!("0s"));
                }
            }
            let said = Tool::dry(program(tool), Value::Object(params)).go().await;
            let result = said.result().clone();
            assert_ne!(result["success"], json!(false), "{name} {tool}: {result}");
            if tool == "email_send" {
                assert!(result["would_send"].as_u64().unwrap_or_default() > 0, "{name}: {result}");
                assert_eq!(result["failed"], json!(0), "{name}: {result}");
                let written = said.dir.path().read_dir().unwrap().count();
                assert!(written > 0, "{name}: what would have gone out is written down");
            } else {
                assert!(result["count"].as_u64().unwrap_or_default() > 0, "{name} {tool}: {result}");
            }
            outputs.insert(planned.step.id, result);
        }
    }
}
