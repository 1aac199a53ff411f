//! `webhook_post`: JSON to somebody's URL.
//!
//! Owns the act: it is asked for, carries an `Idempotency-Key` that is the same whenever it is tried, and is tried again only where the other
//! side cannot have heard it or says itself that it did not take it. Must never say that something was posted where that is not known.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::http::{Asking, Http};
use super::{Failed, Job, object};
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::Span;
use crate::tools::contract::{ActOutcome, Action, Answer};

/// Where what is not posted is written.
const OUTBOX: &str = "outbox";
/// How often one is tried, and the longest wait that the other side may ask for.
const TRIES: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Answers that are shown.
const SHOWN: usize = 20;
/// Headers that are ours.
const OURS: [&str; 6] =
    ["host", "content-length", "content-type", "idempotency-key", "authorization", "transfer-encoding"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    url: String,
    body: Option<Value>,
    items: Option<Vec<Value>>,
    #[serde(default)]
    headers: Map<String, Value>,
    key: Option<String>,
    pause: Option<Span>,
}

/// What became of a post.
enum Came {
    Taken(u16, String),
    Refused(String),
    Unknown(String),
    /// No further one would be taken.
    Ended(ErrorCode, String),
}

pub(super) async fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    let bodies = match (params.body, params.items) {
        (Some(body), None) => vec![body],
        (None, Some(items)) if !items.is_empty() => items,
        _ => return Err(Failed::params("say either `body` or `items`")),
    };
    let url = Url::parse(&params.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| Failed::params("parameter `url`: it is no URL; write https://HOST/PATH"))?;
    let headers = headers(&params.headers)?;
    let http = Http::new(Duration::from_secs(30))?;
    let mut counts = [0_u64; 4];
    let [posted, skipped, failed, unknown] = &mut counts;
    let (mut answers, mut written, mut ended) = (Vec::new(), 0_u64, None);
    let total = bodies.len();
    for (number, body) in bodies.into_iter().enumerate() {
        let body = body.to_string();
        let key = key(job, &url, &body, params.key.as_deref().map(|key| (key, number)));
        let details = object(json!({ "bytes": body.len(), "host": url.host_str() }));
        let action = Action { key: key.clone(), kind: "post".to_owned(), target: shown(&url), details };
        match job.ask(action).await? {
            Answer::Go => {}
            Answer::Skip => {
                *skipped += 1;
                continue;
            }
            Answer::Stop => {
                ended = Some("it was told to stop");
                break;
            }
        }
        if !job.is_live() {
            let path = write(&key, &url, &body).await?;
            written += 1;
            job.done(&key, &path)?;
            continue;
        }
        match post(job, &http, &asking(job, &url, &headers, &key, body)).await? {
            Came::Taken(status, said) => {
                *posted += 1;
                job.done(&key, &status.to_string())?;
                if answers.len() < SHOWN {
                    answers.push(json!({ "status": status, "said": said }));
                }
            }
            Came::Refused(why) => {
                *failed += 1;
                job.not_done(&key, ActOutcome::Failed, &why)?;
                job.log(&why)?;
            }
            Came::Unknown(why) => {
                *unknown += 1;
                job.not_done(&key, ActOutcome::Unknown, &why)?;
                job.log(&why)?;
            }
            Came::Ended(code, why) => {
                let is_passing = code == ErrorCode::Transient;
                job.not_done(&key, if is_passing { ActOutcome::Later } else { ActOutcome::Failed }, &why)?;
                let until_then = object(
                    json!({ "posted": *posted, "skipped": *skipped, "failed": *failed + 1, "unknown": *unknown }),
                );
                return Err(Failed::new(code, why).with(until_then));
            }
        }
        job.progress(number as u64 + 1, Some(total as u64), "posts")?;
        if let Some(pause) = params.pause.filter(|_| number + 1 < total) {
            tokio::time::sleep(pause.0).await;
        }
    }
    let mut result = object(json!({
        "posted": *posted, "skipped": *skipped, "failed": *failed, "unknown": *unknown, "answers": answers,
    }));
    if written > 0 {
        result.insert("would_post".to_owned(), json!(written));
        result.insert("folder".to_owned(), json!(OUTBOX));
    }
    result.extend(ended.map(|why| ("ended".to_owned(), json!(why))));
    if *posted + written == 0 && *failed + *unknown > 0 {
        return Err(Failed::new(ErrorCode::Tool, "nothing was taken by the other side").with(result));
    }
    Ok(result)
}

