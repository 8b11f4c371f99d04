//! The HTTP face of the hub: connections, locations, deliveries. Sans-io: bytes and `now` go in,
//! [`Output`]s come out. Never touches a socket or a clock.
//!
//! `net` says what happened to a connection ([`Input`]) and does what [`Relay::poll_output`] says.
//! A connection's entry lives until [`Input::Closed`], and only `net` says that, so that the tables
//! of both have the same connections at the end of each turn.

mod advice;
mod cause;
mod client;
mod conn;
mod conn_key;
mod dispatch;
mod effects;
mod eviction;
mod exchange_key;
mod exhibit;
mod forwarding;
mod holders;
mod input;
mod inspector;
pub mod location;
mod names;
pub mod notice;
pub mod options;
mod output;
mod presence;
mod proxy;
mod recorder;
mod render;
mod request;
mod revocations;
mod site;
mod state;
mod status_name;
mod step;
mod store_links;
mod timers;
mod unsent;
mod uploads;

pub use self::conn_key::ConnKey;
pub use self::eviction::Spare;
pub use self::exhibit::Exhibit;
pub use self::input::{Arrival, Command, Input};
pub use self::output::{Output, Wanted};
pub use self::render::payload::Payload;
pub use self::state::State;
pub use self::status_name::StatusName;

use std::rc::Rc;
use std::sync::LazyLock;

use self::client::{Client, ConnTimer, outgoing, status};
use self::conn::{Conn, Connections};
use self::dispatch::Dispatch;
use self::effects::Effects;
use self::eviction::Eviction;
use self::forwarding::{Forwarding, is_tunnel};
use self::names::Names;
use self::options::{Options, SubscriberOptions};
use self::presence::Presence;
use self::proxy::Proxy;
use self::recorder::Recorder;
use self::render::Renderer;
use self::site::Site;
use self::store_links::StoreLinks;
use crate::clock::Now;
use crate::hub::{self, Hub};
use crate::parts::{OfProxy, Part};
use crate::secret::SigningKey;
use crate::store::redis::link;
use crate::store::{Batch, Restored, StoreId};

/// See the module.
#[derive(Debug)]
pub struct Relay {
    conns: Connections,
    hub: Hub,
    site: Site,
    renderer: Renderer,
    /// `None`: what no location matches is answered 404.
    proxy: Option<OfProxy<Proxy>>,
    effects: Effects,
    store_links: StoreLinks,
    /// The channels of the request at hand; kept for its room.
    names: Names,
    eviction: Eviction,
}

impl Relay {
    /// A relay without connections.
    #[must_use]
    pub fn new(options: &Options, hub: hub::options::Options, now: Now) -> Self {
        let run_key = SigningKey::of_run(hub.seed);
        let mut effects = Effects::new(now.mono_ms, hub.seed, instance(&run_key));
        attend(options, &mut effects, now);
        let mut relay = Self {
            conns: Connections::default(),
            effects,
            hub: Hub::new(hub, now),
            site: Site::new(options, run_key),
            renderer: Renderer::new(options.server.clone(), now),
            proxy: Proxy::of(options),
            store_links: StoreLinks::default(),
            names: Names::default(),
            eviction: Eviction::default(),
        };
        relay.record(options);
        relay
    }

    /// Records what happens from now on, where a location shows it; what was recorded stays while
    /// one does.
    fn record(&mut self, options: &Options) {
        let inspects = options.locations.iter().any(|location| location.role.inspects());
        let before = self.effects.recorder.take();
        // Whoever has read up to a number misses nothing unseen, though recording ends and begins.
        let newest = before.as_ref().map_or(self.effects.recorded, |before| before.newest());
        self.effects.recorded = newest;
        let new = || Part::of(|| Recorder::behind(newest));
        self.effects.recorder = if inspects { before.or_else(new) } else { None };
        if self.effects.recorder.is_some() {
            LazyLock::force(&inspector::LINES);
        }
        self.hub.note_drops(inspects);
        self.hub.watch_sent(options.has_status());
    }

    /// A connection was accepted; gives the key that names it from here on.
    pub fn accept(&mut self, arrival: Arrival, now: Now) -> ConnKey {
        let conn = self.conns.insert(Conn::Client(Client::new(arrival)));
        if let Some((client, mut step)) = self.dispatch(now).client(conn) {
            client.arm(ConnTimer::Head, &mut step);
        }
        conn
    }

