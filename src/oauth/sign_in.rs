//! Signing in at an identity provider: who the user is comes of it, and tokens (`OpenID` Connect Core 1.0 §3.1).

use std::{collections::BTreeMap, sync::Arc};

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::warn;
use url::Url;

use crate::{store::SealedKind, user::UserKey};

use super::{
    Client, OAuth, OAuthError, Preregistered, Proof, Shared, Target,
    client::with_secret,
    discovery::ServerMetadata,
    http::Http,
    login::{hash, random},
    tokens::{TokenAnswer, Tokens, ask_for_tokens},
};

/// What an identity provider says of itself (`OpenID` Connect Discovery 1.0 §3).
#[derive(Debug, Clone, Deserialize)]
pub struct IdentityProvider {
    #[serde(flatten)]
    server: ServerMetadata,
    userinfo_endpoint: Option<Url>,
    /// Where a browser is sent that logs out.
    pub end_session_endpoint: Option<Url>,
}

/// What has to be remembered of a login until its browser comes back.
#[derive(Serialize, Deserialize)]
pub struct SignIn {
    pub state: String,
    pub nonce: String,
    verifier: String,
}

/// What came of a login.
pub struct SignedIn {
    /// Nobody has looked at it yet.
    pub id_token: String,
    answer: TokenAnswer,
}

const OPENID: &str = "/.well-known/openid-configuration";

impl OAuth {
    /// For identity providers, which the operator names.
    pub fn of_identity(shared: Arc<Shared>) -> Self {
        Self { shared, http: Arc::new(Http::of_operator()) }
    }

    /// Asks the provider who it is. `issuer` is compared byte for byte, as ID tokens are.
    pub async fn load_provider(&self, issuer: &str) -> Result<IdentityProvider, OAuthError> {
        let place = Url::parse(&format!("{}{OPENID}", issuer.trim_end_matches('/')));
        let place = place.map_err(|_| OAuthError::Refused(format!("`{issuer}` is no URL")))?;
        let door = self.http.for_resource(&place);
        let answer = door.get(&place).await.map_err(OAuthError::Unavailable)?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            return Err(OAuthError::Unavailable(format!("`{place}` answers with {status}")));
        }
        let provider: IdentityProvider = serde_json::from_slice(&answer.body).map_err(|err| {
            OAuthError::Refused(format!("`{place}` does not describe an identity provider: {err}"))
        })?;
        if provider.server.issuer != issuer {
            return Err(OAuthError::Refused(format!(
                "`{place}` says that it is of `{}`, and `issuer` is `{issuer}`: they must be the same, byte for byte",
                provider.server.issuer
            )));
        }
        let server = &provider.server;
        let endpoints = [Some(&server.authorization_endpoint), Some(&server.token_endpoint)];
        let others = [provider.userinfo_endpoint.as_ref(), provider.end_session_endpoint.as_ref()];
        for endpoint in endpoints.into_iter().chain(others).flatten() {
            if endpoint.scheme() != "https" && place.scheme() == "https" {
                return Err(OAuthError::Refused(format!(
                    "`{place}` names `{endpoint}`, which is not https"
                )));
            }
        }
        Ok(provider)
    }

    /// Redeems the code that a browser came back with.
    pub async fn redeem(
        &self,
        provider: &IdentityProvider,
        target: &Target,
        redirect_uri: &Url,
        sign_in: &SignIn,
        code: &str,
    ) -> Result<SignedIn, OAuthError> {
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", &sign_in.verifier),
        ];
        let endpoint = &provider.server.token_endpoint;
        let door = self.http.for_resource(endpoint);
        let client = provider.client(target)?;
        let mut answer = ask_for_tokens(door, endpoint, Some(&client), fields)
            .await
            .map_err(|err| err.into_error(&target.label))?;
        let id_token = answer.id_token.take().ok_or_else(|| {
            OAuthError::Refused(format!(
                "{} sent no ID token: is it an OpenID provider?",
                target.label
            ))
        })?;
        Ok(SignedIn { id_token, answer })
    }

    /// What the provider says of the user beside the ID token; nothing where it says nothing that can be read.
    pub async fn user_info(
        &self,
        provider: &IdentityProvider,
        signed_in: &SignedIn,
    ) -> Map<String, Value> {
        let Some(endpoint) = &provider.userinfo_endpoint else { return Map::new() };
        let door = self.http.for_resource(endpoint);
        let answer = match door.get_with_token(endpoint, &signed_in.answer.access_token).await {
            Ok(answer) => answer,
            Err(problem) => {
                warn!("a user is known by the ID token alone: {problem}");
                return Map::new();
            }
        };
        match serde_json::from_slice(&answer.body) {
            Ok(Value::Object(claims)) if answer.status.is_success() => claims,
            Ok(_) | Err(_) => {
                let status = answer.status.as_u16();
                warn!(
                    "a user is known by the ID token alone: `{endpoint}` answers with {status} and no claims"
                );
                Map::new()
            }
        }
    }

    /// Keeps the tokens of a login, sealed, for [`Self::access_token`].
    pub async fn keep_tokens(
        &self,
        provider: &IdentityProvider,
        target: &Target,
        user: &UserKey,
        redirect_uri: &Url,
        signed_in: SignedIn,
    ) -> Result<(), OAuthError> {
        let answer = signed_in.answer;
        let tokens = Tokens {
            audience: target.audience().to_owned(),
            resource: None,
            scopes: answer.scopes().unwrap_or_else(|| target.scopes.clone()),
            issuer: provider.server.issuer.clone(),
            token_endpoint: provider.server.token_endpoint.clone(),
            client: provider.client(target)?,
            redirect_uri: redirect_uri.clone(),
            wanted: Vec::new(),
            expires_at: answer.expires_at(),
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
        };
        let vault = self.shared.vault.of(user);
        vault.save(SealedKind::Tokens, &target.key, &tokens.to_text(), None).await?;
        Ok(())
    }
}

impl IdentityProvider {
    /// Where a browser goes to log in, and what has to be remembered until it comes back.
    pub fn begin(
        &self,
        target: &Target,
        redirect_uri: &Url,
        parameters: &BTreeMap<String, String>,
    ) -> (Url, SignIn) {
        let sign_in = SignIn { state: random(), nonce: random(), verifier: random() };
        let mut url = self.server.authorization_endpoint.clone();
        let client_id = target.client.as_ref().map_or("", |it| &it.id);
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("scope", &target.scopes.join(" "))
            .append_pair("state", &sign_in.state)
            .append_pair("nonce", &sign_in.nonce)
            // Whoever does not know PKCE ignores it.
            .append_pair("code_challenge", &hash(&sign_in.verifier))
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(parameters);
        (url, sign_in)
    }

    /// RFC 9207: whether an answer that names `issuer` is this provider's.
    pub fn is_answer(&self, issuer: Option<&str>) -> bool {
        match issuer {
            Some(issuer) => issuer == self.server.issuer,
            None => !self.server.authorization_response_iss_parameter_supported,
        }
    }

    fn client(&self, target: &Target) -> Result<Client, OAuthError> {
        let Some(Preregistered { id, secret }) = &target.client else {
            return Err(OAuthError::Refused(format!("{} does not know this server", target.label)));
        };
        let secret = secret.as_ref().map(|it| it.expose_secret().to_owned());
        let methods = self.server.token_endpoint_auth_methods_supported.as_deref();
        let proof = if secret.is_some() { with_secret(methods) } else { Proof::None };
        Ok(Client { id: id.clone(), secret, proof })
    }
}
