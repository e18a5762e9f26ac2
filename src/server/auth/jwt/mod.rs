//! Tokens that an identity provider signed (RFC 7519, and RFC 8725 for what to be wary of).

mod claims;
mod keys;
mod signatures;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{
    Algorithm, Validation,
    errors::{Error, ErrorKind},
};
use moka::sync::Cache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    config::JwtConfig,
    server::error::{ApiError, Login},
    user::User,
};

use self::keys::{KeySet, NoKeys};

pub use self::claims::user;

/// Tokens whose signatures are known to be good, so that one that comes with each request is verified once.
const VERIFIED_TOKENS: u64 = 10_000;
/// A key that its issuer withdrew counts no longer than this.
const VERIFIED_FOR: Duration = Duration::from_mins(5);

/// The verifier of the configuration in force.
pub struct Verifiers(ArcSwapOption<Verifier>);

/// Verifies the tokens of one issuer.
pub struct Verifier {
    config: JwtConfig,
    algorithms: Vec<Algorithm>,
    keys: KeySet,
    /// By the SHA-256 of the token.
    verified: Cache<[u8; 32], Arc<Verified>>,
}

struct Verified {
    user: User,
    /// In seconds since 1970.
    expires: u64,
}

impl Default for Verifiers {
    fn default() -> Self {
        // Before anything else has to do with tokens: the first who does decides for the process.
        signatures::install();
        Self(ArcSwapOption::empty())
    }
}

impl Verifiers {
    /// What was fetched and verified is kept as long as the configuration stays.
    pub fn of(&self, config: &JwtConfig) -> Arc<Verifier> {
        if let Some(verifier) = self.0.load_full().filter(|it| it.config == *config) {
            return verifier;
        }
        let verifier = Arc::new(Verifier::new(config.clone()));
        self.0.store(Some(verifier.clone()));
        verifier
    }
}

impl Verifier {
    pub fn new(config: JwtConfig) -> Self {
        let algorithms = config.algorithms.iter().filter_map(|it| it.parse().ok()).collect();
        let verified =
            Cache::builder().max_capacity(VERIFIED_TOKENS).time_to_live(VERIFIED_FOR).build();
        Self { algorithms, keys: KeySet::new(&config), verified, config }
    }

    /// Who the token says is asking. What is wrong with it is told by its kind, never by its content.
    pub async fn verify(&self, token: &str) -> Result<User, ApiError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(verified) = self.verified.get(&hash) {
            if verified.expires + self.config.leeway.as_secs() <= now() {
                return Err(refusal(&ErrorKind::ExpiredSignature));
            }
            return Ok(verified.user.clone());
        }
        let claims = self.check(token).await?;
        let user = user("jwt", &claims, &self.config)
            .map_err(|problem| ApiError::login(Login::Invalid, problem))?;
        let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was checked to be a time"
        )]
        let verified = Verified { user: user.clone(), expires: expires as u64 };
        self.verified.insert(hash, Arc::new(verified));
        Ok(user)
    }

    /// The claims of a token that counts.
    pub async fn check(&self, token: &str) -> Result<Map<String, Value>, ApiError> {
        let header = jsonwebtoken::decode_header(token).map_err(|err| refusal(err.kind()))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(refusal(&ErrorKind::InvalidAlgorithm));
        }
        if header.crit.is_some() {
            let message = "the token wants something to be understood that is not (`crit`)";
            return Err(ApiError::login(Login::Invalid, message));
        }
        let keys = self.keys.find(header.kid.as_deref(), header.alg).await.map_err(
            |NoKeys { problem }| {
                tracing::error!("tokens cannot be verified: {problem}");
                ApiError::unavailable(
                    "tokens cannot be verified now: the keys of their issuer are not to be had",
                )
            },
        )?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = self.config.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&self.config.audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let mut problem = Error::from(ErrorKind::InvalidSignature);
        for key in &keys {
            match jsonwebtoken::decode(token, key, &validation) {
                Ok(token) => return Ok(token.claims),
                // Of several keys without an id, one fits and the others do not.
                Err(err) if matches!(err.kind(), ErrorKind::InvalidSignature) => (),
                Err(err) => problem = err,
            }
        }
        Err(refusal(problem.kind()))
    }
}

fn refusal(problem: &ErrorKind) -> ApiError {
    let (kind, message) = match problem {
        ErrorKind::ExpiredSignature => {
            (Login::Expired, "the token has expired: log in again, or refresh it".to_owned())
        }
        ErrorKind::ImmatureSignature => (
            Login::Invalid,
            "the token does not count yet (`nbf`): see that clocks are right".to_owned(),
        ),
        ErrorKind::InvalidIssuer => {
            (Login::Invalid, "the token is another issuer's (`iss`)".to_owned())
        }
        ErrorKind::InvalidAudience => {
            (Login::Invalid, "the token is for another service (`aud`)".to_owned())
        }
        ErrorKind::MissingRequiredClaim(claim) => {
            (Login::Invalid, format!("the token has no claim `{claim}`"))
        }
        ErrorKind::InvalidAlgorithm => (
            Login::Invalid,
            "the token is signed in a way that does not count here (`alg`)".to_owned(),
        ),
        ErrorKind::InvalidSignature => {
            (Login::Invalid, "the token's signature is no good".to_owned())
        }
        _ => (Login::Invalid, "what was sent as a token is none".to_owned()),
    };
    ApiError::login(kind, message)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifiers").finish_non_exhaustive()
    }
}
