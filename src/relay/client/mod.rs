//! Client: one connection that was accepted, its phase, its timer, and the bytes of it that wait.
//! Never reads a byte's meaning; `reading` and `answering` do.

pub(in crate::relay) mod access;
pub(in crate::relay) mod acknowledging;
pub(in crate::relay) mod answering;
mod awaited;
mod buffer;
mod events;
pub(in crate::relay) mod following;
mod frames;
mod listening;
pub(in crate::relay) mod next;
pub(in crate::relay) mod outgoing;
mod phase;
pub(in crate::relay) mod reading;
mod recording;
pub(in crate::relay) mod responding;
pub(in crate::relay) mod serving;
pub(in crate::relay) mod status;
pub(in crate::relay) mod streaming;
mod telling;
pub(in crate::relay) mod why;
mod words;

use self::access::Access;
use self::buffer::Buffer;
use self::following::Following;
use self::phase::StoreAsked;
use self::why::Why;
use super::effects::Effects;
use super::input::Arrival;
use super::notice::Event;
use super::options::Limits;
use super::output::Output;
use super::step::Step;
use super::timers::{LINGER_MS, STOP_MS};
use crate::hub::{Hold, SubscriptionKey};
use crate::store::Ticket;
use crate::wheel::TimerKey;

pub(in crate::relay) use self::phase::{Phase, Upload};
pub(in crate::relay) use super::timers::ConnTimer;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Client {
    phase: Phase,
    /// Bytes that could not be dealt with yet; `None` when there are none, so that an idle
    /// connection owns no buffer.
    pub(in crate::relay) buffer: Option<Box<Buffer>>,
    pub(in crate::relay) timer: Option<(TimerKey, ConnTimer)>,
    /// Its peer in canonical form.
    pub(in crate::relay) arrival: Arrival,
    pub(in crate::relay) access: Access,
    /// The peer sends no more.
    pub(in crate::relay) ended: bool,
    /// Its socket takes no more for now: no further request is begun.
    pub(in crate::relay) stalled: bool,
    /// Reading was refused and has to be resumed.
    pub(in crate::relay) paused: bool,
    /// It is in the list of those to go on with.
    pub(in crate::relay) ready: bool,
    /// Its next bytes have come and wait to be read.
    pub(in crate::relay) unread: bool,
    /// Its request has a notice, or is known to be somebody's: its end is told.
    pub(in crate::relay) is_tied: bool,
}

const _: () = assert!(size_of::<Client>() <= 96);

impl Client {
    pub(in crate::relay) fn new(arrival: Arrival) -> Self {
        Self {
            phase: Phase::IDLE,
            buffer: None,
            timer: None,
            arrival: Arrival { peer: arrival.peer.map(|peer| peer.to_canonical()), ..arrival },
            access: Access::default(),
            ended: false,
            stalled: false,
            paused: false,
            ready: false,
            unread: false,
            is_tied: false,
        }
    }

    /// Begins another phase and gives the one before, of which it settles what that owed: the end
    /// of a hold, to the hub and to Django, and a timer. With those below the only writer of
    /// `phase`.
    pub(in crate::relay) fn enter(&mut self, next: Phase, step: &mut Step<'_>) -> Phase {
        self.enter_for(next, Why::Gone, step)
    }

    /// As [`Client::enter`], for another reason than that the client is gone.
    fn enter_for(&mut self, next: Phase, why: Why, step: &mut Step<'_>) -> Phase {
        let before = self.enter_answered(next, why, step);
        match &before {
            Phase::Waiting { subscription, .. } => {
                step.hub.unsubscribe(Hold::Poll(*subscription), step.now);
            }
            Phase::AwaitingStore(asked) => step.hub.abandon(asked.ticket),
            Phase::Following(following) => following.leave(step.hub, step.now),
            _ => {}
        }
        before
    }

    /// As [`Client::enter`], where the hub itself has ended the phase before.
    fn enter_answered(&mut self, next: Phase, why: Why, step: &mut Step<'_>) -> Phase {
        debug_assert!(self.phase.may_become(&next), "{:?} -> {next:?}", self.phase);
        let mut before = std::mem::replace(&mut self.phase, next);
        step.effects.record_end(step.conn, why, step.now);
        match &mut before {
            Phase::AwaitingHub { .. } | Phase::AwaitingStore(_) if self.is_tied => {
                self.untie(why, step);
            }
            Phase::Waiting { notice, .. } if self.is_tied => {
                if let Some(notice) = notice.take() {
                    let event = Event::Unsubscribe;
                    step.effects.outputs.push_back(Output::Notify { event, notice });
                }
                self.untie(why, step);
            }
            Phase::Body(upload) => {
                step.effects.figures.uploads -= 1;
                step.effects.uploads.set(&mut upload.share, 0);
            }
            Phase::Proxied(key) => step.effects.left.push(*key),
            Phase::Listening(_) => step.effects.event_readers -= 1,
            Phase::AwaitingSubscriber(awaited) => drop(step.effects.unsent.leave(awaited.place)),
            Phase::Following(following) => {
                following.settle(step.effects);
                self.untie(why, step);
                if let Some(status) = following.status() {
                    self.access.log_stream(self.arrival.peer, status, step.now.mono_ms);
                }
            }
            _ => {}
        }
        match self.phase {
            Phase::Body(_) => step.effects.figures.uploads += 1,
            Phase::Listening(_) => step.effects.event_readers += 1,
            // Every other phase sets its own timer, or has the answer do so.
            Phase::Closing => self.disarm(step.effects),
            _ => {}
        }
        before
    }

