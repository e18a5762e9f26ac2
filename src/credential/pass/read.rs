use std::{collections::BTreeMap, sync::Arc};

use super::{PassRules, Template, Way};
use crate::{
    config::document::{Field, Table},
    credential::Credentials,
};

/// These belong to the connection and to the protocol.
const NOT_FOR_FILES: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "accept",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "last-event-id",
];

const KNOWN: &[&str] = &["name", "value", "credential", "mode"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Inject,
    Sealed,
    Plaintext,
}

impl PassRules {
    /// Reads `headers`, `[[arguments]]` and `env` of the file of the server `server`; what is wrong is told to
    /// the table's reader.
    pub fn read(table: &Table<'_>, server: &str, credentials: &Arc<Credentials>) -> Self {
        let mut rules = Self {
            server: server.to_owned(),
            credentials: credentials.clone(),
            headers: Vec::new(),
            env: Vec::new(),
            arguments: BTreeMap::new(),
            login: None,
        };
        for (key, field) in table.map("headers").fields() {
            if check_header(&key.name, &field)
                && let Some(template) = rules.template(&field)
            {
                rules.headers.push((key.name, template));
            }
        }
        for (key, field) in table.map("env").fields() {
            if key.name.is_empty() || key.name.contains(['=', '\0']) {
                field.refuse(format!("`{}` is no name of an environment variable", key.name));
            } else if let Some(template) = rules.template(&field) {
                rules.env.push((key.name, template));
            }
        }
        for field in table.get("arguments").and_then(|it| it.list()).unwrap_or_default() {
            if let Some((name, way)) = rules.argument(&field) {
                if rules.arguments.contains_key(&name) {
                    field.refuse_with_remedy(
                        format!("`arguments` names `{name}` twice"),
                        "leave one of them out",
                    );
                }
                rules.arguments.insert(name, way);
            }
        }
        rules
    }

    fn argument(&self, field: &Field<'_>) -> Option<(String, Way)> {
        let table = field.table(KNOWN)?;
        let Some(name) = table.get("name").and_then(|it| it.text_not_empty()) else {
            if table.get("name").is_none() {
                field.refuse_with_remedy(
                    format!("`{}` needs a `name`", field.path),
                    "add the name of the tools' argument",
                );
            }
            return None;
        };
        let modes =
            [("inject", Mode::Inject), ("sealed", Mode::Sealed), ("plaintext", Mode::Plaintext)];
        let mode = match table.get("mode") {
            Some(mode) => mode.word(&modes)?,
            None => Mode::Inject,
        };
        let (value, credential) = (table.get("value"), table.get("credential"));
        let way = match (value, credential, mode) {
            (Some(_), Some(_), _) => {
                field.refuse_with_remedy(
                    format!("the argument `{name}` has both `value` and `credential`"),
                    "leave one of them out",
                );
                return None;
            }
            (None, None, _) => {
                field.refuse_with_remedy(
                    format!("the argument `{name}` has neither `value` nor `credential`"),
                    "add `credential = \"NAME\"`, or `value = \"{{ user.id }}\"`",
                );
                return None;
            }
            (Some(value), None, Mode::Inject) => Way::Inject(self.template(&value)?),
            (Some(_), None, Mode::Sealed | Mode::Plaintext) => {
                field.refuse_with_remedy(
                    format!("the argument `{name}` has a `value`, which can only be injected"),
                    "write `mode = \"inject\"`, or a `credential` in place of the value",
                );
                return None;
            }
            (None, Some(credential), mode) => {
                let text = credential.text_not_empty()?;
                self.check(&text, &credential)?;
                match mode {
                    Mode::Inject => Way::Inject(Template::credential(&text)),
                    Mode::Sealed => Way::Sealed { credential: text },
                    Mode::Plaintext => {
                        self.check_plaintext(&text, field)?;
                        Way::Plaintext { credential: text }
                    }
                }
            }
        };
        Some((name, way))
    }

    fn template(&self, field: &Field<'_>) -> Option<Template> {
        let text = field.text()?;
        if text.contains(['\r', '\n', '\0']) {
            field.refuse(format!("`{}` holds a line break", field.path));
            return None;
        }
        match Template::parse(&text) {
            Ok(template) => {
                let names: Vec<_> = template.credentials().map(str::to_owned).collect();
                for name in names {
                    self.check(&name, field)?;
                }
                Some(template)
            }
            Err((message, remedy)) => {
                field.refuse_with_remedy(format!("`{}`: {message}", field.path), remedy);
                None
            }
        }
    }

    /// Whether the credential exists and may go to this server.
    fn check(&self, name: &str, field: &Field<'_>) -> Option<()> {
        if self.credentials.find(name).is_none() {
            field.refuse_with_remedy(
                format!("there is no credential `{name}`"),
                format!("add `[credentials.{name}]` to kitfox.toml, with its source"),
            );
            return None;
        }
        if !self.credentials.may_go(name, &self.server) {
            field.refuse_with_remedy(
                format!("the credential `{name}` may not go to the server `{}`", self.server),
                format!(
                    "add `\"{}\"` to `destinations` of `[credentials.{name}]` in kitfox.toml",
                    self.server
                ),
            );
            return None;
        }
        Some(())
    }

    fn check_plaintext(&self, name: &str, field: &Field<'_>) -> Option<()> {
        if !self.credentials.allow_plaintext {
            field.refuse_with_remedy(
                format!("`mode = \"plaintext\"` shows the credential `{name}` to the model"),
                "write `mode = \"sealed\"`; where the server takes nothing else, also say `[mcp] allow_plaintext = \
                 true` in kitfox.toml",
            );
            return None;
        }
        if !self.credentials.find(name)?.source.expires() {
            field.refuse_with_remedy(
                format!("the credential `{name}` never expires, and is not shown to a model"),
                "write `mode = \"sealed\"`",
            );
            return None;
        }
        // At every start and reload, as it stands against all advice.
        tracing::warn!(
            target: "security",
            security = true,
            server = %self.server,
            credential = name,
            "the model is shown the credential `{name}` for the server `{}`: `mode = \"plaintext\"`", self.server
        );
        Some(())
    }
}

fn check_header(name: &str, field: &Field<'_>) -> bool {
    let is_name = !name.is_empty()
        && name.chars().all(|it| it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it));
    let lower = name.to_lowercase();
    if !is_name {
        field.refuse(format!("`{}` is no header's name", name.escape_debug()));
        return false;
    }
    if NOT_FOR_FILES.contains(&lower.as_str())
        || lower.starts_with("mcp-")
        || lower.starts_with("proxy-")
    {
        field.refuse_with_remedy(
            format!("the header `{name}` is set by Kitfox alone"),
            "leave it out",
        );
        return false;
    }
    true
}
