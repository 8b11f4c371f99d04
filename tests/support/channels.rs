//! What is done with channels, at the locations of [`super::settings()`].

use super::{Answer, Client, Daemon, request, until};

impl Daemon {
    /// Sends a GET to a channel's subscriber location.
    pub(crate) fn poll(&self, channel: &str) -> Client {
        let mut client = self.connect();
        client.get(&format!("/subscriber/{channel}"));
        client
    }

    /// Publishes, on a connection of its own.
    #[track_caller]
    pub(crate) fn publish(&self, channel: &str, body: impl AsRef<[u8]>) -> Answer {
        self.connect().post(&format!("/publisher/{channel}"), body.as_ref()).answer()
    }

    /// A publisher that has its place, with a message of `length` bytes that is still to come.
    pub(crate) fn begin_publishing(&self, channel: &str, length: usize) -> Client {
        let mut publisher = self.connect();
        let line = format!("POST /publisher/{channel}");
        publisher.send(request(&line, &format!("Content-Length: {length}\r\n")));
        publisher
    }

    /// How many requests are held on a channel.
    pub(crate) fn held(&self, channel: &str) -> usize {
        let answer = self.connect().get(&format!("/publisher/{channel}")).answer();
        if answer.status == 404 {
            return 0;
        }
        let line = answer.text().lines().find_map(|line| line.strip_prefix("active subscribers: "));
        line.expect("channel information").parse().expect("a number")
    }

    /// Waits until so many requests are held on a channel.
    #[track_caller]
    pub(crate) fn until_held(&self, channel: &str, count: usize) {
        until(&format!("{count} held on {channel}"), || self.held(channel) == count);
    }

    /// Sends requests to a channel that are held.
    #[track_caller]
    pub(crate) fn hold(&self, channel: &str, count: usize) -> Vec<Client> {
        let clients = (0..count).map(|_| self.poll(channel)).collect();
        self.until_held(channel, count);
        clients
    }

    /// Follows a channel by its cursor; gives the numbers that came.
    #[track_caller]
    pub(crate) fn follow(&self, channel: &str, count: usize) -> Vec<usize> {
        let mut numbers = Vec::new();
        let mut cursor = String::new();
        let mut client = self.connect();
        while numbers.len() < count {
            let answer =
                client.send(request(&format!("GET /subscriber/{channel}"), &cursor)).answer();
            assert_eq!(answer.status, 200, "{}", answer.head);
            numbers.push(answer.text().parse().expect("a number"));
            cursor = answer.cursor();
        }
        numbers
    }
}
