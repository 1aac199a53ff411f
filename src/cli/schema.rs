//! `fullsend schema`: what a message of a type looks like.
//!
//! Must never read the bus: the types are in the program.

use std::process::ExitCode;

use serde_json::json;

use super::output::{OK, Output, Usage};
use crate::contracts::schema::{self, MessageType};

/// Shows what a message looks like
///
/// Prints the JSON Schema of a message type, or a valid example. Without a type: all of them, channel by channel.
///
/// Example: fullsend schema escalation --example
#[derive(clap::Args)]
pub struct Args {
    /// TYPE, or CHANNEL/TYPE
    #[arg(value_name = "TYPE")]
    pub name: Option<String>,

    /// Print a valid body instead
    #[arg(long, requires = "name")]
    pub example: bool,
}

/// Prints it.
///
/// # Errors
/// Where no type, or more than one, has the name; or it cannot be written.
pub fn run(args: &Args, out: &Output) -> color_eyre::Result<ExitCode> {
    match &args.name {
        Some(name) => {
            let found = schema::find(name).map_err(|err| Usage(err.to_string()))?;
            let value = if args.example { found.example() } else { found.schema() };
            if out.is_json() { out.json(&value)? } else { out.text(&serde_json::to_string_pretty(&value)?)? }
        }
        None => list(out)?,
    }
    Ok(OK)
}

fn list(out: &Output) -> color_eyre::Result<()> {
    if out.is_json() {
        let entry = |known: MessageType| json!({ "channel": known.channel, "type": known.body.name, "aliases": known.body.aliases });
        return out.json(&schema::all().map(entry).collect::<Vec<_>>());
    }
    let row =
        |known: MessageType| [known.channel.to_string(), known.body.name.to_owned(), known.body.aliases.join(", ")];
    out.table(["CHANNEL", "TYPE", "ALSO READ"], &schema::all().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::cli::testing::Page;
    use crate::contracts::ChannelName;

    fn args(name: Option<&str>, example: bool) -> Args {
        Args { name: name.map(str::to_owned), example }
    }

    #[test]
    fn a_schema_is_pretty_and_an_example_fits_its_channel() {
        let page = Page::new(false);
        run(&args(Some("escalation"), false), &page.out).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&page.results()).unwrap();
        assert_eq!(schema["properties"]["type"]["const"], "escalation");
        assert!(page.results().lines().count() > 10);

        let page = Page::new(false);
        run(&args(Some("echo/echo_request"), true), &page.out).unwrap();
        assert_eq!(ChannelName::Echo.check(&page.results()), Ok("echo_request"));

        let page = Page::new(true);
        run(&args(Some("echo_request"), true), &page.out).unwrap();
        assert_eq!(page.results().lines().count(), 1);
    }

    #[test]
    fn a_name_of_several_types_lists_them() {
        let page = Page::new(false);
        let err = run(&args(Some("tool_build_failed"), false), &page.out).unwrap_err();
        assert!(err.is::<Usage>());
        assert!(err.to_string().contains("builder_results/tool_build_failed"), "{err}");
    }

    #[test]
    fn without_a_name_every_type_is_listed() {
        let page = Page::new(false);
        run(&args(None, false), &page.out).unwrap();
        assert_eq!(page.results().lines().count(), 1 + schema::all().count());
        let page = Page::new(true);
        run(&args(None, false), &page.out).unwrap();
        let all = &page.json()[0];
        assert_eq!(all.as_array().unwrap().len(), schema::all().count());
        assert_eq!(all[0], json!({ "channel": "fullsend:discord_raw", "type": "discord_message", "aliases": [] }));
    }
}
