//! Persist: the files of the stores, from the settings. Never looks at the disk: the start alone
//! opens a file, so that `--check-config` can be run beside a daemon.

use std::path::{self, PathBuf};

use super::problem::{Path, Problem, quoted};
use super::settings::{MemoryStore, Settings, Store};
use crate::net::options::{PersistOptions, PersistSync};
use crate::store::StoreId;

/// The stores that have a file.
///
/// # Errors
/// A path that can be no file's, or is another store's, too; or this build has no such files.
pub(super) fn files(settings: &Settings) -> Result<Vec<PersistOptions>, Problem> {
    let root = Path::Root.key("store");
    let mut files: Vec<PersistOptions> = Vec::new();
    let stores = settings.store_names().into_iter().zip(settings.stores());
    for (index, (name, store)) in stores.enumerate() {
        let at = settings.store.path(&root, name);
        let Some(file) = file(index, name, store, &at)? else { continue };
        if let Some(other) = files.iter().find(|other| plain(other) == plain(&file)) {
            let what = format!(
                "{} is the file of {}, too; give each store a file of its own",
                quoted(&file.path.display().to_string()),
                root.key(&other.name),
            );
            return Err(Problem::new(&at.key("persist"), what));
        }
        files.push(file);
    }
    Ok(files)
}

fn file(
    index: usize,
    name: &str,
    store: &Store,
    at: &Path<'_>,
) -> Result<Option<PersistOptions>, Problem> {
    let at = at.key("persist");
    let Some(store) = store.memory() else { return Ok(None) };
    let Some(path) = &store.persist else { return Ok(None) };
    let wrong = |what: &str| Err(Problem::new(&at, what));
    if !cfg!(feature = "persist") {
        return wrong(
            "this pushserver was built without the feature \"persist\"; leave the key out",
        );
    }
    if path.is_empty() || path.ends_with('/') {
        return wrong("no file; write its path, as in \"/var/lib/pushserver/default.db\"");
    }
    if path.chars().any(char::is_control) {
        return Err(Problem::new(&at, format!("{} has control characters", quoted(path))));
    }
    Ok(Some(PersistOptions {
        store: StoreId(u16::try_from(index).expect("STORES_MAX ids fit")),
        name: name.to_owned(),
        path: path.into(),
        sync: store.persist_sync,
    }))
}

/// Two paths that differ in spelling are one. Links are found when the file is opened.
fn plain(file: &PersistOptions) -> PathBuf {
    path::absolute(&file.path).unwrap_or_else(|_| file.path.clone()).components().collect()
}

/// One line for each store with a key that has no effect.
pub(super) fn warnings(settings: &Settings) -> Vec<String> {
    let root = Path::Root.key("store");
    let stores = settings.store_names().into_iter().zip(settings.stores());
    let idle =
        |store: &MemoryStore| store.persist.is_none() && store.persist_sync != PersistSync::Second;
    stores
        .filter(|(_, store)| store.memory().is_some_and(idle))
        .map(|(name, _)| {
            let at = settings.store.path(&root, name);
            let at = at.key("persist_sync");
            format!("{at}: without effect, since no file is given; set persist")
        })
        .collect()
}
