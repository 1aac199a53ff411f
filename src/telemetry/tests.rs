use std::io::Write;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde_json::Value;

use super::*;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the log holds after `work`.
fn logged(work: impl FnOnce()) -> String {
    let kept = Kept::default();
    let maker = kept.clone();
    tracing::subscriber::with_default(subscriber(move || maker.clone(), EnvFilter::new("debug")), work);
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
struct Request {
    url: String,
    header: String,
}

#[test]
fn no_secret_reaches_the_log() {
    register(&SecretString::from("can\"ary-registered"));
    let log = logged(|| {
        let span = tracing::info_span!("handle", trace = "0190", url = "redis://u:canary-span@host");
        let _entered = span.enter();
        tracing::info!(secret = "can\"ary-registered", "field");
        tracing::info!("message with sk-canary-in-message and can\"ary-registered");
        let request =
            Request { url: "https://me:canary-debug@example.org".to_owned(), header: "Bearer canary.debug".to_owned() };
        tracing::info!(?request, "debug");
        let error = std::io::Error::other("cannot reach redis://:canary-error@host");
        tracing::error!(error = &error as &dyn std::error::Error, "error");
        tracing::error!(report = ?color_eyre::eyre::Report::new(error).wrap_err("token=canary-report"), "report");
        let body = serde_json::json!({ "password": "canary-body", "deep": "can\"ary-registered" }).to_string();
        tracing::info!(%body, "body");
    });
    assert_eq!(log.lines().count(), 6);
    assert!(!log.contains("canary"), "{log}");
    assert!(!log.contains("ary-registered"), "{log}");
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["spans"][0]["trace"], "0190", "{line}");
        assert!(line.contains("***"), "{line}");
    }
}

#[test]
fn control_characters_do_not_reach_the_log() {
    let text = "a\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\nnext \u{7f}";
    let log = logged(|| tracing::info!(%text, "{text}"));
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(!log.trim_end_matches('\n').chars().any(char::is_control), "{log:?}");
    let event: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(event["text"], text);
}
