//! Dispatch: takes an event to the client or the exchange that it concerns, what a client asks to
//! the hub, and what the hub and the proxy say back to connections. Decides nothing of HTTP.

use super::client::next::Next;
use super::client::{Client, ConnTimer, Phase};
use super::client::{acknowledging, answering, reading, responding, streaming};
use super::conn::Connections;
use super::conn_key::ConnKey;
use super::effects::Effects;
use super::exchange_key::ExchangeKey;
use super::forwarding::{Forwarding, passes_up};
use super::input::Input;
use super::names::Names;
use super::output::Output;
use super::proxy::{self, Proxy, View};
use super::render::Renderer;
use super::site::Site;
use super::step::Step;
use super::store_links::{StoreLinks, told};
use super::timers::TIMERS_PER_TURN;
use crate::clock::Now;
use crate::http::HeaderSlots;
use crate::hub::{self, Hub};
use crate::parts::OfProxy;
use crate::store::Dropped;

/// Bytes of answers of one connection that are made before its socket has had some of them: a
/// reader that stops keeps no more than these and one message from being freed.
const ANSWERS_PER_TURN: u64 = 64 << 10;

/// See the module.
pub(super) struct Dispatch<'a> {
    pub(super) conns: &'a mut Connections,
    pub(super) hub: &'a mut Hub,
    pub(super) site: &'a mut Site,
    pub(super) renderer: &'a mut Renderer,
    pub(super) proxy: &'a mut Option<OfProxy<Proxy>>,
    pub(super) effects: &'a mut Effects,
    pub(super) store_links: &'a mut StoreLinks,
    /// For the channels of a request; kept for its room.
    pub(super) names: &'a mut Names,
    pub(super) now: Now,
}

