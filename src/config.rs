//! Settings: one validated struct, built from layers, with the source of each value.
//!
//! Layers, later wins: defaults, `fullsend.toml`, environment, flags. Owns the table of settings (`Config::rows`), from which
//! reading, `fullsend config` and the template come. Must never show a secret, and never guess: an unknown name or a wrong
//! value is refused, with its place.

mod approvals;
mod budget;
mod check;
pub mod duration;
mod error;
pub mod executor;
mod home;
mod layers;
pub mod llm;
pub mod outreach;
mod redis_agent;
mod room;
mod setting;
mod template;
mod tools;
pub mod zone;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub use approvals::Approvals;
pub use budget::{Budgets, Limits, OnExceeded, amount};
pub use error::{ConfigError, Problem, Source};
pub use executor::{ExecutorConfig, ScheduleMode};
pub use home::{private_file, private_folder};
pub use layers::{Environment, Flag};
pub use llm::{Link, LlmConfig, PlainHttp, ProviderConfig, ProviderName};
pub use outreach::{OutreachConfig, QuietHours};
pub use redis_agent::RedisAgentConfig;
pub use room::{RoomConfig, Switch};
pub use setting::Shown;
pub use template::template;
pub use tools::ToolsConfig;

use crate::bus::Finding;
use crate::contracts::ServiceName;
use crate::telemetry::redact;
use layers::{Entry, Names};
use setting::{Base, Row, Slot, choice};

choice! {
    /// What the team may do without asking.
    Mode {
        /// Everything with an effect waits for a person.
        Manual = "manual",
        /// What can be undone goes; the rest waits for a person.
        Guarded = "guarded",
        /// Everything that the rules allow goes.
        Autopilot = "autopilot",
    }
}

choice! {
    /// What a confirmed write on the embedded engine survives.
    Durability {
        /// A kill of every process.
        Normal = "normal",
        /// A power cut, too; slower.
        Full = "full",
    }
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the team may do without asking.
    pub mode: Mode,
    /// The folder for all state: the embedded store, logs. Absolute; made when something needs it, see [`Config::make_home`].
    pub home: PathBuf,
    /// The folder of the person's and the team's working files. Absolute.
    pub context: PathBuf,
    /// The bus.
    pub bus: BusConfig,
    /// What is kept on the bus.
    pub retention: Retention,
    /// Which services run here.
    pub services: Services,
    /// How messages are handled.
    pub consumer: Consumer,
    /// The models.
    pub llm: LlmConfig,
    /// What may be spent on models.
    pub budget: Budgets,
    /// How the gate asks.
    pub approvals: Approvals,
    /// How experiments are run.
    pub executor: ExecutorConfig,
    /// In whose name people are written to.
    pub outreach: OutreachConfig,
    /// What tools may do beyond their sandbox.
    pub tools: ToolsConfig,
    /// How often numbers raise alerts.
    pub redis_agent: RedisAgentConfig,
    /// The program, with its arguments, that tells the person that something needs him; empty for none.
    pub notify_command: Vec<String>,
    /// The control room.
    pub room: RoomConfig,
    /// The log.
    pub log: Log,
    /// The settings file that was read.
    pub file: Option<PathBuf>,
    sources: BTreeMap<&'static str, Source>,
    findings: Vec<Finding>,
}

/// Settings of the bus.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// Where Redis is. None: the embedded engine.
    pub url: Option<SecretString>,
    /// Stands before keys and channels; empty for none.
    pub prefix: String,
    /// What a confirmed write on the embedded engine survives.
    pub durability: Durability,
    /// How long the server may take for an answer.
    pub response_timeout: Duration,
    /// PEM file with the roots that a TLS server's certificate must go back to, besides the usual ones.
    pub ca: Option<PathBuf>,
    /// The password of the Sentinels, where it is not their master's.
    pub sentinel_password: Option<SecretString>,
}

