//! Everything that is said on the bus: channels, messages, ids, schemas, the key table, and who may say what to whom.
//!
//! Owns names and shapes. Imports nothing of ours and does no I/O; a service, an engine or a screen must never define a
//! channel, a message type or a key of its own.

pub mod body;
pub mod canonical;
pub mod channel;
pub mod clock;
pub mod envelope;
pub mod gist;
pub mod ids;
pub mod keys;
pub mod lifecycle;
pub mod messages;
pub mod money;
pub mod notes;
pub mod schema;
pub mod topology;
pub mod untrusted;
pub mod wiring;

pub use body::{Body, BodyType, ShapeError};
pub use channel::{Channel, ChannelKind, ChannelName, ServiceName, UnknownName};
pub use clock::{Clock, ManualClock, SystemClock, TokioClock};
pub use envelope::{Envelope, Priority, Trust};
pub use ids::{Ids, MessageId, TraceId};
pub use untrusted::Untrusted;
pub use wiring::{Grant, Says, WIRING};
