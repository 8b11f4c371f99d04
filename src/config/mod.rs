//! Configuration: from JSON in the form of Django's `PUSH_SERVER` to the options of every layer.
//! Only `cli` and `main` import it.
//!
//! The steps: `source` (bytes), `json` (a value), `schema` (keys, types, bounds, defaults),
//! `settings` (typed), `build` (options). Every error is one line: of a bad setting its JSON path,
//! what is wrong, what is allowed.

mod address;
mod build;
mod development;
mod elsewhere;
mod header_text;
mod idle;
mod ids;
mod inspector;
mod json;
mod nginx;
mod persist;
mod presence;
mod problem;
mod reach;
mod redis;
mod schema;
mod seconds;
mod secrets;
mod settings;
mod source;
mod status;
mod tls;
mod trust;
mod upstream;

use std::collections::HashMap;
use std::mem::{self, Discriminant};

use ipnet::IpNet;
use serde_json::{Map, Value};

use self::problem::{Path, Problem};
use self::settings::{Settings, Store};
use self::tls::Tls;
use crate::hub::options::{self as hub, StoreOptions};
use crate::message::MessageId;
use crate::net::ReloadedOptions;
use crate::net::options::{self as net, Listen, PersistOptions, TlsOptions, Trust};
use crate::relay::options::{self as relay, PublisherOptions};
use crate::secret::Secret;
use crate::store::StoreId;

pub use self::problem::Error;
pub use self::schema::TEXT as SCHEMA;
pub use self::source::Source;

