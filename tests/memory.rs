//! The notes and their files, on a store and in a folder as people have them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/redis_server.rs"]
mod redis_server;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::leased::Singleton as _;
use fullsend::bus::{
    Commit, EntryId, Expect, Key, LeaseFence, Op, Origin, Range, RedisBus, RedisOptions, SharedBus, Ttl,
};
use fullsend::contracts::messages::{AlertTriggered, Alerts, Intent, Proposal, Proposals, RiskClass};
use fullsend::contracts::notes::{NoteChange, NoteName, Section};
use fullsend::contracts::{ChannelName, Ids, SystemClock, Trust};
use fullsend::memory::{self, Author, NoteState, history};
use fullsend::services::mirror::Mirror;
use pretty_assertions::assert_eq;
use redis_server::RedisServer;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const WORKLIST: &str = "\
# Fullsend Worklist

## Active (In Progress)
- [ ] **Stargazers** - designing, exp_1

## Ready (Prioritized Queue)
1. Try conferences

## Blocked

## Completed This Week
";

const NAME: NoteName = NoteName::Worklist;

/// A store, a folder, and who writes into both.
struct Office {
    bus: SharedBus,
    place: tempfile::TempDir,
    fence: LeaseFence,
    ids: Arc<Ids>,
}

impl Office {
    async fn new(bus: SharedBus) -> Self {
        let fence = bus.lease("mirror", "test", Duration::from_hours(1)).await.unwrap().unwrap();
        Self { bus, place: tempfile::tempdir().unwrap(), fence, ids: Arc::new(Ids::seeded(7)) }
    }

    async fn embedded() -> Self {
        Self::embedded_at(tempfile::tempdir().unwrap()).await
    }

    async fn embedded_at(place: tempfile::TempDir) -> Self {
        let options = EmbeddedOptions::new(place.path().join("fullsend.db"), Arc::new(SystemClock));
        let bus = tokio::task::spawn_blocking(|| EmbeddedBus::open(options)).await.unwrap().unwrap();
        Self { place, ..Self::new(Arc::new(bus)).await }
    }

    /// The same folder under a bus that knows nothing.
    async fn with_another_bus(self) -> Self {
        self.bus.close().await;
        for part in ["fullsend.db", "fullsend.db-wal", "fullsend.db-shm"] {
            let _ = fs::remove_file(self.place.path().join(part));
        }
        Self::embedded_at(self.place).await
    }

    async fn redis(server: &RedisServer) -> Self {
        let options = RedisOptions::new(server.url(), Arc::new(SystemClock));
        Self::new(Arc::new(RedisBus::connect(options).await.unwrap())).await
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("context")
    }

    fn file(&self, name: NoteName) -> PathBuf {
        self.folder().join(format!("{name}.md"))
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file(NAME)).unwrap_or_default()
    }

    /// The mirror of another process, until it is aborted.
    fn mirror(&self) -> JoinHandle<()> {
        let mirror = Mirror {
            bus: Arc::clone(&self.bus),
            folder: self.folder(),
            record: self.place.path().join("mirror.json"),
            clock: Arc::new(SystemClock),
            ids: Arc::clone(&self.ids),
        };
        let fence = self.fence.clone();
        tokio::spawn(async move { mirror.work(fence, CancellationToken::new()).await.unwrap() })
    }

    async fn note(&self) -> NoteState {
        NoteState::read(&self.bus, NAME).await.unwrap()
    }

    /// The team changes the note.
    async fn change(&self, change: &NoteChange) {
        let origin = Origin::new(Arc::new(SystemClock), Arc::clone(&self.ids), Trust::System);
        let author = Author::of("gate", &origin);
        loop {
            let edit = memory::edits(&self.bus, [(NAME, change)], author.at).await.unwrap().remove(0);
            let outcomes = self.bus.commit(vec![Commit::of(edit.ops(&author))]).await.unwrap();
            if outcomes[0].is_done() {
                return;
            }
        }
    }

    async fn item(&self, key: &str, section: Section, text: &str) {
        self.change(&NoteChange::Item { key: key.to_owned(), section, text: text.to_owned() }).await;
    }

    async fn bodies<M: fullsend::contracts::Body>(&self, channel: ChannelName) -> Vec<M> {
        let entries = self.bus.range(channel, Range::after(EntryId::ZERO, 1_000)).await.unwrap();
        entries.iter().map(|entry| M::read(&entry.b).unwrap()).collect()
    }

    async fn alerts(&self) -> Vec<AlertTriggered> {
        let alerts = self.bodies::<Alerts>(ChannelName::Alerts).await.into_iter();
        alerts.filter_map(|alert| if let Alerts::Triggered(alert) = alert { Some(alert) } else { None }).collect()
    }

    async fn alerted(&self, id: &str) -> Option<AlertTriggered> {
        self.alerts().await.into_iter().find(|alert| alert.alert_id.starts_with(id))
    }

    async fn proposals(&self) -> Vec<Proposal> {
        let proposals = self.bodies::<Proposals>(ChannelName::Proposals).await.into_iter();
        proposals.map(|Proposals::Proposal(proposal)| proposal).collect()
    }

    async fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for version in 1..=self.note().await.version {
            texts.push(history::text(&self.bus, NAME, version).await.unwrap());
        }
        texts
    }

    /// Waits for what must come.
    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done().await {
            assert!(Instant::now() < deadline, "{what}: file {:?}, note {:?}", self.text(), self.note().await.text);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn same(&self, what: &str, part: &str) {
        self.until(what, async || self.text().contains(part) && self.text() == self.note().await.text).await;
    }
}

