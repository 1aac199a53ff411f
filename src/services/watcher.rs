//! The watcher: reads what people say, and ignores it, answers it, or hands it to the orchestrator.
//!
//! Owns the first look. It has no tools and no secrets; what people say is data. Status answers come from state, never from a model;
//! commands, ideas and finished actions are handled by code; where a model fails, the orchestrator is asked. Must never decide what
//! the team does.

mod authors;
mod commands;
mod recap;
mod status;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

pub use status::gather;

use super::wording;
use crate::bus::{Context, Document, Draft, Effects, Expect, Failure, Handler, Key, Received, State, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    ActionComplete, ActionStatus, ChatMessage, CommandName, Control, DiscordRaw, DueFor, Escalation, FromOrchestrator,
    Go, Hold, IdeaAck, ScheduleDue, Schedules, ToOrchestrator, WatcherResponse, Words,
};
use crate::contracts::notes::{NoteChange, NoteName};
use crate::contracts::wiring::{CONTROL, FROM_ORCHESTRATOR, SCHEDULES, TO_ORCHESTRATOR};
use crate::contracts::{ChannelName, Clock, Priority, ServiceName, Trust, Untrusted, keys};
use crate::llm::tasks::classify::ClassifyInput;
use crate::llm::tasks::respond::{Reply, RespondInput};
use crate::llm::tasks::{Classification, Classify, Respond, Verdict};
use crate::llm::{Asking, Mind, NoAnswer, Task};
use crate::memory::{self, ChangeError, Memory, NoteState, is_unwritten};
use authors::Authors;
use commands::Order;

/// Messages looked at side by side: a slow model never keeps the next message waiting.
const SLOTS: usize = 32;
/// How long one may take: a model's answer, its fall back, and the reply.
const TIME_LIMIT: Duration = Duration::from_mins(2);

type Said = Result<Effects<grants::Watcher>, Failure>;

/// The service.
pub struct Watcher {
    mind: Mind,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
    authors: Mutex<Authors>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("mind", &self.mind).finish_non_exhaustive()
    }
}

