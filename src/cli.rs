//! The command line: one file per verb below `cli/`.
//!
//! Owns the arguments, the way from them to a verb, and exit codes. Must never do a verb's work.
//!
//! How to add a verb: a file with `Args` (with an example) and `run`, a variant of `Command`, and an arm in `dispatch`; for one
//! that waits that is `runtime()?.block_on(verb::run(args, cx))`.

pub mod approvals;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod budget;
pub mod classify;
pub mod completions;
pub mod config;
pub mod context;
pub mod dead_letters;
pub mod decide;
pub mod decisions;
pub mod doctor;
pub mod eval;
pub mod experiments;
pub mod forget;
mod given;
pub mod groups;
mod handled;
pub mod hold;
pub mod keys;
pub mod metrics;
pub mod models;
pub mod notes;
pub mod open;
pub mod output;
pub mod publish;
pub mod record;
pub mod relocate;
pub mod replay;
pub mod restore;
pub mod room;
pub mod schedules;
pub mod schema;
pub mod screenshot;
pub mod secrets;
pub mod serve;
pub mod suppressions;
pub mod tail;
pub mod team;
#[cfg(test)]
mod testing;
pub mod themes;
pub mod tool;
pub mod tools;
pub mod trace;
pub mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use color_eyre::eyre::WrapErr;
use secrecy::SecretString;

use crate::bus::SharedBus;
use crate::config::{Config, Environment, Flag};
use crate::contracts::{Clock, Ids, SystemClock};
use crate::telemetry;
use output::Output;

/// A terminal control room that runs a whole go-to-market team of agents, and lets one person steer it.
///
/// Without a verb it opens the control room, with the services inside.
#[derive(Parser)]
#[command(name = "fullsend", version)]
pub struct Cli {
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    settings: SettingFlags,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags that override settings.
#[derive(clap::Args)]
#[command(next_help_heading = "Settings (see `fullsend config`)")]
struct SettingFlags {
    /// Settings file
    // Its id is its own: a verb's argument `file` would be taken for it.
    #[arg(id = "settings_file", long = "config", value_name = "FILE", global = true)]
    file: Option<PathBuf>,

    /// What the team may do without asking
    #[arg(long, value_name = "manual|guarded|autopilot", global = true)]
    mode: Option<SecretString>,

    /// Folder for all state
    #[arg(long, value_name = "DIR", global = true)]
    home: Option<SecretString>,

    /// Folder of the working files
    #[arg(long, value_name = "DIR", global = true)]
    context: Option<SecretString>,

    /// Where the bus is: `embedded`, or a URL (with a password: better in `REDIS_URL`)
    #[arg(long, visible_alias = "redis-url", value_name = "URL", global = true)]
    bus: Option<SecretString>,

    /// Stands before all keys and channels
    #[arg(long, value_name = "PREFIX", global = true)]
    prefix: Option<SecretString>,

    /// What a confirmed write on the embedded engine survives
    #[arg(long, value_name = "normal|full", global = true)]
    durability: Option<SecretString>,