/// What the command line sets over the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`, each `ADDR:PORT` or `unix:PATH`; one is enough to replace `address` and `port`.
    pub listen: Vec<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--ipv6`: the default address is `::1`.
    pub ipv6: bool,
    /// `--allrequests`.
    pub allrequests: Option<String>,
    /// `--forcehost`.
    pub forcehost: Option<String>,
    /// `--inspect`: the secret of the location that it adds.
    pub inspect: Option<Secret>,
}

/// Valid settings, and the options of every layer that follow from them.
#[derive(Debug, Clone)]
pub struct Config {
    source: Source,
    overrides: Overrides,
    settings: Settings,
    listen: Vec<Listen>,
    relay: relay::Options,
    stores: Vec<StoreOptions>,
    persist: Vec<PersistOptions>,
    tls: Tls,
    trusts: HashMap<StoreId, Trust>,
}

impl Config {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// The file cannot be read, or its first error.
    pub fn load(source: Source, overrides: Overrides) -> Result<Self, Error> {
        let value = source.read().map_err(|problem| located(&source, &problem))?;
        Self::of_value(value, source, overrides)
    }

    /// As [`Config::load`], of bytes that were read from `source`.
    ///
    /// # Errors
    /// The first error in them.
    pub fn parse(text: &[u8], source: Source, overrides: Overrides) -> Result<Self, Error> {
        let value = json::whole(text).map_err(|problem| located(&source, &problem))?;
        Self::of_value(value, source, overrides)
    }

    fn of_value(value: Value, source: Source, overrides: Overrides) -> Result<Self, Error> {
        let located = |problem: Problem| located(&source, &problem);
        let mut settings = typed(value, &overrides).map_err(located)?;
        // Checked even if `--listen` replaces it: whether a file is valid depends on the file
        // alone.
        let listen = listen(&settings, overrides.ipv6).map_err(located)?;
        let listen = match overrides.listen.as_slice() {
            [] => vec![listen],
            arguments => listen_arguments(arguments, overrides.ipv6)?,
        };
        if let ([listen], false) = (listen.as_slice(), overrides.listen.is_empty()) {
            show_listen(listen, &mut settings);
        }
        let (relay, stores) = build::options(&settings).map_err(located)?;
        let persist = persist::files(&settings).map_err(located)?;
        if let Some(proxy) = &relay.proxy {
            upstream::check_not_itself(proxy, &listen).map_err(located)?;
        }
        inspector::check(&settings, &listen).map_err(located)?;
        let tls = Tls::of(&settings, &listen).map_err(located)?;
        let trusts = trust::of_stores(&settings).map_err(located)?;
        Ok(Self { source, overrides, settings, listen, relay, stores, persist, tls, trusts })
    }

    /// Reads the same file again. Returns the options that may change while the daemon runs.
    ///
    /// # Errors
    /// As [`Config::load`]; or the setting that changed although it needs a restart.
    pub fn reload(&self) -> Result<ReloadedOptions, Error> {
        match self.source {
            Source::File(_) => {}
            Source::Defaults => return Err(Error("no settings file was given at start".into())),
            Source::Stdin { .. } => {
                return Err(Error("standard input cannot be read again; restart instead".into()));
            }
        }
        let new = Self::load(self.source.clone(), self.overrides.clone())?;
        let (was, is) = (&self.settings, &new.settings);
        let changed = [
            ("address or port", self.listen != new.listen),
            ("the names in store", was.store_names() != is.store_names()),
            ("the type of a store", types(was) != types(is)),
            ("persist or persist_sync of a store", self.persist != new.persist),
            ("whether there is a certificate", self.tls.is_on() != new.tls.is_on()),
            ("plain_http", was.plain_http != is.plain_http),
            ("limits.connections", was.limits.connections != is.limits.connections),
            ("limits.channels", was.limits.channels != is.limits.channels),
            (
                "limits.passthrough_queue",
                was.limits.passthrough_queue != is.limits.passthrough_queue,
            ),
        ];
        match changed.iter().find(|(_, changed)| *changed) {
            Some((what, _)) => {
                Err(Error(format!("{}: {what} cannot change while running; restart", self.source)))
            }
            None => Ok(ReloadedOptions {
                certificate: new.tls.certificate()?,
                relay: new.relay,
                stores: new.stores,
                trusts: new.trusts,
            }),
        }
    }

    /// What opens the inspector, behind the address of the daemon: with its secret.
    #[must_use]
    pub fn inspector_link(&self) -> Option<String> {
        inspector::link(&self.settings)
    }

    /// Where the settings came from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The reactor's options. A certificate for development is made, if there is none.
    ///
    /// # Errors
    /// Why that cannot be had.
    pub fn net_options(&self, exit_on_stdin_eof: bool) -> Result<net::Options, Error> {
        let certificate = self.tls.certificate()?;
        let plain_http = self.settings.plain_http;
        Ok(net::Options {
            trusts: self.trusts.clone(),
            tls: certificate.map(|certificate| TlsOptions { certificate, plain_http }),
            listen: self.listen.clone(),
            connections: self.settings.limits.connections,
            passthrough_queue: self.settings.limits.passthrough_queue,
            exit_on_stdin_eof,
            persist: self.persist.clone(),
        })
    }

    /// The relay's options.
    #[must_use]
    pub fn relay_options(&self) -> relay::Options {
        self.relay.clone()
    }

    /// The hub's options.
    #[must_use]
    pub fn hub_options(&self, first_id: MessageId, seed: u64) -> hub::Options {
        hub::Options {
            stores: self.stores.clone(),
            channels_max: self.settings.limits.channels,
            first_id,
            seed,
        }
    }

    /// Settings that are valid but likely a mistake, one line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.open_publishers();
        for (index, location) in self.relay.locations.iter().enumerate() {
            let Some(subscriber) = location.role.subscriber() else { continue };
            if let Some(url) = &subscriber.passthrough
                && upstream::comes_back(url, &self.listen)
            {
                warnings.push(format!(
                    "locations[{index}].passthrough: the daemon itself listens at this address, so \
                     the notices come back to it; give the address of the application"
                ));
            }
        }
        warnings.extend(idle::warnings(&self.settings));
        warnings.extend(persist::warnings(&self.settings));
        warnings.extend(redis::warnings(&self.settings, &self.stores));
        warnings.extend(tls::warnings(&self.settings, &self.listen, &self.tls));
        warnings.extend(inspector::warnings(&self.settings, &self.listen));
        warnings
    }

    /// Warnings for publisher locations that are open to everybody: at an address that other
    /// machines reach, or through a front server, whose address all requests have.
    fn open_publishers(&self) -> Vec<String> {
        let is_public = |listen: &&Listen| match listen {
            Listen::Tcp(address) => !address.ip().is_loopback(),
            Listen::Unix(_) => false,
        };
        let public = self.listen.iter().find(is_public);
        let fronts = self.relay.proxy.as_ref().map_or(&[][..], |proxy| &proxy.trusted);
        let overlap = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
        let mut warnings = Vec::new();
        for (index, location) in self.relay.locations.iter().enumerate() {
            let Some(PublisherOptions { allow, secret: None, .. }) = location.role.publisher()
            else {
                continue;
            };
            let lets_in = |front: &&IpNet| {
                allow.is_empty() || allow.iter().any(|network| overlap(network, front))
            };
            if let Some(public) = public.filter(|_| allow.is_empty()) {
                warnings.push(format!(
                    "locations[{index}]: everybody who can reach {public} may publish; \
                     set \"allow\" or \"secret\""
                ));
            } else if let Some(front) = fronts.iter().find(lets_in) {
                warnings.push(format!(
                    "locations[{index}]: everybody who can reach the front server at {front} may \
                     publish, because \"allow\" compares the address of the connection; set \"secret\""
                ));
            }
        }
        warnings
    }

    /// All settings with their defaults, as JSON that gives the same settings again.
    ///
    /// # Errors
    /// Several `--listen`: a file has one address.
    pub fn to_json(&self) -> Result<String, Error> {
        if self.overrides.listen.len() > 1 {
            return Err(Error(
                "--print-config: a settings file has one address; give one --listen".into(),
            ));
        }
        let text = serde_json::to_string_pretty(&self.settings);
        Ok(text.expect("settings have string keys and finite numbers"))
    }

    /// The configuration of nginx with Nchan that behaves as these settings do.
    ///
    /// # Errors
    /// A setting that nginx needs another value for; a build without it.
    pub fn to_nginx(&self) -> Result<String, Error> {
        if !cfg!(any(test, feature = "nginx")) {
            let what = "this pushserver was built without the feature \"nginx\"";
            return Err(Error(format!("--nginx-config: {what}")));
        }
        nginx::configuration(&self.settings, &self.stores, &self.listen)
            .map_err(|what| Error(format!("{}: --nginx-config: {what}", self.source)))
    }
}

impl Default for relay::Limits {
    /// The limits of settings that name none, so that `schema.json` is their one home.
    fn default() -> Self {
        let none = Value::Object(Map::new());
        let settings = typed(none, &Overrides::default()).expect("the schema allows its defaults");
        build::limits(&settings.limits)
    }
}

fn types(settings: &Settings) -> Vec<Discriminant<Store>> {
    settings.stores().into_iter().map(mem::discriminant).collect()
}

fn located(source: &Source, problem: &Problem) -> Error {
    match problem.path.as_str() {
        "" => Error(format!("{source}: {}", problem.what)),
        path => Error(format!("{source}: {path}: {}", problem.what)),
    }
}

fn typed(mut value: Value, overrides: &Overrides) -> Result<Settings, Problem> {
    if let Value::Object(settings) = &mut value {
        if overrides.ipv6 {
            settings.entry("address").or_insert_with(|| "::1".into());
        }
        let typed = [("allrequests", &overrides.allrequests), ("forcehost", &overrides.forcehost)];
        for (key, given) in typed {
            if let Some(given) = given {
                settings.insert(key.to_owned(), given.as_str().into());
            }
        }
        if settings.contains_key("allrequests") {
            // The daemon takes the port that Django's own server has by default.
            settings.entry("port").or_insert_with(|| 8000.into());
        }
    }
    schema::fill(&mut value)?;
    // The schema allows only values of this type; a test compares the two.
    let mut settings: Settings = serde_json::from_value(value)
        .map_err(|error| Problem::new(&Path::Root, error.to_string()))?;
    settings.port = overrides.port.unwrap_or(settings.port);
    if let Some(secret) = &overrides.inspect {
        inspector::add(&mut settings, secret);
    }
    redis::complete(&mut settings);
    secrets::read_all(&mut settings)?;
    Ok(settings)
}

fn listen(settings: &Settings, ipv6: bool) -> Result<Listen, Problem> {
    address::listen(&settings.address, settings.port, ipv6)
        .map_err(|wrong| wrong.at(&Path::Root.key("address")))
}

fn listen_arguments(arguments: &[String], ipv6: bool) -> Result<Vec<Listen>, Error> {
    if arguments.len() > net::LISTENERS_MAX {
        return Err(Error(format!("--listen: given more than {} times", net::LISTENERS_MAX)));
    }
    let all = arguments.iter().map(|text| address::listen_argument(text, ipv6));
    all.collect::<Result<_, _>>().map_err(|wrong: Error| Error(format!("--listen: {wrong}")))
}

/// Writes the one `--listen` into the settings, for `--print-config`.
fn show_listen(listen: &Listen, settings: &mut Settings) {
    match listen {
        Listen::Tcp(address) => {
            settings.address = address.ip().to_string();
            settings.port = address.port();
        }
        Listen::Unix(_) => settings.address = listen.to_string(),
    }
}

#[cfg(test)]
mod tests;
