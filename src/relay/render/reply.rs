//! Reply: what the answer to a request depends on, and what becomes of its connection. Writes
//! nothing.

use std::rc::Rc;

use super::information::Form;
use crate::http::{RequestHead, Version};
use crate::relay::location::{Found, Location, OriginSlot};

/// What becomes of a connection after an answer, and how that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Persistence {
    /// HTTP/1.1: kept, and nothing said.
    Keep,
    /// HTTP/1.0 whose client asked for it: kept, and said.
    KeepAlive,
    /// Closed.
    Close,
}

impl Persistence {
    /// Behind the answer to a request. `stopping`: every answer is the last.
    pub(in crate::relay) fn of(head: &RequestHead<'_>, stopping: bool) -> Self {
        match (head.keep_alive && !stopping, head.version) {
            (false, _) => Self::Close,
            (true, Version::Http10) => Self::KeepAlive,
            (true, Version::Http11) => Self::Keep,
        }
    }

    pub(in crate::relay) fn line(self) -> &'static [u8] {
        match self {
            Self::Keep => b"",
            Self::KeepAlive => b"Connection: keep-alive\r\n",
            Self::Close => b"Connection: close\r\n",
        }
    }
}

/// What the answer to a request depends on.
#[derive(Debug, Clone)]
pub(in crate::relay) struct Reply {
    /// `None`: no location serves its path.
    pub(in crate::relay) location: Option<Rc<Location>>,
    pub(in crate::relay) origin: OriginSlot,
    pub(in crate::relay) persistence: Persistence,
    /// Of channel information.
    pub(in crate::relay) form: Form,
    /// The answer has no body.
    pub(in crate::relay) is_head: bool,
    /// How long a publisher wants to wait until its message is sent, seconds; 0: not at all.
    pub(in crate::relay) wait_s: u8,
}

impl Reply {
    /// Of a request that no location has to do with.
    pub(in crate::relay) fn bare(persistence: Persistence, is_head: bool) -> Self {
        let (origin, form) = (OriginSlot::UNLISTED, Form::PLAIN);
        Self { location: None, origin, persistence, form, is_head, wait_s: 0 }
    }

    /// To a request, by the location that was found for it.
    pub(in crate::relay) fn to(
        head: &RequestHead<'_>,
        found: Option<&Found<'_>>,
        persistence: Persistence,
    ) -> Self {
        let bare = Self::bare(persistence, head.method == "HEAD");
        let Some((location, _)) = found else { return bare };
        let form = match location.role.publisher() {
            Some(_) => Form::of(head.header_all("Accept")),
            None => Form::PLAIN,
        };
        let origin = location.origin_slot(head.header("Origin"));
        Self { location: Some(Rc::clone(location)), origin, form, ..bare }
    }

    /// Whether a delivery has the same bytes for both.
    pub(super) fn same_bytes(&self, other: &Self) -> bool {
        let location = |reply: &Self| reply.location.as_ref().map(Rc::as_ptr);
        (location(self), self.origin, self.persistence)
            == (location(other), other.origin, other.persistence)
    }
}
