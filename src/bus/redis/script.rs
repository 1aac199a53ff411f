//! The scripts that run inside the server.
//!
//! Owns their texts and how they are called: by digest. [`super::link::Link`] loads them where the server has forgotten them.

use redis::{Cmd, ToRedisArgs};

/// A script with its digest.
pub(super) struct Script {
    pub(super) text: &'static str,
    digest: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }

    /// A call with these keys; the caller adds the arguments.
    pub(super) fn call<K: ToRedisArgs>(&self, keys: &[K]) -> Cmd {
        let mut cmd = self.call_with(keys.len());
        for key in keys {
            cmd.arg(key);
        }
        cmd
    }

    /// A call with so many keys; the caller adds them, and the arguments.
    pub(super) fn call_with(&self, keys: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(16, 1024);
        cmd.arg("EVALSHA").arg(self.digest.as_str()).arg(keys);
        cmd
    }
}

macro_rules! scripts {
    ($($name:ident),+) => {
        /// All scripts.
        pub(super) struct Scripts { $( pub(super) $name: Script, )+ }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self { $( $name: Script::new(include_str!(concat!(stringify!($name), ".lua"))), )+ }
            }

            pub(super) fn all(&self) -> Vec<&Script> {
                vec![$( &self.$name ),+]
            }
        }
    };
}

scripts!(commit, read, claim, hold, ensure, lease, timers, trim, inspect, get, probe);
