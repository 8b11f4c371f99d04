//! Certificate: what the daemon shows to TLS clients, and the rest of its TLS settings. Pure: of
//! the bytes of PEM files.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::validity;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    config: Arc<ServerConfig>,
    valid: (u64, u64),
    fingerprint: String,
}

impl Certificate {
    /// Of a PEM file with the certificate, then those of its issuers, and one with its private key;
    /// both may be the same.
    ///
    /// # Errors
    /// What is wrong and what to do, without anything that stands in the files.
    pub fn of_pem(chain: &[u8], key: &[u8]) -> Result<Self, Fault> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| {
                Fault::Chain("is no PEM file; it begins with -----BEGIN CERTIFICATE-----")
            })?;
        let Some(leaf) = chain.first() else {
            return Err(Fault::Chain(
                "has no certificate; it is a PEM file with -----BEGIN CERTIFICATE-----",
            ));
        };
        let valid = validity::of(leaf)
            .ok_or(Fault::Chain("has a certificate that cannot be read; make it anew"))?;
        let fingerprint = sha256(leaf);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            Fault::Key("has no private key; it is a PEM file with -----BEGIN PRIVATE KEY-----, not encrypted")
        })?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| Fault::Key("is of no use"))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    Fault::Key("is not the key of this certificate; give both of one pair")
                }
                rustls::Error::InvalidCertificate(_) => {
                    Fault::Chain("has a certificate that cannot be read; make it anew")
                }
                _ => Fault::Key(
                    "has a key of a kind that is not served; RSA of 2048 to 8192 bits, \
                                 ECDSA on P-256 or P-384, and Ed25519 are",
                ),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A client that comes back needs no signature; nothing is kept for it here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer =
            ring::Ticketer::new().map_err(|_| Fault::Key("cannot be used: no randomness"))?;
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), valid, fingerprint })
    }

    pub(super) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The SHA-256 of the certificate, `AB:CD:…`.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// From when to when it is valid, seconds since 1970.
    #[must_use]
    pub fn valid(&self) -> (u64, u64) {
        self.valid
    }
}

/// As browsers and `openssl x509 -fingerprint` show it.
fn sha256(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("valid", &self.valid).finish_non_exhaustive()
    }
}
