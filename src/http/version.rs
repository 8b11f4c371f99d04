//! Versions of HTTP that are spoken here.

/// The versions that are spoken here; any other is answered 505.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: the connection closes after the answer unless the client asks to keep it.
    Http10,
    /// HTTP/1.1.
    Http11,
}
