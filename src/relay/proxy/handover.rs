//! Hand-over: an answer of the upstream with `X-Accel-Redirect` gives its request to a location of
//! ours, as an internal redirect of nginx does. Serves nothing itself.
//!
//! The location checks the request as one that came straight to it (`allow`, `secret`, `Origin`,
//! `Host`). A publisher location gets its method and its body, as with Nchan; the client may still
//! be sending that. To a subscriber location it is a GET, as with nginx, unless it is HEAD or
//! OPTIONS.

use std::rc::Rc;

use super::rewrite::answer_limits;
use crate::http::{HeaderSlots, HttpError, RequestHead, Version, head::HEADERS_MAX, parse_request};
use crate::relay::location::{Found, Routes};
use crate::relay::options::Limits;

/// A request that was handed over and is whole.
#[derive(Debug)]
pub(in crate::relay) struct HandedOver {
    /// Its head, as the upstream got it.
    pub(super) head: Rc<[u8]>,
    pub(super) target: Box<[u8]>,
    /// Its body, if a publisher location gets it.
    pub(in crate::relay) body: Vec<u8>,
    /// The version that its client speaks.
    pub(super) version: Version,
    /// Its connection is kept.
    pub(super) keep_alive: bool,
    pub(in crate::relay) is_head: bool,
}

impl HandedOver {
    /// The location it is for.
    pub(in crate::relay) fn find(&self, routes: &mut Routes) -> Option<Found<'_>> {
        routes.find(path_and_query(&self.target).0)
    }

    /// The request as that location gets it.
    ///
    /// # Errors
    /// 431: it has as many fields as there can be, and then ours.
    pub(in crate::relay) fn request<'h>(
        &'h self,
        found: Option<&Found<'_>>,
        slots: &'h mut HeaderSlots<'h>,
        limits: &Limits,
    ) -> Result<RequestHead<'h>, HttpError> {
        let Ok(mut head) = parse_request(&self.head, slots, &answer_limits(limits)) else {
            let text = format!("over {HEADERS_MAX} header fields, with ours; send fewer");
            return Err(HttpError::new(431, text));
        };
        (head.path, head.query) = path_and_query(&self.target);
        (head.version, head.keep_alive) = (self.version, self.keep_alive);
        if !found.is_some_and(is_publisher) && !matches!(head.method, "HEAD" | "OPTIONS") {
            head.method = "GET";
        }
        Ok(head)
    }
}

/// Whether a location serves this target, and then whether it is a publisher's.
pub(super) fn publishes(target: &[u8], routes: &mut Routes) -> Option<bool> {
    routes.find(path_and_query(target).0).as_ref().map(is_publisher)
}

fn is_publisher((location, _): &Found<'_>) -> bool {
    location.role.publisher().is_some()
}

fn path_and_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    (parts.next().unwrap_or_default(), parts.next())
}
