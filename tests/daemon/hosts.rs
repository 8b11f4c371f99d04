//! DNS rebinding: a web page whose name was made to lead to this machine is not served; a client
//! that comes by way of a front server is. Only `Host` tells the two apart.

use serde_json::{Value, json};

use pushserver_testkit::{Answer, Client, Daemon, Start, settings};

use crate::BINARY;

fn ask(mut client: Client, line: &str, host: &str, rest: &str) -> Answer {
    client.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{rest}\r\n")).answer()
}

/// What a subscriber's request is answered under this name, of which there is no channel.
fn status(daemon: &Daemon, host: &str) -> u16 {
    ask(daemon.connect(), "GET /subscriber/none?last_event_id=x", host, "").status
}

fn with_hosts(hosts: Value) -> Value {
    let mut settings = settings();
    settings["hosts"] = hosts;
    settings
}

#[test]
fn a_page_whose_name_was_rebound_can_neither_read_nor_publish() {
    let daemon = Start::with(BINARY, settings()).args(["--access-log"]).start();
    daemon.publish("a", "secret");
    let host = format!("evil.example:{}", daemon.address().port());
    let mut client = daemon.connect();
    for (line, rest) in [
        ("GET /subscriber/a", ""),
        ("GET /publisher/a", ""),
        ("OPTIONS /publisher/a", ""),
        ("DELETE /publisher/a", ""),
        ("POST /publisher/a", "Content-Length: 0\r\n"),
    ] {
        client.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{rest}\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, 421, "{line}");
        assert!(answer.text().contains("the setting hosts"), "{}", answer.text());
    }
    // One whose body is still to come is not waited for.
    client.send(format!(
        "PUT /publisher/b HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999\r\n\r\n"
    ));
    let answer = client.answer();
    assert!(answer.status == 421 && answer.closes());
    let kept = daemon.connect().get("/publisher/a").answer();
    assert!(kept.text().starts_with("queued messages: 1\r\n"), "{}", kept.text());
    let told = daemon.until_logged("event=host_refused");
    assert!(told.contains(&format!("host=\"{host}\" times=1")), "{told}");
    daemon.until_logged("request=\"PUT /publisher/b\" status=421");
    let all = daemon.log().iter().filter(|line| line.contains("host_refused")).count();
    assert_eq!(all, 1, "{:?}", daemon.log());
}

#[test]
fn names_of_this_machine_and_of_front_servers_are_served_without_a_setting() {
    let daemon = Daemon::start(BINARY, settings());
    let port = daemon.address().port();
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "shop.localhost", "[::1]", "192.0.2.1"] {
        assert_eq!(status(&daemon, &format!("{host}:{port}")), 400, "{host}");
    }
    for host in ["www.example", "www.example:443", "localhost"] {
        assert_eq!(status(&daemon, host), 400, "{host}");
    }
    let mut client = daemon.connect();
    assert_eq!(
        client.send("GET /subscriber/a?last_event_id=x HTTP/1.0\r\n\r\n").answer().status,
        400
    );
}

#[test]
fn the_setting_hosts_adds_names_also_while_running() {
    let mut settings = with_hosts(json!(["push.test", ".dev.example"]));
    settings["subscriber_host"] = json!("updates.example:1");
    let daemon = Daemon::start(BINARY, settings);
    let host = |name: &str| format!("{name}:{}", daemon.address().port());
    for name in ["push.test", "dev.example", "a.dev.example", "updates.example"] {
        assert_eq!(status(&daemon, &host(name)), 400, "{name}");
    }
    assert_eq!(status(&daemon, &host("evil.example")), 421);
    daemon.reload(with_hosts(json!(["*"])));
    assert_eq!(status(&daemon, &host("evil.example")), 400);
    daemon.reload(with_hosts(json!([])));
    assert_eq!(status(&daemon, &host("push.test")), 421);
}

#[test]
fn where_no_browser_comes_by_loopback_every_name_is_served() {
    let mut public = settings();
    public["address"] = "0.0.0.0".into();
    let daemon = Daemon::start(BINARY, public);
    let port = daemon.address().port();
    let client = Client::tcp(([127, 0, 0, 1], port).into());
    let answer = ask(client, "GET /publisher/none", &format!("push.example:{port}"), "");
    assert_eq!(answer.status, 404);

    let start = Start::bare(BINARY, "");
    let socket = start.file("socket");
    let listen = format!("unix:{}", socket.display());
    let _daemon = start.args(["--listen", &listen]).start();
    for host in ["push.example", "push.example:80", "push.example:8001"] {
        let answer = ask(Client::unix(&socket), "GET /publisher/none", host, "");
        assert_eq!(answer.status, 404, "{host}");
    }
}
