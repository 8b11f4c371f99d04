//! Options of every layer, built from the settings. Checks what the schema cannot express, in the
//! same pass: the layers never check their options again.

use super::address::{check_host, check_name, check_origin, check_url, networks};
use super::header_text::{check_secret, check_text};
use super::ids;
use super::problem::{Path, Problem, listed, quoted};
use super::reach::{Fate, fates};
use super::settings::{
    Common, Given, Host, Limits, Location, OneOrMore, Publishing, Settings, Store, Subscribing,
    Transport,
};
use super::{presence, redis, status, upstream};
use crate::http::authority::host_len;
use crate::hub::options::{StoreKind, StoreOptions};
use crate::log_targets::ACCESS;
use crate::nearest::nearest;
use crate::parts;
use crate::relay::location::Pattern;
use crate::relay::options::{
    self as relay, ChannelIds, LocationOptions, Origins, PublisherOptions, Role, SubscriberOptions,
    Transports,
};
use crate::secret::SigningKey;
use crate::store::{StoreId, memory};

/// Most stores: an id has 16 bits.
const STORES_MAX: usize = 1000;
/// Most locations, and most origins of one location: requests are compared with each in turn.
const LOCATIONS_MAX: usize = 1000;
const ORIGINS_MAX: usize = 1000;
/// Most signing keys: a token is compared with all.
const SIGNING_KEYS_MAX: usize = 16;
/// Removed messages that are freed in one turn: takes less than a millisecond, with the channels
/// that end with them.
const DROPPED_AT_ONCE: usize = 512;

/// The relay's options, and those of the stores, in the order of the stores' names and so ids.
///
/// # Errors
/// The first setting that cannot work.
pub(super) fn options(settings: &Settings) -> Result<(relay::Options, Vec<StoreOptions>), Problem> {
    let root = Path::Root;
    check_text(&settings.servername, &root.key("servername"))?;
    host(settings.publisher_host.as_ref(), &root.key("publisher_host"))?;
    host(settings.subscriber_host.as_ref(), &root.key("subscriber_host"))?;
    let stores = stores(settings)?;
    let relay = relay::Options {
        server: settings.servername.clone(),
        hosts: hosts(settings)?,
        locations: locations(settings)?,
        signing_keys: signing_keys(settings)?,
        proxy: upstream::proxy(settings)?,
        limits: limits(&settings.limits),
        // The command line says it, or `RUST_LOG`.
        access_log: log::log_enabled!(target: ACCESS, log::Level::Info),
    };
    Ok((relay, stores))
}

/// The names of the daemon: those in `hosts`, and those in other settings that address it.
fn hosts(settings: &Settings) -> Result<Vec<String>, Problem> {
    let path = Path::Root.key("hosts");
    for (index, name) in settings.hosts.iter().enumerate() {
        check_name(name).map_err(|wrong| wrong.at(&path.index(index)))?;
    }
    let mut names: Vec<String> =
        settings.hosts.iter().map(|name| name.trim_end_matches('.').to_owned()).collect();
    for host in [&settings.publisher_host, &settings.subscriber_host].into_iter().flatten() {
        let (Host::Plain(location) | Host::Full { location, .. }) = host;
        names.push(without_port(location));
    }
    names.extend(settings.forcehost.as_deref().map(without_port));
    Ok(names)
}

fn without_port(host: &str) -> String {
    host[..host_len(host.as_bytes())].to_owned()
}

fn host(host: Option<&Host>, path: &Path<'_>) -> Result<(), Problem> {
    let (location, path) = match host {
        None => return Ok(()),
        Some(Host::Plain(location)) => (location, *path),
        Some(Host::Full { location, .. }) => (location, path.key("location")),
    };
    check_host(location).map_err(|wrong| wrong.at(&path))
}

fn stores(settings: &Settings) -> Result<Vec<StoreOptions>, Problem> {
    let root = Path::Root.key("store");
    let names = settings.store_names();
    if names.len() > STORES_MAX {
        return Err(Problem::new(&root, format!("more than {STORES_MAX} stores")));
    }
    let stores = names.iter().zip(settings.stores());
    let built = stores
        .map(|(name, one)| store(name, one, &settings.store.path(&root, name)))
        .collect::<Result<Vec<_>, _>>()?;
    redis::check_apart(&built)?;
    Ok(built)
}

