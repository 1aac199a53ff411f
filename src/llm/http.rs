//! HTTP to the providers: one request, its headers, its stream of events.
//!
//! Owns every limit of a connection: 5 s to connect, a time to begin, a time between two pieces, [`ANSWER_LIMIT`] bytes. Must never follow
//! a redirect (a key would go along), and never repeat a key in an error.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;
use sse_stream::SseByteStream;
use thiserror::Error;

use super::provider::{Fault, Progress, ProviderError};
use crate::config::llm::is_loopback;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Most bytes of an answer.
pub const ANSWER_LIMIT: u64 = 10_000_000;

/// Bytes of a refusal that are read.
const REFUSAL_LIMIT: usize = 64 * 1_024;

/// How to reach a provider.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    /// How long a server may take to begin.
    header_timeout: Duration,
    /// How long it may say nothing in the middle.
    idle_timeout: Duration,
}

/// A client that cannot be made.
#[derive(Debug, Error)]
#[error("models cannot be asked: {0}")]
pub struct NoClient(String);

/// What a server said instead of an answer.
#[derive(Debug)]
pub struct Rejection {
    /// With this status.
    pub status: StatusCode,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// Whether to come back at all.
    pub should_retry: Option<bool>,
    /// What it said; null where it is no JSON.
    pub json: Value,
    /// What it said, where it is no JSON.
    pub text: String,
}

