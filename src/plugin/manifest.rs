use std::path::Path;

use tracing::warn;

use crate::{
    config::{PluginsConfig, Trust},
    load_error::LoadError,
    plugin::{
        Approvals, CallError, Declaration, Permissions, PluginFiles,
        declaration::{Wrong, check_api, check_name},
    },
    user::Allow,
};

/// Who a plugin is and what it may do.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub name: String,
    /// Relative to the project: `plugins/hello.rhai`, `plugins/cat-lounge`.
    pub path: String,
    pub version: Option<String>,
    pub description: Option<String>,
    /// In force: what it states, narrowed and granted by kitfox.toml.
    pub permissions: Permissions,
    /// What it states itself, for approval.
    pub requested: Permissions,
    /// Who may have its tools called: those whom it lets, and the operator too.
    pub allow: Allow,
    /// False under `trust = "ask"` until the operator approved `requested`: then nothing of it runs.
    pub approved: bool,
}

impl Manifest {
    /// What is in force for a plugin: what it declares, with what the operator decided. Fails where it cannot have
    /// its name, was written for another version of Kitfox, or where kitfox.toml is wrong about it.
    pub fn decide(
        declaration: Declaration,
        files: &PluginFiles,
        config: &PluginsConfig,
        approvals: &Approvals,
    ) -> Result<Self, LoadError> {
        let Declaration { name, version, description, kitfox, permissions: requested, allow } =
            declaration;
        let place = permissions_file(&files.path);
        let wrong = |Wrong { message, remedy }| LoadError::new(&place, message).remedy(remedy);
        let name = name.unwrap_or_else(|| files.name.clone());
        check_name(&name).map_err(wrong)?;
        if let Some(kitfox) = &kitfox {
            check_api(kitfox).map_err(wrong)?;
        }
        let operator = config.by_name.get(&name);
        let allow = operator.map_or_else(|| allow.clone(), |it| allow.clone().and(&it.allow));
        let operator = operator.and_then(|it| it.permissions.as_ref());
        let permissions = requested.narrow(operator).map_err(|err| {
            LoadError::new("kitfox.toml", format!("`plugins.{name}` is wrong: {err}"))
        })?;
        let approved = is_approved(&name, &requested, config.trust, approvals);
        let path = files.path.clone();
        Ok(Self { name, path, version, description, permissions, requested, allow, approved })
    }

    /// Where the plugin states its permissions: `plugins/hello.rhai`, `plugins/cat-lounge/plugin.toml`.
    pub fn permissions_file(&self) -> String {
        permissions_file(&self.path)
    }

    /// Fails where nothing of it may run.
    pub fn require_approval(&self) -> Result<(), CallError> {
        if self.approved {
            return Ok(());
        }
        Err(CallError::Thrown(format!("the plugin `{}` is not approved yet", self.name)))
    }

    /// Why nothing of it runs, where it is not approved.
    pub fn unapproved_error(&self) -> LoadError {
        LoadError::new(
            self.permissions_file(),
            format!("plugin `{}` waits for approval: it asks for {}", self.name, self.requested),
        )
        .remedy(format!("read it, then let it run with `kitfox plugins approve {}`", self.name))
    }
}

fn is_approved(name: &str, requested: &Permissions, trust: Trust, approvals: &Approvals) -> bool {
    let approved = approvals.find(name);
    match trust {
        Trust::Ask => approved.is_some_and(|it| it.covers(requested)),
        Trust::Declared => {
            if approved.is_some_and(|it| !it.covers(requested)) {
                warn!(
                    security = true,
                    plugin = %name,
                    %requested,
                    "plugin {name} asks for more than was approved, and has it by `trust = \"declared\"`"
                );
            }
            true
        }
    }
}

