//! The manual page and the completions of shells: made from the tables of options, and kept in
//! `docs/package`, as packages install them. `UPDATE_MANUAL=1 cargo test --test manual` writes
//! them; what then changed is for `git diff` and your judgement.
//!
//! That shells and `man` understand them is for `tests/packages` to try; bash alone is here.

mod package;
mod page;
mod shells;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use pushserver::cli;

/// Makes the text of a file.
type Make = fn() -> String;

const FILES: [(&str, Make); 4] = [
    ("pushserver.1", page::page),
    ("pushserver.bash", shells::bash),
    ("_pushserver", shells::zsh),
    ("pushserver.fish", shells::fish),
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/package").join(name)
}

/// Writes the files where that is asked for, once, before any test reads them.
static WRITTEN: LazyLock<()> = LazyLock::new(|| {
    if std::env::var_os("UPDATE_MANUAL").is_some_and(|value| value == "1") {
        for (name, made) in FILES {
            fs::write(path(name), made()).expect("it can be written");
        }
    }
});

fn kept(name: &str) -> String {
    LazyLock::force(&WRITTEN);
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_files_are_what_the_tables_make() {
    for (name, made) in FILES {
        assert!(
            kept(name) == made(),
            "docs/package/{name} is not what the tables of options make: run \
             UPDATE_MANUAL=1 cargo test --test manual"
        );
    }
}

/// What the command says itself, without a look at the tables.
fn help(arguments: &[&str]) -> String {
    let binary = env!("CARGO_BIN_EXE_pushserver");
    let output = Command::new(binary).args(arguments).output().expect("it runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The options of a `--help`, `-c` and `--config` among them.
fn options(help: &str) -> BTreeSet<String> {
    let labels = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let names =
        labels.flat_map(|line| line.split_whitespace().take_while(|word| word.starts_with('-')));
    names.map(|name| name.trim_end_matches(',').to_owned()).collect()
}

#[test]
fn every_option_of_help_is_in_the_page_and_in_each_completion() {
    let daemon = options(&help(&["--help"]));
    let bench = options(&help(&["bench", "--help"]));
    assert!(daemon.contains("-c") && daemon.contains("--config") && daemon.len() > 20);
    assert!(bench.contains("-n") && bench.contains("--subscribers") && bench.len() > 28);
    // How each file writes an option.
    let page = |option: &str| format!("Fl {}", &option[1..]);
    let word = |option: &str| option.to_owned();
    let fish = |option: &str| match option.strip_prefix("--") {
        Some(long) => format!("-l {long}"),
        None => format!("-s {}", &option[1..]),
    };
    let mut missing = Vec::new();
    let mut look = |name: &str, divide: &str, spelling: &dyn Fn(&str) -> String| {
        let text = kept(name);
        // The options of bench stand behind this.
        let Some((of_daemon, of_bench)) = text.split_once(divide) else {
            return missing.push(format!("{name}: {divide}"));
        };
        for (options, text) in [(&daemon, of_daemon), (&bench, of_bench)] {
            // A space around each word, so that --publish is not found in --publishers.
            let is_part = |char: char| char.is_alphanumeric() || char == '-';
            let spaced = |char: char| if is_part(char) { char } else { ' ' };
            let text = format!(" {} ", text.chars().map(spaced).collect::<String>());
            let is_absent = |option: &&String| !text.contains(&format!(" {} ", spelling(option)));
            let absent = options.iter().filter(is_absent);
            missing.extend(absent.map(|option| format!("{name}: {option}")));
        }
    };
    look("pushserver.1", ".Sh OPTIONS OF BENCH", &page);
    look("pushserver.bash", "# bench", &word);
    look("_pushserver", "# bench", &word);
    look("pushserver.fish", "# bench", &fish);
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn bash_completes_options_commands_words_and_files() {
    let folder = own_folder();
    fs::write(folder.join("settings.json"), "{}").expect("it can be written");
    for (line, expected) in [
        (&["--print-"][..], &["--print-config", "--print-schema"][..]),
        (&["b"], &["bench"]),
        (&["--check-config", "-c", "set"], &["settings.json"]),
        // As readline splits it.
        (&["--config", "=", "set"], &["settings.json"]),
        (&["--pid-file", "set"], &["settings.json"]),
        (&["--port", ""], &[]),
        (&["set"], &[]),
        (&["--check-config", "b"], &[]),
        (&["bench", "c"], &["channels", "cycle"]),
        (&["bench", "--compare-p"], &["--compare-pid", "--compare-publish"]),
        (&["bench", "--transport", "w"], &["websocket"]),
        (&["bench", "--repoll", "=", "a"], &["after-all", "at-once"]),
        (&["bench", "--json", "s"], &["settings.json"]),
        (&["bench", "--print-"], &[]),
    ] {
        let script = format!(
            "source '{}'; COMP_WORDS=(pushserver \"$@\"); COMP_CWORD=$#; COMPREPLY=();
             complete -p pushserver >/dev/null || exit 1
             _pushserver pushserver \"${{@: -1}}\" 2>/dev/null
             [ ${{#COMPREPLY[@]}} -eq 0 ] || printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            path("pushserver.bash").display()
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &script, "bash"]).args(line).current_dir(&folder);
        let output = bash.output().expect("bash is there");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{line:?}: {told}");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let found: BTreeSet<&str> = stdout.lines().collect();
        assert_eq!(found, expected.iter().copied().collect(), "{line:?}");
    }
    fs::remove_dir_all(folder).expect("it is there");
}

/// A folder of this test alone.
fn own_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pushserver-manual-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("it can be made");
    folder
}

#[test]
fn help_is_what_the_table_makes() {
    assert_eq!(help(&["--help"]), cli::OPTIONS.help());
    assert_eq!(help(&["bench", "--help"]), pushserver_bench::OPTIONS.help());
}
