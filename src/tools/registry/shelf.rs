//! The documents `tools:{name}`: what decisions and screens know of the tools.
//!
//! Owns what stands in them of tools that are shipped or in the home, and says so where one is there that experiments wait for. One process
//! at a time looks at the folder every few seconds, and writes what changed. Must never touch what another program wrote of a tool that is
//! not here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Listed, Registry};
use crate::bus::leased::Singleton;
use crate::bus::{BusError, Commit, Document, Expect, Key, LeaseFence, Op, Origin, Outcome, SharedBus, State, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{BuilderResults, ToolBuilt};
use crate::contracts::wiring::BUILDER_RESULTS;
use crate::contracts::{Clock, Ids, ServiceName, Trust, keys};
use crate::tools::sandbox::Sandbox;

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(3);
/// Keys that are read at once.
const PAGE: usize = 500;
/// What a document of ours says of where its tool is.
const PLACE: &str = "place";
/// Where the experiments are that wait for a tool, by its name.
const WAITED_FOR: &str = "pending_experiments:";
/// The state of a tool that can be run.
const ACTIVE: &str = "active";
/// What is missing of the sandbox, in the document of a tool that runs all the same.
pub const UNSANDBOXED: &str = "unsandboxed";

/// Keeps the documents in step with the folder: the holder of the lease `tools`.
pub struct Shelf {
    /// The bus.
    pub bus: SharedBus,
    /// Which tools there are.
    pub registry: Registry,
    /// Whether they can be shut in here.
    pub sandbox: Arc<Sandbox>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Names for what is said.
    pub ids: Arc<Ids>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Shelf {
    /// Writes what changed; returns how many documents that were.
    ///
    /// # Errors
    /// Where the bus cannot be used.
    pub async fn sync(&self, under: Option<&LeaseFence>) -> Result<usize, BusError> {
        let registry = self.registry.clone();
        let Ok(listed) = tokio::task::spawn_blocking(move || registry.list()).await else { return Ok(0) };
        let open = self.open().await;
        let of = |listed: &Listed| Some((keys::tool(&listed.name).ok()?, fields(listed, open.as_ref())));
        let mut wanted: BTreeMap<String, Vec<(&'static str, String)>> = listed.iter().filter_map(of).collect();
        let runs = |(key, fields): (&String, &Vec<(&'static str, String)>)| {
            fields.iter().any(|(name, text)| *name == "state" && text == ACTIVE).then(|| key.clone())
        };
        let active: BTreeSet<String> = wanted.iter().filter_map(runs).collect();
        let mut changed = 0;
        let known = self.documents().await?;
        let all: BTreeSet<String> = wanted.keys().chain(known.keys()).cloned().collect();
        for key in all {
            let there = known.get(&key);
            let change = match (wanted.remove(&key), there) {
                (Some(fields), there) => difference(&fields, there),
                // Ours, and gone: whoever waits for it, or names it, is told so.
                (None, Some(document))
                    if document.get(PLACE).is_some() && document.get("state") != Some("deprecated") =>
                {
                    ["state", "status"].map(|field| (field.to_owned(), Some("deprecated".to_owned()))).to_vec()
                }
                (None, _) => Vec::new(),
            };
            if !change.is_empty() {
                changed += usize::from(self.write(&key, there, change, under).await?);
            }
        }
        self.tell(&active, under).await?;
        Ok(changed)
    }

    /// Says of each tool that experiments wait for, and that can be run, that it is there. They stop waiting when that is heard; where nobody
    /// listens, it stands in the stream once a day.
    async fn tell(&self, active: &BTreeSet<String>, under: Option<&LeaseFence>) -> Result<(), BusError> {
        let (mut waited, mut cursor) = (Vec::new(), None);
        loop {
            let (keys, next) = self.bus.scan(WAITED_FOR, cursor, PAGE).await?;
            waited.extend(keys);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        for key in waited {
            let Some(tool) = key.as_str().strip_prefix(WAITED_FOR) else { continue };
            if !keys::tool(tool).is_ok_and(|document| active.contains(&document)) {
                continue;
            }
            let Some(State::Set(ids)) = self.bus.get(&key).await? else { continue };
            let origin = Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System);
            let built = ToolBuilt {
                source: Some(ServiceName::Executor.as_str().to_owned()),
                request_id: None,
                tool_name: tool.to_owned(),
                output_preview: None,
                timestamp: Some(self.clock.now()),
            };
            let Ok(message) = origin.compose::<grants::Executor, _>(BUILDER_RESULTS, BuilderResults::from(built))
            else {
                tracing::error!(tool, "that the tool is there could not be said");
                continue;
            };
            // Others that begin to wait later are told again.
            let ids: Vec<String> = ids.into_iter().collect();
            let once = Some(format!("tool_there:{tool}:{}", keys::person(&ids.join(","))));
            let unit = Commit { under: under.cloned(), once, ..Commit::of(vec![Op::Append(message)]) };
            self.bus.commit(vec![unit]).await?;
        }
        Ok(())
    }

    /// What is missing of the sandbox here, and whether tools run all the same; none where nothing is.
    async fn open(&self) -> Option<(String, bool)> {
        let level = self.sandbox.level().await;
        (!level.is_whole()).then(|| (level.missing.join("; "), self.sandbox.options().unsandboxed))
    }

    async fn documents(&self) -> Result<BTreeMap<String, Document>, BusError> {
        let (mut cursor, mut found) = (None, BTreeMap::new());
        loop {
            let (keys, next) = self.bus.scan("tools:", cursor, PAGE).await?;
            for (key, got) in keys.iter().zip(self.bus.get_many(&keys, None).await?) {
                // Something else than a document there is told of by `doctor`, and left alone.
                if let Ok(Some(State::Hash(document))) = got {
                    found.insert(key.as_str().to_owned(), document);
                }
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }

    async fn write(
        &self,
        key: &str,
        there: Option<&Document>,
        mut fields: Vec<(String, Option<String>)>,
        under: Option<&LeaseFence>,
    ) -> Result<bool, BusError> {
        fields.push(("updated_at".to_owned(), Some(rfc3339(self.clock.now()))));
        let expect = there.map_or(Expect::Absent, |document| Expect::Version(document.version));
        let change = Op::Change { key: Key::new(key), expect, fields, ttl: Ttl::Keep };
        let unit = Commit { under: under.cloned(), ..Commit::of(vec![change]) };
        let outcome = self.bus.commit(vec![unit]).await?.into_iter().next();
        // Whatever came in between is seen at the next look.
        Ok(matches!(outcome, Some(Outcome::Committed(_))))
    }
}

impl Singleton for Shelf {
    fn lease(&self) -> &'static str {
        "tools"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        while !stop.is_cancelled() {
            self.sync(Some(&fence)).await?;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }
}

/// What stands in the document of a tool, where so much of the sandbox is missing.
fn fields(listed: &Listed, open: Option<&(String, bool)>) -> Vec<(&'static str, String)> {
    let runs = listed.tool.is_ok() && open.is_none_or(|(_, runs)| *runs);
    let state = if runs { ACTIVE } else { "broken" };
    // `status` is the founding name, `state` ours.
    let mut fields = vec![("name", listed.name.clone()), ("state", state.to_owned()), ("status", state.to_owned())];
    let tool = match &listed.tool {
        Ok(tool) => tool,
        Err(why) => {
            fields.extend([(PLACE, "home".to_owned()), ("error", why.to_string())]);
            return fields;
        }
    };
    let manifest = &tool.manifest;
    let list = |items: Vec<String>| items.join(", ");
    let hosts = manifest.network.iter().map(ToString::to_string);
    let named = manifest.network_params.iter().map(|name| format!("{{{name}}}"));
    fields.extend([
        (PLACE, tool.place.as_str().to_owned()),
        // The document's own `version` counts its changes.
        ("tool_version", manifest.version.clone()),
        ("description", manifest.description.clone()),
        ("inputs", manifest.inputs.to_string()),
        ("outputs", manifest.outputs.to_string()),
        ("effect", manifest.effect.as_str().to_owned()),
        ("idempotent", manifest.idempotent.to_string()),
        ("simulation", if manifest.simulation { "true".to_owned() } else { String::new() }),
        ("network", list(hosts.chain(named).collect())),
        ("secrets", list(manifest.secrets.iter().map(ToString::to_string).collect())),
        ("timeout", manifest.timeout.map(String::from).unwrap_or_default()),
    ]);
    match open {
        Some((missing, true)) => fields.push((UNSANDBOXED, missing.clone())),
        Some((missing, false)) => fields.push(("error", format!("it could not be shut in: {missing}"))),
        None => {}
    }
    fields
}

/// Fields that a document of ours may have; those that a tool does not have now go.
const OURS: [&str; 14] = [
    "name",
    "state",
    "status",
    PLACE,
    "tool_version",
    "description",
    "inputs",
    "outputs",
    "effect",
    "idempotent",
    "simulation",
    "network",
    "secrets",
    "timeout",
];

/// The fields that are not as they should be.
fn difference(wanted: &[(&'static str, String)], there: Option<&Document>) -> Vec<(String, Option<String>)> {
    let has = |name: &str| there.and_then(|document| document.get(name));
    let mut change: Vec<(String, Option<String>)> = wanted
        .iter()
        .filter(|(name, text)| !text.is_empty() && has(name) != Some(text.as_str()))
        .map(|(name, text)| ((*name).to_owned(), Some(text.clone())))
        .collect();
    let is_wanted = |name: &str| wanted.iter().any(|(wanted, text)| *wanted == name && !text.is_empty());
    let gone = OURS.iter().chain(&["error", UNSANDBOXED]).filter(|name| has(name).is_some() && !is_wanted(name));
    change.extend(gone.map(|name| ((*name).to_owned(), None)));
    change
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::bus::memory::MemoryBus;
    use crate::bus::{Bound, Entry, Range, StateChange};
    use crate::contracts::{Body as _, ChannelName, ManualClock};
    use crate::tools::sandbox::Options;

    const SHIPPED: &[(&str, &str)] = &[(
        "poster",
        "name = \"poster\"\nversion = \"1.2\"\ndescription = \"d\"\neffect = \"outward\"\nnetwork = [\"a.example:443\"]\nsecrets = [\"KEY\"]\n\
         network_params = [\"url\"]\n[inputs.properties]\nurl = { type = \"string\" }\n",
    )];

    fn shelf(home: &std::path::Path) -> Shelf {
        let clock = Arc::new(ManualClock::at("2026-11-21T09:30:00Z".parse().unwrap()));
        let options = Options { program: "/bin/false".into(), unsandboxed: true, allow_private: Vec::new() };
        Shelf {
            bus: Arc::new(MemoryBus::new(clock.clone())),
            registry: Registry::new(home, SHIPPED),
            sandbox: Arc::new(Sandbox::new(options)),
            clock,
            ids: Arc::new(Ids::seeded(1)),
        }
    }

    #[tokio::test]
    async fn documents_follow_the_folder_and_leave_others_alone() {
        let home = tempfile::tempdir().unwrap();
        let mut shelf = shelf(home.path());
        let bus = Arc::clone(&shelf.bus);
        let theirs = Op::Change {
            key: Key::new("tools:theirs"),
            expect: Expect::Absent,
            fields: vec![("status".to_owned(), Some("building".to_owned()))],
            ttl: Ttl::Keep,
        };
        bus.commit(vec![Commit::of(vec![theirs])]).await.unwrap();
        let read = async |name: &str| match bus.get(&Key::new(format!("tools:{name}"))).await.unwrap() {
            Some(State::Hash(document)) => document,
            other => panic!("{other:?}"),
        };

        std::fs::create_dir(home.path().join("mine")).unwrap();
        assert_eq!(shelf.sync(None).await.unwrap(), 2);
        let poster = read("poster").await;
        let said = |name: &str| poster.get(name).unwrap_or_default().to_owned();
        assert_eq!([said("state"), said("place"), said("tool_version")], ["active", "shipped", "1.2"]);
        assert_eq!([said("network"), said("secrets"), said("effect")], ["a.example:443, {url}", "KEY", "outward"]);
        let mine = read("mine").await;
        assert_eq!(mine.get("status"), Some("broken"));
        assert!(mine.get("error").unwrap().contains("tool.toml cannot be read"), "{mine:?}");
        assert!(poster.get(UNSANDBOXED).unwrap().contains("namespaces"), "nothing shuts it in, and that is said");
        assert_eq!(shelf.sync(None).await.unwrap(), 0, "nothing changed");

        std::fs::remove_dir(home.path().join("mine")).unwrap();
        assert_eq!(shelf.sync(None).await.unwrap(), 1);
        assert_eq!(read("mine").await.get("state"), Some("deprecated"));
        assert_eq!(shelf.sync(None).await.unwrap(), 0);
        assert_eq!(read("theirs").await.get("status"), Some("building"));

        let options = Options { unsandboxed: false, ..shelf.sandbox.options().clone() };
        shelf.sandbox = Arc::new(Sandbox::new(options));
        assert_eq!(shelf.sync(None).await.unwrap(), 1);
        let poster = read("poster").await;
        assert_eq!((poster.get("state"), poster.get(UNSANDBOXED)), (Some("broken"), None));
        assert!(poster.get("error").unwrap().starts_with("it could not be shut in: "), "{poster:?}");
    }

    #[tokio::test]
    async fn a_tool_that_is_waited_for_is_said_to_be_there_once() {
        let home = tempfile::tempdir().unwrap();
        let shelf = shelf(home.path());
        let bus = Arc::clone(&shelf.bus);
        let wait = async |tool: &str, experiment: &str| {
            let key = Key::new(keys::pending_experiments(tool).unwrap());
            let op = Op::State { key, change: StateChange::AddMember(experiment.to_owned()) };
            bus.commit(vec![Commit::of(vec![op])]).await.unwrap();
        };
        let said = async || {
            let entries = bus
                .range(
                    ChannelName::BuilderResults,
                    Range { from: Bound::Open, to: Bound::Open, newest_first: false, limit: 100 },
                )
                .await
                .unwrap();
            let of = |entry: &Entry| match BuilderResults::read(&entry.b) {
                Ok(BuilderResults::Built(built)) => built.tool_name,
                other => panic!("{other:?}"),
            };
            entries.iter().map(of).collect::<Vec<_>>()
        };
        wait("poster", "exp_a").await;
        wait("nobody_has_it", "exp_a").await;
        shelf.sync(None).await.unwrap();
        shelf.sync(None).await.unwrap();
        assert_eq!(said().await, ["poster"], "once, and only what is there");
        wait("poster", "exp_b").await;
        shelf.sync(None).await.unwrap();
        assert_eq!(said().await, ["poster", "poster"], "somebody else began to wait");
    }
}
