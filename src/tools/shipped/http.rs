//! HTTP for the tools that ask others.
//!
//! Owns the manners: an honest name, limits of size and time, waiting as long as a server asks for (`Retry-After`, `X-RateLimit-Reset`), trying
//! again what may go better. Must never follow a redirect by itself, and never repeat a key in an error.

use std::error::Error as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};

use super::{Failed, Job};
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;

/// How often something is tried that may go better.
const TRIES: u32 = 4;
/// The first pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest that a server may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// Bytes of a refusal that are repeated.
const SAID: usize = 300;

/// A client.
pub(super) struct Http {
    client: Client,
    patience: Duration,
}

/// What is asked.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    /// Most bytes of an answer.
    pub(super) limit: usize,
}

impl Asking {
    pub(super) fn get(url: Url, limit: usize) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None, limit }
    }

    /// With a header of ours; one that cannot be sent is left out.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(mut value) = reqwest::header::HeaderValue::from_str(value) {
            value.set_sensitive(name == "authorization");
            self.headers.insert(name, value);
        }
        self
    }
}

/// What came.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether there was more of it than was asked for.
    pub(super) is_cut: bool,
}

impl Answered {
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// What it said, in a line.
    pub(super) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4 * SAID)]);
        let json: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let message = json.as_ref().and_then(|json| json.get("message")).and_then(serde_json::Value::as_str);
        sanitize_line(message.unwrap_or(&text), SAID)
    }

    /// Why it is no good answer.
    pub(super) fn refusal(&self, who: &str) -> Failed {
        let code = match self.status {
            401 | 403 | 407 => ErrorCode::Unauthorized,
            400 | 404 | 410 | 422 => ErrorCode::InvalidParams,
            408 | 425 | 429 | 500..=599 => ErrorCode::Transient,
            _ => ErrorCode::Tool,
        };
        Failed::new(code, format!("{who} answered {}: {}", self.status, self.said()))
    }

    /// How long it asks us to wait; none where it does not.
    pub(super) fn wait(&self, now: DateTime<Utc>) -> Option<Duration> {
        // A good answer that says when to come again is one all the same.
        if !matches!(self.status, 403 | 408 | 425 | 429 | 500..=599) {
            return None;
        }
        let after = self.header("retry-after");
        if let Some(seconds) = after.and_then(|text| text.parse::<f64>().ok()) {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        if let Some(time) = after.and_then(|text| DateTime::parse_from_rfc2822(text).ok()) {
            return Some((time.to_utc() - now).to_std().unwrap_or_default());
        }
        // Servers of this kind refuse with 403 or 429, and name the second from which on it goes again.
        if matches!(self.status, 403 | 429) && self.header("x-ratelimit-remaining") == Some("0") {
            let reset = DateTime::from_timestamp(self.header("x-ratelimit-reset")?.parse().ok()?, 0)?;
            return Some((reset - now).to_std().unwrap_or_default() + Duration::from_secs(1));
        }
        (self.status == 429).then_some(Duration::from_secs(5))
    }
}

/// Why nothing came.
pub(super) struct Broken {
    pub(super) why: String,
    /// Whether the server may have heard what was asked.
    pub(super) may_have_heard: bool,
}

impl Http {
    pub(super) fn new(patience: Duration) -> Result<Self, Failed> {
        let failed = |why: String| Failed::new(ErrorCode::Tool, format!("encryption cannot be set up: {why}"));
        // The public authorities as they are compiled in: a tool sees nothing of the system's.
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| failed(err.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(patience)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(concat!("fullsend/", env!("CARGO_PKG_VERSION")));
        let client = client.build().map_err(|err| failed(chain(&err)))?;
        Ok(Self { client, patience })
    }

    /// Asks once.
    pub(super) async fn ask(&self, asking: &Asking) -> Result<Answered, Broken> {
        let mut request =
            self.client.request(asking.method.clone(), asking.url.clone()).headers(asking.headers.clone());
        if let Some(body) = &asking.body {
            request = request.body(body.clone());
        }
        let slow = || Broken { why: format!("no answer came within {:?}", self.patience), may_have_heard: true };
        let sent = tokio::time::timeout(self.patience, request.send()).await.map_err(|_| slow())?;
        let response =
            sent.map_err(|err| Broken { may_have_heard: !err.is_connect(), why: chain(&err.without_url()) })?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let (mut body, mut is_cut) = (Vec::new(), false);
        let mut pieces = response.bytes_stream();
        while let Some(piece) = tokio::time::timeout(self.patience, pieces.next()).await.map_err(|_| slow())? {
            let piece = piece.map_err(|err| Broken { why: chain(&err.without_url()), may_have_heard: true })?;
            let room = asking.limit - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() > room {
                is_cut = true;
                break;
            }
        }
        Ok(Answered { status, headers, body, is_cut })
    }

    /// Asks until there is an answer that will not get better: what may be asked twice.
    pub(super) async fn insist(&self, job: &mut Job, asking: &Asking) -> Result<Answered, Failed> {
        let host = asking.url.host_str().unwrap_or_default().to_owned();
        let mut pause = PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let (why, wait) = match self.ask(asking).await {
                Ok(answered) => match answered.wait(job.clock.now()) {
                    Some(wait) => (answered.refusal(&host).message, wait),
                    None if answered.status >= 500 => (answered.refusal(&host).message, pause),
                    None => return Ok(answered),
                },
                Err(broken) => (format!("{host} cannot be reached: {}", broken.why), pause),
            };
            if tries >= TRIES {
                return Err(Failed::new(ErrorCode::Transient, why));
            }
            if wait > LONGEST_WAIT {
                let why = format!("{why}; it wants to be asked again in {} min", wait.as_secs() / 60);
                return Err(Failed::new(ErrorCode::Transient, why));
            }
            job.log(&format!("{why}; it is asked again in {} s", wait.as_secs()))?;
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
    }
}

/// An error with its causes.
fn chain(err: &reqwest::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    sanitize_line(&text, SAID)
}

/// The URL of a parameter, with what follows it.
pub(super) fn url(param: &str, base: &str, path: &str) -> Result<Url, Failed> {
    let wrong = || Failed::params(format!("parameter `{param}`: it is no URL; write https://HOST"));
    let url = Url::parse(&format!("{}{path}", base.trim_end_matches('/'))).map_err(|_| wrong())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(429, &[("retry-after", "7")], Some(7))]
    #[case(503, &[("retry-after", "Sun, 01 Mar 2026 09:30:12 GMT")], Some(12))]
    #[case(503, &[("retry-after", "Sun, 01 Mar 2026 09:00:00 GMT")], Some(0))]
    #[case(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1772357430")], Some(31))]
    #[case(403, &[("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "1772357430")], None)]
    #[case(429, &[], Some(5))]
    #[case(403, &[], None)]
    #[case(200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1772357430")], None)]
    #[case(429, &[("retry-after", "-1")], None)]
    #[case(200, &[("retry-after", "7")], None)]
    fn how_long_to_wait(
        #[case] status: u16,
        #[case] headers: &[(&'static str, &'static str)],
        #[case] seconds: Option<u64>,
    ) {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let answered = Answered { status, headers, body: Vec::new(), is_cut: false };
        let now = DateTime::from_timestamp(1_772_357_400, 0).unwrap();
        assert_eq!(answered.wait(now), seconds.map(Duration::from_secs));
    }
}
