//! What a URL says.

use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError, RedisResult};

/// What is wrong with the URL. No part of the URL is shown, because any could be a password that was put in the wrong place.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UrlProblem {
    /// The scheme is none of those that are understood.
    #[error("its scheme must be redis, rediss, unix, redis-sentinel, rediss-sentinel, redis-cluster or rediss-cluster")]
    Scheme,
    /// A host is missing.
    #[error("a host is missing")]
    Host,
    /// A port is no number from 1 to 65535.
    #[error("a port is not a number from 1 to 65535")]
    Port,
    /// Sentinels are named, but not the master that they watch.
    #[error("the name of the master is missing: redis-sentinel://host:port/<master>")]
    Master,
    /// The database is no number.
    #[error("the database is not a number")]
    Database,
    /// Something follows that has no meaning here; a cluster has no databases.
    #[error("something follows that has no meaning for this scheme")]
    Rest,
    /// A percent sign is not followed by two hexadecimal digits, or what they say is not UTF-8.
    #[error("a percent sign is not followed by two hexadecimal digits of UTF-8")]
    Percent,
    /// The server belongs to a cluster, which the URL does not say.
    #[error("this server belongs to a cluster: use redis-cluster://")]
    Clustered,
    /// The Redis client does not accept it.
    #[error("{}", .0.detail().unwrap_or_else(|| .0.category()))]
    Client(RedisError),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// How to become known to a server.
#[derive(Clone)]
pub(crate) struct Login {
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    db: i64,
}

impl Login {
    /// Returns a client of the server at an address.
    pub(crate) fn client(&self, address: &Address) -> RedisResult<Client> {
        let mut about = RedisConnectionInfo::default().set_db(self.db);
        if let Some(user) = &self.user {
            about = about.set_username(user);
        }
        if let Some(password) = &self.password {
            about = about.set_password(password);
        }
        let (host, port) = (address.host.clone(), address.port);
        let place = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        Client::open(place.into_connection_info()?.set_redis_settings(about))
    }

    /// Returns the same without a database, for servers that have none.
    pub(crate) fn without_database(&self) -> Self {
        Self { db: 0, ..self.clone() }
    }

    /// Returns the same without user and password, and whether there were any.
    pub(crate) fn unnamed(&self) -> (Self, bool) {
        let had = self.user.is_some() || self.password.is_some();
        (Self { user: None, password: None, ..self.clone() }, had)
    }
}

/// Where a URL leads.
pub(crate) enum Target {
    /// To one server.
    Server(Client),
    /// To the master of that name.
    Sentinels { sentinels: Vec<Address>, master: String, login: Login },
    /// To a cluster with these nodes and others.
    Cluster { seeds: Vec<Address>, login: Login },
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlProblem> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlProblem::Scheme)?;
        let tls = scheme.starts_with("rediss");
        match scheme {
            "redis-sentinel" | "rediss-sentinel" => sentinels(rest, tls),
            "redis-cluster" | "rediss-cluster" => cluster(rest, tls),
            "redis" | "rediss" | "unix" | "redis+unix" | "valkey" | "valkeys" | "valkey+unix" => {
                Ok(Self::Server(Client::open(url).map_err(UrlProblem::Client)?))
            }
            _ => Err(UrlProblem::Scheme),
        }
    }
}

fn sentinels(rest: &str, tls: bool) -> Result<Target, UrlProblem> {
    let (mut login, hosts, path) = split(rest, tls)?;
    let mut words = path.unwrap_or_default().split('/');
    let master = decoded(words.next().unwrap_or_default())?;
    if master.is_empty() {
        return Err(UrlProblem::Master);
    }
    login.db = match words.next() {
        None | Some("") => 0,
        Some(db) => db.parse::<u32>().map_err(|_| UrlProblem::Database)?.into(),
    };
    if words.next().is_some() {
        return Err(UrlProblem::Rest);
    }
    Ok(Target::Sentinels { sentinels: addresses(hosts, 26379)?, master, login })
}

fn cluster(rest: &str, tls: bool) -> Result<Target, UrlProblem> {
    let (login, hosts, path) = split(rest, tls)?;
    if !path.unwrap_or_default().is_empty() {
        return Err(UrlProblem::Rest);
    }
    Ok(Target::Cluster { seeds: addresses(hosts, 6379)?, login })
}

