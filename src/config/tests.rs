use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;
use rstest::rstest;
use tempfile::TempDir;

use super::*;

/// A user's folders, empty at first.
struct Place {
    folder: TempDir,
    env: Environment,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let env = Environment {
            vars: BTreeMap::new(),
            folder: at("work"),
            user: Some(at("user")),
            config_home: Some(at("config")),
            state_home: Some(at("state")),
        };
        Self { folder, env }
    }

    fn file(self, text: &str) -> Self {
        fs::write(self.env.folder.join("fullsend.toml"), text).unwrap();
        self
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.env.vars.insert(name.to_owned(), value.into());
        self
    }

    fn load(&self, flags: &[Flag]) -> Result<Config, ConfigError> {
        Config::load(&self.env, None, flags)
    }

    /// The only problem, as it is told, without the folder's name.
    fn refusal(&self) -> String {
        let problems = self.load(&[]).unwrap_err().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string().replace(&format!("{}/", self.env.folder.display()), "")
    }
}

fn flag(key: &'static str, value: &str) -> Flag {
    Flag { key, name: "--flag", value: value.into() }
}

fn shown(config: &Config, key: &str) -> (String, &'static str) {
    let setting = config.settings().into_iter().find(|setting| setting.key == key).unwrap();
    (setting.value.to_string(), setting.source.kind())
}

#[test]
fn the_defaults() {
    let place = Place::new();
    let config = place.load(&[]).unwrap();
    assert_eq!(config.mode, Mode::Guarded);
    assert_eq!(config.home, place.folder.path().join("state/fullsend"));
    assert_eq!(config.context, config.home.join("context"));
    assert!(config.bus.url.is_none());
    assert_eq!(config.retention.age, Duration::from_hours(7 * 24));
    assert_eq!(config.retention.length, 100_000);
    assert_eq!(config.consumer.stale_after, Duration::from_secs(2));
    assert_eq!(config.consumer.heartbeat, Duration::from_millis(500));
    assert_eq!(config.consumer.max_attempts, 5);
    assert!(config.services.runs(ServiceName::Echo));
    assert_eq!(config.findings(), []);
    assert!(config.settings().iter().all(|setting| setting.source == Source::Default));
    assert!(!config.home.exists(), "nothing is made before it is needed");

    fs::create_dir(place.env.folder.join("context")).unwrap();
    assert_eq!(place.load(&[]).unwrap().context, place.env.folder.join("context"));
}

#[test]
fn two_workspaces_on_one_server_share_no_notes() {
    let place = Place::new().var("FULLSEND_BUS__PREFIX", "a:");
    fs::create_dir(place.env.folder.join("context")).unwrap();
    let config = place.load(&[]).unwrap();
    assert_eq!(config.context, config.home.join("context-a:"));
    // What is named is taken, with a prefix too.
    let named = place.var("FULLSEND_CONTEXT", "notes");
    assert_eq!(named.load(&[]).unwrap().context, named.env.folder.join("notes"));
}

