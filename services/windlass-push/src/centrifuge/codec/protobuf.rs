//! The Protocol Buffers encoding: messages of the protocol's schema, each preceded by its length as a varint, several
//! a frame in both directions. The field numbers are those of `client.proto`.

mod commands;
mod replies;
mod wire;

use super::Malformed;
use crate::centrifuge::command::Command;
use crate::centrifuge::reply::Reply;
use wire::{Reader, Writer};

/// The commands of one frame, in order. The first that is malformed is the last; a frame without any is malformed.
#[must_use]
pub fn decode(frame: &[u8]) -> Vec<Result<Command, Malformed>> {
    let mut reader = Reader::new(frame);
    let mut commands = Vec::new();
    loop {
        let command = reader.delimited().and_then(commands::read);
        let malformed = command.is_err();
        commands.push(command);
        if malformed || reader.is_empty() {
            return commands;
        }
    }
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
