//! Fault: what is wrong with a certificate, or with what is to be trusted.

/// What is wrong with which of the files, and what to do: nothing that stands in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The certificate's, or those of the authorities.
    Chain(&'static str),
    /// The private key's.
    Key(&'static str),
    /// That of the certificate that a client of ours shows.
    Identity(&'static str),
    /// That of the name that a server is to have.
    Name(&'static str),
}
