use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::{
    app::App,
    chatkit::{Attachment, AttachmentId, UserMessageItem},
    ops::OpError,
    user::UserKey,
};

/// Where attachments are reached, as whoever asks knows this server.
#[derive(Debug, Clone)]
pub struct Links {
    /// `http://localhost:8000/chatkit`
    pub base: String,
}

/// What a link is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    Upload,
    Content,
}

/// A link that came back.
#[derive(Debug, Clone)]
pub struct SignedLink {
    pub id: AttachmentId,
    pub purpose: LinkPurpose,
    /// Seconds since 1970.
    pub expires: i64,
    pub signature: String,
}

/// Makes the links of one user's attachments. They need no login, because an `<img>` sends none.
pub struct Signer<'a> {
    links: &'a Links,
    secret: &'a [u8; 32],
    owner: &'a UserKey,
    now: Timestamp,
}

/// How long a link is good for, at least, in seconds.
const UPLOAD_TIME: i64 = 60 * 60;
const CONTENT_TIME: i64 = 12 * 60 * 60;
/// Links that are made within this have the same address, so that browsers need not load an image again.
const STEP: i64 = 60 * 60;

impl LinkPurpose {
    /// The last segment of the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Content => "content",
        }
    }
}

impl<'a> Signer<'a> {
    pub const fn new(
        links: &'a Links,
        secret: &'a [u8; 32],
        owner: &'a UserKey,
        now: Timestamp,
    ) -> Self {
        Self { links, secret, owner, now }
    }

    pub fn url(&self, id: &AttachmentId, purpose: LinkPurpose) -> String {
        let time = match purpose {
            LinkPurpose::Upload => UPLOAD_TIME,
            LinkPurpose::Content => CONTENT_TIME,
        };
        let begin = self.now.as_second().div_euclid(STEP) + 1;
        let expires = begin * STEP + time;
        let mac = mac(self.secret, self.owner, id, purpose, expires);
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        let (base, purpose) = (&self.links.base, purpose.as_str());
        format!("{base}/attachments/{id}/{purpose}?expires={expires}&signature={signature}")
    }

    /// The message with links to its images.
    pub fn fill(&self, message: &mut UserMessageItem) {
        for attachment in &mut message.attachments {
            if let Attachment::Image(image) = attachment {
                image.preview_url = self.url(&image.id, LinkPurpose::Content);
            }
        }
    }
}

impl SignedLink {
    /// For whom the link was made. One that was not made here is as unknown as its attachment.
    pub async fn verify(&self, app: &App, now: Timestamp) -> Result<UserKey, OpError> {
        let unknown = || OpError::NotFound("attachment");
        let owner = app.store.find_attachment_owner(&self.id).await?.ok_or_else(unknown)?;
        let secret = app.store.attachment_secret().await?;
        let signature = URL_SAFE_NO_PAD.decode(&self.signature).map_err(|_| unknown())?;
        let mac = mac(secret, &owner, &self.id, self.purpose, self.expires);
        mac.verify_slice(&signature).map_err(|_| unknown())?;
        if self.expires < now.as_second() {
            return Err(OpError::Forbidden(
                "the link has expired: load the thread again for a new one".to_owned(),
            ));
        }
        Ok(owner)
    }
}

fn mac(
    secret: &[u8; 32],
    owner: &UserKey,
    id: &AttachmentId,
    purpose: LinkPurpose,
    expires: i64,
) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length of key will do");
    // Only the owner may hold a line's end, and comes last.
    let text = format!("link\n{}\n{expires}\n{id}\n{}", purpose.as_str(), owner.as_str());
    mac.update(text.as_bytes());
    mac
}