fn store(name: &str, store: &Store, path: &Path<'_>) -> Result<StoreOptions, Problem> {
    let kept = store.kept();
    if kept.max_messages != 0 && kept.min_messages > kept.max_messages {
        let what = format!("more than max_messages, which is {}", kept.max_messages);
        return Err(Problem::new(&path.key("min_messages"), what));
    }
    let channel_timeout_ms = kept.channel_timeout.milliseconds();
    let (kind, memory) = match store {
        Store::Memory(store) => {
            let memory = memory::Options {
                min_messages: kept.min_messages,
                max_messages: kept.max_messages,
                message_timeout_ms: kept.message_timeout.milliseconds(),
                max_memory: store.max_memory,
                dropped_at_once: DROPPED_AT_ONCE,
            };
            match store.persist {
                Some(_) => (StoreKind::Durable, memory),
                None => (StoreKind::Memory, memory),
            }
        }
        Store::Redis(_) if !parts::REDIS => {
            return Err(Problem::not_built(&path.key("type"), "redis"));
        }
        Store::Redis(store) => {
            let options = redis::options(name, store, path)?;
            let memory = redis::mirror(&options, DROPPED_AT_ONCE);
            (StoreKind::Redis(Box::new(options)), memory)
        }
    };
    Ok(StoreOptions { memory, channel_timeout_ms, kind })
}

/// What tokens are signed with.
fn signing_keys(settings: &Settings) -> Result<Vec<SigningKey>, Problem> {
    let path = Path::Root.key("signing_keys");
    let keys = settings.signing_keys.as_deref().unwrap_or_default();
    if keys.len() > SIGNING_KEYS_MAX {
        return Err(Problem::new(&path, format!("more than {SIGNING_KEYS_MAX} keys")));
    }
    let key = |(index, given): (usize, &Given)| {
        SigningKey::of(given.secret()).ok_or_else(|| {
            let what = "no key; write 32 bytes as base64url without padding, 43 characters, as \
                        manage.py pushserver_settings does";
            Problem::new(&path.index(index), what)
        })
    };
    keys.iter().enumerate().map(key).collect()
}

fn locations(settings: &Settings) -> Result<Vec<LocationOptions>, Problem> {
    let (locations, stores) = (&settings.locations, settings.store_names());
    let path = Path::Root.key("locations");
    if locations.len() > LOCATIONS_MAX {
        return Err(Problem::new(&path, format!("more than {LOCATIONS_MAX} locations")));
    }
    let options = locations
        .iter()
        .enumerate()
        .map(|(index, one)| location(one, &stores, &path.index(index)))
        .collect::<Result<Vec<_>, _>>()?;
    let is_signed = |one: &Location| one.common().is_some_and(|keys| keys.signed);
    if let (None, Some(index)) = (&settings.signing_keys, locations.iter().position(is_signed)) {
        let what = "tokens cannot be checked without signing_keys; set that to what manage.py \
                    pushserver_settings writes there, or leave this out";
        return Err(Problem::new(&path.index(index).key("signed"), what));
    }
    presence::check_stores(settings, &options, &path)?;
    reachable(locations, &options)?;
    Ok(options)
}

