//! How one MCP server is passed credentials and what else is not the model's to say.

mod outgoing;
mod read;
mod schema;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};
use tracing::warn;

use super::{
    Connect, CredentialError, Credentials, OwnLogin, Seals, Secret, Wanted, long_enough,
    seals::InPrompt, template::Template,
};
use crate::{chatkit::ThreadId, context::RequestContext};

pub use self::outgoing::{Connection, Outgoing};

/// `headers`, `[[arguments]]` and `env` of one server's file, checked against kitfox.toml.
pub struct PassRules {
    server: String,
    credentials: Arc<Credentials>,
    headers: Vec<(String, Template)>,
    env: Vec<(String, Template)>,
    arguments: BTreeMap<String, Way>,
    login: Option<OwnLogin>,
}

/// What the token of a server's own login is called among the credentials; no name in kitfox.toml is like it.
const LOGIN: &str = "the login";

/// How an argument gets its value.
enum Way {
    /// Added or overwritten: the model does not see it.
    Inject(Template),
    /// The model passes a handle, which is opened.
    Sealed { credential: String },
    /// The model passes the secret itself.
    Plaintext { credential: String },
}

/// A call that is to go out.
pub struct Pending<'a> {
    /// The tool's name at the server.
    pub tool: &'a str,
    /// Its input schema as the server gave it.
    pub schema: &'a Value,
    /// As the model gave them.
    pub arguments: &'a Map<String, Value>,
    pub request: &'a RequestContext,
    pub thread: Option<&'a ThreadId>,
    pub seals: &'a Arc<Seals>,
}

impl PassRules {
    /// Checks the call and fetches what goes with it. Anything in `arguments` that looks like a way to get at
    /// a secret refuses the call, and is logged as a security event.
    pub async fn prepare(&self, call: Pending<'_>) -> Result<Outgoing, CredentialError> {
        if let Err(err) = self.check_call(&call) {
            return Err(self.find_needed(&call).await.unwrap_or(err));
        }
        let mut wanted: BTreeSet<&str> = self.of_connection();
        let mut injected = Vec::new();
        let mut opened = Vec::new();
        let mut said = Vec::new();
        let scrubber = call.seals.scrubber();
        for (name, way) in &self.arguments {
            match way {
                Way::Inject(template)
                    if call.arguments.contains_key(name) || schema::takes(call.schema, name) =>
                {
                    wanted.extend(template.credentials());
                    injected.push((name, template));
                }
                // What another server takes sealed is a handle for this one as well.
                Way::Sealed { credential } | Way::Plaintext { credential } => {
                    let Some(Value::String(text)) = call.arguments.get(name) else { continue };
                    if call.seals.is_live(credential, text) {
                        wanted.insert(credential);
                        opened.push((name, credential, text));
                    } else if scrubber.finds(text) {
                        // The secret itself, which whoever carries the call is not to log.
                        said.push((name, text));
                    }
                }
                Way::Inject(_) => (),
            }
        }
        let mut secrets = BTreeMap::new();
        for name in wanted {
            let secret = self.credentials.fetch(name, call.request).await?;
            secrets.insert(name.to_owned(), secret);
        }
        self.add_login(call.request, &mut secrets).await?;
        for (name, secret) in &secrets {
            call.seals.remember(name, secret);
        }
        let connection = self.connection_with(call.request, &secrets)?;
        let mut outgoing = Outgoing::new(connection, &call);
        for (name, template) in injected {
            outgoing.inject(name, template.render(call.request, &secrets)?);
        }
        for (name, credential, handle) in opened {
            if let Some(secret) = secrets.get(credential) {
                outgoing.seal(name, credential, handle, secret.clone());
            }
        }
        for (name, text) in said {
            outgoing.say(name, &scrubber.scrub(text), Secret::from(text.clone()));
        }
        Ok(outgoing)
    }

    /// With the user's login at the server itself: its token goes with everything.
    #[must_use]
    pub fn with_login(mut self, login: OwnLogin) -> Self {
        self.login = Some(login);
        self
    }

    pub const fn login(&self) -> Option<&OwnLogin> {
        self.login.as_ref()
    }

