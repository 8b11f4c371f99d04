//! Plan: the connections that a scenario opens, and how it publishes. Opens none itself.

use serde::Serialize;

use crate::lane::Pace;
use crate::reader::Expected;
use crate::transport::Transport;

/// The kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scenario {
    /// One channel, many subscribers; a pause after each message.
    Fanout,
    /// Many channels with one subscriber each.
    Channels,
    /// One channel, many subscribers; the next message follows the last delivery.
    Cycle,
    /// Held polls or streams, and no messages: memory.
    Idle,
    /// Messages without subscribers.
    Publish,
    /// Stored messages are fetched.
    Poll,
    /// A channel with one subscriber, during fan-outs on another.
    Isolation,
}

impl Scenario {
    pub(crate) const ALL: [(&'static str, Self); 7] = [
        ("fanout", Self::Fanout),
        ("channels", Self::Channels),
        ("cycle", Self::Cycle),
        ("idle", Self::Idle),
        ("publish", Self::Publish),
        ("poll", Self::Poll),
        ("isolation", Self::Isolation),
    ];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, scenario)| *scenario == self).map_or("", |(name, _)| name)
    }

    /// Whether its subscribers may have streams: they wait for messages.
    pub(crate) fn allows_streams(self) -> bool {
        !matches!(self, Self::Publish | Self::Poll)
    }

    /// The operation that figures are given for.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Channels | Self::Publish => "message",
            Self::Poll => "poll",
            _ => "delivery",
        }
    }
}

/// When a subscriber polls again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repoll {
    /// As soon as it has the message.
    AtOnce,
    /// As soon as no delivery waits to be read, so that polls do not delay the measurement.
    Soon,
    /// All at once, when all subscribers of the channel have the message. On loopback this costs
    /// the server about 9 us more for each: acknowledgements no longer travel with the polls.
    AfterAll,
    /// Never: it has a stream.
    Never,
    /// At once, for `count` stored messages one after the other, then from the first again.
    Stored { count: u64 },
}

/// The load as the command line sets it; `None`: the scenario's default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) subscribers: Option<usize>,
    pub(crate) channels: Option<usize>,
    pub(crate) publishers: Option<usize>,
    /// Messages per second.
    pub(crate) rate: Option<f64>,
    pub(crate) repoll: Option<Repoll>,
    pub(crate) transport: Transport,
    /// Stored messages to fetch, one after the other.
    pub(crate) stored: Option<u64>,
    /// Bytes of a message.
    pub(crate) size: Option<usize>,
    pub(crate) busy: bool,
    pub(crate) quiet: bool,
    /// How long nothing may move before what is missing counts as lost, in nanoseconds.
    pub(crate) patience_ns: Option<u64>,
}

/// What the load generator does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) groups: Vec<Group>,
    pub(crate) repoll: Repoll,
    pub(crate) transport: Transport,
    /// Bytes of a message.
    pub(crate) size: usize,
    /// Whether the loop never sleeps.
    pub(crate) busy: bool,
    pub(crate) quiet: bool,
    /// How long nothing may move before what is missing counts as lost, in nanoseconds.
    pub(crate) patience_ns: u64,
}

/// Channels with the same pace.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) channels: usize,
    /// Spread evenly over the channels.
    pub(crate) subscribers: usize,
    pub(crate) publishers: usize,
    pub(crate) pace: Pace,
}

impl Repoll {
    /// The name on the command line, if it has one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at-once",
            Self::Soon => "soon",
            Self::AfterAll => "after-all",
            Self::Never => "never",
            Self::Stored { .. } => "stored",
        }
    }
}

