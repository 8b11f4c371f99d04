//! The transcripts on stores in Redis, with one in memory (`testkit::fake_redis`).

use pushserver_testkit::transcripts::corpus::{caught, transcripts};
use pushserver_testkit::transcripts::in_world::{InWorld, Split};
use pushserver_testkit::transcripts::run;
use pushserver_testkit::transcripts::transcript::{Only, Transcript};

use crate::{is_update, none_failed};

/// Where a transcript does not hold on such a store: why, and every difference, with its line.
/// What the server tells first, and how bytes come, makes none.
const OTHERWISE: &[(&str, &str, &[&str])] = &[
    ("2.3-cursor-over-seconds", KNOWN, &["111: without     X-Push-Gap: unknown"]),
    ("2.3-cursor-within-a-second", KNOWN, &["94: without     X-Push-Gap: unknown"]),
    (
        "2.3-first-message",
        "What is known of the clock of Redis is a little behind it: the second before that",
        &[
            "20: without     Last-Modified: {T-1}",
            "20: with     Last-Modified: {T-2}",
            "28: without     Last-Modified: {T-1}",
            "28: with     Last-Modified: {T-2}",
        ],
    ),
    (
        "2.3-since",
        "What was lost before the first message is not known there; and as above",
        &[
            "45: without     X-Push-Gap: unknown",
            "198: without     Last-Modified: {T+1}",
            "198: with     Last-Modified: {T}",
        ],
    ),
    (
        "2.3-tag-spellings",
        KNOWN,
        &[
            "64: without     X-Push-Gap: unknown",
            "77: without     X-Push-Gap: unknown",
            "90: without     X-Push-Gap: unknown",
        ],
    ),
    ("2.3-timeout", LEASE, &["15: the channel is 200"]),
    (
        "2.4-clock-set-back",
        "Where that clock leaps ahead of all deadlines, what is published then is late, once",
        &["42: P< 503 Service Unavailable, not P< 202 Accepted", "53: S has no answer"],
    ),
    ("2.4-expiry-to-the-millisecond", EXPIRES, &["30: the channel is 200"]),
    ("2.4-gap-of-a-held-request", EXPIRES, &["26: the channel is 200"]),
    ("2.4-gap-unknown", KNOWN, &["45: without     X-Push-Gap: unknown"]),
    ("2.4-life-of-a-channel-made-by-get", LEASE, &["10: the channel is 200"]),
    ("2.4-life-of-a-channel-made-by-post", LEASE, &["36: the channel is 200"]),
    (
        "2.4-max-memory",
        MAXMEMORY,
        &[
            "tests/transcripts/2.4-max-memory.http:settings: store.max_memory: not for a redis store: set maxmemory in redis.conf; \"cache\" bounds what this daemon keeps of it",
        ],
    ),
    ("2.6-each-channel-counts", LEASE, &["55: the channel is 200"]),
    (
        "2.6-gaps",
        "A channel that a request was held on lives until the lease of that is over, 90 s: no daemon knows of the others' requests. Places are numbers of all channels of the store: of those behind the newest ones here nobody counts how many are of one",
        &[
            "30: without     Content-Length: 101",
            "30: without     | last requested: -1 sec. ago\\r\\n",
            "30: with     Content-Length: 100",
            "30: with     | last requested: 0 sec. ago\\r\\n",
            "60: without     Content-Length: 101",
            "60: without     | last requested: -1 sec. ago\\r\\n",
            "60: with     Content-Length: 100",
            "60: with     | last requested: 0 sec. ago\\r\\n",
            "100: without     | id: {t}:4;gap=2;channel=b\\n",
            "100: with     | id: {t}:4;gap=unknown;channel=b\\n",
            "109: without     X-Push-Gap: 2",
            "109: with     X-Push-Gap: unknown",
        ],
    ),
    ("2.6-since", KNOWN, &["40: without     X-Push-Gap: unknown"]),
    (
        "2.7-gap-unknown",
        KNOWN,
        &[
            "58: without     | id: {t}:2;gap=unknown\\n",
            "58: with     | id: {t}:2\\n",
            "72: without     | id: {t}:2;gap=unknown\\n",
            "72: with     | id: {t}:2\\n",
            "88: without     | id: {t}:2;gap=unknown;channel=a\\n",
            "88: with     | id: {t}:2;channel=a\\n",
        ],
    ),
    ("2.8-breaches", LEASE, &["235: the channel is 200"]),
    ("2.8-ends", LEASE, &["62: the channel is 200"]),
    (
        "2.8-refused-for-now",
        CHANNELS,
        &[
            "25: W< text, not W< close 1013 too many channels; try again later, or raise limits.channels",
            "26: W is open",
        ],
    ),
    (
        "2.8-too-large",
        MAXMEMORY,
        &[
            "tests/transcripts/2.8-too-large.http:settings: store.small.max_memory: not for a redis store: set maxmemory in redis.conf; \"cache\" bounds what this daemon keeps of it",
        ],
    ),
    ("3-half-closed-subscriber", LEASE, &["11: the channel is 200"]),
    (
        "3-pipelining-a-post-that-wakes-itself",
        LEASE,
        &[
            "17: without     Content-Length: 101",
            "17: without     | last requested: -1 sec. ago\\r\\n",
            "17: with     Content-Length: 100",
            "17: with     | last requested: 0 sec. ago\\r\\n",
        ],
    ),
    ("6-behind-a-held-request", LEASE, &["12: the channel is 200"]),
    (
        "6-channels",
        CHANNELS,
        &[
            "19: P< 202 Accepted, not P< 503 Service Unavailable",
            "26: R< 200 OK, not R< 503 Service Unavailable",
            "45: the channel is 200",
        ],
    ),
    (
        "7-inspector-events",
        MAXMEMORY,
        &[
            "tests/transcripts/7-inspector-events.http:settings: store.max_memory: not for a redis store: set maxmemory in redis.conf; \"cache\" bounds what this daemon keeps of it",
        ],
    ),
    (
        "7-inspector-streams",
        MAXMEMORY,
        &[
            "tests/transcripts/7-inspector-streams.http:settings: store.max_memory: not for a redis store: set maxmemory in redis.conf; \"cache\" bounds what this daemon keeps of it",
        ],
    ),
    (
        "7-status-channels",
        LISTED,
        &[
            "60: without     Content-Length: 610",
            "60: without     | {\"channels\": [{\"id\": \"room\", \"group\": \"\", \"store\": \"default\", \"messages\": 2, \"bytes\": 11, \"subscribers\": 0, \"requested\": null, \"last_message_id\": \"{t}:1\"}, {\"id\": \"room\", \"group\": \"g\", \"store\": \"chat\", \"messages\": 1, \"bytes\": 1, \"subscribers\": 0, \"requested\": null, \"last_message_id\": \"{t}:0\"}, {\"id_base64\": \"/yI=\", \"group\": \"\", \"store\": \"default\", \"messages\": 0, \"bytes\": 0, \"subscribers\": 0, \"requested\": null, \"last_message_id\": \"0:0\"}, {\"id\": \"wait\\xc3\\xa4\\\\\"\", \"group\": \"\", \"store\": \"default\", \"messages\": 0, \"bytes\": 0, \"subscribers\": 1, \"requested\": 0, \"last_message_id\": \"0:0\"}], \"next\": null}\\n",
            "60: with     Content-Length: 169",
            "60: with     | {\"channels\": [{\"id\": \"wait\\xc3\\xa4\\\\\"\", \"group\": \"\", \"store\": \"default\", \"messages\": 0, \"bytes\": 0, \"subscribers\": 1, \"requested\": 0, \"last_message_id\": \"0:0\"}], \"next\": null}\\n",
            "67: without     Content-Length: 321",
            "67: without     | {\"channels\": [{\"id\": \"room\", \"group\": \"\", \"store\": \"default\", \"messages\": 2, \"bytes\": 11, \"subscribers\": 0, \"requested\": null, \"last_message_id\": \"{t}:1\"}, {\"id\": \"room\", \"group\": \"g\", \"store\": \"chat\", \"messages\": 1, \"bytes\": 1, \"subscribers\": 0, \"requested\": null, \"last_message_id\": \"{t}:0\"}], \"next\": 2}\\n",
            "67: with     Content-Length: 169",
            "67: with     | {\"channels\": [{\"id\": \"wait\\xc3\\xa4\\\\\"\", \"group\": \"\", \"store\": \"default\", \"messages\": 0, \"bytes\": 0, \"subscribers\": 1, \"requested\": 0, \"last_message_id\": \"0:0\"}], \"next\": null}\\n",
            "74: without     Content-Length: 172",
            "74: without     | {\"channels\": [{\"id\": \"room\", \"group\": \"g\", \"store\": \"chat\", \"messages\": 1, \"bytes\": 1, \"subscribers\": 0, \"requested\": null, \"last_message_id\": \"{t}:0\"}], \"next\": 2}\\n",
            "74: with     Content-Length: 31",
            "74: with     | {\"channels\": [], \"next\": null}\\n",
            "88: without     Content-Length: 610",
            "88: with     Content-Length: 169",
        ],
    ),
    (
        "7-inspector-ids",
        LISTED,
        &[
            "20: without     Content-Length: 188",
            "20: without     | {\"channels\": [{\"id_base64\": \"//79/A==\", \"group\": \"\", \"store\": \"default\", \"messages\": 1, \"bytes\": 1, \"subscribers\": 0, \"requested\": null, \"last_message_id\": \"{t}:0\"}], \"next\": null}\\n",
            "20: with     Content-Length: 31",
            "20: with     | {\"channels\": [], \"next\": null}\\n",
        ],
    ),
    (
        "7-inspector-members",
        MEMBERS,
        &[
            "tests/transcripts/7-inspector-members.http:settings: locations[1].presence: not with a redis store: each daemon would know its own members only, and when one starts, those of the others would be forgotten; use another store, or leave this out",
        ],
    ),
    (
        "7-presence",
        MEMBERS,
        &[
            "tests/transcripts/7-presence.http:settings: locations[2].presence: not with a redis store: each daemon would know its own members only, and when one starts, those of the others would be forgotten; use another store, or leave this out",
        ],
    ),
    (
        "7-presence-refused",
        MEMBERS,
        &[
            "tests/transcripts/7-presence-refused.http:settings: locations[2].presence: not with a redis store: each daemon would know its own members only, and when one starts, those of the others would be forgotten; use another store, or leave this out",
        ],
    ),
    (
        "7-revoke-member",
        MEMBERS,
        &[
            "tests/transcripts/7-revoke-member.http:settings: locations[2].presence: not with a redis store: each daemon would know its own members only, and when one starts, those of the others would be forgotten; use another store, or leave this out",
        ],
    ),
];

