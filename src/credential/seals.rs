//! What stands for a turn's credentials.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Map, Value};
use tracing::warn;

use super::{CredentialError, Credentials, Scrubber, Secret, scrub::shown};
use crate::{chatkit::ThreadId, context::RequestContext, telemetry::audit, user::UserKey};

/// What every handle begins with.
const PREFIX: &str = "kfh_";
/// So many of its digits make text suspicious: what is cut off, or written in other letters.
const DIGITS_SEEN: usize = 16;

/// The credentials of one turn: the handles that its prompts and its model show in their place, and the
/// secrets that it used.
///
/// A handle is good for the user, the thread and the turn that it was made for.
#[derive(Default)]
pub struct Seals {
    user: Option<UserKey>,
    thread: Option<ThreadId>,
    state: RwLock<State>,
    /// Whether there is anything to look for: most turns have nothing.
    in_use: AtomicBool,
}

#[derive(Default)]
struct State {
    /// By credential.
    handles: BTreeMap<String, String>,
    /// Those that prompts show themselves, by credential.
    plaintext: BTreeMap<String, Secret>,
    /// All that were used, with their credentials.
    secrets: Vec<(String, Secret)>,
    scrubber: Arc<Scrubber>,
}

/// What a prompt shows of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InPrompt {
    Handle,
    Secret,
}

impl Seals {
    pub fn new(user: Option<UserKey>, thread: Option<ThreadId>) -> Self {
        Self { user, thread, ..Self::default() }
    }

    /// Makes handles for those of these credentials that whoever sent the request has.
    pub async fn seal(
        &self,
        names: &BTreeMap<String, InPrompt>,
        credentials: &Credentials,
        context: &RequestContext,
    ) {
        for (name, shown) in names {
            match shown {
                InPrompt::Handle if credentials.has(name, context).await => {
                    let handle = format!("{PREFIX}{:032x}", rand::random::<u128>());
                    self.write().handles.entry(name.clone()).or_insert(handle);
                }
                InPrompt::Secret => {
                    if let Ok(secret) = credentials.fetch(name, context).await {
                        self.remember(name, &secret);
                        self.write().plaintext.insert(name.clone(), secret);
                    }
                }
                InPrompt::Handle => (),
            }
        }
        self.renew_scrubber();
    }

    /// Whether the turn has neither handles nor secrets, so that nothing needs to be looked for.
    pub fn is_empty(&self) -> bool {
        !self.in_use.load(Ordering::Acquire)
    }

    /// What prompts see as `credential`: the handle, or the secret where it is passed in plain text; null where
    /// the user has none.
    pub fn prompt(&self, credentials: &Credentials) -> Map<String, Value> {
        let state = self.read();
        let shown = |name: &str| {
            let plain = state.plaintext.get(name).map(|it| it.expose().to_owned());
            plain.or_else(|| state.handles.get(name).cloned()).map_or(Value::Null, Value::String)
        };
        credentials.names().map(|name| (name.to_owned(), shown(name))).collect()
    }

    /// Whether `value` is the live handle of this credential, in the hands of whom it was made for.
    pub fn opens(
        &self,
        credential: &str,
        value: &str,
        user: Option<&UserKey>,
        thread: Option<&ThreadId>,
    ) -> bool {
        self.user.as_ref() == user
            && self.thread.as_ref() == thread
            && self.is_live(credential, value)
    }

    /// Whether the turn of this handle goes on.
    pub fn is_live(&self, credential: &str, handle: &str) -> bool {
        self.read().handles.get(credential).is_some_and(|it| it == handle)
    }

