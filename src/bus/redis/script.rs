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
    ($($name:ident: [$($file:literal),+]),+ $(,)?) => {
        /// All scripts.
        pub(super) struct Scripts { $( pub(super) $name: Script, )+ }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self { $( $name: Script::new(concat!($(include_str!($file)),+)), )+ }
            }

            pub(super) fn all(&self) -> Vec<&Script> {
                vec![$( &self.$name ),+]
            }
        }
    };
}

scripts!(
    commit: ["commit.lua", "commit_end.lua"],
    relay: ["relay.lua", "commit_end.lua"],
    read: ["read.lua"],
    claim: ["claim.lua"],
    hold: ["hold.lua"],
    ensure: ["ensure.lua"],
    lease: ["lease.lua"],
    timers: ["timers.lua"],
    trim: ["trim.lua"],
    inspect: ["inspect.lua"],
    get: ["get.lua"],
    probe: ["probe.lua"],
);
