//! Where a server's tokens come from: RFC 9728 (protected resources), RFC 8414 and `OpenID` Connect (their authorization
//! servers).

use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    OAuthError,
    challenge::Challenge,
    http::{Door, origin},
};

/// What was found out about logging in.
#[derive(Debug)]
pub struct Discovered {
    /// The name of what tokens are for (RFC 8707).
    pub resource: Option<String>,
    /// What the server wants, or else what it knows.
    pub scopes: Vec<String>,
    pub server: ServerMetadata,
}

/// An authorization server. Its endpoints were checked.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    pub registration_endpoint: Option<Url>,
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    pub response_types_supported: Option<Vec<String>>,
    pub code_challenge_methods_supported: Option<Vec<String>>,
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

#[derive(Debug, Deserialize)]
struct ResourceMetadata {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// What is made of a server that says nowhere who its authorization server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silent {
    /// It is its own, as servers of the revision 2025-03-26 are.
    IsItsOwn,
    Refused,
}

/// Where the tokens of the MCP server at `resource` come from. `challenge`: what it answered, where that is known.
pub async fn discover(
    door: &Door,
    resource: &Url,
    challenge: Option<Challenge>,
    silent: Silent,
) -> Result<Discovered, OAuthError> {
    let challenge = if challenge.is_some() {
        challenge
    } else {
        let challenges = door.probe(resource).await.map_err(OAuthError::Unavailable)?;
        Challenge::parse(challenges.iter().map(String::as_str))
    };
    let challenge = challenge.unwrap_or_default();
    let metadata = match (find_resource(door, resource, &challenge).await?, silent) {
        (Some(metadata), _) => metadata,
        (None, Silent::IsItsOwn) => return discover_legacy(door, resource, challenge).await,
        (None, Silent::Refused) => {
            return Err(OAuthError::Refused(format!(
                "`{}` does not say where its users log in",
                origin(resource)
            )));
        }
    };
    let scopes =
        if challenge.scopes.is_empty() { metadata.scopes_supported } else { challenge.scopes };
    let mut problem = OAuthError::Refused(format!(
        "`{}` names no authorization server: its metadata has no `authorization_servers`",
        origin(resource)
    ));
    for issuer in &metadata.authorization_servers {
        match load_server(door, resource, issuer).await {
            Ok(server) => {
                return Ok(Discovered { resource: Some(metadata.resource), scopes, server });
            }
            Err(err) => problem = err,
        }
    }
    Err(problem)
}

async fn discover_legacy(
    door: &Door,
    resource: &Url,
    challenge: Challenge,
) -> Result<Discovered, OAuthError> {
    let base = origin(resource);
    let server = if let Some(server) = find_server(door, resource, &base).await? {
        server
    } else {
        let endpoint = |path: &str| {
            let mut url = resource.clone();
            url.set_query(None);
            url.set_path(path);
            url
        };
        ServerMetadata {
            issuer: base,
            authorization_endpoint: endpoint("/authorize"),
            token_endpoint: endpoint("/token"),
            registration_endpoint: Some(endpoint("/register")),
            scopes_supported: Vec::new(),
            response_types_supported: None,
            code_challenge_methods_supported: None,
            token_endpoint_auth_methods_supported: None,
            client_id_metadata_document_supported: false,
            authorization_response_iss_parameter_supported: false,
        }
    };
    let mut named = resource.clone();
    named.set_fragment(None);
    Ok(Discovered { resource: Some(named.to_string()), scopes: challenge.scopes, server })
}

