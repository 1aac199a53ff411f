//! The bus as the program uses it: real channels, typed bodies, consumers with their default settings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use color_eyre::eyre::{WrapErr, eyre};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::quantiles;
use super::report::Figure;
use crate::bus::{
    Commit, Consumer, ConsumerOptions, Context, Effects, Failure, Handler, Key, Op, Origin, Received, SharedBus,
};
use crate::contracts::body::Example;
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    ChatMessage, DiscordRaw, EchoRequest, Echoes, ExperimentRequest, ToFullsend, ToOrchestrator,
};
use crate::contracts::messages::{Escalation, Idea};
use crate::contracts::wiring::{DISCORD_RAW, ECHO, TO_FULLSEND, TO_ORCHESTRATOR};
use crate::contracts::{ChannelName, Clock, Ids, Trust};

/// How many messages a consumer handles at the same time here.
const SLOTS: usize = 32;
/// Nothing here takes longer than this.
const PATIENCE: Duration = Duration::from_mins(2);

fn origin(clock: &Arc<dyn Clock>) -> Origin {
    Origin::new(Arc::clone(clock), Arc::new(Ids::random()), Trust::System)
}

fn said(origin: &Origin, number: usize) -> color_eyre::Result<Commit> {
    let body = ChatMessage { content: number.to_string().into(), ..ChatMessage::example() };
    let message = origin.compose::<grants::ControlRoom, _>(DISCORD_RAW, DiscordRaw::from(body))?;
    let once = message.envelope.id.to_string();
    Ok(Commit { once: Some(once), ..Commit::of(vec![Op::Append(message)]) })
}

/// Sends one after the other.
///
/// # Errors
/// Where the bus fails.
pub async fn send_one_by_one(bus: &SharedBus, clock: &Arc<dyn Clock>, count: usize) -> color_eyre::Result<Figure> {
    let origin = origin(clock);
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let body = ChatMessage { content: number.to_string().into(), ..ChatMessage::example() };
        let message = origin.compose::<grants::ControlRoom, _>(DISCORD_RAW, DiscordRaw::from(body))?;
        let began = Instant::now();
        bus.commit(vec![Commit::of(vec![Op::Append(message)])]).await?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(quantiles(times))
}

/// Sends with idempotency keys, `in_flight` at the same time; messages a second. They are composed before the clock starts, as the
/// floor's are.
///
/// # Errors
/// Where the bus fails.
pub async fn send_many(
    bus: &SharedBus,
    clock: &Arc<dyn Clock>,
    count: usize,
    in_flight: usize,
) -> color_eyre::Result<f64> {
    let origin = origin(clock);
    let units: Vec<Commit> = (0..count).map(|number| said(&origin, number)).collect::<color_eyre::Result<_>>()?;
    let began = Instant::now();
    let mut sends = futures::stream::iter(units).map(|unit| bus.commit(vec![unit])).buffer_unordered(in_flight);
    while let Some(sent) = sends.next().await {
        sent?;
    }
    Ok(rate(count, began))
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

struct Nothing {
    done: mpsc::Sender<()>,
}

impl Handler for Nothing {
    type Grant = grants::Echo;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Echo]
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    async fn handle(&self, message: Received, cx: Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        message.read::<Echoes>()?;
        self.done.send(()).await.ok();
        Ok(cx.effects())
    }
}

/// One worker with a handler that does nothing, over messages that are there already; messages a second.
///
/// # Errors
/// Where the bus fails, or the messages are not handled.
pub async fn consume(bus: &SharedBus, clock: &Arc<dyn Clock>, count: usize) -> color_eyre::Result<f64> {
    let origin = origin(clock);
    for chunk in (0..count).collect::<Vec<_>>().chunks(512) {
        let mut units = Vec::with_capacity(chunk.len());
        for number in chunk {
            let body = Echoes::from(EchoRequest { text: number.to_string() });
            units.push(Commit::of(vec![Op::Append(origin.compose::<grants::ControlRoom, _>(ECHO, body)?)]));
        }
        bus.commit(units).await?;
    }
    let (done, mut dones) = mpsc::channel(4_096);
    let worker = start(bus, clock, Nothing { done });
    let began = Instant::now();
    for _ in 0..count {
        tokio::time::timeout(PATIENCE, dones.recv()).await.wrap_err("the messages were not handled")?;
    }
    acknowledged(bus, ChannelName::Echo).await?;
    let rate = rate(count, began);
    worker.stop().await?;
    Ok(rate)
}

/// Waits until the group of the channel has acknowledged everything.
async fn acknowledged(bus: &SharedBus, channel: ChannelName) -> color_eyre::Result<()> {
    while bus.inspect(channel).await?.groups.iter().any(|group| group.pending > 0) {
        tokio::task::yield_now().await;
    }
    Ok(())
}

struct Worker {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), crate::bus::BusError>>,
}

impl Worker {
    async fn stop(self) -> color_eyre::Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }
}