    /// The request that was tied is over.
    fn untie(&mut self, why: Why, step: &mut Step<'_>) {
        if std::mem::take(&mut self.is_tied) {
            step.effects.leave(step.conn, why, step.now);
        }
    }

    /// Has a request that the hub was asked for wait for its store.
    fn enter_asked(&mut self, ticket: Ticket, step: &mut Step<'_>) {
        match std::mem::replace(&mut self.phase, Phase::IDLE) {
            Phase::AwaitingHub { reply, notice } => {
                self.phase = Phase::AwaitingStore(Box::new(StoreAsked { reply, notice, ticket }));
                self.arm(ConnTimer::Store, step);
            }
            other => self.phase = other,
        }
    }

    /// Has a request that the hub was asked for wait, as the hub has answered.
    fn enter_hold(&mut self, subscription: SubscriptionKey, step: &mut Step<'_>) {
        let (reply, notice) = match std::mem::replace(&mut self.phase, Phase::IDLE) {
            Phase::AwaitingHub { reply, notice } => (reply, notice),
            Phase::AwaitingStore(asked) => (asked.reply, asked.notice),
            other => return self.phase = other,
        };
        if self.is_tied {
            step.effects.hold_begins(step.conn, notice.as_ref(), step.now);
        }
        self.phase = Phase::Waiting { reply, subscription, notice };
        self.disarm(step.effects);
    }

    /// What is kept of a request that follows channels.
    fn following(&mut self) -> Option<&mut Following> {
        if let Phase::Following(following) = &mut self.phase { Some(following) } else { None }
    }

    pub(in crate::relay) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Sets the timer. A client that is stalled is watched for that, whatever comes next.
    pub(in crate::relay) fn arm(&mut self, timer: ConnTimer, step: &mut Step<'_>) {
        let in_ms = match (timer, &self.phase) {
            (ConnTimer::Linger, Phase::Lingering { until_ms, .. }) => {
                until_ms.saturating_sub(step.now.mono_ms).min(LINGER_MS)
            }
            (ConnTimer::Store, phase) if phase.is_patient() => return self.disarm(step.effects),
            (ConnTimer::Store, _) if step.effects.stopping => STOP_MS,
            _ => timer.ms(&step.site.limits),
        };
        self.arm_in(timer, in_ms, step);
    }

    /// As [`Client::arm`], with another length, milliseconds.
    pub(in crate::relay) fn arm_in(&mut self, timer: ConnTimer, in_ms: u64, step: &mut Step<'_>) {
        let (timer, in_ms) = match self.stalled {
            true => (ConnTimer::Write, ConnTimer::Write.ms(&step.site.limits)),
            false => (timer, in_ms),
        };
        if let Some((old, _)) = self.timer.take() {
            step.effects.wheel.cancel(old);
        }
        let at_ms = step.now.mono_ms.saturating_add(in_ms);
        self.timer = Some((step.effects.wheel.set(at_ms, (step.conn, timer)), timer));
    }

    /// Takes the timer away, but from a client that is stalled.
    pub(in crate::relay) fn disarm(&mut self, effects: &mut Effects) {
        if !self.stalled
            && let Some((timer, _)) = self.timer.take()
        {
            effects.wheel.cancel(timer);
        }
    }