impl Http {
    /// A client for the server at `url`.
    ///
    /// # Errors
    /// Where TLS cannot be set up, or it is no URL.
    pub fn new(url: &str, header_timeout: Duration, idle_timeout: Duration) -> Result<Self, NoClient> {
        // Fails where it was installed before, and then it is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = reqwest::Url::parse(url).map_err(|err| NoClient(err.to_string()))?;
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .user_agent(concat!("fullsend/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&parsed) {
            // A proxy of the environment is for the world outside; a key would go to it in the clear.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|err| NoClient(chain(&err)))?;
        Ok(Self { client, header_timeout, idle_timeout })
    }

    /// Posts a request and waits until the answer begins.
    ///
    /// # Errors
    /// Where it does not; `Err(Ok(_))` where the server says something else.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: &impl Serialize,
        progress: &mut Progress,
    ) -> Result<Events, Result<Rejection, ProviderError>> {
        let body = serde_json::to_vec(body)
            .map_err(|err| Err(ProviderError::new(Fault::Request, format!("the request cannot be written: {err}"))))?;
        let request = self.client.post(url).headers(headers).header(CONTENT_TYPE, "application/json").body(body).send();
        // From here on the provider may be at work, whether we hear of it or not.
        progress.began = true;
        let response = match tokio::time::timeout(self.header_timeout, request).await {
            Ok(Ok(response)) => response,
            Ok(Err(err)) => {
                progress.began = !err.is_connect();
                return Err(Err(unsent(err)));
            }
            Err(_) => {
                let what = format!("the server did not begin to answer within {:?}", self.header_timeout);
                return Err(Err(ProviderError::new(Fault::Silent, what)));
            }
        };
        progress.alive();
        if response.status() == StatusCode::OK {
            return Ok(Events::of(response, self.idle_timeout));
        }
        progress.began = false;
        Err(Ok(self.rejection(response).await))
    }

    async fn rejection(&self, response: Response) -> Rejection {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let mut stream = response.bytes_stream();
        // What it says is a help, no more: what cannot be had in time is done without.
        let read = async {
            while let Some(Ok(piece)) = stream.next().await {
                body.extend_from_slice(&piece[..piece.len().min(REFUSAL_LIMIT - body.len())]);
                if body.len() >= REFUSAL_LIMIT {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(self.header_timeout, read).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Rejection { status, retry_after: retry_after(&headers), should_retry: should_retry(&headers), json, text }
    }
}

impl Rejection {
    /// The error for it, by its status alone; `said` is what the server's JSON says.
    pub fn error(&self, fault: Option<Fault>, said: Option<String>) -> ProviderError {
        let fault = fault.unwrap_or_else(|| fault_of(self.status));
        let said = said
            .unwrap_or_else(|| if self.text.trim().is_empty() { "no reason".to_owned() } else { self.text.clone() });
        let mut err = ProviderError::new(fault, format!("it answered {}: {said}", self.status.as_u16()));
        err.retry_after = self.retry_after;
        err.should_retry = self.should_retry;
        err
    }
}

/// What a status means where nothing says more.
fn fault_of(status: StatusCode) -> Fault {
    match status.as_u16() {
        401 | 403 | 407 => Fault::Key,
        402 => Fault::Billing,
        404 | 410 => Fault::NoModel,
        413 => Fault::TooLarge,
        429 => Fault::RateLimited,
        503 | 529 => Fault::Overloaded,
        408 | 409 | 425 | 500..=599 => Fault::Server,
        _ => Fault::Request,
    }
}

/// An error of a request that was not answered.
fn unsent(err: reqwest::Error) -> ProviderError {
    let fault = if err.is_connect() {
        Fault::Unreachable
    } else if err.is_timeout() {
        Fault::Silent
    } else if err.is_builder() {
        Fault::Request
    } else {
        Fault::CutOff
    };
    ProviderError::new(fault, format!("it cannot be reached: {}", chain(&err.without_url())))
}

/// An error with its causes.
fn chain(err: &reqwest::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    text
}

/// `retry-after-ms`, or `retry-after` as seconds or as a time, which counts from the server's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    if let Some(ms) = number("retry-after-ms") {
        return Duration::try_from_secs_f64(ms / 1e3).ok();
    }
    if let Some(seconds) = number("retry-after") {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let time = |name: &str| chrono::DateTime::parse_from_rfc2822(text(name)?).ok();
    (time("retry-after")? - time("date")?).to_std().ok()
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    headers.get("x-should-retry")?.to_str().ok()?.trim().parse().ok()
}

/// What can go wrong below the events.
#[derive(Debug, Error)]
enum BodyError {
    #[error("the answer broke off: {0}")]
    Http(String),
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    #[error("the answer has more than {ANSWER_LIMIT} bytes")]
    TooLong,
}

/// The events of an answer.
pub struct Events {
    events: SseByteStream<BoxStream<'static, Result<Bytes, BodyError>>>,
    content_type: String,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    fn of(response: Response, idle: Duration) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let pieces =
            response.bytes_stream().map(|piece| piece.map_err(|err| BodyError::Http(chain(&err.without_url()))));
        Self { events: SseByteStream::new(limited(pieces, idle).boxed()), content_type }
    }

    /// Events from pieces of bytes that are already here; for benchmarks.
    pub fn of_bytes(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        let pieces = limited(pieces.map(Ok), Duration::from_secs(90));
        Self { events: SseByteStream::new(pieces.boxed()), content_type: "text/event-stream".to_owned() }
    }

    /// The data of the next event; none at the end.
    ///
    /// # Errors
    /// Where the stream breaks off, falls silent, is too long or no text.
    pub async fn next(&mut self) -> Result<Option<String>, ProviderError> {
        if self.content_type.starts_with("text/html") || self.content_type.starts_with("application/json") {
            let what = format!("a stream of events was asked for, and {} came; is the URL right?", self.content_type);
            return Err(ProviderError::new(Fault::Malformed, what));
        }
        loop {
            match self.events.next().await {
                None => return Ok(None),
                Some(Ok(event)) => {
                    if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                        return Ok(Some(data));
                    }
                }
                Some(Err(err)) => return Err(broken(&err)),
            }
        }
    }
}

/// The pieces, with both limits. Comments and pings count as signs of life, so silence is measured here.
fn limited(
    pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
    idle: Duration,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
    futures::stream::unfold((pieces.boxed(), 0_u64), move |(mut pieces, before)| async move {
        let piece = match tokio::time::timeout(idle, pieces.next()).await {
            Ok(piece) => piece?,
            Err(_) => Err(BodyError::Idle(idle)),
        };
        let total = before + piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let piece = if total > ANSWER_LIMIT { Err(BodyError::TooLong) } else { piece };
        Some((piece, (pieces, total)))
    })
}

fn broken(err: &sse_stream::Error) -> ProviderError {
    let body = if let sse_stream::Error::Body(body) = err { body.downcast_ref::<BodyError>() } else { None };
    match body {
        Some(BodyError::Idle(_)) => {
            ProviderError::new(Fault::Silent, body.map(ToString::to_string).unwrap_or_default())
        }
        Some(BodyError::TooLong) => ProviderError::new(Fault::TooLong, err_text(body)),
        Some(BodyError::Http(_)) => ProviderError::new(Fault::CutOff, err_text(body)),
        None => ProviderError::new(Fault::Malformed, format!("the answer is no UTF-8 text: {err}")),
    }
}

fn err_text(body: Option<&BodyError>) -> String {
    body.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[rstest]
    #[case(&[("retry-after", "7")], Some(7_000))]
    #[case(&[("retry-after", "0.5")], Some(500))]
    #[case(&[("retry-after-ms", "250"), ("retry-after", "7")], Some(250))]
    #[case(&[("date", "Sat, 21 Nov 2026 09:00:00 GMT"), ("retry-after", "Sat, 21 Nov 2026 09:00:12 GMT")], Some(12_000))]
    #[case(&[("retry-after", "Sat, 21 Nov 2026 09:00:12 GMT")], None)]
    #[case(&[("retry-after", "-1")], None)]
    #[case(&[("retry-after", "soon")], None)]
    #[case(&[], None)]
    fn when_to_come_back(#[case] pairs: &[(&'static str, &'static str)], #[case] ms: Option<u64>) {
        assert_eq!(retry_after(&headers(pairs)), ms.map(Duration::from_millis));
    }

    #[rstest]
    #[case(400, Fault::Request)]
    #[case(401, Fault::Key)]
    #[case(402, Fault::Billing)]
    #[case(404, Fault::NoModel)]
    #[case(409, Fault::Server)]
    #[case(413, Fault::TooLarge)]
    #[case(429, Fault::RateLimited)]
    #[case(500, Fault::Server)]
    #[case(503, Fault::Overloaded)]
    #[case(504, Fault::Server)]
    #[case(529, Fault::Overloaded)]
    #[case(302, Fault::Request)]
    fn what_a_status_means(#[case] status: u16, #[case] fault: Fault) {
        assert_eq!(fault_of(StatusCode::from_u16(status).unwrap()), fault);
    }
}
