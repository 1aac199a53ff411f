//! Starts that are units of their own: the marks that a consumer sets before its handlers run.
//!
//! They come in dozens with each commit of a busy consumer, so that they are brought together: one claim for all that one consumer
//! starts of one stream with one count. Must never mix in a start that is part of a larger unit.

use std::collections::HashSet;

use redis::{Cmd, Value};

use super::names::Names;
use super::value;
use crate::bus::commit::{Commit, Op};
use crate::bus::entry::EntryId;
use crate::bus::error::BusError;

/// About how many bytes a start takes on the wire.
pub(super) const SIZE: usize = 32;

/// A start.
pub(super) struct Start {
    to: Target,
    entry: EntryId,
}

/// What starts have in common that are claimed together.
#[derive(Clone, PartialEq, Eq)]
struct Target {
    stream: String,
    group: String,
    consumer: String,
    attempt: u32,
}

impl Start {
    /// The start that this commit is, if it is nothing else.
    pub(super) fn of(commit: &Commit, names: &Names) -> Option<Self> {
        match commit.ops.as_slice() {
            [Op::Start { pending, consumer, attempt }]
                if commit.once.is_none() && commit.under.is_none() && commit.acknowledge.is_empty() =>
            {
                let to = Target {
                    stream: names.stream(pending.channel),
                    group: pending.group.clone(),
                    consumer: consumer.clone(),
                    attempt: *attempt,
                };
                Some(Self { to, entry: pending.entry })
            }
            _ => None,
        }
    }

    /// Where it is looked up in what was started.
    pub(super) fn place(&self) -> (&str, &str, EntryId) {
        (&self.to.stream, &self.to.group, self.entry)
    }
}

/// All starts of one call, by what they have in common.
pub(super) struct Starts<'a> {
    groups: Vec<(&'a Target, Vec<EntryId>)>,
}

impl<'a> Starts<'a> {
    pub(super) fn of(starts: impl Iterator<Item = &'a Start>) -> Self {
        let mut groups: Vec<(&Target, Vec<EntryId>)> = Vec::new();
        for start in starts {
            match groups.iter_mut().find(|(to, _)| **to == start.to) {
                Some((_, ids)) => ids.push(start.entry),
                None => groups.push((&start.to, vec![start.entry])),
            }
        }
        for (_, ids) in &mut groups {
            ids.sort_unstable();
        }
        Self { groups }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn add_keys(&self, cmd: &mut Cmd) {
        for (to, _) in &self.groups {
            cmd.arg(&to.stream);
        }
    }

    pub(super) fn add_args(&self, cmd: &mut Cmd) {
        cmd.arg(self.groups.len());
        for (to, ids) in &self.groups {
            cmd.arg(&to.group).arg(&to.consumer).arg(to.attempt).arg(ids.len());
            for id in ids {
                cmd.arg(id.to_string());
            }
        }
    }

    /// Reads which of them were started.
    pub(super) fn started(&self, answers: &[Value]) -> Result<HashSet<(&'a str, &'a str, EntryId)>, BusError> {
        let mut started = HashSet::new();
        for ((to, _), ids) in self.groups.iter().zip(answers) {
            for id in value::text(ids)?.split_ascii_whitespace() {
                let id = id.parse().map_err(|_| BusError::bad_id(id))?;
                started.insert((to.stream.as_str(), to.group.as_str(), id));
            }
        }
        Ok(started)
    }
}