fn location(
    location: &Location,
    stores: &[&str],
    path: &Path<'_>,
) -> Result<LocationOptions, Problem> {
    let origins = |given: Option<&OneOrMore>| match given {
        Some(given) => origins(given, &path.key("allow_origin")),
        None => Ok(Origins::Nobody),
    };
    let (common, role) = match location {
        Location::Publisher(one) => {
            let origins = origins(one.allow_origin.as_ref())?;
            let options = publisher_options(&one.publishing, origins, path)?;
            (&one.common, Role::Publisher(options))
        }
        Location::Subscriber(one) => {
            let origins = origins(Some(&one.allow_origin))?;
            let options = subscriber_options(&one.subscribing, origins, path)?;
            (&one.common, Role::Subscriber(options))
        }
        Location::PubSub(both) => {
            let origins = origins(both.allow_origin.as_ref())?;
            let publisher = publisher_options(&both.publishing, origins.clone(), path)?;
            let subscriber = subscriber_options(&both.subscribing, origins, path)?;
            (&both.common, Role::PubSub(publisher, subscriber))
        }
        Location::Status(one) => return status::location(one, stores, path),
    };
    let group = &common.channel_group;
    if group.chars().any(char::is_control) {
        let what = format!("{} has control characters", quoted(group));
        return Err(Problem::new(&path.key("channel_group"), what));
    }
    let ids = ids::of(location, path)?;
    Ok(LocationOptions {
        pattern: pattern(common, &ids, path)?,
        shown: common.url.as_ref().or(common.prefix.as_ref()).map_or("", |it| it).into(),
        ids,
        store: store_id(&common.store, stores, path)?,
        channel_group: group.clone(),
        role,
        signed: common.signed.then(|| common.store.as_str().into()),
    })
}

fn pattern(common: &Common, ids: &ChannelIds, path: &Path<'_>) -> Result<Pattern, Problem> {
    let is_query = matches!(ids, ChannelIds::Query(_));
    let (key, pattern) = match (&common.url, &common.prefix) {
        (_, Some(_)) if is_query => {
            let what = "the channel ids stand in the query; write the whole path as url, as in \
                        \"url\": \"/updates\"";
            return Err(Problem::new(&path.key("prefix"), what));
        }
        (Some(url), None) if is_query => ("url", Pattern::whole(url)),
        (None, None) if is_query => {
            let what = "missing; write the whole path, as in \"/updates\"";
            return Err(Problem::new(&path.key("url"), what));
        }
        (Some(url), _) => ("url", Pattern::url(url)),
        (None, Some(prefix)) if prefix.is_empty() => {
            let what = "empty; write \"/\" to serve every path";
            return Err(Problem::new(&path.key("prefix"), what));
        }
        (None, Some(prefix)) => ("prefix", Pattern::prefix(prefix)),
        (None, None) => {
            let what = "url and prefix are both missing; write \
                        \"url\": \"/updates/([^/]+)\" or \"prefix\": \"/updates/\"";
            return Err(Problem::new(path, what));
        }
    };
    pattern.map_err(|error| Problem::new(&path.key(key), error.to_string()))
}

fn store_id(name: &str, stores: &[&str], path: &Path<'_>) -> Result<StoreId, Problem> {
    if let Some(id) = stores.iter().position(|store| *store == name) {
        return Ok(StoreId(u16::try_from(id).expect("STORES_MAX ids fit")));
    }
    let hint = match nearest(name, stores.iter().copied()) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => {
            let mut names: Vec<_> = stores.iter().take(8).map(|name| quoted(name)).collect();
            if stores.len() > names.len() {
                names.push("…".to_owned());
            }
            format!("\"store\" names {}", listed(&names, "and"))
        }
    };
    Err(Problem::new(&path.key("store"), format!("no store is named {}; {hint}", quoted(name))))
}

fn publisher_options(
    publisher: &Publishing,
    allow_origin: Origins,
    path: &Path<'_>,
) -> Result<PublisherOptions, Problem> {
    let allow = networks(publisher.allow.as_deref(), &path.key("allow"))?;
    check_secret(publisher.secret.as_ref(), &path.key("secret"))?;
    Ok(PublisherOptions {
        create_on_post: publisher.create_on_post,
        store_messages: publisher.store_messages,
        allow,
        secret: publisher.secret.as_ref().map(|given| given.secret().clone()),
        allow_origin,
    })
}

