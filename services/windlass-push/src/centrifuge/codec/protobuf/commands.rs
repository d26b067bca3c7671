//! Commands of clients, read field by field.

use super::wire::Reader;
use crate::centrifuge::codec::Malformed;
use crate::centrifuge::command::{
    ChannelRequest, Command, ConnectRequest, DataRequest, HistoryRequest, Method, PublishRequest, RefreshRequest,
    RpcRequest, Since, SubRefreshRequest, SubscribeRequest, command,
};
use crate::payload::Payload;

/// One command: exactly one of the methods, or none for a pong.
pub(super) fn read(message: &[u8]) -> Result<Command, Malformed> {
    let mut reader = Reader::new(message);
    let (mut id, mut methods) = (0, Vec::new());
    while let Some((field, value)) = reader.field()? {
        if field == 1 {
            id = value.number32()?;
            continue;
        }
        let read: fn(Reader<'_>) -> Result<Method, Malformed> = match field {
            4 => |request| connect(request).map(Method::Connect),
            5 => |request| subscribe(request).map(Method::Subscribe),
            6 => |request| channel(request).map(Method::Unsubscribe),
            7 => |request| publish(request).map(Method::Publish),
            8 => |request| channel(request).map(Method::Presence),
            9 => |request| channel(request).map(Method::PresenceStats),
            10 => |request| history(request).map(Method::History),
            11 => |_| Ok(Method::Ping),
            12 => |request| send(request).map(Method::Send),
            13 => |request| rpc(request).map(Method::Rpc),
            14 => |request| refresh(request).map(Method::Refresh),
            15 => |request| sub_refresh(request).map(Method::SubRefresh),
            _ => continue,
        };
        // A second method makes it malformed, and there is no sense in reading a third.
        if methods.len() > 1 {
            return Err(Malformed);
        }
        methods.push(read(value.message()?)?);
    }
    command(id, methods)
}

fn connect(mut reader: Reader<'_>) -> Result<ConnectRequest, Malformed> {
    let mut request = ConnectRequest::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => request.token = value.text()?,
            2 => request.data = Payload::from_bytes(value.bytes()?),
            3 => {
                let (channel, subscription) = entry(value.message()?, |value| subscribe(value.message()?))?;
                request.subs.insert(channel, subscription);
            }
            4 => request.name = value.text()?,
            5 => request.version = value.text()?,
            6 => {
                let (name, value) = entry(value.message()?, super::wire::Value::text)?;
                request.headers.insert(name, value);
            }
            _ => {}
        }
    }
    Ok(request)
}

/// An entry of a map: the key is field 1, the value field 2; either is left out when it is empty.
fn entry<'a, T: Default>(
    mut reader: Reader<'a>,
    read: impl Fn(super::wire::Value<'a>) -> Result<T, Malformed>,
) -> Result<(String, T), Malformed> {
    let (mut key, mut content) = (String::new(), T::default());
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => key = value.text()?,
            2 => content = read(value)?,
            _ => {}
        }
    }
    Ok((key, content))
}

fn subscribe(mut reader: Reader<'_>) -> Result<SubscribeRequest, Malformed> {
    let mut request = SubscribeRequest::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => request.channel = value.text()?,
            2 => request.token = value.text()?,
            3 => request.recover = value.flag()?,
            6 => request.epoch = value.text()?,
            7 => request.offset = value.number()?,
            8 => request.data = Payload::from_bytes(value.bytes()?),
            9 => request.positioned = value.flag()?,
            10 => request.recoverable = value.flag()?,
            11 => request.join_leave = value.flag()?,
            12 => request.delta = value.text()?,
            13 => request.tf = value.bytes().map(|_| Some(serde::de::IgnoredAny))?,
            14 => request.flag = value.number()?,
            15 => request.r#type = value.signed32()?,
            _ => {}
        }
    }
    Ok(request)
}

fn channel(mut reader: Reader<'_>) -> Result<ChannelRequest, Malformed> {
    let mut request = ChannelRequest::default();
    while let Some((field, value)) = reader.field()? {
        if field == 1 {
            request.channel = value.text()?;
        }
    }
    Ok(request)
}

fn publish(mut reader: Reader<'_>) -> Result<PublishRequest, Malformed> {
    let mut request = PublishRequest::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => request.channel = value.text()?,
            2 => request.data = Payload::from_bytes(value.bytes()?),
            3 => request.r#type = value.signed32()?,
            _ => {}
        }
    }
    Ok(request)
}

fn history(mut reader: Reader<'_>) -> Result<HistoryRequest, Malformed> {
    let mut request = HistoryRequest::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => request.channel = value.text()?,
            7 => request.limit = value.signed32()?,
            8 => request.since = Some(since(value.message()?)?),
            9 => request.reverse = value.flag()?,
            _ => {}
        }
    }
    Ok(request)
}

fn since(mut reader: Reader<'_>) -> Result<Since, Malformed> {
    let mut since = Since::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => since.offset = value.number()?,
            2 => since.epoch = value.text()?,
            _ => {}
        }
    }
    Ok(since)
}

fn send(mut reader: Reader<'_>) -> Result<DataRequest, Malformed> {
    let mut request = DataRequest::default();
    while let Some((field, value)) = reader.field()? {
        if field == 1 {
            request.data = Payload::from_bytes(value.bytes()?);
        }
    }
    Ok(request)
}

fn rpc(mut reader: Reader<'_>) -> Result<RpcRequest, Malformed> {
    let mut request = RpcRequest::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => request.data = Payload::from_bytes(value.bytes()?),
            2 => request.method = value.text()?,
            _ => {}
        }
    }
    Ok(request)
}

fn refresh(mut reader: Reader<'_>) -> Result<RefreshRequest, Malformed> {
    let mut request = RefreshRequest::default();
    while let Some((field, value)) = reader.field()? {
        if field == 1 {
            request.token = value.text()?;
        }
    }
    Ok(request)
}

fn sub_refresh(mut reader: Reader<'_>) -> Result<SubRefreshRequest, Malformed> {
    let mut request = SubRefreshRequest::default();
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => request.channel = value.text()?,
            2 => request.token = value.text()?,
            3 => request.r#type = value.signed32()?,
            _ => {}
        }
    }
    Ok(request)
}