    /// Keeps `bytes` behind those that wait. More than may wait behind a hold end it: the client's
    /// end, which comes after them, would never be seen.
    pub(in crate::relay) fn keep(&mut self, bytes: &[u8], step: &mut Step<'_>) {
        if !bytes.is_empty() {
            self.buffer.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
        self.end_flooded(step);
    }

    /// Keeps what is left of the bytes that waited.
    pub(in crate::relay) fn keep_rest(
        &mut self,
        mut buffer: Box<Buffer>,
        used: usize,
        step: &mut Step<'_>,
    ) {
        if used < buffer.bytes.len() {
            buffer.bytes.drain(..used);
            self.buffer = Some(buffer);
            self.end_flooded(step);
        }
    }

    fn end_flooded(&mut self, step: &mut Step<'_>) {
        if self.phase.is_held() && self.kept_bytes() > step.site.limits.head.header_bytes {
            log::debug!("event=flood conn={}", step.conn.index());
            self.close(step);
        }
    }

    /// Whether its bytes may be dealt with: no request is begun while an answer is still to be
    /// sent. What is proxied streams both ways.
    pub(in crate::relay) fn goes_on(&self) -> bool {
        !self.ready && (!self.stalled || matches!(self.phase, Phase::Proxied(_)))
    }

    /// The bytes that wait, if they are to be dealt with now.
    pub(in crate::relay) fn take_waiting(&mut self) -> Option<Box<Buffer>> {
        let reads = self.phase.reads();
        self.buffer.take_if(|_| reads)
    }

    /// Behind the bytes that waited: reads on, or ends where there will be no more.
    pub(in crate::relay) fn read_on(&mut self, passes_up: bool, step: &mut Step<'_>) {
        if self.paused && self.wants_read(passes_up, &step.site.limits) {
            self.paused = false;
            // The peer's end, if that is what comes next, will be told again.
            return step.effects.outputs.push_back(Output::ResumeRead { conn: step.conn });
        }
        let is_unfinished = self.phase.ends_behind_input() && !self.phase.awaits_store();
        if self.ended && !self.ready && is_unfinished {
            self.close(step);
        }
    }

    /// Has the next turn go on with what has come already, if anything has.
    pub(in crate::relay) fn go_on_later(&mut self, step: &mut Step<'_>) {
        if self.buffer.is_some() || self.paused || self.ended {
            self.queue(step);
        }
    }

    /// Has the next turn go on with this client.
    pub(in crate::relay) fn queue(&mut self, step: &mut Step<'_>) {
        if !self.ready && !self.stalled {
            self.ready = true;
            step.effects.ready.push_back(step.conn);
        }
    }

    /// How many bytes may be read from its socket now; 0: none, and reading is to be resumed.
    pub(in crate::relay) fn read_max(&mut self, passes_up: bool, limits: &Limits) -> usize {
        self.unread = false;
        self.paused = !self.wants_read(passes_up, limits);
        if self.paused {
            return 0;
        }
        self.phase.reads_at_most(limits.head.header_bytes.saturating_sub(self.kept_bytes()))
    }

    /// Whether more bytes may be read from its socket.
    pub(in crate::relay) fn wants_read(&self, passes_up: bool, limits: &Limits) -> bool {
        let is_free = !self.stalled && !self.ready;
        self.phase.wants_read(self.kept_bytes(), is_free, passes_up, limits)
    }

    fn kept_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.bytes.len())
    }

    /// The peer sends no more.
    pub(in crate::relay) fn end(&mut self, step: &mut Step<'_>) {
        self.ended = true;
        let requests_wait =
            self.ready || self.buffer.is_some() && (self.stalled || self.phase.awaits_store());
        let is_unfinished = requests_wait && self.phase.ends_behind_input();
        if !is_unfinished && !self.phase.is_unanswered() {
            self.close(step);
        }
    }

    /// Its socket takes no more for now.
    pub(in crate::relay) fn stall(&mut self, step: &mut Step<'_>) {
        self.stalled = true;
        if let Some(stream) = self.following().and_then(|following| following.sends()) {
            step.hub.pause(stream);
        }
        self.arm(ConnTimer::Write, step);
    }

    /// Between requests: goes on with what has come already, or waits. While the daemon stops, what
    /// has come already is all that is waited for.
    pub(in crate::relay) fn await_request(&mut self, step: &mut Step<'_>) {
        self.go_on_later(step);
        match (step.effects.stopping, self.ready) {
            _ if self.stalled => {}
            (false, _) => self.arm(ConnTimer::Idle, step),
            (true, true) => self.arm(ConnTimer::Stop, step),
            (true, false) => self.close(step),
        }
    }

    /// Ends behind what is to be sent, though the peer may still be sending: for so long in all,
    /// milliseconds.
    pub(in crate::relay) fn linger(&mut self, most_ms: u64, step: &mut Step<'_>) {
        self.buffer = None;
        if self.ended {
            return self.close(step);
        }
        step.effects.outputs.push_back(Output::ShutdownWrite { conn: step.conn });
        self.enter(Phase::Lingering { until_ms: 0, most_ms }, step);
        self.linger_from_now(step);
    }

    fn linger_from_now(&mut self, step: &mut Step<'_>) {
        if let Phase::Lingering { until_ms, most_ms } = &mut self.phase {
            let most_ms = if step.effects.stopping { STOP_MS } else { *most_ms };
            *until_ms = step.now.mono_ms + most_ms;
        }
        self.arm(ConnTimer::Linger, step);
    }

    /// Closes behind what is to be sent.
    pub(in crate::relay) fn close(&mut self, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::Closing) {
            return;
        }
        self.enter(Phase::Closing, step);
        self.buffer = None;
        if self.stalled {
            self.arm(ConnTimer::Write, step);
        }
        step.effects.outputs.push_back(Output::Close { conn: step.conn });
    }

    /// The connection is gone: settles what it still owes.
    pub(in crate::relay) fn vanish(&mut self, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Closing) {
            self.enter(Phase::Closing, step);
        }
        if let Some((timer, _)) = self.timer.take() {
            step.effects.wheel.cancel(timer);
        }
    }

    /// Whether it cannot stay for ever without a word.
    pub(in crate::relay) fn is_watched(&self, is_tunnel: bool) -> bool {
        let is_writing = matches!(self.timer, Some((_, ConnTimer::Write)));
        let may_last = self.phase.may_last(is_tunnel);
        if self.stalled { is_writing } else { may_last || self.timer.is_some() }
    }
}
