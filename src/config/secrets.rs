//! Secrets: reads those of the settings that stand elsewhere, in a variable or in a file. Shows
//! none, and does not judge them.

use super::elsewhere;
use super::problem::{Error, Path, Problem, quoted};
use super::settings::{Given, Location, Login, Settings, Store};
use crate::secret::Secret;

/// Most bytes of a secret that stands elsewhere: as Redis takes passwords.
const BYTES_MAX: usize = 16384;

/// Reads all secrets.
///
/// # Errors
/// The first that cannot be had.
pub(super) fn read_all(settings: &mut Settings) -> Result<(), Problem> {
    let root = Path::Root;
    read(settings.allrequests_secret.as_mut(), &root.key("allrequests_secret"))?;
    let keys = root.key("signing_keys");
    for (index, key) in settings.signing_keys.iter_mut().flatten().enumerate() {
        read(Some(key), &keys.index(index))?;
    }
    let locations = root.key("locations");
    for (index, location) in settings.locations.iter_mut().enumerate() {
        let path = locations.index(index);
        let (secret, of_notices) = match location {
            Location::Publisher(one) => (one.publishing.secret.as_mut(), None),
            Location::Subscriber(one) => (None, one.subscribing.passthrough_secret.as_mut()),
            Location::PubSub(both) => {
                (both.publishing.secret.as_mut(), both.subscribing.passthrough_secret.as_mut())
            }
            Location::Status(one) => (one.secret.as_mut(), None),
        };
        read(secret, &path.key("secret"))?;
        read(of_notices, &path.key("passthrough_secret"))?;
    }
    let stores = root.key("store");
    for (name, store) in settings.store.each_mut() {
        let path = match name {
            Some(name) => stores.key(name),
            None => stores,
        };
        let Store::Redis(store) = store else { continue };
        password(&mut store.login, &path)?;
        if let Some(sentinel) = &mut store.sentinel {
            password(&mut sentinel.login, &path.key("sentinel"))?;
        }
    }
    Ok(())
}

fn password(login: &mut Login, path: &Path<'_>) -> Result<(), Problem> {
    read(login.password.as_mut(), &path.key("password"))
}

fn read(given: Option<&mut Given>, path: &Path<'_>) -> Result<(), Problem> {
    let Some(Given::Elsewhere { env, file, found }) = given else { return Ok(()) };
    let (at, read) = match (env, file) {
        (Some(name), None) => (path.key("env"), variable(name)),
        (None, Some(file)) => (path.key("file"), content(file)),
        _ => return Err(Problem::new(path, elsewhere::ONE_OF_BOTH)),
    };
    *found = Some(read.map_err(|wrong| wrong.at(&at))?);
    Ok(())
}

fn variable(name: &str) -> Result<Secret, Error> {
    let text = elsewhere::variable(name, "PUSHSERVER_SECRET")?;
    checked(&text, || format!("the environment variable {}", quoted(name)))
}

fn content(path: &str) -> Result<Secret, Error> {
    // With a line end of two bytes behind it, and one byte that shows that it is too long.
    let text = elsewhere::file(path, BYTES_MAX as u64 + 3)?;
    let text =
        String::from_utf8(text).map_err(|_| Error(format!("{} is not UTF-8", quoted(path))))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    checked(line, || quoted(path))
}

/// `place`: where it stands.
fn checked(text: &str, place: impl Fn() -> String) -> Result<Secret, Error> {
    match text.len() {
        0 => Err(Error(format!("{} is empty", place()))),
        1..=BYTES_MAX => Ok(text.into()),
        _ => Err(Error(format!("{} has more than {BYTES_MAX} bytes", place()))),
    }
}

#[cfg(test)]
mod tests;
