//! Effects: what a step of the relay may write to beside the connection at hand. Decides nothing.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::cause::Limits;
use super::client::why::Why;
use super::conn_key::ConnKey;
use super::exchange_key::ExchangeKey;
use super::holders::Holders;
use super::notice::{Event, Notice};
use super::output::Output;
use super::presence::Presence;
use super::recorder::Recorder;
use super::render::payload::Payload;
use super::timers::ConnTimer;
use super::unsent::Unsent;
use super::uploads::Uploads;
use crate::clock::Now;
use crate::figures::{Histogram, RelayFigures};
use crate::jitter::Jitter;
use crate::parts::OfInspector;
use crate::rate_limit::RateLimit;
use crate::wheel::Wheel;

/// The timers of connections.
pub(super) type ConnWheel = Wheel<(ConnKey, ConnTimer)>;

/// See the module.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) outputs: VecDeque<Output>,
    pub(super) wheel: ConnWheel,
    /// Connections with bytes that wait, to go on with in the next turn.
    pub(super) ready: VecDeque<ConnKey>,
    /// Exchanges whose client has left them.
    pub(super) left: Vec<ExchangeKey>,
    pub(super) figures: RelayFigures,
    /// How long it took until everybody had a message who waited for it.
    pub(super) fanouts: Histogram,
    pub(super) uploads: Uploads,
    pub(super) holders: Holders,
    /// `None`: no location asks for it.
    pub(super) presence: Option<Box<Presence>>,
    /// Names this run of the daemon.
    pub(super) instance: Rc<str>,
    /// Bytes of answers that were made so far, but for those of the upstream.
    pub(super) answered: u64,
    pub(super) oversized_heads: RateLimit,
    pub(super) refusals: Limits,
    /// `None`: no location has `inspector`.
    pub(super) recorder: Option<OfInspector<Recorder>>,
    /// The number of the newest event of those that are recorded no more.
    pub(super) recorded: u64,
    /// Requests that wait for events.
    pub(super) event_readers: usize,
    pub(super) unsent: Unsent,
    /// Spreads pings, and the returns of event streams.
    pub(super) jitter: Jitter,
    /// The daemon stops: every answer is the last of its connection.
    pub(super) stopping: bool,
}

impl Effects {
    /// Nothing to be done, from this time on, milliseconds. `seed` is of the jitter.
    pub(super) fn new(now_ms: u64, seed: u64, instance: Rc<str>) -> Self {
        Self {
            outputs: VecDeque::new(),
            wheel: Wheel::new(now_ms),
            ready: VecDeque::new(),
            left: Vec::new(),
            figures: RelayFigures::default(),
            fanouts: Histogram::default(),
            uploads: Uploads::default(),
            holders: Holders::default(),
            presence: None,
            instance,
            answered: 0,
            oversized_heads: RateLimit::default(),
            refusals: Limits::default(),
            recorder: None,
            recorded: 0,
            event_readers: 0,
            unsent: Unsent::default(),
            jitter: Jitter::new(seed),
            stopping: false,
        }
    }

    /// A request that is tied is held now, of which this notice is told.
    pub(super) fn hold_begins(&mut self, conn: ConnKey, notice: Option<&Arc<Notice>>, now: Now) {
        if let Some(notice) = notice {
            let (event, notice) = (Event::Subscribe, Arc::clone(notice));
            self.outputs.push_back(Output::Notify { event, notice });
        }
        if let Some(presence) = &mut self.presence {
            presence.begin(conn, now);
        }
    }

    /// A request that is tied is over, whether it was held or not.
    pub(super) fn leave(&mut self, conn: ConnKey, why: Why, now: Now) {
        self.holders.leave(conn);
        if let Some(presence) = &mut self.presence {
            presence.leave(conn, why, now);
        }
    }

    /// Has Django be told of members who came and left.
    pub(super) fn tell(&mut self) {
        while let Some((number, telling)) =
            self.presence.as_mut().and_then(|presence| presence.next_telling())
        {
            self.outputs.push_back(Output::Tell { number, telling: Box::new(telling) });
        }
    }

    /// Sends to a connection.
    pub(super) fn send(&mut self, conn: ConnKey, payload: Payload) {
        self.outputs.push_back(Output::Send { conn, payload, many_waited: None });
    }

    /// Tells a client, which waits for it, to send its body (RFC 9110 10.1.1).
    pub(super) fn send_continue(&mut self, conn: ConnKey) {
        self.send(conn, Payload::Owned(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()));
    }

    /// Records that a connection's request is held no more, if it was.
    pub(super) fn record_end(&mut self, conn: ConnKey, why: Why, now: Now) {
        if let Some(recorder) = &mut self.recorder {
            recorder.ends(conn, why, None, now);
        }
    }

    /// Gives back the room that nothing needs any more.
    pub(super) fn shrink(&mut self) {
        self.wheel.shrink();
        self.outputs.shrink_to(0);
        self.ready.shrink_to(0);
        self.holders.shrink();
        self.unsent.shrink();
        self.presence.iter_mut().for_each(|presence| presence.shrink());
    }
}