/// Each setting with three values: file (as TOML), environment, flag; and how each is shown.
#[rstest]
#[case("mode", r#""manual""#, "autopilot", "guarded", ["manual", "autopilot", "guarded"])]
#[case("home", r#""/a""#, "/b", "/c", ["/a", "/b", "/c"])]
#[case("context", r#""/a""#, "/b", "/c/../c/./d", ["/a", "/b", "/c/../c/d"])]
#[case("bus.url", r#""redis://a""#, "rediss://u:canary@b", "embedded", ["redis://a", "rediss://u:***@b", "embedded"])]
#[case("bus.prefix", r#""a:""#, "b:", "c:", ["a:", "b:", "c:"])]
#[case("bus.durability", r#""full""#, "normal", "full", ["full", "normal", "full"])]
#[case("bus.response_timeout", r#""1s""#, "2s", "3s", ["1s", "2s", "3s"])]
#[case("bus.ca", r#""/a.pem""#, "/b.pem", "/c.pem", ["/a.pem", "/b.pem", "/c.pem"])]
#[case("bus.sentinel_password", r#""canary-a""#, "canary-b", "canary-c", ["***", "***", "***"])]
#[case("retention.age", r#""1d""#, "2d", "36h", ["1d", "2d", "1d12h"])]
#[case("retention.length", "1_000", "2_000", "3000", ["1000", "2000", "3000"])]
#[case("services.only", r#"["echo"]"#, "bridge", "echo, bridge", ["echo", "bridge", "echo,bridge"])]
#[case("services.except", r#"["echo"]"#, "bridge", "echo,bridge", ["echo", "bridge", "echo,bridge"])]
#[case("consumer.stale_after", r#""10s""#, "11s", "12s", ["10s", "11s", "12s"])]
#[case("consumer.heartbeat", r#""100ms""#, "200ms", "1s", ["100ms", "200ms", "1s"])]
#[case("consumer.max_attempts", "1", "2", "3", ["1", "2", "3"])]
#[case("consumer.handler_timeout", r#""1m""#, "2m", "3m", ["1m", "2m", "3m"])]
#[case("llm.classify", r#"["gemini", "rules"]"#, "claude-x", "openai:qwen3:8b,rules", ["gemini,rules", "anthropic:claude-x", "openai:qwen3:8b,rules"])]
#[case("llm.classify_reply", r#""gemini""#, "rules", "gemini:g, rules", ["gemini", "rules", "gemini:g,rules"])]
#[case("llm.respond", r#""gemini""#, "rules", "gemini:g, rules", ["gemini", "rules", "gemini:g,rules"])]
#[case("llm.decide", r#"["anthropic:a"]"#, "rules", "gemini", ["anthropic:a", "rules", "gemini"])]
#[case("llm.design_experiment", r#"["anthropic:a"]"#, "rules", "gemini", ["anthropic:a", "rules", "gemini"])]
#[case("llm.orchestrator_model", r#""claude-a""#, "gemini-b", "openai:c", ["anthropic:claude-a", "gemini:gemini-b", "openai:c"])]
#[case("llm.watcher_model", r#""claude-a""#, "gemini-b", "openai:c", ["anthropic:claude-a", "gemini:gemini-b", "openai:c"])]
#[case("llm.redis_agent_model", r#""claude-a""#, "gemini-b", "openai:c", ["anthropic:claude-a", "gemini:gemini-b", "openai:c"])]
#[case("llm.thinking_budget", "0", "2000", "3000", ["0", "2000", "3000"])]
#[case("llm.max_tokens", "20_000", "30_000", "40000", ["20000", "30000", "40000"])]
#[case("llm.thinking_timeout", r#""1m""#, "2m", "3s", ["1m", "2m", "3s"])]
#[case("llm.quick_timeout", r#""1m""#, "2m", "3s", ["1m", "2m", "3s"])]
#[case("llm.header_timeout", r#""1m""#, "2m", "3s", ["1m", "2m", "3s"])]
#[case("llm.idle_timeout", r#""1m""#, "2m", "3s", ["1m", "2m", "3s"])]
#[case("llm.plain_http", r#""anywhere""#, "loopback", "anywhere", ["anywhere", "loopback", "anywhere"])]
#[case("llm.anthropic.key", r#""canary-a""#, "canary-b", "canary-c", ["***", "***", "***"])]
#[case("llm.anthropic.url", r#""https://a/""#, "http://127.0.0.1:8", "http://[::1]:8/v1", ["https://a", "http://127.0.0.1:8", "http://[::1]:8/v1"])]
#[case("llm.gemini.key", r#""canary-a""#, "canary-b", "canary-c", ["***", "***", "***"])]
#[case("llm.gemini.url", r#""https://a""#, "https://b/c", "http://localhost:1", ["https://a", "https://b/c", "http://localhost:1"])]
#[case("llm.openai.key", r#""canary-a""#, "canary-b", "canary-c", ["***", "***", "***"])]
#[case("llm.openai.url", r#""https://a""#, "https://b/c", "http://localhost:1", ["https://a", "https://b/c", "http://localhost:1"])]
#[case("llm.openai.model", r#""qwen3:8b""#, "b", "c/d", ["qwen3:8b", "b", "c/d"])]
#[case("budget.call", "3", "$7.5", "none", ["3.00", "7.50", "none"])]
#[case("budget.trace", "3", "$7.5", "none", ["3.00", "7.50", "none"])]
#[case("budget.task", r#""0.5, 9 calls""#, "20_000 tokens", "none", ["0.50, 9 calls", "20000 tokens", "none"])]
#[case("budget.service", "3", "$7.5", "none", ["3.00", "7.50", "none"])]
#[case("budget.day", "3", "$7.5", "none", ["3.00", "7.50", "none"])]
#[case("budget.month", "3", "$7.5", "none", ["3.00", "7.50", "none"])]
#[case("budget.on_exceeded", r#""ask""#, "rules", "ask", ["ask", "rules", "ask"])]
#[case("notify_command", r#"["notify-send", "a b"]"#, "tell me", "tell", ["notify-send,a b", "tell,me", "tell"])]
#[case("room.bell", r#""off""#, "on", "off", ["off", "on", "off"])]
#[case("room.notification", r#""off""#, "on", "off", ["off", "on", "off"])]
#[case("room.title", r#""off""#, "on", "off", ["off", "on", "off"])]
#[case("room.plain", r#""on""#, "off", "on", ["on", "off", "on"])]
#[case("room.lines", "1000", "2000", "3000", ["1000", "2000", "3000"])]
#[case("approvals.deadline", r#""1h""#, "2h", "3h", ["1h", "2h", "3h"])]
#[case("approvals.outward_deadline", r#""1h""#, "2h", "3h", ["1h", "2h", "3h"])]
#[case("approvals.autopilot_per_day", "1", "2", "3", ["1", "2", "3"])]
#[case("approvals.autopilot_cents", "0", "2", "3", ["0", "2", "3"])]
#[case("executor.schedule_mode", r#""cron""#, "speedrun", "trigger", ["cron", "speedrun", "trigger"])]
#[case("executor.speedrun_interval", r#""1s""#, "2s", "1h", ["1s", "2s", "1h"])]
#[case("executor.speedrun_max_per_cycle", "1", "2", "100", ["1", "2", "100"])]
#[case("executor.cron_check_interval", r#""10s""#, "11s", "1h", ["10s", "11s", "1h"])]
#[case("executor.tool_execution_timeout", r#""1s""#, "2s", "1h", ["1s", "2s", "1h"])]
#[case("executor.retry_max_attempts", "1", "2", "10", ["1", "2", "10"])]
#[case("executor.retry_backoff_min", r#""100ms""#, "200ms", "3s", ["100ms", "200ms", "3s"])]
#[case("executor.retry_backoff_max", r#""10s""#, "20s", "300s", ["10s", "20s", "5m"])]
#[case("executor.slots", "1", "2", "64", ["1", "2", "64"])]
#[case("executor.person_deadline", r#""1h""#, "2h", "3d", ["1h", "2h", "3d"])]
#[case("executor.keep_work", r#""1d""#, "2d", "30d", ["1d", "2d", "30d"])]
#[case("executor.keep_work_runs", "1", "2", "3", ["1", "2", "3"])]
#[case("outreach.sender", r#""a@example.com""#, "b@example.com", "c@example.com", ["a@example.com", "b@example.com", "c@example.com"])]
#[case("outreach.sender_name", r#""Ada L.""#, "Bo", "Cy", ["Ada L.", "Bo", "Cy"])]
#[case("outreach.postal_address", r#""1 Road, Town""#, "2 Road", "3 Road", ["1 Road, Town", "2 Road", "3 Road"])]
#[case("outreach.smtp", r#""smtp://127.0.0.1:1025""#, "smtps://b@mail.example.com", "smtp://c:25", ["smtp://127.0.0.1:1025", "smtps://b@mail.example.com", "smtp://c:25"])]
#[case("outreach.daily_limit", "1", "2", "100_000", ["1", "2", "100000"])]
#[case("outreach.delay", r#""0s""#, "2s", "3s", ["0s", "2s", "3s"])]
#[case("outreach.contact_gap", r#""0s""#, "2d", "30d", ["0s", "2d", "30d"])]
#[case("outreach.quiet_hours", r#""22:00-07:30""#, "none", "20:00-09:00", ["22:00-07:30", "none", "20:00-09:00"])]
#[case("outreach.timezone", r#""UTC""#, "europe/berlin", "Asia/Tokyo", ["UTC", "europe/berlin", "Asia/Tokyo"])]
#[case("outreach.unsubscribe", r#""stop@example.com""#, "https://example.com/u", "b@example.com", ["stop@example.com", "https://example.com/u", "b@example.com"])]
#[case("outreach.mailbox", r#""/a""#, "/b", "/c", ["/a", "/b", "/c"])]
#[case("outreach.webhooks", r#""/a""#, "/b", "/c", ["/a", "/b", "/c"])]
#[case("outreach.operator_email", r#""a@example.com""#, "b@example.com", "c@example.com", ["a@example.com", "b@example.com", "c@example.com"])]
#[case("tools.allow_private", r#"["127.0.0.1:1025"]"#, "a:1, b:2", "[::1]:25", ["127.0.0.1:1025", "a:1,b:2", "[::1]:25"])]
#[case("tools.unsandboxed", r#""on""#, "off", "on", ["on", "off", "on"])]
#[case("secrets.command", r#"["pass", "show"]"#, "print it", "print", ["pass,show", "print,it", "print"])]
#[case("redis_agent.alert_cooldown", r#""1m""#, "2m", "0s", ["1m", "2m", "0s"])]
#[case("redis_agent.settle", r#""1h""#, "2h", "3d", ["1h", "2h", "3d"])]
#[case("redis_agent.summary_interval", r#""10m""#, "2h", "1d", ["10m", "2h", "1d"])]
#[case("log.level", r#""warn""#, "debug", "info,fullsend::bus=trace", ["warn", "debug", "info,fullsend::bus=trace"])]
#[case("log.keep", "1", "2", "3", ["1", "2", "3"])]
fn later_layers_win(
    #[case] key: &'static str,
    #[case] toml: &str,
    #[case] env: &str,
    #[case] by_flag: &str,
    #[case] values: [&str; 3],
) {
    let place = Place::new().file(&format!("{key} = {toml}\n"));
    let config = place.load(&[]).unwrap();
    assert_eq!(shown(&config, key), (values[0].to_owned(), "file"));
    let name = format!("FULLSEND_{}", key.to_uppercase().replace('.', "__"));
    let place = place.var(&name, env);
    let config = place.load(&[]).unwrap();
    assert_eq!(shown(&config, key), (values[1].to_owned(), "env"));
    assert_eq!(config.source(key).to_string(), format!("env {name}"));
    let config = place.load(&[flag(key, by_flag)]).unwrap();
    assert_eq!(shown(&config, key), (values[2].to_owned(), "flag"));
}

