//! Certificates: the one for development, files, and other files while the daemon runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pushserver_testkit::directory::Directory;
use pushserver_testkit::{Absent, Daemon, Start, settings};
use serde_json::{Value, json};

use crate::client::Secure;
use crate::{BINARY, secure, start, trusted};

/// The certificate that a client is shown, whatever it thinks of it.
fn shown(daemon: &Daemon) -> String {
    let address = daemon.address().to_string();
    let mut openssl = Command::new("openssl");
    let openssl = openssl.args(["s_client", "-connect", &address]).stdin(Stdio::null());
    let said = String::from_utf8(openssl.output().expect("openssl is there").stdout).unwrap();
    let begin = said.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
    let end = said.find("-----END CERTIFICATE-----").expect("a certificate");
    said[begin..end].to_owned()
}

/// A certificate and its key, by OpenSSL.
fn make(directory: &Path, name: &str, key: &[&str]) -> (String, String) {
    let path = |end: &str| directory.join(format!("{name}.{end}")).to_str().unwrap().to_owned();
    let (chain, key_file) = (path("pem"), path("key"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "10", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(key)
        .args(["-keyout", &key_file, "-out", &chain])
        .output()
        .expect("openssl is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (chain, key_file)
}

const EC: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

#[test]
fn one_for_development_is_made_once_and_shown_to_nobody_else() {
    let first = start(json!({}));
    let state = first.file("state");
    let state = state.to_str().unwrap().to_owned();
    let daemon = first.start();
    let kept = fs::read_to_string(trusted(&daemon)).unwrap();
    assert!(kept.contains(&shown(&daemon)));
    let line = daemon.until_logged("event=development_certificate");
    assert!(line.contains("localhost.pem") && line.contains("sha256="), "{line}");
    let mode = |name: &str| {
        let path = daemon.file("state/pushserver").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("."), mode("localhost.key"), mode("localhost.pem")), (0o700, 0o600, 0o644));
    let mut settings = settings();
    settings["certificate"] = "development".into();
    let again = Start::with(BINARY, settings).env("XDG_STATE_HOME", &state).start();
    assert!(kept.contains(&shown(&again)));
}

#[test]
fn daemons_that_start_at_once_show_the_same() {
    let first = start(json!({}));
    let state = first.file("state").to_str().unwrap().to_owned();
    let mut settings = settings();
    settings["certificate"] = "development".into();
    let others = (0..4).map(|_| {
        let start = Start::with(BINARY, settings.clone()).env("XDG_STATE_HOME", &state);
        std::thread::spawn(|| start.start())
    });
    let others: Vec<_> = others.collect();
    let daemons: Vec<Daemon> = others.into_iter().map(|thread| thread.join().unwrap()).collect();
    let of = |daemon: &Daemon| {
        let line = daemon.until_logged("sha256=");
        line.split_once("sha256=").unwrap().1.to_owned()
    };
    assert!(daemons.iter().all(|daemon| of(daemon) == of(&daemons[0])));
}

#[test]
fn a_secure_host_at_the_daemons_own_address_means_one() {
    let port = Absent::bind();
    let address = port.address;
    drop(port);
    let host = json!({"location": address.to_string(), "secure": true});
    for key in ["publisher_host", "subscriber_host"] {
        let begun = start(json!({}));
        let mut settings = settings();
        settings[key] = host.clone();
        settings["port"] = address.port().into();
        let state = begun.file("state").to_str().unwrap().to_owned();
        let daemon = Start::with(BINARY, settings).env("XDG_STATE_HOME", &state).start();
        let mut client = Command::new("curl");
        let client = client.args(["-sS", "--fail", "-d", "m"]).args(["--cacert"]);
        let client = client.arg(begun.file("state/pushserver/localhost.pem"));
        let output = client.arg(format!("https://{address}/publisher/a")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(daemon.poll("a").answer().text(), "m");
    }
}

#[test]
fn files_of_every_kind_of_key_are_taken() {
    let begun = start(json!({}));
    let directory = begun.file("keys");
    fs::create_dir(&directory).unwrap();
    let (rsa, rsa_key) = make(&directory, "rsa", &["-newkey", "rsa:2048"]);
    let (ec, ec_key) = make(&directory, "ec", EC);
    let convert = |arguments: &[&str]| {
        assert!(Command::new("openssl").args(arguments).status().unwrap().success());
    };
    let old = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (pkcs1, sec1) = (old("pkcs1"), old("sec1"));
    convert(&["rsa", "-traditional", "-in", &rsa_key, "-out", &pkcs1]);
    convert(&["ec", "-in", &ec_key, "-out", &sec1]);
    assert!(fs::read_to_string(&pkcs1).unwrap().contains("BEGIN RSA PRIVATE KEY"));
    assert!(fs::read_to_string(&sec1).unwrap().contains("BEGIN EC PRIVATE KEY"));
    let both = old("both.pem");
    fs::write(&both, fs::read_to_string(&ec).unwrap() + &fs::read_to_string(&ec_key).unwrap())
        .unwrap();
    for (chain, key) in [
        (&rsa, json!(rsa_key)),
        (&rsa, json!({"file": pkcs1})),
        (&ec, json!(ec_key)),
        (&ec, json!(sec1)),
        (&ec, json!({"env": "TLS_KEY"})),
        (&both, Value::Null),
    ] {
        let mut settings = settings();
        settings["certificate"] = json!(chain);
        if !key.is_null() {
            settings["private_key"] = key;
        }
        let start = Start::with(BINARY, settings);
        let daemon = start.env("TLS_KEY", &fs::read_to_string(&ec_key).unwrap()).start();
        let url =
            format!("https://localhost:{}/subscriber/a?last_event_id=x", daemon.address().port());
        let curl = Command::new("curl").args(["-sS", "--cacert", chain, &url]).output().unwrap();
        assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    }
}

#[test]
fn files_that_cannot_work_are_named_with_their_setting_and_not_shown() {
    let directory = Directory::create();
    let at = directory.file("keys");
    fs::create_dir(&at).unwrap();
    let (chain, key) = make(&at, "one", EC);
    let (other, _) = make(&at, "other", EC);
    let junk = at.join("junk").to_str().unwrap().to_owned();
    fs::write(&junk, "hush").unwrap();
    let missing = "/nowhere/at/all.pem";
    for (certificate, private_key, expected) in [
        (missing, None, "certificate: cannot read \"/nowhere/at/all.pem\": No such file"),
        (&*junk, None, "has no certificate; it is a PEM file"),
        (&*chain, None, "has no private key; it is a PEM file"),
        (&*chain, Some(missing), "private_key: cannot read \"/nowhere/at/all.pem\""),
        (&*chain, Some(&*junk), "has no private key; it is a PEM file"),
        (&*other, Some(&*key), "is not the key of this certificate"),
        ("development", Some(&*key), "private_key: not beside the certificate \"development\""),
        ("/dev/null", None, "no file"),
    ] {
        let mut settings = settings();
        settings["certificate"] = certificate.into();
        if let Some(key) = private_key {
            settings["private_key"] = key.into();
        }
        let output = Start::with(BINARY, settings).output();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
        assert!(!said.contains("hush") && !said.contains("BEGIN EC"), "{said}");
    }
}

#[test]
fn one_that_has_expired_is_a_warning() {
    let directory = Directory::create();
    let at = directory.file("keys");
    fs::create_dir(&at).unwrap();
    let (_, key) = make(&at, "now", EC);
    let old = at.join("old.pem").to_str().unwrap().to_owned();
    let request = at.join("request").to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&[
        "req",
        "-new",
        "-key",
        &key,
        "-subj",
        "/CN=localhost",
        "-out",
        &request,
        "-addext",
        "subjectAltName=DNS:localhost",
    ]);
    run(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-signkey",
        &key,
        "-copy_extensions",
        "copy",
        "-days",
        "-1",
        "-out",
        &old,
    ]);
    let mut settings = settings();
    settings["certificate"] = json!(old);
    settings["private_key"] = json!(key);
    let daemon = Daemon::start(BINARY, settings);
    daemon.until_logged("certificate: it expired");
}

#[test]
fn a_reload_shows_others_to_new_connections_or_nothing_of_it() {
    let begun = start(json!({}));
    let directory = begun.file("keys");
    fs::create_dir(&directory).unwrap();
    let (chain, key) = make(&directory, "served", EC);
    let mut settings = settings();
    settings["certificate"] = json!(chain);
    settings["private_key"] = json!(key);
    let daemon = begun.start();
    let before = shown(&daemon);
    let mut held = Secure::connect(&daemon).handshake();
    held.get("/subscriber/a");
    daemon.until_held("a", 1);
    daemon.reload(settings.clone());
    let after = shown(&daemon);
    assert_ne!(before, after);
    fs::write(&key, "no key any more").unwrap();
    daemon.signal("HUP");
    let line = daemon.until_logged("event=reload_refused");
    assert!(line.contains("private_key") && !line.contains("any more"), "{line}");
    assert_eq!(shown(&daemon), after);
    daemon.publish("a", "on the connection of before");
    assert_eq!(held.answer().text(), "on the connection of before");
}

#[test]
fn one_for_development_is_not_for_others() {
    let daemon = start(json!({"address": "0.0.0.0"})).start();
    daemon.until_logged("the one for development is for this machine alone");
    assert!(daemon.addresses[0].starts_with("https://0.0.0.0:"), "{:?}", daemon.addresses);
    drop(daemon);
    assert!(secure(json!({})).log().iter().all(|line| !line.contains("warn")));
}

#[test]
fn what_is_in_the_way_of_one_for_development_is_named() {
    let begun = start(json!({}));
    let place = begun.file("state/pushserver");
    fs::create_dir(&place).unwrap();
    fs::create_dir(place.join("localhost.key")).unwrap();
    let output = begun.output();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("localhost.key") && said.contains("XDG_STATE_HOME"), "{said}");
    let homeless = start(json!({})).env("XDG_STATE_HOME", "").env("HOME", "");
    let said = String::from_utf8(homeless.output().stderr).unwrap();
    assert!(said.contains("set HOME or XDG_STATE_HOME to one") && said.lines().count() == 1);
    let begun = start(json!({}));
    let place = begun.file("state/pushserver");
    fs::create_dir(&place).unwrap();
    // What is no certificate any more is made anew.
    fs::write(place.join("localhost.key"), "half of it").unwrap();
    let daemon = begun.start();
    Secure::connect(&daemon).handshake();
    assert!(fs::read_to_string(trusted(&daemon)).unwrap().starts_with("-----BEGIN CERTIFICATE"));
}
