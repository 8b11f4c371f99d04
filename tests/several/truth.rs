//! Truth: what the server has done, in its order; and what publishers were told.

use std::collections::BTreeMap;

use pushserver::store::redis::announcement::Announcement;
use pushserver::store::redis::keys::Keys;
use pushserver_testkit::fake_redis::Server;

/// A message that was kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) channel: usize,
    pub(crate) body: String,
    /// When it was published, milliseconds.
    at_ms: u64,
    /// It went with its channel.
    pub(crate) is_deleted: bool,
}

/// What a publisher was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) at_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// By second and number.
    kept: BTreeMap<(u64, u32), Kept>,
    /// By body.
    pub(crate) told: BTreeMap<String, Told>,
}

impl Truth {
    /// Notes what the server has done.
    pub(crate) fn note(&mut self, server: &mut Server, names: &[&str], now_ms: u64) {
        let keys = Keys::new(b"", 0);
        for announced in server.take_announced() {
            let name = keys.name(&announced.channel).expect("a channel of the store");
            let channel = names.iter().position(|one| one.as_bytes() == name).expect("one of ours");
            match Announcement::read(&announced.payload).expect("an announcement") {
                Announcement::Deleted(_) => {
                    let all = self.kept.values_mut().filter(|kept| kept.channel == channel);
                    all.for_each(|kept| kept.is_deleted = true);
                }
                Announcement::Published(published) if published.is_stored => {
                    let place = (published.id.time, published.number);
                    let newest = self.kept.last_key_value().map(|(place, _)| *place);
                    assert!(newest.is_none_or(|newest| newest < place), "places rise");
                    let body = published.content.expect("a short one").body;
                    let body = String::from_utf8_lossy(&body).into_owned();
                    let (at_ms, is_deleted) = (now_ms, false);
                    self.kept.insert(place, Kept { channel, body, at_ms, is_deleted });
                }
                Announcement::Published(_) => {}
            }
        }
    }

    /// All of these channels, in their order.
    pub(crate) fn of(&self, channels: &[usize]) -> Vec<&Kept> {
        self.kept.values().filter(|kept| channels.contains(&kept.channel)).collect()
    }

    /// What was acknowledged was done, once; what was refused was not done later: not by more than
    /// `late_ms`.
    pub(crate) fn check(&self, late_ms: u64) {
        for (body, told) in &self.told {
            let mut all = self.kept.values().filter(|kept| kept.body == *body);
            let first = all.next();
            assert!(all.next().is_none(), "{body} is there twice");
            let is_kept = !body.starts_with('u');
            match (told.status, first) {
                (201 | 202, None) => assert!(!is_kept, "{body} was acknowledged, and is nowhere"),
                (201 | 202, Some(_)) => assert!(is_kept, "{body} was not to be kept"),
                (503, Some(Kept { at_ms, .. })) => {
                    let refused_ms = told.at_ms;
                    assert!(*at_ms <= refused_ms + late_ms, "{body}: {refused_ms}, then {at_ms}");
                }
                (503 | 507, None) => {}
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