#[test]
fn every_setting_is_in_the_layer_test() {
    let source = include_str!("tests.rs");
    for setting in Config::at(Path::new("/h")).settings() {
        assert!(source.contains(&format!("#[case(\"{}\", ", setting.key)), "{}", setting.key);
    }
}

#[test]
fn names_of_the_founding_designs_are_read_and_ours_win() {
    let place =
        Place::new().var("REDIS_URL", "redis://old:6379").var("CONTEXT_PATH", "notes").var("FULLSEND_TIMEOUT", "600");
    let config = place.load(&[]).unwrap();
    assert_eq!(shown(&config, "bus.url"), ("redis://old:6379".to_owned(), "env"));
    assert_eq!(config.context, place.env.folder.join("notes"));
    assert_eq!(config.findings().len(), 1);
    assert!(config.findings()[0].what.contains("FULLSEND_TIMEOUT"));
    let place = place.var("FULLSEND_BUS__URL", "redis://new:6379");
    assert_eq!(shown(&place.load(&[]).unwrap(), "bus.url").0, "redis://new:6379");
    // Theirs are seconds without a unit.
    let place = Place::new().var("TOOL_EXECUTION_TIMEOUT", "120").var("RETRY_BACKOFF_MIN", "0.5");
    let config = place.load(&[]).unwrap();
    assert_eq!(config.executor.tool_execution_timeout, Duration::from_mins(2));
    assert_eq!(config.executor.retry_backoff_min, Duration::from_millis(500));
    // Blank is as good as unset.
    let place = Place::new().var("REDIS_URL", "").var("FULLSEND_MODE", "");
    assert_eq!(shown(&place.load(&[]).unwrap(), "bus.url"), ("embedded".to_owned(), "default"));
}

