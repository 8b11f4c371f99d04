//! Context: what a step of an exchange may use beside the exchange itself. Holds borrows, decides
//! nothing.

use std::collections::VecDeque;

use super::effect::{ClientEffect, Effect, UpstreamEffect};
use super::upstream::Upstream;
use crate::clock::Now;
use crate::relay::conn_key::ConnKey;
use crate::relay::exchange_key::ExchangeKey;
use crate::relay::render::Renderer;
use crate::relay::site::Site;
use crate::relay::uploads::Uploads;

/// What the proxy may look at of the relay.
pub(in crate::relay) struct View<'a> {
    pub(in crate::relay) site: &'a mut Site,
    pub(in crate::relay) renderer: &'a Renderer,
    pub(in crate::relay) uploads: &'a mut Uploads,
    /// The daemon stops: every answer is the last of its connection.
    pub(in crate::relay) stopping: bool,
    pub(in crate::relay) now: Now,
}

impl View<'_> {
    pub(super) fn reborrow(&mut self) -> View<'_> {
        let Self { site, renderer, uploads, stopping, now } = self;
        View { site, renderer, uploads, stopping: *stopping, now: *now }
    }
}

/// See the module.
pub(super) struct Context<'a> {
    /// The exchange's key.
    pub(super) key: ExchangeKey,
    pub(super) upstream: &'a mut Upstream,
    pub(super) effects: &'a mut VecDeque<Effect>,
    pub(super) view: View<'a>,
}

impl Context<'_> {
    pub(super) fn now_ms(&self) -> u64 {
        self.view.now.mono_ms
    }

    pub(super) fn client(&mut self, conn: ConnKey, effect: ClientEffect) {
        self.effects.push_back(Effect::Client(conn, effect));
    }

    pub(super) fn upstream(&mut self, conn: ConnKey, effect: UpstreamEffect) {
        self.effects.push_back(Effect::Upstream(conn, effect));
    }
}
