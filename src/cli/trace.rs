//! `fullsend trace`: everything that came of one message, as a tree.
//!
//! A viewer: it reads the streams and the documents, and changes nothing.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use color_eyre::eyre::eyre;
use unicode_width::UnicodeWidthStr;

use super::Context;
use super::output::OK;
use crate::bus::SharedBus;
use crate::contracts::envelope::rfc3339;
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::sanitize_line;
use crate::tui::draw::text::clipped;
use crate::tui::feed::chain::{self, Bounds, Meant};
use crate::tui::store::Chain;
use crate::tui::store::chain::tree::{self, Step, What};

/// Shows everything that came of one message, as a tree
///
/// From the message over the decision, the approval and the experiment to what was learned: who acted when, how long after what caused
/// it, and what it cost. ID is that of a chain or of a message, a part of it (as `tail` prints it in its last column), or an approval
/// or an experiment.
///
/// Example: fullsend trace 5b6cd7f6
#[derive(clap::Args)]
pub struct Args {
    /// A chain, a message, a part of its id, an approval, an experiment
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Prints it.
///
/// # Errors
/// Where the bus cannot be used, or there is no such chain, or several.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| trace(&args.id, cx, bus).await)
}

async fn trace(id: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let trace = match chain::find(bus, id, Bounds::DEFAULT).await? {
        Meant::One(trace) => trace,
        Meant::None => return Err(eyre!(chain::not_found(id))),
        Meant::Several(traces) => {
            let names: Vec<_> = traces.iter().map(ToString::to_string).collect();
            return Err(eyre!(
                "`{}` is a part of several chains: {}; give more of it",
                sanitize_line(id, 60),
                names.join(", ")
            ));
        }
    };
    let chain = chain::read(bus, trace, Bounds::DEFAULT).await?;
    if cx.out.is_json() {
        cx.out.json(&chain.tree().to_json(trace))?;
    } else {
        cx.out.text(&in_words(&chain, cx.out.width()))?;
    }
    Ok(OK)
}

/// The tree as text, on lines of at most so many columns.
fn in_words(chain: &Chain, width: Option<usize>) -> String {
    let tree = chain.tree();
    let mut lines = vec![format!("{}  {}", chain.trace(), tree::head(&tree.total))];
    lines.extend(tree.total.now.iter().map(|words| format!("now      {words}")));
    lines.extend(tree.total.missing.iter().map(|words| format!("missing  {words}")));
    if !tree.total.actors.is_empty() {
        lines.push(format!("actors   {}", tree.total.actors.join(", ")));
    }
    lines.push(String::new());
    // Columns are as wide as what stands in them, so that times stand below each other.
    let heads: Vec<String> = tree.steps.iter().map(head).collect();
    let wide = heads.iter().map(|head| head.width()).max().unwrap_or(0).min(72);
    for (step, head) in tree.steps.iter().zip(heads) {
        let took = step.took.map(|took| format!("+{}", tree::length(took)).replace("+-", "-")).unwrap_or_default();
        let cost = step.nano.filter(|nano| *nano > 0).map(|nano| format!("{} ", show_usd(nano))).unwrap_or_default();
        let mode = step.mode.map(|mode| format!("{} · ", mode.words())).unwrap_or_default();
        let mark = step.mark().map(|mark| format!("[{mark}] ")).unwrap_or_default();
        let pad = " ".repeat(wide.saturating_sub(head.width()));
        lines.push(format!("{}  {head}{pad}  {took:>8}  {cost}{mark}{mode}{}", rfc3339(step.at), step.words));
    }
    let fitted = lines.iter().map(|line| match width {
        Some(width) => clipped(line.trim_end(), width),
        None => line.trim_end().to_owned(),
    });
    fitted.collect::<Vec<_>>().join("\n")
}

fn head(step: &Step) -> String {
    let who = if step.is_person { format!("@{}", step.actor) } else { step.actor.clone() };
    let sign = if matches!(step.what, What::Decision(_)) { "→ " } else { "" };
    format!("{}{who} {sign}{}", tree::guides(step, false), step.name)
}
