//! What holds after every step, when the relay is quiet, and at the end.

use pushserver::store::StoreId;

use crate::client::{Client, Phase};
use crate::settings::PLACES;
use crate::stream::Stream;
use crate::world::World;

impl World {
    /// Whether messages that are gone are still to be dropped.
    pub(crate) fn is_behind(&self) -> bool {
        self.network.relay.state().hub.poll_timeout() == Some(0)
    }

    /// Holds after every step.
    pub(crate) fn check(&mut self) {
        // A stream that makes room counts until its client is told; a stop may come before that.
        let makes_room = |client: &Client| client.stream.as_ref()?.ending;
        if self.holds_end && self.clients.values().any(|client| makes_room(client).is_some()) {
            return;
        }
        self.network.relay.state().check_invariants();
        let hub = self.network.relay.state().hub;
        assert_eq!(self.network.relay.state().connections(), self.clients.len(), "connections");
        // What is gone for everybody may still have to be dropped.
        let is_behind = self.is_behind();
        let is_right = |has: usize, should: usize| has == should || is_behind && has > should;
        for store in 0..2 {
            let (has, should) = (hub.used_bytes(StoreId(store)), self.model.used_bytes(store));
            assert!(is_right(has, should), "{has} bytes in store {store}, not {should}");
        }
        let (has, should) = (hub.figures().channels as usize, self.model.channels());
        assert!(is_right(has, should), "{has} channels, not {should}");
        assert!(hub.figures().channels as usize <= self.settings.channels_max);
        let held = self.clients.values().filter(|client| client.held.is_some()).count();
        // One that made room has ended, though its Close may still wait for the next turn.
        let follows = |client: &&Client| {
            client.stream.as_ref().is_some_and(|stream| stream.ending != Some(409))
        };
        let streams = self.clients.values().filter(follows).count();
        assert_eq!(hub.held(), held + streams, "held requests");
        let reads = hub.asks() - self.asks.waiting();
        let reads_max = if self.asks.is_slow() { streams } else { 0 };
        assert!(reads <= reads_max, "{reads} questions to stores too many");
        // One for each hold, for each channel until it is idle for good, and for each store.
        let is_poll = |client: &&Client| client.stream.as_ref().is_some_and(Stream::is_poll);
        let polls = self.clients.values().filter(is_poll).count();
        let timers = held + polls + hub.figures().channels as usize + self.settings.stores.len();
        assert!(hub.timers() <= timers, "{} timers, {timers} at most", hub.timers());
        let armed = self.clients.values().filter(|client| client.timer.is_some()).count();
        // A stream without pings has a timer while its store is awaited.
        // So has one whose client has begun a message, and one that is to end with its token.
        let is_slow = self.asks.is_slow();
        let may_have = |stream: &Stream| {
            let place = &PLACES[stream.place];
            is_slow || place.publishes.is_some() || place.is_signed()
        };
        let is_free = |client: &&Client| {
            client.timer.is_none() && client.stream.as_ref().is_some_and(may_have)
        };
        let free = self.clients.values().filter(is_free).count();
        let timers = self.network.relay.state().timers() - hub.timers();
        assert!(
            (armed..=armed + free).contains(&timers),
            "{timers} timers of connections, {armed}"
        );
    }

    /// Holds when the relay has nothing left to do until something happens.
    pub(crate) fn check_quiet(&mut self) {
        let now_ms = self.now().mono_ms;
        for hold in self.model.waiting() {
            let over = hold.timeout_ms != 0
                && (hold.since_ms + hold.timeout_ms).next_multiple_of(10) <= now_ms;
            assert!(!over, "the hold of {} should have ended", hold.client);
        }
        self.check_streams();
        self.check_awaiting();
        for client in self.clients.values() {
            let number = client.number;
            assert!(client.expects.is_empty(), "{number} misses {:?}", client.expects);
            let is_held =
                client.held.is_some() || client.stream.as_ref().is_some_and(Stream::is_poll);
            assert_eq!(is_held, client.phase == Phase::Waiting, "hold of {number}");
            assert!(!client.must_close || client.close_seen, "{number} was not closed");
            assert!(!client.must_abort, "{number} was not aborted");
            assert!(!client.ready);
            let is_read = client.paused == client.unread || client.phase == Phase::Closing;
            assert!(is_read, "{number} should be read again");
        }
        let told = self.clients.values().map(|client| {
            let of_stream = client.stream.as_ref().filter(|stream| stream.told);
            usize::from(client.held.is_some_and(|held| held.told))
                + of_stream.map_or(0, |stream| stream.names.len())
        });
        let told: usize = told.sum();
        assert_eq!(
            self.network.django.holds(),
            told,
            "subscribe notices without their unsubscribe"
        );
    }

    /// Nothing is left when everybody is gone and time has passed.
    pub(crate) fn check_empty(&self) {
        let hub = self.network.relay.state().hub;
        assert_eq!(
            (self.network.relay.state().connections(), hub.held(), self.network.django.holds()),
            (0, 0, 0)
        );
        assert_eq!((hub.figures().channels, self.network.relay.state().timers()), (0, 0));
        assert_eq!((hub.used_bytes(StoreId(0)), hub.used_bytes(StoreId(1))), (0, 0));
        assert!(!self.network.relay.state().has_output());
        assert_eq!(self.network.relay.state().due_ms(), None);
    }
}
