//! SMTP: a connection, and one mail after the other over it.
//!
//! Owns the conversation step by step, so that it is known of each mail whether it was refused, not taken now, or may have gone out. Must
//! never give a password to a server that is not known by its certificate, unless it is on this machine or the operator said so; and never
//! hand a mail over twice.

use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::time::Instant;

use super::super::Failed;
use super::super::refusal::{About, about};
use super::Trouble;
use super::compose::Composed;
use crate::config::llm::is_loopback;
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;

/// A connection that was silent for so long is asked whether it is still there.
const STALE: Duration = Duration::from_secs(20);
/// How much longer than other answers the one to a whole mail may take (RFC 5321, 4.5.3.2.6: ten minutes).
const TIMES: u32 = 5;

/// Whether what is said is encrypted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tls {
    /// From the first byte.
    Always,
    /// From STARTTLS on, or not at all.
    Required,
    /// From STARTTLS on, where it is offered.
    Offered,
    /// Never.
    None,
}

/// A server that takes mail.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Tls,
    user: Option<Credentials>,
    parameters: Option<TlsParameters>,
    patience: Duration,
    connection: Option<(AsyncSmtpConnection, Instant)>,
}

type Refusal = (ErrorCode, String);

impl Server {
    /// Reads where it is.
    pub(super) fn new(
        url: &str,
        password: Option<&str>,
        ca_file: Option<&str>,
        patience: Duration,
    ) -> Result<Self, Failed> {
        let wrong = |why: &str| Failed::params(format!("parameter `smtp`: {why}"));
        let shape = "it is no server; write smtp://HOST:PORT or smtps://USER@HOST";
        let url = reqwest::Url::parse(url).map_err(|_| wrong(shape))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong(shape))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        if url.password().is_some() {
            return Err(wrong(
                "a password stands in it; it is the secret SMTP_PASSWORD (`fullsend secrets set SMTP_PASSWORD`)",
            ));
        }
        let user = decoded(url.username());
        let wanted = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
        let (tls, port) = match (url.scheme(), wanted.as_deref()) {
            ("smtps", None | Some("required")) => (Tls::Always, 465),
            ("smtp", Some("required")) => (Tls::Required, 25),
            ("smtp", Some("none")) => (Tls::None, 25),
            ("smtp", None) if is_local(&host) => (Tls::None, 25),
            // A password goes to nobody who could not be known.
            ("smtp", None) if !user.is_empty() => (Tls::Required, 25),
            ("smtp", None) => (Tls::Offered, 25),
            ("smtp" | "smtps", _) => return Err(wrong("`tls` is `required` or `none`")),
            _ => return Err(wrong(shape)),
        };
        let user = match (user.is_empty(), password) {
            (true, _) => None,
            (false, Some(password)) => Some(Credentials::new(user, password.to_owned())),
            (false, None) => {
                let why = format!("the server {host} wants a password; set the secret SMTP_PASSWORD");
                return Err(Failed::new(ErrorCode::Unauthorized, why));
            }
        };
        let parameters = if tls == Tls::None { None } else { Some(trust(&host, ca_file)?) };
        Ok(Self { port: url.port().unwrap_or(port), host, tls, user, parameters, patience, connection: None })
    }

    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Makes sure that there is a connection.
    pub(super) async fn ready(&mut self) -> Result<(), Refusal> {
        if let Some((connection, used)) = &mut self.connection {
            let is_alive = !connection.has_broken()
                && (used.elapsed() < STALE || within(self.patience, connection.test_connected()).await == Some(true));
            if is_alive {
                return Ok(());
            }
        }
        self.connection = None;
        let connection = self.connect().await?;
        self.connection = Some((connection, Instant::now()));
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Refusal> {
        let hello = ClientId::Domain("localhost".to_owned());
        let broken = |what: &str, err: &lettre::transport::smtp::Error| {
            (code_of(err), sanitize_line(&format!("the mail server {} {what}: {err}{}", self.name(), causes(err)), 300))
        };
        let slow = || {
            (ErrorCode::Transient, format!("the mail server {} did not answer within {:?}", self.name(), self.patience))
        };
        let always = self.parameters.clone().filter(|_| self.tls == Tls::Always);
        let place = (self.host.as_str(), self.port);
        let opening = AsyncSmtpConnection::connect_tokio1(place, Some(self.patience), &hello, always, None);
        let opened = within(self.patience, opening).await.ok_or_else(slow)?;
        let mut connection = opened.map_err(|err| broken("cannot be reached", &err))?;
        match (self.tls, &self.parameters) {
            (Tls::Required | Tls::Offered, Some(parameters)) if connection.can_starttls() => {
                let upgraded = within(self.patience, connection.starttls(parameters.clone(), &hello)).await;
                upgraded.ok_or_else(slow)?.map_err(|err| broken("is not who it should be", &err))?;
            }
            (Tls::Required, _) => {
                let why = format!(
                    "the mail server {} offers no encryption; use smtps://, or add ?tls=none where nobody can listen",
                    self.name()
                );
                return Err((ErrorCode::InvalidParams, why));
            }
            _ => {}
        }
        if let Some(user) = &self.user {
            let ways = [Mechanism::Plain, Mechanism::Login];
            let known = within(self.patience, connection.auth(&ways, user)).await.ok_or_else(slow)?;
            known.map_err(|err| {
                let code = if err.is_permanent() { ErrorCode::Unauthorized } else { code_of(&err) };
                (code, broken("does not take the user and password", &err).1)
            })?;
        }
        Ok(connection)
    }

    /// Hands a mail over. Answers what it is called.
    pub(super) async fn send(&mut self, mail: &Composed) -> Result<String, Trouble> {
        match self.try_send(mail).await {
            // Nothing was handed over, so it can be tried once more.
            Err(None) => {
                self.connection = None;
                match self.try_send(mail).await {
                    Err(None) => {
                        let why = format!("the mail server {} hangs up", self.name());
                        Err(Trouble::Server(ErrorCode::Transient, why))
                    }
                    Err(Some(trouble)) => Err(trouble),
                    Ok(receipt) => Ok(receipt),
                }
            }
            Err(Some(trouble)) => Err(trouble),
            Ok(receipt) => Ok(receipt),
        }
    }

    /// `Err(None)` where the connection broke before the mail was handed over.
    async fn try_send(&mut self, mail: &Composed) -> Result<String, Option<Trouble>> {
        self.ready().await.map_err(|(code, why)| Some(Trouble::Server(code, why)))?;
        let patience = self.patience;
        let Some((connection, used)) = self.connection.as_mut() else { return Err(None) };
        let came = converse(connection, mail, patience).await;
        *used = Instant::now();
        let goes_on = match &came {
            Ok(_) => true,
            Err(Some(Trouble::Bounce(_) | Trouble::Mail(_) | Trouble::Later(_))) => {
                // The server has this mail half; it is to forget it.
                let forgotten = within(patience, connection.command("RSET\r\n")).await;
                forgotten.is_some_and(|answer| answer.is_ok())
            }
            Err(_) => false,
        };
        if !goes_on {
            self.connection = None;
        }
        came
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        if let Some((mut connection, _)) = self.connection.take() {
            let _ = within(Duration::from_secs(2), connection.quit()).await;
        }
    }
}