    /// Takes what an earlier process has written down of a store, one thing after the other in the
    /// order of [`Restored`]; before the first connection. Then [`Relay::restored`].
    pub fn restore(&mut self, store: StoreId, restored: Restored, now: Now) {
        self.hub.restore(store, restored, now);
    }

    /// Everything is restored.
    pub fn restored(&mut self, now: Now) {
        self.hub.restored(now);
    }

    /// What a store has to write down next, to be answered by [`Command::Written`]; `None`: nothing
    /// now. To be asked once a turn, until there is none.
    pub fn next_batch(&mut self, now: Now) -> Option<Batch> {
        self.hub.next_batch(now)
    }

    /// The connection that can be spared best. To be answered, if there is one, by
    /// [`Input::Evicted`] or [`Input::Unread`].
    ///
    /// `silent_ms`: a client that has sent nothing, or no whole head, for so long can be spared.
    /// `has_spoken`: the newcomer has sent something; only then a client that was served is spared
    /// for it.
    pub fn spare(&mut self, silent_ms: u64, has_spoken: bool, now: Now) -> Spare {
        let Self { conns, eviction, effects, site, proxy, .. } = self;
        let kept = proxy.as_ref().and_then(|proxy| proxy.oldest_idle());
        // Timers of heads that were set `silent_ms` ago or earlier are due by then.
        let until_ms = now.mono_ms + site.limits.header_timeout_ms.saturating_sub(silent_ms);
        eviction.spare(kept, conns, &effects.wheel, (until_ms, has_spoken), now)
    }

    /// How many bytes may be read from a connection now; 0: none, and `ResumeRead` will come.
    pub fn read_max(&mut self, conn: ConnKey) -> usize {
        forwarding::read_max(conn, &mut self.conns, self.proxy.as_deref(), &self.site.limits)
    }

    /// Takes what happened to a connection.
    pub fn handle_input(&mut self, conn: ConnKey, input: Input<'_>, now: Now) {
        if let Input::Received(_) = input {
            // Answers are written before this turn's `handle_timeout`; the last one may be long
            // ago.
            self.renderer.set_time(now);
        }
        self.dispatch(now).handle_input(conn, input);
    }

    /// Does what concerns the relay as a whole.
    pub fn command(&mut self, command: Command<'_>, now: Now) {
        match command {
            Command::Reload(options, stores) => {
                self.site.reload(options);
                attend(options, &mut self.effects, now);
                let mut dispatch = self.dispatch(now);
                match dispatch.forwarding() {
                    Some(Forwarding { proxy, mut view, .. }) => proxy.reload(options, &mut view),
                    None => *dispatch.proxy = Proxy::of(options),
                }
                dispatch.settle();
                self.renderer.set_server(options.server.clone());
                self.hub.reload(stores, now);
                self.record(options);
            }
            Command::Written(batch, outcome) => self.hub.written(batch, outcome),
            Command::Resolved { store, name, port, addresses } => {
                let Self { conns, effects, store_links, .. } = self;
                let name = (store, name, port);
                if store_links.resolved(name, &addresses, conns, effects) {
                    let input = link::Input::ConnectFailed("the name has no address");
                    self.hub.handle_input(store, input, now);
                }
            }
            Command::Figures { conn, exhibit, figures } => {
                if let Some((client, mut step)) = self.dispatch(now).client(conn) {
                    status::show(client, exhibit, figures, &mut step);
                }
            }
            Command::Told { number, reaction } => {
                if let Some(presence) = &mut self.effects.presence {
                    presence.told(number, reaction, now);
                }
            }
            Command::Noticed(report) => {
                if let Some(recorder) = &mut self.effects.recorder {
                    recorder.notices(report);
                }
            }
            Command::AnnounceShutdown => {
                self.effects.stopping = true;
                self.effects.presence.iter_mut().for_each(|presence| presence.stop(now.mono_ms));
            }
            Command::Shutdown => self.shutdown(now),
            #[cfg(feature = "testing")]
            Command::SlowDown(fates) => self.hub.slow_down(fates),
            Command::Shrink => {
                self.conns.shrink();
                self.effects.shrink();
                self.proxy.iter_mut().for_each(|proxy| proxy.shrink());
                self.hub.shrink();
            }
        }
    }

    fn shutdown(&mut self, now: Now) {
        self.effects.stopping = true;
        self.hub.shutdown(now);
        let conns: Vec<ConnKey> = self.conns.keys().collect();
        if let Some(Forwarding { proxy, mut view, .. }) = self.dispatch(now).forwarding() {
            proxy.close_idle(u64::MAX, &mut view);
        }
        for conn in conns {
            let is_tunnel = is_tunnel(conn, &self.conns, self.proxy.as_deref());
            match self.dispatch(now).client(conn) {
                Some((client, mut step)) if is_tunnel => client.close(&mut step),
                Some((client, mut step)) => outgoing::shut_down(client, &mut step),
                None => {}
            }
        }
        self.dispatch(now).settle();
    }

