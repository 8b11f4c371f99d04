use super::*;
use crate::store::redis::options::{Credentials, Limits, Sentinels};

const NODE: &str = "redis.example";

fn options() -> Options {
    Options {
        name: "default".into(),
        server: Server::Node(Address::Tcp(NODE.into(), 6379)),
        credentials: Credentials { username: None, password: Some("geheim".into()) },
        database: 3,
        key_prefix: Box::default(),
        limits: Limits::new((0, 0), 0, 0),
        timeout_ms: 1500,
        cache_bytes: 0,
    }
}

/// A link with a network and a clock that a test plays.
struct Play {
    link: Link<u32>,
    now_ms: u64,
    /// What was sent on the connection that there is.
    sent: Vec<u8>,
    dialled: Vec<String>,
    closed: usize,
    events: Vec<Event<u32>>,
}

impl Play {
    fn new(options: Options) -> Self {
        let link = Link::new(options, Jitter::new(7));
        let mut play = Self {
            link,
            now_ms: 1_000_000,
            sent: Vec::new(),
            dialled: Vec::new(),
            closed: 0,
            events: Vec::new(),
        };
        play.wait(0);
        play
    }

    /// A link that is up.
    fn up() -> Self {
        let mut play = Self::new(options());
        play.tell(Input::Connected);
        play.receive(&greeted("run-1"));
        assert_eq!(play.events(), [Event::Up]);
        play.sent.clear();
        play
    }

    fn settle(&mut self) {
        while let Some(output) = self.link.poll_output() {
            assert!(!format!("{output:?}").contains("geheim"));
            match output {
                Output::Connect(address) => {
                    self.dialled.push(address.to_string());
                    self.sent.clear();
                }
                Output::Send(bytes) => self.sent.extend(bytes),
                Output::Close => self.closed += 1,
            }
        }
        while let Some(event) = self.link.poll_event() {
            self.events.push(event);
        }
        assert!(!format!("{:?}", self.link).contains("geheim"));
    }

    fn tell(&mut self, input: Input<'_>) {
        self.link.handle_input(input, self.now_ms);
        self.settle();
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.tell(Input::Received(bytes));
    }

