//! Where the server is: a URL, or what Sentinel says.
//!
//! Owns reading the URL, TLS, and asking Sentinel. Must never show a user or a password.

use std::fmt;
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, TlsCertificates, Value,
};

use secrecy::{ExposeSecret, SecretString};

use super::{fault, value};
use crate::bus::error::BusError;

const SENTINEL_PORT: u16 = 26_379;

/// A server to connect to.
pub(super) struct Target {
    kind: Kind,
    tls: Option<TlsCertificates>,
    location: String,
    /// The password of the Sentinels.
    sentinel_password: Option<SecretString>,
}

enum Kind {
    Direct(ConnectionInfo),
    Sentinel { nodes: Vec<(String, u16)>, master: String, settings: RedisConnectionInfo, tls: bool },
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.location)
    }
}

impl Target {
    /// Reads a URL. `authority` is the certificate (PEM) to trust instead of the public ones.
    pub(super) fn parse(url: &str, authority: Option<Vec<u8>>) -> Result<Self, BusError> {
        // Only the first call in the process sets it; all of them want the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let tls = authority.map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem) });
        if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            return Self::sentinel(rest, false, tls);
        }
        if let Some(rest) = url.strip_prefix("rediss+sentinel://") {
            return Self::sentinel(rest, true, tls);
        }
        let info = read_url(url)?;
        let database = info.redis_settings().db();
        let location = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("redis://{host}:{port}/{database}"),
            ConnectionAddr::TcpTls { host, port, .. } => format!("rediss://{host}:{port}/{database}"),
            ConnectionAddr::Unix(path) => format!("unix://{}?db={database}", path.display()),
            _ => "redis".to_owned(),
        };
        Ok(Self { kind: Kind::Direct(info), tls, location, sentinel_password: None })
    }

    /// The same, whose Sentinels want a password of their own.
    pub(super) fn with_sentinel_password(self, password: Option<SecretString>) -> Self {
        Self { sentinel_password: password, ..self }
    }

    fn sentinel(rest: &str, tls: bool, certificates: Option<TlsCertificates>) -> Result<Self, BusError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        let nodes = hosts
            .split(',')
            .filter(|host| !host.is_empty())
            .map(|host| match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => port.parse().ok().map(|port| (name.to_owned(), port)),
                _ => Some((host.to_owned(), SENTINEL_PORT)),
            })
            .collect::<Option<Vec<_>>>()
            .filter(|nodes| !nodes.is_empty() && !master.is_empty())
            .ok_or_else(bad_url)?;
        // User, password and database are written as in any other URL.
        let settings = read_url(&format!("redis://{user}localhost/{database}"))?;
        Ok(Self {
            location: format!("redis+sentinel://{hosts}/{master}/{database}"),
            kind: Kind::Sentinel { nodes, master: master.to_owned(), settings: settings.redis_settings().clone(), tls },
            tls: certificates,
            sentinel_password: None,
        })
    }

    /// Where it is, without secrets.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// Whether another server may be the master the next time.
    pub(super) fn may_move(&self) -> bool {
        matches!(self.kind, Kind::Sentinel { .. })
    }

    /// A client for the server, which Sentinel is asked for each time.
    pub(super) async fn client(&self, patience: Duration) -> Result<Client, BusError> {
        match &self.kind {
            Kind::Direct(info) => self.open(info.clone()),
            Kind::Sentinel { nodes, master, settings, tls } => {
                let mut last = BusError::Unreachable("no Sentinel answered".to_owned());
                for node in nodes {
                    match self.ask(node, master, settings, *tls, patience).await {
                        Ok(found) => return self.open(info_at(&found, settings.clone(), *tls)?),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn open(&self, info: ConnectionInfo) -> Result<Client, BusError> {
        let secure = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match &self.tls {
            Some(certificates) if secure => Client::build_with_tls(info, certificates.clone()),
            _ => Client::open(info),
        }
        .map_err(|error| match fault::of_dial(&error, &self.location) {
            // Nothing was dialled yet: it is the URL or the certificate that cannot be used, and that does not pass.
            BusError::Unreachable(text) => BusError::Unsupported(format!("{text}; mend the URL or the certificate")),
            other => other,
        })
    }

    /// How a Sentinel may be spoken to, in this order: with its own password where one is known; else without, and then as its master.
    fn logins(&self, master: &RedisConnectionInfo) -> Vec<RedisConnectionInfo> {
        let plain = RedisConnectionInfo::default();
        if let Some(password) = &self.sentinel_password {
            return vec![plain.set_password(password.expose_secret())];
        }
        let mut logins = vec![plain.clone()];
        if let Some(password) = master.password() {
            let login = plain.set_password(password);
            logins.push(match master.username() {
                Some(user) => login.set_username(user),
                None => login,
            });
        }
        logins
    }

    async fn ask(
        &self,
        node: &(String, u16),
        master: &str,
        settings: &RedisConnectionInfo,
        tls: bool,
        patience: Duration,
    ) -> Result<(String, u16), BusError> {
        let place = format!("Sentinel {}:{}", node.0, node.1);
        let refused = format!("{place} refuses the password; name its own by `bus.sentinel_password`");
        let mut answer = Err(BusError::Unsupported(refused));
        for login in self.logins(settings) {
            match ask_as(&self.open(info_at(node, login, tls)?)?, master, patience).await {
                Err(error) if fault::is_refused_login(&error) => {}
                asked => {
                    answer = asked.map_err(|error| fault::of_dial(&error, &place));
                    break;
                }
            }
        }
        let answer = answer?;
        if answer == Value::Nil {
            return Err(BusError::Unreachable(format!("{place} knows no master `{master}`")));
        }
        let [host, port] = value::parts(answer)?;
        let port = u16::try_from(value::int(&port)?).map_err(|_| value::odd("a port", &port))?;
        Ok((value::into_text(host)?, port))
    }
}

async fn ask_as(client: &Client, master: &str, patience: Duration) -> redis::RedisResult<Value> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).query_async(&mut connection).await
}

fn bad_url() -> BusError {
    // The URL itself may hold a password and is not shown.
    BusError::Unsupported(
        "the Redis URL cannot be read; it looks like redis://user:password@host:6379/0, rediss://…, unix:///path, \
         or redis+sentinel://host:26379,host:26379/master-name/0"
            .to_owned(),
    )
}

fn read_url(url: &str) -> Result<ConnectionInfo, BusError> {
    let info = url.into_connection_info().map_err(|_| bad_url())?;
    let settings = with_protocol(info.redis_settings().clone());
    Ok(info.set_redis_settings(settings))
}

/// RESP3 says at once when a connection is lost, also to a client that is not asking.
fn with_protocol(settings: RedisConnectionInfo) -> RedisConnectionInfo {
    settings.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name()
}

fn info_at((host, port): &(String, u16), settings: RedisConnectionInfo, tls: bool) -> Result<ConnectionInfo, BusError> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let address = if tls {
        ConnectionAddr::TcpTls { host, port: *port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, *port)
    };
    let info = "redis://localhost".into_connection_info().map_err(|_| bad_url())?;
    // Sentinel itself speaks RESP3 only from 6.0 on, as everything here does.
    Ok(info.set_addr(address).set_redis_settings(with_protocol(settings)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_shows_no_secret() {
        for (url, location) in [
            ("redis://ann:s3cret@h:7000/2", "redis://h:7000/2"),
            ("rediss://:s3cret@h", "rediss://h:6379/0"),
            ("unix:///run/r.sock?db=3&pass=s3cret", "unix:///run/r.sock?db=3"),
            ("redis+sentinel://ann:s3cret@a:1,b/main/4", "redis+sentinel://a:1,b/main/4"),
        ] {
            let target = Target::parse(url, None).unwrap();
            assert_eq!(target.location(), location);
            assert!(!format!("{target:?}").contains("s3cret"));
        }
        for bad in ["http://ann:s3cret@h", "redis+sentinel://h", "redis+sentinel:///m", "s3cret"] {
            let error = Target::parse(bad, None).unwrap_err();
            assert!(!error.is_passing());
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