#[test]
fn names_that_other_programs_use_for_models_are_read() {
    let place = Place::new()
        .var("ANTHROPIC_API_KEY", "canary-a")
        .var("GEMINI_API_KEY", "canary-other")
        .var("GOOGLE_API_KEY", "canary-g")
        .var("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/")
        .var("ORCHESTRATOR_MODEL", "claude-opus-4-20250514")
        .var("ORCHESTRATOR_THINKING_BUDGET", "9000")
        .var("WATCHER_MODEL", "openai:qwen3:8b");
    let config = place.load(&[]).unwrap();
    let keys: Vec<_> = config.secrets().iter().map(|key| key.expose_secret().to_owned()).collect();
    assert_eq!(keys, ["canary-a", "canary-g"]);
    assert_eq!(config.llm.openai.url.as_deref(), Some("http://127.0.0.1:11434/v1"));
    assert_eq!(config.llm.thinking_budget, 9_000);
    let model = Link { provider: ProviderName::Anthropic, model: Some("claude-opus-4-20250514".to_owned()) };
    assert_eq!(config.llm.orchestrator_model, Some(model));
    let model = Link { provider: ProviderName::Openai, model: Some("qwen3:8b".to_owned()) };
    assert_eq!(config.llm.watcher_model, Some(model));
}

