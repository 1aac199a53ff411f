//! Turns what the client and the server call an error into a [`BusError`].
//!
//! Owns the answer to the one question that matters: has it happened or not? Must never let a secret into a text.

use redis::RedisError;

use crate::bus::error::BusError;

/// The error of a call that was sent.
pub(super) fn of_call(error: &RedisError) -> BusError {
    if error.is_timeout() {
        return BusError::NoAnswer("the server did not answer in time".to_owned());
    }
    if error.is_io_error() {
        return BusError::NoAnswer(format!("the connection was lost ({error})"));
    }
    match (error.code(), error.detail()) {
        (Some(code), detail) => of_text(&format!("{code} {}", detail.unwrap_or_default())),
        (None, _) => BusError::Protocol(error.to_string()),
    }
}

/// Whether the server says that the user may not. In a script each version words it differently (6.2 and 7.0, then 7.2 and later).
pub(super) fn is_forbidden(text: &str) -> bool {
    ["NOPERM", "The user executing the script", "ACL failure in script"].iter().any(|words| text.contains(words))
}

/// The error that the server answered.
pub(super) fn of_text(text: &str) -> BusError {
    let text = text.trim();
    // Servers before 7.0 wrap the reason into the text of a script's error.
    let says = |code: &str| text.split([' ', ':', '-']).any(|word| word == code);
    let reason = || text.trim_end_matches('.').chars().take(300).collect();
    let read_only = |fix: &str| BusError::ReadOnly { reason: reason(), fix: fix.to_owned() };
    if says("MISCONF") {
        read_only("The server cannot write to its disk: free space or mend `dir`, then look at its log")
    } else if says("OOM") {
        read_only("The server's memory is full: raise `maxmemory`, or trim streams")
    } else if says("READONLY") {
        read_only("The server is a replica: connect to its master, or by Sentinel")
    } else if says("NOREPLICAS") {
        read_only("Too few replicas are connected: mend them, or lower `min-replicas-to-write`")
    } else if is_forbidden(text) {
        read_only(
            "The user may not do this: `ACL SETUSER <user> ~<prefix>* &<prefix>* +@all -@dangerous +info +config|get`",
        )
    } else if says("LOADING") {
        BusError::Unreachable("the server is still loading its data".to_owned())
    } else if says("MASTERDOWN") || says("CLUSTERDOWN") || says("TRYAGAIN") {
        BusError::Unreachable("the server has lost its master".to_owned())
    } else if says("NOSCRIPT") {
        BusError::Unreachable("somebody keeps flushing the server's scripts".to_owned())
    } else if says("BUSY") {
        BusError::Unreachable("the server is busy with somebody's script".to_owned())
    } else if says("NOAUTH") || says("WRONGPASS") {
        BusError::Unsupported("the server refuses the user or the password; mend them in the URL".to_owned())
    } else if says("WRONGTYPE") {
        BusError::ForeignType {
            key: "a key of the bus".to_owned(),
            found: "value of another type".to_owned(),
            wanted: "stream",
        }
    } else {
        BusError::Protocol(text.chars().take(300).collect())
    }
}

/// Whether the user or the password was wanted, or is wrong.
pub(super) fn is_refused_login(error: &RedisError) -> bool {
    let text = error.to_string();
    error.kind() == redis::ErrorKind::AuthenticationFailed || text.contains("WRONGPASS") || text.contains("NOAUTH")
}

/// The error of a connection that could not be made: nothing was asked yet.
pub(super) fn of_dial(error: &RedisError, location: &str) -> BusError {
    let text = error.to_string();
    if text.contains("invalid peer certificate") {
        return BusError::Unsupported(format!(
            "{location} is not who it should be ({text}); name the file of the authority that signed its certificate by `bus.ca`"
        ));
    }
    if error.is_io_error() {
        return BusError::Unreachable(format!("{location}: {text}"));
    }
    if is_refused_login(error) {
        return BusError::Unsupported(format!(
            "{location} refuses the user or the password; mend them in the URL (redis://user:password@host)"
        ));
    }
    if error.kind() == redis::ErrorKind::RESP3NotSupported {
        return BusError::Unsupported(format!(
            "{location} is older than Redis 6.2, which is the least that is needed; update the server"
        ));
    }
    if error.kind() == redis::ErrorKind::InvalidClientConfig {
        return BusError::Unsupported(format!("{location}: {text}; mend the URL or the certificates"));
    }
    match error.code().map(|code| of_text(&format!("{code} {}", error.detail().unwrap_or_default()))) {
        Some(BusError::Protocol(text)) => BusError::Unreachable(format!("{location}: {text}")),
        Some(known) => known,
        None => BusError::Unreachable(format!("{location}: {text}")),
    }
}

/// Whether a reader cannot wait on its streams: a group or a key is gone, or something else stands there. A look at each says which.
pub(super) fn cannot_wait(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED" | "WRONGTYPE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_however_the_server_words_it() {
        for (text, passing, read_only) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", true, true),
            ("ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed", true, true),
            ("MISCONF Errors writing to the AOF file: No space left on device", true, true),
            ("READONLY You can't write against a read only replica.", true, true),
            ("ERR The user executing the script can't run this command or subcommand", true, true),
            ("ERR ACL failure in script: No permissions to access a channel", true, true),
            ("NOSCRIPT No matching script. Please use EVAL.", true, false),
            ("LOADING Redis is loading the dataset in memory", true, false),
            ("WRONGPASS invalid username-password pair", false, false),
            ("ERR unknown", false, false),
        ] {
            let error = of_text(text);
            assert_eq!(error.is_passing(), passing, "{text}");
            assert_eq!(matches!(error, BusError::ReadOnly { .. }), read_only, "{text}");
            assert!(!error.unknown_outcome(), "{text}");
            assert!(!error.to_string().contains(".."), "{error}");
        }
    }
}
