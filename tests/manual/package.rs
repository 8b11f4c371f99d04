//! Package: what `docs/package` has beside page and completions fits the daemon and its documents.

use std::process::{Command, Output};

use crate::{kept, path};

/// The daemon's judgement of a settings file.
fn check(name: &str, secret: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushserver"));
    command.arg("--check-config").arg("--config").arg(path(name));
    command.env_remove("PUSHSERVER_SECRET").envs(secret.map(|value| ("PUSHSERVER_SECRET", value)));
    command.output().expect("it runs")
}

#[test]
fn the_settings_that_come_with_packages_are_taken_without_a_warning() {
    for (name, secret) in [("pushserver.json", None), ("container.json", Some("hush"))] {
        let output = check(name, secret);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{name}: {told}");
    }
}

#[test]
fn a_container_without_a_secret_is_refused_with_the_name_of_the_variable() {
    for secret in [None, Some("")] {
        let output = check("container.json", secret);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(told.contains("\"PUSHSERVER_SECRET\" is"), "{told}");
    }
}

#[test]
fn the_unit_of_the_operations_page_is_that_of_the_package() {
    let page = kept("../operations.md");
    let unit = format!(
        "```ini\n# /etc/systemd/system/pushserver.service\n{}```\n",
        kept("pushserver.service")
    );
    assert!(page.contains(&unit), "docs/operations.md has not docs/package/pushserver.service");
}

#[test]
fn the_changelog_of_the_package_begins_with_this_version() {
    let begin = concat!("pushserver (", env!("CARGO_PKG_VERSION"), "-");
    assert!(kept("changelog").starts_with(begin), "docs/package/changelog lacks {begin}…)");
    let named = concat!("pushserver_", env!("CARGO_PKG_VERSION"), "-1_amd64.deb");
    assert!(kept("../operations.md").contains(named), "docs/operations.md: {named}");
}
