//! nginx redis: the directives by which Nchan keeps the channels of a redis store in Redis, too. It
//! has keys of its own there, and shares nothing with pushserver.

use super::super::problem::Path;
use super::super::settings::{Common, RedisStore, Settings, Store, StoreTls};
use super::{Output, quoted};
use crate::hub::options::{StoreKind, StoreOptions};
use crate::secret::Secret;
use crate::store::redis::options::Options;

/// Most bytes of a password: nginx takes no argument above 4 kB, escapes counted in.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Writes an `upstream` for each redis store that Nchan can reach.
pub(super) fn upstreams(out: &mut Output, settings: &Settings, stores: &[StoreOptions]) {
    let root = Path::Root.key("store");
    let given = settings.stores().into_iter().zip(settings.store_names());
    for (index, ((given, name), built)) in given.zip(stores).enumerate() {
        let (Store::Redis(given), StoreKind::Redis(built)) = (given, &built.kind) else { continue };
        let at = settings.store.path(&root, name);
        match server(given) {
            Ok(server) => upstream(out, given, built, index, &server),
            Err(why) => {
                out.note(&format!("{at}: {why}, so its messages stay in nginx."));
            }
        }
    }
}

fn upstream(out: &mut Output, given: &RedisStore, built: &Options, index: usize, server: &str) {
    out.note("Nchan has keys of its own in Redis: no message and no channel is shared with");
    out.note("pushserver.");
    let mut lines = vec![format!("nchan_redis_server {};", quoted(server))];
    // It puts a colon behind it, and takes no braces.
    let namespace = given.key_prefix.strip_suffix(':').unwrap_or(&given.key_prefix);
    if !namespace.is_empty() {
        let namespace = namespace.replace('}', "%7D");
        lines.push(format!("nchan_redis_namespace {};", quoted(&namespace)));
    }
    ssl(&mut lines, &given.tls);
    if built.credentials.username.is_some() {
        out.note("username: Nchan 1.3.6 sends it on one of its two connections alone. Here it is");
        out.note("left out: the password has to be that of Redis' default user.");
    }
    match built.credentials.password.as_ref().map(Secret::reveal) {
        None => {}
        Some(password)
            if password.len() > PASSWORD_BYTES_MAX || password.contains(char::is_control) =>
        {
            out.note("password: nginx has no way to write one of over 1 KiB, or with controls.");
        }
        Some(password) => lines.push(format!("nchan_redis_password {};", quoted(password))),
    }
    out.block(&format!("upstream {}", name(index)), &lines);
}

/// The directives of a store with `tls`.
fn ssl(lines: &mut Vec<String>, tls: &StoreTls) {
    let files = match tls {
        StoreTls::Switch(false) => return,
        StoreTls::Switch(true) => [None; 4],
        StoreTls::Files { ca, cert, key, server_name } => {
            [ca.as_ref(), cert.as_ref(), key.as_ref().or(cert.as_ref()), server_name.as_ref()]
        }
    };
    lines.push("nchan_redis_ssl on;".to_owned());
    lines.push("nchan_redis_ssl_verify_certificate on;".to_owned());
    let names =
        ["trusted_certificate", "client_certificate", "client_certificate_key", "server_name"];
    for (name, file) in names.iter().zip(files) {
        lines.extend(file.map(|file| format!("nchan_redis_ssl_{name} {};", quoted(file))));
    }
}

/// Writes where the channels of a location are, if they are in Redis.
pub(super) fn pass(out: &mut Output, settings: &Settings, common: &Common) {
    let stores = settings.store_names().into_iter().zip(settings.stores());
    for (index, (name_of_store, store)) in stores.enumerate() {
        if let Store::Redis(store) = store
            && name_of_store == common.store
            && server(store).is_ok()
        {
            out.line(&format!("nchan_redis_pass {};", name(index)));
        }
    }
}

fn name(index: usize) -> String {
    format!("push_redis_{index}")
}

/// The URL of the server, as Nchan has it; or why it has none.
fn server(store: &RedisStore) -> Result<String, &'static str> {
    let (host, port) = match (&store.host, store.port) {
        (Some(host), Some(port)) if !host.contains(':') => (host, port),
        (Some(host), None) if host.starts_with("unix:") => {
            return Err("Nchan cannot reach a Unix socket");
        }
        (Some(_), _) => return Err("Nchan cannot reach an IPv6 address"),
        (None, _) => return Err("Nchan knows no Sentinel"),
    };
    Ok(format!("redis://{host}:{port}/{}", store.database))
}