    /// What of this value is no argument for others: a handle, however it is disguised, or a secret that the
    /// prompt shows. Gives the credential's name, where there is one.
    pub fn find_in(&self, value: &Value) -> Option<Found> {
        match value {
            Value::String(text) => self.find_in_text(text),
            Value::Array(values) => values.iter().find_map(|it| self.find_in(it)),
            Value::Object(map) => map
                .iter()
                .find_map(|(key, value)| self.find_in_text(key).or_else(|| self.find_in(value))),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    pub fn find_in_text(&self, text: &str) -> Option<Found> {
        let state = self.read();
        let live = state.handles.iter().find(|(_, handle)| text.contains(handle.as_str()));
        if let Some((name, _)) = live {
            return Some(Found { credential: Some(name.clone()) });
        }
        let plain = state.plaintext.iter().find(|(_, secret)| text.contains(secret.expose()));
        if let Some((name, _)) = plain {
            return Some(Found { credential: Some(name.clone()) });
        }
        let digits = suspicious_digits(text)?;
        let mut handles = state.handles.iter();
        let near = handles.find(|(_, handle)| handle[PREFIX.len()..].starts_with(&digits));
        Some(Found { credential: near.map(|(name, _)| name.clone()) })
    }

    /// Refuses arguments of a call that passes no credentials on, `what`, where they hold one.
    pub fn check_elsewhere(&self, what: &str, arguments: &Value) -> Result<(), CredentialError> {
        if self.is_empty() {
            return Ok(());
        }
        let Some(Found { credential }) = self.find_in(arguments) else { return Ok(()) };
        let credential = credential.as_deref().unwrap_or("(of another turn)");
        warn!(target: "security", security = true, what, credential, "refused what stands for a credential in {what}");
        Err(CredentialError::Refused(format!(
            "what stands for the credential `{credential}` must not go to {what}: it is for the tools that take it"
        )))
    }

    /// Has what comes back and what is shown freed of this secret, for the rest of the turn.
    pub fn remember(&self, credential: &str, secret: &Secret) {
        audit::credential(
            self.user.as_ref(),
            self.thread.as_ref().map(ThreadId::as_str),
            credential,
        );
        let is_known = |(name, known): &(String, Secret)| {
            name == credential && known.expose() == secret.expose()
        };
        if self.read().secrets.iter().any(is_known) {
            return;
        }
        self.write().secrets.push((credential.to_owned(), secret.clone()));
        self.renew_scrubber();
    }

    /// Frees text of the turn's secrets and handles, as of now.
    pub fn scrubber(&self) -> Arc<Scrubber> {
        self.read().scrubber.clone()
    }

    /// Arguments of a stored call as this turn's model sees them: where they name a credential, its handle.
    pub fn reseal<'a>(&self, arguments: &'a str) -> Cow<'a, str> {
        if self.is_empty() || !arguments.contains("\"[credential ") {
            return Cow::Borrowed(arguments);
        }
        let Ok(mut value) = serde_json::from_str::<Value>(arguments) else {
            return Cow::Borrowed(arguments);
        };
        self.read().show_handles(&mut value);
        Cow::Owned(value.to_string())
    }

    /// Arguments of a call as they are stored: with a credential's name in place of its handle.
    pub fn unseal_names<'a>(&self, arguments: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(arguments);
        }
        let scrubber = self.scrubber();
        let Ok(mut value) = serde_json::from_str::<Value>(arguments) else {
            return scrubber.scrub(arguments);
        };
        let before = value.clone();
        scrubber.scrub_value(&mut value);
        if value == before { Cow::Borrowed(arguments) } else { Cow::Owned(value.to_string()) }
    }

    /// Ends the turn's handles.
    pub fn close(&self) {
        let mut state = self.write();
        state.handles.clear();
        state.plaintext.clear();
    }

    fn renew_scrubber(&self) {
        let mut state = self.write();
        let secrets = state.secrets.iter().map(|(name, secret)| (name.as_str(), secret));
        let handles = state.handles.iter().map(|(name, handle)| (name.as_str(), handle.as_str()));
        let scrubber = Scrubber::new(secrets, handles);
        self.in_use.store(!scrubber.is_empty(), Ordering::Release);
        state.scrubber = Arc::new(scrubber);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn show_handles(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let plain = self.plaintext.iter().find(|(name, _)| *text == shown(name));
                let handle = self.handles.iter().find(|(name, _)| *text == shown(name));
                if let Some((_, secret)) = plain {
                    secret.expose().clone_into(text);
                } else if let Some((_, handle)) = handle {
                    text.clone_from(handle);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|it| self.show_handles(it)),
            Value::Object(map) => map.values_mut().for_each(|it| self.show_handles(it)),
            Value::Null | Value::Bool(_) | Value::Number(_) => (),
        }
    }
}

/// A handle, or a secret, where it must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// None: it is a handle that is not, or no longer, one of this turn.
    pub credential: Option<String>,
}

/// The digits of what looks like a handle once case and invisible characters are taken away.
fn suspicious_digits(text: &str) -> Option<String> {
    // Most text holds none of the letters in a row, and is looked at once.
    let has = |letter: u8| memchr::memchr2(letter, letter.to_ascii_uppercase(), text.as_bytes());
    if text.len() < PREFIX.len() + DIGITS_SEEN || has(b'k').is_none() || has(b'f').is_none() {
        return None;
    }
    let plain: String = text
        .chars()
        .filter(|it| it.is_ascii_alphanumeric() || *it == '_')
        .map(|it| it.to_ascii_lowercase())
        .collect();
    plain.match_indices(PREFIX).find_map(|(at, _)| {
        let rest = &plain[at + PREFIX.len()..];
        let digits: String = rest.chars().take(32).take_while(char::is_ascii_hexdigit).collect();
        (digits.len() >= DIGITS_SEEN).then_some(digits)
    })
}

#[cfg(test)]
mod tests {
    use super::suspicious_digits;

    #[test]
    fn a_handle_is_seen_through_its_disguise() {
        let digits = "0123456789abcdef0123456789abcdef";
        for text in [
            format!("kfh_{digits}"),
            format!("see KFH_{}!", digits.to_uppercase()),
            "k\u{200b}fh_0123456789\u{200d}abcdef".to_owned(),
            format!("kfh_ {digits}"),
        ] {
            assert!(suspicious_digits(&text).is_some(), "{text}");
        }
        for text in
            ["kfh_0123", "a kfh of my own and much more text", "0123456789abcdef0123456789abcdef"]
        {
            assert_eq!(suspicious_digits(text), None, "{text}");
        }
    }
}
