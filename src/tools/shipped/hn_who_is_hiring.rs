//! `hn_who_is_hiring`: posts of the monthly threads of Hacker News, by the public search API (<https://hn.algolia.com/api>).
//!
//! Owns which thread it is, and what of a post becomes fields: by custom its first line is `Company | Role | Place | …`. An address is taken
//! only where it is written as one: what people wrote so that no program reads it is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{self, Asking, Http};
use super::{Failed, Job, conditions, fit, html, object};
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::{sanitize, sanitize_line};

const BASE: &str = "https://hn.algolia.com/api/v1";
/// Most bytes of an answer: a thread has up to some 3 MB.
const ANSWER: usize = 24 * 1_024 * 1_024;
/// Threads on a page of the search, and pages that are looked at.
const PAGE: usize = 50;
const PAGES: usize = 10;
/// Most characters of a post.
const TEXT: usize = 1_500;
/// The fields of a post.
const FIELDS: [&str; 9] = ["email", "company", "role", "location", "remote", "text", "author", "link", "posted_at"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(default)]
    kind: Kind,
    month: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    filters: Vec<Map<String, Value>>,
    #[serde(default = "hundred")]
    limit: usize,
    base_url: Option<String>,
}

fn hundred() -> usize {
    100
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Hiring,
    WantsToBeHired,
    Freelancer,
}

impl Kind {
    /// Words of the thread's title.
    const fn title(&self) -> &'static str {
        match self {
            Self::Hiring => "who is hiring",
            Self::WantsToBeHired => "who wants to be hired",
            Self::Freelancer => "freelancer",
        }
    }
}

#[derive(Deserialize)]
struct Found {
    hits: Vec<Hit>,
    #[serde(rename = "nbPages", default)]
    pages: usize,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "objectID")]
    id: String,
    title: Option<String>,
}

#[derive(Deserialize)]
struct Thread {
    #[serde(default)]
    children: Vec<Post>,
}

#[derive(Deserialize)]
struct Post {
    id: u64,
    author: Option<String>,
    text: Option<String>,
    created_at: Option<String>,
}

pub(super) async fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    let fields = FIELDS.map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
    let conditions = conditions::read(&params.filters, &fields).map_err(Failed::params)?;
    let http = Http::new(Duration::from_mins(1))?;
    let (id, title) = thread(job, &http, &params).await?;
    job.log(&format!("reading {title}"))?;
    let base = params.base_url.as_deref().unwrap_or(BASE);
    let thread: Thread = ask(job, &http, base, &format!("/items/{id}")).await?;
    let (mut rows, mut left_out, mut read) = (Vec::new(), 0, 0_u64);
    let mut filtered_out: BTreeMap<String, u64> = BTreeMap::new();
    let now = job.clock.now();
    for post in &thread.children {
        let Some(row) = row(post) else { continue };
        read += 1;
        let unmet = unmet(&row, &params).or_else(|| conditions::unmet(&conditions, &row, now));
        if let Some(unmet) = unmet {
            *filtered_out.entry(unmet.to_owned()).or_default() += 1;
        } else if rows.len() < params.limit {
            rows.push(row);
        } else {
            left_out += 1;
        }
    }
    job.progress(read, Some(read), "posts read")?;
    let (rows, cut) = fit(rows);
    Ok(object(json!({
        "count": rows.len(), "rows": rows, "thread": sanitize_line(&title, 120), "read": read, "filtered_out": filtered_out,
        "left_out": left_out + cut,
    })))
}

async fn ask<T: serde::de::DeserializeOwned>(job: &mut Job, http: &Http, base: &str, path: &str) -> Result<T, Failed> {
    let answered = http.insist(job, &Asking::get(http::url("base_url", base, path)?, ANSWER)).await?;
    if !answered.is_good() {
        return Err(answered.refusal("the search of Hacker News"));
    }
    if answered.is_cut {
        return Err(Failed::new(ErrorCode::Tool, format!("the thread has more than {ANSWER} bytes")));
    }
    serde_json::from_slice(&answered.body).map_err(|err| {
        let what = format!("the search of Hacker News answers something else than it should: {err}");
        Failed::new(ErrorCode::Tool, sanitize_line(&what, 200))
    })
}

/// The thread's id and title: the latest, or that of the month.
async fn thread(job: &mut Job, http: &Http, params: &Params) -> Result<(String, String), Failed> {
    let base = params.base_url.as_deref().unwrap_or(BASE);
    let mut page = 0;
    loop {
        let path = format!("/search_by_date?tags=story,author_whoishiring&hitsPerPage={PAGE}&page={page}");
        let found: Found = ask(job, http, base, &path).await?;
        for hit in found.hits {
            let title = hit.title.unwrap_or_default();
            let lower = title.to_lowercase();
            let is_month = params.month.as_ref().is_none_or(|month| lower.contains(&month.trim().to_lowercase()));
            if lower.contains(params.kind.title()) && is_month && hit.id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Ok((hit.id, title));
            }
        }
        page += 1;
        if page >= found.pages.min(PAGES) {
            let month =
                params.month.as_deref().map(|month| format!(" of {}", sanitize_line(month, 30))).unwrap_or_default();
            return Err(Failed::params(format!("there is no thread \"{}\"{month}", params.kind.title())));
        }
    }
}

/// A post as fields; none where it was deleted.
fn row(post: &Post) -> Option<Map<String, Value>> {
    let text = html::text_of_fragment(post.text.as_deref().filter(|text| !text.trim().is_empty())?);
    let head = text.lines().next().unwrap_or_default();
    let parts: Vec<&str> = head.split('|').map(str::trim).filter(|part| !part.is_empty()).collect();
    let lower = text.to_lowercase();
    let is_place = |part: &str| {
        let part = part.to_lowercase();
        ["remote", "onsite", "on-site", "hybrid"].iter().any(|word| part.contains(word)) || part.contains(", ")
    };
    let further = parts.get(1..).unwrap_or_default();
    let role = further.iter().find(|part| !is_place(part) && !part.starts_with("http")).copied().unwrap_or_default();
    let location: Vec<&str> =
        further.iter().filter(|part| **part != role && !part.starts_with("http")).copied().collect();
    let company = parts.first().copied().unwrap_or_default();
    let company = company.split(" (").next().unwrap_or(company);
    Some(object(json!({
        "email": html::found_emails(&text).into_iter().next().unwrap_or_default(), "company": sanitize_line(company, 120),
        "role": sanitize_line(role, 160), "location": sanitize_line(&location.join(" | "), 160), "remote": lower.contains("remote"),
        "text": html::cut(&sanitize(&text, 2_000), TEXT), "author": sanitize_line(post.author.as_deref().unwrap_or_default(), 60),
        "link": format!("https://news.ycombinator.com/item?id={}", post.id), "posted_at": post.created_at,
    })))
}

/// Which of the words a post does not meet.
fn unmet(row: &Map<String, Value>, params: &Params) -> Option<&'static str> {
    let text = row.get("text").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let has = |words: &[String]| words.iter().any(|word| conditions::has_word(&text, &word.trim().to_lowercase()));
    if !params.keywords.is_empty() && !has(&params.keywords) {
        return Some("keywords");
    }
    has(&params.exclude).then_some("exclude")
}