impl BusConfig {
    fn rows(&mut self) -> Vec<Row<'_>> {
        let ms = Duration::from_millis;
        vec![
            Row::new(
                "bus.url",
                Slot::BusUrl(&mut self.url),
                "Where the bus is: a Redis or Valkey server, or the embedded engine (a file in the home).",
            )
            .flag("--bus")
            .founding_env(&["REDIS_URL"]),
            Row::new(
                "bus.prefix",
                Slot::Prefix(&mut self.prefix),
                "Stands before all keys and channels; separates workspaces on one server.",
            )
            .flag("--prefix"),
            Row::new(
                "bus.durability",
                Slot::Choice(&mut self.durability),
                "What a confirmed write on the embedded engine survives: normal, any kill; full, a power cut too.",
            )
            .flag("--durability"),
            Row::new(
                "bus.response_timeout",
                Slot::Duration(&mut self.response_timeout, ms(50)..=seconds(600)),
                "How long the server may take for an answer.",
            ),
            Row::new(
                "bus.ca",
                Slot::File(&mut self.ca),
                "PEM file with further roots for the certificate of a TLS server.",
            ),
            Row::new(
                "bus.sentinel_password",
                Slot::Secret(&mut self.sentinel_password),
                "The password of the Sentinels. Without it they are asked without one, then with that of the URL.",
            ),
        ]
    }
}

/// What is kept on the bus. What a group still needs is always kept.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Entries older than this go.
    pub age: Duration,
    /// At most so many entries a channel.
    pub length: u64,
}

/// Which services run in this process.
#[derive(Debug, Clone)]
pub struct Services {
    /// Only these; empty for all.
    pub only: Vec<ServiceName>,
    /// Not these.
    pub except: Vec<ServiceName>,
}

impl Services {
    /// Whether the settings let this service run here.
    pub fn runs(&self, service: ServiceName) -> bool {
        (self.only.is_empty() || self.only.contains(&service)) && !self.except.contains(&service)
    }
}

/// How messages are handled.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// A holder that is silent for so long loses its messages to others.
    pub stale_after: Duration,
    /// How often a holder says that it is alive.
    pub heartbeat: Duration,
    /// Handlers started on a message before it goes to the dead letters.
    pub max_attempts: u32,
    /// How long one handler may take.
    pub handler_timeout: Duration,
}

/// The log.
#[derive(Debug, Clone)]
pub struct Log {
    /// A level, or levels per module (`info,fullsend::bus=debug`).
    pub level: String,
    /// Daily files that are kept.
    pub keep: u32,
}

/// A setting as it is shown.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name: `bus.prefix`.
    pub key: &'static str,
    /// Its value, without secrets.
    pub value: Shown,
    /// Where the value came from.
    pub source: Source,
    /// What it means.
    pub help: &'static str,
}

