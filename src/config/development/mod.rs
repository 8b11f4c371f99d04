//! The certificate for development: made on demand for this machine, and kept, so that browsers ask
//! once whether to trust it. Self-signed, and no authority: who trusts it trusts nothing else.

use super::problem::Error;
use crate::net::options::Certificate;

/// The certificate; made now, if there is none of which 30 days are left.
///
/// # Errors
/// What keeps it from being had, and what to do.
#[cfg(feature = "tls")]
pub(super) fn certificate() -> Result<Certificate, Error> {
    let place = place::Place::of_this_user()?;
    let certificate = place.certificate(crate::clock::unix_time().0)?;
    log::info!(
        "event=development_certificate path={:?} sha256={}",
        place.certificate_path().display().to_string(),
        certificate.fingerprint()
    );
    Ok(certificate)
}

/// As the settings never ask for.
#[cfg(not(feature = "tls"))]
pub(super) fn certificate() -> Result<Certificate, Error> {
    Err(Error("this pushserver was built without the feature \"tls\"".to_owned()))
}

#[cfg(feature = "tls")]
mod place;

#[cfg(all(test, feature = "tls"))]
pub(super) use self::place::tests;
