//! The work that is done under faults: what is sent, the handler with its effects, and the audit of what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::eyre;
use fullsend::bus::{
    Bus, BusError, Commit, Context, Draft, Effects, EntryId, Expect, Failure, GroupInfo, Handler, Key, Op, Origin,
    Range, Received, Sender, SharedBus, Ttl, letters,
};
use fullsend::contracts::channel::grants;
use fullsend::contracts::messages::{EchoRequest, Echoes};
use fullsend::contracts::wiring::ECHO;
use fullsend::contracts::{Body, ChannelName, Clock, Ids, SystemClock, Trust};

/// The group that does the work.
pub(crate) const GROUP: &str = "echo";
pub(crate) const SHARDS: u64 = 16;
/// Counts the pieces of kind [`Kind::Conflict`] by compare-and-set.
const SHARED: &str = "faults:shared";

/// What a piece of work does to its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nothing special.
    Plain,
    /// Can never be handled: becomes a dead letter.
    Poison,
    /// Panics twice before it succeeds.
    Panics,
    /// Fails once before it succeeds.
    Fails,
    /// Takes longer than a silent holder is given.
    Slow,
    /// Changes a document that others change too.
    Conflict,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Plain, Self::Poison, Self::Panics, Self::Fails, Self::Slow, Self::Conflict];

    /// The kind of piece `n` in a long run.
    pub(crate) fn of(n: u64) -> Self {
        match n % 40 {
            7 => Self::Poison,
            11 => Self::Panics,
            19 => Self::Fails,
            23 => Self::Slow,
            3 | 13 | 33 => Self::Conflict,
            _ => Self::Plain,
        }
    }
}

/// A piece of work; it is handled once at each of two hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Piece {
    pub(crate) hop: u8,
    pub(crate) n: u64,
    pub(crate) kind: Kind,
}

impl Piece {
    pub(crate) fn first(n: u64, kind: Kind) -> Self {
        Self { hop: 1, n, kind }
    }

    pub(crate) fn request(self) -> Echoes {
        EchoRequest { text: self.to_string() }.into()
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(':');
        let hop = words.next()?.strip_prefix("hop")?.parse().ok()?;
        let n = words.next()?.parse().ok()?;
        let kind = words.next()?;
        let kind = Kind::ALL.into_iter().find(|known| format!("{known:?}") == kind)?;
        Some(Self { hop, n, kind })
    }

    fn shard(self) -> Key {
        Key::new(format!("faults:shard:{}", self.n % SHARDS))
    }

    fn field(self) -> String {
        format!("{}:{}", self.hop, self.n)
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hop{}:{}:{:?}", self.hop, self.n, self.kind)
    }
}

/// Handles pieces: counts each, and passes those of the first hop on to the second.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    /// How long each piece takes.
    pub(crate) pace: Duration,
    /// How long a slow one takes.
    pub(crate) slow: Duration,
    /// How many at once.
    pub(crate) slots: usize,
    /// Whether it writes down who handled what when.
    pub(crate) signs: bool,
}

impl Handler for Relay {
    type Grant = grants::Echo;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Echo]
    }

    fn slots(&self) -> usize {
        self.slots
    }

    async fn handle(&self, message: Received, cx: Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        let mut effects = cx.effects();
        let Echoes::Request(request) = message.read::<Echoes>()? else { return Ok(effects) };
        let Some(piece) = Piece::read(&request.text) else {
            // Said by somebody else: counted by its text.
            effects.add(Key::new("faults:others"), request.text, 1, None);
            return Ok(effects);
        };
        tokio::time::sleep(if piece.kind == Kind::Slow { self.slow } else { self.pace }).await;
        if piece.hop == 1 {
            match piece.kind {
                Kind::Poison => return Err(Failure::Terminal(eyre!("planted poison {}", piece.n))),
                Kind::Panics if message.attempt <= 2 => panic!("planted panic {}", piece.n),
                Kind::Fails if message.attempt == 1 => return Err(eyre!("planted failure {}", piece.n).into()),
                Kind::Conflict => change_shared(&cx, &mut effects).await?,
                Kind::Plain | Kind::Panics | Kind::Fails | Kind::Slow => {}
            }
            effects.send(ECHO, Draft::new(Piece { hop: 2, ..piece }.request()))?;
        }
        effects.add(piece.shard(), piece.field(), 1, None);
        if self.signs {
            let signature = format!("{} {}", cx.consumer(), SystemClock.now().timestamp_millis());
            let key = Key::new(format!("faults:signed:{}", piece.n % SHARDS));
            effects.change(key, Expect::Any, vec![(message.entry.id.to_string(), Some(signature))], Ttl::Keep);
        }
        Ok(effects)
    }
}

async fn change_shared(cx: &Context<grants::Echo>, effects: &mut Effects<grants::Echo>) -> Result<(), Failure> {
    let key = Key::new(SHARED);
    let state = cx.bus().get(&key).await?;
    let document = state.as_ref().and_then(|state| state.document());
    let count: u64 = document.and_then(|document| document.get("n")).and_then(|n| n.parse().ok()).unwrap_or(0);
    let expect = document.map_or(Expect::Absent, |document| Expect::Version(document.version));
    effects.change(key, expect, vec![("n".to_owned(), Some((count + 1).to_string()))], Ttl::Keep);
    Ok(())
}

