//! A real mail server for one test: `smtp_server.py` beside this file, by the system's Python. It ends with the test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The server.
pub(crate) struct SmtpServer {
    child: Child,
    port: u16,
    mails: Receiver<Value>,
    dir: TempDir,
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SmtpServer {
    /// In the clear, for anybody.
    pub(crate) fn start() -> Self {
        Self::with(json!({}))
    }

    /// With `tls` (`smtps` or `starttls`), `user` and `password`.
    pub(crate) fn with(mut options: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if !options["tls"].is_null() {
            let made =
                rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
            fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
            fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
            options["cert"] = json!(dir.path().join("cert.pem"));
            options["key"] = json!(dir.path().join("key.pem"));
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/smtp_server.py");
        let mut child = Command::new("/usr/bin/python3")
            .args([script, &options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the system has no Python; run tests/run --install");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the mail server did not start; run tests/run --install").unwrap();
        let port = serde_json::from_str::<Value>(&first).unwrap()["port"].as_u64().unwrap();
        let (said, mails) = sync_channel(10_000);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = said.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, port: u16::try_from(port).unwrap(), mails, dir }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, in the clear.
    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The certificate to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// The next mail that it took.
    pub(crate) fn mail(&self) -> Value {
        self.mails.recv_timeout(Duration::from_secs(20)).expect("no mail came")
    }

    /// The mails that came and were not looked at; all that was taken is known here once the sender is told so.
    pub(crate) fn further(&self) -> Vec<Value> {
        self.mails.try_iter().collect()
    }
}
