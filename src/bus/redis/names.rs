//! How keys and channels are called on the server.
//!
//! Owns the prefix and the names of what the engine keeps for itself (`bus:*`). No other module spells a key.

use crate::bus::state::Key;
use crate::contracts::ChannelName;

/// Names under a prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn own(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn stream(&self, channel: ChannelName) -> String {
        format!("{}{}:stream", self.prefix, channel.as_str())
    }

    pub(super) fn channel(&self, channel: ChannelName) -> String {
        self.own(channel.as_str())
    }

    pub(super) fn key(&self, key: &Key) -> String {
        self.own(key.as_str())
    }

    /// The channel whose stream stands under this key.
    pub(super) fn channel_of_stream(&self, key: &str) -> Option<ChannelName> {
        let name = key.strip_prefix(&self.prefix)?.strip_suffix(":stream")?;
        ChannelName::ALL.iter().copied().find(|channel| channel.as_str() == name)
    }

    /// The channel of this name on the server.
    pub(super) fn channel_named(&self, name: &str) -> Option<ChannelName> {
        let name = name.strip_prefix(&self.prefix)?;
        ChannelName::ALL.iter().copied().find(|channel| channel.as_str() == name || channel.former_name() == Some(name))
    }

    /// Where a channel is heard: under its name, and under the one it had before.
    pub(super) fn heard_at(&self, channel: ChannelName) -> impl Iterator<Item = String> {
        let former = channel.former_name().map(|name| self.own(name));
        std::iter::once(self.channel(channel)).chain(former)
    }

    pub(super) fn progress(&self) -> String {
        self.own("bus:progress")
    }

    /// The field of the hash of watermarks.
    pub(super) fn progress_field(channel: ChannelName, group: &str) -> String {
        format!("{channel}|{group}")
    }

    pub(super) fn once(&self, key: &str) -> String {
        format!("{}bus:once:{key}", self.prefix)
    }

    pub(super) fn lease(&self, name: &str) -> String {
        format!("{}bus:lease:{name}", self.prefix)
    }

    pub(super) fn fence(&self, name: &str) -> String {
        format!("{}bus:fence:{name}", self.prefix)
    }

    pub(super) fn timers(&self) -> String {
        self.own("bus:timers")
    }

    pub(super) fn timer_messages(&self) -> String {
        self.own("bus:timer:messages")
    }

    pub(super) fn schema(&self) -> String {
        self.own("bus:schema")
    }

    pub(super) fn probes(&self) -> [String; 2] {
        [self.own("bus:probe:stream"), self.own("bus:probe:other")]
    }

    /// The state key that this key on the server is; none for what belongs to the engine.
    pub(super) fn state_key(&self, key: &str) -> Option<Key> {
        let name = key.strip_prefix(&self.prefix)?;
        (!name.starts_with("bus:") && self.channel_of_stream(key).is_none()).then(|| Key::new(name))
    }

    /// A pattern for keys that start with `start` (after the prefix), for `SCAN … MATCH`.
    pub(super) fn pattern(&self, start: &str) -> String {
        let mut pattern = String::new();
        for letter in self.prefix.chars().chain(start.chars()) {
            if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_engines_own_is_no_state() {
        let names = Names::new("w*:");
        assert_eq!(names.state_key("w*:experiments:a"), Some(Key::new("experiments:a")));
        for key in ["w*:bus:once:a", "w*:fullsend:metrics:stream", "experiments:a", "w2:experiments:a"] {
            assert_eq!(names.state_key(key), None, "{key}");
        }
        assert_eq!(names.pattern("a[b]"), "w\\*:a\\[b\\]*");
        assert_eq!(names.channel_of_stream(&names.stream(ChannelName::Metrics)), Some(ChannelName::Metrics));
    }
}
