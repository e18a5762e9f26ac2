use url::Url;

use crate::plugin::{Manifest, permission::HttpPattern};

/// One use of a permission.
#[derive(Debug, Clone, Copy)]
pub enum Need<'a> {
    Http(&'a Url),
    Credential(&'a str),
    Knowledge(&'a str),
    Env(&'a str),
    Model,
    Tool(&'a str),
    Public,
}

impl Manifest {
    /// Fails with what is missing and the file to put it in.
    pub fn check(&self, need: &Need<'_>) -> Result<(), String> {
        if !self.approved {
            let name = &self.name;
            return Err(
                self.denial(need, &format!("approve it by `kitfox plugins approve {name}`"))
            );
        }
        if !self.requested.admit(need) {
            let mut remedy = format!("{} in {}", need.change(), self.permissions_file());
            if need.is_operators() {
                remedy = format!("{remedy}, and {}", self.operators_change(need));
            }
            return Err(self.denial(need, &remedy));
        }
        if !self.permissions.admit(need) {
            return Err(self.denial(need, &self.operators_change(need)));
        }
        Ok(())
    }

    fn denial(&self, need: &Need<'_>, remedy: &str) -> String {
        format!("plugin `{}` may not {}: {remedy}", self.name, need.deed())
    }

    fn operators_change(&self, need: &Need<'_>) -> String {
        format!("{} of `[plugins.{}]` in kitfox.toml", need.change(), self.name)
    }
}

impl Need<'_> {
    fn deed(&self) -> String {
        match self {
            Self::Http(url) => format!("fetch `{}`", url.origin().ascii_serialization()),
            Self::Credential(name) => format!("use the credential `{name}`"),
            Self::Knowledge(name) => format!("search `{name}`"),
            Self::Env(name) => format!("read the environment variable `{name}`"),
            Self::Model => "ask a model".to_owned(),
            Self::Tool(name) => format!("call the tool `{name}`"),
            Self::Public => "have public routes".to_owned(),
        }
    }

    fn change(&self) -> String {
        let (key, entry) = match self {
            Self::Http(url) => {
                ("http", HttpPattern::of(url).map_or_else(String::new, |it| it.to_string()))
            }
            Self::Credential(name) => ("credentials", (*name).to_owned()),
            Self::Knowledge(name) => ("knowledge", (*name).to_owned()),
            Self::Env(name) => ("env", (*name).to_owned()),
            Self::Tool(name) => ("tools", (*name).to_owned()),
            Self::Model => return "set `permissions.model` to `true`".to_owned(),
            Self::Public => return "set `permissions.public` to `true`".to_owned(),
        };
        format!("add `{entry}` to `permissions.{key}`")
    }

    /// Granted in kitfox.toml only.
    const fn is_operators(&self) -> bool {
        match self {
            Self::Credential(_) | Self::Env(_) => true,
            Self::Http(_) | Self::Knowledge(_) | Self::Model | Self::Tool(_) | Self::Public => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{config::RawPermissions, plugin::Permissions, user::Allow};

    fn denial(path: &str, requested: &str, operator: &str, need: &Need<'_>) -> String {
        let requested: RawPermissions = toml::from_str(requested).unwrap();
        let requested = Permissions::parse(&requested).unwrap();
        let operator = toml::from_str(operator).unwrap();
        let permissions = requested.narrow(Some(&operator)).unwrap();
        let manifest = Manifest {
            name: "weather".to_owned(),
            path: path.to_owned(),
            version: None,
            description: None,
            permissions,
            requested,
            allow: Allow::default(),
            approved: true,
        };
        manifest.check(need).unwrap_err()
    }

    #[test]
    fn a_denial_names_the_permission_and_the_file() {
        let url = Url::parse("https://example.org/search?key=secret").unwrap();
        let other = Url::parse("http://localhost:9000").unwrap();
        let script = "plugins/weather.rhai";
        assert_snapshot!(denial(script, "", "", &Need::Http(&url)), @"plugin `weather` may not fetch `https://example.org`: add `example.org` to `permissions.http` in plugins/weather.rhai");
        assert_snapshot!(denial("plugins/weather", "", "", &Need::Http(&other)), @"plugin `weather` may not fetch `http://localhost:9000`: add `http://localhost:9000` to `permissions.http` in plugins/weather/plugin.toml");
        assert_snapshot!(denial(script, "http = ['example.org']", "http = []", &Need::Http(&url)), @"plugin `weather` may not fetch `https://example.org`: add `example.org` to `permissions.http` of `[plugins.weather]` in kitfox.toml");
        assert_snapshot!(denial(script, "", "", &Need::Model), @"plugin `weather` may not ask a model: set `permissions.model` to `true` in plugins/weather.rhai");
        assert_snapshot!(denial(script, "", "", &Need::Tool("notes__add")), @"plugin `weather` may not call the tool `notes__add`: add `notes__add` to `permissions.tools` in plugins/weather.rhai");
        assert_snapshot!(denial(script, "", "", &Need::Env("API_KEY")), @"plugin `weather` may not read the environment variable `API_KEY`: add `API_KEY` to `permissions.env` in plugins/weather.rhai, and add `API_KEY` to `permissions.env` of `[plugins.weather]` in kitfox.toml");
        assert_snapshot!(denial(script, "env = ['API_KEY']", "", &Need::Env("API_KEY")), @"plugin `weather` may not read the environment variable `API_KEY`: add `API_KEY` to `permissions.env` of `[plugins.weather]` in kitfox.toml");
    }
}
