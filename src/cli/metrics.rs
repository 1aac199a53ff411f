//! `fullsend metrics`: the numbers of experiments, and adding to them by hand.
//!
//! Must never write numbers itself: it says what happened, and the service `redis_agent` adds it up.

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use color_eyre::Section;
use color_eyre::eyre::eyre;
use serde_json::{Map, Value, json};

use super::output::{OK, Usage};
use super::{Context, operator};
use crate::bus::{BusError, Document, Draft, EntryId, Key, Origin, Sender, SharedBus};
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{BusinessEvent, Direction, Metrics};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::METRICS;
use crate::contracts::{Body, Trust, keys};
use crate::experiments::criteria::Aggregate;
use crate::experiments::judgement::{Outcome, number};
use crate::experiments::numbers::{Happened, Numbers};
use crate::memory::experiments as known;

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows the numbers of an experiment and what they say, and adds to them
///
/// Numbers come from tools by themselves; `add` is for what no tool can know, a meeting or a call. They are added up by the service `redis_agent`.
///
/// Example: fullsend metrics add exp-forum signup --count 2
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Shows the numbers of an experiment, its criteria and how sure each is
    Show {
        /// The experiment
        experiment: String,
    },
    /// Says that something happened: `meeting_booked`, `positive_reply`, `email_sent`, …
    Add(Adding),
}

#[derive(clap::Args)]
struct Adding {
    /// The experiment
    experiment: String,
    /// What happened
    event: String,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
    /// The variant that it happened to
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// A number, or a text, that comes with it; may be given several times
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<String>,
}

/// Does it.
///
/// # Errors
/// Where it cannot be counted, or the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| act(args, &operator(), cx, bus).await)
}

async fn act(args: &Args, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    match &args.action {
        Action::Show { experiment } => show(experiment, cx, bus).await?,
        Action::Add(adding) => add(adding, by, cx, bus).await?,
    }
    Ok(OK)
}

// ---- adding --------------------------------------------------------------------------------------------------------

async fn add(adding: &Adding, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<()> {
    let said = compose(adding, by, cx)?;
    if document(bus, &keys::experiment(&adding.experiment)?).await?.is_none() {
        cx.out.remark(&format!("there is no experiment `{}`; it is counted all the same", clean(&adding.experiment)));
    }
    let origin = Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator);
    let sender = Sender::<grants::ControlRoom>::new(bus.clone(), origin, PATIENCE);
    let entry: EntryId = sender.send(METRICS, Draft::new(said).subject(&*adding.experiment)).await?;
    if cx.out.is_json() {
        return cx.out.json(&json!({
            "experiment_id": adding.experiment, "event": adding.event, "count": adding.count, "entry": entry,
        }));
    }
    let name = clean(&adding.event);
    cx.out.text(&format!("{}: {} {name} said  {entry}", clean(&adding.experiment), adding.count))
}

/// The message; checked as the one who adds it up will do.
fn compose(adding: &Adding, by: &str, cx: &Context) -> color_eyre::Result<Metrics> {
    keys::experiment(&adding.experiment).map_err(|err| Usage(err.to_string()))?;
    if Metrics::TYPES.iter().any(|kind| kind.name == adding.event) {
        let words = format!("`{}` is what the executor says of its runs; take another name", clean(&adding.event));
        return Err(Usage(words).into());
    }
    let mut fields = Map::new();
    fields.insert("count".to_owned(), adding.count.into());
    fields.insert("by".to_owned(), by.into());
    if let Some(variant) = &adding.variant {
        fields.insert("variant".to_owned(), variant.as_str().into());
    }
    for field in &adding.fields {
        let (name, value) = field
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Usage(format!("`{}` is not NAME=VALUE, as in `hours=3.5`", clean(field))))?;
        if ["event", "experiment_id", "type", "timestamp", "count", "by", "variant", "meta"].contains(&name) {
            return Err(Usage(format!("`{name}` cannot be given as a field")).into());
        }
        let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
        fields.insert(name.to_owned(), number.map_or_else(|| Value::from(value), Value::from));
    }
    let said = Metrics::Event(BusinessEvent {
        event: adding.event.clone(),
        experiment_id: adding.experiment.clone(),
        run_id: None,
        timestamp: Some(cx.clock.now()),
        fields,
    });
    Happened::of(&said).map_err(|err| Usage(err.to_string()))?;
    Ok(said)
}