type Answered = Option<Result<Response, lettre::transport::smtp::Error>>;

/// One mail, step by step.
async fn converse(
    connection: &mut AsyncSmtpConnection,
    mail: &Composed,
    patience: Duration,
) -> Result<String, Option<Trouble>> {
    let bytes = mail.message.formatted();
    let options = options(connection, mail, &bytes).map_err(|why| Some(Trouble::Mail(why)))?;
    let from = within(patience, connection.command(Mail::new(Some(mail.from.clone()), options))).await;
    before(from, |err| {
        let code = if err.is_permanent() { ErrorCode::InvalidParams } else { ErrorCode::Transient };
        Trouble::Server(code, format!("the mail server takes no mail from {}: {}", mail.from, said(err)))
    })?;
    let to = within(patience, connection.command(Rcpt::new(mail.address.clone(), Vec::new()))).await;
    before(to, |err| match meaning(err) {
        About::Address => Trouble::Bounce(said(err)),
        About::Now => Trouble::Later(said(err)),
        About::Other => Trouble::Mail(said(err)),
    })?;
    let data = within(patience, connection.command(Data)).await;
    before(data, refused)?;
    // From here on it may go out.
    match within(patience * TIMES, connection.message(&bytes)).await {
        Some(Ok(_)) => Ok(mail.message_id.clone()),
        Some(Err(err)) if err.status().is_some() => Err(Some(refused(&err))),
        Some(Err(err)) => Err(Some(Trouble::Unknown(said(&err)))),
        None => Err(Some(Trouble::Unknown("the mail server did not say whether it takes it".to_owned()))),
    }
}

