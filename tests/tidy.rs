//! Keeps the house as it was built, by reading its sources: who may import whom, what may be
//! called where, how long a file may be, that every dependency has its reason.

use std::fs;
use std::path::{Path, PathBuf};

/// Rows of modules, lowest first. A module imports from rows below its own, never from its row.
const ROWS: [&[&str]; 7] = [
    &["arena", "clock", "message", "nearest", "warnings", "wheel"],
    &["http", "store"],
    &["hub"],
    &["relay"],
    &["bench", "net"],
    &["cli", "config", "logging", "pid_file"],
    &["main"],
];

/// From this row on there are sockets, threads and files.
const ROW_OF_IO: usize = 4;

/// What stands above its row all the same: the load generator is a client of the public protocol.
const NOT_FOR: [(&str, &[&str]); 1] = [("bench", &["hub", "relay", "store"])];

/// Lines of a file without its tests, and of a function.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// What is not written anywhere outside tests, and where it is all the same.
const BANNED: [(&str, &[&str]); 13] = [
    ("Instant::now", &["src/clock.rs"]),
    ("SystemTime::now", &["src/clock.rs"]),
    (".unwrap()", &[]),
    ("Rc<RefCell", &[]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("dbg!", &[]),
    // The load generator waits for a daemon that it started.
    ("thread::sleep", &["src/bench/process.rs"]),
    // Clients choose what is hashed: never without a random key.
    ("FxHash", &[]),
    ("with_hasher", &[]),
    ("BuildHasherDefault", &[]),
    // Where secrets are compared, sent, checked, and written for nginx; nowhere are they told.
    (
        ".reveal()",
        &[
            "src/config/build.rs",
            "src/config/nginx.rs",
            "src/relay/admission.rs",
            "src/relay/notice.rs",
            "src/relay/proxy/rewrite.rs",
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
fn modules_import_from_the_rows_below_their_own() {
    let mut wrong = Vec::new();
    for source in sources() {
        let row = row_of(&source.module);
        let forbidden = NOT_FOR.iter().find(|(module, _)| *module == source.module);
        for import in imports(&source.code) {
            let is_own = import == source.module;
            let is_forbidden = forbidden.is_some_and(|(_, modules)| modules.contains(&&*import));
            if !is_own && (row_of(&import) >= row || is_forbidden) {
                wrong.push(format!("{} imports {import}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

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
fn a_file_opens_with_its_contract_and_is_not_too_long() {
    let mut wrong = Vec::new();
    for source in sources() {
        let is_test = source.path.ends_with("tests.rs");
        if !is_test && !read(&source.path).starts_with("//! ") {
            wrong.push(format!("{} does not open with //!", source.path));
        }
        let lines = source.code.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{} has {lines} lines without its tests", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_function_fits_on_a_screen() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.code.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let text = line.trim_start();
            let is_function = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn "]
                .iter()
                .any(|begin| text.starts_with(begin));
            if !is_function {
                continue;
            }
            let close = format!("{}}}", &line[..line.len() - text.len()]);
            let length = lines[start..].iter().position(|line| **line == close).unwrap_or(0) + 1;
            if length > FUNCTION_LINES_MAX {
                wrong.push(format!("{}:{}: {length} lines", source.path, start + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let mut in_dependencies = false;
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && !line.is_empty() && !line.contains(" # ") {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "without a reason: {wrong:#?}");
}

#[test]
fn the_example_of_settings_is_json() {
    let text = read("config.example.json");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(value.is_object());
}

#[test]
fn transcripts_are_named_and_say_what_they_show() {
    let folder = root().join("tests/transcripts");
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        let stem = name.strip_suffix(".http").unwrap_or_else(|| panic!("{name} is no transcript"));
        let (section, words) = stem.split_once('-').expect("a section, then words");
        assert!(section.split('.').all(|part| part.parse::<u8>().is_ok()), "{name}");
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        assert!(words.bytes().all(is_plain), "{name}");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{name} does not say what it shows");
    }
}

#[test]
fn secrets_are_compared_in_constant_time() {
    let source = sources().into_iter().find(|source| source.path == "src/relay/admission.rs");
    let code = source.expect("it is there").code;
    assert_eq!(code.matches(".reveal()").count(), 1);
    assert!(code.contains("ct_eq(secret.reveal().as_bytes())"));
}

#[test]
fn the_tests_that_the_security_page_names_are_there() {
    let mut tests = String::new();
    for folder in ["src", "tests", "python/tests"] {
        for path in files(&root().join(folder)) {
            if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
                tests += &fs::read_to_string(&path).expect("it is UTF-8");
            }
        }
    }
    let is_test = |name: &str| {
        tests.contains(&format!("\ndef {name}("))
            || tests.match_indices(&format!("fn {name}(")).any(|(at, _)| {
                let before: Vec<&str> = tests[..at].lines().rev().take(4).collect();
                before.iter().any(|line| line.trim() == "#[test]")
            })
    };
    let page = read("docs/security.md");
    let mut named = 0;
    let mut wrong = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().expect("a column");
        for name in last.split('`').skip(1).step_by(2) {
            let is_there = match name.strip_suffix(".http") {
                Some(_) => root().join("tests/transcripts").join(name).exists(),
                None => is_test(name),
            };
            named += 1;
            if !is_there {
                wrong.push(name.to_owned());
            }
        }
    }
    assert!(named > 50 && wrong.is_empty(), "of {named} there are no tests {wrong:#?}");
}

#[test]
fn the_log_lines_that_the_operations_page_names_are_written() {
    let code: String = sources().into_iter().map(|source| source.code).collect();
    let page = read("docs/operations.md");
    let events: Vec<&str> = page
        .split("event=")
        .skip(1)
        .map(|rest| rest.split(|byte: char| !byte.is_ascii_lowercase() && byte != '_').next())
        .map(|event| event.expect("a first piece"))
        .collect();
    let is_written =
        |event: &str| ["\"", " "].iter().any(|end| code.contains(&format!("\"event={event}{end}")));
    let wrong: Vec<&&str> = events.iter().filter(|event| !is_written(event)).collect();
    assert!(events.len() > 8 && wrong.is_empty(), "of {events:?} nobody writes {wrong:?}");
}

#[test]
fn the_rows_name_every_module() {
    for source in sources() {
        assert!(ROWS.iter().any(|row| row.contains(&&*source.module)), "{}", source.path);
    }
}

#[test]
fn what_tests_share_is_used() {
    let rust = |folder: &str| files(&root().join(folder)).into_iter().filter(|path| is_rust(path));
    let text = |path: PathBuf| fs::read_to_string(path).expect("it is UTF-8");
    let all: String = rust("tests").chain(rust("benches")).map(text).collect();
    let mut wrong = Vec::new();
    for shared in rust("tests/support").map(text) {
        for (at, word) in shared.match_indices("pub(crate) fn ") {
            let name = name(&shared[at + word.len()..]);
            let is_name = |at: usize| {
                let (before, after) = (&all[..at], &all[at + name.len()..]);
                let is_part = |char: char| char.is_alphanumeric() || char == '_';
                !before.ends_with(is_part)
                    && !before.ends_with("fn ")
                    && !after.starts_with(is_part)
            };
            if !all.match_indices(&name).any(|(at, _)| is_name(at)) {
                wrong.push(name);
            }
        }
    }
    assert!(wrong.is_empty(), "for nobody: {wrong:#?}");
}

/// One file of `src`.
struct Source {
    /// From the repository's root.
    path: String,
    /// The first part of its path.
    module: String,
    /// Without comments and tests; lines keep their numbers.
    code: String,
}

/// All of them but the crate's root, which only names the modules.
fn sources() -> Vec<Source> {
    let source = |path: PathBuf| {
        let path =
            path.strip_prefix(root()).expect("below the root").to_str().expect("ASCII").to_owned();
        let module = path["src/".len()..].split(['/', '.']).next().expect("a name").to_owned();
        let text = read(&path);
        let is_test = path.ends_with("/tests.rs");
        let code = if is_test { String::new() } else { without_tests(&text) };
        Source { path, module, code }
    };
    let all: Vec<Source> = files(&root().join("src"))
        .into_iter()
        .filter(|path| is_rust(path))
        .map(source)
        .filter(|source| source.path != "src/lib.rs")
        .collect();
    assert!(all.len() > 20, "the sources were found");
    all
}

fn without_tests(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines().take_while(|line| *line != "#[cfg(test)]") {
        let comment = line.trim_start().starts_with("//");
        code += if comment { "" } else { line.split(" // ").next().unwrap_or(line) };
        code.push('\n');
    }
    code
}

/// First parts of all `crate::` paths, in `use` lines or not.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in code.match_indices("crate::").chain(code.match_indices("pushserver::")) {
        let path = &code[at + word.len()..];
        match path.strip_prefix('{') {
            None => found.push(name(path)),
            Some(group) => {
                let mut depth = 0;
                let mut begin = true;
                for (index, char) in group.char_indices() {
                    match char {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begin = true,
                        char if begin && char.is_alphabetic() => {
                            found.push(name(&group[index..]));
                            begin = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    // A macro, a constant or a function of the root is no module.
    found.retain(|name| ROWS.iter().any(|row| row.contains(&&**name)));
    found
}

fn name(path: &str) -> String {
    path.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

fn row_of(module: &str) -> usize {
    ROWS.iter().position(|row| row.contains(&module)).unwrap_or(usize::MAX)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Every file below a folder; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
