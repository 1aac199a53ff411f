//! The tasks, one file each: input, answer, and what is wrong with an answer. Their rules of thumb stand beside them.

pub mod classify;
pub mod classify_reply;
pub mod decide;
pub mod respond;
mod words;

pub use classify::{Classification, Classify, Verdict};
pub use classify_reply::{ClassifyReply, ReplyClass, ReplyKind};
pub use decide::{Action, Decide, Decision, Payload};
pub use respond::{Reply, Respond};