/// What an answer means before the mail itself is handed over: a refusal means what is said, anything else that the connection broke.
fn before(
    answered: Answered,
    refused: impl FnOnce(&lettre::transport::smtp::Error) -> Trouble,
) -> Result<(), Option<Trouble>> {
    match answered {
        Some(Ok(_)) => Ok(()),
        // 421: it closes the connection, whatever was asked.
        Some(Err(err)) if err.status().is_some_and(|code| u16::from(code) != 421) => Err(Some(refused(&err))),
        Some(Err(_)) => Err(None),
        None => Err(Some(Trouble::Server(ErrorCode::Transient, "the mail server does not answer any more".to_owned()))),
    }
}

/// What an answer is about.
fn meaning(err: &lettre::transport::smtp::Error) -> About {
    about(err.status().map(u16::from), &said(err))
}

/// The mail itself is not taken, when its recipient was.
fn refused(err: &lettre::transport::smtp::Error) -> Trouble {
    if meaning(err) == About::Now { Trouble::Later(said(err)) } else { Trouble::Mail(said(err)) }
}

fn options(connection: &AsyncSmtpConnection, mail: &Composed, bytes: &[u8]) -> Result<Vec<MailParameter>, String> {
    let mut options = Vec::new();
    let offers = |extension| connection.server_info().supports_feature(extension);
    if !mail.address.to_string().is_ascii() || !mail.from.to_string().is_ascii() {
        if !offers(Extension::SmtpUtfEight) {
            return Err("the mail server takes no addresses beyond ASCII".to_owned());
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !bytes.is_ascii() && offers(Extension::EightBitMime) {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(options)
}

/// None where it takes too long.
async fn within<F: Future>(patience: Duration, doing: F) -> Option<F::Output> {
    tokio::time::timeout(patience, doing).await.ok()
}

/// What the server said.
fn said(err: &lettre::transport::smtp::Error) -> String {
    sanitize_line(&format!("{err}{}", causes(err)), 300)
}

fn causes(err: &lettre::transport::smtp::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        let more = err.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = err.source();
    }
    text
}

fn code_of(err: &lettre::transport::smtp::Error) -> ErrorCode {
    // A certificate that nobody vouches for does not get better by waiting.
    if err.is_tls() || err.is_client() || causes(err).contains("certificate") {
        ErrorCode::InvalidParams
    } else {
        ErrorCode::Transient
    }
}

fn is_local(host: &str) -> bool {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    reqwest::Url::parse(&format!("http://{host}")).is_ok_and(|url| is_loopback(&url))
}

/// Whom it may be: a certificate for the host, from a public authority or the operator's own.
fn trust(host: &str, ca_file: Option<&str>) -> Result<TlsParameters, Failed> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let wrong = |why: String| Failed::params(format!("parameter `ca_file`: {path}: {why}"));
        let pem = std::fs::read(path).map_err(|err| wrong(err.to_string()))?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|err| wrong(err.to_string()))?);
    }
    builder.build_rustls().map_err(|err| Failed::params(format!("encryption to {host} cannot be set up: {err}")))
}

/// A part of a URL, as it is meant: `%40` is `@`.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let coded = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = coded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
