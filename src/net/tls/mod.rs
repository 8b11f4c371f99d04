//! TLS: a connection's session between its stream and its plain bytes, and the certificate that
//! sessions show. Never waits. Without the feature `tls` there are neither, which the types say.

#[cfg(feature = "tls")]
mod certificate;
mod fault;
#[cfg(not(feature = "tls"))]
mod none;
mod scratch;
#[cfg(feature = "tls")]
mod session;
#[cfg(all(feature = "tls", feature = "testing"))]
pub mod talk;
#[cfg(feature = "tls")]
mod trust;
#[cfg(feature = "tls")]
mod validity;
#[cfg(feature = "tls")]
mod wire;

pub use self::fault::Fault;
pub(super) use self::scratch::{HANDSHAKE, Scratch};

#[cfg(feature = "tls")]
pub use self::certificate::Certificate;
#[cfg(not(feature = "tls"))]
pub(super) use self::none::Tls;
#[cfg(not(feature = "tls"))]
pub use self::none::{Certificate, Trust};
#[cfg(feature = "tls")]
pub use self::trust::Trust;
#[cfg(feature = "tls")]
pub(super) use self::wire::Tls;