/// None: the server publishes none.
async fn find_resource(
    door: &Door,
    resource: &Url,
    challenge: &Challenge,
) -> Result<Option<ResourceMetadata>, OAuthError> {
    let advertised = challenge.resource_metadata.as_deref();
    let mut places = Vec::new();
    if let Some(advertised) = advertised {
        let url = resource.join(advertised).map_err(|_| {
            OAuthError::Refused(format!(
                "`{}` has its metadata at what is no URL",
                origin(resource)
            ))
        })?;
        places.push(url);
    } else {
        let path = resource.path().trim_end_matches('/');
        if !path.is_empty() {
            places.push(at(resource, &format!("{PROTECTED_RESOURCE}{path}")));
        }
        places.push(at(resource, PROTECTED_RESOURCE));
    }
    for place in places {
        check_secure(resource, &place)?;
        let answer = door.get(&place).await.map_err(OAuthError::Unavailable)?;
        if answer.status.is_server_error() {
            return Err(unavailable(&place, answer.status));
        }
        if !answer.status.is_success() {
            continue;
        }
        let Ok(metadata) = serde_json::from_slice::<ResourceMetadata>(&answer.body) else {
            continue;
        };
        if !is_of(resource, &metadata.resource) {
            return Err(OAuthError::Refused(format!(
                "the metadata of `{}` are those of another server: they say `{}`",
                origin(resource),
                short(&metadata.resource)
            )));
        }
        return Ok(Some(metadata));
    }
    match advertised {
        // To look elsewhere would be to ask whom it did not name.
        Some(_) => Err(OAuthError::Unavailable(format!(
            "`{}` has no metadata where it says that they are",
            origin(resource)
        ))),
        None => Ok(None),
    }
}

