//! Hand-over: an answer of the upstream with `X-Accel-Redirect` gives its request to a location of
//! ours, as an internal redirect of nginx does.
//!
//! The location checks the request as one that came straight to it (`allow`, `secret`, `Origin`,
//! `Host`). A publisher location gets its method and its body, as with Nchan; the client may still
//! be sending that. To a subscriber location it is a GET, as with nginx, unless it is HEAD or
//! OPTIONS.

use super::answer::answer_limits;
use super::exchange::{Continue, Stage};
use super::fault::Fault;
use crate::clock::Now;
use crate::http::{
    Framing, HeaderSlots, HttpError, ResponseFraming, ResponseHead, head::HEADERS_MAX,
    parse_request,
};
use crate::relay::client::Phase;
use crate::relay::location::Found;
use crate::relay::options::Role;
use crate::relay::render::Persistence;
use crate::relay::{ConnKey, Relay};

impl Relay {
    /// Gives the request to a location if the answer says so. False: it does not, or there is no
    /// such location. `exact`: nothing came behind the head of the answer.
    pub(super) fn hands_over(
        &mut self,
        conn: ConnKey,
        answer: &ResponseHead<'_>,
        exact: bool,
        now: Now,
    ) -> bool {
        let Some(target) = answer.header("X-Accel-Redirect") else { return false };
        let Some(found) = self.site.routes.find(path_and_query(target).0) else { return false };
        let Some(proxied) = self.proxied(conn) else { return true };
        if publishes(&found) && proxied.body.bytes().is_none() {
            return self.refuse_without_body(conn, now);
        }
        proxied.stage = Stage::HandedOver(target.into());
        if proxied.upload.is_none() {
            let framing = answer.framing;
            let no_body =
                matches!(framing, ResponseFraming::Known(Framing::None | Framing::Length(0)));
            self.give_back(conn, exact && no_body && answer.keep_alive, now);
            self.serve_handed_over(conn, now);
            return true;
        }
        // Where the next request begins is known only once all of the body has come.
        let awaits_continue = std::mem::take(&mut proxied.awaited) != Continue::None;
        self.abandon(conn, now);
        if awaits_continue {
            self.send_continue(conn);
        }
        self.arm_exchange(conn, now);
        self.go_on(conn, now);
        true
    }

    /// Serves a request that was handed over and is whole.
    pub(super) fn serve_handed_over(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        let idle = Phase::Head { scanned: 0 };
        let Phase::Proxied(proxied) = std::mem::replace(&mut client.phase, idle) else { return };
        let Stage::HandedOver(target) = &proxied.stage else { return };
        let (path, query) = path_and_query(target);
        let found = self.site.routes.find(path);
        let publishes = found.as_ref().is_some_and(publishes);
        let Some(body) = proxied.body.bytes().or((!publishes).then_some(b"")) else {
            client.phase = Phase::Proxied(proxied);
            self.refuse_without_body(conn, now);
            return;
        };
        let mut slots = HeaderSlots::new();
        let limits = answer_limits(&self.site.limits);
        let Ok(mut head) = parse_request(&proxied.head, &mut slots, &limits) else {
            // As many fields as there can be, and then ours.
            let text = format!("over {HEADERS_MAX} header fields, with ours; send fewer");
            return self.fail_of(conn, &HttpError::new(431, text), proxied.ask.is_head, now);
        };
        (head.path, head.query, head.version) = (path, query, proxied.ask.version);
        head.keep_alive = proxied.persistence != Persistence::Close;
        if !publishes && !matches!(head.method, "HEAD" | "OPTIONS") {
            head.method = "GET";
        }
        self.serve(conn, &head, body, found.as_ref(), now);
    }

    /// Whether a request was handed over to a publisher location with a message that has outgrown
    /// what is kept meanwhile.
    pub(super) fn has_lost_message(&mut self, conn: ConnKey) -> bool {
        let Some(client) = self.conns.client(conn) else { return false };
        let Phase::Proxied(proxied) = &client.phase else { return false };
        let Stage::HandedOver(target) = &proxied.stage else { return false };
        proxied.body.bytes().is_none()
            && self.site.routes.find(path_and_query(target).0).as_ref().is_some_and(publishes)
    }

    /// Answers a message that was not kept: never as if it had been published.
    pub(super) fn refuse_without_body(&mut self, conn: ConnKey, now: Now) -> bool {
        let cause = "X-Accel-Redirect hands over a message that was not kept: it is over \
                     limits.body_bytes, or too many large bodies are on their way";
        self.warn_of_fault(cause, now);
        self.answer_for_upstream(conn, &Fault::BodyGone, now);
        true
    }
}

fn publishes((location, _): &Found<'_>) -> bool {
    matches!(location.role, Role::Publisher(_))
}

fn path_and_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    (parts.next().unwrap_or_default(), parts.next())
}
