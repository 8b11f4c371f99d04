//! TLS: how the server listens, and what it shows.

use super::super::settings::{KeySource, Settings};
use super::super::tls::DEVELOPMENT;
use super::{Output, quoted};

/// The certificate's file, and its key's, that nginx can read; with notes where there are none.
pub(super) fn files<'s>(settings: &'s Settings, out: &mut Output) -> Option<(&'s str, &'s str)> {
    let certificate = settings.certificate.as_deref()?;
    if certificate == DEVELOPMENT {
        out.note("certificate: one for development is made by pushserver alone; HTTP only here.");
        return None;
    }
    match &settings.private_key {
        None => Some((certificate, certificate)),
        Some(KeySource::Path(key) | KeySource::Elsewhere { file: Some(key), .. }) => {
            Some((certificate, key))
        }
        Some(KeySource::Elsewhere { .. }) => {
            out.note("certificate: nginx reads no key from a variable; give it a file. HTTP only.");
            None
        }
    }
}

/// What is shown at every address.
pub(super) fn directives(settings: &Settings, (chain, key): (&str, &str), out: &mut Output) {
    if settings.plain_http != Some(false) {
        out.note(
            "A port of nginx is HTTPS or HTTP: for plain requests listen at another one, too.",
        );
    }
    out.line(&format!("ssl_certificate {};", quoted(chain)));
    out.line(&format!("ssl_certificate_key {};", quoted(key)));
    out.line("ssl_protocols TLSv1.2 TLSv1.3;");
}
