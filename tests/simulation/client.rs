//! What one connection should be doing: the life of a client connection, told once more and
//! plainly. Knows nothing of channels.

use std::collections::VecDeque;

use pushserver::relay::options::Limits;

use crate::awaiting::Awaited;
use crate::model::{Information, Message, Name, Wake};
use crate::request::Request;
use crate::stream::Stream;

/// The answer that is due next on a connection.
#[derive(Debug)]
pub(crate) enum Expect {
    Continue,
    Status(u16),
    Information {
        status: u16,
        information: Information,
        form: usize,
    },
    Message(Message, pushserver::store::Gap),
    /// To a poll of several channels: a message, and what may be told as missing before it.
    OfSeveral(Box<Wake>, Vec<pushserver::store::Gap>),
    /// To a poll of several channels that made room: what was under way to it, or 409.
    MadeRoom(Box<Stream>),
    /// Told by a fan-out: what is missing is known only when the message leaves.
    Woken(Wake),
    /// A stream begins.
    Begins,
    /// A Pong with these bytes.
    Pong(Vec<u8>),
    /// A Close with this code.
    Close(u16),
    /// 304 that echoes the request's cursor.
    NothingNew,
    /// To a publisher that has waited.
    Acknowledged(Box<Awaited>),
    /// Of a deleted channel, with those of its holders that have no 410 yet: all have it before
    /// this.
    Deleted {
        holders: Vec<u64>,
        information: Information,
        form: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Head,
    /// So many bytes of the body are still to come.
    Body(usize),
    /// The hub has not answered: it deletes, or its store takes time; or its answer waits.
    Asked,
    Waiting,
    Streaming,
    /// Not beyond this time.
    Lingering(u64),
    Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    Idle,
    Head,
    Body,
    Write,
    Linger,
    Stop,
    Store,
    /// Of a publisher that waits until its message is sent.
    Sent,
    /// Nobody but the relay knows when it is due.
    Ping,
}

/// A request that is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) name: Name,
    pub(crate) told: bool,
    /// Of the channel from which it was taken, to be woken.
    pub(crate) woken: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) phase: Phase,
    /// Requests that have no answer yet; the first one is being served. Also those whose bytes
    /// are still on their way.
    pub(crate) requests: VecDeque<Request>,
    /// Bytes that the relay has and has not dealt with.
    pub(crate) kept: Vec<u8>,
    /// Bytes on their way, in pieces that arrive together or are split; `true`: together.
    pub(crate) coming: VecDeque<(Vec<u8>, bool)>,
    /// Answers in the order in which they are due; with the request they answer, and whether they
    /// end the connection, where that is known already.
    pub(crate) expects: VecDeque<(Expect, Request, Option<bool>)>,
    pub(crate) held: Option<Held>,
    /// The stream that its request became, or its poll of several channels that is held, until that
    /// ends.
    pub(crate) stream: Option<Stream>,
    /// Its message is published, and it waits until that is sent.
    pub(crate) awaited: Option<Awaited>,
    /// The one that has ended.
    pub(crate) ended_stream: Option<Stream>,
    pub(crate) timer: Option<(Timer, u64)>,
    /// How often a timer was set.
    pub(crate) armed: u64,
    pub(crate) ended: bool,
    pub(crate) stalled: bool,
    pub(crate) paused: bool,
    /// Reading was refused, and nobody has said that it is wanted again.
    pub(crate) unread: bool,
    pub(crate) ready: bool,
    /// The peer reads slowly.
    pub(crate) slow: bool,
    /// No request may follow.
    pub(crate) doomed: bool,
    pub(crate) must_close: bool,
    pub(crate) must_abort: bool,
    pub(crate) close_seen: bool,
    /// How long it lingers once it is refused.
    pub(crate) lingers_ms: u64,
}

impl Client {
    pub(crate) fn new(number: u64, slow: bool) -> Self {
        Self {
            number,
            phase: Phase::Head,
            requests: VecDeque::new(),
            kept: Vec::new(),
            coming: VecDeque::new(),
            expects: VecDeque::new(),
            held: None,
            stream: None,
            awaited: None,
            ended_stream: None,
            timer: None,
            armed: 0,
            ended: false,
            stalled: false,
            paused: false,
            unread: false,
            ready: false,
            slow,
            doomed: false,
            must_close: false,
            must_abort: false,
            close_seen: false,
            lingers_ms: 30_000,
        }
    }

