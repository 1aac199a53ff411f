//! `web_page`: what pages say.
//!
//! Owns the fetching: size, time and redirects have limits. Which hosts may be reached, and that private addresses may not be, is for whoever
//! runs it to hold; this keeps to the hosts that it was given all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{Asking, Http};
use super::{Failed, Job, fit, html, object};
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::experiments::spec::Span;

/// Most bytes of a page.
const PAGE: usize = 2 * 1_024 * 1_024;
/// Most redirects.
const REDIRECTS: usize = 5;
/// Most pages.
const PAGES: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    urls: Urls,
    #[serde(default = "text_limit")]
    text_limit: usize,
    pause: Option<Span>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Several(Vec<String>),
}

fn text_limit() -> usize {
    4_000
}

pub(super) async fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    let texts = match &params.urls {
        Urls::One(url) => vec![url.clone()],
        Urls::Several(urls) => urls.clone(),
    };
    if texts.is_empty() || texts.len() > PAGES {
        return Err(Failed::params(format!("parameter `urls`: 1 to {PAGES} pages")));
    }
    let urls = texts.iter().map(|text| page_url(text)).collect::<Result<Vec<_>, _>>()?;
    let hosts: BTreeSet<String> = urls.iter().map(place).collect();
    let http = Http::new(Duration::from_secs(20))?;
    let pause = params.pause.map_or(Duration::from_secs(1), |span| span.0);
    let (mut rows, mut failed) = (Vec::new(), 0);
    for (number, url) in urls.iter().enumerate() {
        if number > 0 {
            tokio::time::sleep(pause).await;
        }
        let row = match fetch(job, &http, url.clone(), &hosts, params.text_limit).await {
            Ok(row) => row,
            Err(why) => {
                failed += 1;
                object(json!({ "url": url.as_str(), "error": sanitize_line(&why.message, 300) }))
            }
        };
        rows.push(row);
        job.progress(number as u64 + 1, Some(urls.len() as u64), url.host_str().unwrap_or_default())?;
    }
    if failed == urls.len() {
        let why = rows.first().and_then(|row| row["error"].as_str()).unwrap_or_default().to_owned();
        let code = crate::contracts::messages::ErrorCode::Tool;
        return Err(Failed::new(code, format!("no page could be read: {why}"))
            .with(object(json!({ "rows": rows, "count": 0 }))));
    }
    let (rows, left_out) = fit(rows);
    Ok(object(json!({ "count": rows.len(), "rows": rows, "failed": failed, "left_out": left_out })))
}

fn page_url(text: &str) -> Result<Url, Failed> {
    let wrong = |why: &str| Failed::params(format!("parameter `urls`: `{}` {why}", sanitize_line(text, 120)));
    let url = Url::parse(text.trim()).map_err(|_| wrong("is no URL; write https://HOST/PAGE"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is no page; write https://HOST/PAGE"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a user or a password in it"));
    }
    Ok(url)
}

/// Host and port.
fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

async fn fetch(
    job: &mut Job,
    http: &Http,
    mut url: Url,
    hosts: &BTreeSet<String>,
    text_limit: usize,
) -> Result<Map<String, Value>, Failed> {
    let asked = url.to_string();
    for _ in 0..=REDIRECTS {
        let asking =
            Asking::get(url.clone(), PAGE).header("accept", "text/html,application/xhtml+xml,text/plain;q=0.8");
        let answered = http.insist(job, &asking).await?;
        if (300..400).contains(&answered.status)
            && let Some(to) = answered.header("location")
        {
            let to = url.join(to).map_err(|_| Failed::params("it redirects to what is no URL"))?;
            if !matches!(to.scheme(), "http" | "https") || !hosts.contains(&place(&to)) {
                let what = format!("it redirects to {}, which was not asked for", sanitize_line(&place(&to), 120));
                return Err(Failed::params(what));
            }
            url = to;
            continue;
        }
        if !answered.is_good() {
            return Err(answered.refusal(&place(&url)));
        }
        let kind = answered.header("content-type").unwrap_or("text/html").to_ascii_lowercase();
        let body = String::from_utf8_lossy(&answered.body);
        let page = if kind.contains("html") {
            html::read(&body, &url, text_limit).ok_or_else(|| Failed::params("it is nested without end"))?
        } else if kind.starts_with("text/") {
            let emails = html::found_emails(&body).into_iter().collect();
            html::Page { text: html::cut(&body, text_limit), emails, ..html::Page::default() }
        } else {
            return Err(Failed::params(format!("it is no page but {}", sanitize_line(&kind, 60))));
        };
        return Ok(object(json!({
            "url": asked, "final_url": url.as_str(), "status": answered.status, "title": sanitize_line(&page.title, 300),
            "description": sanitize_line(&page.description, 500), "text": sanitize(&page.text, 2_000), "links": page.links,
            "emails": page.emails, "email": page.emails.first(), "is_cut": answered.is_cut,
        })));
    }
    Err(Failed::params(format!("it redirects more than {REDIRECTS} times")))
}
