//! Content: what a request publishes. Decides nothing.

use std::borrow::Cow;

use crate::http::RequestHead;
use crate::message::Content;

/// What a request publishes.
pub(in crate::relay) fn content<'h>(
    head: &RequestHead<'h>,
    body: Cow<'h, [u8]>,
) -> Content<Cow<'h, [u8]>> {
    let given = |name| head.header(name).filter(|value| !value.is_empty()).map(Cow::Borrowed);
    Content { content_type: given("Content-Type"), event: given("X-EventSource-Event"), body }
}
