//! The real program on a real server, as the founding document tries it: `fullsend serve` without a key, and a bare PUBLISH.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::redis_server::RedisServer;
use crate::team::{IDEA, chat};

/// A running `fullsend serve`; killed when dropped.
struct Serve {
    child: Child,
    home: tempfile::TempDir,
    server: RedisServer,
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serve {
    fn start(product: Option<&str>) -> Self {
        let (server, home) = (RedisServer::fleeting(), tempfile::tempdir().unwrap());
        let context = home.path().join("context");
        if let Some(product) = product {
            fs::create_dir(&context).unwrap();
            fs::write(context.join("product_context.md"), product).unwrap();
        }
        let child =
            Self::command(&server, &home).arg("serve").stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        let serve = Self { child, home, server };
        // The bridge hears what is published from then on.
        Self::until("everybody is there", || {
            let waits = |channel| serve.server.run(&["PUBSUB", "NUMSUB", channel]);
            format!("{:?}", waits("fullsend:discord_raw")).contains("int(1)")
                && (product.is_none() || !serve.entries("notes:product_context").is_empty())
        });
        serve
    }

    fn command(server: &RedisServer, home: &tempfile::TempDir) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
        command.env_clear().env("HOME", home.path()).env("REDIS_URL", server.url()).current_dir(home.path());
        command.arg("--home").arg(home.path().join("state")).arg("--context").arg(home.path().join("context"));
        command
    }

    /// What a verb prints, as JSON.
    fn verb(&self, args: &[&str]) -> Value {
        let said = Self::command(&self.server, &self.home).args(args).arg("--json").output().unwrap();
        serde_json::from_slice(&said.stdout).unwrap_or(Value::Null)
    }

    /// Everything under a key, as the server shows it.
    fn entries(&self, key: &str) -> String {
        let state = match key.strip_suffix(":stream") {
            Some(_) => self.server.run(&["XRANGE", key, "-", "+"]),
            None => self.server.run(&["HGETALL", key]),
        };
        let shown = format!("{state:?}");
        if shown.contains("bulk-string") { shown } else { String::new() }
    }

    fn until(what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !done() {
            assert!(Instant::now() < deadline, "it never happened: {what}");
            std::thread::yield_now();
        }
    }

    fn publish(&self) {
        let heard = self.server.run(&["PUBLISH", "fullsend:discord_raw", &chat(IDEA).to_string()]);
        assert!(format!("{heard:?}").contains("int(1)"), "{heard:?}");
    }

    /// The decision that came of it, once it was proposed.
    fn decided(&self) -> Value {
        Self::until("a reply", || self.entries("fullsend:from_orchestrator:stream").contains("orchestrator_response"));
        Self::until("a request", || self.verb(&["approvals", "list"]).as_array().is_some_and(|all| !all.is_empty()));
        assert!(self.entries("fullsend:to_orchestrator:stream").contains("escalation"));
        let decisions = self.verb(&["decisions"]);
        assert_eq!(decisions.as_array().map(Vec::len), Some(1), "{decisions}");
        decisions[0].clone()
    }
}

#[test]
fn a_bare_message_leads_to_a_decision_with_reasons_a_request_and_a_reply() {
    let serve = Serve::start(Some("Quill keeps the notes of engineers. Buyers: platform teams of 20 to 200.\n"));
    serve.publish();
    let decision = serve.decided();
    assert_eq!(
        (&decision["action"], &decision["stage"]),
        (&json!("dispatch_to_fullsend"), &json!("proposed")),
        "{decision}"
    );
    assert!(decision["thoughts"].as_str().is_some_and(|why| why.contains("nothing like it runs")), "{decision}");
    let id = decision["approval_id"].as_str().unwrap();
    let said = Serve::command(&serve.server, &serve.home).args(["approvals", "approve", id]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    Serve::until("a dispatch", || serve.entries("fullsend:to_fullsend:stream").contains("experiment_request"));
    // FULLSEND makes a draft of it, and asks: nobody named a repository, so its audience is a simulation, and called so.
    let waits = || {
        let all = serve.verb(&["approvals", "list"]);
        let found = all.as_array()?.iter().find(|it| it.to_string().contains("Simulate: "))?.clone();
        found.pointer("/approval/proposal/approval_id")?.as_str().map(str::to_owned)
    };
    Serve::until("a request of FULLSEND", || waits().is_some());
    assert!(serve.entries("fullsend:to_orchestrator:stream").contains("fullsend_completed"));
    // Its item moves with it, and the file shows it.
    let file = serve.home.path().join("context/worklist.md");
    Serve::until("its item", || fs::read_to_string(&file).is_ok_and(|text| text.contains("waits for a yes, req_")));
    let said =
        Serve::command(&serve.server, &serve.home).args(["approvals", "approve", &waits().unwrap()]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    Serve::until("its going live", || serve.entries("fullsend:to_orchestrator:stream").contains("experiment_ready"));
    assert!(serve.entries("fullsend:execute_now:stream").contains("execute_now"));
    assert!(serve.entries("fullsend:experiments:stream").contains("experiment_created"));
}

#[test]
fn where_nobody_said_what_is_sold_it_is_asked_and_the_idea_is_kept() {
    let serve = Serve::start(None);
    serve.publish();
    let decision = serve.decided();
    assert_eq!(decision["action"], "respond_to_discord", "{decision}");
    assert!(serve.entries("fullsend:from_orchestrator:stream").contains("What do we sell, and to whom?"));
    let waits = serve.verb(&["approvals", "list"]);
    assert!(waits.to_string().contains("Keep on the worklist until it is answered"), "{waits}");
}
