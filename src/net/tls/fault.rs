//! Fault: what is wrong with a certificate.

/// What is wrong with which of the two files of a certificate, and what to do: nothing that stands
/// in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The certificate's.
    Chain(&'static str),
    /// The private key's.
    Key(&'static str),
}
