//! Targets: the daemons that the clients of a run may ask, and what is known of each: where it
//! listens, and what has happened to it. Knows no process.

use std::net::SocketAddr;

use pushserver_testkit::Random;

/// How long a daemon may take until Redis answers it again, milliseconds: far beyond the two
/// seconds that are promised, for a machine that has other work.
const AWAY_MS: u64 = 6000;

/// One life of a daemon, from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) daemon: usize,
    /// How often it was started before.
    pub(crate) life: u64,
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Targets(Vec<Target>);

#[derive(Debug)]
struct Target {
    /// `None` while it does not run.
    address: Option<SocketAddr>,
    life: u64,
    /// Until then it may be without Redis.
    away_until_ms: u64,
}

impl Targets {
    /// Daemons that run since the beginning.
    pub(crate) fn new(addresses: &[SocketAddr]) -> Self {
        let target = |address: &SocketAddr| Target {
            address: Some(*address),
            life: 0,
            away_until_ms: if addresses.len() > 1 { AWAY_MS } else { 0 },
        };
        Self(addresses.iter().map(target).collect())
    }

    /// One that runs, by chance.
    pub(crate) fn pick(&self, random: &mut Random) -> Place {
        let running: Vec<usize> = (0..self.0.len()).filter(|daemon| self.runs(*daemon)).collect();
        let daemon = if running.len() == 1 { running[0] } else { random.pick(&running) };
        Place { daemon, life: self.0[daemon].life }
    }

    pub(crate) fn runs(&self, daemon: usize) -> bool {
        self.0[daemon].address.is_some()
    }

    /// Where it listens.
    pub(crate) fn address(&self, place: Place) -> SocketAddr {
        self.0[place.daemon].address.expect("it runs")
    }

    /// Whether this life goes on.
    pub(crate) fn lives(&self, place: Place) -> bool {
        self.0[place.daemon].life == place.life && self.runs(place.daemon)
    }

    /// Whether it may be without Redis.
    pub(crate) fn may_refuse(&self, place: Place, now_ms: u64) -> bool {
        now_ms < self.0[place.daemon].away_until_ms
    }

    pub(crate) fn ended(&mut self, daemon: usize) {
        self.0[daemon].address = None;
    }

    pub(crate) fn started(&mut self, daemon: usize, address: SocketAddr, now_ms: u64) {
        let target = &mut self.0[daemon];
        target.address = Some(address);
        target.life += 1;
        target.away_until_ms = now_ms + AWAY_MS;
    }

    /// Its connection to Redis was ended.
    pub(crate) fn cut(&mut self, daemon: usize, now_ms: u64) {
        self.0[daemon].away_until_ms = now_ms + AWAY_MS;
    }

    /// The life that it has now, or had last.
    pub(crate) fn place(&self, daemon: usize) -> Place {
        Place { daemon, life: self.0[daemon].life }
    }
}
