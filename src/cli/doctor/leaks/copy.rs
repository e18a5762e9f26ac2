//! The project as it is looked at: its servers and credentials with canaries in place of all secrets, and beside them one
//! credential of every source that is passed in every way.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use toml::Table;

use crate::{
    app::Generation,
    config::{CredentialConfig, CredentialSource},
    credential::{InPrompt, PassRules, Secret, Wanted},
    model::{ScriptedResponse, ScriptedStep},
};

pub struct Copy {
    pub planted: Vec<Planted>,
    servers: Vec<Planned>,
    /// What the canaries' user logs in with.
    pub login: Secret,
}

/// A secret that nobody else has, and whose place it takes.
pub struct Planted {
    pub name: String,
    pub place: Place,
    pub secret: Secret,
    /// Ids of servers, and hosts.
    destinations: Vec<String>,
    /// Whether prompts show it by the operator's will.
    is_shown: bool,
    /// Whether the turn sends it to somebody.
    pub is_sent: bool,
}

/// Where a canary is planted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Request {
        header: String,
    },
    Login,
    Store,
    Static,
    OAuth,
    Exchange,
    /// The login at this server itself.
    Own {
        server: String,
    },
    /// Beside the credentials: what logins bring along.
    Beside,
}

/// A server whose place a stand-in takes.
struct Planned {
    id: String,
    /// Its file, as far as it speaks of what goes to the server.
    text: String,
    /// Its arguments, and the credentials of those that the model passes.
    arguments: Vec<String>,
    from_model: Vec<(String, String)>,
}

const AGENT: &str = "kitfox-doctor";
/// The header of the credential of requests, the one for hosts, and the tool that sends it.
const HOST_HEADER: &str = "x-doctor-host";
const HOST_CREDENTIAL: &str = "doctor_host";
pub const FETCH: &str = "doctor_fetch";
/// The refresh token that comes with the access token of this login.
pub const REFRESH: &str = "-refresh";

const EVERY_SOURCE: &[(&str, Place)] = &[
    ("login", Place::Login),
    ("store", Place::Store),
    ("static", Place::Static),
    ("oauth", Place::OAuth),
    ("exchange", Place::Exchange),
];

impl Copy {
    pub fn of(generation: &Generation, project: &Path) -> anyhow::Result<Self> {
        let login = canary();
        let in_prompt = generation.in_prompt();
        let mut planted = Vec::new();
        let servers = generation.mcp.0.values();
        let passed: Vec<_> = servers.filter(|it| it.file().rules.passes_credentials()).collect();
        for (name, config) in &generation.config.credentials {
            let is_sent = passed.iter().any(|it| it.file().rules.credentials().contains(&**name));
            let is_shown = in_prompt.get(name) == Some(&InPrompt::Secret);
            planted.push(plant(name, config, is_shown, is_sent, &login));
        }
        let mut servers = Vec::new();
        for server in passed {
            let file = server.file();
            servers.push(planned(&file.id, &server.text, &file.rules));
            if file.rules.login().is_some_and(|it| it.wanted() > Wanted::Nothing) {
                planted.push(Planted {
                    name: format!("the login at `{}`", file.id),
                    place: Place::Own { server: file.id.clone() },
                    secret: canary(),
                    destinations: vec![file.id.clone()],
                    is_shown: false,
                    is_sent: true,
                });
            }
        }
        let mut copy = Self { planted, servers, login };
        copy.share_headers();
        copy.add_every_source()
            .with_context(|| format!("{} cannot be copied", project.display()))?;
        Ok(copy)
    }

    /// Of no project: one credential of every source, passed in every way.
    #[cfg(test)]
    pub fn of_nothing() -> Self {
        let mut copy = Self { planted: Vec::new(), servers: Vec::new(), login: canary() };
        copy.add_every_source().unwrap();
        copy
    }

    /// Credentials that come in one header have one secret.
    fn share_headers(&mut self) {
        let mut by_header: BTreeMap<String, Secret> = BTreeMap::new();
        by_header.insert("authorization".to_owned(), self.login.clone());
        for planted in &mut self.planted {
            let Place::Request { header } = &planted.place else { continue };
            let secret = by_header.entry(header.to_lowercase()).or_insert(planted.secret.clone());
            planted.secret = secret.clone();
        }
    }

