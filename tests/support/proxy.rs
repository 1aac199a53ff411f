//! A TCP proxy between a client and a server that misbehaves on demand, as networks do.
//!
//! Include it by `#[path = "support/proxy.rs"] mod proxy;`. Must run inside a tokio runtime.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Each chunk waits for so long, in both directions.
    pub(crate) delay: Duration,
    /// Nothing arrives, and nobody is told: the bytes wait until this is over.
    pub(crate) black_hole: bool,
    /// No more bytes than this in one packet.
    pub(crate) slice: usize,
}

impl Weather {
    /// As a good network is.
    pub(crate) const FAIR: Self = Self { delay: Duration::ZERO, black_hole: false, slice: 64 * 1024 };
}

/// What happens to every open connection at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Both ends see it closed, in order.
    Close,
    /// Both ends see a reset.
    Reset,
    /// The client sees the end of the stream; what it sends still arrives.
    HalfCloseToClient,
    /// The server sees the end of the stream; what it sends still arrives.
    HalfCloseToServer,
}

/// A running proxy; it ends when dropped, and with it every connection.
pub(crate) struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    blows: broadcast::Sender<Blow>,
    accepting: JoinHandle<()>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Proxy {
    /// A proxy on a free port that leads to `target` on this machine. A target that is away closes connections at once.
    pub(crate) async fn start(target: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let weather = watch::Sender::new(Weather::FAIR);
        let blows = broadcast::Sender::new(16);
        let connections = Arc::<Mutex<Vec<JoinHandle<()>>>>::default();
        let (sky, wind, open) = (weather.clone(), blows.clone(), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let carried = carry(client, target, sky.subscribe(), wind.subscribe());
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                open.retain(|connection| !connection.is_finished());
                open.push(tokio::spawn(carried));
            }
        });
        Ok(Self { port, weather, blows, accepting, connections })
    }

    /// The port that clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes how bytes travel from now on, on open connections too.
    pub(crate) fn weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Does something to every open connection.
    pub(crate) fn blow(&self, blow: Blow) {
        // Nobody is connected: nothing happens to nobody.
        let _ = self.blows.send(blow);
    }

    /// Makes everything good again; broken connections stay broken.
    pub(crate) fn heal(&self) {
        self.weather(Weather::FAIR);
    }

    /// Something bad by chance, and what it was.
    pub(crate) fn chaos(&self, rng: &mut fastrand::Rng) -> String {
        match rng.u32(0..8) {
            0 => self.heal(),
            1 => self.weather(Weather { delay: Duration::from_millis(rng.u64(1..120)), ..Weather::FAIR }),
            2 => self.weather(Weather { black_hole: true, ..Weather::FAIR }),
            3 => self.weather(Weather { slice: rng.usize(1..40), ..Weather::FAIR }),
            4 => self.blow(Blow::Close),
            5 => self.blow(Blow::Reset),
            6 => self.blow(Blow::HalfCloseToClient),
            _ => {
                self.blow(Blow::HalfCloseToServer);
                return "proxy: HalfCloseToServer".to_owned();
            }
        }
        format!("proxy: {:?}", *self.weather.borrow())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for connection in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            connection.abort();
        }
    }
}

async fn carry(client: TcpStream, target: u16, sky: watch::Receiver<Weather>, mut wind: broadcast::Receiver<Blow>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (half, halves) = watch::channel(None);
    let up = copy(from_client, to_server, sky.clone(), halves.clone(), Blow::HalfCloseToServer);
    let down = copy(from_server, to_client, sky, halves, Blow::HalfCloseToClient);
    let mut both = Box::pin(async { tokio::join!(up, down) });
    loop {
        tokio::select! {
            (up, down) = &mut both => {
                drop((up, down));
                return;
            }
            blow = wind.recv() => match blow {
                Ok(Blow::Reset) => {
                    half.send_replace(Some(Blow::Reset));
                    both.await;
                    return;
                }
                Ok(Blow::Close) | Err(_) => return,
                Ok(other) => {
                    half.send_replace(Some(other));
                }
            }
        }
    }
}

/// Carries one direction until it ends, and gives both halves back, so that nothing is closed before its time.
async fn copy(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut sky: watch::Receiver<Weather>,
    mut blows: watch::Receiver<Option<Blow>>,
    mine: Blow,
) -> (tcp::OwnedReadHalf, tcp::OwnedWriteHalf) {
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        tokio::select! {
            biased;
            changed = blows.changed() => {
                let blow = *blows.borrow_and_update();
                if blow == Some(Blow::Reset) {
                    let _ = to.as_ref().set_zero_linger();
                    return (from, to);
                }
                if changed.is_err() || blow == Some(mine) {
                    let _ = to.shutdown().await;
                    // The other end may go on talking into the void, as it does behind a broken router.
                    while blow == Some(mine) && from.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                    return (from, to);
                }
            }
            read = from.read(&mut buffer) => {
                let Ok(count) = read else { break };
                if count == 0 || !deliver(&buffer[..count], &mut to, &mut sky).await {
                    break;
                }
            }
        }
    }
    let _ = to.shutdown().await;
    (from, to)
}

/// False where the receiving end is gone.
async fn deliver(bytes: &[u8], to: &mut tcp::OwnedWriteHalf, sky: &mut watch::Receiver<Weather>) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        if sky.wait_for(|weather| !weather.black_hole).await.is_err() {
            return false;
        }
        let weather = *sky.borrow();
        if !weather.delay.is_zero() {
            tokio::time::sleep(weather.delay).await;
        }
        let (now, later) = rest.split_at(rest.len().min(weather.slice.max(1)));
        if to.write_all(now).await.is_err() {
            return false;
        }
        if !later.is_empty() {
            tokio::task::yield_now().await;
        }
        rest = later;
    }
    true
}
