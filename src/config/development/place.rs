//! Place: the directory with the certificate for development and its key. Several daemons may start
//! at once: one of them makes both, in one file, and the others take what it made.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, process};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::config::problem::Error;
use crate::net::options::Certificate;

/// Seconds that it is valid: as long as Apple's systems accept one, 825 days.
const VALID_S: u64 = 825 * 86_400;

/// It is made anew when so little is left, seconds.
const LAST_S: u64 = 30 * 86_400;

/// It is valid since a while before it is made, for clocks that are behind, seconds.
const BEFORE_S: u64 = 3600;

/// What the certificate begins with, behind its key.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    /// Of the user that the daemon runs as: `$XDG_STATE_HOME`, or `~/.local/state`.
    pub(super) fn of_this_user() -> Result<Self, Error> {
        let absolute =
            |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        let what = "certificate: \"development\" is kept in a directory of the user; set HOME or \
                    XDG_STATE_HOME to one, or certificate to a file";
        let state = state.ok_or_else(|| Error(what.to_owned()))?;
        Ok(Self { directory: state.join("pushserver") })
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.directory.join("localhost.pem")
    }

    fn key_path(&self) -> PathBuf {
        self.directory.join("localhost.key")
    }

    /// What is there, or else is made now.
    pub(super) fn certificate(&self, now_s: u64) -> Result<Certificate, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|error| wrong("make", &self.directory, &error))?;
        let path = self.key_path();
        let kept = read(&path)?;
        if let Some(text) = &kept
            && let Some(certificate) = usable(text, now_s)
        {
            self.publish(text)?;
            return Ok(certificate);
        }
        let what = "cannot make a certificate for development";
        let text = pair(now_s).map_err(|error| Error(format!("{what}: {error}")))?;
        let new = self.directory.join(format!("localhost.{}.new", process::id()));
        let written = write_new(&new, text.as_bytes(), 0o600).and_then(|()| {
            if kept.is_some() && read(&path).is_ok_and(|now| now == kept) {
                fs::remove_file(&path)?;
            }
            // Unlike renaming, this leaves alone what another daemon has made meanwhile.
            match fs::hard_link(&new, &path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => fs::remove_file(&new),
            }
        });
        written.map_err(|error| wrong("write", &path, &error))?;
        let text = read(&path)?.unwrap_or_default();
        self.publish(&text)?;
        usable(&text, now_s).ok_or_else(|| {
            wrong("use", &path, &io::Error::other("it has no certificate that is valid now"))
        })
    }

    /// Has the certificate in a file of its own, for who is to trust it.
    fn publish(&self, text: &[u8]) -> Result<(), Error> {
        let path = self.certificate_path();
        let begin = text.windows(BEGIN.len()).position(|bytes| bytes == BEGIN);
        let certificate = &text[begin.unwrap_or(text.len())..];
        if fs::read(&path).is_ok_and(|published| published == certificate) {
            return Ok(());
        }
        let new = self.directory.join(format!("localhost.{}.pem.new", process::id()));
        write_new(&new, certificate, 0o644)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| wrong("write", &path, &error))
    }
}

/// The certificate in a text with its key, if it is of use for a while.
fn usable(text: &[u8], now_s: u64) -> Option<Certificate> {
    let certificate = Certificate::of_pem(text, text).ok()?;
    let (begin, end) = certificate.valid();
    (begin..end.saturating_sub(LAST_S)).contains(&now_s).then_some(certificate)
}

/// Writes a file that is not there yet, but for one of a daemon that was killed meanwhile.
fn write_new(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text)
}

/// What is in a file of this user; `None`: there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong("read", path, &error)),
    };
    // Where there is no such directory nobody knows who we are without asking the system.
    let is_foreign = fs::metadata("/proc/self").is_ok_and(|own| own.uid() != about.uid());
    if is_foreign || !about.is_file() {
        let what = if is_foreign { "it is another user's" } else { "it is no file" };
        return Err(wrong("use", path, &io::Error::other(what)));
    }
    fs::read(path).map(Some).map_err(|error| wrong("read", path, &error))
}

fn wrong(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error(format!(
        "certificate: cannot {verb} {:?}: {error}; remove it, or set XDG_STATE_HOME to a directory \
         of the user that the daemon runs as",
        path.display().to_string()
    ))
}

/// A key, and a certificate of this machine for it.
fn pair(now_s: u64) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut about = CertificateParams::new(vec!["localhost".to_owned()])?;
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        about.subject_alt_names.push(SanType::IpAddress(ip));
    }
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "pushserver development (localhost)");
    about.distinguished_name = name;
    let begin = date_time_ymd(1970, 1, 1) + Duration::from_secs(now_s.saturating_sub(BEFORE_S));
    about.not_before = begin;
    about.not_after = begin + Duration::from_secs(VALID_S);
    // Else clients would take it for an authority, and some of them refuse one that is a server.
    about.is_ca = IsCa::ExplicitNoCa;
    about.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    about.use_authority_key_identifier_extension = true;
    let certificate = about.self_signed(&key)?;
    Ok(key.serialize_pem() + &certificate.pem())
}

#[cfg(test)]
pub(in crate::config) mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::clock::unix_time;

    /// A certificate and its key, in files that this machine's tests share: by setting.
    pub(in crate::config) fn files() -> HashMap<&'static str, String> {
        let place = Place { directory: env::temp_dir().join("pushserver-unit-tests") };
        place.certificate(unix_time().0).unwrap();
        let path = |path: PathBuf| path.display().to_string();
        [("certificate", path(place.certificate_path())), ("private_key", path(place.key_path()))]
            .into()
    }

    #[test]
    fn it_is_kept_until_a_month_before_its_end_and_then_made_anew() {
        let directory = env::temp_dir().join(format!("pushserver-place-{}", process::id()));
        let place = Place { directory: directory.clone() };
        let now_s = unix_time().0;
        let made = place.certificate(now_s).unwrap();
        let (begin, end) = made.valid();
        assert_eq!((begin, end), (now_s - BEFORE_S, now_s - BEFORE_S + 825 * 86_400));
        let late_s = end - 30 * 86_400;
        assert_eq!(place.certificate(late_s - 1).unwrap().fingerprint(), made.fingerprint());
        let anew = place.certificate(late_s).unwrap();
        assert_ne!(anew.fingerprint(), made.fingerprint());
        assert!(anew.valid().1 > end);
        // Both files, and nothing that was on the way to one.
        let published = fs::read(place.certificate_path()).unwrap();
        assert!(fs::read(place.key_path()).unwrap().ends_with(&published));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        // One of a clock that was ahead is not valid yet.
        assert_ne!(place.certificate(now_s).unwrap().fingerprint(), anew.fingerprint());
        fs::remove_dir_all(directory).unwrap();
    }
}
