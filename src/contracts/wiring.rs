//! The one wiring table: each channel, what it carries, who says it, and which groups handle it.
//!
//! Owns the table of CONTRACTS "Channels". From it come the channel constants, the compile-time grants ([`Says`]), the groups
//! that engines create, and what `fullsend wiring` prints. Nothing is said outside it.

use super::body::{Body, BodyType};
use super::channel::{Channel, ChannelKind, ServiceName, grants};
use super::messages::{
    Alerts, ApprovalVerdicts, Approvals, Audit, BuilderResults, BuilderTasks, Control, Costs, DeadLetters, DiscordRaw,
    Echoes, ExecuteNow, ExperimentResults, Experiments, FromOrchestrator, Health, LlmCalls, Metrics, Proposals,
    RoundtableTopics, Schedules, ToFullsend, ToOrchestrator,
};

/// Somebody who may speak: the type that a service holds to say things in its own name.
pub trait Grant: Send + Sync + 'static {
    /// In whose name.
    const SERVICE: ServiceName;
}

/// The table grants this service the channel that carries `M`.
///
/// A message on a channel that the table does not grant does not compile:
///
/// ```
/// use fullsend::contracts::{Says, channel::grants, messages::ToOrchestrator};
/// fn may_say<G: Says<M>, M>() {}
/// may_say::<grants::Watcher, ToOrchestrator>();
/// ```
/// ```compile_fail,E0277
/// use fullsend::contracts::{Says, channel::grants, messages::ToOrchestrator};
/// fn may_say<G: Says<M>, M>() {}
/// may_say::<grants::Executor, ToOrchestrator>();
/// ```
#[diagnostic::on_unimplemented(message = "the wiring table does not let `{Self}` say `{M}`")]
pub trait Says<M>: Grant {}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The channel.
    pub channel: ChannelName,
    /// Work or notice.
    pub kind: ChannelKind,
    /// What it carries.
    pub types: &'static [BodyType],
    /// Who says it.
    pub publishers: &'static [ServiceName],
    /// Who must handle each message once. (Viewers are not listed: the control room and the verbs view every channel.)
    pub groups: &'static [ServiceName],
}

macro_rules! wiring {
    ($( $(#[$doc:meta])* $kind:ident $constant:ident $variant:ident = $text:literal carries $body:ident
        from [$($publisher:ident),* $(,)?] to [$($group:ident),* $(,)?]; )+) => {
        /// Every channel.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ChannelName { $( $(#[$doc])* $variant, )+ }

        impl ChannelName {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The full name, as it is on the bus.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }

            /// Its row in the table.
            pub const fn route(self) -> &'static Route {
                &WIRING[self as usize]
            }

            /// Reads a body as this channel's, and says of which type it is.
            ///
            /// # Errors
            /// As [`Body::read`].
            pub fn check(self, json: &str) -> Result<&'static str, super::ShapeError> {
                match self { $( Self::$variant => <$body as Body>::read(json).map(|body| body.type_name()), )+ }
            }
        }

        $( $(#[$doc])* pub const $constant: Channel<$body> = Channel::new(ChannelName::$variant); )+

        /// The table, in the order of [`ChannelName::ALL`].
        pub static WIRING: [Route; ChannelName::ALL.len()] = [ $( Route {
            channel: ChannelName::$variant,
            kind: ChannelKind::$kind,
            types: <$body as Body>::TYPES,
            publishers: &[$(ServiceName::$publisher),*],
            groups: &[$(ServiceName::$group),*],
        } ),+ ];

        $( $( impl Says<$body> for grants::$publisher {} )* )+
    };
}

