//! TLS: the certificate that the settings name, or that they mean without naming one. Reads PEM
//! files, and never shows what stands in them.

use super::problem::{Error, Path, Problem, quoted};
use super::settings::{Host, KeySource, Settings};
use super::{development, elsewhere, upstream};
use crate::clock::unix_time;
use crate::net::options::{Certificate, Fault, Listen};

/// The word that stands for a certificate that is made on demand.
pub(super) const DEVELOPMENT: &str = "development";

/// What a setting is told that such a binary cannot follow.
pub(super) const NOT_BUILT: &str =
    "this pushserver was built without the feature \"tls\"; leave the key out";

/// Most bytes of a PEM file: a chain of ten certificates has 20 kB.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// What the daemon shows to TLS clients.
#[derive(Debug, Clone)]
pub(super) enum Tls {
    /// Nothing: it speaks no TLS.
    Off,
    /// What files have.
    Given(Certificate),
    /// What is made for this machine, at the start.
    Development,
}

impl Tls {
    /// What the settings say. Reads the files, so that whoever asks whether the settings are valid
    /// is told of those, too.
    ///
    /// # Errors
    /// The setting that cannot work.
    pub(super) fn of(settings: &Settings, listen: &[Listen]) -> Result<Self, Problem> {
        let root = Path::Root;
        let at = root.key("certificate");
        let Some(certificate) = &settings.certificate else {
            if settings.private_key.is_some() {
                let what = "without effect, since no certificate is given; set certificate, too";
                return Err(Problem::new(&root.key("private_key"), what));
            }
            let is_meant = !meant_by(settings, listen).is_empty();
            if settings.plain_http == Some(false) && !is_meant {
                let what = "without a certificate nothing would be served; set certificate, too";
                return Err(Problem::new(&root.key("plain_http"), what));
            }
            return Ok(if is_meant && cfg!(feature = "tls") {
                Self::Development
            } else {
                Self::Off
            });
        };
        if !cfg!(feature = "tls") {
            return Err(Problem::new(&at, NOT_BUILT));
        }
        if certificate != DEVELOPMENT {
            return given(certificate, settings.private_key.as_ref(), &root).map(Self::Given);
        }
        if settings.private_key.is_some() {
            let what =
                "not beside the certificate \"development\", which has its own; leave it out";
            return Err(Problem::new(&root.key("private_key"), what));
        }
        Ok(Self::Development)
    }

    /// The certificate; one for development is made now, if there is none.
    ///
    /// # Errors
    /// What keeps it from being made.
    pub(super) fn certificate(&self) -> Result<Option<Certificate>, Error> {
        match self {
            Self::Off => Ok(None),
            Self::Given(certificate) => Ok(Some(certificate.clone())),
            Self::Development => development::certificate().map(Some),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

/// What is likely a mistake, one line each.
pub(super) fn warnings(settings: &Settings, listen: &[Listen], tls: &Tls) -> Vec<String> {
    let mut warnings = Vec::new();
    match tls {
        Tls::Off => warnings.extend(meant_by(settings, listen).into_iter().map(|key| {
            format!(
                "{key}.secure: nothing answers https here, since this pushserver was built without \
                 the feature \"tls\""
            )
        })),
        Tls::Development => {
            let is_public = |listen: &&Listen| match listen {
                Listen::Tcp(_) => listen.loopback_port().is_none(),
                Listen::Unix(_) => false,
            };
            warnings.extend(listen.iter().find(is_public).map(|public| {
                format!(
                    "certificate: the one for development is for this machine alone, and others \
                     reach {public}; give the files of a real one"
                )
            }));
        }
        Tls::Given(certificate) => {
            let (begin, end) = certificate.valid();
            let now = unix_time().0;
            if now < begin {
                let days = (begin - now).div_ceil(DAY_S);
                warnings.push(format!("certificate: it is not valid yet, but in {days} days"));
            } else if now > end {
                let days = (now - end) / DAY_S;
                warnings.push(format!("certificate: it expired {days} days ago; renew it"));
            }
        }
    }
    warnings
}

/// The hosts that say that the daemon itself, at a loopback address, speaks HTTPS.
fn meant_by(settings: &Settings, listen: &[Listen]) -> Vec<&'static str> {
    let hosts = [
        ("publisher_host", &settings.publisher_host),
        ("subscriber_host", &settings.subscriber_host),
    ];
    let is_meant = |host: &Option<Host>| match host {
        Some(Host::Full { location, secure: true }) => upstream::is_own_loopback(location, listen),
        _ => false,
    };
    hosts.into_iter().filter(|(_, host)| is_meant(host)).map(|(key, _)| key).collect()
}

fn given(
    certificate: &str,
    key: Option<&KeySource>,
    root: &Path<'_>,
) -> Result<Certificate, Problem> {
    let chain_at = root.key("certificate");
    let chain = pem_file(certificate).map_err(|wrong| wrong.at(&chain_at))?;
    let beside = root.key("private_key");
    let (key_at, place, key) = match key {
        None => (chain_at, quoted(certificate), chain.clone()),
        Some(KeySource::Path(path)) => {
            (beside, quoted(path), pem_file(path).map_err(|wrong| wrong.at(&beside))?)
        }
        Some(KeySource::Elsewhere { env: None, file: Some(path) }) => {
            let at = beside.key("file");
            let key = pem_file(path).map_err(|wrong| wrong.at(&at))?;
            (beside, quoted(path), key)
        }
        Some(KeySource::Elsewhere { env: Some(name), file: None }) => {
            let key = elsewhere::variable(name, "TLS_KEY");
            let key = key.map_err(|wrong| wrong.at(&beside.key("env")))?;
            (beside, "the environment variable".to_owned(), key.into_bytes())
        }
        Some(KeySource::Elsewhere { .. }) => {
            return Err(Problem::new(&beside, elsewhere::ONE_OF_BOTH));
        }
    };
    Certificate::of_pem(&chain, &key).map_err(|fault| match fault {
        Fault::Chain(what) => Problem::new(&chain_at, format!("{} {what}", quoted(certificate))),
        Fault::Key(what) | Fault::Identity(what) | Fault::Name(what) => {
            Problem::new(&key_at, format!("{place} {what}"))
        }
    })
}

pub(super) fn pem_file(path: &str) -> Result<Vec<u8>, Error> {
    elsewhere::file(path, PEM_BYTES_MAX)
}

const DAY_S: u64 = 86_400;
