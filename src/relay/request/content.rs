//! Content: what a request publishes. Decides nothing.

use crate::http::RequestHead;
use crate::message::Content;

/// What a request publishes.
pub(in crate::relay) fn content<'h>(head: &RequestHead<'h>, body: &'h [u8]) -> Content<&'h [u8]> {
    let given = |name| head.header(name).filter(|value| !value.is_empty());
    Content { content_type: given("Content-Type"), event: given("X-EventSource-Event"), body }
}