/// Whether the program itself reads a setting from the environment variable of this name.
pub fn reads_variable(name: &str) -> bool {
    Config::at(Path::new("")).rows().iter().any(|row| row.env() == name || row.founding_env.contains(&name))
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const DAY: Duration = seconds(86_400);

impl Config {
    /// The defaults, with all state below `home`.
    pub fn at(home: &Path) -> Self {
        Self {
            mode: Mode::Guarded,
            home: home.to_owned(),
            context: home.join("context"),
            bus: BusConfig {
                url: None,
                prefix: String::new(),
                durability: Durability::Normal,
                response_timeout: seconds(5),
                ca: None,
                sentinel_password: None,
            },
            retention: Retention { age: 7 * DAY, length: 100_000 },
            services: Services { only: Vec::new(), except: Vec::new() },
            consumer: Consumer {
                stale_after: seconds(2),
                heartbeat: Duration::from_millis(500),
                max_attempts: 5,
                handler_timeout: seconds(60),
            },
            llm: LlmConfig::default(),
            budget: Budgets::default(),
            approvals: Approvals::default(),
            executor: ExecutorConfig::default(),
            outreach: OutreachConfig::default(),
            tools: ToolsConfig::default(),
            redis_agent: RedisAgentConfig::default(),
            notify_command: Vec::new(),
            room: RoomConfig::default(),
            log: Log { level: "info".to_owned(), keep: 14 },
            file: None,
            sources: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// The table of settings: their names, their places in the struct, what they take and mean.
    fn rows(&mut self) -> Vec<Row<'_>> {
        let ms = Duration::from_millis;
        let mut rows = vec![
            Row::new("mode", Slot::Choice(&mut self.mode), "What the team may do without asking.").flag("--mode"),
            Row::new(
                "home",
                Slot::Folder(&mut self.home),
                "The folder for all state: the embedded store, logs. Default: $XDG_STATE_HOME/fullsend.",
            )
            .flag("--home"),
            Row::new(
                "context",
                Slot::Folder(&mut self.context),
                "The folder of the working files that the person and the team share. Default: ./context if it exists, else in the home; with a prefix \
                 a folder of its own in the home.",
            )
            .flag("--context")
            .founding_env(&["CONTEXT_PATH"]),
            Row::new(
                "notify_command",
                Slot::Words(&mut self.notify_command),
                "A program to run when something needs a person: the first approval that waits, a critical alert. The text is on its \
                 standard input and in FULLSEND_NOTIFY_TEXT.",
            ),
        ];
        rows.extend(self.bus.rows());
        rows.extend([
            Row::new(
                "retention.age",
                Slot::Duration(&mut self.retention.age, seconds(60)..=3650 * DAY),
                "Messages older than this are removed, unless a group still needs them.",
            ),
            Row::new(
                "retention.length",
                Slot::Count(&mut self.retention.length, 100..=1_000_000_000),
                "At most so many messages are kept a channel, unless a group still needs them.",
            ),
            Row::new(
                "services.only",
                Slot::Services(&mut self.services.only),
                "Run only these services here. Empty: all.",
            ),
            Row::new("services.except", Slot::Services(&mut self.services.except), "Do not run these services here."),
            Row::new(
                "consumer.stale_after",
                Slot::Duration(&mut self.consumer.stale_after, ms(200)..=seconds(3_600)),
                "A worker that is silent for so long loses its messages to others.",
            ),
            Row::new(
                "consumer.heartbeat",
                Slot::Duration(&mut self.consumer.heartbeat, ms(20)..=seconds(600)),
                "How often a worker says that it is alive. At most half of consumer.stale_after.",
            ),
            Row::new(
                "consumer.max_attempts",
                Slot::Few(&mut self.consumer.max_attempts, 1..=1_000),
                "Attempts at a message before it goes to the dead letters.",
            ),
            Row::new(
                "consumer.handler_timeout",
                Slot::Duration(&mut self.consumer.handler_timeout, ms(10)..=DAY),
                "How long one attempt may take.",
            ),
            Row::new(
                "log.level",
                Slot::LogFilter(&mut self.log.level),
                "What is written to the log files in the home.",
            )
            .flag("--log"),
            Row::new("log.keep", Slot::Few(&mut self.log.keep, 1..=3_650), "Daily log files that are kept."),
        ]);
        let (room, approvals, executor) = (self.room.rows(), self.approvals.rows(), self.executor.rows());
        let (outreach, tools, agent) = (self.outreach.rows(), self.tools.rows(), self.redis_agent.rows());
        let (llm, budget) = (self.llm.rows(), self.budget.rows());
        rows.extend([room, approvals, executor, outreach, tools, agent, llm, budget].into_iter().flatten());
        rows
    }

    /// Builds the settings from all layers. Reads the settings file; writes nothing.
    ///
    /// `file` is that of `--config`, if one was given.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(env: &Environment, file: Option<&Path>, flags: &[Flag]) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let default_home = env.state_home.as_ref().map(|folder| folder.join("fullsend"));
        let mut config = Self::at(default_home.as_deref().unwrap_or(Path::new("")));
        let names = config.names();

        config.file = layers::find_file(env, file).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let mut entries = match config.file.clone() {
            Some(path) => layers::file(&path, &names, &mut problems),
            None => Vec::new(),
        };
        entries.extend(layers::environment(env, &names, &mut problems));
        entries.extend(layers::flags(env, flags, &names, &mut problems));
        config.overlay(entries, env.user.as_deref(), &mut problems);

        if config.home.as_os_str().is_empty() {
            problems.push(Problem::new("home", "no folder for the state is known; set HOME, or give `--home DIR`"));
        }
        if *config.source("context") == Source::Default {
            let here = env.folder.join("context");
            config.context = if !config.bus.prefix.is_empty() {
                // Another workspace's notes are others, so its files are its own.
                config.home.join(format!("context-{}", config.bus.prefix))
            } else if here.is_dir() {
                here
            } else {
                config.home.join("context")
            };
        }
        config.check(&mut problems);
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        config.look(env);
        Ok(config)
    }

    fn names(&mut self) -> Vec<Names> {
        let names = |row: Row<'_>| Names {
            key: row.key,
            env: row.env(),
            founding_env: row.founding_env,
            founding_seconds: row.founding_seconds,
        };
        self.rows().into_iter().map(names).collect()
    }

    /// Puts the layers' values in; later entries win.
    fn overlay(&mut self, entries: Vec<Entry>, user: Option<&Path>, problems: &mut Vec<Problem>) {
        let mut set = Vec::new();
        let mut rows = self.rows();
        for entry in entries {
            let Some(row) = rows.iter_mut().find(|row| row.key == entry.key) else {
                continue;
            };
            // Empty means "the default" in a file, as in the template; the other layers have dealt with theirs.
            if matches!(&entry.raw, setting::Raw::Text(text) if text.trim().is_empty()) {
                continue;
            }
            let base = Base { folder: &entry.base, user };
            match row.slot.set(&entry.raw, &base) {
                Ok(()) => set.push((entry.key, entry.source)),
                Err((what, nearest)) => problems.push(Problem {
                    place: entry.source.to_string(),
                    what: format!("{}: {what}", entry.key),
                    nearest,
                }),
            }
        }
        drop(rows);
        self.sources.extend(set);
    }

    /// Every setting with its value and source, in the order of the table.
    pub fn settings(&self) -> Vec<Setting> {
        // The table points into the struct to write; showing works on a copy.
        let mut copy = self.clone();
        let setting = |row: Row<'_>| Setting {
            key: row.key,
            value: row.slot.shown(),
            source: self.source(row.key).clone(),
            help: row.help,
        };
        copy.rows().into_iter().map(setting).collect()
    }

    /// Where the value of a setting came from.
    pub fn source(&self, key: &str) -> &Source {
        self.sources.get(key).unwrap_or(&Source::Default)
    }

    /// What is usable and yet not as it should be.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Where prices of models may be overridden, the later wins: beside the settings file, and in the home.
    pub fn price_files(&self) -> Vec<PathBuf> {
        let beside = self.file.as_ref().and_then(|file| file.parent());
        beside.into_iter().chain([self.home.as_path()]).map(|folder| folder.join("prices.toml")).collect()
    }

    /// What must not reach a log or a screen.
    pub fn secrets(&self) -> Vec<SecretString> {
        let password = |url: &SecretString| redact::password(url.expose_secret());
        let passwords = self.bus.url.iter().filter_map(password).map(SecretString::from);
        passwords.chain(self.bus.sentinel_password.clone()).chain(self.llm.secrets().cloned()).collect()
    }

    /// The embedded engine's file.
    pub fn store(&self) -> PathBuf {
        self.home.join("fullsend.db")
    }

    /// The folder of the home's tools.
    pub fn tools_folder(&self) -> PathBuf {
        self.home.join("tools")
    }

    /// The folder of the work folders of tools: one a run and step.
    pub fn work_folder(&self) -> PathBuf {
        self.home.join("work")
    }

    /// The folder of the log files.
    pub fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }

    /// Makes the home (mode 0700) where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made; the text names the folder.
    pub fn make_home(&self) -> std::io::Result<()> {
        private_folder(&self.home)
    }
}

#[cfg(test)]
mod tests;
