//! The command on settings good and bad: what it prints where, and its exit code. What serves
//! requests belongs elsewhere.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio, id};

use serde_json::Value;

/// A settings file of one test, removed at its end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pushserver-{}-{name}.json", id()));
        fs::write(&path, text).expect("the temporary directory is writable");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushserver"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it prints UTF-8")
}

/// Exit code 2, nothing on standard output, and this one line on standard error.
fn assert_refused(output: &Output, line: &str) {
    assert_eq!(text(&output.stderr), format!("{line}\n"));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(output.status.code(), Some(2));
}

fn assert_prints(output: &Output, printed: &str) {
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), printed);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_bad_file_is_one_line_with_its_path_and_exit_code_2() {
    for (name, settings, what) in [
        (
            "key",
            r#"{"locations": [{"type": "subscriber", "prefix": "/", "polling_": 1}]}"#,
            "locations[0].polling_: unknown key; did you mean \"polling\"?",
        ),
        (
            "url",
            r#"{"locations": [{"type": "publisher", "prefix": "/p/"},
                              {"type": "subscriber", "url": "/u/[^/]+"}]}"#,
            "locations[1].url: no capture group; \
             put parentheses around the channel id, as in /updates/([^/]+)",
        ),
        ("syntax", "{\n  \"port\": 1,\n}", "line 3 column 1: not JSON: trailing comma"),
        (
            "twice",
            r#"{"port": 1, "port": 2}"#,
            "the key \"port\" is given twice (line 1 column 18)",
        ),
        ("behind", "{} 1", "line 1 column 4: not JSON: trailing characters"),
        (
            "redis",
            r#"{"store": {"type": "redis", "password": {"env": "NO_SUCH_VARIABLE"}}}"#,
            "store.password.env: the environment variable \"NO_SUCH_VARIABLE\" is not set",
        ),
    ] {
        let file = File::new(name, settings);
        let path = file.0.to_str().unwrap();
        for arguments in [&["-c", path][..], &["-c", path, "-t"], &["-c", path, "--print-config"]] {
            assert_refused(&run(arguments), &format!("{path}: {what}"));
        }
    }
}

