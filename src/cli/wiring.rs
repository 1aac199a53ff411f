//! `fullsend wiring`: who says what to whom, and whether anybody hears it.
//!
//! Must never read the bus: the table is in the program.

use std::process::ExitCode;

use serde_json::json;

use super::output::{FAILED, OK, Output};
use crate::contracts::WIRING;
use crate::contracts::topology::{self, Row};

/// Shows who says what to whom
///
/// Prints every channel with its message types, publishers, groups and viewers. Ends with 1 where a channel has no publisher,
/// or nobody who hears it.
///
/// Example: fullsend wiring --mermaid > wiring.mmd
#[derive(clap::Args)]
pub struct Args {
    /// Print a Mermaid graph
    #[arg(long)]
    pub mermaid: bool,
}

/// Prints the table.
///
/// # Errors
/// Where it cannot be written.
pub fn run(args: &Args, out: &Output) -> color_eyre::Result<ExitCode> {
    show(args, &topology::rows(&WIRING, topology::VIEWERS), out)
}

fn show(args: &Args, rows: &[Row], out: &Output) -> color_eyre::Result<ExitCode> {
    let orphans = topology::orphans(rows);
    if args.mermaid {
        let graph = topology::as_mermaid(rows);
        if out.is_json() { out.json(&json!({ "mermaid": graph }))? } else { out.verbatim(&graph)? }
    } else if out.is_json() {
        out.json(&json!({ "channels": rows, "orphans": orphans }))?;
    } else {
        out.text(&topology::as_text(rows, out.width()))?;
    }
    for orphan in &orphans {
        out.error(&orphan.to_string());
    }
    Ok(if orphans.is_empty() { OK } else { FAILED })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Page;

    fn rows() -> Vec<Row> {
        topology::rows(&WIRING, topology::VIEWERS)
    }

    #[test]
    fn a_sound_table_is_shown_in_each_form() {
        let page = Page::new(false);
        assert_eq!(show(&Args { mermaid: false }, &rows(), &page.out).unwrap(), OK);
        assert!(page.results().starts_with("CHANNEL "), "{}", page.results());
        assert_eq!(page.remarks(), "");

        let page = Page::new(false);
        assert_eq!(show(&Args { mermaid: true }, &rows(), &page.out).unwrap(), OK);
        assert!(page.results().starts_with("flowchart LR\n"));

        let page = Page::new(true);
        assert_eq!(show(&Args { mermaid: false }, &rows(), &page.out).unwrap(), OK);
        let json = page.json();
        assert_eq!(json[0]["channels"].as_array().unwrap().len(), WIRING.len());
        assert_eq!(json[0]["orphans"], serde_json::json!([]));
    }

    #[test]
    fn a_channel_without_a_reader_fails_and_is_named() {
        let mut rows = rows();
        rows[0].viewers.clear();
        rows[0].groups.clear();
        let page = Page::new(false);
        assert_eq!(show(&Args { mermaid: false }, &rows, &page.out).unwrap(), FAILED);
        assert!(page.remarks().starts_with("error: nobody hears what is said on fullsend:discord_raw"));
    }
}
