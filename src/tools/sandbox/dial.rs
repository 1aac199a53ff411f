//! The tool's network, outside: whoever dials for it.
//!
//! Owns one socket a run, through which the relay inside asks for a place by name. Each place is looked up here, each time, and the very
//! address that was looked at is dialled, so that a name cannot point elsewhere a moment later. Must never dial a place that the run does
//! not name, nor a private, loopback or link-local address that the operator did not allow.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::hosts_file;
use crate::config::private_folder;
use crate::contracts::untrusted::sanitize_line;
use crate::tools::manifest::HostPort;

/// Connections of one run at once.
const CONNECTIONS: usize = 64;
/// How long a place may take to be found and to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of a place's name.
const NAME_LIMIT: usize = 300;
/// Refusals that are told of.
const TOLD: usize = 20;

/// What a run may reach, and what became of its tries.
#[derive(Debug)]
pub struct Places {
    named: BTreeSet<String>,
    private: BTreeSet<String>,
    troubles: Mutex<Troubles>,
}

/// What went wrong.
#[derive(Debug, Clone, Default)]
pub struct Troubles {
    /// In words, each once.
    pub said: Vec<String>,
    /// Whether a place that may be reached could not be: another try may find it.
    pub unreachable: bool,
}

impl Places {
    /// The places that a run names, and those of them that may be private.
    pub fn new(named: &[HostPort], private: &[HostPort]) -> Self {
        let texts = |places: &[HostPort]| places.iter().map(ToString::to_string).collect();
        Self { named: texts(named), private: texts(private), troubles: Mutex::default() }
    }

    /// What went wrong until now.
    pub fn troubles(&self) -> Troubles {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn trouble(&self, said: String, unreachable: bool) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.unreachable |= unreachable;
        if troubles.said.len() < TOLD && !troubles.said.contains(&said) {
            troubles.said.push(said);
        }
    }

    /// Connects to a place.
    async fn dial(&self, to: &str) -> Option<TcpStream> {
        let shown = sanitize_line(to, 100);
        if !self.named.contains(to) {
            self.trouble(format!("{shown} is none of the places that this run names"), false);
            return None;
        }
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(to)).await;
        let addresses: Vec<SocketAddr> = match found {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(err)) => {
                self.trouble(format!("{shown} was not found: {err}"), true);
                return None;
            }
            Err(_) => {
                self.trouble(format!("{shown} was not found within {} s", PATIENCE.as_secs()), true);
                return None;
            }
        };
        let may_be_private = self.private.contains(to);
        let mut last = None;
        for address in addresses {
            if !may_be_private && is_private(address.ip()) {
                let why =
                    format!("{shown} is at the private address {}; tools.allow_private may name it", address.ip());
                self.trouble(why, false);
                continue;
            }
            match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(err)) => last = Some(err.to_string()),
                Err(_) => last = Some(format!("it did not answer within {} s", PATIENCE.as_secs())),
            }
        }
        if let Some(why) = last {
            self.trouble(format!("{shown} cannot be reached: {why}"), true);
        }
        None
    }
}

/// The socket of one run, and its files; gone when dropped.
#[derive(Debug)]
pub struct Dialler {
    folder: PathBuf,
    /// What it may reach.
    pub places: Arc<Places>,
    _connections: JoinSet<()>,
}

impl Dialler {
    /// Opens the socket for a run's places in a folder of its own, `name` below the folder for temporary files: the path of a socket must
    /// be short.
    ///
    /// # Errors
    /// Where the folder or the socket cannot be made.
    pub fn open(name: &str, hosts: &[HostPort], private: &[HostPort]) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("fullsend-{name}"));
        // Somebody else's folder of this name is not ours to use.
        if folder.symlink_metadata().is_ok() {
            return Err(io::Error::other(format!("{} is there already", folder.display())));
        }
        private_folder(&folder)?;
        let places = Arc::new(Places::new(hosts, private));
        let mut connections = JoinSet::new();
        let opened = fs::write(folder.join("hosts"), hosts_file(hosts))
            .and_then(|()| fs::write(folder.join("nsswitch.conf"), "hosts: files\n"))
            .and_then(|()| UnixListener::bind(folder.join("net.sock")));
        match opened {
            Ok(listener) => {
                connections.spawn(serve(listener, Arc::clone(&places)));
                Ok(Self { folder, places, _connections: connections })
            }
            Err(err) => {
                fs::remove_dir_all(&folder).ok();
                Err(err)
            }
        }
    }

    /// The folder with the socket and the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Dialler {
    fn drop(&mut self) {
        // Where it cannot be removed it is an empty socket of nobody.
        fs::remove_dir_all(&self.folder).ok();
    }
}

