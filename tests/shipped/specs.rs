//! Specifications that others wrote, put right and run dry by the program itself: handed in, approved, and run by its executor, whose tools
//! are shut in.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{Document, SharedBus};
use fullsend::contracts::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(90);

/// Something that answers as GitHub does, whatever repository and whoever is asked about.
async fn github() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = vec![0; 16_384];
                let mut read = 0;
                while !asked[..read].ends_with(b"\r\n\r\n") {
                    match stream.read(&mut asked[read..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(more) => read += more,
                    }
                }
                let head = String::from_utf8_lossy(&asked[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let body = if let Some(login) = path.strip_prefix("/users/") {
                    json!({ "login": login, "html_url": format!("https://github.com/{login}"), "name": "Ada Lovelace", "company": "@engines",
                        "blog": "", "location": "London", "email": format!("{login}@engines.example"), "bio": "CTO and founder",
                        "twitter_username": null, "followers": 12 })
                } else {
                    let at = (SystemClock.now() - chrono::TimeDelta::days(2)).to_rfc3339();
                    let login = format!("fan-of-{}", path.split('/').nth(3).unwrap_or_default().replace('.', "-"));
                    json!([{ "starred_at": at, "user": { "login": login, "id": 1, "html_url": "https://github.com/x" } }])
                };
                let body = body.to_string();
                let reply = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    url
}

/// A team without a screen, in a home of its own.
struct Team {
    home: TempDir,
    serving: Child,
}

impl Team {
    fn new(settings: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("fullsend.toml"), settings).unwrap();
        let mut serve = program(home.path(), &["serve"]);
        let serving = serve.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        Self { home, serving }
    }

    /// What a verb prints; it has to end well.
    async fn run(&self, words: &[&str]) -> String {
        let ended = tokio::time::timeout(PATIENCE, program(self.home.path(), words).output()).await;
        assert!(ended.is_ok(), "{words:?} never ended");
        let ended = ended.unwrap().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&ended.stderr));
        said
    }

    /// Waits for a request, and says yes to it.
    async fn approve(&self, id: &str) {
        let began = Instant::now();
        loop {
            let waiting: Value = serde_json::from_str(&self.run(&["approvals", "list", "--json"]).await).unwrap();
            let found =
                waiting.as_array().unwrap().iter().find(|it| it["approval"]["proposal"].to_string().contains(id));
            if let Some(found) = found {
                let approval = found["approval"]["proposal"]["approval_id"].as_str().unwrap();
                self.run(&["approvals", "approve", approval]).await;
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{id} was never asked for: {waiting}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ready(&self, id: &str) {
        let began = Instant::now();
        loop {
            let shown: Value = serde_json::from_str(&self.run(&["experiments", "show", id, "--json"]).await).unwrap();
            if shown["state"] == json!("ready") {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{id} is never ready: {}", shown["state"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The run of an experiment, as it stands in the store.
    async fn ran(&self, id: &str) -> Document {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = self.home.path().join(".local/state/fullsend/fullsend.db");
        let bus: SharedBus = Arc::new(EmbeddedBus::open(EmbeddedOptions::new(store, clock)).unwrap());
        let (keys, _) = bus.scan(&format!("experiment_runs:{id}:"), None, 10).await.unwrap();
        let found = bus.get_many(&keys, None).await.unwrap().remove(0).unwrap().unwrap();
        let document = found.document().cloned().unwrap();
        bus.close().await;
        document
    }
}

fn program(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.args(words).current_dir(home).env_clear().env("HOME", home).stdin(Stdio::null());
    // Sandboxes are made by programs that are looked for there.
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

/// A specification, put right by the program, and by a person what only a person can know: another GitHub.
async fn put_right(team: &Team, name: &str, github: &str) -> PathBuf {
    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/experiments").join(format!("{name}.yaml"));
    let file = team.home.path().join(format!("{name}.yaml"));
    std::fs::copy(theirs, &file).unwrap();
    std::fs::write(
        team.home.path().join("leads.csv"),
        "email,first_name,industry\nada@engines.example,Ada,fintech\nbo@looms.example,Bo,logistics\n",
    )
    .unwrap();
    team.run(&["experiments", "validate", file.to_str().unwrap(), "--fix", "--write"]).await;
    let text = std::fs::read_to_string(&file).unwrap();
    if let Some(line) = text.lines().find(|line| line.trim_start().starts_with("repos:")) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let more = format!("{indent}base_url: {github}\n{line}");
        std::fs::write(&file, text.replacen(line, &more, 1)).unwrap();
    }
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_of_those_that_others_wrote_run_dry_from_end_to_end() {
    let github = github().await;
    let port = github.rsplit(':').next().unwrap();
    let mut team = Team::new(&format!(
        "[outreach]\nsender = \"mara@acme.example\"\npostal_address = \"1 Main Street, Springfield\"\nunsubscribe = \"leave@acme.example\"\n\
         delay = \"0s\"\n[tools]\nallow_private = [\"127.0.0.1:{port}\"]\n"
    ));
    for name in [
        "exp_20240115_github_stargazers",
        "exp_20260201_cto_competitor_stars",
        "exp_20260201_cto_stargazer_email",
        "exp_20260201_cto_cold_agentforge",
    ] {
        let file = put_right(&team, name, &github).await;
        team.run(&["experiments", "publish", file.to_str().unwrap()]).await;
        team.approve(name).await;
        team.ready(name).await;
        team.run(&["experiments", "run", name, "--wait"]).await;
        let run = team.ran(name).await;
        assert_eq!(run.get("status"), Some("completed"), "{name}: {:?}", run.get("error"));
        let outputs: Value = serde_json::from_str(run.get("outputs").unwrap()).unwrap();
        let of = |field: &str| outputs.as_object().unwrap().values().find(|it| it.get(field).is_some());
        let (people, mail) = (of("rows").unwrap(), of("would_send").unwrap());
        assert!(people["count"].as_u64().unwrap_or_default() > 0, "{name}: {people}");
        assert!(mail["would_send"].as_u64().unwrap_or_default() > 0, "{name}: {mail}");
        assert_eq!((&mail["sent"], &mail["failed"]), (&json!(0), &json!(0)), "{name}: {mail}");
    }
    team.serving.kill().await.unwrap();
}
