//! The Resend API: one request a mail (`POST /emails`, <https://resend.com/docs/api-reference/emails/send-email>).
//!
//! Owns what is asked and what its answers mean. Each request carries an `Idempotency-Key` made of what the mail is: asking twice sends once
//! (they remember it for a day). A tag holds what the Message-ID says, so that what comes back by webhook is known. Must never put the key anywhere but into the header.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::Trouble;
use super::compose::Composed;
use crate::contracts::Clock;
use crate::contracts::messages::ErrorCode;
use crate::tools::shipped::http::{self, Asking, Http};
use crate::tools::shipped::{Failed, message_id};

const BASE: &str = "https://api.resend.com";
/// How often one mail is tried.
const TRIES: u32 = 4;
/// The longest wait that the API may ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// The API.
pub(super) struct Api {
    http: Http,
    url: Url,
    key: String,
    clock: Arc<dyn Clock>,
    pause: Duration,
}

impl Api {
    pub(super) fn new(
        base_url: Option<&str>,
        key: &str,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<Self, Failed> {
        let url = http::url("base_url", base_url.unwrap_or(BASE), "/emails")?;
        Ok(Self { http: Http::new(patience)?, url, key: key.to_owned(), clock, pause: Duration::from_secs(1) })
    }

    /// Sends a mail. Answers what they call it.
    pub(super) async fn send(&self, mail: &Composed) -> Result<String, Trouble> {
        let asking = self.asking(mail);
        let mut pause = self.pause;
        let mut last = Trouble::Server(ErrorCode::Transient, "the Resend API was not asked".to_owned());
        for _ in 0..TRIES {
            let wait = match self.http.ask(&asking).await {
                Ok(answered) if answered.is_good() => {
                    let said: Value = serde_json::from_slice(&answered.body).unwrap_or_default();
                    let id = said.get("id").and_then(Value::as_str);
                    return Ok(id.map_or_else(|| mail.message_id.clone(), |id| format!("resend:{id}")));
                }
                Ok(answered) => {
                    let refusal = answered.refusal("the Resend API");
                    match answered.status {
                        401 | 403 => return Err(Trouble::Server(ErrorCode::Unauthorized, refusal.message)),
                        429 | 500..=599 => {
                            last = Trouble::Server(ErrorCode::Transient, refusal.message);
                            answered.wait(self.clock.now()).filter(|wait| *wait <= LONGEST_WAIT).unwrap_or(pause)
                        }
                        // 409: the same key came with another mail, which was changed after it was sent once.
                        400 | 409 | 422 => return Err(Trouble::Mail(refusal.message)),
                        _ => return Err(Trouble::Server(ErrorCode::Tool, refusal.message)),
                    }
                }
                Err(broken) => {
                    let why = format!("the Resend API cannot be reached: {}", broken.why);
                    last = if broken.may_have_heard {
                        Trouble::Unknown(why)
                    } else {
                        Trouble::Server(ErrorCode::Transient, why)
                    };
                    pause
                }
            };
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        Err(last)
    }

    fn asking(&self, mail: &Composed) -> Asking {
        let headers: Map<String, Value> =
            ["List-Unsubscribe", "List-Unsubscribe-Post", "Message-ID", "In-Reply-To", "References"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), json!(mail.message.headers().get_raw(name)?))))
                .collect();
        let from = mail.message.headers().get_raw("From").unwrap_or_default();
        let mut body = json!({
            "from": from, "to": [mail.address.to_string()], "subject": mail.subject, "text": mail.text, "headers": headers,
        });
        if let (Some(tag), Value::Object(fields)) = (message_id::tag(&mail.message_id), &mut body) {
            fields.insert("tags".to_owned(), json!([{ "name": message_id::TAG, "value": tag }]));
        }
        if let (Some(reply_to), Value::Object(fields)) = (mail.message.headers().get_raw("Reply-To"), &mut body) {
            fields.insert("reply_to".to_owned(), json!(reply_to));
        }
        let asking = Asking {
            method: Method::POST,
            url: self.url.clone(),
            headers: HeaderMap::new(),
            body: Some(body.to_string().into_bytes()),
            limit: 64 * 1_024,
        };
        asking
            .header("content-type", "application/json")
            .header("authorization", &format!("Bearer {}", self.key))
            .header("idempotency-key", &format!("fullsend-{}", mail.key_hash()))
    }
}