    fn add_every_source(&mut self) -> anyhow::Result<()> {
        for mode in ["inject", "sealed", "plaintext"] {
            let id = format!("doctor-{mode}");
            let mut arguments = Vec::new();
            let mut headers = Map::new();
            let request = Place::Request { header: format!("x-doctor-{mode}") };
            let sources = [("request", request)].into_iter().chain(EVERY_SOURCE.iter().cloned());
            for (source, place) in sources {
                let is_shown = mode == "plaintext";
                // What lasts is shown to no model; and of one login, what is shown cannot be told from what is not.
                if is_shown && matches!(place, Place::Store | Place::Static | Place::Login) {
                    continue;
                }
                let name = format!("doctor_{source}_{mode}");
                arguments.push(json!({ "name": source, "credential": name, "mode": mode }));
                if mode == "inject" {
                    headers.insert(
                        format!("X-Doctor-{source}"),
                        json!(format!("Token {{{{ credential.{name} }}}}")),
                    );
                }
                let is_login = place == Place::Login;
                let secret = if is_login { self.login.clone() } else { canary() };
                self.planted.push(Planted {
                    name,
                    place,
                    secret,
                    destinations: vec![id.clone()],
                    is_shown,
                    is_sent: true,
                });
            }
            let names = |key: &str| arguments.iter().map(|it| text(&it[key])).collect::<Vec<_>>();
            let from_model = if mode == "inject" {
                Vec::new()
            } else {
                names("name").into_iter().zip(names("credential")).collect()
            };
            self.servers.push(Planned {
                id,
                arguments: names("name"),
                from_model,
                text: toml::to_string(&json!({ "headers": headers, "arguments": arguments }))?,
            });
        }
        let beside = |name: &str, secret: Secret| Planted {
            name: name.to_owned(),
            place: Place::Beside,
            secret,
            destinations: Vec::new(),
            is_shown: false,
            is_sent: false,
        };
        self.planted.push(Planted {
            name: HOST_CREDENTIAL.to_owned(),
            place: Place::Request { header: HOST_HEADER.to_owned() },
            destinations: vec!["127.0.0.1".to_owned()],
            is_sent: true,
            ..beside("", canary())
        });
        let refresh = self.tokens().into_values().map(|it| format!("{it}{REFRESH}"));
        let refresh: Vec<_> = refresh.map(|it| beside("a refresh token", it.into())).collect();
        self.planted.extend(refresh);
        self.planted.push(beside("the user's own login", self.login.clone()));
        self.planted.push(beside("a login that is nobody's", canary()));
        self.planted.push(beside("the code of a login", canary()));
        Ok(())
    }

    /// Whether the operator's will is that models are shown it.
    pub fn is_shown(&self, secret: &Secret) -> bool {
        self.planted.iter().any(|it| it.is_shown && it.secret.expose() == secret.expose())
    }

