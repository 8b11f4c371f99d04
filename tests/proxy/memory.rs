//! Constant memory, however much passes. `PUSHSERVER_PROXY_BYTES` makes it as much as wanted, for
//! a build with `--release`.

use crate::{before, get, ok};
use pushserver_testkit::{Client, Daemon, Upstream};

/// Bytes that pass each way.
fn size() -> usize {
    let given = std::env::var("PUSHSERVER_PROXY_BYTES").ok();
    given.map_or(64 << 20, |bytes| bytes.parse().expect("a number of bytes"))
}

/// More memory that it may need, KiB.
const MARGIN: usize = 2 << 10;

/// A request and its answer, small, over connections that stay open.
fn small(upstream: &Upstream, daemon: &Daemon) -> (Client, Client) {
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("small"));
    assert_eq!(client.answer().text(), "small");
    (client, server)
}

#[test]
fn a_large_download_and_a_large_upload_need_no_more_memory_than_small_ones() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let (mut client, mut server) = small(&upstream, &daemon);
    let idle = daemon.vitals().anonymous_kib();

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
        most = most.max(daemon.vitals().anonymous_kib());
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
        most = most.max(daemon.vitals().anonymous_kib());
    }
    assert_eq!(client.answer().text(), "all");
    reader.join().unwrap();
    println!("idle {idle}, while uploading {most} KiB");
    assert!(most <= idle + MARGIN, "idle {idle}, while uploading {most} KiB");
}

#[test]
fn copies_of_what_may_be_handed_over_share_a_bound() {
    const UPLOADS: usize = 40;
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let _small = small(&upstream, &daemon);
    let idle = daemon.vitals().anonymous_kib();
    // Each is a message that could be handed over, so that its copy is kept as far as there is
    // room.
    let size = 2 << 20;
    let body = vec![b'x'; size];
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|_| {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
            let mut client = daemon.ask(head);
            let mut server = upstream.accept();
            server.head();
            let reader = std::thread::spawn(move || (server.bytes(size).len(), server).1);
            client.send(&body);
            (client, reader.join().unwrap())
        })
        .collect();
    let most = daemon.vitals().anonymous_kib();
    println!("idle {idle}, with {UPLOADS} uploads of {} KiB {most} KiB", size >> 10);
    assert!(most <= idle + (16 << 10) + UPLOADS * 128 + MARGIN, "idle {idle}, {most} KiB");
    // Of the first there is room for a copy, of the last there is none.
    let over = "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /publisher/1\r\nContent-Length: 0\r\n\r\n";
    let statuses = uploads.into_iter().map(|(mut client, mut server)| {
        server.send(over);
        client.answer().status
    });
    let statuses: Vec<u16> = statuses.collect();
    assert_eq!((statuses[0], statuses[UPLOADS - 1]), (202, 502), "{statuses:?}");
}