fn start<H: Handler>(bus: &SharedBus, clock: &Arc<dyn Clock>, handler: H) -> Worker {
    let options = ConsumerOptions::default();
    let consumer = Consumer::new(Arc::clone(bus), handler, options, Arc::clone(clock), Arc::new(Ids::random()));
    let stop = CancellationToken::new();
    let token = stop.clone();
    Worker { stop, task: tokio::spawn(async move { consumer.run(token).await }) }
}

/// The first relay: what was said becomes an escalation.
struct First;

impl Handler for First {
    type Grant = grants::Watcher;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::DiscordRaw]
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    async fn handle(
        &self,
        message: Received,
        cx: Context<grants::Watcher>,
    ) -> Result<Effects<grants::Watcher>, Failure> {
        let mut effects = cx.effects();
        if let DiscordRaw::Message(said) = message.read::<DiscordRaw>()? {
            let mut escalation = Escalation::example();
            escalation.original_message.content = said.content;
            effects.send(TO_ORCHESTRATOR, ToOrchestrator::from(escalation))?;
        }
        Ok(effects)
    }
}

/// The second relay: the escalation becomes a request.
struct Second;

impl Handler for Second {
    type Grant = grants::Orchestrator;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::ToOrchestrator]
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    async fn handle(
        &self,
        message: Received,
        cx: Context<grants::Orchestrator>,
    ) -> Result<Effects<grants::Orchestrator>, Failure> {
        let mut effects = cx.effects();
        if let ToOrchestrator::Escalation(escalation) = message.read::<ToOrchestrator>()? {
            let title = Some(escalation.original_message.content.raw().to_owned());
            let request = ExperimentRequest { idea: Idea { title, ..Idea::example() }, ..ExperimentRequest::example() };
            effects.send(TO_FULLSEND, ToFullsend::from(request))?;
        }
        Ok(effects)
    }
}

/// The reader at the end.
struct Last {
    arrived: mpsc::Sender<(usize, Instant)>,
}

impl Handler for Last {
    type Grant = grants::Fullsend;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::ToFullsend]
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    async fn handle(
        &self,
        message: Received,
        cx: Context<grants::Fullsend>,
    ) -> Result<Effects<grants::Fullsend>, Failure> {
        if let ToFullsend::Request(request) = message.read::<ToFullsend>()?
            && let Some(number) = request.idea.title.and_then(|title| title.parse().ok())
        {
            self.arrived.send((number, Instant::now())).await.ok();
        }
        Ok(cx.effects())
    }
}

/// A message, two relays and a reader, each hop durable; times from before the send to the reader's handler, and chains a second.
///
/// # Errors
/// Where the bus fails, or a message does not arrive.
pub async fn relay(
    bus: &SharedBus,
    clock: &Arc<dyn Clock>,
    count: usize,
    in_flight: usize,
) -> color_eyre::Result<(Figure, f64)> {
    for channel in [ChannelName::DiscordRaw, ChannelName::ToOrchestrator, ChannelName::ToFullsend] {
        for group in channel.route().groups {
            bus.drop_group(channel, group.as_str()).await?;
        }
        // What earlier parts said is not for these readers.
        let now = clock.now() + chrono::TimeDelta::days(1);
        bus.trim(channel, now, 0).await?;
    }
    bus.get(&Key::new("warm")).await?;
    let (arrived, mut arrivals) = mpsc::channel(4_096);
    let workers = (start(bus, clock, First), start(bus, clock, Second), start(bus, clock, Last { arrived }));
    // Until the first has come through, the consumers are taking their slots.
    let origin = origin(clock);
    bus.commit(vec![said(&origin, count)?]).await?;
    tokio::time::timeout(PATIENCE, arrivals.recv()).await.wrap_err("the relay chain does not start")?;

    let mut sent_at = vec![None; count];
    let mut times = Vec::with_capacity(count);
    let began = Instant::now();
    let mut next = 0;
    let mut sends = futures::stream::FuturesUnordered::new();
    while times.len() < count {
        while next < count
            && next - times.len() < in_flight * 16
            && sends.len() < in_flight
            && (in_flight > 1 || next == times.len())
        {
            let unit = said(&origin, next)?;
            if let Some(at) = sent_at.get_mut(next) {
                *at = Some(Instant::now());
            }
            sends.push(bus.commit(vec![unit]));
            next += 1;
        }
        tokio::select! {
            Some(sent) = sends.next() => { sent?; }
            arrival = arrivals.recv() => {
                let (number, arrived) = arrival.ok_or_else(|| eyre!("the reader is gone"))?;
                if let Some(sent) = sent_at.get_mut(number).and_then(Option::take) {
                    times.push((arrived - sent).as_secs_f64());
                }
            }
            () = tokio::time::sleep(PATIENCE) => return Err(eyre!("only {} of {count} messages arrived", times.len())),
        }
    }
    let rate = rate(count, began);
    drop(sends);
    for worker in [workers.0, workers.1, workers.2] {
        worker.stop().await?;
    }
    Ok((quantiles(times), rate))
}
