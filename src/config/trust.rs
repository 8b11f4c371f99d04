//! Trust: the stores whose Redis is connected to by TLS, and whom that trusts. Reads PEM files, and
//! never shows what stands in them.

use std::collections::HashMap;

use super::problem::{Path, Problem, quoted};
use super::settings::{RedisStore, Settings, Store, StoreTls};
use super::tls::{NOT_BUILT, pem_file};
use crate::net::options::{Fault, Trust};
use crate::store::StoreId;

/// Those of all redis stores with `tls`.
///
/// # Errors
/// The setting that cannot work.
pub(super) fn of_stores(settings: &Settings) -> Result<HashMap<StoreId, Trust>, Problem> {
    let root = Path::Root.key("store");
    let mut trusts = HashMap::new();
    let stores = settings.store_names().into_iter().zip(settings.stores());
    for (index, (name, store)) in stores.enumerate() {
        let Store::Redis(store) = store else { continue };
        if let Some(trust) = of_store(store, &settings.store.path(&root, name))? {
            let id = StoreId(u16::try_from(index).expect("STORES_MAX ids fit"));
            trusts.insert(id, trust);
        }
    }
    Ok(trusts)
}

fn of_store(store: &RedisStore, path: &Path<'_>) -> Result<Option<Trust>, Problem> {
    let at = path.key("tls");
    let none = (None, None, None, None);
    let (ca, cert, key, server_name) = match &store.tls {
        StoreTls::Switch(false) => return Ok(None),
        StoreTls::Switch(true) => none,
        StoreTls::Files { ca, cert, key, server_name } => {
            (ca.as_ref(), cert.as_ref(), key.as_ref(), server_name.as_deref())
        }
    };
    if !cfg!(feature = "tls") {
        return Err(Problem::new(&at, NOT_BUILT));
    }
    if store.host.as_ref().is_some_and(|host| host.starts_with("unix:")) {
        let what = "without effect over a Unix socket, which has no TLS; leave it out";
        return Err(Problem::new(&at, what));
    }
    let file = |name, path: Option<&String>| {
        path.map(|path| pem_file(path).map_err(|wrong| wrong.at(&at.key(name)))).transpose()
    };
    let (authorities, chain, secret) = (file("ca", ca)?, file("cert", cert)?, file("key", key)?);
    let identity = match (&chain, &secret) {
        (Some(chain), Some(key)) => Some((&**chain, &**key)),
        (None, None) => None,
        (Some(chain), None) => Some((&**chain, &**chain)),
        (None, Some(_)) => {
            let what = "without effect, since no cert is given; set cert, too";
            return Err(Problem::new(&at.key("key"), what));
        }
    };
    let trust = Trust::of_pem(authorities.as_deref(), identity, server_name);
    let problem = |key: &str, path: Option<&str>, what: &str| match path {
        Some(path) => Problem::new(&at.key(key), format!("{} {what}", quoted(path))),
        None => Problem::new(&at, what),
    };
    trust.map(Some).map_err(|fault| match fault {
        Fault::Chain(what) => problem("ca", ca.map(String::as_str), what),
        Fault::Identity(what) => problem("cert", cert.map(String::as_str), what),
        Fault::Key(what) => problem("key", key.or(cert).map(String::as_str), what),
        Fault::Name(what) => problem("server_name", server_name, what),
    })
}
