//! The tool's network, inside: one listener on its own loopback for each place that it may speak to.
//!
//! What connects there is handed through a socket to the runner outside, which dials ([`super::dial`]). This process stays beside the tool
//! and gives its exit code. Must never decide what may be reached: there is no network here to reach it by.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Command;

use super::inside::{Policy, next};
use super::{Route, SOCKET};

/// Connections that are waiting to be taken.
const BACKLOG: u32 = 64;

/// Listens, starts the tool beside, and gives its exit code.
pub(super) fn run(policy: &Policy, argv: &[OsString]) -> Result<u8, String> {
    // Who ends the tool gently means the tool: the relay goes with it.
    SigSet::from(Signal::SIGTERM).thread_block().map_err(|err| format!("signals: {err}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| format!("the relay cannot be started: {err}"))?;
    let code = runtime.block_on(beside(policy, argv));
    runtime.shutdown_background();
    code
}

async fn beside(policy: &Policy, argv: &[OsString]) -> Result<u8, String> {
    // All listen before the tool begins: it never meets a closed door.
    for route in &policy.routes {
        let listener = listen(route).map_err(|err| format!("the place {} cannot be listened for: {err}", route.to))?;
        tokio::spawn(serve(listener, route.to.clone()));
    }
    let (program, words) = next(policy, argv)?;
    let mut command = Command::new(program);
    let mut child = command.args(words).spawn().map_err(|err| format!("the tool cannot be started: {err}"))?;
    let status = child.wait().await.map_err(|err| format!("the tool cannot be waited for: {err}"))?;
    // As a shell gives it.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

fn listen(route: &Route) -> std::io::Result<TcpListener> {
    let at = SocketAddr::new(route.address, route.port);
    let socket = if at.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

async fn serve(listener: TcpListener, to: String) {
    loop {
        // Too many open files: the next one may find some closed.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let to = to.clone();
        // What cannot be reached looks as if it had hung up; the runner tells why.
        tokio::spawn(async move { hand_over(stream, &to).await.ok() });
    }
}

async fn hand_over(mut stream: TcpStream, to: &str) -> std::io::Result<()> {
    let outside = UnixStream::connect(Path::new(SOCKET)).await?;
    let mut outside = BufReader::new(outside);
    outside.get_mut().write_all(format!("{to}\n").as_bytes()).await?;
    let mut answer = String::new();
    outside.read_line(&mut answer).await?;
    if answer.trim() == "ok" {
        stream.set_nodelay(true)?;
        copy_bidirectional(&mut stream, &mut outside).await?;
    }
    Ok(())
}
