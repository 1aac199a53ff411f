//! A server that answers as it is told to: bytes, pauses until it is let go on, connections that are cut.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A step of an answer.
#[derive(Clone)]
pub(crate) enum Step {
    /// These bytes.
    Send(Vec<u8>),
    /// These bytes again and again, until the other side goes away.
    Forever(Vec<u8>),
    /// These bytes again and again, with so much time between them.
    Drip(Vec<u8>, std::time::Duration),
    /// Nothing, until the test lets it go on.
    Wait(Arc<Notify>),
    /// Nothing more, and the connection stays open.
    Silence,
    /// The connection is cut (reset) at once.
    Cut,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `POST /v1/messages`.
    pub(crate) line: String,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body as it came.
    pub(crate) text: String,
    /// Its body.
    pub(crate) body: Value,
}

impl Asked {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The server.
pub(crate) struct HttpServer {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    news: Arc<Notify>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl HttpServer {
    /// A server that gives these answers, one a request, in order; the last one again and again.
    pub(crate) async fn start(answers: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(VecDeque::from(answers)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let news = Arc::new(Notify::new());
        let shared = (script, Arc::clone(&asked), Arc::clone(&news));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, asked, news) = shared.clone();
                tokio::spawn(async move {
                    let mut reader = BufReader::new(stream);
                    while let Some(request) = read(&mut reader).await {
                        asked.lock().unwrap().push(request);
                        news.notify_waiters();
                        let steps = {
                            let mut script = script.lock().unwrap();
                            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
                        };
                        if !answer(reader.get_mut(), steps.unwrap_or_default()).await {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, asked, news, accepting }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it was asked so often.
    pub(crate) async fn wait_until_asked(&self, times: usize) {
        loop {
            let news = self.news.notified();
            if self.asked().len() >= times {
                return;
            }
            news.await;
        }
    }
}

/// Reads one request; none where the other side is gone.
async fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).await.ok().filter(|length| *length > 0)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().ok());
    // A question without a body says nothing of its length.
    let mut body = vec![0; length.unwrap_or(Some(0))?];
    reader.read_exact(&mut body).await.ok()?;
    let text = String::from_utf8(body).unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    Some(Asked { line, headers, text, body })
}

/// Plays an answer; false where the connection cannot be used again.
async fn answer(stream: &mut TcpStream, steps: Vec<Step>) -> bool {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return false;
                }
            }
            Step::Forever(bytes) => {
                while stream.write_all(&bytes).await.is_ok() {}
                return false;
            }
            Step::Drip(bytes, pause) => {
                while stream.write_all(&bytes).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                return false;
            }
            Step::Wait(until) => until.notified().await,
            Step::Silence => std::future::pending().await,
            Step::Cut => {
                // With a linger of nothing the system says so at once, instead of closing in good order.
                let _ = stream.set_zero_linger();
                return false;
            }
        }
    }
    true
}

/// An answer with a status and a body.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\ncontent-type: application/json\r\n", body.len());
    let further: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    vec![Step::Send(format!("{head}{}\r\n{body}", further.concat()).into_bytes())]
}

/// The head of a stream of events, without its length: it ends with the connection, or with [`chunk_end`].
pub(crate) fn stream_head() -> Step {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    Step::Send(head.as_bytes().to_vec())
}

/// A piece of a stream.
pub(crate) fn chunk(bytes: &[u8]) -> Step {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    Step::Send(framed)
}

/// The end of a stream.
pub(crate) fn chunk_end() -> Step {
    Step::Send(b"0\r\n\r\n".to_vec())
}

/// A whole stream, in pieces of so many bytes.
pub(crate) fn stream(text: &str, piece: usize) -> Vec<Step> {
    let mut steps = vec![stream_head()];
    steps.extend(text.as_bytes().chunks(piece.max(1)).map(chunk));
    steps.push(chunk_end());
    steps
}