impl Dispatch<'_> {
    /// Takes what happened to a connection.
    pub(super) fn handle_input(&mut self, conn: ConnKey, input: Input<'_>) {
        let Some((client, mut step)) = self.client(conn) else {
            if self.conns.is_store(conn) {
                return self.handle_store_input(conn, input);
            }
            if let Some(mut forwarding) = self.forwarding() {
                forwarding.handle_input(conn, input);
            }
            return self.settle();
        };
        match input {
            Input::Received(bytes) => match client.phase() {
                // Where its socket takes no more, only that is waited for.
                Phase::Lingering { .. } if !client.stalled => {
                    client.arm(ConnTimer::Linger, &mut step);
                }
                Phase::Lingering { .. } | Phase::Closing => {}
                Phase::Following(following) if following.drops() => {}
                phase if phase.reads() && client.buffer.is_none() && client.goes_on() => {
                    let used = self.advance(conn, bytes);
                    if used < bytes.len()
                        && let Some((client, mut step)) = self.client(conn)
                    {
                        client.keep(&bytes[used..], &mut step);
                    }
                }
                _ => {
                    client.keep(bytes, &mut step);
                    self.go_on(conn);
                }
            },
            Input::Secured => client.arrival.secure = true,
            Input::Closed => {
                client.vanish(&mut step);
                self.conns.remove(conn);
            }
            Input::Ended => {
                client.end(&mut step);
                // Perhaps nobody is there any more who waits; whoever is has the answer.
                acknowledging::answer(client, &mut step);
            }
            Input::Stalled => client.stall(&mut step),
            Input::Progressed => client.arm(ConnTimer::Write, &mut step),
            Input::Drained => {
                responding::drained(client, &mut step);
                streaming::drained(client, &mut step);
                if let &Phase::Proxied(key) = client.phase() {
                    self.tell(key, proxy::Input::ClientDrained);
                }
            }
            Input::Evicted => {
                client.close(&mut step);
                step.effects.figures.shed += 1;
            }
            Input::Unread => client.unread = true,
            // Of connections that the relay asked for.
            Input::Connected | Input::ConnectFailed(_) => {}
        }
        self.settle();
    }

    /// Takes what happened to a connection of a store.
    fn handle_store_input(&mut self, conn: ConnKey, input: Input<'_>) {
        let mut cause = String::new();
        if let Some(store) = self.store_links.store_of(conn)
            && let Some(told) = told(input, &mut cause)
        {
            self.hub.handle_input(store, told, self.now);
        }
        if let Input::Closed = input {
            self.conns.remove(conn);
        }
    }

    /// Sends what stores have to send, together.
    pub(super) fn flush_stores(&mut self) {
        let Self { hub, store_links, conns, effects, now, .. } = self;
        hub.flush(*now);
        while let Some((store, output)) = hub.poll_link() {
            store_links.carry_out(store, output, conns, effects);
        }
    }

    /// Does what is due for connections, up to a bound.
    pub(super) fn timers_due(&mut self) {
        for _ in 0..TIMERS_PER_TURN {
            let Some((conn, timer)) = self.effects.wheel.pop_expired(self.now.mono_ms) else {
                return;
            };
            let Some((client, mut step)) = self.client(conn) else {
                // A connection of the upstream that was to be closed behind what it still takes.
                self.effects.outputs.push_back(Output::Abort { conn });
                continue;
            };
            client.timer = None;
            match client.phase() {
                &Phase::Proxied(key) if timer != ConnTimer::Write => {
                    self.tell(key, proxy::Input::TimedOut(timer));
                    self.settle();
                }
                _ => reading::timed_out(client, timer, false, &mut step),
            }
        }
    }

    /// Has members leave whose time is up, and Django be told of members.
    pub(super) fn presence(&mut self) {
        if let Some(presence) = &mut self.effects.presence {
            presence.handle_timeout(self.now);
            self.effects.tell();
        }
    }

    /// Goes on with the connections that were put off in the turn before.
    pub(super) fn ready(&mut self) {
        for _ in 0..self.effects.ready.len() {
            let Some(conn) = self.effects.ready.pop_front() else { break };
            if let Some(client) = self.conns.client_mut(conn) {
                client.ready = false;
                self.go_on(conn);
            }
        }
    }

    /// Goes on with the bytes that wait on a connection.
    fn go_on(&mut self, conn: ConnKey) {
        let Some((client, _)) = self.client(conn).filter(|(client, _)| client.goes_on()) else {
            return;
        };
        if let Some(buffer) = client.take_waiting() {
            let used = self.advance(conn, &buffer.bytes);
            if let Some((client, mut step)) = self.client(conn) {
                client.keep_rest(buffer, used, &mut step);
            }
        }
        let passes_up = passes_up(conn, self.conns, self.proxy.as_deref());
        if let Some((client, mut step)) = self.client(conn) {
            client.read_on(passes_up, &mut step);
        }
    }

    /// Serves the requests in `input`, the bytes that wait on a connection; gives how many of the
    /// bytes are dealt with.
    fn advance(&mut self, conn: ConnKey, input: &[u8]) -> usize {
        let mut used = 0;
        let answered_max = self.effects.answered + ANSWERS_PER_TURN;
        for _ in 0..self.site.limits.pipeline_depth {
            if self.effects.answered >= answered_max {
                break;
            }
            let Some((client, mut step)) = self.client(conn) else { return input.len() };
            let (rest, mut slots) = (&input[used..], HeaderSlots::new());
            used += match reading::read(client, rest, &mut slots, &mut step) {
                Next::Wait => return used,
                Next::Gone => return input.len(),
                Next::Used(len) => len,
                Next::Forward(head, len) => {
                    if let Some(mut forwarding) = self.forwarding() {
                        forwarding.open(conn, &head, &rest[len..]);
                    }
                    len
                }
                Next::PassUp(_)
                    if rest.is_empty() || !passes_up(conn, self.conns, self.proxy.as_deref()) =>
                {
                    return used;
                }
                Next::PassUp(key) => self.tell(key, proxy::Input::FromClient(rest)),
            };
            self.settle();
            // Also between two requests that came together, so that the answers keep their order.
            self.pass_answers();
            if used == input.len() {
                return used;
            }
        }
        let Some((client, mut step)) = self.client(conn) else { return input.len() };
        match client.phase() {
            Phase::Lingering { .. } | Phase::Closing => return input.len(),
            Phase::Head { .. } | Phase::Body(_) => client.queue(&mut step),
            Phase::Following(following) if following.reads() => client.queue(&mut step),
            _ => {}
        }
        used
    }

    /// Passes on the hub's answers that are no fan-out's.
    pub(super) fn pass_answers(&mut self) {
        while let Some(output) = self.hub.poll_answer() {
            self.on_hub(output);
        }
    }

    /// Ends requests of users whose access was taken back, at most so many. Before any delivery, so
    /// that what was published behind that is brought to none of them.
    pub(super) fn end_revoked(&mut self, most: usize) {
        // What the hub has ended already is no hold any more.
        self.pass_answers();
        for _ in 0..most {
            let Some(conn) = self.effects.holders.next_revoked() else { return };
            if let Some((client, mut step)) = self.client(conn) {
                streaming::end_revoked(client, &mut step);
            }
        }
    }

    /// Answers publishers whose messages were sent, at most so many.
    pub(super) fn tell_publishers(&mut self, most: usize) {
        for _ in 0..most {
            let Some((conn, place)) = self.effects.unsent.next_sent() else { return };
            if let Some((client, mut step)) = self.client(conn) {
                acknowledging::sent(client, place, &mut step);
            }
        }
    }

    /// Passes on what the hub answers.
    pub(super) fn on_hub(&mut self, output: hub::Output) {
        let conn = ConnKey::from_bits(output.peer().0);
        if let hub::Output::Published { waiting, information, .. } = &output {
            self.effects.figures.published += 1;
            if let Some(recorder) = &mut self.effects.recorder {
                let sent = if *waiting { information.subscribers } else { 0 };
                recorder.published(conn, information.last_message_id, sent, self.now);
            }
        }
        match self.client(conn) {
            Some((client, mut step)) => answering::answer(client, output, &mut step),
            None => answering::decline(&output, self.hub, self.now),
        }
    }

    /// Records what messages have gone.
    pub(super) fn record_drops(&mut self) {
        let Self { hub, effects, now, .. } = self;
        let Some(recorder) = &mut effects.recorder else { return };
        while let Some(Dropped { name, id, why }) = hub.next_drop() {
            recorder.drops(&name, id, why, *now);
        }
    }

    /// Does what the proxy wants done.
    pub(super) fn settle(&mut self) {
        while let Some(mut forwarding) = self.forwarding()
            && let Some(conn) = forwarding.carry_out()
        {
            self.go_on(conn);
        }
    }

    /// Tells an exchange what happened; gives how many of its client's bytes are dealt with.
    fn tell(&mut self, key: ExchangeKey, input: proxy::Input<'_>) -> usize {
        self.forwarding().map_or(0, |mut forwarding| forwarding.tell(key, input))
    }

    /// What passes between the proxy and connections, if there is a proxy.
    pub(super) fn forwarding(&mut self) -> Option<Forwarding<'_>> {
        let Self { proxy, conns, hub, site, renderer, effects, names, now, .. } = self;
        let (proxy, now) = (proxy.as_mut()?, *now);
        let view = View { conns, site, renderer, effects, now };
        Some(Forwarding { proxy, hub, names, view })
    }

    /// The client with this key, and what its steps may use.
    pub(super) fn client(&mut self, conn: ConnKey) -> Option<(&mut Client, Step<'_>)> {
        let Self { conns, hub, site, renderer, effects, names, now, .. } = self;
        let (client, now) = (conns.client_mut(conn)?, *now);
        Some((client, Step { conn, now, hub, site, renderer, effects, names }))
    }
}
