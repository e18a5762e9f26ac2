//! Signatures of RSA and ECDSA verified by ring, which the server has for TLS anyway: several times as fast as what
//! jsonwebtoken brings.

use std::sync::LazyLock;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, rust_crypto::DEFAULT_PROVIDER},
    errors::Result,
    signature::{self, Verifier},
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// Has all tokens of this process verified so.
pub fn install() {
    // Another may be there, of whoever came first: it verifies as well.
    let _ = PROVIDER.install_default();
}

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    ..DEFAULT_PROVIDER.clone()
});

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if let Some((parameters, DecodingKeyKind::RsaModulusExponent { .. })) =
        rsa(algorithm).map(|it| (it, key.kind()))
        && key.family() == AlgorithmFamily::Rsa
    {
        return Ok(Box::new(Rsa { algorithm, parameters, key: key.clone() }));
    }
    if let Some((parameters, DecodingKeyKind::SecretOrDer(point))) =
        ecdsa(algorithm).map(|it| (it, key.kind()))
        && key.family() == AlgorithmFamily::Ec
    {
        let key = UnparsedPublicKey::new(parameters, point.clone());
        return Ok(Box::new(Ecdsa { algorithm, key }));
    }
    (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key)
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ecdsa(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        _ => return None,
    })
}

struct Rsa {
    algorithm: Algorithm,
    parameters: &'static RsaParameters,
    key: DecodingKey,
}

struct Ecdsa {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Verifier<Vec<u8>> for Rsa {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        let DecodingKeyKind::RsaModulusExponent { n, e } = self.key.kind() else {
            return Err(signature::Error::new());
        };
        // Some providers write the modulus with a zero before it.
        let n = &n[n.iter().take_while(|it| **it == 0).count()..];
        let key = RsaPublicKeyComponents { n, e };
        key.verify(self.parameters, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rsa {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ecdsa {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        self.key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ecdsa {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
