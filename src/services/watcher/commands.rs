//! Commands: `/status`, `/pause`, `/go`, `/idea`, `/focus`, `/learn`, `/product`, `/wtf`, as a message of their own or typed in the chat.
//!
//! Owns how they are read. Code handles them; no model is asked.

use serde_json::Value;

use crate::contracts::Untrusted;
use crate::contracts::messages::{ChatMessage, Command, CommandName, IdeaSubmit};
use crate::llm::tasks::Respond;

/// A command, whoever gave it, wherever.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    /// Which.
    pub(super) name: CommandName,
    /// What stands after it.
    pub(super) text: String,
    /// The chat message that it is, or stands for: whom to answer, and where.
    pub(super) asked: ChatMessage,
}

/// A chat message that is a command.
pub(super) fn typed(chat: &ChatMessage) -> Option<Order> {
    let text = chat.content.raw().trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    // A telephone begins with a capital.
    let name = match word.to_ascii_lowercase().as_str() {
        "/status" => CommandName::Status,
        "/pause" => CommandName::Pause,
        "/go" => CommandName::Go,
        "/idea" => CommandName::Idea,
        "/focus" => CommandName::Focus,
        "/learn" => CommandName::Learn,
        "/product" => CommandName::Product,
        "/wtf" => CommandName::Wtf,
        _ => return None,
    };
    Some(Order { name, text: rest.trim().to_owned(), asked: chat.clone() })
}

/// Whether a message asks how things stand. What was not said to the team is first looked at by whoever classifies.
pub(super) fn asks_for_status(chat: &ChatMessage) -> bool {
    chat.mentions_bot && Respond::asks_for_status(&chat.content)
}

/// A question how things stand, as the command that it stands for.
pub(super) fn status(chat: ChatMessage) -> Order {
    Order { name: CommandName::Status, text: String::new(), asked: chat }
}

/// The commands, for whoever misspelt one.
pub(super) const LIST: &str =
    "`/status`, `/idea TEXT`, `/focus TEXT`, `/learn TEXT`, `/product TEXT`, `/pause`, `/go` and `/wtf`";

/// A message that begins as a command does, and is none.
pub(super) fn misspelt(chat: &ChatMessage) -> Option<&str> {
    let word = chat.content.raw().split_whitespace().next()?;
    let name = word.strip_prefix('/')?;
    (!name.is_empty() && name.chars().all(char::is_alphabetic)).then_some(word)
}

/// How people begin when they are asked what they sell.
const SOLD: [&str; 8] = [
    "we sell ",
    "we make ",
    "we build ",
    "we offer ",
    "we're selling ",
    "we are selling ",
    "our product is ",
    "we help ",
];

/// Words that say what is sold, as the command that they stand for.
pub(super) fn told_product(chat: &ChatMessage) -> Option<Order> {
    let text = chat.content.raw().trim();
    let start = text.to_lowercase();
    let is_told = SOLD.iter().any(|begin| start.starts_with(begin)) && !text.contains('?');
    is_told.then(|| Order { name: CommandName::Product, text: text.to_owned(), asked: chat.clone() })
}

/// A command that came as one.
pub(super) fn given(command: &Command) -> Order {
    let arg = |name: &str| match command.payload.args.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let text = arg("content").or_else(|| arg("text")).unwrap_or_default();
    let asked = ChatMessage {
        message_id: arg("message_id"),
        channel_id: arg("channel_id"),
        channel_name: arg("channel_name"),
        guild_id: None,
        username: arg("username").map(Untrusted::from),
        user_id: command.user_id.clone(),
        content: Untrusted::from(text.clone()),
        mentions_bot: true,
        timestamp: command.timestamp,
    };
    Order { name: command.payload.command, text: text.trim().to_owned(), asked }
}

/// An idea that was handed in is the command `/idea`.
pub(super) fn handed_in(idea: &IdeaSubmit) -> Order {
    let said = |name: &str| idea.payload.context.get(name).and_then(Value::as_str).map(str::to_owned);
    let asked = ChatMessage {
        message_id: said("message_id"),
        channel_id: idea.payload.source_channel.clone(),
        channel_name: said("channel_name"),
        guild_id: said("guild_id"),
        username: said("username").map(Untrusted::from),
        user_id: idea.payload.submitted_by.clone().or_else(|| idea.user_id.clone()),
        content: idea.payload.content.clone(),
        mentions_bot: true,
        timestamp: idea.timestamp,
    };
    Order { name: CommandName::Idea, text: idea.payload.content.raw().trim().to_owned(), asked }
}

/// As it is written in an escalation.
pub(super) fn word(name: CommandName) -> &'static str {
    match name {
        CommandName::Status => "status",
        CommandName::Pause => "pause",
        CommandName::Go => "go",
        CommandName::Idea => "idea",
        CommandName::Focus => "focus",
        CommandName::Learn => "learn",
        CommandName::Product => "product",
        CommandName::Wtf => "wtf",
    }
}
