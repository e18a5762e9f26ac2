use std::{borrow::Cow, sync::Arc};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::{
    context::RequestContext,
    credential::{Connection, CredentialError, Outgoing, PassRules, Wanted},
};

/// Whose credentials go with a message. It travels beside the message, and what it stands for is put in at the
/// last step before the wire.
#[derive(Clone)]
pub struct Identity {
    headers: Arc<HeaderMap>,
    carried: Carried,
}

#[derive(Clone)]
enum Carried {
    /// What belongs to no call: listing tools, for one.
    Connection(Arc<Connection>),
    Call(Arc<Outgoing>),
}

impl Identity {
    pub fn of_connection(connection: Connection) -> Result<Self, CredentialError> {
        let headers = Arc::new(header_map(&connection)?);
        Ok(Self { headers, carried: Carried::Connection(Arc::new(connection)) })
    }

    pub fn of_call(outgoing: Outgoing) -> Result<Self, CredentialError> {
        let headers = Arc::new(header_map(outgoing.connection())?);
        Ok(Self { headers, carried: Carried::Call(Arc::new(outgoing)) })
    }

    /// The same for the same headers and environment, in this process.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.connection().fingerprint()
    }

    /// What every request brings.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What a program's environment has beside what it inherits.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.connection().env().iter().map(|(name, value)| (name.as_str(), value.expose()))
    }

    /// Puts a call's secrets into its arguments.
    pub fn put_into(&self, arguments: &mut Map<String, Value>) -> Result<(), CredentialError> {
        match &self.carried {
            Carried::Connection(_) => Ok(()),
            Carried::Call(outgoing) => outgoing.put_into(arguments),
        }
    }

    /// Takes note that the server did not take what goes with this; says whether something else would go with the
    /// next.
    pub async fn reject(
        &self,
        rules: &PassRules,
        request: &RequestContext,
        challenge: &str,
    ) -> bool {
        rules.reject(request, self.connection(), challenge).await
    }

    /// Takes note that the server asked for a login, where this has none.
    pub async fn ask_login(&self, rules: &PassRules, challenge: &str, wanted: Wanted) {
        rules.ask_login(self.connection(), challenge, wanted).await;
    }

    fn connection(&self) -> &Connection {
        match &self.carried {
            Carried::Connection(connection) => connection,
            Carried::Call(outgoing) => outgoing.connection(),
        }
    }

    /// A text that came back, without the secrets that went out.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.carried {
            Carried::Connection(connection) => connection.scrubber().scrub(text),
            Carried::Call(outgoing) => outgoing.scrub(text),
        }
    }
}

fn header_map(connection: &Connection) -> Result<HeaderMap, CredentialError> {
    let mut headers = HeaderMap::new();
    for (name, value) in connection.headers() {
        let refused = || {
            CredentialError::Refused(format!("the header `{name}` holds what no header may hold"))
        };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}