fn differences(transcript: &Transcript, split: Split, is_told_first: bool) -> Vec<String> {
    let outcome = caught(transcript, || {
        let mut world = InWorld::redis(&transcript.settings, split, is_told_first)?;
        Ok(run::differences(transcript, &mut world, <[String]>::to_vec))
    });
    outcome.unwrap_or_else(|refused| vec![refused])
}

#[test]
fn every_transcript_holds_where_stores_are_in_redis_but_for_what_is_said_here() {
    if is_update() {
        return;
    }
    let all = transcripts();
    let mut failures = Vec::new();
    for transcript in all.iter().filter(|transcript| transcript.only != Some(Only::Tcp)) {
        let of_it = OTHERWISE.iter().find(|(name, ..)| *name == transcript.name);
        let expected = of_it.map_or(&[][..], |(_, _, differences)| differences);
        for (split, is_told_first) in [(Split::Whole, false), (Split::Bytes, true)] {
            let split = if transcript.whole { Split::Whole } else { split };
            let found = differences(transcript, split, is_told_first);
            if found != expected {
                let name = &transcript.name;
                failures.push(format!("{name}, told first: {is_told_first}: {found:#?}"));
            }
        }
    }
    none_failed(&failures, all.len());
}

const LEASE: &str = "A channel on which a request was held lives until the lease of that is over, \
                     after 90 s: no daemon knows of another's requests.";
const KNOWN: &str = "Redis knows what was kept before the daemon began, or before a DELETE.";
const EXPIRES: &str = "A message goes with a second: that of its id, message_timeout later.";
const CHANNELS: &str = "limits.channels is of those that this daemon listens to.";
const LISTED: &str = "Such a store lists the channels that somebody listens to here.";
const MEMBERS: &str = "Each daemon would know its own members only.";
const MAXMEMORY: &str = "Redis has a maxmemory of its own.";
