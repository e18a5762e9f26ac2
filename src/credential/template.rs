use std::collections::BTreeMap;

use serde_json::Value;

use super::{CredentialError, Secret};
use crate::{context::RequestContext, user::User};

/// Text of a server's file with `{{ user.id }}` and `{{ credential.NAME }}` in it, parsed once. What is put
/// in is never looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    UserId,
    UserOrg,
    Claim(String),
    Credential(String),
}

const KNOWN: &str = "`user.id`, `user.org`, `user.claims.NAME` and `credential.NAME`";

impl Template {
    pub fn credential(name: &str) -> Self {
        Self(vec![Part::Credential(name.to_owned())])
    }

    /// Fails with what is wrong and what to do.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((path, after)) = after.split_once("}}") else {
                return Err((
                    "a `{{` without its `}}`".to_owned(),
                    "write `{{ user.id }}` or `{{ credential.NAME }}`".to_owned(),
                ));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::parse(path.trim())?);
            rest = after;
        }
        if rest.contains("{%") || rest.contains("{#") {
            return Err((
                "only values can be put in here, no statements".to_owned(),
                format!("use {KNOWN}"),
            ));
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The credentials that it names.
    pub fn credentials(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|it| match it {
            Part::Credential(name) => Some(name.as_str()),
            Part::Text(_) | Part::UserId | Part::UserOrg | Part::Claim(_) => None,
        })
    }

    /// Whether it speaks of the user beside their credentials.
    pub fn names_user(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Part::UserId | Part::UserOrg | Part::Claim(_)))
    }

    /// The text, a secret where any part of it is. `secrets` holds the credentials that it names.
    pub fn render(
        &self,
        context: &RequestContext,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Secret, CredentialError> {
        let user = || context.user.as_ref().ok_or_else(nobody);
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::UserId => out.push_str(&user()?.id),
                Part::UserOrg => out.push_str(org(user()?)?),
                Part::Claim(name) => out.push_str(&claim(user()?, name)?),
                Part::Credential(name) => match secrets.get(name) {
                    Some(secret) => out.push_str(secret.expose()),
                    None => {
                        return Err(CredentialError::Missing {
                            credential: name.clone(),
                            reason: "it was not fetched".to_owned(),
                        });
                    }
                },
            }
        }
        Ok(Secret::from(out))
    }
}

impl Part {
    fn parse(path: &str) -> Result<Self, (String, String)> {
        match path.split_once('.') {
            Some(("user", "id")) => Ok(Self::UserId),
            Some(("user", "org")) => Ok(Self::UserOrg),
            Some(("user", field @ ("name" | "email"))) => Err((
                format!("`user.{field}` may be what the page says, and not the login"),
                format!("use `user.id`, or `user.claims.{field}` where the login has it"),
            )),
            Some(("user", field)) if field.starts_with("claims.") => {
                Ok(Self::Claim(field.trim_start_matches("claims.").to_owned()))
            }
            Some(("credential", name)) if !name.is_empty() => Ok(Self::Credential(name.to_owned())),
            _ => Err((format!("`{path}` is not known here"), format!("use {KNOWN}"))),
        }
    }
}

fn nobody() -> CredentialError {
    CredentialError::Refused(
        "the server wants to know the user, and nobody is logged in".to_owned(),
    )
}

fn org(user: &User) -> Result<&str, CredentialError> {
    let missing = || CredentialError::Refused("the user's login names no `org`".to_owned());
    user.org.as_deref().ok_or_else(missing)
}

fn claim(user: &User, name: &str) -> Result<String, CredentialError> {
    match user.claims.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => Ok(value.to_string()),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => {
            Err(CredentialError::Refused(format!("the user's login has no text `{name}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, json};

    use super::{Secret, Template};
    use crate::{context::RequestContext, user::User};

    #[test]
    fn values_are_put_in_once_and_never_looked_at_again() {
        let mut user = User::new("test", "", "{{ credential.other }} ${SECRET}");
        user.claims.insert("level".to_owned(), json!(3));
        let context = RequestContext::of_user(user, &Map::new());
        let secrets =
            BTreeMap::from([("pat".to_owned(), Secret::from("{{ user.id }}!".to_owned()))]);
        let template =
            Template::parse("Token {{credential.pat}} {{ user.id }} {{ user.claims.level }}")
                .unwrap();
        assert_eq!(
            template.render(&context, &secrets).map_err(|it| it.to_string()).unwrap().expose(),
            "Token {{ user.id }}! {{ credential.other }} ${SECRET} 3"
        );
    }

    #[test]
    fn what_cannot_be_put_in_is_refused_with_what_can() {
        for (text, expected) in [
            ("{{ user.id", "without its"),
            ("{{ user.email }}", "user.claims.email"),
            ("{{ page.title }}", "`page.title` is not known here"),
            ("{% if x %}", "no statements"),
            ("{{ credential. }}", "not known"),
        ] {
            let (message, remedy) = Template::parse(text).unwrap_err();
            assert!(format!("{message} {remedy}").contains(expected), "{text}: {message} {remedy}");
        }
    }
}
