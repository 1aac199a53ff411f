//! Effects: what a handler wants to happen, composed with the envelopes that tie it to its cause.
//!
//! Owns how envelopes are made. A message on a channel that the wiring table does not grant to `G` does not compile. Must never
//! commit anything itself: the consumer loop does, together with the acknowledgement.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::commit::{Expect, Op, Outgoing, StateChange, Timer, Ttl};
use super::state::Key;
use crate::contracts::{
    Body, Channel, Clock, Envelope, Grant, Ids, MessageId, Priority, Says, ShapeError, TraceId, Trust,
};

/// A message before it has an envelope.
#[derive(Debug, Clone)]
pub struct Draft<M> {
    body: M,
    priority: Option<Priority>,
    subject: Option<String>,
    trust: Option<Trust>,
    expires_at: Option<DateTime<Utc>>,
}

impl<M> Draft<M> {
    /// This body, with what its cause passes on.
    pub fn new(body: M) -> Self {
        Self { body, priority: None, subject: None, trust: None, expires_at: None }
    }

    /// How soon it wants to be handled; otherwise as soon as its cause.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// What it is about; otherwise what its cause was about.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The trust of what it quotes; it never rises above its cause's.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Not handled after this.
    #[must_use]
    pub fn expires_at(mut self, at: DateTime<Utc>) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl<M: Body> From<M> for Draft<M> {
    fn from(body: M) -> Self {
        Self::new(body)
    }
}

/// What every message of one origin has in common: whose it is, and what caused it.
#[derive(Clone)]
pub struct Origin {
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    cause: Option<Cause>,
    trust: Trust,
}

#[derive(Clone)]
struct Cause {
    id: MessageId,
    trace: TraceId,
    subject: Option<String>,
    priority: Priority,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("cause", &self.cause.as_ref().map(|cause| cause.id)).finish_non_exhaustive()
    }
}

impl Origin {
    /// The start of chains, with this trust.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<Ids>, trust: Trust) -> Self {
        Self { clock, ids, cause: None, trust }
    }

    /// What is said because of this message: same trace, and no more trust than it has.
    #[must_use]
    pub fn caused_by(&self, cause: &Envelope) -> Self {
        Self {
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            trust: self.trust.and(cause.trust),
            cause: Some(Cause {
                id: cause.id,
                trace: cause.trace,
                subject: cause.subject.clone(),
                priority: cause.priority,
            }),
        }
    }

    /// The same, with no more trust than this.
    #[must_use]
    pub fn trusting(&self, trust: Trust) -> Self {
        Self { trust: self.trust.and(trust), ..self.clone() }
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The chain that this belongs to; none at the start of one.
    pub fn trace(&self) -> Option<TraceId> {
        self.cause.as_ref().map(|cause| cause.trace)
    }

    /// An envelope for something that `source` says now.
    pub fn envelope(&self, kind: impl Into<Cow<'static, str>>, source: impl Into<Cow<'static, str>>) -> Envelope {
        let at = self.clock.now();
        let id = self.ids.message(at);
        let cause = self.cause.as_ref();
        Envelope {
            id,
            kind: kind.into(),
            v: 1,
            source: source.into(),
            at,
            trace: cause.map_or_else(|| id.into(), |cause| cause.trace),
            cause: cause.map(|cause| cause.id),
            subject: cause.and_then(|cause| cause.subject.clone()),
            priority: cause.map(|cause| cause.priority).unwrap_or_default(),
            trust: self.trust,
            expires_at: None,
        }
    }

    /// A message of `G`'s, ready to go.
    ///
    /// # Errors
    /// Where the body is too large.
    pub fn compose<G: Says<M>, M: Body>(
        &self,
        channel: Channel<M>,
        draft: impl Into<Draft<M>>,
    ) -> Result<Outgoing, ShapeError> {
        let draft = draft.into();
        let mut envelope = self.envelope(draft.body.type_name(), G::SERVICE.as_str());
        if let Some(priority) = draft.priority {
            envelope.priority = priority;
        }
        if draft.subject.is_some() {
            envelope.subject = draft.subject;
        }
        if let Some(trust) = draft.trust {
            envelope.trust = envelope.trust.and(trust);
        }
        envelope.expires_at = draft.expires_at;
        Outgoing::new(channel.name, envelope, draft.body.write()?)
    }
}

/// What a handler wants to happen. Committed with the acknowledgement of its message, all of it or nothing.
#[derive(Debug)]
pub struct Effects<G> {
    origin: Origin,
    ops: Vec<Op>,
    speaks_as: PhantomData<fn() -> G>,
}

impl<G: Grant> Effects<G> {
    /// None yet.
    pub fn new(origin: Origin) -> Self {
        Self { origin, ops: Vec::new(), speaks_as: PhantomData }
    }

    /// Says a message.
    ///
    /// # Errors
    /// Where the body is too large.
    pub fn send<M: Body>(&mut self, channel: Channel<M>, draft: impl Into<Draft<M>>) -> Result<MessageId, ShapeError>
    where
        G: Says<M>,
    {
        let message = self.origin.compose::<G, M>(channel, draft)?;
        let id = message.envelope.id;
        self.ops.push(Op::Append(message));
        Ok(id)
    }

    /// Says a message at a time. A timer with the same id is replaced.
    ///
    /// # Errors
    /// Where the body is too large.
    pub fn send_at<M: Body>(
        &mut self,
        timer: impl Into<String>,
        at: DateTime<Utc>,
        channel: Channel<M>,
        draft: impl Into<Draft<M>>,
    ) -> Result<(), ShapeError>
    where
        G: Says<M>,
    {
        let message = self.origin.compose::<G, M>(channel, draft)?;
        self.ops.push(Op::Schedule(Timer { id: timer.into(), at, message }));
        Ok(())
    }

    /// Takes a timer back.
    pub fn cancel(&mut self, timer: impl Into<String>) {
        self.ops.push(Op::Cancel { timer: timer.into() });
    }

    /// Changes a document: fields to set and to remove, if it is as expected. On a conflict the handler runs again.
    pub fn change(&mut self, key: Key, expect: Expect, fields: Vec<(String, Option<String>)>, ttl: Ttl) {
        self.ops.push(Op::Change { key, expect, fields, ttl });
    }

    /// Adds to a counter, never above its ceiling.
    pub fn add(&mut self, key: Key, field: impl Into<String>, n: i64, ceiling: Option<i64>) {
        self.ops.push(Op::Add { key, field: field.into(), n, ceiling });
    }

    /// Changes a list, set, sorted set or string.
    pub fn state(&mut self, key: Key, change: StateChange) {
        self.ops.push(Op::State { key, change });
    }

    /// Removes what stands under a key.
    pub fn delete(&mut self, key: Key, expect: Expect) {
        self.ops.push(Op::Delete { key, expect });
    }

    /// What others want to happen too, after this.
    pub fn join(&mut self, others: Self) {
        self.ops.extend(others.ops);
    }

    /// What was prepared elsewhere (a note's new version) happens too.
    pub fn extend(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.ops.extend(ops);
    }

    /// The time at which they are composed.
    pub fn now(&self) -> DateTime<Utc> {
        self.origin.now()
    }

    /// What is to happen, in order.
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    /// Whose effects they are: their cause, their clock.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}
