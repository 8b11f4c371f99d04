//! Redis: the options of the redis stores, from the settings. Asks no server, and looks no name up.

use std::net::IpAddr;

use super::address::{check_host, unix_path};
use super::problem::{Error, Path, Problem, quoted};
use super::settings::{Given, Login, RedisStore, Sentinel, Settings, Store};
use crate::http::authority::{host_len, port_number};
use crate::hub::options::{StoreKind, StoreOptions};
use crate::secret::Secret;
use crate::store::memory;
use crate::store::redis::options::{Address, Credentials, Limits, Options, Sentinels, Server};

/// Where Redis is that no setting says.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Most messages of a channel that the daemon keeps of what is in Redis.
const MIRRORED_MAX: u64 = 64;
/// Most bytes of the prefix, which goes with every command.
const PREFIX_BYTES_MAX: usize = 256;
/// Most bytes of a password: Redis takes no longer words before it knows who connects.
const PASSWORD_BYTES_MAX: usize = 16384;

/// Fills in where Redis is. No defaults of the schema, since a store with sentinels has neither.
pub(super) fn complete(settings: &mut Settings) {
    for store in settings.stores_mut() {
        let Store::Redis(store) = store else { continue };
        if store.sentinel.is_some() {
            continue;
        }
        let host = store.host.get_or_insert_with(|| HOST.to_owned());
        if !host.starts_with("unix:") {
            store.port.get_or_insert(PORT);
        }
    }
}

/// The options of the store `name`.
///
/// # Errors
/// The setting that cannot work.
pub(super) fn options(name: &str, store: &RedisStore, path: &Path<'_>) -> Result<Options, Problem> {
    let kept = &store.kept;
    let messages = (kept.min_messages as u64, kept.max_messages as u64);
    Ok(Options {
        name: name.to_owned(),
        server: server(store, path)?,
        credentials: credentials(&store.login, path)?,
        database: store.database,
        key_prefix: key_prefix(&store.key_prefix, &path.key("key_prefix"))?,
        limits: Limits::new(
            messages,
            kept.message_timeout.milliseconds(),
            kept.channel_timeout.milliseconds(),
        ),
        timeout_ms: store.timeout.milliseconds(),
        cache_bytes: store.cache,
    })
}

/// The memory that mirrors such a store: of each channel the newest messages, for as long as Redis
/// keeps them.
pub(super) fn mirror(options: &Options, dropped_at_once: usize) -> memory::Options {
    let max_messages = match options.limits.max_messages {
        0 => MIRRORED_MAX,
        most => most.min(MIRRORED_MAX),
    };
    memory::Options {
        min_messages: 0,
        max_messages: usize::try_from(max_messages).expect("it is at most MIRRORED_MAX"),
        message_timeout_ms: options.limits.message_timeout_s * 1000,
        max_memory: options.cache_bytes,
        dropped_at_once,
    }
}

/// Refuses two stores whose channels would be the same: each would be changed behind the other's
/// back.
///
/// # Errors
/// The later of the two.
pub(super) fn check_apart(stores: &[StoreOptions]) -> Result<(), Problem> {
    let root = Path::Root.key("store");
    let all: Vec<&Options> = of_redis(stores).collect();
    let place = |one: &Options| (one.server.clone(), one.database, one.key_prefix.clone());
    for (index, one) in all.iter().enumerate() {
        if let Some(other) = all[..index].iter().find(|other| place(other) == place(one)) {
            let what = format!(
                "its keys are those of {}, too; give each store a key_prefix of its own",
                root.key(&other.name)
            );
            return Err(Problem::new(&root.key(&one.name).key("key_prefix"), what));
        }
    }
    Ok(())
}

/// One line for each store that fills Redis.
pub(super) fn warnings(settings: &Settings, stores: &[StoreOptions]) -> Vec<String> {
    let root = Path::Root.key("store");
    let forever = of_redis(stores).filter(|store| store.limits.is_forever());
    let line = |store: &Options| {
        let at = settings.store.path(&root, &store.name);
        let (key, why, instead) = match store.limits.min_messages {
            0 => ("message_timeout", "it is 0", "set it"),
            _ => ("min_messages", "it is above 0", "leave it out"),
        };
        let at = at.key(key);
        format!("{at}: channels stay in Redis for ever, since {why}; {instead}, or delete them")
    };
    forever.map(line).collect()
}

fn of_redis(stores: &[StoreOptions]) -> impl Iterator<Item = &Options> {
    stores.iter().filter_map(|store| match &store.kind {
        StoreKind::Redis(options) => Some(&**options),
        StoreKind::Memory | StoreKind::Durable => None,
    })
}