    pub(crate) fn arm(&mut self, timer: Timer, limits: &Limits, now_ms: u64) {
        let in_ms = match timer {
            Timer::Idle => limits.keepalive_timeout_ms,
            Timer::Head => limits.header_timeout_ms,
            Timer::Body => limits.body_timeout_ms,
            Timer::Write => limits.write_timeout_ms,
            Timer::Linger => match self.phase {
                Phase::Lingering(until_ms) => until_ms.saturating_sub(now_ms).min(5_000),
                phase => unreachable!("{phase:?}"),
            },
            Timer::Stop => 1_000,
            Timer::Store => 5_000,
            Timer::Sent => unreachable!("it is set when it begins to wait"),
            Timer::Ping => u64::MAX / 2,
        };
        self.timer = Some((timer, now_ms + in_ms));
        self.armed += 1;
    }

    /// A store is awaited.
    pub(crate) fn arm_store(&mut self, stopping: bool, limits: &Limits, now_ms: u64) {
        self.arm(Timer::Store, limits, now_ms);
        if stopping {
            self.timer = Some((Timer::Store, now_ms + 1_000));
        }
    }

    /// More of a body is awaited.
    pub(crate) fn arm_body(&mut self, stopping: bool, limits: &Limits, now_ms: u64) {
        if !self.stalled && !matches!(self.timer, Some((Timer::Stop, _))) {
            self.arm(if stopping { Timer::Stop } else { Timer::Body }, limits, now_ms);
        }
    }

    /// The connection ends after what is to be sent.
    pub(crate) fn close(&mut self, limits: &Limits, now_ms: u64) {
        if self.phase == Phase::Closing {
            return;
        }
        self.phase = Phase::Closing;
        self.kept.clear();
        self.must_close = true;
        self.timer = None;
        if self.stalled {
            self.arm(Timer::Write, limits, now_ms);
        }
    }

    /// What came cannot be read as a request.
    pub(crate) fn fail(
        &mut self,
        status: u16,
        request: Request,
        stopping: bool,
        limits: &Limits,
        now_ms: u64,
    ) {
        self.expects.push_back((Expect::Status(status), request, Some(true)));
        self.kept.clear();
        self.doomed = true;
        if self.ended {
            self.close(limits, now_ms);
        } else {
            self.linger(stopping, limits, now_ms);
        }
    }

    /// What still comes is dropped, for a while.
    pub(crate) fn linger(&mut self, stopping: bool, limits: &Limits, now_ms: u64) {
        self.phase = Phase::Lingering(now_ms + if stopping { 1_000 } else { self.lingers_ms });
        if !self.stalled {
            self.arm(Timer::Linger, limits, now_ms);
        } else {
            self.arm(Timer::Write, limits, now_ms);
        }
    }

    /// A stream has been silent, or takes everything again.
    pub(crate) fn arm_ping(&mut self, limits: &Limits, now_ms: u64) {
        let Some(stream) = &self.stream else { return };
        match stream.ping_ms {
            0 if self.stalled => {}
            0 => self.timer = None,
            _ if self.stalled => self.arm(Timer::Write, limits, now_ms),
            _ => self.arm(Timer::Ping, limits, now_ms),
        }
    }

    /// How many bytes are read at once.
    pub(crate) fn reads_at_most(&self, limits: &Limits) -> usize {
        let left = limits.head.header_bytes.saturating_sub(self.kept.len());
        match self.phase {
            _ if !self.wants_read(limits) => 0,
            Phase::Waiting => left + 1,
            Phase::Streaming if self.publishes() => left.max(1),
            Phase::Streaming => usize::MAX,
            Phase::Asked => left.max(1),
            _ => usize::MAX,
        }
    }

    /// A message of its WebSocket is on the way to the store.
    pub(crate) fn publishes(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.publishes)
    }

    /// What it has sent whole is dealt with though it sends no more.
    pub(crate) fn ends_behind_input(&self) -> bool {
        match self.phase {
            Phase::Head | Phase::Body(_) => true,
            Phase::Streaming => self.stream.as_ref().is_some_and(Stream::takes_messages),
            _ => false,
        }
    }

    /// It ended its side, and its WebSocket, which publishes, has ended behind that.
    pub(crate) fn ended_behind_messages(&self) -> bool {
        self.phase == Phase::Closing
            && self.ended
            && self.ended_stream.as_ref().is_some_and(Stream::takes_messages)
    }

    pub(crate) fn wants_read(&self, limits: &Limits) -> bool {
        match self.phase {
            Phase::Closing => false,
            Phase::Lingering(_) | Phase::Waiting => true,
            Phase::Streaming if self.stream.as_ref().is_some_and(|one| !one.is_websocket()) => true,
            Phase::Streaming if self.publishes() => self.kept.len() < limits.head.header_bytes,
            Phase::Streaming if !self.stalled && !self.ready => true,
            Phase::Head | Phase::Body(_) if !self.stalled && !self.ready => true,
            _ => self.kept.len() < limits.head.header_bytes,
        }
    }
}
