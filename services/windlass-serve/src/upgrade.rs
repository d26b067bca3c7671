//! From hyper's type-erased upgraded connection back to the [`Socket`].

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use crate::socket::Socket;

/// The socket of a connection that [`crate::serve`] accepted, and what the client sent after its request already.
///
/// # Errors
/// Gives the connection back when it is of another kind.
pub fn into_socket(upgraded: Upgraded) -> Result<(Socket, Bytes), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<Socket>>()?;
    Ok((parts.io.into_inner(), parts.read_buf))
}
