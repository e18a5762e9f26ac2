//! What plugins may do: as they ask for it, as the operator narrows it, and the check before each use.

mod http_pattern;
mod need;
mod tool_pattern;

use std::{fmt, str::FromStr};

use serde::Serialize;
use url::Url;

use crate::config::RawPermissions;

pub use self::{http_pattern::HttpPattern, need::Need, tool_pattern::ToolPattern};

/// What a plugin may reach. What is not listed is denied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Permissions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpPattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub knowledge: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub model: bool,
    /// Over the names of other plugins' tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolPattern>,
    /// May have public routes.
    #[serde(skip_serializing_if = "is_false")]
    pub public: bool,
}

/// The keys of permissions, wherever they are written.
pub const KEYS: &[&str] = &["http", "credentials", "knowledge", "env", "model", "tools", "public"];

impl Permissions {
    /// What was written, checked. The error names the entry.
    pub fn parse(written: &RawPermissions) -> Result<Self, String> {
        Ok(Self {
            http: parse_list("http", written.http.as_deref())?,
            credentials: parse_names("credentials", written.credentials.as_deref())?,
            knowledge: parse_names("knowledge", written.knowledge.as_deref())?,
            env: parse_names("env", written.env.as_deref())?,
            model: written.model.unwrap_or_default(),
            tools: parse_list("tools", written.tools.as_deref())?,
            public: written.public.unwrap_or_default(),
        })
    }

    /// What is in force of these: what `[plugins.NAME] permissions` says narrows them, and it alone grants `env`
    /// and `credentials`.
    pub fn narrow(&self, operator: Option<&RawPermissions>) -> Result<Self, String> {
        let Some(written) = operator else {
            return Ok(Self { credentials: Vec::new(), env: Vec::new(), ..self.clone() });
        };
        let operator = Self::parse(written)?;
        Ok(Self {
            http: match written.http {
                Some(_) => shared_hosts(&self.http, &operator.http),
                None => self.http.clone(),
            },
            credentials: shared_names(&self.credentials, &operator.credentials),
            knowledge: match written.knowledge {
                Some(_) => shared_names(&self.knowledge, &operator.knowledge),
                None => self.knowledge.clone(),
            },
            env: shared_names(&self.env, &operator.env),
            model: self.model && written.model.unwrap_or(true),
            tools: match written.tools {
                Some(_) => shared_tools(&self.tools, &operator.tools),
                None => self.tools.clone(),
            },
            public: self.public && written.public.unwrap_or(true),
        })
    }

    /// Whether they allow all that `other` allows.
    pub fn covers(&self, other: &Self) -> bool {
        other.http.iter().all(|it| self.http.iter().any(|own| own.covers(it)))
            && other.credentials.iter().all(|it| self.credentials.contains(it))
            && other.knowledge.iter().all(|it| self.knowledge.contains(it))
            && other.env.iter().all(|it| self.env.contains(it))
            && (self.model || !other.model)
            && other.tools.iter().all(|it| self.tools.iter().any(|own| own.covers(it)))
            && (self.public || !other.public)
    }

    /// Whether they admit this one use.
    pub fn admit(&self, need: &Need<'_>) -> bool {
        match need {
            Need::Http(url) => self.admit_url(url),
            Need::Credential(name) => self.credentials.iter().any(|it| it == name),
            Need::Knowledge(name) => self.knowledge.iter().any(|it| it == name),
            Need::Env(name) => self.env.iter().any(|it| it == name),
            Need::Model => self.model,
            Need::Tool(name) => self.tools.iter().any(|it| it.matches(name)),
            Need::Public => self.public,
        }
    }

    fn admit_url(&self, url: &Url) -> bool {
        HttpPattern::of(url).is_some_and(|origin| self.http.iter().any(|it| it.covers(&origin)))
    }
}

/// `http (a.test, *.b.test), model`; `nothing`
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut add = |key: &str, entries: Vec<String>| {
            if !entries.is_empty() {
                parts.push(format!("{key} ({})", entries.join(", ")));
            }
        };
        add("http", self.http.iter().map(ToString::to_string).collect());
        add("credentials", self.credentials.clone());
        add("knowledge", self.knowledge.clone());
        add("env", self.env.clone());
        add("tools", self.tools.iter().map(ToString::to_string).collect());
        if self.model {
            parts.push("model".to_owned());
        }
        if self.public {
            parts.push("public".to_owned());
        }
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Checks one entry of the list `key` as [`Permissions::parse`] does, for those who know where it stands.
pub fn check_entry(key: &str, entry: &str) -> Result<(), String> {
    match key {
        "http" => entry.parse::<HttpPattern>().map(drop),
        "tools" => entry.parse::<ToolPattern>().map(drop),
        _ => check_name(entry),
    }
}

fn parse_list<T: FromStr<Err = String>>(
    key: &str,
    entries: Option<&[String]>,
) -> Result<Vec<T>, String> {
    let mut list = Vec::new();
    for entry in entries.unwrap_or_default() {
        list.push(entry.parse().map_err(|err| format!("`permissions.{key}`: {err}"))?);
    }
    Ok(list)
}

fn parse_names(key: &str, entries: Option<&[String]>) -> Result<Vec<String>, String> {
    let entries = entries.unwrap_or_default();
    for entry in entries {
        check_name(entry).map_err(|err| format!("`permissions.{key}`: {err}"))?;
    }
    Ok(entries.to_vec())
}

