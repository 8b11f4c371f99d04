//! What a redis store becomes: two nginx with Nchan, and one Redis.

use serde_json::json;

use crate::nginx::Nginx;
use pushserver_testkit::transcripts::targets::Server;
use pushserver_testkit::{Redis, until};

/// With what could mean something to nginx.
const PASSWORD: &str = "h$ush \"'\\;}";

#[test]
fn messages_of_a_redis_store_go_from_one_nginx_to_another() {
    let redis = Redis::start(&[]);
    redis.ask(&["CONFIG", "SET", "requirepass", PASSWORD]);
    let settings = json!({
        "store": {
            "type": "redis", "host": redis.address().ip(), "port": redis.address().port(),
            "database": 3, "key_prefix": "my $ite:", "password": PASSWORD, "message_timeout": 60,
        },
        "locations": [
            {"type": "publisher", "prefix": "/publisher/"},
            {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true},
        ],
    });
    let (one, other) = (Nginx::start(settings.clone()), Nginx::start(settings));
    let ask = |nginx: &Nginx, request: &str| nginx.connect().send(request).answer();
    let published = "POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    // Until it is connected to Redis, Nchan refuses.
    let mut status = 503;
    until("Nchan reaches Redis", || {
        status = ask(&one, published).status;
        status != 503
    });
    assert_eq!(status, 202, "{}", one.log());
    let mut answer = None;
    until("the other Nchan reaches Redis", || {
        let given = ask(&other, "GET /subscriber/a HTTP/1.1\r\nHost: a\r\n\r\n");
        let is_there = given.status != 503;
        answer = Some(given);
        is_there
    });
    let answer = answer.expect("it has answered");
    assert_eq!((answer.status, answer.text()), (200, "hello"), "{}", other.log());

    let mut connection = redis.connect();
    for command in [&["AUTH", PASSWORD][..], &["SELECT", "3"]] {
        connection.ask(command);
    }
    let keys = format!("{:?}", connection.ask(&["EXISTS", "my $ite:{channel:/a}:messages"]));
    assert_eq!(keys, "Number(1)", "all keys have the prefix");
}
