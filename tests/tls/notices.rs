//! Notices to an application that speaks HTTPS.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use pushserver_testkit::{Start, counters, subscriber, until};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::BINARY;

#[test]
fn they_go_to_whom_the_system_trusts_and_to_nobody_else() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/told", listener.local_addr().unwrap().port());
    let serve = move || {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(session, listener.accept().unwrap().0);
        let mut asked = String::new();
        while !asked.contains("ubscribe=1") {
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes) {
                Ok(length) if length > 0 => {
                    asked.push_str(&String::from_utf8_lossy(&bytes[..length]));
                }
                _ => return None,
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        Some(asked)
    };
    let backend = thread::spawn(move || (serve(), serve()));

    let start = Start::with(BINARY, subscriber(json!({"passthrough": url})));
    let trusted = start.file("trusted.pem");
    fs::write(&trusted, made.cert.pem()).unwrap();
    let trusting = start.env("SSL_CERT_FILE", trusted.to_str().unwrap()).start();
    let _held = trusting.hold("a", 1);
    let none = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let start = Start::with(BINARY, subscriber(json!({"passthrough": url})));
    let other = start.file("other.pem");
    fs::write(&other, none.cert.pem()).unwrap();
    until("it is told", || counters(&trusting)["passthrough_sent"] == 1);
    let distrusting = start.env("SSL_CERT_FILE", other.to_str().unwrap()).start();
    let _held = distrusting.hold("a", 1);
    distrusting.until_logged("event=passthrough_failed");

    let (first, second) = backend.join().unwrap();
    let first = first.expect("a notice");
    assert!(first.starts_with("POST /told HTTP/1.1\r\n"), "{first}");
    assert!(first.ends_with("channel_id=a&subscribe=1"), "{first}");
    assert_eq!(second, None, "told to whom nobody trusts");
}