    /// Time passes, and everything that is due meanwhile is done.
    fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        let mut steps = 0;
        while let Some(due_ms) = self.link.poll_timeout().filter(|due_ms| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.link.handle_timeout(self.now_ms);
            self.settle();
            steps += 1;
            assert!(steps <= 40 + ms / 50, "it spins");
        }
        self.now_ms = end_ms;
    }

    fn until_dialled(&mut self, count: usize) {
        while self.dialled.len() < count {
            self.wait(1);
        }
    }

    fn send(&mut self, key: u32) -> Result<(), NotSent> {
        let sent = self.link.send(Command::plain(&[b"GET", b"x"]), key, self.now_ms);
        self.settle();
        sent.map_err(|(not_sent, given_back)| {
            assert_eq!(given_back, key);
            not_sent
        })
    }

    fn events(&mut self) -> Vec<Event<u32>> {
        std::mem::take(&mut self.events)
    }

    /// Why it is not up any more.
    #[track_caller]
    fn down(&mut self) -> Reason {
        match self.events().pop() {
            Some(Event::Down(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }
}

/// What a server answers to the whole greeting.
fn greeted(run_id: &str) -> Vec<u8> {
    let info = format!("# Server\r\nredis_version:7.0.15\r\nrun_id:{run_id}\r\n");
    format!(
        "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n\
         +OK\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n+PONG\r\n\
         *2\r\n$10\r\n1700000000\r\n$6\r\n123456\r\n={}\r\ntxt:{info}\r\n\
         %1\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n",
        info.len() + 4
    )
    .into_bytes()
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().into())
}

#[test]
fn a_connection_is_greeted_in_one_write() {
    let mut play = Play::new(options());
    assert_eq!(play.dialled, ["redis.example:6379"]);
    assert!(play.sent.is_empty());
    play.tell(Input::Connected);
    let sent = String::from_utf8(play.sent.clone()).expect("it is ASCII");
    assert!(sent.starts_with(
        "*7\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$6\r\ngeheim\r\n\
         $7\r\nSETNAME\r\n$10\r\npushserver\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nROLE\r\n"
    ));
    assert_eq!(play.send(1), Err(NotSent::Away));
    play.receive(&greeted("a"));
    assert_eq!(play.events(), [Event::Up]);
    // Half a second on their clock, at least what it showed.
    let deadline_ms = play.link.deadline_ms(play.now_ms).expect("it was heard");
    assert_eq!(deadline_ms, 1_700_000_000_123 - 50 + 1500);
}

#[test]
fn replies_belong_to_commands_in_their_order_whatever_is_pushed_between() {
    let mut play = Play::up();
    for key in 1..=3 {
        play.send(key).expect("it is up");
    }
    play.receive(b"+a\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\nD 1\r\n-ERR b\r\n");
    let error = Value::Error(b"ERR b"[..].into());
    let push = Event::Push(b"c"[..].into(), b"D 1"[..].into());
    assert_eq!(play.events(), [Event::Reply(1, text("a")), push, Event::Reply(2, error)]);
    play.tell(Input::Closed("reset"));
    assert_eq!(play.events(), [Event::Lost(3), Event::Down(Reason::Closed("reset".into()))]);
}

#[test]
fn a_subscription_is_answered_in_its_place_and_its_refusal_is_nobody_elses() {
    let mut play = Play::up();
    let subscribe = Command::plain(&[b"SUBSCRIBE", b"c"]);
    play.link.send_unanswered(&subscribe, play.now_ms);
    play.send(1).expect("it is up");
    play.receive(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+a\r\n");
    assert_eq!(play.events(), [Event::Reply(1, text("a"))]);
    play.link.send_unanswered(&subscribe, play.now_ms);
    play.send(2).expect("it is up");
    play.receive(b"-NOPERM no such channel\r\n+b\r\n");
    assert_eq!(play.events()[0], Event::Lost(2));
    // A push that answers nothing.
    let mut play = Play::up();
    play.send(3).expect("it is up");
    play.receive(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    assert_eq!(play.events()[0], Event::Lost(3));
}

#[test]
fn a_script_that_is_not_known_goes_again_with_its_body() {
    use crate::store::redis::keys::Keys;
    use crate::store::redis::scripts::{Calls, Script};
    let mut play = Play::up();
    let keys = Keys::new(b"", 0);
    let calls = Calls { keys: &keys, limits: Limits::new((0, 0), 0, 0) };
    for key in [1, 2] {
        let name = [b'a' + u8::try_from(key).expect("small")];
        play.link.send(calls.info(&name), key, play.now_ms).expect("it is up");
    }
    play.settle();
    play.sent.clear();
    play.receive(b"-NOSCRIPT No matching script.\r\n*2\r\n$7\r\nmissing\r\n:5\r\n");
    assert_eq!(play.events().len(), 1, "the second has its answer");
    let mut whole = Vec::new();
    calls.info(b"b").write_whole(&mut whole);
    assert_eq!(play.sent, whole);
    assert!(play.sent.windows(20).any(|part| *part == Script::Info.body().as_bytes()[..20]));
    play.receive(b"+late\r\n");
    assert_eq!(play.events(), [Event::Reply(1, text("late"))]);
    assert_eq!(play.link.in_flight(), 0);
}

#[test]
fn a_command_without_an_answer_ends_the_connection_at_its_time() {
    let mut play = Play::up();
    play.send(1).expect("it is up");
    play.wait(700);
    play.send(2).expect("it is up");
    play.receive(b"+a\r\n");
    play.events();
    play.wait(1499);
    assert_eq!(play.events(), []);
    play.wait(1);
    assert_eq!(play.events(), [Event::Lost(2), Event::Down(Reason::Silent("command"))]);
    assert_eq!(play.send(3), Err(NotSent::Away));
}

#[test]
fn a_silent_server_is_asked_whether_it_is_there() {
    let mut play = Play::up();
    play.wait(999);
    assert!(play.sent.is_empty());
    play.wait(1);
    assert_eq!(play.sent, b"*1\r\n$4\r\nPING\r\n");
    play.receive(b"+PONG\r\n");
    play.wait(999);
    play.receive(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\nD 1\r\n");
    play.sent.clear();
    play.wait(999);
    assert!(play.sent.is_empty(), "it was heard");
    play.wait(1);
    assert!(!play.sent.is_empty());
    play.events();
    play.wait(1500);
    assert_eq!(play.down(), Reason::Silent("command"));
}

#[test]
fn a_greeting_has_two_seconds_in_all() {
    let mut play = Play::new(options());
    play.wait(1200);
    play.tell(Input::Connected);
    let answer = greeted("a");
    play.receive(&answer[..answer.len() - 1]);
    play.wait(799);
    assert_eq!(play.closed, 0);
    play.wait(1);
    assert_eq!(play.closed, 1);
    play.receive(&answer[answer.len() - 1..]);
    assert_eq!(play.events(), [], "nothing of it is wanted any more");
}

#[test]
fn what_is_wrong_in_a_greeting_is_said() {
    let good = String::from_utf8(greeted("a")).expect("it is ASCII");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    for (answer, reason) in [
        ("-WRONGPASS no\r\n".into(), Reason::Rights("WRONGPASS no".into())),
        ("-NOAUTH a\x07b\r\n".into(), Reason::Rights("NOAUTH a b".into())),
        (
            "-ERR unknown command 'HELLO'\r\n".into(),
            Reason::NoResp3("ERR unknown command 'HELLO'".into()),
        ),
        ("-NOPROTO no\r\n".into(), Reason::NoResp3("NOPROTO no".into())),
        (
            with("proto\r\n:3", "proto\r\n:2"),
            Reason::NoResp3("it answers in another version".into()),
        ),
        (with("+OK", "-ERR DB index"), Reason::Greeting("SELECT", "ERR DB index".into())),
        (with("$6\r\nmaster", "$5\r\nslave"), Reason::NoMaster),
        (with("+PONG", "-LOADING no"), Reason::Refused(Refusal::Loading)),
        (with("+PONG", "-MASTERDOWN no"), Reason::Refused(Refusal::Loading)),
        (with("+PONG", "-BUSY no"), Reason::Greeting("PING", "BUSY no".into())),
        (with("*2\r\n$10\r\n1700000000", "*2\r\n$10\r\n170000000x"), Reason::Unexpected("TIME")),
        (
            "HTTP/1.1 400 Bad Request\r\n".into(),
            Reason::Rubbish(crate::store::redis::resp::Breach::NoType(b'H')),
        ),
        ("+OK\r\n".into(), Reason::Unexpected("greeting")),
    ] {
        let mut play = Play::new(options());
        play.tell(Input::Connected);
        play.receive(answer.as_bytes());
        assert_eq!(play.closed, 1, "{answer:?}");
        assert!(!play.link.is_up());
        let is_rare = reason.is_of_rights();
        // It dials again, but not more than once a second where only an operator can help.
        play.wait(if is_rare { 999 } else { 74 });
        assert_eq!(play.dialled.len(), 1, "{reason:?}");
        play.wait(251);
        assert_eq!(play.dialled.len(), 2, "{reason:?}");
    }
    // Rights that are not needed.
    let at = good.find('=').expect("INFO");
    let mut play = Play::new(options());
    play.tell(Input::Connected);
    play.receive(format!("{}-NOPERM\r\n-NOPERM\r\n", &good[..at]).as_bytes());
    assert_eq!(play.events(), [Event::Up]);
}

#[test]
fn dials_become_rarer_and_are_never_more_than_twelve_in_a_second() {
    let mut play = Play::new(options());
    let mut dials = vec![play.now_ms];
    while dials.len() < 60 {
        play.tell(Input::ConnectFailed("refused"));
        play.until_dialled(dials.len() + 1);
        dials.push(play.now_ms);
    }
    assert!(dials.windows(13).all(|some| some[12] - some[0] > 1000));
    assert!(dials.windows(2).all(|pair| pair[1] - pair[0] <= 1251));
    assert!(dials[59] - dials[9] > 45_000, "about one in a second");
    assert_eq!(play.events(), [], "it was never up");
    // Up for less than five seconds, the rests stay long; for five, they begin anew.
    for (up_ms, at_most) in [(4000, 1251), (5000, 126)] {
        play.tell(Input::Connected);
        play.receive(&greeted("a"));
        for _ in 0..up_ms / 500 {
            play.wait(500);
            play.receive(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\nD 1\r\n");
        }
        play.tell(Input::Closed("reset"));
        let before = play.dialled.len();
        play.wait(if up_ms < 5000 { 700 } else { 0 });
        assert_eq!(play.dialled.len(), before);
        play.wait(at_most);
        assert_eq!(play.dialled.len(), before + 1);
    }
}

#[test]
fn a_node_that_is_none_to_talk_to_any_more_is_left_at_once() {
    for (error, refusal) in [
        ("READONLY", Refusal::ReadOnly),
        ("LOADING", Refusal::Loading),
        ("MASTERDOWN", Refusal::Loading),
    ] {
        let mut play = Play::up();
        play.send(1).expect("it is up");
        play.send(2).expect("it is up");
        play.receive(format!("-{error} no\r\n").as_bytes());
        let events = play.events();
        assert!(matches!(events[..], [Event::Reply(1, _), Event::Lost(2), Event::Down(_)]));
        assert_eq!(events[2], Event::Down(Reason::Refused(refusal)));
    }
}

#[test]
fn a_user_who_may_not_do_what_is_asked_is_left_and_dialled_no_more_than_once_a_second() {
    let mut play = Play::up();
    play.send(1).expect("it is up");
    play.receive(b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n");
    let events = play.events();
    assert!(matches!(&events[..], [Event::Reply(1, _), Event::Down(Reason::Rights(words))]
        if words.contains("evalsha")));
    let dials = play.dialled.len();
    play.wait(999);
    assert_eq!(play.dialled.len(), dials);
    play.wait(251);
    assert_eq!(play.dialled.len(), dials + 1);
}

#[test]
fn nothing_is_done_for_a_caller_who_was_given_up_with_an_older_one() {
    let mut play = Play::up();
    play.send(1).expect("it is up");
    let first_ms = play.link.deadline_ms(play.now_ms);
    play.wait(1400);
    assert_eq!(play.link.deadline_ms(play.now_ms), first_ms);
    play.send(2).expect("it is up");
    play.wait(100);
    let events = play.events();
    assert_eq!(events[..2], [Event::Lost(1), Event::Lost(2)]);
}

#[test]
fn commands_under_way_are_bounded_in_number_and_bytes() {
    let mut play = Play::up();
    for key in 0..1024 {
        assert_eq!(play.send(key), Ok(()));
    }
    assert_eq!(play.send(1024), Err(NotSent::Full));
    play.receive(b"+a\r\n");
    assert_eq!(play.send(1024), Ok(()));
    let mut play = Play::up();
    let keys = crate::store::redis::keys::Keys::new(b"", 0);
    let calls =
        crate::store::redis::scripts::Calls { keys: &keys, limits: Limits::new((0, 0), 0, 0) };
    let name = vec![b'x'; 4 << 20];
    let mut count = 0;
    while play.link.send(calls.info(&name), 0, play.now_ms).is_ok() {
        count += 1;
    }
    // The name stands in two keys.
    assert!((1..=4).contains(&count), "{count}");
    assert!(play.link.is_up());
}

#[test]
fn another_run_of_the_server_is_noticed_for_a_minute() {
    let mut play = Play::up();
    assert!(play.link.is_fresh(play.now_ms));
    let again = |play: &mut Play, run_id: &str| {
        play.tell(Input::Closed("reset"));
        play.wait(1300);
        play.tell(Input::Connected);
        play.receive(&greeted(run_id));
        assert!(play.link.is_up());
    };
    for _ in 0..61 {
        play.wait(1000);
        play.receive(b"+PONG\r\n");
    }
    assert!(!play.link.is_fresh(play.now_ms));
    again(&mut play, "run-1");
    assert!(!play.link.is_fresh(play.now_ms), "it is the same");
    again(&mut play, "run-2");
    assert!(play.link.is_fresh(play.now_ms + 59_000));
    assert!(!play.link.is_fresh(play.now_ms + 60_000));
}

#[test]
fn the_link_may_be_lost_at_every_byte() {
    let conversation = [
        greeted("a"),
        b"+a\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\nD 1\r\n*2\r\n$2\r\nok\r\n:5\r\n".to_vec(),
    ];
    let length = conversation.iter().map(Vec::len).sum();
    for cut in 0..=length {
        let mut play = Play::new(options());
        play.tell(Input::Connected);
        let mut left = cut;
        let mut sent = 0;
        for part in &conversation {
            for byte in &part[..part.len().min(left)] {
                play.receive(&[*byte]);
            }
            left = left.saturating_sub(part.len());
            if play.link.is_up() && sent == 0 {
                for key in 1..=2 {
                    play.send(key).expect("it is up");
                    sent += 1;
                }
            }
        }
        play.tell(Input::Closed("reset"));
        let events = play.events();
        let settled = |key| {
            let is_of = |event: &&Event<u32>| match event {
                Event::Reply(of, _) | Event::Lost(of) => *of == key,
                _ => false,
            };
            events.iter().filter(is_of).count()
        };
        for key in 1..=sent {
            assert_eq!(settled(key), 1, "cut at {cut}: {events:?}");
        }
        let ups = events.iter().filter(|event| **event == Event::Up).count();
        let downs = events.iter().filter(|event| matches!(event, Event::Down(_))).count();
        assert_eq!((ups, downs), if cut >= conversation[0].len() { (1, 1) } else { (0, 0) });
        assert_eq!(play.link.in_flight(), 0);
        // And it comes back.
        play.wait(1300);
        play.tell(Input::Connected);
        play.receive(&greeted("a"));
        assert_eq!(play.events(), [Event::Up]);
    }
}

fn with_sentinels() -> Options {
    let nodes = ["s1", "s2", "s3"].map(|name| Address::Tcp(name.into(), 26379)).to_vec();
    let credentials = Credentials::default();
    let sentinels = Sentinels { master: "m".into(), nodes, credentials };
    Options { server: Server::Sentinel(sentinels), ..options() }
}

#[test]
fn sentinels_are_asked_in_turn_and_anew_at_each_dial() {
    let mut play = Play::new(with_sentinels());
    assert_eq!(play.dialled, ["s1:26379"]);
    play.tell(Input::ConnectFailed("refused"));
    play.until_dialled(2);
    assert_eq!(play.dialled[1..], ["s2:26379"]);
    play.tell(Input::Connected);
    assert!(play.sent.ends_with(b"get-master-addr-by-name\r\n$1\r\nm\r\n"));
    // One that says nothing has half a second.
    play.wait(499);
    assert_eq!(play.closed, 1);
    play.wait(1);
    play.until_dialled(3);
    assert_eq!(play.dialled[2..], ["s3:26379"]);
    play.tell(Input::Connected);
    play.receive(b"*2\r\n$4\r\n10.1\r\n$4\r\n6380\r\n");
    assert_eq!(play.dialled[3..], ["10.1:6380"]);
    play.tell(Input::Connected);
    play.receive(&greeted("a"));
    assert_eq!(play.events(), [Event::Up]);
    play.tell(Input::Closed("reset"));
    play.wait(1251);
    assert_eq!(play.dialled[4..], ["s1:26379"]);
    play.tell(Input::Connected);
    play.receive(b"*-1\r\n");
    assert!(!play.link.is_up());
    play.wait(1251);
    assert_eq!(play.dialled[5..], ["s2:26379"]);
}

#[test]
fn other_settings_end_a_connection_that_they_concern() {
    let mut play = Play::up();
    let now_ms = play.now_ms;
    play.link.reload(Options { timeout_ms: 100, ..options() }, now_ms);
    play.settle();
    assert!(play.link.is_up());
    play.link.reload(Options { database: 4, ..options() }, now_ms);
    play.settle();
    assert_eq!(play.down(), Reason::Reloaded);
    play.wait(0);
    assert_eq!(play.dialled.len(), 2, "at once");
}
