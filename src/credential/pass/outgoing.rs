use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::{LOGIN, Pending, Template};
use crate::{
    context::RequestContext,
    credential::{CredentialError, Scrubber, Seals, Secret, scrub::shown},
};

/// The credentials that something names, fetched.
pub type Secrets = BTreeMap<String, Secret>;

/// What a connection carries: its headers, or its process's environment.
pub struct Connection {
    headers: Vec<(String, Secret)>,
    env: Vec<(String, Secret)>,
    /// What they were made of.
    secrets: Secrets,
    fingerprint: [u8; 32],
    scrubber: Arc<Scrubber>,
}

/// A call that was checked, with the secrets that go with it.
pub struct Outgoing {
    connection: Connection,
    /// As logs and whoever carries the call may see them.
    arguments: Map<String, Value>,
    secret: Vec<(String, Put)>,
    seals: Arc<Seals>,
}

/// What goes into an argument.
struct Put {
    value: Secret,
    /// Of a sealed one: its credential and the handle that stood there, which must be good to the end.
    handle: Option<(String, String)>,
}

impl Connection {
    pub fn new(
        server: &str,
        headers: &[(String, Template)],
        env: &[(String, Template)],
        request: &RequestContext,
        secrets: &Secrets,
    ) -> Result<Self, CredentialError> {
        let mut headers = render(headers, request, secrets)?;
        if let Some(token) = secrets.get(LOGIN) {
            let value = Secret::from(format!("Bearer {}", token.expose()));
            headers.push(("Authorization".to_owned(), value));
        }
        for (name, value) in &headers {
            if value.expose().contains(['\r', '\n', '\0']) {
                return Err(CredentialError::Refused(format!(
                    "the header `{name}` of `{server}` would hold a line break"
                )));
            }
        }
        let env = render(env, request, secrets)?;
        for (name, value) in &env {
            if value.expose().contains('\0') {
                return Err(CredentialError::Refused(format!(
                    "the variable `{name}` of `{server}` would hold a NUL"
                )));
            }
        }
        let fingerprint = fingerprint(headers.iter().chain(&env));
        let named = secrets.iter().map(|(name, secret)| (name.as_str(), secret));
        let scrubber = Arc::new(Scrubber::new(named, []));
        Ok(Self { headers, env, secrets: secrets.clone(), fingerprint, scrubber })
    }

    /// One of those that it was made with.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// To be sent with every request.
    pub fn headers(&self) -> &[(String, Secret)] {
        &self.headers
    }

    /// All that the process has beside what it inherits.
    pub fn env(&self) -> &[(String, Secret)] {
        &self.env
    }

    /// The same for the same headers and environment, in this process; it tells nothing of them.
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// For what comes back outside of calls, such as lines on stderr.
    pub fn scrubber(&self) -> Arc<Scrubber> {
        self.scrubber.clone()
    }
}

impl Outgoing {
    pub fn new(connection: Connection, call: &Pending<'_>) -> Self {
        Self {
            connection,
            arguments: call.arguments.clone(),
            secret: Vec::new(),
            seals: call.seals.clone(),
        }
    }

    pub fn inject(&mut self, name: &str, value: Secret) {
        self.arguments.shift_remove(name);
        self.secret.push((name.to_owned(), Put { value, handle: None }));
    }

    pub fn seal(&mut self, name: &str, credential: &str, handle: &str, value: Secret) {
        self.arguments.insert(name.to_owned(), Value::String(shown(credential)));
        let handle = Some((credential.to_owned(), handle.to_owned()));
        self.secret.push((name.to_owned(), Put { value, handle }));
    }

    /// What the model said, which holds a secret that it was shown.
    pub fn say(&mut self, name: &str, shown: &str, value: Secret) {
        self.arguments.insert(name.to_owned(), Value::String(shown.to_owned()));
        self.secret.push((name.to_owned(), Put { value, handle: None }));
    }

    /// The arguments as whoever carries the call may see and log them: without secrets and handles.
    pub const fn arguments(&self) -> &Map<String, Value> {
        &self.arguments
    }

    /// Puts the secrets in: the last step before the wire, for this call's arguments alone. Fails when the turn
    /// has ended meanwhile.
    pub fn put_into(&self, arguments: &mut Map<String, Value>) -> Result<(), CredentialError> {
        let is_live =
            |(credential, handle): &(String, String)| self.seals.is_live(credential, handle);
        for (name, put) in &self.secret {
            if !put.handle.as_ref().is_none_or(is_live) {
                return Err(CredentialError::Refused(format!(
                    "`{name}` was not sent: the turn that it belongs to has ended"
                )));
            }
        }
        for (name, put) in &self.secret {
            arguments.insert(name.clone(), Value::String(put.value.expose().to_owned()));
        }
        Ok(())
    }

    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn headers(&self) -> &[(String, Secret)] {
        self.connection.headers()
    }

    pub const fn fingerprint(&self) -> [u8; 32] {
        self.connection.fingerprint()
    }

    /// Frees what comes back of all secrets that the turn has used.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.scrubber().scrub(text)
    }

    /// As [`Self::scrub`], in every text of a value.
    pub fn scrub_value(&self, value: &mut Value) {
        self.scrubber().scrub_value(value);
    }

    pub fn scrubber(&self) -> Arc<Scrubber> {
        self.seals.scrubber()
    }
}

fn render(
    templates: &[(String, Template)],
    request: &RequestContext,
    secrets: &Secrets,
) -> Result<Vec<(String, Secret)>, CredentialError> {
    templates.iter().map(|(name, it)| Ok((name.clone(), it.render(request, secrets)?))).collect()
}

fn fingerprint<'a>(values: impl Iterator<Item = &'a (String, Secret)>) -> [u8; 32] {
    // Of this process alone: what is kept or logged of a fingerprint cannot be tried against guesses.
    static KEY: LazyLock<[u8; 32]> = LazyLock::new(rand::random);
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&*KEY).expect("a key of any length is good for HMAC");
    for (name, value) in values {
        for part in [name.as_bytes(), value.expose().as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
    }
    mac.finalize().into_bytes().into()
}
