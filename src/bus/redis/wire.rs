//! A connection that one call at a time has to itself.
//!
//! What is asked is written, and what is answered is read, by the task that asks: no other task has to be woken in between. Owns the
//! greeting of such a connection. Must never be used again after a call on it was given up.

use std::io;

use futures::{FutureExt, SinkExt, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, RedisResult, Value, ValueCodec};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::codec::Framed;
use tokio_util::either::Either;

/// The connection.
pub(super) enum Wire {
    Plain(Framed<Either<TcpStream, UnixStream>, ValueCodec>),
    /// TLS is the client library's, which has a task of its own for each connection.
    Tls(MultiplexedConnection),
}

impl Wire {
    /// Connects. Returns the server's greeting, too.
    pub(super) async fn dial(client: &Client) -> RedisResult<(Self, Value)> {
        let info = client.get_connection_info();
        let socket = match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                Either::Left(socket)
            }
            ConnectionAddr::Unix(path) => Either::Right(UnixStream::connect(path).await?),
            _ => {
                // Whoever asks says how long an answer is awaited.
                let config = AsyncConnectionConfig::new().set_response_timeout(None);
                let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                let mut wire = Self::Tls(connection);
                let greeting = wire.ask(&redis::cmd("HELLO")).await?;
                return Ok((wire, greeting));
            }
        };
        let mut wire = Self::Plain(Framed::new(socket, ValueCodec::default()));
        let settings = info.redis_settings();
        let mut hello = redis::cmd("HELLO");
        hello.arg(3);
        if let Some(password) = settings.password() {
            hello.arg("AUTH").arg(settings.username().unwrap_or("default")).arg(password);
        }
        let greeting = wire.ask(&hello).await?;
        if settings.db() != 0 {
            wire.ask(redis::cmd("SELECT").arg(settings.db())).await?;
        }
        Ok((wire, greeting))
    }

    /// Whether the server has not closed it while nothing was asked.
    pub(super) fn is_open(&mut self) -> bool {
        match self {
            Self::Plain(wire) => wire.next().now_or_never().is_none(),
            Self::Tls(_) => true,
        }
    }

    /// Sends a command and reads its answer. If the future is dropped, the connection has to be dropped, too.
    pub(super) async fn ask(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::Plain(wire) => {
                wire.send(cmd.get_packed_command()).await?;
                loop {
                    match wire.next().await {
                        Some(Ok(Value::Push { .. })) => {}
                        Some(answer) => break answer?,
                        None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    }
                }
            }
            Self::Tls(connection) => connection.send_packed_command(cmd).await?,
        };
        match answer {
            Value::ServerError(error) => Err(error.into()),
            answer => Ok(answer),
        }
    }
}