impl Plan {
    /// The plan of a scenario with these wishes, with at most `connections_max` connections.
    pub(crate) fn new(scenario: Scenario, wishes: &Wishes, connections_max: usize) -> Self {
        let few = wishes.publishers.unwrap_or(32).clamp(1, connections_max / 4);
        let room = connections_max.saturating_sub(few + 2);
        let subscribers = |default: usize| wishes.subscribers.unwrap_or(default).clamp(1, room);
        let open = |rate: f64| Pace::Open { interval_ns: ((1e9 / rate) as u64).max(1) };
        let pace =
            |window: usize, pause: bool| wishes.rate.map_or(Pace::Closed { window, pause }, open);
        let mut repoll = Repoll::AtOnce;
        let mut probe = None;
        let group = match scenario {
            Scenario::Fanout | Scenario::Cycle | Scenario::Isolation => {
                let channels = wishes.channels.unwrap_or(1).max(1);
                let publishers = wishes.publishers.unwrap_or(1).min(channels);
                let mut pace = pace(channels, scenario != Scenario::Cycle);
                if scenario == Scenario::Isolation {
                    probe = Some(Group {
                        channels: 1,
                        subscribers: 1,
                        publishers: 1,
                        pace: open(wishes.rate.unwrap_or(500.0)),
                    });
                    pace = Pace::Closed { window: channels, pause: true };
                }
                if scenario == Scenario::Fanout {
                    repoll = Repoll::Soon;
                }
                let default = if scenario == Scenario::Isolation { 8000 } else { 1000 };
                Group { channels, subscribers: subscribers(default), publishers, pace }
            }
            Scenario::Channels => {
                let channels = subscribers(wishes.channels.unwrap_or(1000));
                let publishers = few.min(channels);
                Group { channels, subscribers: channels, publishers, pace: pace(publishers, false) }
            }
            Scenario::Idle => {
                let subscribers = subscribers(10_000);
                let channels = wishes.channels.unwrap_or(subscribers).clamp(1, subscribers);
                let publishers = few.min(channels);
                Group { channels, subscribers, publishers, pace: pace(publishers, false) }
            }
            Scenario::Publish => {
                let channels = wishes.channels.unwrap_or(few).max(1);
                let publishers = few.min(channels);
                Group { channels, subscribers: 0, publishers, pace: pace(publishers, false) }
            }
            Scenario::Poll => {
                repoll = Repoll::Stored { count: wishes.stored.unwrap_or(1).max(1) };
                let subscribers = subscribers(32);
                let channels = wishes.channels.unwrap_or(1).max(1);
                Group { channels, subscribers, publishers: 1, pace: pace(1, false) }
            }
        };
        if !matches!(repoll, Repoll::Stored { .. }) {
            let of_stream = wishes.transport.is_stream().then_some(Repoll::Never);
            repoll = of_stream.or(wishes.repoll).unwrap_or(repoll);
        }
        let transport = wishes.transport;
        let (size, busy) = (wishes.size.unwrap_or(200), wishes.busy);
        let groups = std::iter::once(group).chain(probe).collect();
        let patience_ns = wishes.patience_ns.unwrap_or(10_000_000_000);
        let quiet = wishes.quiet;
        Self { scenario, groups, repoll, transport, size, busy, quiet, patience_ns }
    }

    /// The name of a channel, not used by any other run.
    pub(crate) fn channel_name(run: u32, index: usize) -> String {
        format!("bench-{run:08x}-{index}")
    }

    /// What the subscribers of the channel with this index receive in this run.
    pub(crate) fn expected(&self, run: u32, index: usize) -> Expected {
        Expected { transport: self.transport, run, channel: index as u32, size: self.size }
    }

    /// How many subscribers there will be.
    pub(crate) fn subscribers(&self) -> usize {
        self.groups.iter().map(|group| group.subscribers).sum()
    }

    /// How many channels there will be.
    pub(crate) fn channels(&self) -> usize {
        self.groups.iter().map(|group| group.channels).sum()
    }

    /// How many publishers there will be.
    pub(crate) fn publishers(&self) -> usize {
        self.groups.iter().map(|group| group.publishers).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Repoll, Scenario, Wishes};
    use crate::lane::Pace;
    use crate::transport::Transport;

    #[test]
    fn every_scenario_fits_into_few_connections() {
        for (_, scenario) in Scenario::ALL {
            let plan = Plan::new(scenario, &Wishes::default(), 100);
            assert!(plan.subscribers() + plan.publishers() <= 100, "{plan:?}");
        }
    }

    #[test]
    fn the_probe_of_isolation_has_a_channel_and_a_publisher_of_its_own() {
        let plan = Plan::new(Scenario::Isolation, &Wishes::default(), 20_000);
        assert_eq!((plan.channels(), plan.subscribers(), plan.publishers()), (2, 8001, 2));
        assert_eq!(plan.groups[1].pace, Pace::Open { interval_ns: 2_000_000 });
    }

    #[test]
    fn a_rate_makes_an_open_loop_and_repolls_can_be_chosen() {
        let wishes =
            Wishes { rate: Some(100.0), repoll: Some(Repoll::AfterAll), ..Wishes::default() };
        let plan = Plan::new(Scenario::Fanout, &wishes, 20_000);
        assert_eq!(plan.groups[0].pace, Pace::Open { interval_ns: 10_000_000 });
        assert_eq!(plan.repoll, Repoll::AfterAll);
    }
    #[test]
    fn a_stream_never_polls_again() {
        let wishes = Wishes { transport: Transport::WebSocket, ..Wishes::default() };
        for (_, scenario) in Scenario::ALL.into_iter().filter(|(_, all)| all.allows_streams()) {
            assert_eq!(Plan::new(scenario, &wishes, 20_000).repoll, Repoll::Never);
        }
    }
}
