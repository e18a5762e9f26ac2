use futures::future::BoxFuture;
use secrecy::SecretString;

use super::{
    CredentialError, Secret, Source,
    accounts::{unusable, user},
};
use crate::{
    config::{ExchangeConfig, ExchangePlace},
    context::RequestContext,
    oauth::{Exchange, ExchangeAt, OAuth, Preregistered},
};

/// What the user's login is exchanged for. The login itself goes to the authorization server alone.
pub struct Exchanged {
    name: String,
    oauth: OAuth,
    exchange: Exchange,
}

/// What the token of a login is called among what the login gave.
pub const ACCESS_TOKEN: &str = "access_token";

impl Exchanged {
    pub fn new(name: String, config: &ExchangeConfig, oauth: OAuth) -> Self {
        let exchange = Exchange {
            at: match &config.place {
                ExchangePlace::Issuer(url) => ExchangeAt::Issuer(url.clone()),
                ExchangePlace::TokenEndpoint(url) => ExchangeAt::TokenEndpoint(url.clone()),
            },
            audience: config.audience.clone(),
            resource: config.resource.clone(),
            scopes: config.scopes.clone(),
            client: config.client_id.clone().map(|id| {
                let secret = config.client_secret.clone();
                Preregistered { id, secret }
            }),
        };
        Self { name, oauth, exchange }
    }
}

fn login(context: &RequestContext) -> Option<&SecretString> {
    context.secrets.login.get(ACCESS_TOKEN)
}

impl Source for Exchanged {
    fn fetch<'a>(
        &'a self,
        context: &'a RequestContext,
    ) -> BoxFuture<'a, Result<Secret, CredentialError>> {
        Box::pin(async move {
            let user = user(&self.name, context)?;
            let Some(login) = login(context) else {
                return Err(CredentialError::Missing {
                    credential: self.name.clone(),
                    reason: "their login has no token that could be exchanged for it".to_owned(),
                });
            };
            match self.oauth.exchange(&self.exchange, &user.key, login).await {
                Ok(token) => Ok(Secret::from(token)),
                Err(err) => {
                    tracing::warn!(credential = %self.name, "the credential `{}` cannot be had: {err}", self.name);
                    Err(unusable(&self.name, &*err))
                }
            }
        })
    }

    fn has<'a>(&'a self, context: &'a RequestContext) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(context.user.is_some() && login(context).is_some()))
    }

    fn reject<'a>(
        &'a self,
        context: &'a RequestContext,
        token: &'a Secret,
        _challenge: &'a str,
    ) -> BoxFuture<'a, bool> {
        let (user, login) = (context.user.as_ref(), login(context));
        let rejected = user.zip(login).is_some_and(|(user, login)| {
            self.oauth.reject_exchanged(&self.exchange, &user.key, login, token.expose())
        });
        Box::pin(std::future::ready(rejected))
    }
}
