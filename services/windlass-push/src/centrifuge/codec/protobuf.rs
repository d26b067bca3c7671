//! The Protocol Buffers encoding: messages of the protocol's schema, each preceded by its length as a varint, several
//! a frame in both directions. The field numbers are those of `client.proto`.

mod commands;
mod replies;
mod wire;

use super::Malformed;
use crate::centrifuge::command::Command;
use crate::centrifuge::reply::Reply;
use wire::{Reader, Writer};

/// The command that begins at `at`, and where the one after it begins; `None` at the end.
///
/// # Errors
/// [`Malformed`], also for a whole frame without a command.
pub(super) fn next(frame: &[u8], at: usize) -> Result<Option<(Command, usize)>, Malformed> {
    let rest = frame.get(at..).unwrap_or_default();
    if at > 0 && rest.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(rest);
    let command = reader.delimited().and_then(commands::read)?;
    Ok(Some((command, frame.len() - reader.len())))
}

/// Appends a reply.
pub fn encode(reply: &Reply, frame: &mut Vec<u8>) {
    let mut message = Writer::default();
    replies::write(reply, &mut message);
    message.append_delimited(frame);
}

/// What `/emulation` is sent: to which node, for which session, and the commands.
///
/// # Errors
/// [`Malformed`].
pub fn decode_emulation(body: &[u8]) -> Result<(String, String, Vec<u8>), Malformed> {
    let (mut node, mut session, mut data) = (String::new(), String::new(), Vec::new());
    let mut reader = Reader::new(body);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => node = value.text()?,
            2 => session = value.text()?,
            3 => data = value.bytes()?.to_vec(),
            _ => {}
        }
    }
    Ok((node, session, data))
}

#[cfg(test)]
mod tests;