fn permissions_file(path: &str) -> String {
    let is_file = Path::new(path).extension().is_some_and(|it| it == "rhai" || it == "wasm");
    if is_file { path.to_owned() } else { format!("{path}/plugin.toml") }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use insta::assert_snapshot;

    use super::*;
    use crate::config::{PluginConfig, RawPermissions};

    fn written(text: &str) -> RawPermissions {
        toml::from_str(text).unwrap()
    }

    fn decide(
        path: &str,
        requested: &str,
        config: &PluginsConfig,
        approvals: &str,
    ) -> Result<Manifest, LoadError> {
        let permissions = Permissions::parse(&written(requested)).unwrap();
        let declaration = Declaration { permissions, ..Declaration::default() };
        let name = path.trim_start_matches("plugins/").trim_end_matches(".rhai").to_owned();
        let files = PluginFiles { path: path.to_owned(), name, files: BTreeMap::new() };
        let approvals = Approvals::parse(approvals).unwrap();
        Manifest::decide(declaration, &files, config, &approvals)
    }

    fn config(trust: Trust, weather: Option<&str>) -> PluginsConfig {
        let mut by_name = BTreeMap::new();
        if let Some(text) = weather {
            let permissions = Some(written(text));
            by_name.insert(
                "weather".to_owned(),
                PluginConfig { permissions, allow: Allow::default(), env: BTreeMap::new() },
            );
        }
        PluginsConfig { trust, by_name, allow_addresses: Vec::new() }
    }

    #[test]
    fn a_plugin_has_what_it_states_as_the_operator_narrows_it() {
        let config = config(Trust::Declared, Some("http = ['a.test']"));
        let requested = "http = ['a.test', 'b.test']\nenv = ['HOME']";
        let manifest = decide("plugins/weather.rhai", requested, &config, "").unwrap();
        assert_eq!(manifest.name, "weather");
        assert!(manifest.approved);
        assert_snapshot!(manifest.requested, @"http (a.test, b.test), env (HOME)");
        assert_snapshot!(manifest.permissions, @"http (a.test)");
    }

    #[test]
    fn under_ask_only_what_was_approved_runs() {
        let config = config(Trust::Ask, None);
        let table = [
            ("", "", false),
            ("", "[weather]", true),
            ("http = ['a.test']", "", false),
            ("http = ['a.test']", "[weather]", false),
            ("http = ['a.test']", "[weather]\nhttp = ['a.test']", true),
            ("http = ['a.test']", "[weather]\nhttp = ['*.test', 'b.test']", true),
            ("http = ['a.test', 'b.test']", "[weather]\nhttp = ['a.test']", false),
            ("http = ['a.test']", "[other]\nhttp = ['a.test']", false),
        ];
        for (requested, approvals, approved) in table {
            let manifest = decide("plugins/weather.rhai", requested, &config, approvals).unwrap();
            assert_eq!(manifest.approved, approved, "{requested:?} {approvals:?}");
        }
    }

    #[test]
    fn under_declared_what_was_not_approved_runs_and_is_logged_as_a_security_event() {
        let (config, log) = (config(Trust::Declared, None), Log::default());
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for approvals in ["", "[weather]\nhttp = ['*.test']", "[weather]\nmodel = true"] {
                let manifest =
                    decide("plugins/weather.rhai", "http = ['a.test']", &config, approvals);
                assert!(manifest.unwrap().approved);
            }
        });
        let log = log.0.lock().unwrap();
        assert_snapshot!(str::from_utf8(&log).unwrap(), @r#" WARN kitfox::plugin::manifest: plugin weather asks for more than was approved, and has it by `trust = "declared"` security=true plugin=weather requested=http (a.test)"#);
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_plugin_that_waits_says_for_what() {
        let config = config(Trust::Ask, None);
        let error = |path, requested| {
            decide(path, requested, &config, "").unwrap().unapproved_error().to_string()
        };
        assert_snapshot!(error("plugins/weather", "http = ['a.test']\nmodel = true"), @"plugins/weather/plugin.toml: plugin `weather` waits for approval: it asks for http (a.test), model (read it, then let it run with `kitfox plugins approve weather`)");
        assert_snapshot!(error("plugins/weather.rhai", ""), @"plugins/weather.rhai: plugin `weather` waits for approval: it asks for nothing (read it, then let it run with `kitfox plugins approve weather`)");
    }

    #[test]
    fn what_cannot_be_in_force_is_refused() {
        let plain = config(Trust::Declared, None);
        assert_snapshot!(decide("plugins/My Cats.rhai", "", &plain, "").unwrap_err(), @"plugins/My Cats.rhai: `My Cats` cannot be a plugin's name (a name has 1 to 63 of the characters a-z, 0-9, `_` and `-`, and begins with a letter or digit)");
        let wrong = config(Trust::Declared, Some("http = ['a/b']"));
        assert_snapshot!(decide("plugins/weather.rhai", "", &wrong, "").unwrap_err(), @"kitfox.toml: `plugins.weather` is wrong: `permissions.http`: `a/b` names a path: hosts are permitted as a whole, write the host alone");
    }
}