    /// What is logged
    #[arg(long, value_name = "LEVEL", global = true)]
    log: Option<SecretString>,
}

impl SettingFlags {
    fn flags(&self) -> Vec<Flag> {
        given(&[
            ("mode", "--mode", &self.mode),
            ("home", "--home", &self.home),
            ("context", "--context", &self.context),
            ("bus.url", "--bus", &self.bus),
            ("bus.prefix", "--prefix", &self.prefix),
            ("bus.durability", "--durability", &self.durability),
            ("log.level", "--log", &self.log),
        ])
    }
}

/// The flags that were given, of these: setting, flag, value.
fn given(flags: &[(&'static str, &'static str, &Option<SecretString>)]) -> Vec<Flag> {
    flags.iter().filter_map(|(key, name, value)| Some(Flag { key, name, value: (*value).clone()? })).collect()
}

/// The verbs.
#[derive(Subcommand)]
enum Command {
    Attach(room::Args),
    Serve(serve::Args),
    Publish(publish::Args),
    Tail(tail::Args),
    Trace(trace::Args),
    Record(record::Args),
    Replay(replay::Args),
    Screenshot(screenshot::Args),
    Experiments(experiments::Args),
    Schedules(schedules::Args),
    Approvals(approvals::Args),
    Hold(hold::Args),
    Go(hold::GoArgs),
    Suppressions(suppressions::Args),
    Forget(forget::Args),
    Audit(audit::Args),
    DeadLetters(dead_letters::Args),
    Groups(groups::Args),
    Context(context::Args),
    Notes(notes::Args),
    Budget(budget::Args),
    Metrics(metrics::Args),
    Decide(decide::Args),
    Classify(classify::Args),
    Decisions(decisions::Args),
    Eval(eval::Args),
    Tools(tools::Args),
    Secrets(secrets::Args),
    Doctor(doctor::Args),
    Wiring(wiring::Args),
    Schema(schema::Args),
    Keys(keys::Args),
    Themes(themes::Args),
    Config(config::Args),
    Models(models::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Move(relocate::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Tool(tool::Args),
}

impl Command {
    /// Settings that this verb's own flags give.
    fn flags(&self) -> Vec<Flag> {
        if let Self::Serve(args) = self {
            given(&[("services.only", "--only", &args.only), ("services.except", "--except", &args.except)])
        } else {
            Vec::new()
        }
    }

    /// Whether this verb does work that is worth a log, and so needs the home.
    fn needs_log(&self) -> bool {
        match self {
            Self::Attach(_)
            | Self::Serve(_)
            | Self::Hold(_)
            | Self::Go(_)
            | Self::Restore(_)
            | Self::Move(_)
            | Self::Forget(_) => true,
            Self::Experiments(args) => args.changes(),
            Self::Approvals(args) => args.changes(),
            Self::DeadLetters(args) => args.changes(),
            Self::Groups(args) => args.changes(),
            Self::Notes(args) => args.changes(),
            Self::Budget(args) => args.changes(),
            Self::Tools(args) => args.changes(),
            Self::Suppressions(args) => args.changes(),
            _ => false,
        }
    }
}

/// What every verb gets.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<Ids>,
    /// Where to write.
    pub out: Output,
}

/// Runs the program: reads the arguments of this process, and hands over to a verb.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // It could not be read whether JSON is wanted; a look for the word says it.
        Err(said) => return Output::standard(std::env::args_os().any(|word| word == "--json")).clap(&said),
    };
    let out = Output::standard(cli.json);
    let environment = match Environment::of_process().wrap_err("the working folder is gone") {
        Ok(environment) => environment,
        Err(report) => return out.finish(Err(report)),
    };
    environment.secrets().iter().for_each(telemetry::register);
    match &cli.command {
        // These need no settings, so that they help where settings are broken.
        Some(Command::Completions(args)) => out.finish(completions::run(args, &out)),
        Some(Command::Config(args)) if args.template => out.finish(config::print_template(&out)),
        Some(Command::Wiring(args)) => out.finish(wiring::run(args, &out)),
        Some(Command::Schema(args)) => out.finish(schema::run(args, &out)),
        Some(Command::Keys(_)) => out.finish(keys::run(&out)),
        Some(Command::Themes(_)) => out.finish(themes::run(&out)),
        // A tool has nothing of ours.
        Some(Command::Tool(args)) => tool::run(args),
        _ => with_settings(&cli, &environment, out),
    }
}

/// Builds the settings and what else a verb needs, and runs it.
fn with_settings(cli: &Cli, environment: &Environment, out: Output) -> ExitCode {
    let mut flags = cli.settings.flags();
    flags.extend(cli.command.iter().flat_map(Command::flags));
    let config = match Config::load(environment, cli.settings.file.as_deref(), &flags) {
        Ok(config) => config,
        Err(err) => return out.finish(Err(err.into())),
    };
    config.secrets().iter().for_each(telemetry::register);
    // `doctor` lists them with what else it finds.
    if !matches!(cli.command, Some(Command::Doctor(_))) {
        config.findings().iter().for_each(|finding| out.finding(finding));
    }
    let log = if cli.command.as_ref().is_none_or(Command::needs_log) {
        telemetry::install(&config).map(Some)
    } else {
        Ok(None)
    };
    // Until the end: what waits for the log's file is written when it is dropped.
    let _log = match log {
        Ok(log) => log,
        Err(report) => return out.finish(Err(report)),
    };
    let cx = Context { config, clock: Arc::new(SystemClock), ids: Arc::new(Ids::random()), out };
    let ended = match &cli.command {
        None => enter(&cx, room::Where::Inside),
        Some(command) => dispatch(command, &cx),
    };
    cx.out.finish(ended)
}

/// Opens the control room.
fn enter(cx: &Context, at: room::Where) -> color_eyre::Result<ExitCode> {
    let runtime = runtime()?;
    let ended = runtime.block_on(room::run(cx, at));
    // What still reads the terminal, or was cut off, is not waited for.
    runtime.shutdown_background();
    ended
}