/// What was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent {
    /// Acknowledged by the bus.
    pub(crate) said: BTreeSet<Piece>,
    /// Tried, with an error in the end: they may have been said, or not.
    pub(crate) unsure: BTreeSet<Piece>,
}

/// Speaks as the control room.
pub(crate) fn sender(bus: &SharedBus, clock: Arc<dyn Clock>, patience: Duration) -> Sender<grants::ControlRoom> {
    let origin = Origin::new(clock, Arc::new(Ids::random()), Trust::Operator);
    Sender::new(Arc::clone(bus), origin, patience)
}

/// Sends pieces by one sender, and keeps the account.
pub(crate) async fn send_all(
    sender: &Sender<grants::ControlRoom>,
    pieces: impl IntoIterator<Item = Piece>,
    sent: &mut Sent,
) -> Vec<String> {
    let mut errors = Vec::new();
    for piece in pieces {
        match sender.send(ECHO, Draft::new(piece.request())).await {
            Ok(_) => {
                sent.said.insert(piece);
            }
            Err(err) => {
                sent.unsure.insert(piece);
                errors.push(err.to_string());
            }
        }
    }
    errors
}

/// The working group, where it is there.
pub(crate) async fn group(bus: &dyn Bus) -> Result<Option<(GroupInfo, Option<EntryId>)>, BusError> {
    let info = bus.inspect(ChannelName::Echo).await?;
    Ok(info.groups.into_iter().find(|group| group.group == GROUP).map(|group| (group, info.last)))
}

