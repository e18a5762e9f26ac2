use serde_json::{Map, Value};

use crate::{config::JwtConfig, user::User};

const MOST_CHARACTERS: usize = 256;

/// Whom the claims of a token name, for this method. Fails with what is wrong with them.
pub fn user(method: &str, claims: &Map<String, Value>, config: &JwtConfig) -> Result<User, String> {
    let names = &config.claims;
    let id = match find(claims, &names.user) {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => {
            return Err(format!(
                "the token's claim `{}`, which names the user, is no text",
                names.user
            ));
        }
    };
    if id.chars().count() > MOST_CHARACTERS || id.chars().any(char::is_control) {
        return Err(format!("the token's claim `{}` is no user id", names.user));
    }
    let text = |name: &str| {
        let text = find(claims, name)?.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let mut user = User::new(method, &config.issuer, &id);
    user.name = text(&names.name);
    user.email = text(&names.email);
    user.org = text(&names.org);
    user.roles = roles(find(claims, &names.roles));
    user.claims.clone_from(claims);
    Ok(user)
}

/// A list, or a text with spaces between, as `scope` is.
fn roles(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::Array(roles)) => {
            roles.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::String(roles)) => roles.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A claim by its name; where there is none of that name, by a path with dots.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    // Names of claims may be URLs, which have dots of their own.
    if let Some(claim) = claims.get(name) {
        return Some(claim);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::config::{ClaimNames, JwtConfig, JwtKeys};

    use super::user;

    fn config(claims: ClaimNames) -> JwtConfig {
        JwtConfig {
            issuer: "https://login.example.com/".to_owned(),
            audience: vec!["kitfox".to_owned()],
            keys: JwtKeys::Discovered,
            algorithms: vec!["RS256"],
            leeway: Duration::ZERO,
            claims,
        }
    }

    fn shown(claims: &Value, names: ClaimNames) -> Value {
        match user("jwt", claims.as_object().unwrap(), &config(names)) {
            Ok(user) => json!([user.id, user.name, user.email, user.org, user.roles]),
            Err(problem) => json!(problem),
        }
    }

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let names = ClaimNames {
            org: "https://example.com/org".to_owned(),
            roles: "realm_access.roles".to_owned(),
            ..ClaimNames::default()
        };
        let claims = json!({
            "sub": "u-1", "name": " Ada ", "email": "", "https://example.com/org": "cats",
            "realm_access": { "roles": ["staff", 7] },
        });
        assert_eq!(shown(&claims, names), json!(["u-1", "Ada", null, "cats", ["staff"]]));
        let claims = json!({ "sub": 7, "roles": "staff  operator" });
        let expected = json!(["7", null, null, null, ["staff", "operator"]]);
        assert_eq!(shown(&claims, ClaimNames::default()), expected);
    }

    #[test]
    fn a_token_that_names_nobody_is_nobodys() {
        for claims in
            [json!({}), json!({ "sub": "" }), json!({ "sub": ["a"] }), json!({ "sub": null })]
        {
            assert!(shown(&claims, ClaimNames::default()).is_string(), "{claims}");
        }
        assert!(shown(&json!({ "sub": "a\nb" }), ClaimNames::default()).is_string());
        assert!(shown(&json!({ "sub": "a".repeat(257) }), ClaimNames::default()).is_string());
    }
}
