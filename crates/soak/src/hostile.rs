//! Hostile: a client that misbehaves or uses rare features. It does one misdeed after the other, on
//! new channels that expire, and panics if the answer is not the expected one.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::settings::HOLD_MS;
use pushserver_testkit::Random;
use pushserver_testkit::{Backend, Client, LONG, post, until};

/// Idle connections that are kept open at once.
const IDLE_MAX: usize = 50;

/// See the module.
pub(crate) struct Hostile {
    address: SocketAddr,
    random: Random,
    /// How many channels it has named.
    made: u64,
    /// How often it did each misdeed.
    pub(crate) done: BTreeMap<&'static str, u64>,
    idle: VecDeque<Client>,
    held: VecDeque<(Client, Instant)>,
}

type Misdeed = (&'static str, u64, fn(&mut Hostile));

/// Name, weight and function of each misdeed.
const MISDEEDS: [Misdeed; 14] = [
    ("nonsense", 10, Hostile::nonsense),
    ("cut off", 10, Hostile::cut_off),
    ("half-closed", 6, Hostile::half_closed),
    ("large", 3, Hostile::large),
    ("stalled", 1, Hostile::stalled),
    ("looks", 6, Hostile::look),
    ("HEAD", 3, Hostile::head),
    ("displaced", 3, Hostile::displaced),
    ("interval", 4, Hostile::interval),
    ("pipelined", 4, Hostile::pipelined),
    ("expiring", 4, Hostile::expiring),
    ("told", 4, Hostile::told),
    ("crawling", 2, Hostile::crawl),
    ("waiting", 8, Hostile::wait),
];

impl Hostile {
    pub(crate) fn new(address: SocketAddr, seed: u64) -> Self {
        let (idle, held) = (VecDeque::new(), VecDeque::new());
        Self { address, random: Random::new(seed), made: 0, done: BTreeMap::new(), idle, held }
    }

    /// Does each misdeed once, so that the daemon has allocated what it allocates once and keeps,
    /// its connection to the backend included.
    pub(crate) fn rehearse(&mut self, backend: &Backend) {
        for (_, _, misdeed) in MISDEEDS {
            misdeed(self);
        }
        let name = self.name();
        let (mut client, mut publisher) = (self.connect(), self.connect());
        client.get(&format!("/n/{name}"));
        self.until_held(&mut publisher, &name);
        while backend.poll().is_some() {}
        assert_eq!(publisher.post(&format!("/p/brief/{name}"), b"m").answer().status, 201);
        backend.next();
        self.leave();
    }

    /// Does random misdeeds, about `rate` a second, until `stop` is set; then closes its
    /// connections. Drops the notices that `backend` gets.
    pub(crate) fn run(&mut self, rate: u32, stop: &AtomicBool, backend: &mut Backend) {
        let weights = MISDEEDS.map(|(_, weight, _)| weight);
        while !stop.load(Ordering::Acquire) {
            let (name, _, misdeed) = MISDEEDS[self.random.weighted(&weights)];
            misdeed(self);
            *self.done.entry(name).or_default() += 1;
            while backend.poll().is_some() {}
            thread::sleep(Duration::from_secs(1) / rate);
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.idle.clear();
        self.held.clear();
    }

    fn connect(&self) -> Client {
        Client::tcp(self.address)
    }

    /// The name of a new channel.
    fn name(&mut self) -> String {
        self.made += 1;
        format!("m{}", self.made)
    }

    fn until_held(&self, publisher: &mut Client, name: &str) {
        until("it is held", || {
            let answer = publisher.get(&format!("/p/brief/{name}")).answer();
            answer.status == 200 && answer.text().contains("active subscribers: 1")
        });
    }

    fn nonsense(&mut self) {
        let long = "x".repeat(9000);
        let (request, status) = match self.random.below(9) {
            0 => ("GARBAGE\r\n\r\n".to_owned(), 400),
            1 => ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
            2 => ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
            3 => ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
            4 => (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
            5 => {
                let field = format!("X: {long}\r\n").repeat(5);
                (format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"), 431)
            }
            6 => {
                let field = "Content-Length: 99999999\r\n";
                (format!("POST /p/brief/m HTTP/1.1\r\nHost: a\r\n{field}\r\n"), 413)
            }
            7 => {
                let fields = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n";
                (format!("POST /p/brief/m HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 400)
            }
            _ => ("GET /s/brief/m?last_event_id=x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        };
        // The daemon may answer before it has read the whole request.
        let mut client = self.connect();
        client.try_send(request.as_bytes());
        assert_eq!(client.answer().status, status, "{:.80}", request);
    }

    fn cut_off(&mut self) {
        let name = self.name();
        let whole = post(&format!("/p/brief/{name}"), &[b'x'; 300]);
        let length = self.random.index(whole.len());
        let mut client = self.connect();
        client.send(&whole[..length]);
        if self.random.percent(50) {
            client.reset();
        }
        // Otherwise the drop closes the connection in order, in the middle of a request.
    }

    fn half_closed(&mut self) {
        let name = self.name();
        let mut subscriber = self.connect();
        subscriber.get(&format!("/s/brief/{name}")).end_sending();
        assert!(subscriber.ends());
        let mut publisher = self.connect();
        publisher.post(&format!("/p/brief/{name}"), b"m").end_sending();
        assert_eq!(publisher.answer().status, 202);
        assert!(publisher.ends());
    }

    fn large(&mut self) {
        let name = self.name();
        let size = 100_000 + self.random.index(900_001);
        let body: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let mut client = self.connect();
        assert_eq!(client.post(&format!("/p/brief/{name}"), &body).answer().status, 202);
        let answer = client.get(&format!("/s/brief/{name}")).answer();
        assert!(answer.status == 200 && answer.body == body, "{}", answer.head);
    }

    fn stalled(&mut self) {
        let name = self.name();
        let mut client = self.connect();
        client.post(&format!("/p/brief/{name}"), &vec![b'x'; 1 << 20]);
        assert_eq!(client.answer().status, 202);
        let mut narrow = Client::narrow(self.address);
        narrow.get(&format!("/s/brief/{name}"));
        // When the reset comes, most of the message is unread.
        assert_eq!(client.get(&format!("/p/brief/{name}")).answer().status, 200);
        narrow.reset();
    }

    fn look(&mut self) {
        let path = format!("/p/brief/{}", self.name());
        let mut client = self.connect();
        let mut ask = |method: &str| {
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).answer().status
        };
        let statuses = ["GET", "PUT", "GET", "OPTIONS", "PATCH", "DELETE", "DELETE"].map(&mut ask);
        assert_eq!(statuses, [404, 200, 200, 204, 405, 200, 404]);
    }

    fn head(&mut self) {
        let path = format!("/p/brief/{}", self.name());
        let mut stream = TcpStream::connect(self.address).expect("the daemon listens");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the daemon reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the daemon answers");
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    fn displaced(&mut self) {
        let name = self.name();
        for (location, loser) in [("last", 0), ("first", 1)] {
            let path = format!("/{location}/{name}{location}");
            let info = format!("/p/brief/{name}{location}");
            let mut clients = [self.connect(), self.connect()];
            clients[0].get(&path);
            let mut publisher = self.connect();
            self.until_held(&mut publisher, &format!("{name}{location}"));
            clients[1].get(&path);
            assert_eq!(clients[loser].answer().status, 409);
            let status = publisher.post(&info, b"m").answer().status;
            let winner = &mut clients[1 - loser];
            // The newest poll may not be held yet when the message comes.
            assert!(status == 201 || (status == 202 && location == "last"), "{status}");
            assert_eq!(winner.answer().text(), "m");
        }
    }

    fn interval(&mut self) {
        let path = format!("/i/brief/{}", self.name());
        let mut client = self.connect();
        for _ in 0..3 {
            assert_eq!(client.get(&path).answer().status, 304);
        }
        self.idle.push_back(client);
        if self.idle.len() > IDLE_MAX {
            self.idle.pop_front();
        }
    }

    fn pipelined(&mut self) {
        let name = self.name();
        let mut client = self.connect();
        let mut all = Vec::new();
        for part in 0..6 {
            all.extend_from_slice(&post(&format!("/p/brief/{name}"), &[b'0' + part; 50]));
            all.extend_from_slice(
                format!("GET /s/brief/{name} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
            );
        }
        client.send(&all);
        for _ in 0..6 {
            assert_eq!(client.answer().status, 202);
            assert_eq!(client.answer().body, [b'0'; 50]);
        }
    }

    fn expiring(&mut self) {
        let mut client = self.connect();
        for _ in 0..20 {
            let path = format!("/p/brief/{}", self.name());
            assert_eq!(client.post(&path, &[b'x'; 200]).answer().status, 202);
        }
    }

    /// Polls where the daemon sends notices to the backend; half the time it resets the connection
    /// before the message.
    fn told(&mut self) {
        let name = self.name();
        let mut client = self.connect();
        client.get(&format!("/n/{name}"));
        if self.random.percent(50) {
            return client.reset();
        }
        let mut publisher = self.connect();
        publisher.post(&format!("/p/brief/{name}"), b"m");
        assert!(matches!(publisher.answer().status, 201 | 202));
        assert_eq!(client.answer().text(), "m");
    }

    /// Sends a head in small pieces.
    fn crawl(&mut self) {
        let request = format!("GET /p/brief/{} HTTP/1.1\r\nHost: a\r\n\r\n", self.name());
        let mut client = self.connect();
        for piece in request.as_bytes().chunks(7) {
            client.send(piece);
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.answer().status, 404);
    }

    /// Polls until the hold times out.
    fn wait(&mut self) {
        let path = format!("/s/brief/{}", self.name());
        let mut client = self.connect();
        client.get(&path);
        self.held.push_back((client, Instant::now()));
        let over = Duration::from_millis(HOLD_MS + 500);
        while self.held.front().is_some_and(|(_, since)| since.elapsed() > over) {
            let (mut client, _) = self.held.pop_front().expect("just seen");
            assert_eq!(client.answer().status, 304);
        }
    }
}