fn dispatch(command: &Command, cx: &Context) -> color_eyre::Result<ExitCode> {
    match command {
        Command::Attach(_) => enter(cx, room::Where::Elsewhere),
        Command::Serve(_) => {
            let runtime = runtime()?;
            let ended = runtime.block_on(serve::run(cx));
            // What was cut off is not waited for.
            runtime.shutdown_background();
            ended
        }
        Command::Publish(args) => publish::run(args, cx),
        Command::Tail(args) => tail::run(args, cx),
        Command::Trace(args) => trace::run(args, cx),
        Command::Record(args) => record::run(args, cx),
        Command::Replay(args) => replay::run(args, cx),
        Command::Screenshot(args) => screenshot::run(args, cx),
        Command::Experiments(args) => experiments::run(args, cx),
        Command::Schedules(args) => schedules::run(args, cx),
        Command::Approvals(args) => approvals::run(args, cx),
        Command::Hold(args) => hold::run(args, cx),
        Command::Go(args) => hold::run_go(args, cx),
        Command::Suppressions(args) => suppressions::run(args, cx),
        Command::Forget(args) => forget::run(args, cx),
        Command::Audit(args) => audit::run(args, cx),
        Command::DeadLetters(args) => dead_letters::run(args, cx),
        Command::Groups(args) => groups::run(args, cx),
        Command::Context(args) => context::run(args, cx),
        Command::Notes(args) => notes::run(args, cx),
        Command::Budget(args) => budget::run(args, cx),
        Command::Metrics(args) => metrics::run(args, cx),
        Command::Decide(args) => decide::run(args, cx),
        Command::Classify(args) => classify::run(args, cx),
        Command::Decisions(args) => decisions::run(args, cx),
        Command::Eval(args) => runtime()?.block_on(eval::run(args, cx)),
        Command::Tools(args) => runtime()?.block_on(tools::run(args, cx)),
        Command::Secrets(args) => secrets::run(args, cx),
        Command::Doctor(_) => runtime()?.block_on(doctor::run(cx)),
        Command::Backup(args) => runtime()?.block_on(backup::run(args, cx)),
        Command::Restore(args) => runtime()?.block_on(restore::run(args, cx)),
        Command::Move(args) => runtime()?.block_on(relocate::run(args, cx)),
        Command::Bench(args) => runtime()?.block_on(bench::run(args, cx)),
        Command::Wiring(args) => wiring::run(args, &cx.out),
        Command::Schema(args) => schema::run(args, &cx.out),
        Command::Config(_) => config::run(cx),
        Command::Models(args) => models::run(args, cx),
        Command::Keys(_) => keys::run(&cx.out),
        Command::Themes(_) => themes::run(&cx.out),
        Command::Completions(args) => completions::run(args, &cx.out),
        Command::Tool(args) => Ok(tool::run(args)),
    }
}

/// Runs a verb that needs the bus: opens it, and closes it after.
fn with_bus(
    cx: &Context,
    verb: impl AsyncFnOnce(&SharedBus) -> color_eyre::Result<ExitCode>,
) -> color_eyre::Result<ExitCode> {
    runtime()?.block_on(async {
        let bus = open::bus(cx).await?;
        let ended = verb(&bus).await;
        bus.close().await;
        ended
    })
}

/// The name of whoever runs this, for people.
fn operator() -> String {
    let name = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    name.unwrap_or_else(|| "operator".to_owned())
}

/// The runtime for a verb that waits: as many workers as the machine has cores, at least two.
///
/// # Errors
/// Where threads cannot be started.
pub fn runtime() -> color_eyre::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .thread_name("fullsend")
        .enable_all()
        .build()
        .wrap_err("the program's threads cannot be started")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_argument_has_the_name_of_a_setting() {
        let cli = Cli::command();
        let settings: Vec<_> =
            cli.get_arguments().filter(|it| it.is_global_set()).map(|it| it.get_id().clone()).collect();
        let mut verbs: Vec<&clap::Command> = cli.get_subcommands().collect();
        while let Some(verb) = verbs.pop() {
            for argument in verb.get_arguments().filter(|it| !it.is_global_set()) {
                assert!(!settings.contains(argument.get_id()), "`{}` of {}", argument.get_id(), verb.get_name());
            }
            verbs.extend(verb.get_subcommands());
        }
        let read = |words: &[&str]| Cli::try_parse_from(words).is_ok();
        assert!(read(&["fullsend", "approvals", "edit", "apr_1", "--file", "x.json"]));
        assert!(read(&["fullsend", "audit", "verify", "copy.jsonl"]));
    }

    #[test]
    fn every_verb_has_an_example() {
        for verb in Cli::command().get_subcommands() {
            let about = verb.get_long_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.contains("Example: fullsend "), "{} has none", verb.get_name());
        }
    }

    #[test]
    fn a_runtime_runs_tasks() {
        let runtime = runtime().unwrap();
        assert!(runtime.metrics().num_workers() >= 2);
        assert_eq!(runtime.block_on(async { tokio::spawn(async { 7 }).await.unwrap() }), 7);
    }
}