    /// How things stand. Costs next to nothing.
    #[must_use]
    pub fn state(&self) -> State<'_> {
        let Self { conns, hub, effects, proxy, .. } = self;
        State { hub, conns, effects, proxy: proxy.as_deref() }
    }

    /// The next thing to do; answers to requests before deliveries of fan-outs. Stopping before
    /// `None` is how other connections have their turn.
    pub fn poll_output(&mut self, wanted: Wanted, now: Now) -> Option<Output> {
        loop {
            if let Some(output) = self.effects.outputs.pop_front() {
                return Some(output);
            }
            if wanted == Wanted::Answers {
                return None;
            }
            let Some(output) = self.hub.poll_output(now) else {
                self.renderer.forget_deliveries();
                return None;
            };
            self.dispatch(now).on_hub(output);
        }
    }

    /// The next outputs of all, at most `most`; whether there are any. None comes behind a long
    /// one: whether its peer takes that is to be known before the next.
    pub fn poll_outputs(&mut self, outputs: &mut Vec<Output>, most: usize, now: Now) -> bool {
        if self.effects.holders.has_revoked() {
            self.dispatch(now).end_revoked(most);
        }
        if self.effects.unsent.has_sent() {
            self.dispatch(now).tell_publishers(most);
        }
        while outputs.len() < most
            && let Some(output) = self.poll_output(Wanted::All, now)
        {
            let is_long = output.is_long();
            outputs.push(output);
            if is_long {
                break;
            }
        }
        !outputs.is_empty()
    }

    /// Does what is due, up to a bound: [`State::due_ms`] says whether there is more. To be
    /// called once a turn.
    pub fn handle_timeout(&mut self, now: Now) {
        self.renderer.set_time(now);
        let mut dispatch = self.dispatch(now);
        dispatch.timers_due();
        dispatch.hub.expire(now);
        // Not before those whose access was taken back have gone: what a store answers now may
        // have been published behind that.
        while !dispatch.effects.holders.has_revoked() && dispatch.hub.handle_reply(now) {
            dispatch.pass_answers();
        }
        if let Some(Forwarding { proxy, mut view, .. }) = dispatch.forwarding() {
            proxy.handle_timeout(&mut view);
            dispatch.settle();
        }
        dispatch.ready();
        // Behind those requests, so that their answers are not sent after those of holds that end.
        dispatch.hub.handle_timeout(now);
        dispatch.flush_stores();
        dispatch.presence();
        dispatch.record_drops();
    }

    /// A turn is over, at this time: what was to be sent in it has gone to its sockets.
    pub fn turn_over(&mut self, now: Now) {
        for sent in self.hub.take_sent() {
            let us = now.us_since(sent.began);
            self.effects.fanouts.note(us);
            if let Some(recorder) = &mut self.effects.recorder {
                recorder.sent(&sent, us, now);
            }
        }
    }

    /// Takes events to what they concern.
    fn dispatch(&mut self, now: Now) -> Dispatch<'_> {
        let Self { conns, hub, site, renderer, proxy, effects, store_links, names, .. } = self;
        Dispatch { conns, hub, site, renderer, proxy, effects, store_links, names, now }
    }
}

/// Names this run, so that whoever is told of it can tell it from others.
fn instance(run_key: &SigningKey) -> Rc<str> {
    let bytes = run_key.hash(b"instance");
    let [a, b, c, d, ..] = bytes;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d])).into()
}

/// Keeps members, where a location asks for that.
fn attend(options: &Options, effects: &mut Effects, now: Now) {
    let subscribers = || options.locations.iter().filter_map(|one| one.role.subscriber());
    let members_max = options.limits.presence_members;
    match &mut effects.presence {
        Some(presence) => presence.reload(members_max, |url| {
            let is_told = |one: &SubscriberOptions| !one.tells_of_holds();
            subscribers().any(|one| is_told(one) && one.passthrough.as_deref() == Some(url))
        }),
        None if subscribers().any(|one| one.presence.is_some()) => {
            let presence = Presence::new(&effects.instance, members_max, now.mono_ms);
            effects.presence = Some(Box::new(presence));
        }
        None => {}
    }
}
