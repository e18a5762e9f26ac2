//! What this server is to authorization servers: registered by the operator, known by a document of its own, or registered
//! on the way.

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{store::SealedKind, user::UserKey};

use super::{Client, OAuth, OAuthError, Proof, Target, discovery::ServerMetadata, http::origin};

/// Where this server is, to others.
#[derive(Debug, Clone)]
pub struct ClientPlaces {
    /// What people are told it is: `[project] name`.
    pub name: String,
    pub public_url: Url,
    /// Where logins come back to.
    pub redirect_uri: Url,
    /// Where [`metadata_document`] is.
    pub document: Url,
}

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<String>,
    token_endpoint_auth_method: Option<String>,
}

impl ClientPlaces {
    /// Those below `public_url`.
    pub fn new(name: &str, public_url: &Url) -> Self {
        let below = |path: &str| {
            let mut url = public_url.clone();
            url.set_query(None);
            url.set_fragment(None);
            url.set_path(&format!("{}{path}", public_url.path().trim_end_matches('/')));
            url
        };
        Self {
            name: name.to_owned(),
            public_url: public_url.clone(),
            redirect_uri: below("/oauth/callback"),
            document: below("/oauth/client.json"),
        }
    }

    /// Others can only fetch it where there is TLS.
    fn has_document(&self) -> bool {
        self.document.scheme() == "https"
    }

    fn application_type(&self) -> &'static str {
        // Redirects without TLS are for programs on the user's own machine.
        if self.public_url.scheme() == "https" { "web" } else { "native" }
    }
}

/// The client id metadata document: its own URL is the client's id.
pub fn metadata_document(places: &ClientPlaces) -> Value {
    json!({
        "client_id": places.document,
        "client_name": places.name,
        "client_uri": places.public_url,
        "redirect_uris": [places.redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": places.application_type(),
    })
}

impl OAuth {
    /// What `server` knows us as; it is told where it does not.
    pub(super) async fn client(
        &self,
        target: &Target,
        server: &ServerMetadata,
        places: &ClientPlaces,
    ) -> Result<Client, OAuthError> {
        let methods = server.token_endpoint_auth_methods_supported.as_deref();
        if let Some(registered) = &target.client {
            let secret = registered.secret.as_ref().map(|it| it.expose_secret().to_owned());
            let proof = match secret {
                Some(_) => with_secret(methods),
                None => Proof::None,
            };
            return Ok(Client { id: registered.id.clone(), secret, proof });
        }
        if server.client_id_metadata_document_supported && places.has_document() {
            return Ok(Client {
                id: places.document.to_string(),
                secret: None,
                proof: Proof::None,
            });
        }
        let Some(endpoint) = &server.registration_endpoint else {
            return Err(OAuthError::Refused(format!(
                "`{}` does not know this server: register it there with the redirect URI `{}`, and put its \
                 `client_id` into `[oauth]`",
                server.issuer, places.redirect_uri
            )));
        };
        let name = format!("{} {}", server.issuer, places.redirect_uri);
        let owner = installation();
        let vault = self.shared.vault.of(&owner);
        if let Some(known) = vault.find(SealedKind::Client, &name).await?
            && let Ok(client) = serde_json::from_str(known.text.expose_secret())
        {
            return Ok(client);
        }
        let client = self.register(target, endpoint, methods, places).await?;
        let text = serde_json::to_string(&client).expect("texts can be written as JSON");
        vault.save(SealedKind::Client, &name, &text.into(), None).await?;
        Ok(client)
    }

    /// Has this server registered anew where a registration is not known any more.
    pub(super) async fn forget_client(
        &self,
        issuer: &str,
        redirect_uri: &str,
    ) -> Result<(), OAuthError> {
        let name = format!("{issuer} {redirect_uri}");
        self.shared.vault.of(&installation()).forget(SealedKind::Client, &name).await?;
        Ok(())
    }

    async fn register(
        &self,
        target: &Target,
        endpoint: &Url,
        methods: Option<&[String]>,
        places: &ClientPlaces,
    ) -> Result<Client, OAuthError> {
        let wanted = match methods {
            None => "none",
            Some(methods) if methods.iter().any(|it| it == "none") => "none",
            Some(_) => method(with_secret(methods)),
        };
        let mut body = json!({
            "client_name": places.name,
            "redirect_uris": [places.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": wanted,
            "application_type": places.application_type(),
        });
        if !target.scopes.is_empty() {
            body["scope"] = target.scopes.join(" ").into();
        }
        let door = self.http.for_resource(target.base());
        let answer = door.post_json(endpoint, &body).await.map_err(OAuthError::Unavailable)?;
        if !answer.status.is_success() {
            return Err(OAuthError::Refused(format!(
                "`{}` does not let this server register (it answers with {}): register it there with the redirect URI \
                 `{}`, and put its `client_id` into `[oauth]`",
                origin(endpoint),
                answer.status.as_u16(),
                places.redirect_uri
            )));
        }
        let registered: Registered = serde_json::from_slice(&answer.body).map_err(|_| {
            OAuthError::Refused(format!(
                "`{}` answers a registration without a client",
                origin(endpoint)
            ))
        })?;
        let secret = registered.client_secret.filter(|it| !it.is_empty());
        let method = registered.token_endpoint_auth_method.as_deref().unwrap_or(wanted);
        let proof = match (&secret, method) {
            (None, _) | (Some(_), "none") => Proof::None,
            (Some(_), "client_secret_post") => Proof::Post,
            (Some(_), _) => Proof::Basic,
        };
        Ok(Client { id: registered.client_id, secret, proof })
    }
}

/// How a client with a secret shows it, where both would do by the header.
pub fn with_secret(methods: Option<&[String]>) -> Proof {
    let has = |method: &str| methods.is_some_and(|it| it.iter().any(|it| it == method));
    if has("client_secret_post") && !has("client_secret_basic") {
        Proof::Post
    } else {
        Proof::Basic
    }
}

const fn method(proof: Proof) -> &'static str {
    match proof {
        Proof::None => "none",
        Proof::Basic => "client_secret_basic",
        Proof::Post => "client_secret_post",
    }
}

/// Who owns what belongs to no user.
fn installation() -> UserKey {
    UserKey::new("installation", "", "")
}
