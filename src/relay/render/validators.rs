//! Validators and caching: the header lines of a message and of a 304. Pure.

use crate::http::response::write_decimal;
use crate::http::write_http_date;
use crate::message::MessageId;

/// What a message and a 304 say to caches: to ask here each time, by which fields answers differ,
/// and not to compress, which rewrites or drops `Etag`. `etag=` is for scripts that may not read
/// `Etag`; without a tag it is left out.
pub(super) fn write_caching(tag: Option<u32>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Cache-Control: no-cache, no-transform");
    if let Some(tag) = tag {
        out.extend_from_slice(b", etag=");
        write_decimal(out, tag.into());
    }
    out.extend_from_slice(b"\r\nVary: If-None-Match, If-Modified-Since\r\n");
}

/// `Last-Modified` and `Etag` (Basic HTTP Push Relay Protocol 3): the tag bare, as Nchan does.
pub(super) fn write_validators(id: MessageId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Last-Modified: ");
    write_http_date(id.time, out);
    out.extend_from_slice(b"\r\nEtag: ");
    write_decimal(out, id.tag.into());
    out.extend_from_slice(b"\r\n");
}