impl Watcher {
    /// Looks at messages with this mind; what it says of how things stand comes from this memory.
    pub fn new(mind: Mind, memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Self {
        Self { mind, memory, clock, authors: Mutex::default() }
    }

    async fn chat(&self, chat: ChatMessage, message: &Received, cx: &Context<grants::Watcher>) -> Said {
        if let Some(order) = commands::typed(&chat) {
            return self.order(order, message, cx).await;
        }
        if let Some(word) = commands::misspelt(&chat) {
            let told = format!("There is no command {}. There are {}.", wording::line(word, 40), commands::LIST);
            let mut effects = cx.effects();
            say(&mut effects, &chat, &told)?;
            return Ok(effects);
        }
        // The answer to the first thing that a new team asks.
        if let Some(order) = commands::told_product(&chat).filter(|_| message.envelope.trust >= Trust::Operator)
            && is_unwritten(&NoteState::read(cx.bus(), NoteName::ProductContext).await?.text)
        {
            return self.order(order, message, cx).await;
        }
        // How things stand is in the state: no mind is asked, by whatever name the team is spoken to.
        if commands::asks_for_status(&chat) {
            return self.order(commands::status(chat), message, cx).await;
        }
        let input = ClassifyInput {
            username: chat.username.clone(),
            channel: chat.channel_name.clone(),
            mentions_bot: chat.mentions_bot,
            content: chat.content.clone(),
        };
        let asking = asking(message, cx);
        let classified = if self.admits(&chat, message) {
            match self.mind.ask::<Classify>(&asking, &input).await {
                Ok(answered) => answered.output,
                Err(NoAnswer::Stopped) => return Err(stopped()),
                Err(err) => return escalate(chat, failed("classification", message, &err), None, cx),
            }
        } else {
            tracing::info!(trace = %message.envelope.trace, "an author says more than a model looks at; the rules do");
            Classify::rule(&input).output
        };
        match classified.action {
            Verdict::Ignore => Ok(cx.effects()),
            Verdict::Escalate => escalate(chat, classified, None, cx),
            Verdict::Answer => self.answer(chat, classified.suggested_response, &asking, message, cx).await,
        }
    }

    /// A question about how things stand is answered by code; anything else as it was suggested with the classification, which has no
    /// numbers, so that a greeting costs one call; or by the task `respond`.
    async fn answer(
        &self,
        chat: ChatMessage,
        suggested: Option<String>,
        asking: &Asking,
        message: &Received,
        cx: &Context<grants::Watcher>,
    ) -> Said {
        let status = gather(cx.bus(), &self.memory).await?;
        let input = RespondInput { username: chat.username.clone(), content: chat.content.clone(), status };
        let reply = if Respond::asks_for_status(&input.content) {
            Respond::rule(&input).output
        } else if let Some(reply) =
            suggested.map(|content| Reply { content }).filter(|reply| Respond::faults(&input, reply).is_empty())
        {
            reply
        } else {
            match self.mind.ask::<Respond>(asking, &input).await {
                Ok(answered) => answered.output,
                Err(NoAnswer::Stopped) => return Err(stopped()),
                Err(err) => return escalate(chat, failed("response_generation", message, &err), None, cx),
            }
        };
        let mut effects = cx.effects();
        say(&mut effects, &chat, &reply.content)?;
        Ok(effects)
    }

    async fn order(&self, order: Order, message: &Received, cx: &Context<grants::Watcher>) -> Said {
        let mut effects = cx.effects();
        let Order { name, text, mut asked } = order;
        let by = asked.user_id.clone().or_else(|| asked.username.as_ref().map(|name| name.line(60)));
        let reason = Some(wording::line(&text, 200)).filter(|reason| !reason.is_empty());
        match name {
            CommandName::Status => {
                let input = RespondInput {
                    username: asked.username.clone(),
                    content: asked.content.clone(),
                    status: gather(cx.bus(), &self.memory).await?,
                };
                say(&mut effects, &asked, &Respond::status_in_words(&input.status))?;
            }
            CommandName::Wtf => {
                let told = recap::last_hour(cx.bus(), self.clock.now()).await?;
                say(&mut effects, &asked, &told)?;
            }
            CommandName::Pause => {
                let hold = Control::from(Hold { reason, by });
                effects.send(CONTROL, Draft::new(hold).priority(Priority::Urgent))?;
                let told = if message.envelope.trust > Trust::External {
                    "Holding: nothing new starts. `/go` lets the team go on."
                } else {
                    "I ask whoever runs the team to hold it."
                };
                say(&mut effects, &asked, told)?;
            }
            CommandName::Go if message.envelope.trust == Trust::External => {
                say(
                    &mut effects,
                    &asked,
                    "Only a member of the team can end a hold. Ask one, or use the control room.",
                )?;
            }
            CommandName::Go => {
                effects.send(CONTROL, Draft::new(Control::from(Go { reason, by })).priority(Priority::Urgent))?;
                say(&mut effects, &asked, "Going on.")?;
            }
            CommandName::Idea | CommandName::Focus | CommandName::Learn | CommandName::Product if text.is_empty() => {
                let word = commands::word(name);
                say(&mut effects, &asked, &format!("Say it after the command: `/{word} TEXT`."))?;
            }
            CommandName::Idea => {
                // What is handed on is what was said, and not how.
                asked.content = Untrusted::from(text.clone());
                let payload = Words { message: format!("noted: {}", wording::line(&text, 200)) };
                let ack = IdeaAck { payload, priority: Priority::Medium, timestamp: Some(cx.now()) };
                effects.send(FROM_ORCHESTRATOR, FromOrchestrator::from(ack))?;
                hand_on(&mut effects, asked, ordered(name), Some((name, &text)), cx)?;
            }
            CommandName::Product => {
                let told = describe(&mut effects, &text, by.as_deref(), message, cx).await?;
                say(&mut effects, &asked, &told)?;
            }
            CommandName::Focus | CommandName::Learn => {
                hand_on(&mut effects, asked, ordered(name), Some((name, &text)), cx)?;
            }
        }
        Ok(effects)
    }

    /// Somebody did, or refused, what they were asked to do: its record says so, and the orchestrator hears of it. Who only claims it from
    /// outside is heard, and changes no record.
    async fn action(done: &ActionComplete, trust: Trust, cx: &Context<grants::Watcher>) -> Said {
        let mut effects = cx.effects();
        let id = done.payload.action_id.as_str();
        let Ok(key) = keys::action(id) else {
            return Err(Failure::Terminal(color_eyre::eyre::eyre!(
                "an action cannot be called `{}`",
                wording::line(id, 60)
            )));
        };
        let state = match done.payload.status {
            ActionStatus::Completed => "done",
            ActionStatus::Rejected => "rejected",
        };
        let by = done.payload.completed_by.clone().or_else(|| done.user_id.clone());
        let fields = vec![
            ("state".to_owned(), Some(state.to_owned())),
            ("completed_by".to_owned(), by.clone()),
            ("completed_at".to_owned(), Some(crate::contracts::envelope::rfc3339(cx.now()))),
        ];
        if trust > Trust::External {
            let key = Key::new(key);
            if let Some(waits) = waiting(id, cx.bus().get(&key).await?.as_ref().and_then(State::document)) {
                let subject = waits.experiment_id.clone();
                effects.send(SCHEDULES, Draft::new(Schedules::from(waits)).subject(subject))?;
            }
            effects.change(key, Expect::Any, fields, Ttl::Keep);
        }
        let who = done
            .payload
            .username
            .as_ref()
            .map_or_else(|| by.clone().unwrap_or_else(|| "somebody".to_owned()), |name| name.line(60));
        let chat = ChatMessage {
            message_id: None,
            channel_id: None,
            channel_name: None,
            guild_id: None,
            username: done.payload.username.clone(),
            user_id: by,
            content: format!("action {} is {state}", wording::line(id, 80)).into(),
            mentions_bot: false,
            timestamp: done.timestamp,
        };
        let context = json!({ "command": "action_complete", "action_id": id, "status": state, "user": who });
        let escalation = Escalation {
            source: Some(ServiceName::Watcher.to_string()),
            priority: Priority::Medium,
            reason: Some(format!("a requested action is {state}")),
            original_message: chat,
            context: object(context),
            timestamp: Some(cx.now()),
        };
        effects.send(TO_ORCHESTRATOR, ToOrchestrator::from(escalation))?;
        Ok(effects)
    }

    fn admits(&self, chat: &ChatMessage, message: &Received) -> bool {
        if message.envelope.trust >= Trust::Operator {
            return true;
        }
        let author = chat.user_id.clone().or_else(|| chat.username.as_ref().map(|name| name.line(60)));
        let mut authors = self.authors.lock().unwrap_or_else(PoisonError::into_inner);
        authors.admits(author.as_deref().unwrap_or("?"), self.clock.now())
    }
}

impl Handler for Watcher {
    type Grant = grants::Watcher;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::DiscordRaw]
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(TIME_LIMIT)
    }

    async fn handle(&self, message: Received, cx: Context<grants::Watcher>) -> Said {
        match message.read::<DiscordRaw>()? {
            DiscordRaw::Message(chat) => self.chat(chat, &message, &cx).await,
            DiscordRaw::Command(command) => self.order(commands::given(&command), &message, &cx).await,
            DiscordRaw::Idea(idea) => self.order(commands::handed_in(&idea), &message, &cx).await,
            DiscordRaw::Action(done) => Self::action(&done, message.envelope.trust, &cx).await,
            // The settings of the chat are the chat service's; nothing here depends on them.
            DiscordRaw::Config(update) => {
                tracing::info!(settings = update.payload.len(), trace = %message.envelope.trace, "settings of the chat are left to its service");
                Ok(cx.effects())
            }
        }
    }
}

