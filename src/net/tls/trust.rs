//! Trust: whom a connection that the daemon opens believes that it is who it should be. A
//! certificate is always checked.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::fault::Fault;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Trust {
    /// Of PEM files. `authorities`: who may have signed the server's certificate; `None`: those
    /// that this system trusts. `identity`: a certificate and its key that a server may ask for.
    /// `server_name`: what the certificate is one of, if not of the host that is connected to.
    ///
    /// # Errors
    /// What is wrong and what to do, without anything that stands in the files.
    pub fn of_pem(
        authorities: Option<&[u8]>,
        identity: Option<(&[u8], &[u8])>,
        server_name: Option<&str>,
    ) -> Result<Self, Fault> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| Fault::Chain("is of no use"))?
            .with_root_certificates(roots(authorities)?);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
                let chain = chain.ok().filter(|chain| !chain.is_empty());
                let chain = chain.ok_or(Fault::Identity("has no certificate; it is a PEM file"))?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| Fault::Key("has no private key; it is a PEM file"))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|_| Fault::Key("is not the key of this certificate"))?
            }
        };
        let server_name = server_name
            .map(|name| ServerName::try_from(name.to_owned()))
            .transpose()
            .map_err(|_| Fault::Name("is no name of a server"))?;
        Ok(Self { config: Arc::new(config), server_name })
    }

    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// What the certificate of `host` has to be one of.
    pub(super) fn name(&self, host: &str) -> Option<ServerName<'static>> {
        self.server_name.clone().or_else(|| ServerName::try_from(host.to_owned()).ok())
    }
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    let found = match authorities {
        None => rustls_native_certs::load_native_certs().certs,
        Some(pem) => CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect(),
    };
    let (taken, _) = roots.add_parsable_certificates(found);
    match (taken, authorities) {
        (0, Some(_)) => Err(Fault::Chain("has no certificate; it is a PEM file")),
        (0, None) => Err(Fault::Chain(
            "this system has no file of trusted authorities; install ca-certificates, or set \
             SSL_CERT_FILE",
        )),
        _ => Ok(roots),
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
