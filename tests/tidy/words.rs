//! Words that are not written: calls that belong to one file, or to none.

use crate::rows::{ROW_OF_IO, row_of};
use crate::sources::{read, sources};

/// What is not written anywhere outside tests, and where it is all the same.
const BANNED: [(&str, &[&str]); 13] = [
    ("Instant::now", &["src/clock.rs"]),
    ("SystemTime::now", &["src/clock.rs"]),
    (".unwrap()", &[]),
    ("Rc<RefCell", &[]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("dbg!", &[]),
    ("thread::sleep", &[]),
    // Clients choose what is hashed: never without a random key.
    ("FxHash", &[]),
    ("with_hasher", &[]),
    ("BuildHasherDefault", &[]),
    // Where secrets are compared, sent, checked, and written for nginx; and where the one link is
    // made that opens the inspector. Nowhere else are they told.
    (
        ".reveal()",
        &[
            "src/config/inspector.rs",
            "src/config/nginx/admission.rs",
            "src/config/nginx/redis.rs",
            "src/config/redis.rs",
            "src/relay/request/bearer.rs",
            "src/relay/notice.rs",
            "src/relay/proxy/rewrite.rs",
            "src/store/redis/options.rs",
        ],
    ),
    ("process::exit", &["src/main.rs"]),
];

/// What is not written below the row of I/O.
const BANNED_BELOW_IO: [&str; 16] = [
    "std::thread",
    "std::fs",
    "std::env",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "mio::",
    "socket2",
    "stdin()",
    "println!",
    "Mutex",
    "RefCell",
    "dyn ",
    "panic!",
];

#[test]
fn nothing_banned_is_called() {
    let mut wrong = Vec::new();
    for source in sources() {
        let below_io = row_of(&source.module) < ROW_OF_IO;
        for (number, line) in source.code.lines().enumerate() {
            let mut ban = |word: &str| {
                if line.contains(word) {
                    wrong.push(format!("{}:{}: {word}", source.path, number + 1));
                }
            };
            for (word, except) in BANNED {
                if !except.contains(&&*source.path) {
                    ban(word);
                }
            }
            if below_io {
                BANNED_BELOW_IO.into_iter().for_each(&mut ban);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_is_forbidden() {
    for path in ["src/lib.rs", "src/main.rs"] {
        assert!(read(path).contains("#![forbid(unsafe_code)]"), "{path}");
    }
    // The one call that the standard library has no safe name for.
    let trim = read("crates/heap-trim/src/lib.rs");
    assert_eq!(trim.lines().filter(|line| line.trim_start().starts_with("unsafe ")).count(), 1);
    assert!(trim.lines().count() < 30);
}

#[test]
fn secrets_are_compared_in_constant_time() {
    let source = sources().into_iter().find(|source| source.path == "src/relay/request/bearer.rs");
    let code = source.expect("it is there").code;
    assert_eq!(code.matches(".reveal()").count(), 1);
    assert!(code.contains("ct_eq(secret.reveal().as_bytes())"));
}
