//! Framing: how a reader finds the end of a body (RFC 9112 section 6.3). Reads no field.

/// How the end of a request body is found (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body. A request that says nothing of a body has none.
    None,
    /// So many bytes, fewer than 10^18.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// How the end of a response body is found (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// As in a request.
    Known(Framing),
    /// It ends with the connection.
    UntilClose,
}