#[rstest]
#[case("llm.openai.url = 'http://10.0.0.1:8000'", "prompts and the key could be read on the way")]
#[case("llm.openai.url = 'http://localhost.evil.example'", "prompts and the key could be read on the way")]
#[case("llm.openai.url = 'https://u:canary@h'", "a name or a password stands in the URL")]
#[case("llm.openai.url = 'https://h?key=canary'", "a query stands in the URL")]
#[case("llm.openai.url = 'ftp://h'", "is asked over http or https")]
#[case("llm.openai.url = 'canary'", "this is no URL")]
#[case("llm.openai.key = 'canary canary'", "it has spaces")]
#[case("llm.openai.key = 7", "a text in quotes belongs here")]
#[case("llm.decide = ['rules', 'gemini']", "put it last")]
#[case("llm.decide = 'rules:x'", "`rules` has no models")]
#[case("llm.decide = 'gpt-9'", "does not show whose model it is")]
#[case("llm.decide = 'gemini:../../x'", "is no name of a model")]
#[case("llm.thinking_budget = 16000", "must be less than llm.max_tokens")]
#[case("llm.max_tokens = 9000", "must be less than llm.max_tokens")]
fn wrong_settings_of_models_are_refused(#[case] text: &str, #[case] refusal: &str) {
    let said = Place::new().file(text).refusal();
    assert!(said.contains(refusal) && !said.contains("canary"), "{said}");
}

#[test]
fn plain_http_can_be_allowed() {
    let place = Place::new().file("llm.openai.url = 'http://10.0.0.1:8000'\nllm.plain_http = 'anywhere'");
    assert_eq!(place.load(&[]).unwrap().llm.openai.url.as_deref(), Some("http://10.0.0.1:8000"));
}

