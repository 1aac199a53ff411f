//! The connection to the server, made again where it is lost.
//!
//! Owns dialling, what is checked of a server before it is used, the back-off, and the connections that a call has to itself.
//! Must never repeat a call that may have reached the server, with one exception: a script that the server did not know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, PushInfo, PushKind, RedisError, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::check;
use super::fault;
use super::names::Names;
use super::script::{Script, Scripts};
use super::target::Target;
use super::value;
use super::wire::Wire;
use crate::bus::error::BusError;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Connections kept for calls that have one to themselves; more are made when needed and closed after use.
const SPARE_CONNECTIONS: usize = 32;
/// Somebody may flush the scripts again right after they were loaded.
const SCRIPT_TRIES: u32 = 3;
/// More than the callers that are usually in flight, so that none waits for room.
const PIPELINE: usize = 512;

/// The link to one server.
pub(super) struct Link {
    me: Weak<Self>,
    pub(super) target: Target,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    pub(super) patience: Duration,
    pub(super) closed: CancellationToken,
    live: Arc<RwLock<Option<Live>>>,
    redial: tokio::sync::Mutex<Redial>,
    dials: AtomicU64,
    spare: Mutex<Vec<Wire>>,
}

struct Live {
    number: u64,
    connection: MultiplexedConnection,
}

struct Redial {
    /// Spreads reconnects of many processes; nothing else depends on it.
    chance: fastrand::Rng,
    pause: Duration,
    not_before: Option<Instant>,
    last: Option<BusError>,
    /// Whether the server's permissions and schema were found good.
    proved: bool,
}

fn lose(live: &RwLock<Option<Live>>, number: u64) {
    let mut live = live.write().unwrap_or_else(PoisonError::into_inner);
    if live.as_ref().is_some_and(|live| live.number == number) {
        *live = None;
    }
}