async fn serve(listener: UnixListener, places: Arc<Places>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let places = Arc::clone(&places);
        connections.spawn(async move {
            let _permit = permit;
            // Either side may hang up at any time.
            connect(stream, &places).await.ok();
        });
    }
}

async fn connect(mut inside: UnixStream, places: &Places) -> io::Result<()> {
    let mut name = Vec::new();
    loop {
        match inside.read_u8().await? {
            b'\n' => break,
            _ if name.len() == NAME_LIMIT => return Ok(()),
            byte => name.push(byte),
        }
    }
    let Some(mut outside) = places.dial(&String::from_utf8_lossy(&name)).await else {
        return Ok(());
    };
    outside.set_nodelay(true)?;
    inside.write_all(b"ok\n").await?;
    copy_bidirectional(&mut inside, &mut outside).await?;
    Ok(())
}

/// Whether an address is one that is not of the public network: of this machine, of a private one, of nobody (RFC 6890).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // This network, shared (carrier's) space, protocol assignments, old 6to4 relays, benchmarks, reserved.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let four = |at: usize| is_private_v4(Ipv4Addr::from((u32::from(parts[at]) << 16) | u32::from(parts[at + 1])));
    match parts {
        // Addresses of version 4 in the clothes of version 6: as such, mapped, translated, tunnelled.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, ..] => four(6),
        [0x2002, ..] => four(1),
        [0x2001, 0 | 0xdb8, ..] => true,
        // Unique local, link-local, site-local, multicast, discard.
        [first, ..] => {
            first & 0xfe00 == 0xfc00
                || matches!(first & 0xffc0, 0xfe80 | 0xfec0)
                || first & 0xff00 == 0xff00
                || first == 0x100
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1")]
    #[case("10.1.2.3")]
    #[case("172.16.0.1")]
    #[case("192.168.1.1")]
    #[case("169.254.169.254")]
    #[case("100.64.0.1")]
    #[case("0.0.0.0")]
    #[case("224.0.0.1")]
    #[case("255.255.255.255")]
    #[case("198.18.0.1")]
    #[case("::1")]
    #[case("::")]
    #[case("fe80::1")]
    #[case("fd00::1")]
    #[case("ff02::1")]
    #[case("::ffff:127.0.0.1")]
    #[case("::ffff:169.254.169.254")]
    #[case("64:ff9b::a00:1")]
    #[case("2002:7f00:1::")]
    #[case("::7f00:1")]
    fn private_in_whatever_clothes(#[case] address: &str) {
        assert!(is_private(address.parse().unwrap()));
    }

    #[rstest]
    #[case("8.8.8.8")]
    #[case("172.32.0.1")]
    #[case("100.128.0.1")]
    #[case("2606:4700::1111")]
    #[case("64:ff9b::808:808")]
    #[case("::ffff:8.8.8.8")]
    fn public(#[case] address: &str) {
        assert!(!is_private(address.parse().unwrap()));
    }

    #[tokio::test]
    async fn only_what_is_named_and_allowed_is_dialled() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = HostPort { host: "localhost".to_owned(), port: server.local_addr().unwrap().port() };
        let named = [place.clone()];
        let refusing = Places::new(&named, &[]);
        assert!(refusing.dial(&place.to_string()).await.is_none());
        let troubles = refusing.troubles();
        assert!(troubles.said[0].contains("is at the private address") && !troubles.unreachable, "{troubles:?}");
        let allowing = Places::new(&named, &named);
        assert!(allowing.dial(&place.to_string()).await.is_some());
        assert!(allowing.dial("127.0.0.1:1").await.is_none());
        assert!(allowing.troubles().said[0].contains("none of the places"));
    }

    #[tokio::test]
    async fn the_socket_and_its_folder_are_gone_after_it() {
        let name = format!("test-{}", std::process::id());
        let dialler = Dialler::open(&name, &["a.example:443".parse().unwrap()], &[]).unwrap();
        let folder = dialler.folder().to_owned();
        assert!(folder.join("net.sock").exists() && folder.join("hosts").exists());
        assert!(Dialler::open(&name, &[], &[]).is_err(), "a folder that is there is not used");
        drop(dialler);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn what_does_not_answer_may_do_so_later() {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = HostPort { host: "127.0.0.1".to_owned(), port: gone.local_addr().unwrap().port() };
        drop(gone);
        let places = Places::new(std::slice::from_ref(&place), std::slice::from_ref(&place));
        assert!(places.dial(&place.to_string()).await.is_none());
        assert!(places.troubles().unreachable);
    }
}
