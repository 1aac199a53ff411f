//! Interim.
use crate::contracts::body::{Example, bodies};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Any fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Free {
    /// All of them.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}
impl Example for Free {
    fn example() -> Self {
        Self { fields: serde_json::Map::new() }
    }
}
macro_rules! interim {
    ($($name:ident $variant:ident $text:literal;)*) => { $( bodies! {
        /// Interim.
        $name, default $text { /** Interim. */ $variant(Free) = $text }
    } )* };
}
interim! {
    DiscordRaw DiscordMessage "discord_message";
    ToOrchestrator Escalation "escalation";
    FromOrchestrator OrchestratorResponse "orchestrator_response";
    ToFullsend ExperimentRequest "experiment_request";
    BuilderTasks ToolPrd "tool_prd";
    BuilderResults ToolBuilt "tool_built";
    Experiments ExperimentCreated "experiment_created";
    Schedules ScheduleCreated "schedule_created";
    ExecuteNow ExecuteNow "execute_now";
    Metrics RunStarted "run_started";
    ExperimentResults ExperimentCompleted "experiment_completed";
    RoundtableTopics RoundtableTopic "roundtable_topic";
    Proposals Proposal "proposal";
    Approvals ApprovalCreated "approval_created";
    ApprovalVerdicts ApprovalVerdict "approval_verdict";
    Control KillExperiment "kill_experiment";
    LlmCalls LlmStart "llm_start";
    Costs CostRecorded "cost_recorded";
}