/// Whether metadata of `named` speak for the server at `resource`: it is that, or a path above it.
fn is_of(resource: &Url, named: &str) -> bool {
    let Ok(named) = Url::parse(named) else { return false };
    if named.origin() != resource.origin() || named.fragment().is_some() {
        return false;
    }
    let above = named.path().trim_end_matches('/');
    let rest = resource.path().strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The authorization server `issuer` of the server at `resource`.
pub async fn load_server(
    door: &Door,
    resource: &Url,
    issuer: &str,
) -> Result<ServerMetadata, OAuthError> {
    find_server(door, resource, issuer).await?.ok_or_else(|| no_metadata(issuer))
}

fn no_metadata(issuer: &str) -> OAuthError {
    OAuthError::Unavailable(format!("the authorization server `{}` has no metadata", short(issuer)))
}

/// The token endpoint of the authorization server `issuer`, and how its clients may show who they are.
pub async fn load_token_endpoint(
    door: &Door,
    issuer: &Url,
) -> Result<(Url, Option<Vec<String>>), OAuthError> {
    let name = issuer.as_str().trim_end_matches('/');
    let found: Option<TokenServer> = find_metadata(door, issuer, name).await?;
    let server = found.ok_or_else(|| no_metadata(name))?;
    check_issuer(name, &server.issuer)?;
    check_secure(issuer, &server.token_endpoint)?;
    Ok((server.token_endpoint, server.token_endpoint_auth_methods_supported))
}

/// Of an authorization server, what is needed where nobody logs in.
#[derive(Deserialize)]
struct TokenServer {
    issuer: String,
    token_endpoint: Url,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

async fn find_server(
    door: &Door,
    resource: &Url,
    issuer: &str,
) -> Result<Option<ServerMetadata>, OAuthError> {
    let Some(server) = find_metadata(door, resource, issuer).await? else { return Ok(None) };
    check(resource, issuer, &server)?;
    Ok(Some(server))
}

async fn find_metadata<T: DeserializeOwned>(
    door: &Door,
    resource: &Url,
    issuer: &str,
) -> Result<Option<T>, OAuthError> {
    let url = Url::parse(issuer).map_err(|_| {
        OAuthError::Refused(format!("the authorization server `{}` is no URL", short(issuer)))
    })?;
    check_secure(resource, &url)?;
    let path = url.path().trim_end_matches('/');
    let places = if path.is_empty() {
        vec![at(&url, AUTHORIZATION_SERVER), at(&url, OPENID)]
    } else {
        vec![
            at(&url, &format!("{AUTHORIZATION_SERVER}{path}")),
            at(&url, &format!("{OPENID}{path}")),
            at(&url, &format!("{path}{OPENID}")),
        ]
    };
    for place in places {
        let answer = door.get(&place).await.map_err(OAuthError::Unavailable)?;
        if answer.status.is_server_error() {
            return Err(unavailable(&place, answer.status));
        }
        if !answer.status.is_success() {
            continue;
        }
        if let Ok(metadata) = serde_json::from_slice(&answer.body) {
            return Ok(Some(metadata));
        }
    }
    Ok(None)
}

fn check_issuer(issuer: &str, said: &str) -> Result<(), OAuthError> {
    if said.trim_end_matches('/') == issuer.trim_end_matches('/') {
        return Ok(());
    }
    Err(OAuthError::Refused(format!(
        "the authorization server `{}` says that it is `{}`",
        short(issuer),
        short(said)
    )))
}

fn check(resource: &Url, issuer: &str, server: &ServerMetadata) -> Result<(), OAuthError> {
    check_issuer(issuer, &server.issuer)?;
    check_secure(resource, &server.authorization_endpoint)?;
    check_secure(resource, &server.token_endpoint)?;
    if let Some(endpoint) = &server.registration_endpoint {
        check_secure(resource, endpoint)?;
    }
    if server.response_types_supported.as_ref().is_some_and(|it| !it.iter().any(|it| it == "code"))
    {
        return Err(OAuthError::Refused(format!(
            "the authorization server `{}` gives no codes",
            short(issuer)
        )));
    }
    let methods = server.code_challenge_methods_supported.as_deref().unwrap_or_default();
    if !methods.iter().any(|it| it == "S256") {
        return Err(OAuthError::Refused(format!(
            "the authorization server `{}` does not say that it knows PKCE with S256",
            short(issuer)
        )));
    }
    Ok(())
}

/// Without TLS only what belongs to a server without TLS.
fn check_secure(resource: &Url, url: &Url) -> Result<(), OAuthError> {
    let is_secure = match url.scheme() {
        "https" => true,
        "http" => resource.scheme() == "http",
        _ => false,
    };
    if !is_secure || !url.has_host() || !url.username().is_empty() || url.password().is_some() {
        return Err(OAuthError::Refused(format!(
            "`{}` is no place for a login of `{}`: it must be an https URL",
            short(url.as_str()),
            origin(resource)
        )));
    }
    Ok(())
}

fn unavailable(place: &Url, status: reqwest::StatusCode) -> OAuthError {
    OAuthError::Unavailable(format!("`{}` answers with {}", origin(place), status.as_u16()))
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(path);
    url
}

/// What a stranger said, at a length that can be shown.
fn short(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_speak_for_a_server_at_or_below_what_they_name() {
        let is = |resource: &str, named: &str| is_of(&Url::parse(resource).unwrap(), named);
        assert!(is("https://a.org/mcp", "https://a.org/mcp"));
        assert!(is("https://a.org/mcp/", "https://a.org/mcp"));
        assert!(is("https://a.org/mcp", "https://a.org/"));
        assert!(is("https://a.org/mcp", "https://a.org"));
        assert!(!is("https://a.org/mcp", "https://a.org/mc"));
        assert!(!is("https://a.org/mcp", "https://b.org/mcp"));
        assert!(!is("https://a.org/mcp", "http://a.org/mcp"));
        assert!(!is("https://a.org/mcp", "https://a.org/other"));
        assert!(!is("https://a.org/mcp", "a"));
    }

    #[test]
    fn a_login_is_never_less_secure_than_what_it_is_for() {
        let check = |resource: &str, url: &str| {
            check_secure(&Url::parse(resource).unwrap(), &Url::parse(url).unwrap()).is_ok()
        };
        assert!(check("https://a.org", "https://b.org/token"));
        assert!(check("http://localhost:1", "http://localhost:2/token"));
        assert!(!check("https://a.org", "http://b.org/token"));
        assert!(!check("https://a.org", "javascript:alert(1)"));
        assert!(!check("http://a.org", "file:///etc/passwd"));
        assert!(!check("https://a.org", "https://user:password@b.org"));
    }
}