fn subscriber_options(
    subscriber: &Subscribing,
    allow_origin: Origins,
    path: &Path<'_>,
) -> Result<SubscriberOptions, Problem> {
    if subscriber.allow_credentials && allow_origin == Origins::Any {
        let what = "browsers refuse credentials for \"*\"; list the origins in allow_origin";
        return Err(Problem::new(&path.key("allow_credentials"), what));
    }
    if let Some(url) = &subscriber.passthrough {
        if !parts::PASSTHROUGH {
            return Err(Problem::not_built(&path.key("passthrough"), "passthrough"));
        }
        check_url(url).map_err(|wrong| wrong.at(&path.key("passthrough")))?;
    }
    check_secret(subscriber.passthrough_secret.as_ref(), &path.key("passthrough_secret"))?;
    let serves = |transport| subscriber.transports.contains(&transport);
    Ok(SubscriberOptions {
        transports: Transports {
            websocket: serves(Transport::WebSocket),
            event_stream: serves(Transport::EventSource),
            poll: serves(Transport::Poll),
        },
        ping_interval_ms: subscriber.ping_interval.milliseconds(),
        first: subscriber.first_message.first(),
        delivery: subscriber.polling,
        create_on_get: subscriber.create_on_get,
        concurrency: subscriber.concurrency,
        timeout_ms: subscriber.timeout.milliseconds(),
        max_subscribers: subscriber.max_subscribers,
        allow_origin,
        allow_credentials: subscriber.allow_credentials,
        passthrough: subscriber.passthrough.clone(),
        passthrough_secret: subscriber
            .passthrough_secret
            .as_ref()
            .map(|given| given.secret().clone()),
        presence: presence::options(subscriber, path)?,
    })
}

fn origins(given: &OneOrMore, path: &Path<'_>) -> Result<Origins, Problem> {
    let list = given.list();
    match list {
        [] => return Ok(Origins::Nobody),
        [all] if all == "*" => return Ok(Origins::Any),
        _ if list.len() > ORIGINS_MAX => {
            return Err(Problem::new(path, format!("more than {ORIGINS_MAX} origins")));
        }
        _ => {}
    }
    for (index, origin) in list.iter().enumerate() {
        let at = match given {
            OneOrMore::One(_) => *path,
            OneOrMore::More(_) => path.index(index),
        };
        if origin == "*" {
            let what = "\"*\" is every origin; write it alone, or leave it out";
            return Err(Problem::new(&at, what));
        }
        check_origin(origin).map_err(|wrong| wrong.at(&at))?;
    }
    Ok(Origins::Listed(list.to_vec()))
}

/// Refuses a location that can never serve a request.
fn reachable(locations: &[Location], options: &[LocationOptions]) -> Result<(), Problem> {
    let expressions: Vec<String> = options.iter().map(|one| one.pattern.expression()).collect();
    for (index, fate) in fates(&expressions).into_iter().enumerate() {
        let what = match fate {
            Fate::Served => continue,
            Fate::Shadowed(by) => {
                let by: Vec<_> = by.iter().map(|earlier| format!("locations[{earlier}]")).collect();
                format!(
                    "unreachable: {} comes first and takes all its paths; put the narrower first",
                    listed(&by, "and")
                )
            }
            Fate::None => {
                "no path matches; a path begins with \"/\", has no control characters, and ends at \
                 the \"?\" of a query (write %3F for a question mark in the path)"
                    .to_owned()
            }
        };
        let key = if locations[index].common().is_some_and(|common| common.url.is_some()) {
            "url"
        } else {
            "prefix"
        };
        return Err(Problem::new(&Path::Root.key("locations").index(index).key(key), what));
    }
    Ok(())
}

/// The limits of connections.
pub(super) fn limits(limits: &Limits) -> relay::Limits {
    relay::Limits {
        head: limits.head,
        body_bytes: limits.body_bytes,
        channel_id_bytes: limits.channel_id_bytes,
        channels_per_request: limits.channels_per_request,
        pipeline_depth: limits.pipeline_depth,
        header_timeout_ms: limits.header_timeout.milliseconds(),
        body_timeout_ms: limits.body_timeout.milliseconds(),
        write_timeout_ms: limits.write_timeout.milliseconds(),
        keepalive_timeout_ms: limits.keepalive_timeout.milliseconds(),
        upstream_timeout_ms: limits.upstream_timeout.milliseconds(),
        upstream_wait_ms: limits.upstream_wait.milliseconds(),
        token_s: limits.token_seconds,
        revocations: limits.revocations,
        waiting_publishers: limits.waiting_publishers,
        presence_members: limits.presence_members,
    }
}