#[test]
fn the_file_is_looked_for_here_then_in_the_config_folder_and_by_name() {
    let place = Place::new();
    let own = place.env.config_home.clone().unwrap().join("fullsend");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("fullsend.toml"), "mode = 'manual'\nhome = 'deep/home'\ncontext = '~/notes'").unwrap();
    let config = place.load(&[]).unwrap();
    assert_eq!(config.mode, Mode::Manual);
    assert_eq!(config.home, own.join("deep/home"), "relative to the file");
    assert_eq!(config.context, place.folder.path().join("user/notes"));
    assert_eq!(config.file, Some(own.join("fullsend.toml")));

    let place = place.file("mode = 'autopilot'");
    assert_eq!(place.load(&[]).unwrap().mode, Mode::Autopilot);

    fs::write(place.env.folder.join("other.toml"), "log.keep = 3").unwrap();
    let named = Config::load(&place.env, Some(Path::new("other.toml")), &[]).unwrap();
    assert_eq!((named.mode, named.log.keep), (Mode::Guarded, 3));
    let by_env = Place::new().var("FULLSEND_CONFIG", "nowhere.toml");
    assert!(by_env.refusal().starts_with("env FULLSEND_CONFIG: there is no file"));
    let missing = Config::load(&place.env, Some(Path::new("nowhere.toml")), &[]).unwrap_err();
    assert!(missing.to_string().contains("flag --config: there is no file"), "{missing}");
}

#[rstest]
#[case("\nmod = 'manual'", "fullsend.toml:2:1: unknown setting `mod`; did you mean `mode`?")]
#[case("[bus]\n  prefx = 'a'", "fullsend.toml:2:3: unknown setting `bus.prefx`; did you mean `bus.prefix`?")]
#[case("durability = 'full'", "fullsend.toml:1:1: unknown setting `durability`; did you mean `bus.durability`?")]
#[case("[buss]\nprefix = 'a'", "fullsend.toml:1:2: unknown setting `buss`; did you mean `bus`?")]
#[case("'redis://u:canary@h' = 1", "fullsend.toml:1:1: unknown setting `redis://u:***@h`")]
#[case("zzzzzzzzzzzz = 1", "fullsend.toml:1:1: unknown setting `zzzzzzzzzzzz`")]
#[case("bus = 'redis://:canary@h'", "fullsend.toml:1:1: `bus` is a section; its settings stand below `[bus]`")]
#[case(
    "\n\nmode = 'manuel'",
    "fullsend.toml:3:1: mode: `manuel` is none of: manual, guarded, autopilot; did you mean `manual`?"
)]
#[case("mode = true", "fullsend.toml:1:1: mode: true or false stands here; a text in quotes belongs here")]
#[case("mode = 3", "fullsend.toml:1:1: mode: 3 is a number; a text in quotes belongs here")]
#[case("[consumer]\nmax_attempts = 0", "fullsend.toml:2:1: consumer.max_attempts: the number is outside 1 to 1000")]
#[case("[consumer]\nmax_attempts = 'x'", "fullsend.toml:2:1: consumer.max_attempts: `x` is no number from 1 to 1000")]
#[case("log.keep = -1", "fullsend.toml:1:5: log.keep: the number is outside 1 to 3650")]
#[case("retention.age = '1s'", "fullsend.toml:1:11: retention.age: 1s is outside 1m to 3650d")]
#[case(
    "services.only = ['mirror']",
    "fullsend.toml:1:10: services.only: `mirror` is a part of the service `memory`; name that"
)]
#[case("services.only = ['ecko']", "fullsend.toml:1:10: services.only: unknown service `ecko`; did you mean `echo`?")]
#[case(
    "services.only = [1]",
    "fullsend.toml:1:10: services.only: a list of other things than texts stands here; a list of services belongs here"
)]
#[case(
    "log.level = 'inof'",
    "fullsend.toml:1:5: log.level: `inof` is none of: off, error, warn, info, debug, trace; did you mean `info`?"
)]
#[case(
    "bus.prefix = 'a*'",
    "fullsend.toml:1:5: bus.prefix: `a*` cannot stand before keys; use at most 64 letters, digits and `:_.-`"
)]
#[case(
    "bus.url = 'embeded'",
    "fullsend.toml:1:5: bus.url: this is no URL of a bus; write `redis://HOST:PORT`, or `embedded`; did you mean `embedded`?"
)]
#[case(
    "bus.url = 'redis://:canary x@h'",
    "fullsend.toml:1:5: bus.url: the URL names no place after `redis://`, or holds spaces"
)]
#[case(
    "[services]\nonly = ['echo']\nexcept = ['echo']",
    "fullsend.toml:3:1: `echo` is in services.only and in services.except; take it out of one"
)]
#[case(
    "mode = 'redis://u:canary@h'",
    "fullsend.toml:1:1: mode: `redis://u:***@h` is none of: manual, guarded, autopilot"
)]
fn a_wrong_file_is_refused_with_its_place(#[case] text: &str, #[case] refusal: &str) {
    assert_eq!(Place::new().file(text).refusal(), refusal);
}

