//! Structured fields (RFC 9651) and digests (RFC 9530) out of headers. What cannot be read is as if it were not there.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

use crate::digest::{Algorithm, Expected};

/// All values of a field, joined as one (RFC 9651 section 4.2).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut values = headers.get_all(name).iter();
    let mut text = values.next()?.as_bytes().to_vec();
    for value in values {
        text.extend_from_slice(b", ");
        text.extend_from_slice(value.as_bytes());
    }
    Some(text)
}

fn item(headers: &HeaderMap, name: &HeaderName) -> Option<BareItem> {
    Parser::new(&joined(headers, name)?)
        .parse::<Item>()
        .ok()
        .map(|item| item.bare_item)
}

/// An integer that is not negative.
#[must_use]
pub fn integer(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    match item(headers, name)? {
        BareItem::Integer(integer) => u64::try_from(i64::from(integer)).ok(),
        _ => None,
    }
}

/// A boolean.
#[must_use]
pub fn boolean(headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
    match item(headers, name)? {
        BareItem::Boolean(boolean) => Some(boolean),
        _ => None,
    }
}

fn dictionary(text: &[u8]) -> Option<Dictionary> {
    Parser::new(text).parse::<Dictionary>().ok()
}

/// The digests of an integrity field that are by algorithms computed here; others are not ours to judge. `None` when
/// the field cannot be read, or one of ours is not of its algorithm's size.
#[must_use]
pub fn digests(text: &[u8]) -> Option<Vec<Expected>> {
    let mut found = Vec::new();
    for (key, entry) in &dictionary(text)? {
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.http_name() == Some(key.as_str()));
        let ListEntry::Item(item) = entry else { return None };
        let BareItem::ByteSequence(digest) = &item.bare_item else {
            return None;
        };
        let Some(algorithm) = algorithm else { continue };
        if digest.len() != algorithm.size() {
            return None;
        }
        found.push(Expected {
            algorithm,
            digest: digest.clone(),
        });
    }
    Some(found)
}

/// The text of an integrity field.
#[must_use]
pub fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    String::from_utf8(joined(headers, name)?).ok()
}

/// Whether a `Want-…-Digest` field wants SHA-256: a preference from 1 to 10 (RFC 9530 section 4).
#[must_use]
pub fn wants_sha256(headers: &HeaderMap, name: &HeaderName) -> bool {
    let wanted = || {
        let dictionary = dictionary(&joined(headers, name)?)?;
        match dictionary.get("sha-256")? {
            ListEntry::Item(Item {
                bare_item: BareItem::Integer(weight),
                ..
            }) => Some(i64::from(*weight) > 0),
            _ => None,
        }
    };
    wanted().unwrap_or(false)
}

/// The file name of a `Content-Disposition` field (RFC 6266), preferring its extended form (RFC 8187, UTF-8 only).
#[must_use]
pub fn filename(value: &str) -> Option<String> {
    let mut plain = None;
    for parameter in split_parameters(value).into_iter().skip(1) {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "filename*" => {
                if let Some(name) = extended(value.trim()) {
                    return Some(name);
                }
            }
            "filename" => plain = Some(unquoted(value.trim())),
            _ => {}
        }
    }
    plain.filter(|name| !name.is_empty())
}

/// Splits at semicolons outside quotes.
fn split_parameters(value: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, c) in value.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(&value[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[start..]);
    parts
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let (mut name, mut escaped) = (String::new(), false);
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            name.push(c);
            escaped = false;
        }
    }
    name
}

fn extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, text) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|name| !name.is_empty())
}