    /// Takes note that the server did not take what the connection carries; says whether the next one carries
    /// something else.
    pub async fn reject(
        &self,
        request: &RequestContext,
        connection: &Connection,
        challenge: &str,
    ) -> bool {
        let mut is_noted = false;
        for name in self.of_connection() {
            if let (Some(credential), Some(secret)) =
                (self.credentials.find(name), connection.secret(name))
            {
                is_noted |= credential.source.reject(request, secret, challenge).await;
            }
        }
        match (&self.login, connection.secret(LOGIN)) {
            (Some(login), Some(token)) => {
                is_noted |= login.source().reject(request, token, challenge).await;
            }
            (Some(login), None) => is_noted |= login.wanted() > Wanted::Nothing,
            (None, _) => (),
        }
        is_noted
    }

    /// Takes note that the server asked a connection without a login for one.
    pub async fn ask_login(&self, connection: &Connection, challenge: &str, wanted: Wanted) {
        if let (Some(login), None) = (&self.login, connection.secret(LOGIN)) {
            login.ask(challenge, wanted).await;
        }
    }

    /// What the user is asked for where the server does not go on without their login.
    pub async fn find_connect(&self, request: &RequestContext) -> Option<Connect> {
        let login = self.login.as_ref().filter(|it| it.wanted() > Wanted::Nothing)?;
        match login.source().fetch(request).await {
            Err(CredentialError::Needed(connect)) => Some(connect),
            Ok(_) | Err(_) => None,
        }
    }

    /// A call that was refused may lack what its user has not given yet, and the prompt could not show.
    async fn find_needed(&self, call: &Pending<'_>) -> Option<CredentialError> {
        for (argument, way) in &self.arguments {
            let (Way::Sealed { credential } | Way::Plaintext { credential }) = way else {
                continue;
            };
            if call.arguments.contains_key(argument)
                && !self.credentials.has(credential, call.request).await
                && let Err(err @ CredentialError::Needed(_)) =
                    self.credentials.fetch(credential, call.request).await
            {
                return Some(err);
            }
        }
        None
    }

    async fn add_login(
        &self,
        request: &RequestContext,
        secrets: &mut outgoing::Secrets,
    ) -> Result<(), CredentialError> {
        let Some(login) = &self.login else { return Ok(()) };
        let Some(source) = login.of(request).await else { return Ok(()) };
        secrets.insert(LOGIN.to_owned(), long_enough(LOGIN, source.fetch(request).await?)?);
        Ok(())
    }

    /// What the connection of whoever sent this request carries: it needs no call, e.g. to list tools.
    pub async fn connect(&self, request: &RequestContext) -> Result<Connection, CredentialError> {
        let mut secrets = BTreeMap::new();
        for name in self.of_connection() {
            secrets.insert(name.to_owned(), self.credentials.fetch(name, request).await?);
        }
        self.add_login(request, &mut secrets).await?;
        self.connection_with(request, &secrets)
    }

    /// Whether its headers or its environment differ by user, as things stand.
    pub fn is_per_user(&self) -> bool {
        let shared =
            |name: &str| self.credentials.find(name).is_some_and(|it| it.source.is_shared());
        let mut templates = self.headers.iter().chain(&self.env).map(|(_, it)| it);
        self.login.as_ref().is_some_and(|it| it.wanted() > Wanted::Nothing)
            || templates.any(|it| it.names_user() || !it.credentials().all(shared))
    }

    /// Whether the file itself says what every request brings.
    pub const fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// What prompts show for this server.
    pub fn in_prompt(&self) -> impl Iterator<Item = (&str, InPrompt)> {
        self.arguments.values().filter_map(|way| match way {
            Way::Inject(_) => None,
            Way::Sealed { credential } => Some((credential.as_str(), InPrompt::Handle)),
            Way::Plaintext { credential } => Some((credential.as_str(), InPrompt::Secret)),
        })
    }

    /// The arguments that are not the model's to say, or only as it is told.
    pub fn argument_names(&self) -> impl Iterator<Item = &str> {
        self.arguments.keys().map(String::as_str)
    }

    /// The arguments in which the model passes a credential, with its name.
    pub fn from_model(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments.iter().filter_map(|(name, way)| match way {
            Way::Inject(_) => None,
            Way::Sealed { credential } | Way::Plaintext { credential } => {
                Some((name.as_str(), credential.as_str()))
            }
        })
    }

    /// The credentials that go to the server, beside the login at itself.
    pub fn credentials(&self) -> BTreeSet<&str> {
        let mut all = self.of_connection();
        for way in self.arguments.values() {
            match way {
                Way::Inject(template) => all.extend(template.credentials()),
                Way::Sealed { credential } | Way::Plaintext { credential } => {
                    all.insert(credential);
                }
            }
        }
        all
    }