#[test]
fn a_build_refuses_what_it_was_built_without() {
    let not_built = |feature| format!("this pushserver was built without the feature {feature:?}");
    let located = |key: &str, feature| format!("{key}: {}; leave the key out", not_built(feature));
    let inspector = r#"{"locations": [{"type": "status", "prefix": "/", "inspector": true}]}"#;
    let passthrough = r#"{"locations": [{"type": "subscriber", "prefix": "/", "passthrough":
        "http://127.0.0.1:1/"}]}"#;
    for (is_built_in, feature, settings, key) in [
        (cfg!(feature = "inspector"), "inspector", inspector, "locations[0].inspector"),
        (cfg!(feature = "passthrough"), "passthrough", passthrough, "locations[0].passthrough"),
        (cfg!(feature = "persist"), "persist", r#"{"store": {"persist": "/a"}}"#, "store.persist"),
        (cfg!(feature = "proxy"), "proxy", r#"{"allrequests": "unix:/a"}"#, "allrequests"),
        (cfg!(feature = "redis"), "redis", r#"{"store": {"type": "redis"}}"#, "store.type"),
    ] {
        let file = File::new(feature, settings);
        let path = file.0.to_str().unwrap();
        let output = run(&["-q", "-c", path, "-t"]);
        match is_built_in {
            true => assert_prints(&output, &format!("{path}: ok\n")),
            false => assert_refused(&output, &format!("{path}: {}", located(key, feature))),
        }
    }
    let output = run(&["--nginx-config"]);
    match cfg!(feature = "nginx") {
        true => assert_eq!(output.status.code(), Some(0)),
        false => assert_refused(&output, &format!("--nginx-config: {}", not_built("nginx"))),
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let line = "/nonexistent/a\\n.json: cannot read it: No such file or directory (os error 2)";
    assert_refused(&run(&["-c", "/nonexistent/a\n.json"]), line);
}

#[test]
fn wrong_arguments_are_one_line_and_exit_code_2() {
    assert_refused(
        &run(&["--prot", "1"]),
        "pushserver: unknown option --prot; did you mean --port? (--help lists all options)",
    );
    assert_refused(
        &run(&["--listen", "8001"]),
        "--listen: \"8001\" is no address with a port; \
         write 127.0.0.1:8001, [::1]:8001 or unix:/path",
    );
}

#[test]
fn what_would_not_be_honoured_is_refused() {
    let listen = |times: usize| ["--listen", "127.0.0.1:0"].repeat(times);
    assert_refused(&run(&listen(65)), "--listen: given more than 64 times");
    assert_refused(
        &run(&[&listen(65)[..], &["-t"]].concat()),
        "--listen: given more than 64 times",
    );
    assert_eq!(run(&[&listen(64)[..], &["-t", "-q"]].concat()).status.code(), Some(0));
    let file = File::new("headers", r#"{"limits": {"headers": 257}}"#);
    let path = file.0.to_str().unwrap();
    assert_refused(
        &run(&["-t", "-c", path]),
        &format!(
            "{path}: limits.headers: expected a whole number from 1 to 256 (for example 100), \
             found the number 257"
        ),
    );
}

#[test]
#[cfg(feature = "passthrough")] // the example asks for it
fn check_config_says_that_the_file_is_good() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.json");
    assert_prints(&run(&["-t", "-c", example]), &format!("{example}: ok\n"));
}

#[test]
fn check_config_warns_of_a_publisher_open_to_the_world() {
    let output = run(&["-t", "--listen", "0.0.0.0:0"]);
    let warning = "warn locations[0]: everybody who can reach http://0.0.0.0:0 may publish";
    assert!(text(&output.stderr).contains(warning), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
    assert_prints(&run(&["-t", "-q", "--listen", "0.0.0.0:0"]), "settings: ok\n");
}

#[test]
#[cfg(feature = "passthrough")] // the example asks for it
fn the_printed_settings_give_themselves_again() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.json");
    for arguments in [&["-c", example][..], &[], &["--port", "0"], &["--listen", "[::1]:5"]] {
        let printed = run(&[arguments, &["--print-config"]].concat());
        let printed = text(&printed.stdout);
        let file = File::new("printed", printed);
        assert_prints(&run(&["-c", file.0.to_str().unwrap(), "--print-config"]), printed);
    }
}

#[test]
fn the_printed_settings_hold_the_defaults_and_the_arguments() {
    let output = run(&["--print-config", "--port", "0", "--ipv6"]);
    let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(settings["port"], 0);
    assert_eq!(settings["address"], "::1");
    assert_eq!(settings["limits"]["body_bytes"], 10_485_760);
    assert_eq!(settings["locations"][1]["timeout"], 55);
}

#[test]
fn the_schema_is_json_and_knows_every_printed_key() {
    let schema: Value = serde_json::from_slice(&run(&["--print-schema"]).stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let settings: Value = serde_json::from_slice(&run(&["--print-config"]).stdout).unwrap();
    for key in settings.as_object().unwrap().keys() {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn settings_come_from_standard_input_too() {
    let mut child = command(&["-c", "-", "-t"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"prot\": 1}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_refused(&output, "standard input: prot: unknown key; did you mean \"port\"?");
}

#[test]
fn with_exit_on_stdin_eof_one_object_is_read_and_the_end_not_waited_for() {
    let mut command = command(&["-c", "-", "-t", "--exit-on-stdin-eof"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"port\": 0}").unwrap();
    // Standard input is open until after the answer: a child that waits for its end never ends.
    assert_prints(&child.wait_with_output().unwrap(), "standard input: ok\n");
    drop(stdin);
}

#[test]
fn settings_that_never_end_are_refused_with_the_bound() {
    let over = "cannot read it: over 4 MiB, and no settings are; is it the right file?";
    assert_refused(&run(&["-c", "/dev/zero"]), &format!("/dev/zero: {over}"));
    for arguments in [&["-c", "-"][..], &["-c", "-", "--exit-on-stdin-eof"]] {
        let mut spaces = Command::new("yes").arg(" ").stdout(Stdio::piped()).spawn().unwrap();
        let input = spaces.stdout.take().unwrap();
        let output = command(arguments).stdin(input).output().unwrap();
        assert_refused(&output, &format!("standard input: {over}"));
        spaces.wait().unwrap();
    }
    let most = "{}".to_owned() + &" ".repeat((4 << 20) - 2);
    let file = File::new("most", &most);
    let path = file.0.to_str().unwrap();
    assert_prints(&run(&["-c", path, "-t"]), &format!("{path}: ok\n"));
    fs::write(&file.0, most + " ").unwrap();
    assert_refused(&run(&["-c", path]), &format!("{path}: {over}"));
}

#[test]
fn settings_come_from_a_pipe_but_not_from_one_that_nobody_writes_to_its_end() {
    let pipe = |name: &str| {
        let pipe = File(std::env::temp_dir().join(format!("pushserver-{}-{name}", id())));
        assert!(Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
        pipe
    };
    let (silent, begun) = (pipe("silent"), pipe("begun"));
    let (silent, begun) = (silent.0.to_str().unwrap(), begun.0.to_str().unwrap());
    let line = "cannot read it: a pipe that was not written and closed within 10 s";
    // Nobody opens the one; somebody opens the other, and says nothing more. Both wait at once.
    let of_silent = command(&["-c", silent]).spawn().unwrap();
    let of_begun = command(&["-c", begun]).spawn().unwrap();
    let mut writer = fs::OpenOptions::new().write(true).open(begun).unwrap();
    writer.write_all(b"{").unwrap();
    assert_refused(&of_silent.wait_with_output().unwrap(), &format!("{silent}: {line}"));
    assert_refused(&of_begun.wait_with_output().unwrap(), &format!("{begun}: {line}"));
    drop(writer);
    let reader = command(&["-c", begun, "-t"]).spawn().unwrap();
    fs::write(begun, "{}").unwrap();
    assert_prints(&reader.wait_with_output().unwrap(), &format!("{begun}: ok\n"));
}

#[test]
fn a_directory_in_place_of_settings_is_refused() {
    let output = run(&["-c", "/"]);
    assert_refused(&output, "/: cannot read it: Is a directory (os error 21)");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let version = concat!("pushserver ", env!("CARGO_PKG_VERSION"), "\n");
    assert_prints(&run(&["-V"]), version);
    let help = run(&["--help"]);
    assert!(text(&help.stdout).contains("Usage: pushserver"));
    assert_eq!(help.status.code(), Some(0));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let mut child = command(&["--print-schema"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}
