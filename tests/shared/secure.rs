//! Redis by TLS, whose certificate is always checked.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use pushserver_testkit::directory::Directory;
use pushserver_testkit::{Daemon, Redis, Start, merge};

use crate::BINARY;
use crate::scene::{settings, until_up};

/// An authority, a certificate that it has signed for `localhost`, and the key of both.
struct Files(Directory);

impl Files {
    fn make() -> Self {
        let files = Self(Directory::create());
        let script = "set -e; cd \"$0\"
            openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 9 \
                -subj /CN=authority -keyout ca.key -out ca.pem
            openssl req -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
                -subj /CN=localhost -addext subjectAltName=DNS:localhost \
                -addext basicConstraints=CA:FALSE -keyout redis.key -out redis.csr
            openssl x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
                -copy_extensions copy -days 9 -out redis.pem";
        let output = Command::new("sh").args(["-c", script]).arg(files.0.file("")).output();
        let output = output.expect("sh is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.file(name).to_str().unwrap().to_owned()
    }

    /// A server on a port of its own for TLS.
    fn redis(&self, asks: &str) -> (Redis, u16) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let redis = Redis::start(&[
            &["bind", "127.0.0.1"],
            &["tls-port", &port.to_string()],
            &["tls-cert-file", &self.path("redis.pem")],
            &["tls-key-file", &self.path("redis.key")],
            &["tls-ca-cert-file", &self.path("ca.pem")],
            &["tls-auth-clients", asks],
        ]);
        (redis, port)
    }
}

fn start(port: u16, host: &str, tls: Value) -> Start {
    let mut store = json!({"type": "redis", "host": host, "port": port});
    merge(&mut store, json!({"tls": tls}));
    Start::with(BINARY, settings(store))
}

#[track_caller]
fn assert_serves(daemon: &Daemon) {
    until_up(daemon);
    // Another one each time: Redis keeps what was published before.
    let name = daemon.id().to_string();
    let mut held = daemon.hold(&name, 1);
    // More than one record, there and back.
    let message = vec![b'x'; 100_000];
    assert_eq!(daemon.publish(&name, &message).status, 201);
    assert_eq!(held[0].answer().body, message);
}

#[test]
fn an_authority_is_named_or_the_systems() {
    let files = Files::make();
    let (_redis, port) = files.redis("no");
    assert_serves(&start(port, "localhost", json!({"ca": files.path("ca.pem")})).start());
    let trusting = start(port, "localhost", json!(true));
    assert_serves(&trusting.env("SSL_CERT_FILE", &files.path("ca.pem")).start());
    let named = json!({"ca": files.path("ca.pem"), "server_name": "localhost"});
    assert_serves(&start(port, "127.0.0.1", named).start());
}

#[test]
fn a_server_that_asks_for_one_is_shown_a_certificate() {
    let files = Files::make();
    let (_redis, port) = files.redis("yes");
    let ca = files.path("ca.pem");
    let shown = json!({"ca": ca, "cert": files.path("redis.pem"), "key": files.path("redis.key")});
    assert_serves(&start(port, "localhost", shown).start());
    let daemon = start(port, "localhost", json!({"ca": ca})).start();
    daemon.until_logged("event=redis_away");
}

#[test]
fn a_certificate_of_another_or_for_another_is_said_and_nothing_is_sent() {
    let (files, others) = (Files::make(), Files::make());
    let (_redis, port) = files.redis("no");
    for (host, ca) in [("localhost", others.path("ca.pem")), ("127.0.0.1", files.path("ca.pem"))] {
        let daemon = start(port, host, json!({"ca": ca})).start();
        let line = daemon.until_logged("event=redis_away");
        assert!(line.contains("its certificate is not one that is trusted"), "{line}");
        assert_eq!(daemon.publish("a", "m").status, 503);
        let away = |line: &&String| line.contains("event=redis_away");
        assert_eq!(daemon.log().iter().filter(away).count(), 1);
    }
}

#[test]
fn a_store_and_a_redis_of_which_one_speaks_tls_are_told_so() {
    let files = Files::make();
    let (redis, port) = files.redis("no");
    let plain = redis.address().port();
    let tls = json!({"ca": files.path("ca.pem")});
    let daemon = start(plain, "localhost", tls).start();
    let line = daemon.until_logged("event=redis_away");
    assert!(line.contains("TLS where the store has tls: this port may speak none"), "{line}");
    let daemon = start(port, "localhost", json!(false)).start();
    let line = daemon.until_logged("event=redis_away");
    assert!(line.contains("where this port speaks TLS, set the store's tls"), "{line}");
}

#[test]
fn settings_that_cannot_work_are_named() {
    let files = Files::make();
    let junk = files.path("junk");
    fs::write(Path::new(&junk), "hush").unwrap();
    for (tls, expected) in [
        (json!({"ca": "/nowhere.pem"}), "store.default.tls.ca: cannot read \"/nowhere.pem\""),
        (json!({"ca": junk}), "has no certificate; it is a PEM file"),
        (json!({"key": junk}), "store.default.tls.key: without effect"),
        (json!({"cert": files.path("ca.pem"), "ca": files.path("ca.pem")}), "has no private key"),
        (json!({"ca": files.path("ca.pem"), "server_name": "a b"}), "tls.server_name: \"a b\""),
        (json!({"authority": "a"}), "store.default.tls.authority: unknown key"),
    ] {
        let output = start(1, "localhost", tls).output();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected) && !said.contains("hush"), "{said}");
    }
}
