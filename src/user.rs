use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Who owns a thread: the method of login, its issuer and the subject there, in one string.
///
/// Users of different methods never meet, because the method is part of the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey(String);

impl UserKey {
    /// `issuer` is empty for methods that have none.
    pub fn new(method: &str, issuer: &str, subject: &str) -> Self {
        // Lengths make the parts unambiguous whatever they hold.
        Self(format!("{method}:{}:{issuer}:{subject}", issuer.len()))
    }

    /// What [`Self::as_str`] gave.
    pub fn from_stored(key: &str) -> Self {
        Self(key.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What prompts and plugins see as `user.id`.
    pub fn subject(&self) -> &str {
        let mut parts = self.0.splitn(3, ':');
        let (_, length, rest) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
        let issuer = length.and_then(|it| it.parse::<usize>().ok()).unwrap_or_default();
        rest.get(issuer + 1..).unwrap_or_default()
    }

    /// What stands for the user where who they are is nobody's business.
    pub fn pseudonym(&self) -> String {
        digest("user", &self.0)
    }
}

/// What stands for a text, the same each time, and does not say what it is.
pub fn digest(kind: &str, text: &str) -> String {
    let mut digest = format!("{kind}:");
    for byte in Sha256::digest(text).iter().take(16) {
        // Writing to a text cannot fail.
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

/// Who is asking.
#[derive(Clone, PartialEq, Serialize)]
pub struct User {
    #[serde(skip)]
    pub key: UserKey,
    /// What prompts and plugins see as `user.id`. Never a session id as it was sent.
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub org: Option<String>,
    pub roles: Vec<String>,
    pub claims: Map<String, Value>,
}

impl User {
    /// A user of whom nothing but the id is known.
    pub fn new(method: &str, issuer: &str, subject: &str) -> Self {
        Self {
            key: UserKey::new(method, issuer, subject),
            id: subject.to_owned(),
            name: None,
            email: None,
            org: None,
            roles: Vec::new(),
            claims: Map::new(),
        }
    }

    /// With name and e-mail as the host page tells them, where the login gives none. Nothing else of
    /// `info` counts: it is the client's word.
    #[must_use]
    pub fn with_info(mut self, info: &Map<String, Value>) -> Self {
        let text = |key: &str| {
            let text = info.get(key).and_then(Value::as_str).map(str::trim);
            text.filter(|it| !it.is_empty()).map(str::to_owned)
        };
        self.name = self.name.or_else(|| text("name"));
        self.email = self.email.or_else(|| text("email"));
        self
    }
}

/// Who may use something: everyone, unless it says who. Written as `allow = ["role:staff"]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// Of each, the user has one role.
    roles: Vec<Vec<String>>,
}

impl Allow {
    /// Whoever has one of the roles that these words name: nobody, where there are none. Fails with what is wrong.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut roles = Vec::with_capacity(words.len());
        for word in words {
            match word.strip_prefix("role:").map(str::trim).filter(|it| !it.is_empty()) {
                Some(role) => roles.push(role.to_owned()),
                None => {
                    return Err(format!("`{word}` in `allow` names nobody: write `role:NAME`"));
                }
            }
        }
        Ok(Self { roles: vec![roles] })
    }

    /// Those whom both admit.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.roles.extend(other.roles.iter().cloned());
        self
    }

    pub fn is_everyone(&self) -> bool {
        self.roles.is_empty()
    }

    pub fn admits(&self, user: Option<&User>) -> bool {
        let has = |role: &String| user.is_some_and(|it| it.roles.contains(role));
        self.roles.iter().all(|any| any.iter().any(has))
    }
}

/// Names and claims are the user's own: they stay out of logs and panics.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Allow, User, UserKey};

    #[test]
    fn a_role_of_each_list_is_needed() {
        let allow = |words: &[&str]| {
            Allow::parse(&words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).unwrap()
        };
        let mut user = User::new("jwt", "i", "u");
        user.roles = vec!["staff".to_owned()];
        let (staff, root) = (allow(&["role:root", "role:staff"]), allow(&["role:root"]));
        assert!(Allow::default().admits(None));
        assert!(staff.admits(Some(&user)));
        assert!(!staff.admits(None));
        assert!(!root.admits(Some(&user)));
        assert!(!staff.clone().and(&root).admits(Some(&user)));
        assert!(staff.and(&Allow::default()).admits(Some(&user)));
        assert!(!allow(&[]).admits(Some(&user)));
    }

    #[test]
    fn a_word_that_names_nobody_is_an_error() {
        for word in ["staff", "role:", "role: ", "user:ada"] {
            assert!(Allow::parse(&[word.to_owned()]).is_err(), "{word}");
        }
    }

    #[test]
    fn users_of_different_methods_and_issuers_never_meet() {
        let keys = [
            UserKey::new("header", "", "u"),
            UserKey::new("session", "", "u"),
            UserKey::new("jwt", "a", "b:c"),
            UserKey::new("jwt", "a:b", "c"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[index + 1..].contains(key), "{key:?}");
        }
    }

    #[test]
    fn a_key_tells_the_id_and_a_pseudonym_nothing() {
        let key = UserKey::new("jwt", "https://login.test:8443/", "ada:7");
        assert_eq!(key.subject(), "ada:7");
        assert_eq!(UserKey::new("header", "", "bob").subject(), "bob");
        assert_eq!(key.pseudonym().len(), "user:".len() + 32);
        assert!(!key.pseudonym().contains("ada"));
    }

    #[test]
    fn a_user_is_not_shown() {
        let mut user = User::new("header", "", "ada-7");
        user.email = Some("ada@a.org".to_owned());
        let shown = format!("{user:?}");
        assert!(!shown.contains("ada"), "{shown}");
    }
}