wiring! {
    /// What people say, as it came.
    Work DISCORD_RAW DiscordRaw = "fullsend:discord_raw" carries DiscordRaw
        from [Discord, ControlRoom] to [Watcher];
    /// What the orchestrator must know or decide.
    Work TO_ORCHESTRATOR ToOrchestrator = "fullsend:to_orchestrator" carries ToOrchestrator
        from [Watcher, RedisAgent, Fullsend, Builder, Roundtable, ControlRoom, Orchestrator] to [Orchestrator];
    /// What the team says to people.
    Work FROM_ORCHESTRATOR FromOrchestrator = "fullsend:from_orchestrator" carries FromOrchestrator
        from [Orchestrator, Watcher, Builder, Gate, Fullsend, Executor] to [Discord];
    /// Ideas to design an experiment for.
    Work TO_FULLSEND ToFullsend = "fullsend:to_fullsend" carries ToFullsend
        from [Orchestrator, ControlRoom] to [Fullsend];
    /// Tools to make.
    Work BUILDER_TASKS BuilderTasks = "fullsend:builder_tasks" carries BuilderTasks
        from [Orchestrator, Fullsend] to [Builder];
    /// Tools made, or not; also one that was waited for and that a person has put into the folder.
    Work BUILDER_RESULTS BuilderResults = "fullsend:builder_results" carries BuilderResults
        from [Builder, Executor] to [Fullsend];
    /// Experiments published.
    Work EXPERIMENTS Experiments = "fullsend:experiments" carries Experiments
        from [Fullsend] to [Executor];
    /// Schedules published.
    Work SCHEDULES Schedules = "fullsend:schedules" carries Schedules
        from [Fullsend, Executor, Gate, Watcher] to [Executor];
    /// Experiments to run at once.
    Work EXECUTE_NOW ExecuteNow = "fullsend:execute_now" carries ExecuteNow
        from [Orchestrator, Fullsend, ControlRoom, Executor] to [Executor];
    /// What happened in runs, and business events.
    Work METRICS Metrics = "fullsend:metrics" carries Metrics
        from [Executor, ControlRoom, RedisAgent, Gate] to [RedisAgent];
    /// How runs ended.
    Work EXPERIMENT_RESULTS ExperimentResults = "fullsend:experiment_results" carries ExperimentResults
        from [Executor] to [Fullsend, Orchestrator];
    /// Questions for a debate.
    Work ROUNDTABLE Roundtable = "fullsend:roundtable" carries RoundtableTopics
        from [Orchestrator, ControlRoom] to [Roundtable];
    /// What needs a yes.
    Work PROPOSALS Proposals = "fullsend:proposals" carries Proposals
        from [Orchestrator, Fullsend, Builder, Executor, Memory, Ledger, Gate] to [Gate];
    /// What came of proposals.
    Work APPROVALS Approvals = "fullsend:approvals" carries Approvals
        from [Gate] to [Orchestrator, Fullsend, Builder, Executor, Discord];
    /// A person's answers to proposals.
    Work APPROVAL_VERDICTS ApprovalVerdicts = "fullsend:approval_verdicts" carries ApprovalVerdicts
        from [ControlRoom, Discord] to [Gate];
    /// Orders: kill, restore, pause, resume, hold, go, acknowledge, budgets.
    Work CONTROL Control = "fullsend:control" carries Control
        from [ControlRoom, Discord, Orchestrator, Watcher] to [Gate];
    /// What somebody should look at.
    Work ALERTS Alerts = "fullsend:alerts" carries Alerts
        from [RedisAgent, Gate, Ledger, Supervisor, Bus, Orchestrator, Memory, Fullsend, Executor] to [Discord];
    /// What was approved, denied, ordered and done, in a chain of hashes.
    Work AUDIT Audit = "fullsend:audit" carries Audit
        from [Gate] to [];
    /// Messages that could not be handled, with the reason.
    Work DEAD_LETTER DeadLetter = "fullsend:dead_letter" carries DeadLetters
        from [Bus] to [];
    /// Questions whether the bus and its consumers are alive, and the answers.
    Work ECHO Echo = "fullsend:echo" carries Echoes
        from [ControlRoom, Echo] to [Echo];
    /// Model calls as they happen.
    Notice LLM_CALLS LlmCalls = "fullsend:llm_calls" carries LlmCalls
        from [Watcher, Orchestrator, Fullsend, Builder, RedisAgent, Roundtable, ControlRoom, Executor] to [];
    /// Heartbeats and states of the services.
    Notice HEALTH Health = "fullsend:health" carries Health
        from [Supervisor] to [];
    /// What was spent.
    Notice COSTS Costs = "fullsend:costs" carries Costs
        from [Ledger] to [];
}