    /// Whether the operator lets it go there.
    pub fn may_go(&self, secret: &Secret, destination: &str) -> bool {
        let mut same = self.planted.iter().filter(|it| it.secret.expose() == secret.expose());
        same.any(|it| it.destinations.iter().any(|it| it == destination))
    }

    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.planted.iter().find(|it| it.name == name).map(|it| &it.secret)
    }

    /// The headers that every request brings.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = BTreeMap::new();
        for planted in &self.planted {
            if let Place::Request { header } = &planted.place {
                headers.insert(header.to_lowercase(), planted.secret.expose().to_owned());
            }
        }
        headers.insert("authorization".to_owned(), format!("Bearer {}", self.login.expose()));
        headers.insert("content-type".to_owned(), "application/json".to_owned());
        headers.insert("accept".to_owned(), "application/json, text/event-stream".to_owned());
        headers.into_iter().collect()
    }

    /// What authorization servers give, by their names.
    pub fn tokens(&self) -> BTreeMap<String, String> {
        let tokens = self.planted.iter().filter_map(|it| {
            let name = match &it.place {
                Place::OAuth | Place::Exchange => it.name.clone(),
                Place::Own { server } => format!("mcp-{server}"),
                Place::Request { .. }
                | Place::Login
                | Place::Store
                | Place::Static
                | Place::Beside => return None,
            };
            Some((name, it.secret.expose().to_owned()))
        });
        tokens.collect()
    }

    /// The arguments of each server's tool.
    pub fn arguments(&self) -> BTreeMap<String, Vec<String>> {
        self.servers.iter().map(|it| (it.id.clone(), it.arguments.clone())).collect()
    }

    /// Writes the copy into this folder. Everything that it talks to is on this port.
    pub fn write(&self, folder: &Path, port: u16) -> anyhow::Result<()> {
        for part in ["plugins", "prompts", "store"] {
            fs::create_dir(folder.join(part))?;
        }
        fs::write(folder.join("kitfox.toml"), self.settings(port)?)?;
        let names = self.named().map(|it| it.name.as_str());
        let lines: Vec<_> =
            names.map(|name| format!("CREDENTIAL {name} {{{{ credential.{name} }}}}\n")).collect();
        fs::write(
            folder.join(format!("prompts/{AGENT}.md")),
            format!("---\ntitles: false\n---\nPass what stands here:\n{}", lines.concat()),
        )?;
        fs::write(folder.join("plugins/doctor.rhai"), plugin(port))?;
        for server in &self.servers {
            let text = server.copied(port)?;
            fs::write(folder.join(format!("plugins/{}.mcp.toml", server.id)), text)?;
        }
        Ok(())
    }

    /// What kitfox.toml names.
    fn named(&self) -> impl Iterator<Item = &Planted> {
        self.planted.iter().filter(|it| !matches!(it.place, Place::Own { .. } | Place::Beside))
    }

    fn settings(&self, port: u16) -> anyhow::Result<String> {
        let mut credentials = Map::new();
        for planted in self.named() {
            let at = format!("http://127.0.0.1:{port}/auth/{}", planted.name);
            let mut table = match &planted.place {
                Place::Request { header } if header == HOST_HEADER => {
                    json!({ "source": "request", "header": [header, "X-Sent: Key {}"] })
                }
                Place::Request { header } => json!({ "source": "request", "header": header }),
                Place::Login => json!({ "source": "login", "field": "access_token" }),
                Place::Store => json!({ "source": "store" }),
                Place::Static => json!({ "source": "static", "value": planted.secret.expose() }),
                Place::OAuth => json!({ "source": "oauth", "issuer": at, "client_id": "doctor" }),
                Place::Exchange => json!({
                    "source": "exchange", "token_endpoint": format!("{at}/token"), "audience": "doctor",
                }),
                Place::Own { .. } | Place::Beside => continue,
            };
            table["destinations"] = json!(planted.destinations);
            credentials.insert(planted.name.clone(), table);
        }
        let hash = format!("sha256:{:x}", Sha256::digest(self.login.expose()));
        let place = format!("127.0.0.1:{port}");
        let root = json!({
            "agents": { "default": AGENT },
            "auth": {
                "mode": "token",
                "tokens": { "canary": { "hash": hash, "roles": ["operator"] } },
            },
            "credentials": credentials,
            "limits": { "rounds": 1000 },
            "mcp": { "cross_server": "allow", "allow_plaintext": true },
            "plugins": {
                "allow_addresses": [place],
                "doctor": { "permissions": { "credentials": [HOST_CREDENTIAL] } },
            },
        });
        Ok(toml::to_string(&root)?)
    }

    /// A model that passes all on, tries to give it away, and says all that it was told.
    pub fn script(&self) -> Vec<ScriptedResponse> {
        let everything = "<<find (?s)CREDENTIAL.*>>";
        let mut script = Vec::new();
        for server in &self.servers {
            let call = |text: &str| {
                let mut arguments = json!({ "text": text });
                for (name, credential) in &server.from_model {
                    arguments[name] = json!(format!(r"<<find CREDENTIAL {credential} (\S+)>>"));
                }
                ScriptedStep::call(&format!("{}__echo", server.id), &arguments)
            };
            script.push(ScriptedResponse::steps(["ok", "fail", everything].map(call)));
        }
        let fetch = |text: &str| ScriptedStep::call(FETCH, &json!({ "text": text }));
        script.push(ScriptedResponse::steps([fetch("ok"), fetch(everything)]));
        let all = "<<find (?s).*>>\n<<find (?s)it was sent.*>>\n<<find (?s)error: it was sent.*>>";
        script.push(ScriptedResponse::steps([
            ScriptedStep::Reasoning(vec![all.to_owned()]),
            ScriptedStep::Text(vec![all.to_owned()]),
        ]));
        script
    }
}