/// Splits `[user:password@]hosts[/path]`.
fn split(rest: &str, tls: bool) -> Result<(Login, &str, Option<&str>), UrlProblem> {
    let (named, rest) = rest.rsplit_once('@').map_or(("", rest), |(named, rest)| (named, rest));
    let (user, password) = named.split_once(':').unwrap_or((named, ""));
    let word = |word: &str| Ok((!word.is_empty()).then_some(decoded(word)?));
    let login = Login { tls, user: word(user)?, password: word(password)?, db: 0 };
    if rest.contains(['?', '#']) {
        return Err(UrlProblem::Rest);
    }
    let (hosts, path) = rest.split_once('/').map_or((rest, None), |(hosts, path)| (hosts, Some(path)));
    Ok((login, hosts, path))
}

fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, UrlProblem> {
    hosts.split(',').map(|host| address(host, default_port)).collect()
}

fn address(text: &str, default_port: u16) -> Result<Address, UrlProblem> {
    // An IPv6 address stands in brackets, because it has colons itself.
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => text.split_once(']').ok_or(UrlProblem::Host)?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    if host.is_empty() {
        return Err(UrlProblem::Host);
    }
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(UrlProblem::Port)?,
        None if port.is_empty() => default_port,
        None => return Err(UrlProblem::Port),
    };
    Ok(Address { host: host.to_owned(), port })
}

fn decoded(text: &str) -> Result<String, UrlProblem> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(UrlProblem::Percent)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| UrlProblem::Percent)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| UrlProblem::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        match Target::parse(url) {
            Ok(_) => String::new(),
            Err(problem) => {
                assert!(!format!("{problem} {problem:?}").contains("hush"), "{url}: the password is shown");
                let name = format!("{problem:?}");
                name.split('(').next().unwrap_or_default().to_owned()
            }
        }
    }

    #[test]
    fn urls_that_name_no_server_say_what_is_wrong_and_show_no_password() {
        for (url, expected) in [
            ("hush", "Scheme"),
            ("http://:hush@localhost", "Scheme"),
            ("redis://:hush@local host", "Client"),
            ("redis://:hush@localhost/first", "Client"),
            ("redis-sentinel://u:hush@/main", "Host"),
            ("redis-sentinel://u:hush@a:1,,b:2/main", "Host"),
            ("redis-sentinel://u:hush@a:1,b:0/main", "Port"),
            ("redis-sentinel://u:hush/main", "Port"),
            ("redis-sentinel://u:hush@a:1", "Master"),
            ("redis-sentinel://u:hush@a:1/", "Master"),
            ("redis-sentinel://u:hush@a:1/main/x", "Database"),
            ("redis-sentinel://u:hush@a:1/main/1/2", "Rest"),
            ("redis-cluster://u:hush%4@a:1", "Percent"),
            ("redis-cluster://u:hush@a:1/0", "Rest"),
            ("redis-cluster://u:hush@a:1?tls=no", "Rest"),
            ("redis-cluster://u:hush@[::1", "Host"),
            ("redis-cluster://u:hush@[::1]6379", "Port"),
        ] {
            assert_eq!(problem(url), expected, "{url}");
        }
    }

    #[test]
    fn a_url_of_sentinels_names_them_the_master_and_the_database() {
        let url = "rediss-sentinel://us%65r:p%40ss/w:rd@one:1,two,[::1]:3/my%20main/7";
        let Ok(Target::Sentinels { sentinels, master, login }) = Target::parse(url) else { panic!("it is a URL") };
        let listed: Vec<_> = sentinels.iter().map(|one| (one.host.as_str(), one.port)).collect();
        assert_eq!(listed, [("one", 1), ("two", 26379), ("::1", 3)]);
        assert_eq!((master.as_str(), login.db, login.tls), ("my main", 7, true));
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("user"), Some("p@ss/w:rd")));
    }

    #[test]
    fn a_url_of_a_cluster_names_some_of_its_nodes() {
        let Ok(Target::Cluster { seeds, login }) = Target::parse("redis-cluster://:p@one,two:2/") else {
            panic!("it is a URL")
        };
        let listed: Vec<_> = seeds.iter().map(|one| (one.host.as_str(), one.port)).collect();
        assert_eq!(listed, [("one", 6379), ("two", 2)]);
        assert_eq!((login.user, login.password.as_deref(), login.tls), (None, Some("p"), false));
    }
}