fn headers(given: &Map<String, Value>) -> Result<HeaderMap, Failed> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let wrong = |why: &str| Failed::params(format!("parameter `headers`: `{}` {why}", sanitize_line(name, 60)));
        let read = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is no name of a header"))?;
        if OURS.contains(&read.as_str()) {
            return Err(wrong("is set by the tool itself"));
        }
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        headers.insert(read, value.ok_or_else(|| wrong("has a value that cannot be sent"))?);
    }
    Ok(headers)
}

/// The same for the same act, whatever run it is tried in.
fn key(job: &Job, url: &Url, body: &str, named: Option<(&str, usize)>) -> String {
    let run = &job.input.run;
    let experiment = if run.experiment_id.is_empty() { "none" } else { &run.experiment_id };
    let what = match named {
        Some((name, number)) => format!("{name}\n{number}"),
        None => format!("{url}\n{body}"),
    };
    let hash = Sha256::digest(format!("{}\n{what}", run.step));
    let digits = hash.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("post:{experiment}:{digits}")
}

/// The URL as people see it: what follows `?` may be a secret.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    let _ = (shown.set_username(""), shown.set_password(None));
    shown.to_string()
}

fn asking(job: &Job, url: &Url, headers: &HeaderMap, key: &str, body: String) -> Asking {
    let asking = Asking {
        method: Method::POST,
        url: url.clone(),
        headers: headers.clone(),
        body: Some(body.into_bytes()),
        limit: 64 * 1_024,
    };
    let asking = asking.header("content-type", "application/json").header("idempotency-key", key);
    match job.secret("WEBHOOK_TOKEN") {
        Some(token) => asking.header("authorization", &format!("Bearer {token}")),
        None => asking,
    }
}

async fn post(job: &mut Job, http: &Http, asking: &Asking) -> Result<Came, Failed> {
    let mut why = String::new();
    let mut pause = Duration::from_secs(1);
    for _ in 0..TRIES {
        let wait = match http.ask(asking).await {
            Ok(answered) if answered.is_good() => return Ok(Came::Taken(answered.status, answered.said())),
            Ok(answered) => {
                let refusal = answered.refusal("the other side");
                match answered.status {
                    401 | 403 => return Ok(Came::Ended(ErrorCode::Unauthorized, refusal.message)),
                    // It says that it did not take it.
                    429 | 503 => {
                        why = refusal.message;
                        answered.wait(job.clock.now()).unwrap_or(pause)
                    }
                    500..=599 => return Ok(Came::Unknown(refusal.message)),
                    _ => return Ok(Came::Refused(refusal.message)),
                }
            }
            Err(broken) if broken.may_have_heard => return Ok(Came::Unknown(broken.why)),
            Err(broken) => {
                why = format!("{} cannot be reached: {}", asking.url.host_str().unwrap_or_default(), broken.why);
                pause
            }
        };
        if wait > LONGEST_WAIT {
            break;
        }
        tokio::time::sleep(wait).await;
        pause *= 2;
    }
    Ok(Came::Ended(ErrorCode::Transient, why))
}

/// Writes what is not posted. Answers where.
async fn write(key: &str, url: &Url, body: &str) -> Result<String, Failed> {
    let path = format!("{OUTBOX}/{}.json", key.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let text = format!("{{\"url\":{},\"body\":{body}}}\n", json!(shown(url)));
    let written = async {
        tokio::fs::create_dir_all(OUTBOX).await?;
        tokio::fs::write(&path, text).await
    };
    written.await.map_err(|err| Failed::new(ErrorCode::Tool, format!("{path} cannot be written: {err}")))?;
    Ok(path)
}
