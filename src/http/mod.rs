//! HTTP/1.0 and 1.1 as bytes: heads, bodies, answers and dates; the frames of WebSockets. Bytes and
//! `unix_s` go in, values and bytes come out; knows no socket, channel or location.
//!
//! Strict on purpose (RFC 9112, and section 11.2 of it): a message that two parsers could read
//! differently is refused, never repaired. So no request can be smuggled past a proxy before the
//! daemon, or past the upstream behind it.

pub mod authority;
mod body;
mod date;
mod error;
mod fields;
mod framing;
pub mod head;
mod hop_by_hop;
mod mend;
pub mod response;
mod scan;
mod target;
mod token;
mod version;
pub mod websocket;

pub use body::{BodyDecoder, Decoded};
pub use date::{LAST_SECOND, parse_http_date, write_http_date};
pub use error::HttpError;
pub use framing::{Framing, ResponseFraming};
pub use head::{HeaderSlots, RequestHead, ResponseHead, parse_request, parse_response, values};
pub use hop_by_hop::{ConnectionOptions, is_hop_by_hop};
pub use mend::mend_response;
pub use response::HeadWriter;
pub use scan::{HeadLimits, Scan, scan, scan_response};
pub use token::{is_named, is_text, is_token};
pub use version::Version;