async fn stop(mirror: JoinHandle<()>) {
    mirror.abort();
    let _ = mirror.await;
}

async fn story(office: Office) {
    fs::create_dir(office.folder()).unwrap();
    fs::write(office.file(NAME), WORKLIST).unwrap();

    // What is there is taken over, as it is; what is missing is not made up.
    let mirror = office.mirror();
    office.until("taken over", async || office.note().await.version == 1).await;
    let note = office.note().await;
    assert_eq!((note.text.as_str(), note.by.as_deref()), (WORKLIST, Some("operator")));
    assert!(!office.file(NoteName::ProductContext).exists());

    // The team's change is in the file, which is nobody else's to read.
    office.item("exp_1", Section::Active, "exp_1 runs").await;
    office.same("the team's change", "- [ ] exp_1 runs\n").await;
    assert_eq!(fs::metadata(office.file(NAME)).unwrap().permissions().mode() & 0o777, 0o600);

    // A person's edit is a version of the operator's.
    fs::write(office.file(NAME), office.text().replace("Try conferences", "Try meetups")).unwrap();
    office.until("the person's edit", async || office.note().await.text.contains("Try meetups")).await;
    assert_eq!(office.note().await.by.as_deref(), Some("operator"));

    // While nobody mirrors, both change different places: both stay.
    stop(mirror).await;
    fs::write(office.file(NAME), office.text().replace("Try meetups", "Try fairs")).unwrap();
    office.item("exp_1", Section::Completed, "exp_1 - 12% answered").await;
    let mirror = office.mirror();
    office.same("the merge", "1. Try fairs\n").await;
    assert!(office.text().contains("- [x] exp_1 - 12% answered ("), "{}", office.text());

    // And the same place: the note stays, both texts are kept and offered.
    stop(mirror).await;
    let theirs = office.text().replace("Try fairs", "Try what Mara said");
    fs::write(office.file(NAME), &theirs).unwrap();
    let ours = office.note().await.text.replace("1. Try fairs", "1. Try what the team said");
    let base = office.note().await.version;
    office.change(&NoteChange::Rewrite { text: ours.clone(), base }).await;
    let mirror = office.mirror();
    office.until("the conflict", async || office.alerted("notes:conflict").await.is_some()).await;
    office.same("the note stays", "what the team said").await;
    assert_eq!((office.text(), office.note().await.version), (ours, base + 3));
    assert_eq!(history::text(&office.bus, NAME, base + 2).await.unwrap(), theirs);
    let proposals = office.proposals().await;
    assert_eq!(proposals.len(), 1);
    assert!(proposals[0].class >= RiskClass::Reversible && proposals[0].proposer == "memory");
    let [Intent::Note { name, change }] = proposals[0].intents.as_slice() else { panic!("{proposals:?}") };
    // A yes takes the person's text, whatever else has changed since.
    assert_eq!(*name, NAME);
    office.change(change).await;
    office.same("the yes", "what Mara said").await;

    // What cannot be taken in stays where it is, and is said; the note stays too.
    let kept = office.text();
    for (bytes, why) in [(vec![b'x'; (1 << 20) + 1], "larger"), (b"caf\xe9\n".to_vec(), "UTF-8")] {
        fs::write(office.file(NAME), &bytes).unwrap();
        office.until(why, async || office.alerts().await.iter().any(|alert| alert.message.contains(why))).await;
        assert_eq!((fs::read(office.file(NAME)).unwrap(), office.note().await.text), (bytes, kept.clone()));
    }
    // Mended, it is as before; deleted, it is written again.
    fs::write(office.file(NAME), &kept).unwrap();
    office.item("exp_2", Section::Blocked, "exp_2 - needs a key").await;
    office.same("mended", "exp_2 - needs a key").await;
    fs::remove_file(office.file(NAME)).unwrap();
    office.same("written again", "exp_2").await;
    assert!(office.alerted("notes:deleted").await.is_some());

    // A file that comes in pieces is taken in once it is whole.
    let whole = office.text() + "\n## Ideas\n" + &"- one more idea\n".repeat(20);
    let half = &whole[..whole.len() - 100];
    fs::write(office.file(NAME), "").unwrap();
    fs::write(office.file(NAME), half).unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    fs::write(office.file(NAME), &whole).unwrap();
    office.same("whole", "## Ideas").await;
    let texts = office.texts().await;
    assert!(texts.contains(&whole) && !texts.iter().any(String::is_empty), "the empty file was taken in");

    // What another program writes past the history is a version, too.
    let by_hand = "by hand\n".to_owned();
    let fields = vec![("text".to_owned(), Some(by_hand.clone()))];
    let op = Op::Change { key: Key::new("notes:worklist"), expect: Expect::Any, fields, ttl: Ttl::Keep };
    office.bus.commit(vec![Commit::of(vec![op])]).await.unwrap();
    office.same("by hand", "by hand").await;
    office.until("a version", async || office.note().await.is_recorded()).await;
    let version = office.note().await.version;
    assert_eq!(history::text(&office.bus, NAME, version).await.unwrap(), by_hand);
    assert_eq!(office.proposals().await.len(), 1);
    stop(mirror).await;
}