#[test]
fn a_heartbeat_must_fit_into_the_time_to_go_stale() {
    let refusal = Place::new().file("[consumer]\n\nheartbeat = '1500ms'").refusal();
    assert!(refusal.starts_with("fullsend.toml:3:1: consumer.heartbeat (1s500ms) is more than half"), "{refusal}");
    let refusal = Place::new().var("FULLSEND_CONSUMER__STALE_AFTER", "900ms").refusal();
    assert!(refusal.starts_with("env FULLSEND_CONSUMER__STALE_AFTER: "), "{refusal}");
}

#[test]
fn broken_toml_is_refused_without_quoting_the_line() {
    let refusal = Place::new().file("mode = 'manual'\nbus.url = 'redis://u:canary@h").refusal();
    assert!(refusal.starts_with("fullsend.toml:2:"), "{refusal}");
    assert!(!refusal.contains("canary"), "{refusal}");
    let refusal = Place::new().file("mode = 'manual'\nmode = 'manual'").refusal();
    assert!(refusal.starts_with("fullsend.toml:2:1: duplicate key"), "{refusal}");
    let place = Place::new();
    fs::write(place.env.folder.join("fullsend.toml"), b"mode = '\xff'").unwrap();
    assert_eq!(place.refusal(), "fullsend.toml: it is not UTF-8 text");
}

#[rstest]
#[case("FULLSEND_MOD", "x", "env FULLSEND_MOD: no setting has this name; did you mean `FULLSEND_MODE`?")]
#[case(
    "FULLSEND_BUS_PREFIX",
    "x",
    "env FULLSEND_BUS_PREFIX: no setting has this name; did you mean `FULLSEND_BUS__PREFIX`?"
)]
#[case("FULLSEND_CONFIGG", "x", "env FULLSEND_CONFIGG: no setting has this name; did you mean `FULLSEND_CONFIG`?")]
#[case("FULLSEND_MODE", "x", "env FULLSEND_MODE: mode: `x` is none of: manual, guarded, autopilot")]
#[case(
    "REDIS_URL",
    "http://u:canary@h",
    "env REDIS_URL: bus.url: a bus URL starts with one of: redis, rediss, valkey, valkeys, unix, redis+unix, valkey+unix, redis+sentinel, rediss+sentinel; not with `http`"
)]
fn a_wrong_environment_is_refused(#[case] name: &str, #[case] value: &str, #[case] refusal: &str) {
    assert_eq!(Place::new().var(name, value).refusal(), refusal);
}

#[test]
fn all_problems_are_told_at_once() {
    let place = Place::new().file("mod = 1\nmode = 'x'").var("FULLSEND_X", "1");
    let refused = place.load(&[flag("log.keep", "x"), flag("home", "")]).unwrap_err();
    let places: Vec<_> = refused.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places.len(), 5, "{refused}");
    assert!(places.contains(&"env FULLSEND_X") && places.contains(&"flag --flag"), "{refused}");
    assert!(refused.to_string().ends_with("with its meaning"), "{refused}");
}