/// These are names as a whole: a pattern would be taken for one and never match.
fn check_name(entry: &str) -> Result<(), String> {
    if entry.is_empty() || entry.contains(|it: char| it == '*' || it == '?' || it.is_whitespace()) {
        return Err(format!("`{entry}` is no name: list each by its full name"));
    }
    Ok(())
}

/// Two entries share all that one of them allows, or nothing.
fn shared_hosts(asked: &[HttpPattern], operator: &[HttpPattern]) -> Vec<HttpPattern> {
    let mut shared = Vec::new();
    for asked in asked {
        for operator in operator {
            if operator.covers(asked) {
                push_new(&mut shared, asked.clone());
            } else if asked.covers(operator) {
                push_new(&mut shared, operator.clone());
            }
        }
    }
    shared
}

fn shared_tools(asked: &[ToolPattern], operator: &[ToolPattern]) -> Vec<ToolPattern> {
    let mut shared = Vec::new();
    for asked in asked {
        for operator in operator {
            if let Some(both) = asked.and(operator) {
                push_new(&mut shared, both);
            }
        }
    }
    shared
}

fn shared_names(asked: &[String], operator: &[String]) -> Vec<String> {
    asked.iter().filter(|it| operator.contains(it)).cloned().collect()
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn written(text: &str) -> RawPermissions {
        toml::from_str(text).unwrap()
    }

    fn permissions(text: &str) -> Permissions {
        Permissions::parse(&written(text)).unwrap()
    }

    /// What is in force, as TOML.
    fn narrowed(asked: &str, operator: &str) -> String {
        toml::to_string(&permissions(asked).narrow(Some(&written(operator))).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_stated_is_denied() {
        let none = Permissions::default();
        let url = Url::parse("https://example.org").unwrap();
        for need in [
            Need::Http(&url),
            Need::Credential("a"),
            Need::Knowledge("a"),
            Need::Env("a"),
            Need::Model,
            Need::Tool("a"),
            Need::Public,
        ] {
            assert!(!none.admit(&need), "{need:?}");
        }
    }

    #[test]
    fn a_wrong_entry_is_named_with_its_list() {
        let error = |text| Permissions::parse(&written(text)).unwrap_err();
        assert_snapshot!(error("http = ['ftp://a']"), @"`permissions.http`: `ftp://a` names the scheme `ftp`: only https and http can be fetched");
        assert_snapshot!(error("tools = ['!delete']"), @"`permissions.tools`: `!delete` takes away: permissions list only what is allowed");
        assert_snapshot!(error("tools = ['a{b}']"), @"`permissions.tools`: `a{b}` is no tool's name: write it as `notes__add`, with `*` for any characters");
        assert_snapshot!(error("env = ['API_*']"), @"`permissions.env`: `API_*` is no name: list each by its full name");
    }

    #[test]
    fn the_operator_narrows_and_never_widens() {
        let asked = r#"
            http = ["*.example.org", "api.test", "http://b.test:81"]
            knowledge = ["a", "b"]
            model = true
            tools = ["notes__*", "list"]
        "#;
        assert_snapshot!(narrowed(asked, ""), @r#"
        http = ["*.example.org", "api.test", "http://b.test:81"]
        knowledge = ["a", "b"]
        model = true
        tools = ["notes__*", "list"]
        "#);
        assert_snapshot!(narrowed(asked, r#"
            http = ["a.example.org", "*.test", "*.a.example.org", "evil.test", "http://b.test"]
            knowledge = ["b", "c"]
            model = false
            tools = ["*__add", "list", "evil"]
            public = true
        "#), @r#"
        http = ["a.example.org", "*.a.example.org", "api.test"]
        knowledge = ["b"]
        tools = ["notes__* and *__add", "list"]
        "#);
        assert_snapshot!(narrowed(asked, "http = []\ntools = []\nknowledge = []"), @"model = true");
    }

    #[test]
    fn env_and_credentials_need_the_file_and_the_operator() {
        let asked = "env = ['A', 'B']\ncredentials = ['x', 'y']";
        assert_snapshot!(narrowed(asked, "env = ['B', 'C']\ncredentials = ['x', 'z']"), @r#"
        credentials = ["x"]
        env = ["B"]
        "#);
        assert_eq!(narrowed(asked, "model = true"), "");
        assert_eq!(permissions(asked).narrow(None).unwrap(), Permissions::default());
    }

    #[test]
    fn permissions_cover_those_that_allow_no_more() {
        let approved = "http = ['*.a.test']\nenv = ['A']\nmodel = true\ntools = ['n__*']";
        let table = [
            ("", true),
            (approved, true),
            ("http = ['x.a.test', '*.b.a.test']", true),
            ("http = ['a.test']", false),
            ("http = ['*']", false),
            ("http = ['x.a.test:8443']", false),
            ("env = ['B']", false),
            ("credentials = ['A']", false),
            ("knowledge = ['A']", false),
            ("public = true", false),
            ("tools = ['n__a', 'n__b*']", true),
            ("tools = ['*']", false),
        ];
        for (requested, covered) in table {
            assert_eq!(
                permissions(approved).covers(&permissions(requested)),
                covered,
                "{requested}"
            );
        }
        assert!(!permissions("").covers(&permissions("model = true")));
    }
}
