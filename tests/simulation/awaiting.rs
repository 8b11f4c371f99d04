//! Publishers that wait until a subscriber is sent their message: when they are answered, and what.

use pushserver::message::MessageId;

use crate::client::{Client, Expect, Phase, Timer};
use crate::model::Information;
use crate::observed::check_information;
use crate::request::Request;
use crate::settings::PLACES;
use crate::world::World;
use pushserver_testkit::Answer;

/// A publisher that waits.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// As it was when the message was published.
    information: Information,
    /// The message, by its store and its place there.
    message: (u16, MessageId),
    /// Tells which of two began to wait first.
    order: u64,
    until_ms: u64,
    sent: Sent,
    is_over: bool,
}

/// Whether a subscriber was sent the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    No,
    /// Something was sent of which nobody can tell what it was.
    Perhaps,
    Yes,
}

impl Awaited {
    pub(crate) fn until_ms(&self) -> u64 {
        self.until_ms
    }

    pub(crate) fn order(&self) -> u64 {
        self.order
    }
}

impl World {
    /// A message is published that nobody was sent, and its publisher waits; unless it does not
    /// want to, or cannot.
    pub(crate) fn awaits(
        &mut self,
        number: u64,
        place: MessageId,
        information: Information,
        request: &Request,
    ) -> bool {
        let of = PLACES[request.place];
        if request.wait_s == 0 || !of.publishes().1 || self.stopping || self.client(number).ended {
            return false;
        }
        let until_ms = self.now().mono_ms + request.wait_s * 1000;
        let (message, order) = ((of.store, place), self.model.order());
        let client = self.client(number);
        client.awaited =
            Some(Awaited { information, message, order, until_ms, sent: Sent::No, is_over: false });
        client.phase = Phase::Asked;
        if !client.stalled {
            client.timer = Some((Timer::Sent, until_ms));
        }
        self.count("publishers that wait");
        true
    }

    /// A subscriber is sent a message.
    pub(crate) fn note_sent(&mut self, store: u16, place: MessageId) {
        for awaited in self.clients.values_mut().flat_map(awaited_of) {
            if awaited.message == (store, place) {
                awaited.sent = Sent::Yes;
            }
        }
    }

    /// A subscriber is sent something; nobody can tell what.
    pub(crate) fn note_sent_something(&mut self) {
        for awaited in self.clients.values_mut().flat_map(awaited_of) {
            if awaited.sent == Sent::No {
                awaited.sent = Sent::Perhaps;
            }
        }
    }

    /// A publisher that waits is answered now; `is_over`: whether its message was sent or not.
    pub(crate) fn acknowledge(&mut self, number: u64, is_over: bool) {
        let stopping = self.stopping;
        let client = self.client(number);
        let Some(awaited) = client.awaited.take() else { return };
        let request = client.requests[0].clone();
        let expect = Expect::Acknowledged(Box::new(Awaited { is_over, ..awaited }));
        client.expects.push_back((expect, request.clone(), Some(request.close || stopping)));
        self.answered(number, &request, true);
    }

    /// A client is sent something unasked: if it waits, its message was sent, as nothing else ends
    /// that unasked.
    pub(crate) fn acknowledge_unasked(&mut self, number: u64) {
        if self.client(number).expects.is_empty() {
            self.acknowledge(number, false);
        }
    }

    /// Whether a publisher that has waited may be answered so.
    pub(crate) fn check_acknowledged(
        &mut self,
        answer: &Answer,
        awaited: &Awaited,
        request: &Request,
    ) {
        match (answer.status, awaited.sent) {
            (201, Sent::Yes | Sent::Perhaps) => self.count("publishers that waited and were heard"),
            (202, Sent::No | Sent::Perhaps) if awaited.is_over => {
                self.count("publishers that waited in vain");
            }
            other => panic!("{awaited:?}: {other:?}"),
        }
        let applied = format!("wait={}", request.wait_s);
        assert_eq!(answer.header("preference-applied"), Some(&*applied));
        check_information(answer, &awaited.information, request.accept, request);
    }

    /// Whether all are answered who wait no longer.
    pub(crate) fn check_awaiting(&self) {
        let now_ms = self.now().mono_ms;
        for client in self.clients.values() {
            let Some(awaited) = &client.awaited else { continue };
            let is_due = now_ms >= awaited.until_ms && !client.stalled;
            assert!(awaited.sent != Sent::Yes && !is_due, "{} waits: {awaited:?}", client.number);
        }
    }
}

/// The publisher of a connection that waits, and those whose answer is on its way.
fn awaited_of(client: &mut Client) -> impl Iterator<Item = &mut Awaited> {
    let answered = client.expects.iter_mut().filter_map(|(expect, ..)| match expect {
        Expect::Acknowledged(awaited) => Some(&mut **awaited),
        _ => None,
    });
    client.awaited.iter_mut().chain(answered)
}

/// Whether the answer of a publisher that did not wait says so.
pub(crate) fn applied(status: u16, request: &Request) -> Option<String> {
    let heeds = status == 201 && request.wait_s > 0 && PLACES[request.place].publishes().1;
    heeds.then(|| format!("wait={}", request.wait_s))
}
