//! The tasks, one file each: input, answer, and what is wrong with an answer. Their rules of thumb stand beside them.

pub mod classify;
pub mod classify_reply;
pub mod decide;
pub mod design_experiment;
mod intents;
pub mod respond;
mod words;

pub use classify::{Classification, Classify, Verdict};
pub use classify_reply::{ClassifyReply, ReplyClass, ReplyKind};
pub use decide::{Action, Decide, Decision, Payload};
pub use design_experiment::{DesignExperiment, DesignInput, Designed};
pub use respond::{Reply, Respond};

/// Learns what the rules of thumb know from examples, so that no message has to wait for it. It takes some milliseconds, once.
pub fn learn() {
    intents::learn();
}