    /// Whether any secret goes to the server.
    pub fn passes_credentials(&self) -> bool {
        let logs_in = self.login.as_ref().is_some_and(|it| it.wanted() > Wanted::Nothing);
        logs_in || !self.credentials().is_empty()
    }

    /// The schema as the model sees it: without the arguments that are not its to give.
    #[must_use]
    pub fn hide(&self, schema: &Value) -> Value {
        let mut schema = schema.clone();
        for (name, way) in &self.arguments {
            match way {
                Way::Inject(_) => schema::hide(&mut schema, name),
                Way::Sealed { .. } | Way::Plaintext { .. } => (),
            }
        }
        schema
    }

    /// Why a tool with this input schema cannot be offered, if it cannot: an argument that is a credential
    /// would leave as a header.
    pub fn refusal(&self, schema: &Value) -> Option<String> {
        let name = self.arguments.keys().find(|name| schema::leaves_as_header(schema, name))?;
        Some(format!(
            "its argument `{name}` is a credential, and the server wants it as a header as well (`x-mcp-header`)"
        ))
    }

    /// The arguments as people may see them: `••• (notes)` in place of a secret of the server `notes`.
    #[must_use]
    pub fn shown(&self, arguments: &Map<String, Value>) -> Map<String, Value> {
        let mut arguments = arguments.clone();
        for (name, way) in &self.arguments {
            match way {
                Way::Inject(_) => {
                    arguments.shift_remove(name);
                }
                Way::Sealed { .. } | Way::Plaintext { .. } => {
                    if let Some(value) = arguments.get_mut(name) {
                        *value = Value::String(format!("••• ({})", self.server));
                    }
                }
            }
        }
        arguments
    }

    fn of_connection(&self) -> BTreeSet<&str> {
        let templates = self.headers.iter().chain(&self.env);
        templates.flat_map(|(_, template)| template.credentials()).collect()
    }

    fn connection_with(
        &self,
        request: &RequestContext,
        secrets: &outgoing::Secrets,
    ) -> Result<Connection, CredentialError> {
        Connection::new(&self.server, &self.headers, &self.env, request, secrets)
    }

    fn check_call(&self, call: &Pending<'_>) -> Result<(), CredentialError> {
        for (name, value) in call.arguments {
            match self.arguments.get(name) {
                Some(Way::Sealed { credential }) => {
                    let user = call.request.user.as_ref().map(|it| &it.key);
                    let is_open = value
                        .as_str()
                        .is_some_and(|it| call.seals.opens(credential, it, user, call.thread));
                    if !is_open {
                        return Err(self.refuse(
                            call.tool,
                            credential,
                            &format!(
                                "`{name}` takes the credential `{credential}`: pass what the instructions show for \
                                 it, whole and unchanged, and nothing else"
                            ),
                        ));
                    }
                }
                Some(Way::Plaintext { credential }) => {
                    // That of another credential is as wrong here as anywhere.
                    let found = call.seals.find_in(value);
                    let other = found.filter(|it| it.credential.as_ref() != Some(credential));
                    if let Some(found) = other {
                        let name = format!("`{name}`");
                        return Err(self.refuse_found(
                            call.tool,
                            &name,
                            found.credential.as_deref(),
                        ));
                    }
                }
                Some(Way::Inject(_)) | None => {
                    if let Some(found) = call.seals.find_in_text(name) {
                        let name = "the name of an argument";
                        return Err(self.refuse_found(
                            call.tool,
                            name,
                            found.credential.as_deref(),
                        ));
                    }
                    if let Some(found) = call.seals.find_in(value) {
                        let name = format!("`{name}`");
                        return Err(self.refuse_found(
                            call.tool,
                            &name,
                            found.credential.as_deref(),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn refuse_found(
        &self,
        tool: &str,
        argument: &str,
        credential: Option<&str>,
    ) -> CredentialError {
        match credential {
            Some(credential) => {
                let message = format!(
                    "{argument} holds what stands for the credential `{credential}`, which must not go there"
                );
                self.refuse(tool, credential, &message)
            }
            None => self.refuse(
                tool,
                "",
                &format!("{argument} holds what stood for a credential in another turn"),
            ),
        }
    }

    fn refuse(&self, tool: &str, credential: &str, message: &str) -> CredentialError {
        warn!(
            target: "security",
            security = true,
            server = %self.server,
            tool,
            credential,
            "refused a call of `{tool}` of `{}`: {message}", self.server
        );
        CredentialError::Refused(message.to_owned())
    }
}