#[test]
fn a_password_is_hidden_and_its_place_is_judged() {
    let text = "bus.url = 'redis://u:canary%40x@h'";
    let place = Place::new().file(text);
    let file = place.env.folder.join("fullsend.toml");
    let mode = |mode: u32| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();

    mode(0o640);
    let config = place.load(&[]).unwrap();
    assert_eq!(shown(&config, "bus.url").0, "redis://u:***@h");
    assert!(!format!("{config:?}").contains("canary"));
    assert_eq!(config.secrets()[0].expose_secret(), "canary%40x");
    assert_eq!(config.findings().len(), 1);
    assert!(config.findings()[0].fix.starts_with("chmod 600"));
    mode(0o600);
    assert_eq!(place.load(&[]).unwrap().findings(), []);

    let by_flag = place.load(&[flag("bus.url", "redis://:canary@h")]).unwrap();
    assert_eq!(by_flag.findings().len(), 1);
    assert!(by_flag.findings()[0].what.starts_with("--flag holds a password"));
    let without = place.load(&[flag("bus.url", "redis://h")]).unwrap();
    assert_eq!(without.findings(), []);
}

#[test]
fn secrets_of_the_environment_are_known_by_their_names() {
    let place = Place::new()
        .var("ANTHROPIC_API_KEY", "canary-key")
        .var("DISCORD_TOKEN", "canary-token")
        .var("a_password", "canary-password")
        .var("X_SECRET", "short")
        .var("KEYBOARD", "canary-harmless");
    let secrets = place.env.secrets();
    let secrets: BTreeSet<_> = secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, BTreeSet::from(["canary-key", "canary-token", "canary-password"]));
}

#[test]
fn the_home_is_private() {
    let place = Place::new();
    let config = place.load(&[]).unwrap();
    config.make_home().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&config.home), 0o700);
    private_file(&config.home.join("f")).unwrap();
    assert_eq!(mode(&config.home.join("f")), 0o600);
    assert_eq!(place.load(&[]).unwrap().findings(), []);

    fs::set_permissions(&config.home, fs::Permissions::from_mode(0o755)).unwrap();
    config.make_home().unwrap();
    let open = place.load(&[]).unwrap();
    assert_eq!(mode(&config.home), 0o755, "what is there is not changed");
    assert!(open.findings()[0].fix.starts_with("chmod 700"));

    let below_a_file = Config::at(&config.home.join("f/home"));
    assert!(below_a_file.make_home().unwrap_err().to_string().contains("f/home"));
}

#[test]
fn the_template_says_the_defaults() {
    let template = template();
    let as_it_is = Place::new().file(&template);
    let lines: Vec<&str> = template
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect();
    let uncommented = lines.join("\n");
    let all_set = Place::new().file(&uncommented);
    let values = |place: &Place| -> Vec<_> {
        let settings = place.load(&[]).unwrap().settings();
        let root = place.folder.path().display().to_string();
        settings.into_iter().map(|setting| (setting.key, setting.value.to_string().replace(&root, ""))).collect()
    };
    let defaults = values(&Place::new());
    assert_eq!(values(&as_it_is), defaults);
    assert_eq!(values(&all_set), defaults);
    for setting in Config::at(Path::new("/h")).settings() {
        let name = setting.key.rsplit('.').next().unwrap();
        assert!(uncommented.contains(&format!("\n{name} = ")), "{}", setting.key);
        assert!(template.contains(setting.help), "{}", setting.key);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_file_is_read_or_refused_without_its_password(
        text in "(mode|bus|url|log|keep|\\[|\\]|\\.| = |\n|'|\"|\"\"\"|\\\\|#|1|é|redis://u:canary@h){0,30}",
    ) {
        let place = Place::new().file(&text);
        let said = match place.load(&[]) {
            Ok(config) => format!("{config:?} {:?}", config.settings()),
            Err(refused) => refused.to_string(),
        };
        proptest::prop_assert!(!said.contains("canary"), "{}", said);
    }
}
