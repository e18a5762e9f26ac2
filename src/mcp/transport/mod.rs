//! The wire: what is put in below the library's own logging, and how much is taken.

mod asked;
pub mod http;
mod sse;
pub mod stdio;

use rmcp::model::{ClientJsonRpcMessage, ClientRequest, GetExtensions, JsonRpcMessage};

use crate::{credential::CredentialError, mcp::identity::Identity};

/// Of one message of a server's.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// Puts what the message's identity stands for into it. None: it is nobody's in particular.
pub fn put_in(message: &mut ClientJsonRpcMessage) -> Result<Option<Identity>, CredentialError> {
    let JsonRpcMessage::Request(request) = message else { return Ok(None) };
    let Some(identity) = request.request.extensions().get::<Identity>().cloned() else {
        return Ok(None);
    };
    if let ClientRequest::CallToolRequest(call) = &mut request.request {
        identity.put_into(call.params.arguments.get_or_insert_default())?;
    }
    Ok(Some(identity))
}
