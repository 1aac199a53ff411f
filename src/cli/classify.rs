//! `fullsend classify`: what the watcher would do with a chat message.
//!
//! Must never do it: nothing is said on the bus.

use std::process::ExitCode;

use color_eyre::eyre::WrapErr;
use serde_json::json;

use super::output::OK;
use super::{Context, given, open};
use crate::bus::SharedBus;
use crate::contracts::messages::{ChatMessage, DiscordRaw};
use crate::contracts::{Body, Trust};
use crate::llm::tasks::Classify;
use crate::llm::tasks::classify::ClassifyInput;

/// Says what would be done with a chat message
///
/// Takes a message as on `discord_raw`, or plain text, and prints the classification as JSON: ignore, answer or escalate, why, and how
/// soon. A question how things stand, said to the team, is answered from state before anybody classifies it. Nothing is said on the bus; what
/// a model costs is counted.
///
/// Example: fullsend classify message.json
#[derive(clap::Args)]
pub struct Args {
    /// The message's file; `-`, or nothing, for standard input
    #[arg(value_name = "-|FILE")]
    pub message: Option<String>,
}

/// Prints the classification.
///
/// # Errors
/// Where the message is not one, or nobody answers.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let input = input(&given::text(args.message.as_deref())?)?;
    super::with_bus(cx, async |bus| classify(cx, bus, &input).await)
}

async fn classify(cx: &Context, bus: &SharedBus, input: &ClassifyInput) -> color_eyre::Result<ExitCode> {
    let answered = open::mind(cx, Some(bus))?.ask::<Classify>(&open::asking(Trust::Operator), input).await?;
    let found = answered.output;
    cx.out.json(&json!({
        "action": found.action, "reason": found.reason, "priority": found.priority,
        "suggested_response": found.suggested_response, "provider": answered.provider, "model": answered.model,
        "reasons": answered.reasoning.lines().collect::<Vec<_>>(),
    }))?;
    Ok(OK)
}

fn input(text: &str) -> color_eyre::Result<ClassifyInput> {
    let chat = if text.trim_start().starts_with('{') {
        match DiscordRaw::read(text).wrap_err("this is no message of `discord_raw`")? {
            DiscordRaw::Message(chat) => chat,
            other => {
                return Err(color_eyre::eyre::eyre!(
                    "a `{}` is handled by code, and not classified",
                    other.type_name()
                ));
            }
        }
    } else {
        ChatMessage {
            message_id: None,
            channel_id: None,
            channel_name: None,
            guild_id: None,
            username: None,
            user_id: None,
            content: text.into(),
            // As `publish` has it: said to the team.
            mentions_bot: true,
            timestamp: None,
        }
    };
    Ok(ClassifyInput {
        username: chat.username,
        channel: chat.channel_name,
        mentions_bot: chat.mentions_bot,
        content: chat.content,
    })
}