/// What the executor is to do now that a person said what became of an action: go on with the run that waits for it, or put on record what
/// nobody knew. None where nothing waits.
fn waiting(id: &str, action: Option<&Document>) -> Option<ScheduleDue> {
    let action = action?;
    let (what, action_id) = match (action.get("kind"), action.get("state")) {
        (Some("person"), _) => (DueFor::Run, None),
        (_, Some("unknown")) => (DueFor::Answer, Some(id.to_owned())),
        _ => return None,
    };
    Some(ScheduleDue {
        experiment_id: action.get("experiment_id")?.to_owned(),
        what,
        run_id: Some(action.get("run_id")?.to_owned()),
        number: None,
        action_id,
        due_at: None,
    })
}

/// Puts what is sold into the product context, which is the operator's; says what came of it.
async fn describe(
    effects: &mut Effects<grants::Watcher>,
    text: &str,
    by: Option<&str>,
    message: &Received,
    cx: &Context<grants::Watcher>,
) -> Result<String, Failure> {
    if message.envelope.trust < Trust::Operator {
        return Ok("What we sell is written at the control room; ask whoever runs the team.".to_owned());
    }
    let change = NoteChange::Describe { text: text.to_owned() };
    match memory::change(effects, cx.bus(), NoteName::ProductContext, &change, by.unwrap_or("operator")).await {
        Ok(()) => {
            Ok("Noted: what we sell stands in the product context. Say your idea again, and it can be tested."
                .to_owned())
        }
        Err(ChangeError::Bus(err)) => Err(err.into()),
        Err(err) => Ok(wording::line(&format!("That was not written into the product context: {err}."), 280)),
    }
}

