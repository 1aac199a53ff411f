//! What a server must be before it is used.
//!
//! Owns the refusals: too old, a cluster, a replica, a user who may not, a newer schema. Each with what to do.

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};

use super::fault;
use super::names::Names;
use super::script::Scripts;
use super::target::Target;
use super::value;
use crate::bus::SCHEMA_VERSION;
use crate::bus::error::BusError;

const LEAST_VERSION: (u32, u32) = (6, 2);

/// Looks at what the server says of itself in its greeting (which needs no permission).
pub(super) fn server(hello: &[(Value, Value)], target: &Target) -> Result<(), BusError> {
    let said = |name: &str| {
        hello
            .iter()
            .find(|(key, _)| value::text(key).is_ok_and(|key| key == name))
            .and_then(|(_, value)| value::text(value).ok())
            .unwrap_or_default()
    };
    judge(&said("version"), &said("mode"), &said("role"), target.location(), target.may_move())
}

fn judge(version: &str, mode: &str, role: &str, location: &str, may_move: bool) -> Result<(), BusError> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < LEAST_VERSION {
        return Err(BusError::Unsupported(format!(
            "{location} is Redis {version}; 6.2 is the least that is needed. Update the server (any Redis or Valkey since)"
        )));
    }
    match mode {
        "cluster" => {
            return Err(BusError::Unsupported(format!(
                "{location} is a cluster, and a commit spans keys of several slots. Use a single server or Sentinel; \
                 to spread the load, give each workspace its own prefix and its own server"
            )));
        }
        "sentinel" => {
            return Err(BusError::Unsupported(format!(
                "{location} is a Sentinel, no store. Write redis+sentinel://host:26379/master-name/0"
            )));
        }
        _ => {}
    }
    if role != "master" {
        if may_move {
            return Err(BusError::Unreachable(format!("{location}: Sentinel names a server that is no master yet")));
        }
        return Err(BusError::ReadOnly {
            reason: format!("{location} is a {role}"),
            fix: "Connect to its master, or by Sentinel (redis+sentinel://host:26379/master-name/0)".to_owned(),
        });
    }
    Ok(())
}

/// Tries every command once on keys of its own: a missing permission must not show in the middle of a commit.
pub(super) async fn permissions(
    connection: &mut MultiplexedConnection,
    names: &Names,
    scripts: &Scripts,
) -> Result<(), BusError> {
    let mut cmd = scripts.probe.call(&names.probes());
    cmd.arg(format!("{}bus:probe", names.prefix()));
    let answer: Result<Value, RedisError> = cmd.query_async(connection).await;
    let refusal = match &answer {
        Ok(Value::Nil) => return Ok(()),
        Ok(refusal) => value::text(refusal)?.into_owned(),
        Err(error) => error.to_string(),
    };
    if fault::is_forbidden(&refusal) {
        let prefix = names.prefix();
        return Err(BusError::Unsupported(format!(
            "the Redis user may not do all that a bus needs ({refusal}). Give it \
             `ACL SETUSER <user> ~{prefix}* &{prefix}* +@all -@dangerous +info +config|get`"
        )));
    }
    // A server that takes no writes now may take them later; each commit will say so itself.
    if let Err(error) = &answer
        && error.is_io_error()
    {
        return Err(fault::of_dial(error, "the server"));
    }
    Ok(())
}

/// Writes the schema's version into a new store, and refuses a newer one.
pub(super) async fn schema(connection: &mut MultiplexedConnection, names: &Names) -> Result<(), BusError> {
    let key = names.schema();
    let found: Result<Value, RedisError> = redis::cmd("GET").arg(&key).query_async(connection).await;
    let found = found.map_err(|error| fault::of_call(&error))?;
    if found == Value::Nil {
        let set: Result<Value, RedisError> =
            redis::cmd("SET").arg(&key).arg(SCHEMA_VERSION).arg("NX").query_async(connection).await;
        // Where it cannot be written now, it is not needed now: an absent version is the first.
        return match set.map_err(|error| fault::of_call(&error)) {
            Ok(_) | Err(BusError::ReadOnly { .. }) => Ok(()),
            Err(error) => Err(error),
        };
    }
    let text = value::text(&found)?;
    judge_schema(&text, &key)
}

fn judge_schema(found: &str, key: &str) -> Result<(), BusError> {
    match found.parse::<u32>() {
        // There is no older version yet; a migration from one goes here.
        Ok(version) if version <= SCHEMA_VERSION => Ok(()),
        Ok(version) => Err(BusError::Unsupported(format!(
            "the store was written by a newer program (schema {version}, this one knows {SCHEMA_VERSION}). Update the program"
        ))),
        Err(_) => Err(BusError::Unsupported(format!(
            "`{key}` holds `{}` instead of a schema version. Choose another prefix or database",
            found.chars().take(40).collect::<String>()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_master_of_a_known_version_will_do() {
        let judged = |version, mode, role| judge(version, mode, role, "redis://h", false);
        for version in ["6.2.0", "7.0.15", "8.1.3", "10.0.0"] {
            assert_eq!(judged(version, "standalone", "master"), Ok(()), "{version}");
        }
        for (version, mode, role, word) in [
            ("6.0.16", "standalone", "master", "6.2"),
            ("5.0.9", "standalone", "master", "6.2"),
            ("", "standalone", "master", "6.2"),
            ("7.0.15", "cluster", "master", "prefix"),
            ("7.0.15", "sentinel", "master", "redis+sentinel"),
            ("7.0.15", "standalone", "replica", "master"),
        ] {
            let text = judged(version, mode, role).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
        let moving = judge("7.0.15", "standalone", "replica", "h", true);
        assert!(moving.unwrap_err().is_passing());
    }

    #[test]
    fn a_newer_schema_is_refused() {
        assert_eq!(judge_schema("1", "k"), Ok(()));
        assert!(judge_schema("2", "k").unwrap_err().to_string().contains("newer"));
        assert!(judge_schema("x", "k").is_err());
    }
}