impl Planned {
    /// The file of the stand-in, which is spoken to over HTTP whatever the server is.
    fn copied(&self, port: u16) -> anyhow::Result<String> {
        let mut file: Table = self.text.parse()?;
        let env = match file.remove("env") {
            Some(toml::Value::Table(env)) => env,
            _ => Table::new(),
        };
        let gone = [
            "command",
            "args",
            "inherit_env",
            "idle_timeout",
            "approvals",
            "tools",
            "protocol",
            "instructions",
        ];
        for key in gone {
            file.remove(key);
        }
        if let Some(oauth) = file.get_mut("oauth").and_then(toml::Value::as_table_mut) {
            oauth.remove("client_secret");
            oauth.insert("client_id".to_owned(), "doctor".into());
        }
        let url = format!("http://127.0.0.1:{port}/mcp/{}", self.id);
        for (key, value) in [("transport", "http"), ("url", &url), ("approval", "never")] {
            file.insert(key.to_owned(), toml::Value::String(value.to_owned()));
        }
        if !env.is_empty() {
            // A program's variables go as headers.
            let headers = env.into_iter().map(|(name, value)| (format!("X-Env-{name}"), value));
            file.insert("headers".to_owned(), toml::Value::Table(headers.collect()));
        }
        Ok(toml::to_string(&file)?)
    }
}

fn plant(
    name: &str,
    config: &CredentialConfig,
    is_shown: bool,
    is_sent: bool,
    login: &Secret,
) -> Planted {
    let (place, secret) = match &config.source {
        CredentialSource::Request { header } => {
            (Place::Request { header: header.clone() }, canary())
        }
        // Whatever field it is, here it is the token.
        CredentialSource::Login { .. } => (Place::Login, login.clone()),
        CredentialSource::Store { .. } => (Place::Store, canary()),
        CredentialSource::Static { .. } => (Place::Static, canary()),
        CredentialSource::OAuth(_) => (Place::OAuth, canary()),
        CredentialSource::Exchange(_) => (Place::Exchange, canary()),
    };
    let destinations = config.destinations.clone();
    Planted { name: name.to_owned(), place, secret, destinations, is_shown, is_sent }
}

fn planned(id: &str, text: &str, rules: &PassRules) -> Planned {
    let from_model = rules.from_model().map(|(name, it)| (name.to_owned(), it.to_owned()));
    Planned {
        id: id.to_owned(),
        text: text.to_owned(),
        arguments: rules.argument_names().map(str::to_owned).collect(),
        from_model: from_model.collect(),
    }
}

/// A plugin that sends a credential to a host, and says what it was answered.
fn plugin(port: u16) -> String {
    format!(
        r#"
plugin(#{{ permissions: #{{ http: ["http://127.0.0.1:{port}"], credentials: ["{HOST_CREDENTIAL}"] }} }});
tool(#{{
    name: "{FETCH}", description: "Fetches.", mcp: true, annotations: #{{ readOnlyHint: true }},
    parameters: #{{ text: #{{ type: "string" }} }},
    run: |args, ctx| {{
        let said = ctx.http.get("http://127.0.0.1:{port}/host", #{{ credential: "{HOST_CREDENTIAL}" }}).text;
        ctx.kv.user.set("said", said);
        said
    }},
}});
"#
    )
}

fn canary() -> Secret {
    format!("canary-{}", uuid::Uuid::new_v4().simple()).into()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