impl Link {
    pub(super) fn new(target: Target, names: Names, patience: Duration) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            target,
            names,
            scripts: Scripts::new(),
            patience,
            closed: CancellationToken::new(),
            live: Arc::default(),
            redial: tokio::sync::Mutex::new(Redial {
                chance: fastrand::Rng::new(),
                pause: FIRST_PAUSE,
                not_before: None,
                last: None,
                proved: false,
            }),
            dials: AtomicU64::new(0),
            spare: Mutex::default(),
        })
    }

    /// Sends one command and awaits its answer, at most [`Link::patience`].
    pub(super) async fn send(&self, cmd: &Cmd) -> Result<Value, BusError> {
        match self.try_send(cmd).await? {
            Ok(value) => Ok(value),
            Err(error) => Err(fault::of_call(&error)),
        }
    }

    /// As [`Link::send`], with the server's own error.
    pub(super) async fn try_send(&self, cmd: &Cmd) -> Result<Result<Value, RedisError>, BusError> {
        let (number, mut connection) = self.connection().await?;
        let answer = match connection.send_packed_command(cmd).await {
            Ok(Value::ServerError(error)) => Err(RedisError::from(error)),
            other => other,
        };
        if let Err(error) = &answer
            && (error.is_io_error() || error.code() == Some("READONLY"))
        {
            self.lost(number);
        }
        Ok(answer)
    }

    /// Connects now, where that has not been done.
    pub(super) async fn open(&self) -> Result<(), BusError> {
        self.connection().await.map(drop)
    }

    /// Sends several commands in one go; an answer may be the server's error.
    pub(super) async fn send_all(&self, commands: impl Iterator<Item = &Cmd>) -> Result<Vec<Value>, BusError> {
        let (number, mut connection) = self.connection().await?;
        let mut pipeline = redis::pipe();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
        answers.map_err(|error| {
            if error.is_io_error() {
                self.lost(number);
            }
            fault::of_call(&error)
        })
    }

    /// Runs a script; `cmd` is a call of it.
    pub(super) async fn run(&self, script: &Script, cmd: &Cmd) -> Result<Value, BusError> {
        for _ in 0..SCRIPT_TRIES {
            match self.try_send(cmd).await? {
                Ok(value) => return Ok(value),
                Err(error) if error.code() != Some("NOSCRIPT") => return Err(fault::of_call(&error)),
                // The server has forgotten it, so nothing of it has happened.
                Err(_) => self.send(redis::cmd("SCRIPT").arg("LOAD").arg(script.text)).await?,
            };
        }
        self.send(cmd).await
    }

    fn lost(&self, number: u64) {
        lose(&self.live, number);
        self.spare().clear();
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Wire>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().map(|live| (live.number, live.connection.clone()))
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), BusError> {
        if self.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        if let Some(current) = self.current() {
            return Ok(current);
        }
        // A task of its own: whoever holds the lock on redialling must go on, also where the caller's future is not polled.
        let link = self.me.upgrade().ok_or(BusError::Closed)?;
        let redial = tokio::spawn(async move { link.reconnect().await });
        match tokio::time::timeout(self.patience, redial).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> BusError {
        BusError::Unreachable(format!("{} does not answer", self.target.location()))
    }

    async fn reconnect(&self) -> Result<(u64, MultiplexedConnection), BusError> {
        let seen = self.dials.load(Ordering::Acquire);
        let mut redial = self.redial.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if self.dials.load(Ordering::Acquire) != seen
            && let Some(error) = &redial.last
        {
            // Somebody else tried while we waited for our turn: the answer is ours too.
            return Err(error.clone());
        }
        if let (Some(at), Some(error)) = (redial.not_before, &redial.last) {
            if at > Instant::now() + self.patience {
                return Err(error.clone());
            }
            tokio::time::sleep_until(at).await;
        }
        let answer = self.establish(&mut redial).await;
        let number = self.dials.fetch_add(1, Ordering::AcqRel);
        match answer {
            Ok(connection) => {
                redial.pause = FIRST_PAUSE;
                redial.not_before = None;
                redial.last = None;
                Ok((number, connection))
            }
            Err(error) => {
                let spread = 0.75 + redial.chance.f64() / 2.0;
                redial.not_before = Some(Instant::now() + redial.pause.mul_f64(spread));
                redial.pause = (redial.pause * 2).min(LONGEST_PAUSE);
                redial.last = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn establish(&self, redial: &mut Redial) -> Result<MultiplexedConnection, BusError> {
        let number = self.dials.load(Ordering::Acquire);
        // Weak, for the slot holds the connection and the connection holds this.
        let live = Arc::downgrade(&self.live);
        let on_loss = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection
                && let Some(live) = live.upgrade()
            {
                lose(&live, number);
            }
            Ok::<(), ()>(())
        };
        let config = self.config().set_push_sender(on_loss).set_pipeline_buffer_size(PIPELINE);
        let mut connection = self.dial(&config).await?;
        let mut load = redis::pipe();
        for script in self.scripts.all() {
            load.cmd("SCRIPT").arg("LOAD").arg(script.text).ignore();
        }
        let loaded: Result<(), RedisError> = load.query_async(&mut connection).await;
        loaded.map_err(|error| fault::of_dial(&error, self.target.location()))?;
        if !redial.proved {
            check::permissions(&mut connection, &self.names, &self.scripts).await?;
            check::schema(&mut connection, &self.names).await?;
            redial.proved = true;
        }
        // Whatever was connected before is most likely lost too.
        self.spare().clear();
        *self.live.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Live { number, connection: connection.clone() });
        Ok(connection)
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience))
    }

    /// A new connection to a server that was looked at.
    async fn dial(&self, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, BusError> {
        let place = self.target.location();
        let client = self.target.client(self.patience).await?;
        let connecting = client.get_multiplexed_async_connection_with_config(config);
        let mut connection = tokio::time::timeout(self.patience, connecting)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| fault::of_dial(&error, place))?;
        let hello: Result<Value, RedisError> = redis::cmd("HELLO").query_async(&mut connection).await;
        let hello = hello.map_err(|error| fault::of_dial(&error, place))?;
        check::server(&value::pairs(hello)?, &self.target)?;
        Ok(connection)
    }

    /// Sends a command that may wait for up to `wait` in the server, on a connection of its own. If the future is dropped, the
    /// connection goes with it, and with it the server's waiting.
    pub(super) async fn wait_on(&self, cmd: &Cmd, wait: Duration) -> Result<Result<Value, RedisError>, BusError> {
        self.ask_alone(cmd, wait + self.patience.max(Duration::from_secs(2))).await
    }

    /// As [`Link::run`], on a connection of its own.
    pub(super) async fn run_alone(&self, script: &Script, cmd: &Cmd) -> Result<Value, BusError> {
        match self.ask_alone(cmd, self.patience).await? {
            Ok(value) => Ok(value),
            Err(error) if error.code() == Some("NOSCRIPT") => self.run(script, cmd).await,
            Err(error) => Err(fault::of_call(&error)),
        }
    }

    async fn ask_alone(&self, cmd: &Cmd, patience: Duration) -> Result<Result<Value, RedisError>, BusError> {
        // The shared connection tells whether the server is there, and holds the back-off.
        let (number, _) = self.connection().await?;
        let spare = std::iter::from_fn(|| self.spare().pop()).find_map(|mut wire| wire.is_open().then_some(wire));
        let mut wire = match spare {
            Some(wire) => wire,
            None => self.dial_wire().await?,
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(patience, wire.ask(cmd)) => {
                answer.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
            }
            () = self.closed.cancelled() => return Err(BusError::Closed),
        };
        if answer.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
            self.lost(number);
        } else {
            let mut spare = self.spare();
            if spare.len() < SPARE_CONNECTIONS {
                spare.push(wire);
            }
        }
        Ok(answer)
    }

    async fn dial_wire(&self) -> Result<Wire, BusError> {
        let client = self.target.client(self.patience).await?;
        let (wire, greeting) = tokio::time::timeout(self.patience, Wire::dial(&client))
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| fault::of_dial(&error, self.target.location()))?;
        check::server(&value::pairs(greeting)?, &self.target)?;
        Ok(wire)
    }

    /// A connection for hearing what is announced.
    pub(super) async fn pubsub(&self) -> Result<redis::aio::PubSub, BusError> {
        self.connection().await?;
        let client = self.target.client(self.patience).await?;
        tokio::time::timeout(self.patience, client.get_async_pubsub())
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| fault::of_dial(&error, self.target.location()))
    }

    /// Ends every wait; later calls fail.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.spare().clear();
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