fn asking(message: &Received, cx: &Context<grants::Watcher>) -> Asking {
    Asking {
        service: ServiceName::Watcher,
        message: Some(message.envelope.id),
        trace: Some(message.envelope.trace),
        trust: message.envelope.trust,
        stop: cx.stop().clone(),
    }
}

fn stopped() -> Failure {
    Failure::from(color_eyre::eyre::eyre!("the watcher was stopped while a model was asked"))
}

/// A model that failed is no reason to miss what somebody said.
fn failed(what: &str, message: &Received, err: &NoAnswer) -> Classification {
    Classification {
        action: Verdict::Escalate,
        reason: wording::line(&format!("{what}_failed_after_{}_attempts: {err}", message.attempt), 280),
        priority: Priority::Medium,
        suggested_response: None,
    }
}

fn ordered(name: CommandName) -> Classification {
    Classification {
        action: Verdict::Escalate,
        reason: format!("the command /{}", commands::word(name)),
        priority: Priority::Medium,
        suggested_response: None,
    }
}

fn escalate(
    chat: ChatMessage,
    why: Classification,
    command: Option<(CommandName, &str)>,
    cx: &Context<grants::Watcher>,
) -> Said {
    let mut effects = cx.effects();
    hand_on(&mut effects, chat, why, command, cx)?;
    Ok(effects)
}

fn hand_on(
    effects: &mut Effects<grants::Watcher>,
    chat: ChatMessage,
    why: Classification,
    command: Option<(CommandName, &str)>,
    cx: &Context<grants::Watcher>,
) -> Result<(), Failure> {
    let mut context = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            context.insert(name.to_owned(), Value::String(value));
        }
    };
    put("channel", chat.channel_name.clone());
    put("user", chat.username.as_ref().map(|name| name.line(60)));
    put("summary", Some(wording::line(&why.reason, 280)));
    put("suggested_response", why.suggested_response.clone());
    put("command", command.map(|(name, _)| commands::word(name).to_owned()));
    put("text", command.map(|(_, text)| text.to_owned()));
    let escalation = Escalation {
        source: Some(ServiceName::Watcher.to_string()),
        priority: why.priority,
        reason: Some(why.reason),
        original_message: chat,
        context,
        timestamp: Some(cx.now()),
    };
    effects.send(TO_ORCHESTRATOR, Draft::new(ToOrchestrator::from(escalation)).priority(why.priority))?;
    Ok(())
}

/// Answers whoever said something, where they said it.
fn say(effects: &mut Effects<grants::Watcher>, chat: &ChatMessage, content: &str) -> Result<(), Failure> {
    let response = WatcherResponse {
        channel_id: chat.channel_id.clone(),
        reply_to: chat.message_id.clone(),
        content: wording::outgoing(content),
        priority: Priority::Medium,
        timestamp: Some(effects.now()),
    };
    effects.send(FROM_ORCHESTRATOR, FromOrchestrator::from(response))?;
    Ok(())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