// ---- showing -------------------------------------------------------------------------------------------------------

async fn show(experiment: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<()> {
    let sums = document(bus, &keys::metrics_aggregated(experiment)?).await?;
    let Some(sums) = sums else {
        let known = document(bus, &keys::experiment(experiment)?).await?.is_some();
        let name = clean(experiment);
        let report = if known {
            eyre!("nothing was counted for `{name}` yet")
        } else {
            eyre!("there is no experiment `{name}`, and nothing was counted for it")
        };
        return Err(
            report.suggestion("`fullsend doctor` shows whether the service `redis_agent` runs, and what waits for it")
        );
    };
    let numbers = Numbers::read(&sums);
    let outcome: Option<Outcome> = sums.get("verdict_json").and_then(|json| serde_json::from_str(json).ok());
    if cx.out.is_json() {
        return cx.out.json(&as_json(experiment, &numbers, outcome.as_ref()));
    }
    let verdict = outcome.as_ref().map_or("not judged: it has no criteria", |outcome| outcome.verdict.as_str());
    let updated = numbers.last_updated.map(|at| format!(", {}", rfc3339(at))).unwrap_or_default();
    cx.out.text(&format!("{}: {}{updated}", clean(experiment), verdict.replace('_', " ")))?;
    if let Some(outcome) = &outcome {
        criteria(outcome, cx)?;
    }
    let mut rows: Vec<[String; 2]> = numbers.events().map(|(name, count)| [clean(name), count.to_string()]).collect();
    rows.extend(numbers.fields().map(|name| [clean(name), field_words(&numbers, name)]));
    cx.out.text("")?;
    cx.out.table(["WHAT", "SO FAR"], &rows)
}

fn criteria(outcome: &Outcome, cx: &Context) -> color_eyre::Result<()> {
    let row = |judged: &crate::experiments::judgement::Judged| {
        let way = if judged.direction == Direction::Failure { "fails if" } else { "works if" };
        let holds = match judged.holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        [way.to_owned(), judged.criterion.clone(), holds.to_owned(), judged.words()]
    };
    let rows: Vec<_> = outcome.criteria.iter().map(row).collect();
    cx.out.text("")?;
    cx.out.table(["", "CRITERION", "SO", "EVIDENCE"], &rows)?;
    if let Some(variants) = &outcome.variants {
        cx.out.text("")?;
        cx.out.text(&variants.words())?;
    }
    Ok(())
}

/// The numbers of a field that are worth a look.
fn of_field(numbers: &Numbers, name: &str) -> Vec<(&'static str, f64)> {
    let wanted = [
        Aggregate::Sum,
        Aggregate::Avg,
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Latest,
        Aggregate::P50,
        Aggregate::P95,
    ];
    let one = |aggregate: Aggregate| {
        let name = crate::experiments::criteria::Name {
            space: Some(crate::experiments::criteria::Space::Fields),
            name: name.to_owned(),
            aggregate: Some(aggregate),
        };
        Some((aggregate.as_str(), numbers.get(&name, None, None).ok()?))
    };
    wanted.into_iter().filter_map(one).collect()
}

fn field_words(numbers: &Numbers, name: &str) -> String {
    let all = of_field(numbers, name);
    all.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect::<Vec<_>>().join(", ")
}

fn as_json(experiment: &str, numbers: &Numbers, outcome: Option<&Outcome>) -> Value {
    let events: Map<String, Value> = numbers.events().map(|(name, count)| (name.to_owned(), count.into())).collect();
    let field = |name: &str| {
        let all: Map<String, Value> =
            of_field(numbers, name).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        (name.to_owned(), Value::Object(all))
    };
    let fields: Map<String, Value> = numbers.fields().map(field).collect();
    json!({
        "experiment_id": experiment,
        "events": events,
        "fields": fields,
        "began_at": numbers.began_at().map(rfc3339),
        "last_updated": numbers.last_updated.map(rfc3339),
        "outcome": outcome,
    })
}

async fn document(bus: &SharedBus, key: &str) -> color_eyre::Result<Option<Document>> {
    match bus.get(&Key::new(key)).await {
        Ok(state) => Ok(state.and_then(known::document)),
        Err(BusError::ForeignType { .. }) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

fn clean(text: &str) -> String {
    sanitize_line(text, 120)
}
