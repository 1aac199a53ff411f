//! Opens the bus that the settings name.
//!
//! Owns the choice of the engine. Must never start anything on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Section;
use color_eyre::eyre::WrapErr;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::approvals::policy::Limits;
use crate::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use crate::bus::redis::{RedisBus, RedisOptions};
use crate::bus::{BusError, ConsumerOptions, SharedBus};
use crate::config::{Durability, LlmConfig, Switch};
use crate::contracts::{ServiceName, Trust};
use crate::llm::ledger::{Ledger, Prices};
use crate::llm::{Asking, Mind, MindParts};
use crate::services::gate::GateOptions;
use crate::tools::registry::Registry;
use crate::tools::runner::{self, Runner, RunnerParts};
use crate::tools::sandbox::{self, Sandbox};
use crate::tools::secrets::Secrets;
use crate::tools::shipped;

/// The bus of the settings.
///
/// # Errors
/// Where it cannot be used: unreachable, of a wrong version, a file that cannot be opened.
pub async fn bus(cx: &Context) -> color_eyre::Result<SharedBus> {
    at(cx, cx.config.bus.url.as_ref()).await
}

/// The bus at this URL, or the embedded one of the home.
///
/// # Errors
/// As [`bus()`].
pub async fn at(cx: &Context, url: Option<&SecretString>) -> color_eyre::Result<SharedBus> {
    let opened: Result<SharedBus, BusError> = if let Some(url) = url {
        let options = RedisOptions {
            url: url.clone(),
            prefix: cx.config.bus.prefix.clone(),
            response_timeout: cx.config.bus.response_timeout,
            ca_file: cx.config.bus.ca.clone(),
            sentinel_password: cx.config.bus.sentinel_password.clone(),
            clock: Arc::clone(&cx.clock),
        };
        RedisBus::connect(options).await.map(|bus| Arc::new(bus) as SharedBus)
    } else {
        cx.config.make_home().suggestion("Choose another folder with `--home DIR`, or make this one writable")?;
        let options = EmbeddedOptions {
            durability: match cx.config.bus.durability {
                Durability::Normal => crate::bus::embedded::Durability::Normal,
                Durability::Full => crate::bus::embedded::Durability::Full,
            },
            ..EmbeddedOptions::new(cx.config.store(), Arc::clone(&cx.clock))
        };
        // Opening reads and may repair the file; that must not hold up the runtime.
        let opened = tokio::task::spawn_blocking(move || EmbeddedBus::open(options)).await?;
        opened.map(|bus| {
            for said in bus.opened().sentences() {
                cx.out.remark(&format!("warning: {said}"));
            }
            Arc::new(bus) as SharedBus
        })
    };
    opened
        .wrap_err("the bus cannot be opened")
        .suggestion("`fullsend doctor` says more; `fullsend config` shows which bus is meant")
}

/// The ledger of this bus. A file of prices that cannot be used is said.
pub fn ledger(cx: &Context, bus: &SharedBus) -> Ledger {
    let files = cx.config.price_files();
    let (prices, findings) = Prices::load(files.iter().map(PathBuf::as_path));
    for finding in &findings {
        cx.out.finding(finding);
    }
    Ledger::new(Arc::clone(bus), prices, cx.config.budget.clone(), Arc::clone(&cx.clock), Arc::clone(&cx.ids))
}

/// How consumers work, by the settings.
pub fn consumer_options(cx: &Context) -> ConsumerOptions {
    let consumer = &cx.config.consumer;
    ConsumerOptions {
        stale_after: consumer.stale_after,
        heartbeat: consumer.heartbeat,
        max_attempts: consumer.max_attempts,
        handler_timeout: consumer.handler_timeout,
        host: host(),
        drain: Duration::from_secs(10),
        ..ConsumerOptions::default()
    }
}

/// How the gate asks, by the settings.
pub fn gate_options(cx: &Context) -> GateOptions {
    let approvals = &cx.config.approvals;
    GateOptions {
        mode: cx.config.mode,
        limits: Limits { per_day: approvals.autopilot_per_day, cents: approvals.autopilot_cents },
        deadline: approvals.deadline,
        outward_deadline: approvals.outward_deadline,
    }
}

/// The name of this machine, fit to stand in a consumer's name.
pub fn host() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(60).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// A mind that asks as the settings say; with a bus it journals, and counts what is spent.
///
/// # Errors
/// Where a prompt of the context folder cannot be used.
pub fn mind(cx: &Context, bus: Option<&SharedBus>) -> color_eyre::Result<Mind> {
    mind_of(cx.config.llm.clone(), cx, bus)
}

/// The same, with these settings of the models in the place of the person's.
///
/// # Errors
/// As [`mind()`].
pub fn mind_of(config: LlmConfig, cx: &Context, bus: Option<&SharedBus>) -> color_eyre::Result<Mind> {
    Mind::new(MindParts {
        config,
        context: cx.config.context.clone(),
        bus: bus.map(Arc::clone),
        ledger: bus.map(|bus| ledger(cx, bus)),
        clock: Arc::clone(&cx.clock),
        ids: Arc::clone(&cx.ids),
    })
}

/// Which tools there are.
pub fn registry(cx: &Context) -> Registry {
    Registry::new(cx.config.tools_folder(), shipped::MANIFESTS)
}

/// Where the secrets of tools are.
pub fn secrets(cx: &Context) -> Secrets {
    let variable = |name: &str| std::env::var(name).ok();
    Secrets::new(&cx.config.home, cx.config.tools.secrets_command.clone(), Arc::new(variable))
}

/// How tools are shut in.
pub fn sandbox(cx: &Context) -> Sandbox {
    let tools = &cx.config.tools;
    Sandbox::new(sandbox::Options {
        // Where it cannot be told, nothing can be shut in, and so nothing runs.
        program: std::env::current_exe().unwrap_or_default(),
        unsandboxed: tools.unsandboxed == Switch::On,
        // The settings have checked them.
        allow_private: tools.allow_private.iter().filter_map(|place| place.parse().ok()).collect(),
    })
}

/// Who runs tools, by the settings.
pub fn runner(cx: &Context) -> Runner {
    let executor = &cx.config.executor;
    let forbidden = [Some(cx.config.home.clone()), cx.config.file.clone()].into_iter().flatten().collect();
    Runner::new(RunnerParts {
        registry: registry(cx),
        secrets: secrets(cx),
        sandbox: Arc::new(sandbox(cx)),
        work: cx.config.work_folder(),
        forbidden,
        limits: runner::Limits {
            timeout: executor.tool_execution_timeout,
            attempts: executor.retry_max_attempts,
            pause: executor.retry_backoff_min,
            longest_pause: executor.retry_backoff_max,
        },
        rng: fastrand::Rng::new(),
    })
}

/// Who asks where a verb does.
pub fn asking(trust: Trust) -> Asking {
    let (message, trace) = (None, None);
    Asking { service: ServiceName::ControlRoom, message, trace, trust, stop: CancellationToken::new() }
}