/// The mirror is killed again and again while both write: every line of both is there in the end, and all is in step.
async fn killed_again_and_again(office: Office) {
    fs::create_dir(office.folder()).unwrap();
    fs::write(office.file(NAME), format!("{WORKLIST}\n## Mara's\n- notes\n")).unwrap();
    let mut chance = fastrand::Rng::with_seed(11);
    let mut lines = Vec::new();
    for round in 0..12 {
        let mirror = office.mirror();
        office.until("in step", async || office.text() == office.note().await.text).await;
        let (mine, yours) = (format!("exp_1{round:02} runs"), format!("- thought {round:02}\n"));
        // The person's editor holds what was in the file when it was opened, and nobody else writes there meanwhile.
        let file = office.file(NAME);
        let text = office.text() + &yours;
        fs::write(&file, text).unwrap();
        tokio::time::sleep(Duration::from_millis(chance.u64(0..250))).await;
        stop(mirror).await;
        office.item(&format!("exp_1{round:02}"), Section::Active, &mine).await;
        lines.extend([mine, yours.trim_end().to_owned()]);
    }
    let mirror = office.mirror();
    office.until("in step", async || office.text() == office.note().await.text).await;
    let text = office.text();
    for line in lines {
        assert_eq!(text.matches(&line).count(), 1, "{line} in {text}");
    }
    assert_eq!(office.proposals().await.len(), 0);
    stop(mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_and_the_team_write_the_same_notes_on_embedded() {
    story(Office::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_and_the_team_write_the_same_notes_on_redis() {
    let server = RedisServer::fleeting();
    story(Office::redis(&server).await).await;
}

/// A note with two versions, the last of them in its file.
async fn written(office: &Office) -> String {
    fs::create_dir(office.folder()).unwrap();
    fs::write(office.file(NAME), WORKLIST).unwrap();
    let mirror = office.mirror();
    office.until("taken over", async || office.note().await.version == 1).await;
    office.item("exp_1", Section::Active, "exp_1 runs").await;
    office.same("the team's change", "- [ ] exp_1 runs\n").await;
    // That both are the same is put down, too.
    let digest = fullsend::contracts::canonical::sha256(office.text().as_bytes());
    let record = office.place.path().join("mirror.json");
    office.until("put down", async || fs::read_to_string(&record).is_ok_and(|text| text.contains(&digest))).await;
    stop(mirror).await;
    office.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_knows_no_note_gets_it_from_its_file() {
    let office = Office::embedded().await;
    let text = written(&office).await;
    let office = office.with_another_bus().await;
    let mirror = office.mirror();
    office.until("the note is back", async || office.note().await.text == text).await;
    assert_eq!((office.text(), office.note().await.version), (text, 1));
    stop(mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_everything_under_the_mirror_gets_the_notes_from_their_files() {
    let server = RedisServer::fleeting();
    let office = Office::redis(&server).await;
    let text = written(&office).await;
    let mirror = office.mirror();
    office.same("in step", "exp_1 runs").await;
    server.run(&["FLUSHALL"]);
    mirror.await.unwrap();
    assert_eq!(office.text(), text, "its lease was lost, and nothing was written");
    let fence = office.bus.lease("mirror", "test", Duration::from_hours(1)).await.unwrap().unwrap();
    let office = Office { fence, ..office };
    let mirror = office.mirror();
    office.until("the note is back", async || office.note().await.text == text).await;
    assert_eq!(office.text(), text);
    stop(mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_went_back_to_an_older_version_loses_none_of_the_files_lines() {
    let office = Office::embedded().await;
    let text = written(&office).await;
    let office = office.with_another_bus().await;
    // As an older backup has it: the first version, and another second one.
    office.change(&NoteChange::Rewrite { text: WORKLIST.to_owned(), base: 0 }).await;
    office.item("exp_1", Section::Active, "exp_1 waits").await;
    let ours = office.note().await.text;
    let mirror = office.mirror();
    office.until("the conflict", async || office.alerted("notes:conflict").await.is_some()).await;
    office.same("the note stays", "exp_1 waits").await;
    assert_eq!(office.note().await.text, ours);
    assert!(office.texts().await.contains(&text), "the file's text is a version");
    assert_eq!(office.proposals().await.len(), 1);
    stop(mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_killed_loses_no_line_on_embedded() {
    killed_again_and_again(Office::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_killed_loses_no_line_on_redis() {
    let server = RedisServer::fleeting();
    killed_again_and_again(Office::redis(&server).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_ours_gets_a_template_for_the_product_alone() {
    let office = Office::embedded().await;
    let mirror = office.mirror();
    let product = async || NoteState::read(&office.bus, NoteName::ProductContext).await.unwrap();
    office.until("the template", async || product().await.version == 1).await;
    assert_eq!(product().await.text, memory::PRODUCT_TEMPLATE);
    assert_eq!(fs::read_dir(office.folder()).unwrap().count(), 1);
    assert_eq!(fs::metadata(office.folder()).unwrap().permissions().mode() & 0o777, 0o700);
    stop(mirror).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_lease_is_gone_writes_nothing() {
    let office = Office::embedded().await;
    fs::create_dir(office.folder()).unwrap();
    office.bus.unlease("mirror", "test").await.unwrap();
    office.bus.lease("mirror", "another", Duration::from_hours(1)).await.unwrap().unwrap();
    fs::write(office.file(NAME), WORKLIST).unwrap();
    let mirror = office.mirror();
    mirror.await.unwrap();
    assert_eq!(office.note().await.version, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_is_the_same_on_both_engines() {
    let server = RedisServer::fleeting();
    let mut teams = Vec::new();
    for office in [Office::embedded().await, Office::redis(&server).await] {
        office.item("exp_1", Section::Ready, "exp_1").await;
        let mut ops = Vec::new();
        for n in 0..40 {
            let field = |name: &str, value: String| (name.to_owned(), Some(value));
            let fields = vec![field("state", "ready".to_owned()), field("hypothesis", format!("h{n}"))];
            ops.push(Op::Change {
                key: Key::new(format!("experiments:e{n:02}")),
                expect: Expect::Absent,
                fields,
                ttl: Ttl::Keep,
            });
        }
        let text = |key: &str, text: &str| Op::State {
            key: Key::new(key),
            change: fullsend::bus::StateChange::SetString(text.to_owned()),
        };
        ops.extend([
            text("experiments:text", "no object"),
            text("tools:text", "none"),
            text("notes:learnings", "none"),
        ]);
        let memory = memory::Memory::default();
        memory.load(&office.bus).await.unwrap();
        assert!(office.bus.commit(vec![Commit::of(ops)]).await.unwrap()[0].is_done());
        let team = memory.load(&office.bus).await.unwrap();
        assert_eq!((team.experiments.len(), team.worklist.version), (40, 1));
        assert!(team.warnings.iter().any(|said| said.contains("`experiments:text`")), "{:?}", team.warnings);
        // Those who ask at the same time see at least what was there when they asked.
        let all = futures::future::join_all((0..20).map(|_| memory.load(&office.bus))).await;
        assert!(all.into_iter().all(|loaded| *loaded.unwrap() == *team));
        teams.push((*team).clone());
    }
    assert_eq!(teams[0], teams[1]);
    assert_eq!(teams[0].digest(), teams[1].digest());
}
