//! Constant memory, however much passes. `PUSHSERVER_PROXY_BYTES` makes it as much as wanted, for
//! a build with `--release`.

use crate::support::Upstream;
use crate::{before, get, ok};

/// Bytes that pass each way.
fn size() -> usize {
    let given = std::env::var("PUSHSERVER_PROXY_BYTES").ok();
    given.map_or(64 << 20, |bytes| bytes.parse().expect("a number of bytes"))
}

/// More memory that it may need, KiB.
const MARGIN: usize = 2 << 10;

#[test]
fn a_large_download_and_a_large_upload_need_no_more_memory_than_small_ones() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("small"));
    assert_eq!(client.answer().text(), "small");
    let idle = daemon.anonymous_kib();

    client.send(get("/large"));
    server.head();
    let size = size();
    let writer = std::thread::spawn(move || {
        server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..size >> 20 {
            server.send(&piece);
        }
    });
    client.head();
    let mut most = 0;
    for _ in 0..size >> 20 {
        client.bytes(1 << 20);
        most = most.max(daemon.anonymous_kib());
    }
    writer.join().unwrap();
    println!("idle {idle}, while downloading {most} KiB");
    assert!(most <= idle + MARGIN, "idle {idle}, while downloading {most} KiB");

    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    let mut server = upstream.accept();
    let reader = std::thread::spawn(move || {
        server.head();
        for _ in 0..size >> 20 {
            server.bytes(1 << 20);
        }
        server.send(ok("all"));
    });
    let piece = vec![b'x'; 1 << 20];
    let mut most = 0;
    for _ in 0..size >> 20 {
        client.send(&piece);
        most = most.max(daemon.anonymous_kib());
    }
    assert_eq!(client.answer().text(), "all");
    reader.join().unwrap();
    println!("idle {idle}, while uploading {most} KiB");
    assert!(most <= idle + MARGIN, "idle {idle}, while uploading {most} KiB");
}