fn server(store: &RedisStore, path: &Path<'_>) -> Result<Server, Problem> {
    let Some(sentinel) = &store.sentinel else {
        let host = store.host.as_deref().unwrap_or(HOST);
        return address(host, store.port, path).map(Server::Node);
    };
    for (key, is_set) in [("host", store.host.is_some()), ("port", store.port.is_some())] {
        if is_set {
            let what = "not beside sentinel, which says where the node is; leave one of them out";
            return Err(Problem::new(&path.key(key), what));
        }
    }
    sentinels(sentinel, &path.key("sentinel")).map(Server::Sentinel)
}

fn address(text: &str, port: Option<u16>, path: &Path<'_>) -> Result<Address, Problem> {
    let at = path.key("host");
    if let Some(socket) = text.strip_prefix("unix:") {
        if port.is_some() {
            let what = "without effect beside a Unix socket; leave it out";
            return Err(Problem::new(&path.key("port"), what));
        }
        return unix_path(socket).map(Address::Unix).map_err(|wrong| wrong.at(&at));
    }
    let host = host(text).map_err(|wrong| wrong.at(&at))?;
    Ok(Address::Tcp(host, port.unwrap_or(PORT)))
}

/// A name or an IP address, without the brackets.
fn host(text: &str) -> Result<String, Error> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    if text.contains("://") {
        let what = "is a URL; write its parts as host, port, database, username and password";
        return Err(Error(format!("{} {what}", quoted(text))));
    }
    if check_host(text).is_err() {
        let what = "is no host; write a name, an IP address or \"unix:/path\"";
        return Err(Error(format!("{} {what}", quoted(text))));
    }
    if host_len(text.as_bytes()) != text.len() {
        return Err(Error(format!("{} has a port; write that as \"port\"", quoted(text))));
    }
    Ok(bare(text))
}

/// An IPv6 address without its brackets, another host as it is.
fn bare(host: &str) -> String {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.unwrap_or(host).to_owned()
}

fn sentinels(sentinel: &Sentinel, path: &Path<'_>) -> Result<Sentinels, Problem> {
    let master = &sentinel.master;
    if master.is_empty() || master.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let what = "no name of a master; write the one in sentinel.conf, as in \"mymaster\"";
        return Err(Problem::new(&path.key("master"), what));
    }
    let all = path.key("nodes");
    let nodes = sentinel.nodes.iter().enumerate().map(|(index, text)| {
        let (host, port) = text.split_at(host_len(text.as_bytes()));
        let port = match port {
            "" => Some(SENTINEL_PORT),
            port => port_number(port.as_bytes()),
        };
        match port {
            Some(port) if check_host(text).is_ok() => Ok(Address::Tcp(bare(host), port)),
            _ => {
                let what = "is no host:port; write \"10.0.0.1:26379\"";
                Err(Problem::new(&all.index(index), format!("{} {what}", quoted(text))))
            }
        }
    });
    Ok(Sentinels {
        master: master.clone(),
        nodes: nodes.collect::<Result<_, _>>()?,
        credentials: credentials(&sentinel.login, path)?,
    })
}

fn key_prefix(prefix: &str, path: &Path<'_>) -> Result<Box<[u8]>, Problem> {
    let what = if prefix.contains('{') {
        "\"{\" cannot be in it: Redis takes what stands in braces to tell which keys belong \
         together, and that is the channel"
            .to_owned()
    } else if prefix.chars().any(char::is_control) {
        format!("{} has control characters", quoted(prefix))
    } else if prefix.len() > PREFIX_BYTES_MAX {
        format!("more than {PREFIX_BYTES_MAX} bytes, and it goes with every command")
    } else {
        return Ok(prefix.as_bytes().into());
    };
    Err(Problem::new(path, what))
}

fn credentials(login: &Login, path: &Path<'_>) -> Result<Credentials, Problem> {
    let at = path.key("password");
    let password = login.password.as_ref().map(|password| checked(password, &at)).transpose()?;
    let what = match &login.username {
        Some(_) if password.is_none() => {
            "without effect, since no password is given; set password, too"
        }
        Some(name) if name.is_empty() || name.contains(char::is_whitespace) => {
            "no name of a user: it is not empty and has no spaces"
        }
        username => return Ok(Credentials { username: username.clone(), password }),
    };
    Err(Problem::new(&path.key("username"), what))
}

/// The password itself, which no message shows.
fn checked(password: &Given, path: &Path<'_>) -> Result<Secret, Problem> {
    let secret = password.secret();
    let what = match secret.reveal().len() {
        0 => "empty; leave the key out if Redis needs none".to_owned(),
        1..=PASSWORD_BYTES_MAX => return Ok(secret.clone()),
        _ => format!("more than {PASSWORD_BYTES_MAX} bytes, which Redis refuses"),
    };
    Err(Problem::new(path, what))
}

#[cfg(test)]
mod tests;