/// Waits until nothing is left to do, or says what is.
pub(crate) async fn settle(bus: &dyn Bus, patience: Duration) -> Result<(), String> {
    let until = tokio::time::Instant::now() + patience;
    loop {
        let seen = group(bus).await;
        if let Ok(Some((group, last))) = &seen
            && group.pending == 0
            && last.is_none_or(|last| group.last_delivered >= last)
        {
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            return Err(format!("not settled after {patience:?}: {seen:#?}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All of a channel's entries, oldest first.
pub(crate) async fn entries(bus: &dyn Bus, channel: ChannelName) -> Result<Vec<fullsend::bus::Entry>, BusError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(EntryId::ZERO, |entry: &fullsend::bus::Entry| entry.id);
        let mut page = bus.range(channel, Range::after(after, 500)).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.append(&mut page);
    }
}

/// The counters of all pieces: how often each was handled at each hop.
async fn counted(bus: &dyn Bus, skip: Option<u64>) -> Result<BTreeMap<(u8, u64), i64>, BusError> {
    let mut counts = BTreeMap::new();
    for shard in (0..SHARDS).filter(|shard| skip != Some(*shard)) {
        let Some(state) = bus.get(&Key::new(format!("faults:shard:{shard}"))).await? else { continue };
        for (field, count) in state.document().into_iter().flat_map(|document| &document.fields) {
            let (hop, n) = field.split_once(':').unwrap_or_default();
            counts.insert((hop.parse().unwrap_or(0), n.parse().unwrap_or(0)), count.parse().unwrap_or(i64::MIN));
        }
    }
    Ok(counts)
}

/// How often each piece took effect at one hop.
pub(crate) async fn counts_at(bus: &dyn Bus, hop: u8) -> Result<BTreeMap<u64, i64>, BusError> {
    Ok(at_hop(counted(bus, None).await?, hop))
}

/// As [`counts_at`], without looking at one shard.
pub(crate) async fn counts_at_but(bus: &dyn Bus, hop: u8, shard: u64) -> Result<BTreeMap<u64, i64>, BusError> {
    Ok(at_hop(counted(bus, Some(shard)).await?, hop))
}

fn at_hop(counts: BTreeMap<(u8, u64), i64>, hop: u8) -> BTreeMap<u64, i64> {
    counts.into_iter().filter(|((at, _), _)| *at == hop).map(|((_, n), count)| (n, count)).collect()
}

/// The pieces that stand on the stream, with how often.
pub(crate) async fn stored(bus: &dyn Bus) -> Result<BTreeMap<Piece, u64>, BusError> {
    let mut stored = BTreeMap::new();
    for entry in entries(bus, ChannelName::Echo).await? {
        if let Ok(Echoes::Request(request)) = Echoes::read(&entry.b)
            && let Some(piece) = Piece::read(&request.text)
        {
            *stored.entry(piece).or_default() += 1;
        }
    }
    Ok(stored)
}

/// The dead letters: the piece of each, where it was one, and its reason.
pub(crate) async fn dead_letters(bus: &dyn Bus) -> Result<Vec<(Option<Piece>, String)>, BusError> {
    let mut dead = Vec::new();
    for entry in entries(bus, ChannelName::DeadLetter).await? {
        let Ok(letter) = letters::read(&entry) else {
            dead.push((None, format!("unreadable: {}", entry.b)));
            continue;
        };
        let piece = match Echoes::read(&letter.original_body) {
            Ok(Echoes::Request(request)) => Piece::read(&request.text),
            Ok(Echoes::Reply(_)) | Err(_) => None,
        };
        dead.push((piece, letter.reason));
    }
    Ok(dead)
}

/// Everything that is wrong at the end; nothing where every promise was kept.
pub(crate) async fn audit(bus: &dyn Bus, sent: &Sent) -> Result<Vec<String>, BusError> {
    let (counts, stored, dead) = (counted(bus, None).await?, stored(bus).await?, dead_letters(bus).await?);
    let mut wrong = Vec::new();
    let buried = |piece: &Piece| dead.iter().filter(|(dead, _)| *dead == Some(*piece)).count();
    for piece in sent.said.iter().chain(&sent.unsure) {
        let sure = sent.said.contains(piece);
        let times = stored.get(piece).copied().unwrap_or(0);
        if times > 1 || (sure && times == 0) {
            wrong.push(format!("{piece} stands {times} times on the stream, sent once (acknowledged: {sure})"));
        }
        if times == 0 {
            continue;
        }
        let poison = piece.kind == Kind::Poison;
        for hop in [1, 2] {
            let count = counts.get(&(hop, piece.n)).copied().unwrap_or(0);
            if count != i64::from(!poison) {
                wrong.push(format!("{piece} took effect {count} times at hop {hop}"));
            }
        }
        let passed_on = stored.get(&Piece { hop: 2, ..*piece }).copied().unwrap_or(0);
        if passed_on != u64::from(!poison) {
            wrong.push(format!("{piece} was passed on {passed_on} times"));
        }
        if buried(piece) != usize::from(poison) {
            wrong.push(format!("{piece} has {} dead letters: {dead:?}", buried(piece)));
        }
    }
    for (piece, reason) in &dead {
        if !piece.is_some_and(|piece| piece.kind == Kind::Poison && piece.hop == 1) {
            wrong.push(format!("an unplanned dead letter of {piece:?}: {reason}"));
        }
    }
    let known: BTreeSet<u64> = sent.said.iter().chain(&sent.unsure).map(|piece| piece.n).collect();
    for (hop, n) in counts.keys() {
        if !known.contains(n) {
            wrong.push(format!("piece {n} took effect at hop {hop} and was never sent"));
        }
    }
    let conflicts = stored.keys().filter(|piece| piece.hop == 1 && piece.kind == Kind::Conflict).count();
    let state = bus.get(&Key::new(SHARED)).await?;
    let shared = state.as_ref().and_then(|state| state.document()).and_then(|document| document.get("n"));
    if shared.unwrap_or("0") != conflicts.to_string() {
        wrong.push(format!("the shared document counts {shared:?} of {conflicts} changes"));
    }
    match group(bus).await? {
        Some((group, _)) if group.pending == 0 => {}
        other => wrong.push(format!("work is left: {other:?}")),
    }
    Ok(wrong)
}

/// The audit itself: a lost effect, a doubled one, a forgotten dead letter and an unplanned one are all seen.
pub(crate) async fn audit_finds_faults(_run: crate::Run) -> color_eyre::Result<()> {
    let bus: SharedBus = Arc::new(fullsend::bus::memory::MemoryBus::new(Arc::new(SystemClock)));
    let rig = crate::rig::Rig::start(&bus, 2, Arc::new(SystemClock));
    let sender = sender(&bus, Arc::new(SystemClock), Duration::from_secs(5));
    let mut sent = Sent::default();
    let pieces = (0..8).map(|n| Piece::first(n, Kind::of(n)));
    let errors = send_all(&sender, pieces, &mut sent).await;
    color_eyre::eyre::ensure!(errors.is_empty(), "{errors:?}");
    settle(&*bus, Duration::from_secs(10)).await.map_err(color_eyre::Report::msg)?;
    let wrong = audit(&*bus, &sent).await?;
    color_eyre::eyre::ensure!(wrong.is_empty(), "{wrong:?}");
    rig.stop().await?;
    let doubled = Op::Add { key: Piece::first(0, Kind::Plain).shard(), field: "1:0".to_owned(), n: 1, ceiling: None };
    let lost = Op::Delete { key: Piece::first(1, Kind::Plain).shard(), expect: Expect::Any };
    let again = Op::Delete { key: Key::new(SHARED), expect: Expect::Any };
    bus.commit(vec![Commit::of(vec![doubled, lost, again])]).await?;
    sent.said.insert(Piece::first(9, Kind::Plain));
    sent.said.remove(&Piece::first(7, Kind::Poison));
    sent.said.insert(Piece::first(7, Kind::Plain));
    let wrong = audit(&*bus, &sent).await?.join("\n");
    for fault in [
        "hop1:0:Plain took effect 2 times at hop 1",
        "hop1:1:Plain took effect 0 times at hop 2",
        "hop1:9:Plain stands 0 times",
        "hop1:7:Plain stands 0 times",
        "the shared document counts None of 1 changes",
    ] {
        color_eyre::eyre::ensure!(wrong.contains(fault), "`{fault}` was not seen in:\n{wrong}");
    }
    Ok(())
}
