//! How the server is, and what about it endangers the promise.
//!
//! Must never fail: what cannot be found out is itself a finding.

use redis::Value;

use super::{RedisBus, value};
use crate::bus::error::BusError;
use crate::bus::{Finding, Health, Level};

/// What a server says of itself.
#[derive(Debug, Default)]
struct Said {
    info: String,
    /// `appendfsync`, where the user may ask.
    fsync: Option<String>,
    /// `client-output-buffer-limit`, where the user may ask.
    buffers: Option<String>,
}

impl Said {
    fn get(&self, name: &str) -> Option<&str> {
        self.info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn durability(&self) -> &'static str {
        if self.get("aof_enabled") != Some("1") {
            return "no append-only file: a kill loses everything since the last snapshot";
        }
        match self.fsync.as_deref() {
            Some("always") => "survives a kill of everything, and a power cut",
            Some("no") => {
                "survives a kill of everything; a power cut loses what the system had not written, up to half a minute"
            }
            // The server answers before it writes while an earlier fsync is still under way, for up to two seconds.
            Some(_) => {
                "survives a kill of everything while the disk keeps up; a kill of the server on a slow disk loses up to two \
                 seconds, a power cut about one (`appendfsync always` loses nothing)"
            }
            None => "survives a kill of everything; how much a power cut loses cannot be asked (appendfsync)",
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |level, what: String, fix: &str| {
            findings.push(Finding { level, what, fix: fix.to_owned() });
        };
        if self.get("loading") == Some("1") {
            find(Level::Error, "the server is still loading its data".to_owned(), "Wait until it has");
        }
        if self.get("aof_enabled") == Some("0") {
            find(
                Level::Error,
                "the append-only file is off (appendonly no)".to_owned(),
                "`CONFIG SET appendonly yes`, and write it into redis.conf",
            );
        }
        for name in ["aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"] {
            if let Some(status) = self.get(name).filter(|status| *status != "ok") {
                find(
                    Level::Error,
                    format!("the server could not write to its disk ({name}: {status})"),
                    "Free space or mend `dir`, then look at the server's log",
                );
            }
        }
        let policy = self.get("maxmemory_policy").unwrap_or("noeviction");
        let (used, most) = (self.number("used_memory"), self.number("maxmemory"));
        if most > 0 && policy != "noeviction" {
            find(
                Level::Error,
                format!("the server throws keys away when its memory is full (maxmemory-policy {policy})"),
                "`CONFIG SET maxmemory-policy noeviction`, and write it into redis.conf",
            );
        }
        if most > 0 && used / 9 > most / 10 {
            find(
                Level::Warning,
                format!("{used} of {most} bytes of memory are used; beyond that no write is taken"),
                "Raise `maxmemory`, or shorten the retention",
            );
        }
        if self.fsync.as_deref() == Some("no") && self.get("aof_enabled") == Some("1") {
            find(
                Level::Warning,
                "the append-only file is written when the system likes (appendfsync no)".to_owned(),
                "`CONFIG SET appendfsync everysec`, or `always` against power cuts",
            );
        }
        if self.number("aof_delayed_fsync") > 0 {
            find(
                Level::Warning,
                format!(
                    "the disk is too slow for the append-only file: {} times the server waited for it two seconds",
                    self.number("aof_delayed_fsync")
                ),
                "Give `dir` a faster disk of its own",
            );
        }
        if self.buffers.as_deref().and_then(pubsub_limit).is_some_and(|limit| limit > 0 && limit < 1 << 20) {
            find(
                Level::Warning,
                "listeners are cut off early (client-output-buffer-limit pubsub below 1 MiB)".to_owned(),
                "`CONFIG SET client-output-buffer-limit \"pubsub 33554432 8388608 60\"`",
            );
        }
        if self.fsync.is_none() || self.buffers.is_none() {
            find(
                Level::Note,
                "the user may not ask for settings (CONFIG GET)".to_owned(),
                "`ACL SETUSER <user> +config|get`, to have them checked here",
            );
        }
        findings
    }
}

/// The hard limit of `pubsub` in `normal 0 0 0 slave … pubsub 33554432 8388608 60`.
fn pubsub_limit(setting: &str) -> Option<u64> {
    let mut words = setting.split_ascii_whitespace();
    words.find(|word| *word == "pubsub")?;
    words.next()?.parse().ok()
}

impl RedisBus {
    pub(super) async fn do_health(&self) -> Health {
        let mut health = Health {
            engine: "redis",
            location: self.link.target.location().to_owned(),
            reachable: true,
            version: String::new(),
            durability: "unknown".to_owned(),
            bytes: None,
            findings: Vec::new(),
        };
        let mut said = Said::default();
        match self.link.send(redis::cmd("INFO").arg("everything")).await.and_then(value::into_text) {
            Ok(info) => said.info = info,
            Err(BusError::ReadOnly { .. }) => health.findings.push(Finding {
                level: Level::Note,
                what: "the user may not ask how the server is (INFO)".to_owned(),
                fix: "`ACL SETUSER <user> +info`, to have it checked here".to_owned(),
            }),
            Err(error) => {
                health.reachable = false;
                health.findings.push(Finding {
                    level: Level::Error,
                    what: error.to_string(),
                    fix: "Start the server, or mend the URL in the settings".to_owned(),
                });
                return health;
            }
        }
        said.fsync = self.setting("appendfsync").await;
        said.buffers = self.setting("client-output-buffer-limit").await;
        health.findings.extend(said.findings());
        if !said.info.is_empty() {
            let name = if said.get("valkey_version").is_some() { "Valkey" } else { "Redis" };
            let version = said.get("valkey_version").or_else(|| said.get("redis_version"));
            health.version = format!("{name} {}", version.unwrap_or_default());
            health.durability = said.durability().to_owned();
            health.bytes = Some(said.number("used_memory"));
        }
        health
    }

    async fn setting(&self, name: &str) -> Option<String> {
        let answer = self.link.send(redis::cmd("CONFIG").arg("GET").arg(name)).await.ok()?;
        match value::pairs(answer).ok()?.into_iter().next()? {
            (_, Value::Nil) => None,
            (_, setting) => value::into_text(setting).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_danger_is_named_with_a_fix() {
        let good = "redis_version:7.0.15\r\nloading:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\n\
                    rdb_last_bgsave_status:ok\r\nused_memory:5\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        let said = |info: &str| Said {
            info: info.to_owned(),
            fsync: Some("everysec".to_owned()),
            buffers: Some("normal 0 0 0 slave 1 1 60 pubsub 33554432 8388608 60".to_owned()),
        };
        assert_eq!(said(good).findings(), []);
        for (from, to, word) in [
            ("aof_enabled:1", "aof_enabled:0", "append-only"),
            ("loading:0", "loading:1", "loading"),
            ("aof_last_write_status:ok", "aof_last_write_status:err", "disk"),
            ("maxmemory:0", "maxmemory:100", "throws keys away"),
        ] {
            let findings = said(&good.replace(from, to)).findings();
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].level, Level::Error);
            assert!(findings[0].what.contains(word) && !findings[0].fix.is_empty());
        }
        let small = Said {
            buffers: Some("pubsub 1000 500 60".to_owned()),
            fsync: Some("no".to_owned()),
            ..said(&good.replace("loading:0", "aof_delayed_fsync:3"))
        };
        assert_eq!(small.findings().len(), 3);
        let silent = Said { buffers: None, ..said(good) };
        assert_eq!(silent.findings()[0].level, Level::Note);
    }
}
